"""From network outputs to answers: names, certainty and the classes that cannot be ruled out.

What the calibration of a model says of its answers: which are unsure, and which classes cannot be ruled out.

Answers put into words: faces and where they come from, completed with what the model says of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isnan

import numpy as np
from numpy.typing import NDArray

from dcdan.core.errors import UsageError
from dcdan.core.outputs import DECIDERS, REGIONS
from dcdan.faces.extract import Face
from dcdan.faces.quality import qualities
from dcdan.inference.model_card import Calibration, ModelInfo
from dcdan.inference.session import SessionOutputs
from dcdan.inference.table import FaceResult, Quality


def set_threshold(calibration: Calibration, level: float) -> float:
    """Return the probability from which on a class is in the conformal set of a level, 0..1.

    Raises:
        UsageError: when the model was not calibrated for that level; its levels are named.
    """
    found = calibration.conformal.get(f"{level:g}")
    if found is None:
        known = ", ".join(sorted(calibration.conformal)) or "none, as it was trained without a calibration"
        raise UsageError(f"The model has no sets for the level {level:g}. It has: {known}.")
    return found


def candidate_sets(
    probabilities: NDArray[np.float32], threshold: float, classes: Sequence[str]
) -> list[tuple[str, ...]]:
    """Return the classes of each face's conformal set, the likeliest first.

    Args:
        probabilities: (N, K) calibrated.
        threshold: see :func:`set_threshold`.
        classes: K names.

    Returns:
        N tuples; the likeliest class is always in, which no promise of coverage forbids.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    sizes = np.maximum((probabilities >= threshold).sum(axis=1), 1)
    return [
        tuple(classes[index] for index in row[:size]) for row, size in zip(order.tolist(), sizes.tolist(), strict=True)
    ]


def named(
    faces: Sequence[FaceResult], outputs: SessionOutputs, info: ModelInfo, sets: float | None = None
) -> list[FaceResult]:
    """Complete the results of N faces, which say where they come from, with what the model says of them.

    ``sets`` is the level of the conformal sets, one that the model has; None for none.
    """
    classes, calibration = info.classes, info.calibration
    candidates: list[tuple[str, ...]] = [()] * len(outputs)
    if sets is not None:
        candidates = candidate_sets(outputs.probabilities, set_threshold(calibration, sets), classes)
    table = zip(
        faces,
        outputs.expression.tolist(),
        outputs.confidence.tolist(),
        outputs.decided_by.tolist(),
        outputs.probabilities.tolist(),
        outputs.region_weights.tolist(),
        (outputs.confidence < calibration.unsure_below).tolist(),
        candidates,
        strict=True,
    )
    return [
        replace(
            face,
            expression=classes[expression],
            probability=confidence,
            decided_by=DECIDERS[decider],
            probabilities=dict(zip(classes, probabilities, strict=True)),
            region_weights=dict(zip(REGIONS, weights, strict=True)),
            unsure=unsure,
            candidates=candidate,
        )
        for face, expression, confidence, decider, probabilities, weights, unsure, candidate in table
    ]


def quality_of(faces: Sequence[Face]) -> list[Quality]:
    """Return the quality of each face."""
    found = qualities(faces)
    table = zip(
        found.side.tolist(),
        found.sharpness.tolist(),
        found.yaw.tolist(),
        found.roll.tolist(),
        found.score.tolist(),
        strict=True,
    )
    return [
        Quality(side, sharp, None if isnan(yaw) else yaw, None if isnan(roll) else roll, score)
        for side, sharp, yaw, roll, score in table
    ]
