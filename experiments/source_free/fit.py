"""Fit the rule of the package on the cells of the grid, and say how it does on the shifts left out of the fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dcdan.correction.estimators import CalibrationMap, fit_map
from dcdan.correction.fitted_rule import DECLARED, UNDECLARED, CandidateRule, FittedRule
from dcdan.correction.verdict import VerdictRule

Row = dict
ACCURACY = {UNDECLARED: ("confidence", "mano"), DECLARED: ("confidence", "joint confidence")}
"""Scores of the accuracy; of those tried, the ones with the smallest error on left-out shifts of the fit."""
GAIN = {
    "shares": ("own gain", "gap"),
    "offsets and shares": ("own gain", "gap"),
    "estimated shares": ("changed", "own gain"),
    "offsets": ("changed", "own gain"),
}
HARM = 0.045
"""Largest share of fitted cells that may fall by more than a point: below the aim of .05, as other shifts differ."""
USE_ABOVE = (0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04)
CAUTION = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5)
LEAST_GAIN = 0.002
"""Mean gain over all fitted cells below which a correction is not used at all."""


def fitted(rows: Sequence[Row], provenance: dict) -> FittedRule:
    """Return the rule fitted on the rows whose role is ``fit``."""
    kept = [row for row in rows if row["role"] == "fit"]
    accuracy = {kind: accuracy_line(kept, names, kind) for kind, names in ACCURACY.items()}
    candidates = {}
    for name, names in GAIN.items():
        own = [row for row in kept if row["correction"] == name and row["groups"] != "own mix"]
        if own:
            candidates[name] = candidate_rule(own, names)
    source = [row["accuracy"] for row in kept if row["correction"] == "source" and unshifted(row)]
    keep_from = round(float(np.mean(source)) - 0.05, 3)
    used = {name: each for name, each in candidates.items() if each.verdict.use_above < 1}
    return FittedRule(provenance=provenance, accuracy=accuracy, candidates=used, keep_from=keep_from)


def unshifted(row: Row) -> bool:
    """Return whether a cell's faces look like the source's and have its class shares."""
    return row["condition"] == "ferplus none" and row["shares"] == "source"


def accuracy_line(rows: Sequence[Row], names: Sequence[str], kind: str) -> CalibrationMap:
    """Fit the line from scores to accuracy, over the source model and what may be used in its place."""
    ways = {"source", "estimated shares"} if kind == UNDECLARED else {"source", "shares", "offsets and shares"}
    own = [row for row in rows if row["correction"] in ways and row["groups"] != "own mix"]
    return rounded(
        fit_map(
            {name: [row["scores"][name] for row in own] for name in names},
            [row["accuracy"] for row in own],
            [row["condition"] for row in own],
            0.01,
            faces=[row["faces"] for row in own],
        )
    )


def candidate_rule(rows: Sequence[Row], names: Sequence[str]) -> CandidateRule:
    """Fit the line to the gain, then the bars: the largest mean gain whose harm stays within bounds.

    The gains that the bars are fitted on are estimated by lines that have not seen the cell's shift.
    """
    shifts = np.array([row["condition"] for row in rows])
    line = gain_line(rows, names)
    estimated = np.zeros(len(rows))
    for shift in np.unique(shifts):
        out = shifts == shift
        if len(np.unique(shifts)) > 2:
            own = gain_line([row for row, left in zip(rows, out, strict=True) if not left], names)
        else:
            own = line
        estimated[out] = [own.predict(row["gain scores"]) for row, left in zip(rows, out, strict=True) if left]
    true = np.array([row["gain"] for row in rows])
    errors = np.array([line.error(row["faces"]) for row in rows])
    best, best_gain = None, LEAST_GAIN
    for above in USE_ABOVE:
        for caution in CAUTION:
            used = estimated - caution * errors >= above
            gain = float(np.where(used, true, 0).mean())
            harm = float(np.mean(used & (true < -0.01)))
            on_source = np.array([unshifted(row) for row in rows])
            quiet = not on_source.any() or used[on_source].mean() <= 0.05
            if harm <= HARM and quiet and gain > best_gain:
                best, best_gain = VerdictRule(use_above=above, caution=caution, error=min(1.0, line.residual)), gain
    return CandidateRule(gain=line, verdict=best or VerdictRule(use_above=1.0))


def gain_line(rows: Sequence[Row], names: Sequence[str]) -> CalibrationMap:
    """Fit the line from scores to the gain of a correction."""
    shifts = [row["condition"] for row in rows]
    if len(set(shifts)) < 2:  # groups of several looks are one condition: leave out one mix of classes at a time
        shifts = [row["shares"] for row in rows]
    return rounded(
        fit_map(
            {name: [row["gain scores"][name] for row in rows] for name in names},
            [row["gain"] for row in rows],
            shifts,
            0.01,
            faces=[row["faces"] for row in rows],
            clip=(-1, 1),
        )
    )


def rounded(line: CalibrationMap) -> CalibrationMap:
    """Return the line with numbers of five digits, as the package stores them."""
    content = line.model_dump()
    return CalibrationMap(
        **{
            key: tuple(each if isinstance(each, str) else round(each, 5) for each in value)
            if isinstance(value, (tuple, list))
            else round(value, 5)
            for key, value in content.items()
        }
    )
