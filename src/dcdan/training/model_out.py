"""``model.json``: what a recogniser must know of the weights beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dcdan.durable import sha256
from dcdan.training.calibration import Calibrated
from dcdan.training.settings import RunSettings

SCHEMA = 1
FILES = ("model.safetensors", "model.onnx")
"""What belongs to a model; the second may be left out."""


def model_description(
    folder: Path,
    settings: RunSettings,
    classes: tuple[str, ...],
    thresholds: list[float],
    facts: dict[str, Any],
    calibration: Calibrated,
) -> dict[str, Any]:
    """Return the description of the model in ``folder``; ``thresholds`` of the choice, one a class."""
    checksums = {name: sha256(folder / name) for name in FILES if (folder / name).is_file()}
    alignments = {facts[side]["alignment"] for side in ("source", "target")}
    return {
        "schema": SCHEMA,
        "name": folder.resolve().name,
        "method": settings.method,
        "architecture": settings.network.model_dump(mode="json", exclude={"init"}),
        "classes": list(classes),
        "face": {
            "size": settings.size,
            "align": "none" if alignments == {"none"} else "mtcnn",
            "channels": "rgb",
        },
        "thresholds": [round(value, 6) for value in thresholds],
        "temperature": calibration.temperature,
        "mirror": settings.mirror,
        "calibration": calibration.for_model(facts["source"]["spec"]),
        "training": {side: facts[side]["spec"] for side in ("source", "target")},
        "licence": f"weights: of the training data ({facts['source']['licence']})",
        "files": checksums,
    }
