"""Peak memory of ``dcdan predict`` for few and for many pictures: it should not grow.

    python benchmarks/predict_memory.py FOLDER [--counts 100 10000]

Each count is predicted by a process of its own, over links to that many pictures of the folder. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import machine
from pack_memory import peak_megabytes

from dcdan.cli.main import run
from dcdan.images.discover import find_pictures

BAR = 1.1


def predict_here(folder: Path) -> float:
    """Predict a folder in this process and return its peak memory in MB."""
    arguments = ["predict", str(folder), "--out", str(folder.with_suffix(".csv")), "--quiet", "--threads", "1"]
    if run(arguments):
        sys.exit("dcdan predict failed")
    return peak_megabytes()


def measure(pictures: list[Path], folder: Path) -> dict[str, object]:
    """Predict the pictures in a fresh process, and return peak memory and time."""
    folder.mkdir()
    for number, picture in enumerate(pictures):
        (folder / f"{number}{picture.suffix}").symlink_to(picture.resolve())
    began = time.perf_counter()
    command = [sys.executable, __file__, "--here", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - began
    return {"pictures": len(pictures), "peak_mb": round(float(done.stdout), 1), "seconds": round(seconds, 1)}


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="of photographs")
    parser.add_argument("--counts", type=int, nargs=2, default=[100, 10000])
    parser.add_argument("--here", type=Path, help="predict this folder in this process and print its peak")
    given = parser.parse_args()
    if given.here:
        print(predict_here(given.here))
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    found = [given.folder / each for each in find_pictures(given.folder)]
    with tempfile.TemporaryDirectory() as place:
        rows = [measure(found[:count], Path(place) / str(count)) for count in given.counts]
    ratio = float(str(rows[1]["peak_mb"])) / float(str(rows[0]["peak_mb"]))
    within = ratio <= BAR
    result = {"benchmark": "predict_memory", "rows": rows, "ratio": round(ratio, 3), "bar": BAR, "within_bar": within}
    print(json.dumps({**result, "machine": machine()}, indent=2))


if __name__ == "__main__":
    main()
