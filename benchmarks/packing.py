"""How fast faces are packed, and in how much memory: with `align=none` and with MTCNN, as JSON.

    python benchmarks/packing.py ferplus:/data/FERPlus?votes=argmax --workers 2

The bar of design.md is 60 seconds for 35,710 FERPlus crops with `align=none` on two cores. MTCNN is timed on a sample
of the same data (`--mtcnn-limit`). The rate per core is faces over the processor's time in all processes, their start
included, which other work on the machine does not lengthen. Memory: see pack_memory.py.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pack_memory import memory

from dcdan.datasets.spec import Spec, open_reader, parse_spec
from dcdan.jobs.workers import cores
from dcdan.packs.build import build_pack


def processor_seconds() -> float:
    """Return the processor's time of this process and of its children that have ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def timed(spec: Spec, align: Literal["mtcnn", "none"], size: int, workers: int) -> dict[str, Any]:
    """Build the pack of a spec once in a scratch folder and say how long it took."""
    with tempfile.TemporaryDirectory() as folder:
        start, worked = time.perf_counter(), processor_seconds()
        pack = build_pack(
            open_reader(spec), Path(folder) / "pack", size=size, align=align, workers=workers, progress=False
        )
        seconds, worked = time.perf_counter() - start, processor_seconds() - worked
        size_mb = sum(path.stat().st_size for path in pack.folder.iterdir()) / 1e6
        return {
            "align": align,
            "faces": len(pack),
            "seconds": round(seconds, 2),
            "faces_per_second": round(len(pack) / seconds, 1),
            "processor_seconds": round(worked, 2),
            "faces_per_second_and_core": round(len(pack) / worked, 1),
            "statuses": pack.info.counts.statuses,
            "megabytes": round(size_mb, 1),
        }


def main() -> None:
    """Read the command line, time both alignments, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("spec", help="for instance ferplus:/data/FERPlus?votes=argmax")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--mtcnn-limit", type=int, default=4000, help="faces that MTCNN is timed on; 0 leaves it out")
    parser.add_argument(
        "--memory",
        type=int,
        nargs="*",
        default=[1000, 100_000],
        help="pictures to compare peaks at; none leaves it out",
    )
    given = parser.parse_args()
    spec = parse_spec(given.spec)
    rows = [timed(spec, "none", given.size, given.workers)]
    if given.mtcnn_limit:
        sample = replace(spec, options={**spec.options, "limit": str(given.mtcnn_limit)})
        rows.append(timed(sample, "mtcnn", given.size, given.workers))
    result: dict[str, Any] = {"size": given.size, "workers": given.workers, "cores": cores(), "packing": rows}
    if given.memory:
        result["memory"] = memory(given.memory, given.workers)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
