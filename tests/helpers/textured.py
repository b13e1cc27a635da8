"""Pictures with structure at several scales, as photographs have, of which no two seeds are alike."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from dcdan.datasets.reader import Reader, ReaderOptions, Sample

FOUR = ("surprise", "fear", "disgust", "happiness")


def texture(seed: int, side: int = 96) -> np.ndarray:
    """Return (side, side, 3) uint8 between 30 and 200, grey levels that vary over 3, 8 and 20 patches a side."""
    rng = np.random.default_rng(seed)
    field = np.zeros((side, side), np.float32)
    for patches, weight in ((3, 1.0), (8, 0.8), (20, 0.4)):
        patch = rng.standard_normal((patches, patches)).astype(np.float32)
        field += weight * cv2.resize(patch, (side, side), interpolation=cv2.INTER_CUBIC)
    field -= field.min()
    return np.repeat((30 + 170 * field / field.max()).astype(np.uint8)[:, :, None], 3, axis=2)


def stored_again(picture: np.ndarray, quality: int = 75) -> np.ndarray:
    """Return the picture after JPEG."""
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def brighter(picture: np.ndarray, gain: float = 1.1, lift: float = 8.0) -> np.ndarray:
    """Return the picture with other grey levels; none is cut off."""
    return np.clip(gain * picture + lift, 0, 255).astype(np.uint8)


def write(path: Path, picture: np.ndarray) -> Path:
    """Write a picture, without loss if the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)
    return path


class Published(Reader):
    """`{split}-{class}-{name}` files in one folder; `table` lists them whether they are there or not."""

    name = "published"
    title = "Published"
    licence = "none"
    classes = FOUR
    numbers: dict[str, dict[str, int]]

    def __init__(
        self, root: Path, table: list[str], numbers: dict[str, dict[str, int]] | None = None, **options: object
    ):
        super().__init__(root, ReaderOptions.model_validate(options))
        self.table, self.numbers = table, numbers or {}

    def official(self) -> dict[str, dict[str, int]]:
        return self.numbers

    def samples(self):  # type: ignore[no-untyped-def]
        for line, name in enumerate(self.table, 1):
            split, label, *_ = name.split("-")
            if label != "none" and label not in FOUR:
                self.damaged(Path("table.csv"), line, f"class '{label}'")
                continue
            yield Sample(name, FOUR.index(label) if label in FOUR else -1, split=split)
