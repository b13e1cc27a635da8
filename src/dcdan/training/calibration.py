"""Temperature, unsure threshold and conformal thresholds of a trained model, from held-out source faces.

Each face is normalised by the statistics of its own domain, as target faces are in use. Soft labels count by their
majority, because accuracy is counted that way. For a method that adapts, the temperature is then set so that the mean
confidence on the target equals the accuracy that ATC predicts (Garg et al., ICLR 2022). That accuracy is an estimate
without target labels.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from dcdan.inference.model_card import Calibration
from dcdan.methods.base import Method
from dcdan.metrics.calibration import (
    HIGHEST_TEMPERATURE,
    LOWEST_TEMPERATURE,
    MINIMUM_FACES,
    Bins,
    binned,
    conformal_thresholds,
    fit_temperature,
    matched_temperature,
    tempered,
    unsure_below,
)
from dcdan.models.heads import Logits
from dcdan.models.network import Network
from dcdan.models.selection import select
from dcdan.training.data import Source, Target
from dcdan.training.forward import Features, predict_features
from dcdan.training.model_selection.epoch_evaluation import subsample
from dcdan.training.settings import RunSettings

LEVELS = (0.8, 0.9, 0.95)
FEWEST = MINIMUM_FACES
"""Held-out faces below which nothing is calibrated, and target faces below which nothing is corrected."""
CORRECTED = "by the accuracy that ATC predicts on the target, an estimate"
EVALUATED = 5000
COMPARED = 2000


@dataclass(frozen=True)
class Calibrated:
    """The result of a calibration, as ``model.json`` and ``run.json`` record it.

    Attributes:
        temperature: the temperature of the written model.
        plain: the temperature without a correction for the target.
        unsure_below: confidence below which an answer is unsure.
        conformal: threshold by confidence level, such as ``{"0.9": 0.2}``.
        faces: number of held-out faces.
        corrected: how the temperature was corrected for the target; empty without a correction.
        predicted: the predicted accuracy on the target that the correction uses; None without one.
        before: reliability bins of the held-out answers at temperature 1.
        after: the same at ``temperature``.
    """

    temperature: float = 1.0
    plain: float = 1.0
    unsure_below: float = 0.0
    conformal: dict[str, float] | None = None
    faces: int = 0
    corrected: str = ""
    predicted: float | None = None
    before: Bins | None = None
    after: Bins | None = None

    def for_model(self, on: str) -> Calibration:
        """Return the entry ``calibration`` of ``model.json``.

        Thresholds are rounded down, so that rounding can only enlarge a conformal set.

        Args:
            on: spec of the source on whose held-out faces the model was calibrated.

        Returns:
            The entry, without the bins.
        """
        error = None if self.after is None else self.after.error
        return Calibration(
            unsure_below=_down(self.unsure_below),
            conformal={level: _down(value) for level, value in (self.conformal or {}).items()},
            error=None if error is None else round(error, 6),
            faces=self.faces,
            on=on,
            corrected=self.corrected,
        )

    def for_run(self) -> dict[str, Any]:
        """Return the entry ``calibration`` of ``run.json``, with the bins of the reliability diagram.

        Returns:
            JSON values; empty bins are None.
        """
        metadata = asdict(self)
        return metadata | {
            name: None if metadata[name] is None else _listed(metadata[name]) for name in ("before", "after")
        }

    def sentence(self) -> str:
        """Return the result in one line.

        Returns:
            The temperature and the calibration error before and after, or why nothing was calibrated.

        Example:
            >>> Calibrated(faces=3).sentence().partition(":")[0]
            'not calibrated'
        """
        if self.before is None or self.after is None:
            return f"not calibrated: {self.faces} held-out faces are too few, at least {FEWEST} are needed"
        if self.temperature in (LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE):
            how = f" ({self.corrected})" if self.corrected else ""
            return f"temperature {self.temperature}{how}, the limit: the probabilities are not to be relied on"
        errors = f"calibration error {self.before.error:.3f}, then {self.after.error:.3f}"
        return f"temperature {self.temperature:.3f}{' (' + self.corrected + ')' if self.corrected else ''}, {errors}"


class Finished(Protocol):
    """The attributes of a trainer that the calibration needs."""

    settings: RunSettings
    source: Source
    target: Target
    method: Method
    device: torch.device


def calibration_of(trainer: Finished, model: Network, thresholds: Tensor) -> Calibrated:
    """Calibrate a trained network as the settings of its run ask.

    Args:
        trainer: the finished training.
        model: the network to calibrate.
        thresholds: ``(K,) float32`` thresholds of the choice between the heads.

    Returns:
        The calibration; temperature 1 where fewer than ``FEWEST`` source faces are held out.
    """
    source, target, settings = trainer.source, trainer.target, trainer.settings
    rows = subsample(source.validation, EVALUATED)
    if len(rows) < FEWEST:
        return Calibrated(faces=len(rows))
    held_out = predict_features(model, source.faces, rows, trainer.device, True, False, settings.mirror)
    labels = source.hard[rows]
    on_target = None
    if settings.calibrate_for == "target" and trainer.method.adapts() and len(target.train) >= FEWEST:
        seen = predict_features(
            model, target.faces, subsample(target.train, COMPARED), trainer.device, False, False, settings.mirror
        )
        on_target = chosen_probabilities(seen, thresholds)
    return calibrated(chosen_probabilities(held_out, thresholds), labels, settings.sure, on_target)


def calibrated(
    probabilities: np.ndarray, labels: np.ndarray, right: float, target: np.ndarray | None = None
) -> Calibrated:
    """Return the calibration that N held-out answers give.

    Args:
        probabilities: ``(N, K) float64`` selected probabilities at temperature 1.
        labels: ``(N,) int64`` true class indices.
        right: accuracy wanted above ``unsure_below``, in (0, 1).
        target: ``(M, K) float64`` selected probabilities of target faces at temperature 1, for the correction.

    Returns:
        The calibration.
    """
    plain = temperature = fit_temperature(probabilities, labels, minimum_faces=FEWEST)
    corrected, predicted = "", None
    correct = probabilities.argmax(1) == labels
    if target is not None and len(target) >= FEWEST:
        temperature, predicted = matched_temperature(probabilities, correct, target, minimum_faces=FEWEST)
        corrected = CORRECTED
    final = tempered(probabilities, temperature)
    confidence = final.max(1)
    return Calibrated(
        temperature=temperature,
        plain=plain,
        unsure_below=unsure_below(confidence, correct, right),
        conformal=conformal_thresholds(final, labels, LEVELS),
        faces=len(labels),
        corrected=corrected,
        predicted=predicted,
        before=binned(probabilities.max(1), correct),
        after=binned(confidence, correct),
    )


def chosen_probabilities(features: Features, thresholds: Tensor) -> np.ndarray:
    """Return the selected probabilities at temperature 1, in double precision.

    Args:
        features: outputs of the network on N faces.
        thresholds: ``(K,) float32`` thresholds of the choice between the heads.

    Returns:
        ``(N, K) float64``; each row sums to 1.
    """
    logits = Logits(*(head.double() for head in features.logits))
    return np.asarray(select(logits, thresholds.cpu().double()).probabilities.numpy())


def _down(value: float) -> float:
    """Round down to six digits."""
    return math.floor(value * 1e6) / 1e6


def _listed(bins: tuple[np.ndarray, np.ndarray, np.ndarray]) -> dict[str, list[float | None]]:
    """Return bins as lists of rounded numbers, with None for NaN."""
    columns = zip(Bins._fields, bins, strict=True)
    return {
        name: [None if math.isnan(value) else round(value, 6) for value in column.tolist()] for name, column in columns
    }
