"""Packs and settings for whole trainings of a second: about sixty drawn faces in each domain, and a tiny trunk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dcdan.datasets.reader import Reader, ReaderOptions, Sample
from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.packs.build import build_pack
from dcdan.training.settings import RunSettings, read_settings

SIZE = 32
TRUNK = "test_byobnet"
VOLATILE = ("time", "rate", "wait")


def drawn(folder: Path, domain: str, n: int = 63, seed: int = 0, size: int = SIZE) -> Path:
    """Pack ``n`` drawn faces of a domain into ``folder/domain`` and return that."""
    spec = f"synthetic:{domain}?n={n}&seed={seed}&size=48"
    reader = open_reader(parse_spec(spec))
    build_pack(reader, folder / domain, size=size, align="none", workers=1, progress=False, spec_text=spec)
    return folder / domain


def both(folder: Path) -> tuple[Path, Path]:
    """Pack a source of grey faces and a target of coloured ones."""
    return drawn(folder, "studio"), drawn(folder, "street")


def tiny(*assignments: str, **given: Any) -> RunSettings:
    """Return settings of a run that takes about a second: a dozen steps in each stage."""
    base = [
        "pretrained=no",
        "precision=fp32",
        "device=cpu",
        f"network.trunk={TRUNK}",
        "network.width=32",
        "network.groups=4",
        "source.batch=8",
        "source.epochs=2",
        "adaptation.batch=8",
        "adaptation.epochs=2",
    ]
    return read_settings(None, [*base, *assignments], size=SIZE, **given)


def quick(*assignments: str, method: str = "dcdan") -> RunSettings:
    """Return settings of a tiny run that learns a little, collapses nowhere, and in DCD-DAN counts pseudo-labels."""
    base = ["source.epochs=3", "source.lr=0.02", "adaptation.epochs=2", "adaptation.lr=0.005"]
    if method == "dcdan":
        base += ["options.threshold_floor=0", "options.relative_threshold=0.2", "options.ramp=0.1"]
    return tiny(*base, *assignments, method=method)


def records(run: Path) -> list[dict[str, Any]]:
    """Return the records of a run's log, without what depends on the clock."""
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in VOLATILE} for line in lines]


class Listed(Reader):
    """A reader over samples that a test lists; picture i is plain, of grey value i."""

    name = "listed"
    title = "Listed samples"
    licence = "Apache-2.0"
    needs_path = False

    def __init__(self, classes: tuple[str, ...], listing: Sequence[Sample]) -> None:
        super().__init__(None, ReaderOptions())
        self.classes = classes
        self.listing = listing

    def samples(self) -> Iterator[Sample]:
        """Yield the listed samples."""
        yield from self.listing

    def load(self, sample: Sample) -> np.ndarray:
        """Return the picture (SIZE, SIZE, 3) of a sample whose path is its number."""
        return np.full((SIZE, SIZE, 3), int(sample.path), np.uint8)


def listed(folder: Path, classes: tuple[str, ...], rows: Sequence[tuple[str, str]], **more: Sequence[Any]) -> Path:
    """Pack one face for each (class name or '', split) into ``folder``; ``more`` are other fields of the samples."""
    samples = [
        Sample(
            path=str(index),
            label=classes.index(name) if name else -1,
            split=split,
            **{field: values[index] for field, values in more.items()},
        )
        for index, (name, split) in enumerate(rows)
    ]
    build_pack(Listed(classes, samples), folder, size=SIZE, align="none", workers=1, progress=False, spec_text="listed")
    return folder
