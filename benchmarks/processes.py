"""How much faster two processes train than one, by torchrun, the whole batch the same; one thread each.

    python benchmarks/processes.py [--trunk mobilenetv2_100] [--size 64] [--batch 64] [--rounds 1]

Runs of the same few steps on drawn faces take turns; what counts is the median time between the records that the loop
logs after its first 20 steps, so that starting is left out. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import median

from machine import machine

from dcdan.core.limits import read_log


def step_seconds(count: int, arguments: list[str], out: Path, environment: dict[str, str]) -> float:
    """Train with so many processes and return the seconds of an adaptation step."""
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", str(count), "--master-port", "29555"]
    command = [sys.executable, *launch, "-m", "dcdan", "adapt", "--quiet", "--out", str(out), *arguments]
    subprocess.run(command, check=True, env=environment, stdout=sys.stderr)
    times = [(r["step"], r["time"]) for r in read_log(out / "log.jsonl") if r["kind"] == "adaptation"]
    return median((t2 - t1) / (s2 - s1) for (s1, t1), (s2, t2) in pairwise(times))


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trunk", default="mobilenetv2_100")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument(
        "--batch", type=int, default=64, help="faces of each domain in a step, of all processes together"
    )
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    faces = 60 * given.batch
    values = {
        "pretrained": "no", "precision": "fp32", "source.epochs": 0.1, "adaptation.epochs": 1,
        "source.batch": given.batch, "adaptation.batch": given.batch, "checkpoint_every": 1000,
    }  # fmt: skip
    arguments = [
        *("-s", f"synthetic:studio?n={faces}"),
        *("-t", f"synthetic:street?n={faces}"),
        "--size",
        str(given.size),
    ]
    arguments += [
        "--trunk",
        given.trunk,
        *(word for pair in values.items() for word in ("--set", "=".join(map(str, pair)))),
    ]
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "DCDAN_CACHE": str(Path(folder) / "packs")}
        for turn in range(given.rounds):
            for count, found in seconds.items():
                found.append(step_seconds(count, arguments, Path(folder) / f"run{turn}-{count}", environment))
    one, two = (median(found) for found in seconds.values())
    print(
        json.dumps(
            {
                "benchmark": "processes",
                "trunk": given.trunk,
                "size": given.size,
                "faces_per_step": 2 * given.batch,
                "step_seconds": {"1": round(one, 4), "2": round(two, 4)},
                "speed_up": round(one / two, 3),
                "machine": machine(),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
