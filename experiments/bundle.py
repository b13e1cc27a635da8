"""Put a run's model into the package, with its card: ``python experiments/bundle.py RUN NAME``.

Run it from a folder with packs/ferplus64 and packs/lfw64, after ``dcdan export RUN``. The figures of the card are
measured here, in fp32 and int8, on test splits that took no part in training or choosing.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dcdan.evaluation.evaluate import evaluate
from dcdan.evaluation.report import Report
from dcdan.inference.model_card import read_model_info, write_model_info
from dcdan.inference.recogniser import load
from dcdan.metrics.classification import class_scores

HERE = Path(__file__).parent
WEIGHTS = HERE.parent / "src" / "dcdan" / "inference" / "weights"
FILES = ("model.safetensors", "model.onnx", "model-int8.onnx", "model.json", "run.json")
FERPLUS = "packs/ferplus64"
TESTS = {
    "FERPlus (majority)": FERPLUS,
    "LFW expressions": "packs/lfw64",
    "FERPlus, blur 3": f"{FERPLUS}?shift=blur&severity=3",
    "FERPlus, noise 3": f"{FERPLUS}?shift=noise&severity=3",
    "FERPlus, low light 4": f"{FERPLUS}?shift=lowlight&severity=4",
    "FERPlus, occlusion 3": f"{FERPLUS}?shift=occlusion&severity=3",
    "FERPlus, pose 3": f"{FERPLUS}?shift=pose&severity=3",
}


def recalls(report: Report) -> dict[str, tuple[float, int]]:
    """Return recall and number of faces of every class that the test has."""
    scores = class_scores(report.confusion)
    found = zip(report.classes, scores.recall.tolist(), scores.support.tolist(), strict=True)
    return {name: (recall, support) for name, recall, support in found if support}


def main() -> None:
    """Measure, copy, write the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    arguments = parser.parse_args()
    run, out = arguments.run, WEIGHTS / arguments.name
    models = [load(run, align="none", precision=precision) for precision in ("fp32", "int8")]
    reports = {
        test: [evaluate(model, spec, split="test", progress=False) for model in models] for test, spec in TESTS.items()
    }
    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )
    card = environment.get_template("model_card.md.j2").render(
        name=arguments.name,
        info=models[0].info,
        metadata=json.loads((run / "run.json").read_text(encoding="utf-8")),
        reports=reports,
        recalls=[recalls(full) for full, _ in reports.values()],
    )
    out.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(run / name, out / name)
    write_model_info(out, read_model_info(out).model_copy(update={"name": arguments.name}))
    (out / "README.md").write_text(card, encoding="utf-8")
    print(card)


if __name__ == "__main__":
    main()
