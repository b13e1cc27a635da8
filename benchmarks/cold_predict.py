"""How long `dcdan predict PICTURE` takes from nothing to its first result, and whether torch was imported on the way.

    python benchmarks/cold_predict.py [--model runs/mine] [--picture photo.jpg] [--runs 5]

Each run is a new process; the first one also warms the disk cache and is reported apart. Runs take turns with a process
that only imports ONNX Runtime and OpenCV; the ratio of the two does not depend on the machine, and that of their
processor time does not depend on other work on it either. Prints one JSON object.
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

BAR_SECONDS = 0.6
BAR_RATIO = 1.8
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
    parser.add_argument("--model", type=Path, help="run folder with model.json and model.onnx (default: the package's)")
    parser.add_argument("--picture", type=Path, default=DRAWN, help="a photograph (default: drawn faces)")
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()

    model = [] if given.model is None else ["--model", str(given.model)]
    arguments = ["predict", str(given.picture), *model, "--json", "--quiet"]
    program = [sys.executable, "-c", "from dcdan.__main__ import main; main()", *arguments]
    libraries = [sys.executable, "-c", "import onnxruntime, cv2"]
    first = seconds(program)
    seconds(libraries)
    times, imports = [], []
    busy = busy_imports = 0.0
    for _ in range(given.runs):
        before = processor_seconds()
        times.append(seconds(program))
        between = processor_seconds()
        imports.append(seconds(libraries))
        busy += (between - before) / given.runs
        busy_imports += (processor_seconds() - between) / given.runs
    bare = statistics.median(seconds([sys.executable, "-c", "pass"]) for _ in range(given.runs))
    probe = subprocess.run([sys.executable, "-c", PROBE, *arguments], check=True, capture_output=True, text=True)
    code, modules = json.loads(probe.stderr.splitlines()[-1])
    faces = [json.loads(line) for line in probe.stdout.splitlines()]
    median = statistics.median(times)
    print(
        json.dumps(
            {
                "benchmark": "cold_predict",
                "model": "the package's" if given.model is None else str(given.model),
                "picture": given.picture.name,
                "faces": sum(face["expression"] is not None for face in faces),
                "exit_code": code,
                "first_seconds": round(first, 3),
                "seconds": [round(value, 3) for value in times],
                "median_seconds": round(median, 3),
                "processor_seconds": round(busy, 3),
                "interpreter_seconds": round(bare, 3),
                "libraries_seconds": round(statistics.median(imports), 3),
                "libraries_processor_seconds": round(busy_imports, 3),
                "ratio": round(median / statistics.median(imports), 2),
                "processor_ratio": round(busy / busy_imports, 2),
                "bar_ratio": BAR_RATIO,
                "torch_imported": "torch" in modules,
                "modules_imported": len(modules),
                "cores": os.cpu_count(),
                "bar_seconds": BAR_SECONDS,
                "within_bar": median <= BAR_SECONDS and busy / busy_imports <= BAR_RATIO,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
