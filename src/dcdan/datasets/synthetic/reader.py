"""The reader `synthetic:studio` and `synthetic:street`: synthetic faces instead of a data set on disk.

Face i of a domain and seed is the same for any number of faces, in any order and in any process. Each person has as
many faces as there are classes, and belongs to one split. Every sample has a subject.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from dcdan.core.errors import UsageError, unknown
from dcdan.datasets.reader import Reader, ReaderOptions, Sample
from dcdan.datasets.registry import register
from dcdan.datasets.synthetic.domains import DOMAINS, Scene, render, set_up
from dcdan.datasets.synthetic.identity import Identity, draw_identity
from dcdan.expressions import EXPRESSIONS

_FACE, _PERSON, _ORDER, _SPLIT = range(4)
_GOLDEN = 0.6180339887498949
_UNEVEN = {
    "surprise": 0.12,
    "fear": 0.06,
    "disgust": 0.07,
    "happiness": 0.31,
    "sadness": 0.15,
    "anger": 0.08,
    "neutral": 0.21,
    "contempt": 0.05,
}


class SyntheticOptions(ReaderOptions):
    """Options of the reader: number and type of faces. The seed determines the people and everything else."""

    seed: int = Field(0, ge=0, description="another seed draws other people and other faces")
    n: int = Field(2000, ge=1, le=10_000_000, description="how many faces")
    size: int = Field(112, ge=32, le=1024, description="side of a picture in pixels")
    classes: Literal[7, 8] = Field(7, description="8 adds contempt")
    balance: Literal["even", "uneven"] = Field("even", description="as many faces of each class, or as in photographs")
    test_share: float = Field(0.25, ge=0.0, lt=1.0, description="share of the people in the split test")
    validation_share: float = Field(0.1, ge=0.0, lt=1.0, description="share of the people in the split validation")

    @model_validator(mode="before")
    @classmethod
    def _number_of_classes(cls, values: object) -> object:
        # A spec contains text, which a Literal of numbers rejects.
        if isinstance(values, dict) and values.get("classes") in ("7", "8"):
            return {**values, "classes": int(values["classes"])}
        return values

    @model_validator(mode="after")
    def _something_to_train_on(self) -> SyntheticOptions:
        if self.test_share + self.validation_share >= 1.0:
            raise ValueError("test_share and validation_share leave nothing to train on")
        return self


@register
class SyntheticReader(Reader):
    """Reader of synthetic faces; the path is the domain, `studio` or `street`.

    On the command line: `dcdan pack 'synthetic:street?n=500' --out packs/street`.

    Example:
        >>> reader = SyntheticReader(Path("studio"), SyntheticOptions(n=2, size=32))
        >>> [sample.split for sample in reader.samples()][0] in ("train", "validation", "test")
        True
    """

    name = "synthetic"
    title = "Drawn faces"
    licence = "Apache-2.0"
    Options = SyntheticOptions
    needs_path = False
    split_rule = "by person, drawn by the seed"
    cropped = True
    options: SyntheticOptions

    def __init__(self, root: Path | None, options: ReaderOptions) -> None:
        super().__init__(root, options)
        if root is None:
            raise UsageError("Drawn faces need a domain: write synthetic:studio or synthetic:street.")
        if str(root) not in DOMAINS:
            raise unknown("domain of synthetic", str(root), DOMAINS)
        self.domain = str(root)
        self.channels = 1 if self.domain == "studio" else 3
        self.classes = EXPRESSIONS[: self.options.classes]

    def samples(self) -> Iterator[Sample]:
        """Yield faces 0 to n - 1 with their exact landmarks in pixels; nothing is painted yet."""
        for index in range(self.options.n):
            person = index // len(self.classes)
            scene, _ = self._scene(index)
            yield Sample(
                path=f"{self.domain}/{person:06d}/{index:07d}",
                label=self._label(index),
                split=self._split(person),
                subject=f"{self.domain}-{self.options.seed}-{person}",
                landmarks=tuple((float(x), float(y)) for x, y in scene.landmarks * self.options.size),
            )

    def load(self, sample: Sample) -> np.ndarray:
        """Draw the image of a sample.

        Args:
            sample: A sample of this reader.

        Returns:
            ``(size, size, 3) uint8`` RGB.
        """
        scene, rng = self._scene(int(sample.path.rpartition("/")[2]))
        return render(rng, scene, self.options.size)

    def _rng(self, index: int, use: int) -> np.random.Generator:
        entropy = [self.options.seed, DOMAINS.index(self.domain), index, use]
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))

    def _scene(self, index: int) -> tuple[Scene, np.random.Generator]:
        """Return a composed face and the random number generator for painting it."""
        rng = self._rng(index, _FACE)
        person = _person(self.options.seed, DOMAINS.index(self.domain), index // len(self.classes))
        return set_up(rng, self.classes[self._label(index)], self.domain, person), rng

    def _label(self, index: int) -> int:
        count = len(self.classes)
        if self.options.balance == "even":
            order = self._rng(index // count, _ORDER).permutation(count)
            return int(order[index % count])
        shares = np.cumsum([_UNEVEN[name] for name in self.classes])
        return int(np.searchsorted(shares, self._rng(index, _ORDER).random() * shares[-1], side="right"))

    def _split(self, person: int) -> str:
        """Spread the people evenly over 0..1 from a seeded offset, so that small sets contain all splits."""
        place = (self._rng(0, _SPLIT).random() + person * _GOLDEN) % 1.0
        if place < self.options.test_share:
            return "test"
        return "validation" if place < self.options.test_share + self.options.validation_share else "train"


@lru_cache(maxsize=256)
def _person(seed: int, domain: int, index: int) -> Identity:
    sequence = np.random.SeedSequence([seed, domain, index, _PERSON])
    return draw_identity(np.random.Generator(np.random.PCG64(sequence)))
