"""Compare two measured sets of faces: which property differs most, and whether that can be chance."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dcdan.domain_shift.measure import MEASUREMENTS, FaceSet, evenly, measure
from dcdan.metrics.groups import holm
from dcdan.metrics.two_samples import Distance, cliffs_delta, mmd, proxy_a_distance, share_difference

if TYPE_CHECKING:
    from rich.console import RenderableType

ALPHA = 0.05
"""Corrected p-value below which a difference counts as found."""
FEW = 30
"""Number of faces of a set below which the result is marked as uncertain."""
_MOST_VECTORS = 500
_LEAST_VECTORS = 5


@dataclass(frozen=True)
class MeasuredDifference:
    """The difference of one measurement between two sets.

    Attributes:
        name: key of ``MEASUREMENTS``.
        first: quartiles (25, 50, 75 %) of the first set; of ``colour`` three times the share of faces with colour.
        second: the same of the second set.
        delta: Cliff's delta, -1..1; above 0 where the second set has larger values.
        p_value: corrected for all tests of the comparison by Holm's method.
    """

    name: str
    first: tuple[float, float, float]
    second: tuple[float, float, float]
    delta: float
    p_value: float

    @property
    def found(self) -> bool:
        """Whether the sets differ by more than chance."""
        return self.p_value < ALPHA


@dataclass(frozen=True)
class Shift:
    """How a second set of faces differs from a first.

    Attributes:
        first: name of the first set.
        second: name of the second set.
        faces: number of faces of both.
        differences: one entry for each property that both sets have.
        missing: properties that one of the sets lacks, such as the roll of aligned faces.
        feature_mmd: squared maximum mean discrepancy of the reduced faces, p corrected; None with too few faces.
        a_distance: proxy A-distance of the reduced faces, 0 (cannot be told apart) to 2; NaN with too few faces.
        classes: classes of the model.
        shares: the share of each class among the model's answers, in both sets.
        share_distance: total variation distance of these shares, p corrected.
        without_face: pictures of both sets without a face, by status.
    """

    first: str
    second: str
    faces: tuple[int, int]
    differences: tuple[MeasuredDifference, ...]
    missing: tuple[str, ...]
    feature_mmd: Distance | None
    a_distance: float
    classes: tuple[str, ...]
    shares: tuple[tuple[float, ...], tuple[float, ...]]
    share_distance: Distance
    without_face: tuple[dict[str, int], dict[str, int]]

    @property
    def largest(self) -> MeasuredDifference | None:
        """The difference with the largest delta among those beyond chance; None where there is none."""
        found = [each for each in self.differences if each.found]
        return max(found, key=lambda each: abs(each.delta), default=None)

    def sentence(self) -> str:
        """Return the largest difference in one sentence."""
        largest = self.largest
        if largest is None:
            return "No measured property of the faces differs by more than chance."
        about = MEASUREMENTS[largest.name]
        word = about.more if largest.delta > 0 else about.less
        if largest.name == "colour":
            values = f"{100 * largest.second[1]:.0f} % against {100 * largest.first[1]:.0f} %"
        else:
            values = f"median {largest.second[1]:.{about.digits}f} against {largest.first[1]:.{about.digits}f}"
        return (
            f"The largest difference is {largest.name}: the faces of the second set are {word} ({values}; Cliff's"
            f" delta {largest.delta:+.2f})."
        )

    def notes(self) -> list[str]:
        """Return what a reader must know to interpret the figures."""
        notes = []
        if min(self.faces) < FEW:
            notes.append(f"{min(self.faces)} faces in one set are few: only very large differences can be found.")
        if self.missing:
            notes.append(f"Not compared, because one set has no such values: {', '.join(self.missing)}.")
        for name, counts in zip((self.first, self.second), self.without_face, strict=True):
            if counts:
                listed = ", ".join(f"{count} {status}" for status, count in counts.items())
                notes.append(f"Pictures of '{name}' without a face: {listed}.")
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; a missing number is None."""
        mmd_values = None if self.feature_mmd is None else [_number(value) for value in self.feature_mmd]
        return {
            "schema": 1,
            "first": self.first,
            "second": self.second,
            "faces": list(self.faces),
            "sentence": self.sentence(),
            "measurements": {
                each.name: {
                    "about": MEASUREMENTS[each.name].about,
                    "first_quartiles": [_number(value) for value in each.first],
                    "second_quartiles": [_number(value) for value in each.second],
                    "cliffs_delta": _number(each.delta),
                    "p_holm": _number(each.p_value),
                }
                for each in self.differences
            },
            "missing": list(self.missing),
            "features": {
                "of": "grey levels of the aligned face, 16 x 16",
                "mmd": None if mmd_values is None else mmd_values[0],
                "mmd_p_holm": None if mmd_values is None else mmd_values[1],
                "proxy_a_distance": _number(self.a_distance),
            },
            "class_shares": {
                "of": "answers of the model",
                "first": dict(zip(self.classes, map(_number, self.shares[0]), strict=True)),
                "second": dict(zip(self.classes, map(_number, self.shares[1]), strict=True)),
                "total_variation": _number(self.share_distance.value),
                "p_holm": _number(self.share_distance.p_value),
            },
            "without_face": {"first": self.without_face[0], "second": self.without_face[1]},
            "notes": self.notes(),
        }

    def png(self) -> bytes:
        """Draw the differences; needs matplotlib.

        Returns:
            The bytes of a PNG file.
        """
        from dcdan.plots.shift import shift_png

        return shift_png(
            {each.name: (each.delta, each.found) for each in self.differences},
            self.classes,
            self.shares,
            names=(self.first, self.second),
            title=self.sentence(),
        )

    def table(self) -> RenderableType:
        """Return sentence, tables and notes for a rich console.

        Returns:
            The renderable.
        """
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        body = Table(box=SIMPLE_HEAD)
        body.add_column("property")
        for column in ("first", "second", "Cliff's delta", "p"):
            body.add_column(column, justify="right")
        ordered = sorted(self.differences, key=lambda each: -abs(each.delta))
        for each in ordered:
            cells = (*(_quartiles(each.name, own) for own in (each.first, each.second)), f"{each.delta:+.2f}")
            body.add_row(each.name, *cells, _p(each.p_value), style="" if each.found else "dim")
        shares = Table(box=SIMPLE_HEAD)
        shares.add_column("share of the answers")
        for column in ("first", "second"):
            shares.add_column(column, justify="right")
        for name, one, two in zip(self.classes, *self.shares, strict=True):
            shares.add_row(name, f"{100 * one:.1f} %", f"{100 * two:.1f} %")
        sets = zip(("first", "second"), (self.first, self.second), self.faces, strict=True)
        lines = [Text(f"{place}: {name}, {count:,} faces") for place, name, count in sets]
        points, p = 100 * self.share_distance.value, _p(self.share_distance.p_value)
        distance = f"Class shares differ by {points:.1f} points (total variation; p = {p})."
        features = "Feature distance: too few faces."
        if self.feature_mmd is not None:
            features = (
                f"Feature distance: MMD {self.feature_mmd.value:.4f} (p = {_p(self.feature_mmd.p_value)}), proxy"
                f" A-distance {self.a_distance:.2f} of 2."
            )
        notes = [Text(note, style="yellow") for note in self.notes()]
        return Group(*lines, Text(self.sentence(), style="bold"), body, Text(features), Text(distance), shares, *notes)


def shift(
    first: str | Path,
    second: str | Path,
    *,
    model: str | Path | None = None,
    limit: int | None = None,
    threads: int | None = None,
    seed: int = 0,
    advance: Callable[[int, int], None] | None = None,
) -> Shift:
    """Measure how two sets of faces differ; no labels are read.

    Args:
        first: a picture, folder, pattern, video, zip file, ``@list.txt``, URL, pack or data set.
        second: another one.
        model: the model whose face size, alignment and answers are used; None for the default one.
        limit: take at most so many inputs of each set, evenly spaced; None for 1,000.
        threads: threads of the network; None for all cores.
        seed: seed of the permutation tests.
        advance: called with the number of inputs of a set that are done, and their total.

    Returns:
        The differences; ``.sentence()`` names the largest.

    Raises:
        DataError: a set has no face.
        UsageError: a set is a camera.
        ModelError: there is no usable model.

    Example:
        >>> import dcdan
        >>> found = dcdan.shift("packs/ferplus", "./photos")  # doctest: +SKIP
        >>> found.sentence()  # doctest: +SKIP
        "The largest difference is brightness: the faces of the second set are darker (...)."
    """
    named = None if model is None else str(model)
    one, classes = measure(str(first), model=named, limit=limit, threads=threads, advance=advance)
    two, _ = measure(str(second), model=named, limit=limit, threads=threads, advance=advance)
    return compare(one, two, classes, seed=seed)


def compare(first: FaceSet, second: FaceSet, classes: tuple[str, ...], *, seed: int = 0) -> Shift:
    """Compare two measured sets.

    Args:
        first: a set.
        second: another set, measured with the same model.
        classes: classes of the model.
        seed: seed of the permutation tests.

    Returns:
        The differences.
    """
    found, missing = [], []
    for name in MEASUREMENTS:
        one, two = (own.measurements[name] for own in (first, second))
        one, two = one[np.isfinite(one)], two[np.isfinite(two)]
        if not (one.size and two.size):
            missing.append(name)
            continue
        found.append((name, one, two, cliffs_delta(one, two)))
    distance = share_difference(first.counts, second.counts, seed=seed)
    features, a_distance = None, math.nan
    if min(len(first), len(second)) >= _LEAST_VECTORS:
        a, b = (own.features[evenly(len(own), _MOST_VECTORS)] for own in (first, second))
        features, a_distance = mmd(a, b, seed=seed), proxy_a_distance(a, b, seed=seed)
    p_values = [each.p_value for *_, each in found]
    *own_p, share_p, feature_p = holm([*p_values, distance.p_value, math.nan if features is None else features.p_value])
    return Shift(
        first.name,
        second.name,
        (len(first), len(second)),
        tuple(
            MeasuredDifference(name, _summary(name, one), _summary(name, two), each.delta, p)
            for (name, one, two, each), p in zip(found, own_p, strict=True)
        ),
        tuple(missing),
        None if features is None else Distance(features.value, feature_p),
        a_distance,
        classes,
        (_shares(first), _shares(second)),
        Distance(distance.value, share_p),
        (first.without_face, second.without_face),
    )


def _summary(name: str, values: np.ndarray) -> tuple[float, float, float]:
    if name == "colour":
        share = float(values.mean())
        return share, share, share
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return low, middle, high


def _shares(own: FaceSet) -> tuple[float, ...]:
    return tuple((own.counts / max(1, own.counts.sum())).tolist())


def _quartiles(name: str, values: tuple[float, float, float]) -> str:
    low, middle, high = values
    if name == "colour":
        return f"{100 * middle:.0f} %"
    digits = MEASUREMENTS[name].digits
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 6)


def to_json(found: Shift) -> str:
    """Return a comparison as the text of a JSON file."""
    return json.dumps(found.to_dict(), indent=2) + "\n"
