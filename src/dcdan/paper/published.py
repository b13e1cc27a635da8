"""Quotations: the four tables of the paper, the figures of its text, and published figures of others.

Alzahrani et al., "A novel facial expression recognition framework using deep learning based dynamic cross-domain dual
attention network", PeerJ Computer Science 2025, doi 10.7717/peerj-cs.2866. All figures are accuracies in per cent
unless stated otherwise. Nothing here is computed: :mod:`dcdan.paper.recomputed` does that.
"""

from __future__ import annotations

from dataclasses import dataclass

OURS = "DCD-DAN"
RESNET, MOBILENET = "ResNet-50", "MobileNet-V2"


@dataclass(frozen=True, slots=True)
class PaperRow:
    """The accuracies of one method in one table, per cent.

    Attributes:
        method: name of the method.
        backbone: trunk that the row names.
        figures: accuracy on each target, in the order of the targets of the table.
        mean: the printed mean.
    """

    method: str
    backbone: str
    figures: tuple[float, ...]
    mean: float


@dataclass(frozen=True, slots=True)
class PaperTable:
    """One of the tables 1 to 4.

    Attributes:
        number: number of the table.
        source: name of the source data set.
        trunk: trunk of the caption, which only the row of DCD-DAN has.
        targets: names of the target data sets.
        rows: the rows as printed.
    """

    number: int
    source: str
    trunk: str
    targets: tuple[str, ...]
    rows: tuple[PaperRow, ...]

    def row(self, method: str) -> PaperRow:
        """Return the row of a method.

        Args:
            method: its name as printed.

        Raises:
            KeyError: when the table has no such row.
        """
        for row in self.rows:
            if row.method == method:
                return row
        raise KeyError(method)

    @property
    def ours(self) -> PaperRow:
        """The row of DCD-DAN, the method of the paper."""
        return self.row(OURS)

    @property
    def baselines(self) -> tuple[PaperRow, ...]:
        """The rows of all other methods."""
        return tuple(row for row in self.rows if row.method != OURS)


def _rows(trunk: str, *printed: tuple[float, ...]) -> tuple[PaperRow, ...]:
    named = (*BASELINES, (OURS, trunk))
    return tuple(
        PaperRow(method, backbone, figures[:-1], figures[-1])
        for (method, backbone), figures in zip(named, printed, strict=True)
    )


BASELINES: tuple[tuple[str, str], ...] = (
    ("SCN", "DarkNet-19"),
    ("RAN", "VGGNet"),
    ("EfficientFace", "Customized"),
    ("CSG", "Inception"),
    ("DGL", "VGGNet"),
)
"""Method and the trunk that all four tables print for it."""

_TO_RAF_DB = ("RAF-DB", "AffectNet", "ExpW", "SFEW 2.0", "JAFFE")
_TO_FERPLUS = ("FERPlus", "AffectNet", "ExpW", "SFEW 2.0", "JAFFE")

TABLES: tuple[PaperTable, ...] = (
    PaperTable(
        1,
        "FERPlus",
        RESNET,
        _TO_RAF_DB,
        _rows(
            RESNET,
            (71.44, 58.76, 64.35, 51.08, 42.84, 54.25),
            (77.94, 59.31, 67.03, 47.46, 40.61, 53.65),
            (74.12, 60.72, 60.38, 48.31, 33.72, 50.78),
            (67.49, 56.84, 65.39, 40.66, 38.52, 50.35),
            (75.09, 53.92, 56.22, 41.53, 40.19, 47.96),
            (93.18, 82.13, 78.37, 72.47, 70.68, 75.91),
        ),
    ),
    PaperTable(
        2,
        "FERPlus",
        MOBILENET,
        _TO_RAF_DB,
        _rows(
            MOBILENET,
            (68.71, 61.55, 53.81, 52.18, 44.15, 52.92),
            (69.43, 59.31, 59.39, 42.73, 39.24, 50.16),
            (70.05, 57.43, 53.32, 45.38, 32.82, 47.25),
            (64.92, 52.94, 51.04, 43.29, 32.58, 44.96),
            (68.43, 50.19, 59.63, 45.55, 34.17, 47.38),
            (91.72, 62.75, 72.18, 59.82, 63.18, 64.48),
        ),
    ),
    PaperTable(
        3,
        "RAF-DB",
        RESNET,
        _TO_FERPLUS,
        _rows(
            RESNET,
            (64.18, 56.73, 57.25, 43.81, 37.84, 48.95),
            (69.41, 54.82, 54.73, 42.16, 40.11, 47.95),
            (68.83, 52.24, 50.78, 40.17, 39.18, 45.55),
            (66.72, 50.26, 59.92, 42.16, 33.85, 46.55),
            (63.54, 51.09, 51.72, 39.86, 32.46, 43.75),
            (92.37, 73.89, 78.37, 64.76, 62.68, 69.95),
        ),
    ),
    PaperTable(
        4,
        "RAF-DB",
        MOBILENET,
        _TO_FERPLUS,
        _rows(
            MOBILENET,
            (61.44, 49.76, 52.19, 42.08, 37.84, 45.45),
            (63.24, 50.71, 52.33, 48.46, 40.55, 48.25),
            (63.92, 51.59, 50.34, 43.31, 41.72, 46.74),
            (60.01, 48.04, 52.61, 38.66, 34.52, 43.75),
            (65.69, 52.72, 53.82, 45.53, 44.19, 49.05),
            (91.02, 70.53, 76.43, 65.71, 61.12, 68.75),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class ProseFigures:
    """What the text states of the DCD-DAN row of a table.

    Attributes:
        table: number of the table.
        figures: accuracies in the order of its targets.
        mean: the mean.
    """

    table: int
    figures: tuple[float, ...]
    mean: float


@dataclass(frozen=True, slots=True)
class ProseSpread:
    """Statistics "across all datasets" that the text gives for a trunk.

    Attributes:
        trunk: name of the trunk.
        mean: mean accuracy.
        sd: standard deviation.
        low: lower end of the 95 % confidence interval.
        high: upper end.
    """

    trunk: str
    mean: float
    sd: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ProseAnova:
    """The analysis of variance between the two trunks. The text does not state the source.

    Attributes:
        f: the F statistic.
        p_value: its probability, 0..1.
    """

    f: float
    p_value: float


@dataclass(frozen=True, slots=True)
class ProseGain:
    """The lead of DCD-DAN over the best baseline of a table, as the text states it.

    Attributes:
        table: number of the table.
        baseline: name of the baseline.
        points: difference of the means, percentage points.
        decimals: number of decimals with which it is printed.
    """

    table: int
    baseline: str
    points: float
    decimals: int


@dataclass(frozen=True, slots=True)
class ProseAblation:
    """A drop "in accuracy" of an ablation, with what the text states about its measurement.

    Attributes:
        removed: the removed part.
        drop: the drop; the text does not state whether in per cent or in points.
        source: source data set; None where it is not stated, as for the following.
        target: target data set.
        trunk: trunk.
        unit: unit of the drop.
    """

    removed: str
    drop: float
    source: str | None = None
    target: str | None = None
    trunk: str | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class ConfusionFigure:
    """A figure of the paper that shows a confusion matrix.

    Attributes:
        number: number of the figure.
        data_set: data set of the matrix.
        categories: number of categories that the text states.
    """

    number: int
    data_set: str
    categories: int


ABSTRACT: tuple[tuple[str, float], ...] = (
    ("RAF-DB", 93.18),
    ("FERPlus", 92.35),
    ("AffectNet", 82.13),
    ("ExpW", 78.37),
    ("SFEW 2.0", 72.47),
    ("JAFFE", 70.68),
)
PROSE: tuple[ProseFigures, ...] = (
    ProseFigures(1, (93.18, 74.13, 75.37, 61.47, 65.68), 69.16),
    ProseFigures(2, (91.72, 62.75, 72.18, 59.82, 63.18), 64.48),
    ProseFigures(3, (92.37, 73.89, 78.37, 64.76, 62.68), 69.95),
    ProseFigures(4, (91.02, 70.53, 76.43, 65.71, 61.12), 68.75),
)
SPREADS: tuple[ProseSpread, ...] = (
    ProseSpread(RESNET, 69.93, 13.03, 53.75, 86.11),
    ProseSpread(MOBILENET, 79.37, 8.98, 68.22, 90.51),
)
ANOVA = ProseAnova(1.78, 0.219)
GAINS: tuple[ProseGain, ...] = (ProseGain(1, "SCN", 21.66, 2), ProseGain(4, "DGL", 19.7, 1))
SIGNIFICANCE = 0.05
"""The text: paired t-tests against the best baselines gave p below this, values not printed."""
ABLATIONS: tuple[ProseAblation, ...] = (
    ProseAblation("dual attention", 9.3),
    ProseAblation("adversarial alignment", 7.5),
)
CONFUSIONS: tuple[ConfusionFigure, ...] = (ConfusionFigure(4, "FERPlus", 8), ConfusionFigure(5, "RAF-DB", 8))


def table(number: int) -> PaperTable:
    """Return a table of the paper.

    Args:
        number: its number, 1..4.

    Raises:
        KeyError: for another number.

    Example:
        >>> table(2).source, table(2).trunk, table(2).ours.mean
        ('FERPlus', 'MobileNet-V2', 64.48)
    """
    for candidate in TABLES:
        if candidate.number == number:
            return candidate
    raise KeyError(number)


CLASSES: dict[str, int] = {"RAF-DB": 7, "FERPlus": 8, "AffectNet": 8, "ExpW": 7, "SFEW 2.0": 7, "JAFFE": 7}
"""Expressions that each data set labels, as released (RAF-DB: its basic subset)."""

IN_DOMAIN: dict[str, float] = {"RAF-DB": 92.5, "FERPlus": 91.9, "AffectNet": 67.9}
"""About the best that training on a set's own labels reaches on its test images (AffectNet: 7 classes). A model that
never saw these labels is not expected above it."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A published cross-domain result, per cent.

    Attributes:
        name: name of the method.
        source: source data set.
        trunk: trunk; empty where it is not stated.
        figures: target data set and accuracy of each figure.
        mean: the printed mean; None where none is printed.
        note: how it was measured.
    """

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
    """The range of accuracies on the test images of a data set, per cent.

    It is of models that were trained on labels of that set, or of released tools.

    Attributes:
        name: name of the model or tool.
        data_set: the data set.
        low: lowest known accuracy.
        high: highest known accuracy.
        note: how it was measured.
    """

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
