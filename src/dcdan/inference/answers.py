"""Convert network outputs to results: class names, uncertainty, conformal sets and quality."""

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
    """Return the minimum probability of a class in the conformal set of a level.

    Args:
        calibration: Calibration of the model.
        level: Coverage of the set, 0..1.

    Returns:
        The minimum probability, 0..1.

    Raises:
        UsageError: The model was not calibrated for this level; the message lists its levels.
    """
    found = calibration.conformal.get(f"{level:g}")
    if found is None:
        known = ", ".join(sorted(calibration.conformal)) or "none, as it was trained without a calibration"
        raise UsageError(f"The model has no sets for the level {level:g}. It has: {known}.")
    return found


def candidate_sets(
    probabilities: NDArray[np.float32], threshold: float, classes: Sequence[str]
) -> list[tuple[str, ...]]:
    """Return the classes in the conformal set of each face, the most probable first.

    Args:
        probabilities: ``(N, K) float32``, calibrated.
        threshold: See :func:`set_threshold`.
        classes: K names.

    Returns:
        N tuples. The most probable class is always included, which can only increase the coverage.

    Example:
        >>> candidate_sets(np.array([[0.2, 0.7, 0.1]], np.float32), 0.15, ["fear", "anger", "neutral"])
        [('anger', 'fear')]
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    sizes = np.maximum((probabilities >= threshold).sum(axis=1), 1)
    return [
        tuple(classes[index] for index in row[:size]) for row, size in zip(order.tolist(), sizes.tolist(), strict=True)
    ]


def named(
    faces: Sequence[FaceResult], outputs: SessionOutputs, info: ModelInfo, sets: float | None = None
) -> list[FaceResult]:
    """Add the outputs of the model to the results of N faces.

    Args:
        faces: Results that identify the faces and have no expression yet.
        outputs: Outputs of the network for them.
        info: Description of the model.
        sets: Level of the conformal sets, one of the model's; None for none.

    Returns:
        The complete results.

    Raises:
        UsageError: The model was not calibrated for the level.
    """
    classes, calibration = info.classes, info.calibration
    candidates: list[tuple[str, ...]] = [()] * len(outputs)
    if sets is not None:
        candidates = candidate_sets(outputs.probabilities, set_threshold(calibration, sets), classes)
    actions = [{}] * len(outputs) if outputs.actions is None else _named_actions(outputs.actions, info.actions)
    table = zip(
        faces,
        outputs.expression.tolist(),
        outputs.confidence.tolist(),
        outputs.decided_by.tolist(),
        outputs.probabilities.tolist(),
        outputs.region_weights.tolist(),
        (outputs.confidence < calibration.unsure_below).tolist(),
        candidates,
        actions,
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
            actions=active,
        )
        for face, expression, confidence, decider, probabilities, weights, unsure, candidate, active in table
    ]


def _named_actions(activations: NDArray[np.float32], names: Sequence[str]) -> list[dict[str, float]]:
    return [dict(zip(names, row, strict=True)) for row in activations.tolist()]


def quality_of(faces: Sequence[Face]) -> list[Quality]:
    """Return the quality of each face; see :func:`~dcdan.faces.quality.qualities`."""
    found = qualities(faces)
    table = zip(
        found.side.tolist(),
        found.sharpness.tolist(),
        found.yaw.tolist(),
        found.roll.tolist(),
        found.score.tolist(),
        found.grey.tolist(),
        strict=True,
    )
    return [
        Quality(side, sharp, None if isnan(yaw) else yaw, None if isnan(roll) else roll, score, grey)
        for side, sharp, yaw, roll, score, grey in table
    ]
