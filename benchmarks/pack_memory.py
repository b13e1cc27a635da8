"""Peak memory of packing few and many pictures of one folder: the same, or packing does not scale.

    python benchmarks/pack_memory.py 1000 100000 [--workers 2]

Small drawn JPEGs (48 pixels, hard links to a thousand files) lie in one folder, whose names alone would fill memory if
they were kept; they are packed with `align=none` by a fresh process each time. With several workers the least count is
raised to what gives each of them work, so that the same processes are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

BAR = 1.1
SIDE = 48
DRAWN = 1000
LEAST_PARALLEL = 2000


def write_pictures(folder: Path, count: int) -> None:
    """Write so many small JPEGs; after the first thousand they are hard links."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for index in range(count):
        path = folder / f"picture_{index:08d}.jpg"
        if index < DRAWN:
            noise = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
            cv2.imwrite(str(path), cv2.GaussianBlur(noise, (9, 9), 3))
        else:
            os.link(folder / f"picture_{index % DRAWN:08d}.jpg", path)


def peak_megabytes() -> float:
    """Return the most memory that this process had, in MB."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii")
        kilobytes = next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM"))
    except OSError:  # Not Linux. There, the figure of getrusage would include the process that started this one.
        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes * 1024 / 1e6


def pack_here(folder: Path, workers: int) -> dict[str, Any]:
    """Pack a folder in this process and return what it took."""
    from dcdan.datasets.spec import open_reader, parse_spec
    from dcdan.packs.build import build_pack

    with tempfile.TemporaryDirectory() as scratch:
        reader = open_reader(parse_spec(f"folder:{folder}"))
        pack = build_pack(reader, Path(scratch) / "pack", size=SIDE, align="none", workers=workers, progress=False)
        rows = pack.info.counts.rows
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    return {
        "pictures": rows,
        "workers": workers,
        "peak_mb": round(peak_megabytes(), 1),
        "largest_worker_mb": round(largest, 1) if workers > 1 else None,
    }


def measured(folder: Path, workers: int) -> dict[str, Any]:
    """Pack a folder in a fresh process."""
    command = [sys.executable, __file__, "--folder", str(folder), "--workers", str(workers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def memory(counts: Sequence[int], workers: int) -> dict[str, Any]:
    """Return the peaks at all counts, in one process and with workers, and the largest over the least peak of each."""
    result: dict[str, Any] = {"bar": BAR, "rows": [], "ratios": {}}
    with tempfile.TemporaryDirectory() as scratch:
        for used in sorted({1, workers}):
            wanted = sorted({count if used == 1 else max(count, LEAST_PARALLEL) for count in counts})
            rows = []
            for count in wanted:
                folder = Path(scratch) / str(count)
                if not folder.exists():
                    write_pictures(folder, count)
                rows.append(measured(folder, used))
            result["rows"] += rows
            result["ratios"][str(used)] = round(rows[-1]["peak_mb"] / rows[0]["peak_mb"], 3)
    result["within_bar"] = max(result["ratios"].values()) <= BAR
    return result


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("counts", type=int, nargs="*", default=[1000, 100_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="pack this folder in this process and print its peak")
    given = parser.parse_args()
    print(json.dumps(pack_here(given.folder, given.workers) if given.folder else memory(given.counts, given.workers)))


if __name__ == "__main__":
    main()
