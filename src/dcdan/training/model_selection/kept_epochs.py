"""The epochs of an adaptation as candidates: each kept with its label-free scores, for a choice at the end."""

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
from dcdan.training.forward import Features, chosen
from dcdan.training.model_selection.scores import (
    Candidate,
    bnm_score,
    density_weights,
    dev_risk,
    entropy_score,
    information_score,
    snd_score,
)
from dcdan.training.model_selection.signals import signals


def scored(
    epoch: int, train: Features, validation: Features, labels: Tensor, target: Features, thresholds: Tensor
) -> Candidate:
    """Score a model by what it says of source training and validation faces and of target training faces.

    ``labels`` ``(V,)`` int64 of the validation faces; ``thresholds`` ``(K,)`` of the choice between the heads.
    """
    p = chosen(target, thresholds)
    weights = density_weights(_joined(train), _joined(validation), _joined(target))
    loss = cross_entropy(validation.logits.fused, labels, reduction="none")
    right = chosen(validation, thresholds).argmax(1) == labels
    return Candidate(
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


def save_epoch(folder: Path, candidate: Candidate, model: Network, thresholds: Tensor) -> None:
    """Write a candidate to ``checkpoints/epoch-NN.safetensors`` in a run's folder."""
    metadata = {**epoch_metadata(candidate), "thresholds": [float(value) for value in thresholds]}
    path = epoch_file(folder, candidate.epoch)
    path.unlink(missing_ok=True)
    save_checkpoint(path, {"network": model}, None, metadata)


def epoch_metadata(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate as JSON-able values; a score that is no number becomes None."""
    scores = {name: value if math.isfinite(value) else None for name, value in candidate.scores.items()}
    return {**candidate._asdict(), "scores": scores}


def candidate_of(metadata: Mapping[str, Any]) -> Candidate:
    """Return the candidate that :func:`epoch_metadata` wrote down; more than that may stand beside."""
    scores = {name: math.nan if value is None else value for name, value in metadata["scores"].items()}
    return Candidate(metadata["epoch"], scores, metadata["largest_share"])


def read_kept_epochs(folder: Path) -> list[Candidate]:
    """Return the candidates of a run, by epoch."""
    found = []
    for path in sorted((folder / "checkpoints").glob("epoch-*.safetensors")):
        _, metadata = read_checkpoint(path)
        found.append(candidate_of(metadata))
    return found


def load_epoch(folder: Path, epoch: int, model: Network) -> Tensor:
    """Put the weights of an epoch into a network and return its thresholds ``(K,)``."""
    tensors, metadata = read_checkpoint(epoch_file(folder, epoch))
    load_module(model, tensors, "network")
    return torch.tensor(metadata["thresholds"])


def drop_epochs(folder: Path) -> None:
    """Remove the candidates' files."""
    for path in (folder / "checkpoints").glob("epoch-*.safetensors"):
        path.unlink()


def epoch_file(folder: Path, epoch: int) -> Path:
    """Return where a candidate is kept."""
    return folder / "checkpoints" / f"epoch-{epoch:03d}.safetensors"


def _joined(features: Features) -> Tensor:
    return torch.cat([features.of_global, features.of_local], 1)
