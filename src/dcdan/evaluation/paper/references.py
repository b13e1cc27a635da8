"""Figures of others to hold the paper's against: accuracies in per cent, quoted, with how each was measured."""

from __future__ import annotations

from dataclasses import dataclass

CLASSES: dict[str, int] = {"RAF-DB": 7, "FERPlus": 8, "AffectNet": 8, "ExpW": 7, "SFEW 2.0": 7, "JAFFE": 7}
"""Expressions that each data set labels, as released (RAF-DB: its basic subset)."""

IN_DOMAIN: dict[str, float] = {"RAF-DB": 92.5, "FERPlus": 91.9, "AffectNet": 67.9}
"""About the best that training on a set's own labels reaches on its test images (AffectNet: 7 classes). A model that
never saw these labels is not expected above it."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A published cross-domain result; ``mean`` as printed, None where none is."""

    name: str
    source: str
    trunk: str
    figures: tuple[tuple[str, float], ...]
    mean: float | None = None
    note: str = ""


_AGRA_TARGETS = ("CK+", "JAFFE", "SFEW 2.0", "FER2013", "ExpW")
_AGRA_NOTE = "pre-trained on millions of faces; epoch picked on target labels"
_CAFE_NOTE = "no target data at all (ECCV 2024)"

REFERENCES: tuple[Reference, ...] = (
    Reference(
        "AGRA",
        "RAF-DB",
        "ResNet-50",
        tuple(zip(_AGRA_TARGETS, (85.27, 61.50, 56.43, 58.95, 68.50), strict=True)),
        66.13,
        f"{_AGRA_NOTE}; a user who repeated CK+ got 78.29",
    ),
    Reference(
        "AGRA",
        "RAF-DB",
        "MobileNet-V2",
        tuple(zip(_AGRA_TARGETS, (72.87, 55.40, 45.64, 51.05, 63.94), strict=True)),
        57.78,
        _AGRA_NOTE,
    ),
    Reference("FTDNN", "RAF-DB", "ResNet-50", (), 60.47, "AGRA's plain source-only row, same five targets"),
    Reference("FTDNN", "RAF-DB", "MobileNet-V2", (), 55.11, "AGRA's plain source-only row, same five targets"),
    Reference("DIFC", "RAF-DB", "", (("JAFFE", 68.54), ("SFEW 2.0", 56.87), ("FER2013", 58.06), ("ExpW", 71.20))),
    Reference("CAFE", "RAF-DB", "", (("FERPlus", 73.16), ("AffectNet", 45.86), ("SFEW 2.0", 52.86)), note=_CAFE_NOTE),
    Reference("CAFE", "FERPlus", "", (("RAF-DB", 72.91), ("AffectNet", 39.44), ("SFEW 2.0", 49.38)), note=_CAFE_NOTE),
)


@dataclass(frozen=True, slots=True)
class SupervisedReference:
    """Accuracies, ``low`` to ``high``, on a set's test images: of models taught its labels, and of shipped tools."""

    name: str
    data_set: str
    low: float
    high: float
    note: str


SUPERVISED: tuple[SupervisedReference, ...] = (
    SupervisedReference("VGG13", "FERPlus", 84.0, 85.0, "in-domain, no outside faces (Barsoum et al. 2016)"),
    SupervisedReference("with face pre-training", "FERPlus", 89.0, 92.0, "in-domain, about"),
    SupervisedReference("py-feat", "RAF-DB", 65.6, 65.6, "shipped tool, 7 classes, one outside harness"),
    SupervisedReference("OpenFace 3", "RAF-DB", 51.3, 51.3, "shipped tool, 7 classes, one outside harness"),
    SupervisedReference("LibreFace", "RAF-DB", 64.6, 64.6, "shipped tool, 7 classes, one outside harness"),
)
