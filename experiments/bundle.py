"""Put a run's model into the package, with its card: ``python experiments/bundle.py RUN NAME``.

Run it from a folder with packs/ferplus96 and packs/lfw96 (or of the size of the model's faces). The figures
of the card are measured here, in fp32 and int8, on test splits that took no part in training or choosing. Their raw
values are written to docs/results/base_model. ``--measure`` writes these alone, of a model that is compared.
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
from dcdan.metrics.intervals import Interval, wilson
from dcdan.training.run_metadata import commit

HERE = Path(__file__).parent
RESULTS = HERE.parent / "docs" / "results" / "base_model"
WEIGHTS = HERE.parent / "src" / "dcdan" / "inference" / "weights"
BESIDE = ("model.json", "run.json")


def tests_of(size: int) -> dict[str, str]:
    """Return the name and spec of each test, for faces of a size."""
    ferplus = f"packs/ferplus{size}"
    shifts = {"blur": "blur", "noise": "noise", "low light": "lowlight", "occlusion": "occlusion", "pose": "pose"}
    return {
        "FERPlus (majority)": ferplus,
        "LFW expressions": f"packs/lfw{size}",
        **{
            f"FERPlus, {name} {severity}": f"{ferplus}?shift={kind}&severity={severity}"
            for name, kind in shifts.items()
            for severity in (3, 5)
        },
    }


def recalls(report: Report) -> dict[str, tuple[float, Interval, int]]:
    """Return recall, its interval and number of faces of every class that the test has."""
    found = {}
    for place, name in enumerate(report.classes):
        right, faces = int(report.confusion[place, place]), int(report.confusion[place].sum())
        if faces:
            found[name] = (right / faces, wilson(right, faces), faces)
    return found


def main() -> None:
    """Measure, copy, write the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--measure", action="store_true", help="write the raw values alone")
    arguments = parser.parse_args()
    run, out = arguments.run, WEIGHTS / arguments.name
    models = [load(run, align="none", precision=precision) for precision in ("fp32", "int8")]
    reports = {
        test: [evaluate(model, spec, split="test", progress=False) for model in models]
        for test, spec in tests_of(models[0].info.face.size).items()
    }
    raw = {
        test: {kind: report.to_dict() for kind, report in zip(("fp32", "int8"), pair, strict=True)}
        for test, pair in reports.items()
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    weights = models[0].info.files["model.safetensors"]
    content = {"command": f"python experiments/bundle.py RUN {arguments.name}", "commit": commit(), "weights": weights}
    (RESULTS / f"{arguments.name}.json").write_text(json.dumps({**content, "tests": raw}) + "\n", encoding="utf-8")
    if arguments.measure:
        return
    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )
    card = environment.get_template("model_card.md.j2").render(
        name=arguments.name,
        info=models[0].info,
        note=json.loads((run / "run.json").read_text(encoding="utf-8")).get("note", ""),
        reports=reports,
        shown=["FERPlus (majority)", "LFW expressions", "FERPlus, low light 5"],
        recalls={test: recalls(full) for test, (full, _) in reports.items()},
    )
    out.mkdir(parents=True, exist_ok=True)
    for name in (*models[0].info.files, *BESIDE):
        shutil.copyfile(run / name, out / name)
    write_model_info(out, read_model_info(out).model_copy(update={"name": arguments.name}))
    (out / "README.md").write_text(card, encoding="utf-8")
    print(card)


if __name__ == "__main__":
    main()
