"""Answers put into words: faces and where they come from, completed with what the model says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isnan

from dcdan.faces.extract import Face
from dcdan.faces.quality import qualities
from dcdan.recognition.certainty import candidate_sets, set_threshold
from dcdan.recognition.model_file import ModelInfo
from dcdan.recognition.results import FaceResult, Quality
from dcdan.recognition.session import DECIDERS, REGIONS, Outputs


def named(
    faces: Sequence[FaceResult], outputs: Outputs, info: ModelInfo, sets: float | None = None
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
