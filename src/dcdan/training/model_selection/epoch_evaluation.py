"""The evaluation of a model after an epoch: accuracy on held-out source faces, and label-free signals of the target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dcdan.models.network import Network
from dcdan.training.data import Source, Target
from dcdan.training.forward import predict_features, selected_probabilities
from dcdan.training.model_selection.kept_epochs import score_epoch
from dcdan.training.model_selection.scores import EpochScores
from dcdan.training.model_selection.signals import Signals, signals

EVALUATED_FACES = 2000
HARMFUL = 0.02


class EpochEvaluation(NamedTuple):
    """The measurements of a model after an epoch."""

    right: float
    """Accuracy on held-out source faces."""
    total: float
    """Sum of the evaluated logits, which is not finite for a diverged model."""
    target: Signals | None
    """Signals of the target; None in the source stage."""
    scores: EpochScores | None
    """Label-free scores of the model, where they were computed."""

    def metadata(self) -> dict[str, float]:
        """Return the measurements by name, for the metrics log.

        Returns:
            Numbers rounded to four digits.
        """
        of_target = {} if self.target is None else self.target._asdict()
        by_name = {} if self.scores is None else self.scores.scores
        metadata: dict[str, float] = {"source_validation": self.right, **of_target, **dict(by_name.items())}
        return {name: round(value, 4) for name, value in metadata.items()}


def evaluate_epoch(
    model: Network,
    thresholds: Tensor,
    source: Source,
    target: Target | None,
    device: torch.device,
    bf16: bool,
    scored_epoch: int | None,
) -> EpochEvaluation:
    """Evaluate a model after an epoch.

    Args:
        model: the network.
        thresholds: ``(K,) float32`` thresholds of the choice between the heads.
        source: the source.
        target: the target; None in the source stage.
        device: the device of the network.
        bf16: whether to compute in bf16.
        scored_epoch: epoch to score for model selection; None computes no scores.

    Returns:
        The evaluation.
    """
    rows = subsample(source.validation)
    found = predict_features(model, source.faces, rows, device, True, bf16)
    right = float((selected_probabilities(found, thresholds).argmax(1).numpy() == source.hard[rows]).mean())
    total = float(found.logits.fused.sum())
    if target is None:
        return EpochEvaluation(right, total, None, None)
    seen = predict_features(model, target.faces, subsample(target.train), device, False, bf16)
    scores = None
    if scored_epoch is not None:
        learned = predict_features(model, source.faces, subsample(source.train), device, True, bf16)
        scores = score_epoch(scored_epoch, learned, found, torch.from_numpy(source.hard[rows]), seen, thresholds)
    return EpochEvaluation(right, total, signals(selected_probabilities(seen, thresholds)), scores)


CHANCE, AT_CHANCE, TELLS_ALL = 0.5, 0.02, 0.98


def idle_discriminators(records: Iterable[Mapping[str, Any]]) -> str:
    """Return a warning for each discriminator whose reversed gradient teaches the features nothing.

    Args:
        records: records of the metrics log; the accuracy of a discriminator is in the records of epochs under a name
            that begins with ``discriminator``.

    Returns:
        One sentence for each discriminator that stays within 0.02 of chance, or above 0.98, in every epoch; "" for
        none.

    Example:
        >>> idle_discriminators([{"kind": "adaptation-epoch", "discriminator_local": 0.49}]).partition(":")[0]
        'The discriminator_local stays at chance from start to end (accuracy 0.49 to 0.49)'
    """
    values: dict[str, list[float]] = {}
    for record in records:
        if record["kind"] == "adaptation-epoch":
            for name, value in record.items():
                if name.startswith("discriminator"):
                    values.setdefault(name, []).append(float(value))
    found = []
    for name, each in values.items():
        span = f"(accuracy {min(each):.2f} to {max(each):.2f})"
        if all(abs(value - CHANCE) <= AT_CHANCE for value in each):
            found.append(
                f"The {name} stays at chance from start to end {span}: its reversed gradient teaches the features "
                "nothing; raise adaptation.discriminator_ratio or adaptation.epochs."
            )
        elif min(each) > TELLS_ALL:
            found.append(
                f"The {name} tells the domains apart from start to end {span}: the features do not follow its reversed "
                "gradient; raise its weight in options, or lower adaptation.discriminator_ratio."
            )
    return " ".join(found)


def subsample(rows: np.ndarray, most: int = EVALUATED_FACES, seed: int = 0) -> np.ndarray:
    """Return a fixed random subset of rows, because packs may be sorted by class.

    Args:
        rows: ``(N,) int64``.
        most: largest number of rows.
        seed: seed of the subset.

    Returns:
        At most ``most`` rows, ascending.

    Example:
        >>> subsample(np.arange(3)).tolist()
        [0, 1, 2]
    """
    return np.sort(np.random.default_rng(seed).permutation(rows)[:most])


def harm_warning(records: Iterable[Mapping[str, Any]], taken: int | None = None) -> str:
    """Return a warning when the adaptation has cost accuracy on held-out source faces.

    Such a fall means that the target training contradicts the source labels; no target label is needed to see it.

    Args:
        records: records of the metrics log.
        taken: the epoch that was written; None for the last.

    Returns:
        The warning, or "" below a loss of 0.02.
    """
    accuracies = {int(r["epoch"]): float(r["source_validation"]) for r in records if r["kind"] == "adaptation-epoch"}
    last = max(accuracies, default=0) if taken is None else taken
    if 0 not in accuracies or last not in accuracies or accuracies[0] - accuracies[last] <= HARMFUL:
        return ""
    return (
        f"The adaptation may have done harm: accuracy on held-out source faces fell from {accuracies[0]:.1%} to "
        f"{accuracies[last]:.1%}; compare with --method adabn or source_only, or let --set choose=entropy decide."
    )
