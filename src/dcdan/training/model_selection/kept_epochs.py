"""The kept epochs of an adaptation: each model saved with its label-free scores, for a selection at the end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from dcdan.models.network import Network
from dcdan.training.checkpoint import load_module, read_checkpoint, save_checkpoint
from dcdan.training.forward import Features, selected_probabilities
from dcdan.training.model_selection.scores import (
    EpochScores,
    bnm_score,
    density_weights,
    dev_risk,
    entropy_score,
    information_score,
    snd_score,
)
from dcdan.training.model_selection.signals import signals


def score_epoch(
    epoch: int, train: Features, validation: Features, labels: Tensor, target: Features, thresholds: Tensor
) -> EpochScores:
    """Compute the label-free scores of a model.

    Args:
        epoch: its epoch.
        train: outputs on source training faces.
        validation: outputs on V source validation faces.
        labels: ``(V,) int64`` labels of the validation faces.
        target: outputs on target training faces.
        thresholds: ``(K,) float32`` thresholds of the choice between the heads.

    Returns:
        The scores.
    """
    p = selected_probabilities(target, thresholds)
    weights = density_weights(_joined(train), _joined(validation), _joined(target))
    loss = cross_entropy(validation.logits.fused, labels, reduction="none")
    right = selected_probabilities(validation, thresholds).argmax(1) == labels
    return EpochScores(
        epoch,
        {
            "source_validation": float(right.float().mean()),
            "entropy": entropy_score(p),
            "information": information_score(p),
            "bnm": bnm_score(p),
            "snd": snd_score(p),
            "dev": -dev_risk(loss, weights),
        },
        signals(p).largest_share,
    )


def save_epoch(folder: Path, scores: EpochScores, model: Network, thresholds: Tensor) -> None:
    """Write a model to ``checkpoints/epoch-NNN.safetensors`` of a run.

    Args:
        folder: the run folder.
        scores: its epoch and scores.
        model: the network.
        thresholds: ``(K,) float32`` thresholds of the choice between the heads.
    """
    metadata = {**epoch_metadata(scores), "thresholds": [float(value) for value in thresholds]}
    path = epoch_file(folder, scores.epoch)
    path.unlink(missing_ok=True)
    save_checkpoint(path, {"network": model}, None, metadata)


def epoch_metadata(scores: EpochScores) -> dict[str, Any]:
    """Return the scores of an epoch as JSON values.

    Args:
        scores: the epoch and its scores.

    Returns:
        Its fields; a score that is not finite becomes None.
    """
    finite = {name: value if math.isfinite(value) else None for name, value in scores.scores.items()}
    return {**scores._asdict(), "scores": finite}


def scores_from_metadata(metadata: Mapping[str, Any]) -> EpochScores:
    """Return the scores that :func:`epoch_metadata` has written; the inverse of that function.

    Args:
        metadata: the JSON values; further keys are ignored.

    Returns:
        The epoch and its scores.
    """
    scores = {name: math.nan if value is None else value for name, value in metadata["scores"].items()}
    return EpochScores(metadata["epoch"], scores, metadata["largest_share"])


def read_kept_epochs(folder: Path) -> list[EpochScores]:
    """Read the scores of the kept epochs of a run.

    Args:
        folder: the run folder.

    Returns:
        The scores, by epoch.
    """
    found = []
    for path in sorted((folder / "checkpoints").glob("epoch-*.safetensors")):
        _, metadata = read_checkpoint(path)
        found.append(scores_from_metadata(metadata))
    return found


def load_epoch(folder: Path, epoch: int, model: Network) -> Tensor:
    """Load the weights of a kept epoch.

    Args:
        folder: the run folder.
        epoch: the epoch.
        model: the network to load them into.

    Returns:
        The thresholds of the epoch, ``(K,) float32``.
    """
    tensors, metadata = read_checkpoint(epoch_file(folder, epoch))
    load_module(model, tensors, "network")
    return torch.tensor(metadata["thresholds"])


def drop_epochs(folder: Path) -> None:
    """Delete the files of the kept epochs.

    Args:
        folder: the run folder.
    """
    for path in (folder / "checkpoints").glob("epoch-*.safetensors"):
        path.unlink()


def epoch_file(folder: Path, epoch: int) -> Path:
    """Return the path of a kept epoch.

    Args:
        folder: the run folder.
        epoch: the epoch.

    Returns:
        The path, which need not exist.

    Example:
        >>> epoch_file(Path("run"), 3).name
        'epoch-003.safetensors'
    """
    return folder / "checkpoints" / f"epoch-{epoch:03d}.safetensors"


def _joined(features: Features) -> Tensor:
    """Concatenate the features of both branches."""
    return torch.cat([features.of_global, features.of_local], 1)
