"""The share of step time that waits for data, in a short real adaptation of drawn faces.

    python benchmarks/data_wait.py [--trunk mobilenetv2_100] [--size 64] [--faces 400] [--out RUN] [--threads 1]

Packs are read from disk by the loop's own thread; the loop logs the share in ``log.jsonl``. The run is left at
``--out`` when that is given. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

import torch
from machine import machine

from dcdan.training.run import train_run
from dcdan.training.settings import read_settings

BAR = 0.02


def measure(trunk: str, size: int, faces: int, out: Path, threads: int) -> dict[str, object]:
    """Train and read the log."""
    torch.set_num_threads(threads)
    settings = read_settings(
        None,
        ["source.epochs=3", "source.batch=32", "adaptation.epochs=2", "adaptation.batch=32", "pretrained=no",
         "precision=fp32", f"network.trunk={trunk}"],
        size=size,
    )  # fmt: skip
    train_run(f"synthetic:studio?n={faces}", f"synthetic:street?n={faces}", out, settings, quiet=True)
    records = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    last = [record for record in records if record["kind"] == "adaptation"][-1]
    return {
        "benchmark": "data_wait",
        "trunk": trunk,
        "size": size,
        "faces_per_step": 2 * settings.adaptation.batch,
        "steps": last["step"],
        "threads": threads,
        "faces_per_second": round(last["rate"], 1),
        "wait_share": round(last["wait"], 5),
        "bar": BAR,
        "within_bar": last["wait"] <= BAR,
        "machine": machine(),
    }


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trunk", default="mobilenetv2_100")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--faces", type=int, default=400, help="of each domain")
    parser.add_argument("--out", type=Path, help="folder that keeps the run")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DCDAN_CACHE"] = str(Path(folder) / "packs")
        out = given.out or Path(folder) / "run"
        print(json.dumps(measure(given.trunk, given.size, given.faces, out, given.threads), indent=2))


if __name__ == "__main__":
    main()
