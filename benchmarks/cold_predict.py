"""How long `dcdan predict PICTURE` takes from nothing to its first result, and whether torch was imported on the way.

    python benchmarks/cold_predict.py --model runs/mine [--picture photo.jpg] [--runs 5]

Each run is a new process; the first one also warms the disk cache and is reported apart. The processor's time tells
what other work on the machine adds to the wall's. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

BAR_SECONDS = 1.0
DRAWN = Path(__file__).parent.parent / "tests" / "helpers" / "drawn_faces.png"
PROBE = (
    "import json, sys\n"
    "from dcdan.cli.main import run\n"
    "code = run(sys.argv[1:])\n"
    "print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)\n"
)


def seconds(command: list[str]) -> float:
    """Return the wall time of a command that must end well."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def processor_seconds() -> float:
    """Return the processor time of all commands that have ended so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="run folder with model.json and model.onnx")
    parser.add_argument("--picture", type=Path, default=DRAWN, help="a photograph (default: drawn faces)")
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()

    arguments = ["predict", str(given.picture), "--model", str(given.model), "--json", "--quiet"]
    program = [sys.executable, "-c", "from dcdan.__main__ import main; main()", *arguments]
    first = seconds(program)
    before = processor_seconds()
    times = [seconds(program) for _ in range(given.runs)]
    busy = (processor_seconds() - before) / given.runs
    bare = statistics.median(seconds([sys.executable, "-c", "pass"]) for _ in range(given.runs))
    probe = subprocess.run([sys.executable, "-c", PROBE, *arguments], check=True, capture_output=True, text=True)
    code, modules = json.loads(probe.stderr.splitlines()[-1])
    faces = [json.loads(line) for line in probe.stdout.splitlines()]
    median = statistics.median(times)
    print(
        json.dumps(
            {
                "benchmark": "cold_predict",
                "model": str(given.model),
                "picture": given.picture.name,
                "faces": sum(face["expression"] is not None for face in faces),
                "exit_code": code,
                "first_seconds": round(first, 3),
                "seconds": [round(value, 3) for value in times],
                "median_seconds": round(median, 3),
                "processor_seconds": round(busy, 3),
                "interpreter_seconds": round(bare, 3),
                "torch_imported": "torch" in modules,
                "modules_imported": len(modules),
                "cores": os.cpu_count(),
                "bar_seconds": BAR_SECONDS,
                "within_bar": median <= BAR_SECONDS,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
