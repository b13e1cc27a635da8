"""Small data sets that tests write: pictures of plain shapes in the layouts of the real ones."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

FERPLUS_HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def picture(seed: int, side: int = 24, channels: int = 3) -> np.ndarray:
    """Return (side, side, 3) uint8: an ellipse on a plain ground, grey when `channels` is 1."""
    rng = np.random.default_rng(seed)
    ground, colour = rng.integers(0, 256, (2, 3))
    image = np.empty((side, side, 3), np.uint8)
    image[:] = ground if channels == 3 else ground[0]
    centre, axes = (side // 2, side // 2), (side // 3, side // 4)
    fill = [int(value) for value in (colour if channels == 3 else colour[[0, 0, 0]])]
    return np.asarray(cv2.ellipse(image, centre, axes, int(rng.integers(180)), 0, 360, fill, -1), np.uint8)


def write_picture(path: Path, seed: int = 0, side: int = 24, channels: int = 3) -> Path:
    """Write `picture` to a file, whose suffix chooses the format, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture(seed, side, channels)[:, :, ::-1])
    return path


def write_classes(root: Path, counts: dict[str, int], side: int = 24) -> Path:
    """Write a folder per name with so many pictures, and return the root."""
    for folder, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            write_picture(root / name / f"{index:04d}.png", 1000 * folder + index, side)
    return root


def write_ferplus(root: Path, rows: Sequence[tuple[str, str, Sequence[int]]], missing: Sequence[str] = ()) -> Path:
    """Write fer2013new.csv from (usage, name, ten votes) and the pictures of all named rows but `missing`."""
    folders = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
    for folder in folders.values():
        (root / "data" / folder).mkdir(parents=True, exist_ok=True)
    with (root / "fer2013new.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(FERPLUS_HEADER.split(","))
        for index, (usage, name, votes) in enumerate(rows):
            table.writerow([usage, name, *votes])
            if name and name not in missing:
                write_picture(root / "data" / folders[usage] / name, index, 48, channels=1)
    return root


def file_bytes(folder: Path) -> dict[str, bytes]:
    """Return file name -> content of everything in a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
