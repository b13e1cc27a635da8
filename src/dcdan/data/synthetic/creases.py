"""The soft folds that action units and age leave on a face."""

from __future__ import annotations

import numpy as np

from dcdan.data.synthetic.action_units import FloatArray, Units
from dcdan.data.synthetic.curves import spline
from dcdan.data.synthetic.identity import Identity

VISIBLE = 0.08
Points = tuple[tuple[float, float], ...]


def _across(person: Identity, units: Units) -> dict[str, tuple[float, Points]]:
    """Return the folds that cross the midline, over the forehead and under the lip: strength and points (x, y)."""
    raised = 0.5 * float(units[1].sum() + 0.8 * units[2].sum()) / 1.8
    inner_only = max(0.0, 0.5 * float(units[1].sum() - units[2].sum()))
    chin, drop = 0.5 * float(units[17].sum()), 0.025 * float(units[26].sum())
    half = 0.2 - 0.1 * inner_only
    folds: dict[str, tuple[float, Points]] = {}
    for row, start in enumerate((0.150, 0.185, 0.220)):
        y = start - 0.012 * raised
        strength = 0.5 * max(raised, inner_only) + 0.25 * max(0.0, person.age - 0.4)
        ends = ((0.5 - half, y + 0.012), (0.5 - half / 2, y)), ((0.5 + half / 2, y), (0.5 + half, y + 0.012))
        folds[f"forehead_{row}"] = strength, (*ends[0], (0.5, y + 0.006), *ends[1])
    low = 0.835 + drop - 0.012 * chin
    folds["chin"] = 0.22 + 0.7 * chin, ((0.43, low + 0.006), (0.5, low - 0.008), (0.57, low + 0.006))
    return folds


def _of_mouth(person: Identity, u: dict[int, float], corner: tuple[float, float]) -> dict[str, tuple[float, Points]]:
    """Return the folds around one mouth corner, which lies at `corner`: distance from the midline, and y."""
    x, y = corner
    wing, lift = 0.06 * person.nose_width, 0.02 * u[9]
    smile = max(u[12], 0.85 * u[9], 0.35 * u[20], 0.3 * u[15])
    upper = (wing + 0.012, 0.565 - lift), (wing + 0.05, 0.61 - lift)
    dimple = (x + 0.018, y - 0.03), (x + 0.03, y - 0.004), (x + 0.018, y + 0.024)
    droop = (x + 0.006, y + 0.006), (x + 0.018, y + 0.03), (x + 0.014, y + 0.062)
    return {
        "cheek": (0.85 * smile + 0.35 * person.age**2, (*upper, (x + 0.026, y - 0.055), (x + 0.034, y - 0.004))),
        "dimple": (max(0.95 * u[14], 0.3 * u[12]), dimple),
        "droop": (0.8 * u[15] + 0.25 * max(0.0, person.age - 0.5), droop),
        "pout": (0.8 * u[17], ((0.02, 0.875), (0.034, 0.89), (0.026, 0.91))),
    }


def _of_eye(person: Identity, u: dict[int, float], lid: tuple[float, float]) -> dict[str, tuple[float, Points]]:
    """Return the folds around one eye and beside the nose; `lid` is the outer corner's distance and the lid's low y."""
    outer, low = lid
    old = max(0.0, person.age - 0.5)
    folds: dict[str, tuple[float, Points]] = {
        "bag": (
            0.75 * max(u[6], 0.7 * u[7]) + 0.3 * person.age**2 + 0.06,
            ((0.10, low + 0.014), (0.155, low + 0.026), (0.215, low + 0.014)),
        ),
        "frown": (0.9 * u[4] + 0.35 * u[9] + 0.2 * old, ((0.022, 0.255), (0.019, 0.29), (0.027, 0.325))),
    }
    for row, (dx, dy) in enumerate(((0.044, -0.026), (0.05, 0.0), (0.042, 0.026))):
        folds[f"crow_{row}"] = 0.75 * u[6] + 0.25 * old, ((outer + 0.014, 0.39 + 0.35 * dy), (outer + dx, 0.392 + dy))
    for row, y in enumerate((0.40, 0.43, 0.46)):
        folds[f"nose_{row}"] = 0.95 * u[9], ((0.008, y - 0.006), (0.028, y), (0.05, y + 0.022))
    return folds


def creases(person: Identity, units: Units, parts: dict[str, FloatArray]) -> dict[str, float]:
    """Add the visible folds to `parts` as lines named ``fold_*`` and return their strengths, 0..1, by name."""
    strengths: dict[str, float] = {}

    def add(name: str, strength: float, points: Points, sign: float = 0.0) -> None:
        if strength > VISIBLE:
            placed = [(0.5 + sign * x, y) for x, y in points] if sign else points
            parts[name] = spline(np.array(placed), steps=3)
            strengths[name] = min(strength, 1.0)

    for fold, (strength, points) in _across(person, units).items():
        add(f"fold_{fold}", strength, points)
    for side, name in enumerate(("left", "right")):
        u = {number: float(value[side]) for number, value in units.items()}
        corner, eye = parts["lip_top"][-side], parts[f"lid_lower_{name}"]
        folds = _of_mouth(person, u, (abs(float(corner[0]) - 0.5), float(corner[1])))
        folds.update(_of_eye(person, u, (abs(float(eye[-1, 0]) - 0.5), float(eye[7, 1]))))
        for fold, (strength, points) in folds.items():
            add(f"fold_{fold}_{name}", strength, points, 2.0 * side - 1.0)
    return strengths
