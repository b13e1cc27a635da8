"""Run the benchmarks one after the other, keep what they print, and write docs/benchmarks.md from it.

    python benchmarks/run.py [--only afc step_time] [--photos FOLDER] [--crops SPEC] [--model RUN]

Results lie in benchmarks/results, one JSON file a job, and each says what machine it ran on; jobs that are not run keep
their last one. Every job uses one thread, but for packing and Ray (cluster). Detection and Ray need a folder of
photographs, packing the spec of a data set of face crops; they are left out without.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from machine import machine
from render import write_page

HERE = Path(__file__).parent
RESULTS = HERE / "results"
STEPS = (
    ("mobilenetv2_100", 112, 32, False),
    ("mobilenetv2_100", 64, 64, False),
    ("resnet50", 112, 16, False),
    ("resnet50", 64, 32, False),
    ("resnet50", 112, 16, True),
)


def jobs(given: argparse.Namespace, run: Path) -> dict[str, list[str]]:
    """Return the command of each job, without the interpreter."""
    made = {
        f"step_time-{trunk}-{size}{'-bf16' * bf16}": [
            "step_time.py", "--trunk", trunk, "--size", str(size), "--batch", str(batch), "--rounds", "3",
            *["--bf16"] * bf16,
        ]
        for trunk, size, batch, bf16 in STEPS
    }  # fmt: skip
    made |= {"afc": ["afc.py"], "onnx_latency": ["onnx_latency.py"], "data_wait": ["data_wait.py", "--out", str(run)]}
    made["cold_predict"] = ["cold_predict.py", "--model", str(given.model or run)]
    model = ["--model", str(given.model)] if given.model else []
    made |= {"recognisers": ["recognisers.py", *model], "processes": ["processes.py"], "video": ["video.py", *model]}
    if given.photos:
        made["predict_memory"] = ["predict_memory.py", str(given.photos)]
        made["detection"] = ["detection.py", str(given.photos), "--threads", "1"]
        made["cluster"] = ["cluster.py", str(given.photos)]
    if given.crops:
        made["packing"] = ["packing.py", given.crops]
    return {name: job for name, job in made.items() if not given.only or any(name.startswith(o) for o in given.only)}


def result_of(job: list[str]) -> dict[str, Any]:
    """Run a job and return the JSON object that it prints."""
    one_thread = {} if job[0] in ("packing.py", "recognisers.py") else {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / job[0]), *job[1:]]
    done = subprocess.run(command, env={**os.environ, **one_thread}, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    found.pop("model", None)
    return {"date": date.today().isoformat(), "machine": machine()} | found


def main() -> None:
    """Run what was asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="jobs whose names start so; 'none' only writes the page")
    parser.add_argument("--photos", type=Path, help="folder of photographs, for detection and Ray")
    parser.add_argument("--crops", help="spec of face crops, for packing")
    parser.add_argument(
        "--model",
        type=Path,
        help="run for cold_predict (default: what data_wait makes), recognisers and video (default: the package's)",
    )
    given = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        for name, job in jobs(given, run).items():
            if name == "cold_predict" and not (given.model or run.exists()):
                continue
            print(name, file=sys.stderr)
            (RESULTS / f"{name}.json").write_text(json.dumps(result_of(job), indent=1) + "\n", encoding="utf-8")
    write_page(RESULTS, HERE.parent / "docs" / "benchmarks.md")


if __name__ == "__main__":
    main()
