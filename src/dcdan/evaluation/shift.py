"""What the source stage of a run would have said of the target: the model before the adaptation."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def source_stage_of(run: Path) -> Path | None:
    """Return the checkpoint of a run's source stage, its own or the one that it started from; None when it is gone."""
    from dcdan.training.run_files import data_of
    from dcdan.training.source_stage import finished_stage

    if (own := finished_stage(run, None)) is not None:
        return own
    start = data_of(run).get("start")
    return finished_stage(run, Path(start)) if start else None


def before_adaptation(run: Path, faces: np.ndarray) -> np.ndarray | None:
    """Return the source stage's probabilities ``(N, K)`` of target faces, or None when its checkpoint is gone.

    ``faces`` are ``(N, S, S, 3)`` RGB or ``(N, S, S)`` grey, uint8, of the run's size; they are normalised by the
    source's statistics, as by a user who adapts nothing.
    """
    checkpoint = source_stage_of(run)
    if checkpoint is None or not len(faces):
        return None
    import torch

    from dcdan.training.checkpoint import load_module, read_checkpoint
    from dcdan.training.inference import chosen, look
    from dcdan.training.run_files import read_run_settings

    tensors, facts = read_checkpoint(checkpoint)
    settings = read_run_settings(run)
    classes = len(facts["classes"])
    network = settings.build(classes)
    load_module(network, tensors, "network")
    found = look(network, faces, np.arange(len(faces)), torch.device("cpu"), source=True, bf16=False)
    return np.asarray(chosen(found, torch.zeros(classes)).numpy())
