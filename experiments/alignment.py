"""Does alignment help: ``python experiments/alignment.py --pack packs/lfw64 --pictures data/facial_expressions``.

The model in the package names the test faces of an aligned pack, and the same faces cut from their pictures by the box
that the detector found, squared and enlarged by several factors, without turning or scaling by the eyes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from dcdan.evaluation.evaluate import labels_among
from dcdan.images.decode import decode
from dcdan.inference.recogniser import load
from dcdan.metrics.intervals import wilson
from dcdan.packs.pack import Pack

ENLARGED = (1.0, 1.2, 1.4, 1.6)


def cut(picture: np.ndarray, box: np.ndarray, factor: float, size: int) -> np.ndarray:
    """Return the square ``(size, size, 3)`` around a box (left, top, right, bottom), the border repeated."""
    side = float(max(box[2] - box[0], box[3] - box[1])) * factor
    corner = (box[:2] + box[2:]) / 2 - side / 2
    to_face = np.array([[size / side, 0, -corner[0] * size / side], [0, size / side, -corner[1] * size / side]])
    flags = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return cv2.warpAffine(picture, to_face, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def main() -> None:
    """Print accuracies in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True, help="folder below which the pack's paths lie")
    given = parser.parse_args()
    recogniser, pack = load(threads=1), Pack.open(given.pack)
    labels = labels_among(recogniser.classes, pack)
    rows = pack.select("test")
    rows = rows[labels[rows] >= 0]
    pictures = [decode((given.pictures / path).read_bytes()) for path in pack.paths[rows]]
    ways = {"aligned by five points": np.asarray(pack.faces[rows])}
    for factor in ENLARGED:
        faces = [cut(p, b, factor, pack.size) for p, b in zip(pictures, pack.boxes[rows], strict=True)]
        ways[f"the detector's box x {factor}"] = np.stack(faces)
    print("| faces | accuracy % | 95 % interval |\n|---|---|---|")
    for name, faces in ways.items():
        right = int((recogniser.recognise_faces(faces).expression == labels[rows]).sum())
        low, high = wilson(right, len(rows))
        print(f"| {name} | {100 * right / len(rows):.1f} | {100 * low:.1f} to {100 * high:.1f} |", flush=True)


if __name__ == "__main__":
    main()
