"""A model folder with weights, as a run writes it, and a folder of drawn faces."""

from __future__ import annotations

from pathlib import Path

import torch

from dcdan.core.atomic_io import sha256
from dcdan.inference.model_card import ModelInfo, write_model_info
from dcdan.models.deploy import Deployed, export_onnx
from dcdan.training.checkpoint import save_tensors
from source_free_batch import CLASSES, SIZE, tiny_network


def write_source_model(folder: Path) -> Path:
    """Write a tiny network with random weights as a model."""
    folder.mkdir(parents=True)
    network = tiny_network()
    thresholds = [0.0] * len(CLASSES)
    save_tensors(
        {name: value.contiguous() for name, value in network.state_dict().items()}, folder / "model.safetensors"
    )
    export_onnx(Deployed(network, torch.tensor(thresholds), 1.5, True), SIZE, folder / "model.onnx")
    info = ModelInfo.model_validate(
        {
            "schema": 1,
            "name": "tiny",
            "method": "source_only",
            "architecture": network.settings.model_dump(mode="json", exclude={"init"}),
            "classes": CLASSES,
            "face": {"size": SIZE, "align": "none", "channels": "rgb"},
            "thresholds": thresholds,
            "temperature": 1.5,
            "mirror": True,
            "files": {name: sha256(folder / name) for name in ("model.onnx", "model.safetensors")},
        }
    )
    write_model_info(folder, info)
    return folder
