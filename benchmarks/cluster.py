"""The rates of predicting and packing on Ray against those of one process, on the same pictures, and bytes, as JSON.

    python benchmarks/cluster.py FOLDER --pictures 512

One process, Ray with one piece of work at a time, and Ray with one for each core take turns; ratios of rates are
medians over the rounds, by the wall clock, with Ray already started. The rate of a core is by the processor's own time
of the process alone, which other work on the machine does not lengthen. Bytes are those of a face in a pack and of a
row.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

from timing import interleaved

from dcdan.core.atomic_io import Form
from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.images.discover import find_pictures
from dcdan.inference.predict import predict_to_file
from dcdan.inference.recogniser import load
from dcdan.jobs.cluster import Cluster
from dcdan.jobs.workers import cores
from dcdan.packs.build import build_pack
from dcdan.packs.pack import Pack

Job = Callable[[Path, Cluster | None], object]


def packed(folder: Path, size: int, out: Path, cluster: Cluster | None) -> Pack:
    """Pack the pictures as `dcdan pack` does."""
    reader = open_reader(parse_spec(f"folder:{folder}"))
    return build_pack(reader, out, size=size, workers=1, progress=False, cluster=cluster)


def timed(job: Job, pictures: int, scratch: Path, rounds: int) -> dict[str, Any]:
    """Let the three ways take turns at a job, and say how they compare."""
    numbers = count()
    ways = {"one process": None, "ray, one piece": Cluster("local", threads=cores()), "ray": Cluster("local")}
    runs = {name: partial(lambda way: job(scratch / str(next(numbers)), way), way) for name, way in ways.items()}
    times = interleaved(runs, rounds, warm=0, threads=cores())
    began = time.process_time()
    runs["one process"]()
    worked = time.process_time() - began
    return {
        "pictures_per_second_and_core": round(pictures / worked, 1),
        "pictures_per_second": {name: round(pictures / times.least(name), 1) for name in ways},
        "ratios_of_rates": {name: round(1 / times.ratio(name, "one process"), 2) for name in list(ways)[1:]},
        "spread": {
            name: sorted(round(1 / ratio, 2) for ratio in times.spread(name, "one process")) for name in list(ways)[1:]
        },
    }


def bytes_each(model: Any, folder: Path, scratch: Path, size: int) -> dict[str, Any]:
    """Return the bytes of a picture, of a face in a pack, and of a row of each form of table."""
    pictures = list(folder.iterdir())
    pack = packed(folder, size, scratch / "pack", None)
    rows = {}
    for form in Form:
        out = scratch / f"faces{form}"
        summary = predict_to_file(model, [folder], out, form)
        rows[form.value] = round(out.stat().st_size / sum(summary.statuses.values()), 1)
    stored = sum(path.stat().st_size for path in pack.folder.iterdir())
    return {
        "picture": round(sum(path.stat().st_size for path in pictures) / len(pictures)),
        "face_in_pack": round(stored / len(pack)),
        "row": rows,
    }


def main() -> None:
    """Read the command line, time both jobs, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photos", type=Path, help="folder of photographs")
    parser.add_argument("--pictures", type=int, default=512)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    model = load(threads=1)
    with tempfile.TemporaryDirectory() as name, Cluster("local"):
        scratch, folder = Path(name), Path(name) / "pictures"
        folder.mkdir()
        for path in islice(find_pictures(given.photos), given.pictures):
            (folder / path.name).write_bytes(path.read_bytes())
        pictures = sum(1 for _ in folder.iterdir())

        def predicted(out: Path, cluster: Cluster | None) -> object:
            return predict_to_file(model, [folder], out.with_suffix(".csv"), cluster=cluster)

        result: dict[str, Any] = {"pictures": pictures, "size": given.size, "cores": cores()}
        result["predict"] = timed(predicted, pictures, scratch, given.rounds)
        result["pack"] = timed(partial(packed, folder, given.size), pictures, scratch, given.rounds)
        result["bytes"] = bytes_each(model, folder, scratch, given.size)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
