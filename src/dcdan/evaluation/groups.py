"""Whether a model is less accurate for some faces than for others, and what corrections by group would change.

A column of groups comes from the data (``gender``, ``age`` of a reader, ``group.NAME`` of a manifest), or it is a
measured quality of the faces, divided into quartiles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dcdan.core.errors import DataError, unknown
from dcdan.correction.labels import fit_bias
from dcdan.datasets.folds import group_holdout
from dcdan.faces.quality import sharpness, yaw
from dcdan.images.status import Status
from dcdan.inference.session import in_rgb
from dcdan.metrics.calibration import unsure_below
from dcdan.metrics.classification import confusion_matrix, unweighted_average_recall
from dcdan.metrics.groups import FEW, Gap, GroupScore, holm, largest_gap, quartiles, score_groups

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dcdan.packs.pack import Pack

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

QUALITIES: dict[str, tuple[str, int]] = {
    "size": ("shorter side of the face's box in the picture, pixels", 0),
    "blur": ("sharpness of the aligned face, 0 (blurred) to 1", 2),
    "yaw": ("turn of the head to either side, degrees", 0),
    "brightness": ("mean grey level of the aligned face, 0 to 255", 0),
}
"""Measured columns: meaning, and decimal places in the names of their quartiles."""

ALPHA = 0.05
"""Corrected p-value below which a difference between groups counts as found."""

ANSWERED = 0.8
"""Share of the faces that are answered with one threshold for all, in the comparison of thresholds."""

_AT_A_TIME = 512


@dataclass(frozen=True)
class Mitigation:
    """What a correction by group changes, on the half of the faces that it was not fitted on.

    Attributes:
        name: ``offsets`` (a bias per class for each group) or ``thresholds`` (a limit of "unsure" for each group).
        faces: number of faces it was measured on.
        gap: largest gap in accuracy before and after, 0..1; of ``thresholds``, in the accuracy of the answers that
            are not unsure.
        accuracy: accuracy of all these faces before and after.
        uar: mean recall before and after.
        answered: share of the faces that get an answer, before and after; 1 for ``offsets``.
        by_group: group -> accuracy before and after.
        values: group -> the fitted numbers.
    """

    name: str
    faces: int
    gap: tuple[float, float]
    accuracy: tuple[float, float]
    uar: tuple[float, float]
    answered: tuple[float, float]
    by_group: dict[str, tuple[float, float]]
    values: dict[str, list[float]]

    def sentence(self) -> str:
        """Return the result in one sentence."""
        (gap, new_gap), (accuracy, new_accuracy) = self.gap, self.accuracy
        what = "An offset per class for each group" if self.name == "offsets" else 'A limit of "unsure" for each group'
        of = "" if self.name == "offsets" else " of the answers that are not unsure"
        share = ""
        if self.name == "thresholds":
            share = f", answered {_percent(self.answered[0])} -> {_percent(self.answered[1])}"
        return (
            f"{what}, on {self.faces:,} other faces: gap{of} {_percent(gap)} -> {_percent(new_gap)}, accuracy"
            f" {_percent(accuracy)} -> {_percent(new_accuracy)}{share}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; a missing number is None."""
        pairs = {name: _pair(getattr(self, name)) for name in ("gap", "accuracy", "uar", "answered")}
        by_group = {name: _pair(pair) for name, pair in self.by_group.items()}
        values = {name: [round(value, 4) for value in own] for name, own in self.values.items()}
        return {"name": self.name, "faces": self.faces, **pairs, "by_group": by_group, "values": values}


@dataclass(frozen=True)
class ByColumn:
    """Scores by one column of groups.

    Attributes:
        column: name of the column.
        about: its meaning.
        scores: one entry for each group, in order.
        unknown: scored faces without a value in this column.
        gap: the largest gap; None where fewer than two groups have ``FEW`` faces.
        p_corrected: p-value of the gap, corrected for all columns of the evaluation by Holm's method; NaN without gap.
        mitigations: what corrections would change, measured on a half that is left out.
    """

    column: str
    about: str
    scores: tuple[GroupScore, ...]
    unknown: int
    gap: Gap | None
    p_corrected: float
    mitigations: tuple[Mitigation, ...] = ()

    @property
    def found(self) -> bool:
        """Whether the groups differ by more than chance, after the correction for several columns."""
        return self.gap is not None and self.p_corrected < ALPHA

    @property
    def worst(self) -> GroupScore | None:
        """The group with the lowest accuracy among those of the gap."""
        return None if self.gap is None else next(each for each in self.scores if each.name == self.gap.worst)

    def sentence(self) -> str:
        """Return the result in one sentence."""
        if self.gap is None:
            large = sum(not each.few for each in self.scores)
            return (
                f"By {self.column}: nothing to compare, because {large} of {len(self.scores)} groups"
                f" {'has' if large == 1 else 'have'} {FEW} faces or more."
            )
        low, high = (100 * end for end in self.gap.interval)
        size = (
            f"{100 * self.gap.gap:.1f} points between '{self.gap.worst}' and '{self.gap.best}' (95 % {low:.1f} to"
            f" {high:.1f}; p = {_p(self.p_corrected)})"
        )
        if self.found:
            return f"By {self.column}: accuracy differs by {size}."
        return f"By {self.column}: no difference beyond chance; the largest is {size}."

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; a missing number is None."""
        gap = self.gap
        return {
            "column": self.column,
            "about": self.about,
            "groups": [
                {
                    "name": each.name,
                    "faces": each.faces,
                    "few": each.few,
                    "accuracy": _number(each.accuracy),
                    "accuracy_95": _pair(each.interval),
                    "uar": _number(each.uar),
                    "uar_95": _pair(each.uar_interval),
                    "ece": _number(each.calibration_error),
                }
                for each in self.scores
            ],
            "unknown": self.unknown,
            "gap": None
            if gap is None
            else {
                "best": gap.best,
                "worst": gap.worst,
                "points": _number(gap.gap),
                "points_95": _pair(gap.interval),
                "p": _number(gap.p_value),
                "p_holm": _number(self.p_corrected),
                "found": self.found,
            },
            "worst_confusion": None if self.worst is None else self.worst.confusion.tolist(),
            "mitigation": [each.to_dict() for each in self.mitigations],
            "sentence": self.sentence(),
        }

    def renderable(self, classes: Sequence[str]) -> RenderableType:
        """Return the sentence, the scores of the groups and the corrections for a rich console.

        Args:
            classes: the K scored classes.

        Returns:
            The renderable; groups with fewer than ``FEW`` faces are dim.
        """
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD)
        table.add_column(Text(self.column), no_wrap=True)
        for header in ("faces", "accuracy % (95 %)", "UAR (95 %)", "ECE"):
            table.add_column(header, justify="right", no_wrap=True)
        for each in self.scores:
            accuracy = f"{100 * each.accuracy:.1f} ({_range(each.interval)})"
            low, high = each.uar_interval
            uar = f"{_share(each.uar)} ({low:.2f} to {high:.2f})"
            cells = (f"{each.faces:,}", accuracy, uar, _share(each.calibration_error))
            name = each.name + (" (few)" if each.few else "")
            table.add_row(Text(name), *map(Text, cells), style="dim" if each.few else "")
        lines: list[RenderableType] = [Text(self.sentence(), style="bold" if self.found else ""), table]
        if (confused := self.confusions(classes)) and self.found and self.worst is not None:
            lines.append(Text(f"'{self.worst.name}' is most often confused: {confused}."))
        lines += [Text(each.sentence(), style="dim") for each in self.mitigations]
        if self.unknown:
            lines.append(Text(f"{self.unknown} faces have no value in this column.", style="yellow"))
        return Group(*lines)

    def confusions(self, classes: Sequence[str], most: int = 3) -> str:
        """Return the commonest errors of the worst group: ``fear as surprise 12 of 40``, separated by commas.

        Args:
            classes: the K scored classes.
            most: how many.
        """
        if self.worst is None:
            return ""
        confusion = self.worst.confusion
        wrong = confusion - np.diag(np.diagonal(confusion))
        places = np.argsort(-wrong, axis=None, kind="stable")[:most]
        pairs = [(int(place) // len(classes), int(place) % len(classes)) for place in places]
        return ", ".join(
            f"{classes[row]} as {classes[column]} {wrong[row, column]} of {confusion[row].sum()}"
            for row, column in pairs
            if wrong[row, column]
        )


def check_columns(columns: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the names of columns without ``group.`` and repetitions.

    Args:
        columns: names as the user wrote them.
        known: groups of the data.

    Raises:
        UsageError: a name is neither a group of the data nor a measured quality.

    Example:
        >>> check_columns(["group.age", "size", "age"], ["age"])
        ['age', 'size']
    """
    allowed = {*known, *QUALITIES}
    names = [name if name in allowed else name.removeprefix("group.") for name in columns]
    for name in names:
        if name not in allowed:
            raise unknown("column of groups", name, allowed)
    return list(dict.fromkeys(names))


def column_of(pack: Pack, name: str, rows: Integers) -> tuple[NDArray[np.str_], tuple[str, ...]]:
    """Return the group of some faces of a pack.

    Args:
        pack: the pack.
        name: a group of the pack, or one of ``QUALITIES``. A group of the pack comes first.
        rows: ``(n,)`` faces.

    Returns:
        ``(n,)`` names, ``""`` where there is none, and the names in order.

    Raises:
        DataError: no face has a value.
    """
    if name in pack.groups:
        values = pack.groups[name][rows]
        order: tuple[str, ...] = tuple(sorted(set(values.tolist()) - {""}))
    else:
        values, order = quartiles(measured(pack, name, rows), QUALITIES[name][1])
    if not order:
        raise DataError(f"No scored face has a value in the column '{name}': leave it out of --by.")
    return np.asarray(values, np.str_), order


def measured(pack: Pack, name: str, rows: Integers) -> Floats:
    """Measure a quality of some faces of a pack.

    Args:
        pack: the pack.
        name: one of ``QUALITIES``.
        rows: ``(n,)`` faces.

    Returns:
        ``(n,)``; NaN for the yaw of a face without landmarks.
    """
    if name == "size":
        boxes = pack.boxes[rows]
        return np.asarray((boxes[:, 2:] - boxes[:, :2]).min(axis=1), np.float64)
    if name == "yaw":
        # Aligning rotates and scales a face, which the yaw does not depend on.
        angles = np.abs(yaw(pack.landmarks[rows])).astype(np.float64)
        without = pack.statuses[rows] == Status.NOT_ALIGNED
        return np.where(without | (pack.info.alignment == "none"), np.nan, angles)
    values = np.empty(len(rows), np.float64)
    for start in range(0, len(rows), _AT_A_TIME):
        faces = in_rgb(np.asarray(pack.faces[rows[start : start + _AT_A_TIME]]))
        part = slice(start, start + len(faces))
        values[part] = sharpness(faces) if name == "blur" else faces.mean(axis=(1, 2, 3))
    return values


def score_by(
    pack: Pack,
    columns: Sequence[str],
    rows: Integers,
    labels: Integers,
    probabilities: Floats,
    predictions: Integers,
    confidence: Floats,
    *,
    seed: int = 0,
) -> tuple[ByColumn, ...]:
    """Score a model by each of several columns of groups.

    Args:
        pack: the pack.
        columns: names of :func:`check_columns`.
        rows: ``(n,)`` the scored faces.
        labels: ``(n,)`` true class indices among the K scored classes.
        probabilities: ``(n, K)`` of these classes, rows sum to 1.
        predictions: ``(n,)`` predicted class indices.
        confidence: ``(n,)`` probability of the predictions.
        seed: seed of bootstrap, permutations and halves.

    Returns:
        One entry a column.

    Raises:
        DataError: a column has no value for any of these faces.
    """
    related = pack.holdout_groups.names[rows]
    fitted = ~group_holdout(related, labels, 0.5, seed)
    parts = []
    for name in columns:
        values, order = column_of(pack, name, rows)
        scores = score_groups(labels, predictions, confidence, values, probabilities.shape[1], order=order, seed=seed)
        gap = largest_gap(labels == predictions, values, seed=seed)
        about = QUALITIES[name][0] if name not in pack.groups else "from the data"
        found = () if gap is None else mitigations(labels, probabilities, predictions, confidence, values, fitted)
        parts.append((name, about, tuple(scores), int((values == "").sum()), gap, found))
    corrected = holm([math.nan if gap is None else gap.p_value for *_, gap, _ in parts])
    return tuple(
        ByColumn(name, about, scores, unknown, gap, p, found)
        for (name, about, scores, unknown, gap, found), p in zip(parts, corrected, strict=True)
    )


def mitigations(
    labels: Integers,
    probabilities: Floats,
    predictions: Integers,
    confidence: Floats,
    groups: NDArray[np.str_],
    fitted: NDArray[np.bool_],
) -> tuple[Mitigation, ...]:
    """Fit corrections by group on one half of the faces and measure them on the other.

    Groups with fewer than ``FEW`` faces in either half are left as they are and out of the gap.

    Args:
        labels: ``(n,)`` true class indices.
        probabilities: ``(n, K)``.
        predictions: ``(n,)`` predicted class indices.
        confidence: ``(n,)`` probability of the predictions.
        groups: ``(n,)`` the group of each face, ``""`` for none.
        fitted: ``(n,)`` whether a face is in the half to fit on.

    Returns:
        ``offsets`` and ``thresholds``; empty where fewer than two groups are large enough in both halves.
    """
    names = [
        name
        for name in sorted(set(groups.tolist()) - {""})
        if min(((groups == name) & fitted).sum(), ((groups == name) & ~fitted).sum()) >= FEW
    ]
    if len(names) < 2:
        return ()
    with np.errstate(divide="ignore"):
        z = np.maximum(np.log(probabilities), -60.0)
    biases = {name: fit_bias(z[fitted & (groups == name)], labels[fitted & (groups == name)]) for name in names}
    adjusted = predictions.copy()
    for name, bias in biases.items():
        own = groups == name
        adjusted[own] = (z[own] + bias).argmax(axis=1)
    test, classes = ~fitted, probabilities.shape[1]
    everything = np.ones(len(labels), bool)
    offsets = _compared(
        "offsets",
        labels,
        (predictions, adjusted),
        (everything, everything),
        groups,
        test,
        names,
        {name: bias.tolist() for name, bias in biases.items()},
        classes,
    )
    right = labels == predictions
    one = float(np.quantile(confidence[fitted], 1 - ANSWERED))
    wanted = float(right[fitted & (confidence >= one)].mean())
    limits = {
        name: unsure_below(confidence[fitted & (groups == name)], right[fitted & (groups == name)], wanted)
        for name in names
    }
    of_face = np.full(len(labels), one)
    for name, limit in limits.items():
        of_face[groups == name] = limit
    thresholds = _compared(
        "thresholds",
        labels,
        (predictions, predictions),
        (confidence >= one, confidence >= of_face),
        groups,
        test,
        names,
        {name: [limit] for name, limit in limits.items()},
        classes,
    )
    return offsets, thresholds


def _compared(
    name: str,
    labels: Integers,
    predictions: tuple[Integers, Integers],
    answered: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    groups: NDArray[np.str_],
    test: NDArray[np.bool_],
    names: Sequence[str],
    values: dict[str, list[float]],
    classes: int,
) -> Mitigation:
    """Measure before and after on the faces of ``test``."""
    by_group: list[list[float]] = []
    accuracies, uars, shares, gaps = [], [], [], []
    for chosen, seen in zip(predictions, answered, strict=True):
        rows = test & seen
        right = labels == chosen
        rates = [float(right[own].mean()) if (own := rows & (groups == each)).any() else math.nan for each in names]
        by_group.append(rates)
        gaps.append(float(np.nanmax(rates) - np.nanmin(rates)) if np.isfinite(rates).any() else math.nan)
        accuracies.append(float(right[rows].mean()) if rows.any() else math.nan)
        uars.append(unweighted_average_recall(confusion_matrix(labels[rows], chosen[rows], classes)))
        shares.append(float(rows.sum() / test.sum()))
    pairs = {each: (before, after) for each, before, after in zip(names, *by_group, strict=True)}
    return Mitigation(
        name,
        int(test.sum()),
        (gaps[0], gaps[1]),
        (accuracies[0], accuracies[1]),
        (uars[0], uars[1]),
        (shares[0], shares[1]),
        pairs,
        values,
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 6)


def _pair(values: Sequence[float]) -> list[float | None]:
    return [_number(value) for value in values]


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f} %"


def _range(interval: Sequence[float]) -> str:
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"
