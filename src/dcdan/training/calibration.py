"""The calibration of a finished training on held-out source faces, corrected for the target where that can be had.

The faces are normalised by the statistics of their own domain, as target faces will be by theirs: what is calibrated
is the answer to a face that the network takes as it should. Their labels are hard, votes by their majority, since that
is what an answer is counted by. For a method that looks at the target, the temperature is then set so that the mean
confidence there is the accuracy that ATC predicts: an estimate, which no label of the target has confirmed.
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
from dcdan.training.forward import Features, look
from dcdan.training.model_selection.epoch_evaluation import some
from dcdan.training.settings import RunSettings

LEVELS = (0.8, 0.9, 0.95)
FEWEST = MINIMUM_FACES
"""Held-out faces below which nothing is calibrated, and target faces below which nothing is corrected."""
CORRECTED = "by the accuracy that ATC predicts on the target, an estimate"
LOOKED = 5000
COMPARED = 2000


@dataclass(frozen=True)
class Calibrated:
    """What ``model.json`` and ``run.json`` say of a calibration.

    ``plain`` is the temperature without a correction for the target, ``predicted`` the accuracy on the target that the
    correction rests on (None without one), ``before`` and ``after`` the bins of the held-out answers at temperature 1
    and at this one.
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
        """Return the entry ``calibration`` of ``model.json``; thresholds are rounded down, so that sets only grow."""
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
        """Return the entry ``calibration`` of ``run.json``, with the bins of the reliability diagram."""
        metadata = asdict(self)
        return metadata | {
            name: None if metadata[name] is None else _listed(metadata[name]) for name in ("before", "after")
        }

    def sentence(self) -> str:
        """Return what was done in one line."""
        if self.before is None or self.after is None:
            return f"not calibrated: {self.faces} held-out faces are too few, at least {FEWEST} are needed"
        if self.temperature in (LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE):
            how = f" ({self.corrected})" if self.corrected else ""
            return f"temperature {self.temperature}{how}, the limit: the probabilities are not to be relied on"
        errors = f"calibration error {self.before.error:.3f}, then {self.after.error:.3f}"
        return f"temperature {self.temperature:.3f}{' (' + self.corrected + ')' if self.corrected else ''}, {errors}"


class Finished(Protocol):
    """What is needed of a trainer."""

    settings: RunSettings
    source: Source
    target: Target
    method: Method
    device: torch.device


def calibration_of(trainer: Finished, model: Network, thresholds: Tensor) -> Calibrated:
    """Calibrate a trained network with its ``thresholds`` ``(K,)``, in the way that the run's settings say."""
    source, target, settings = trainer.source, trainer.target, trainer.settings
    rows = some(source.validation, LOOKED)
    if len(rows) < FEWEST:
        return Calibrated(faces=len(rows))
    held_out = look(model, source.faces, rows, trainer.device, True, False, settings.mirror)
    labels = source.hard[rows]
    on_target = None
    if settings.calibrate_for == "target" and trainer.method.adapts() and len(target.train) >= FEWEST:
        seen = look(model, target.faces, some(target.train, COMPARED), trainer.device, False, False, settings.mirror)
        on_target = chosen_probabilities(seen, thresholds)
    return calibrated(chosen_probabilities(held_out, thresholds), labels, settings.sure, on_target)


def calibrated(
    probabilities: np.ndarray, labels: np.ndarray, right: float, target: np.ndarray | None = None
) -> Calibrated:
    """Return the calibration by N held-out answers.

    Args:
        probabilities: (N, K) chosen probabilities at temperature 1.
        labels: (N,) true class indices.
        right: share of right answers wanted above ``unsure_below``.
        target: (M, K) chosen probabilities of target faces at temperature 1, to correct the temperature by.
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
    """Return the chosen probabilities ``(N, K)`` at temperature 1, in double precision."""
    logits = Logits(*(head.double() for head in features.logits))
    return np.asarray(select(logits, thresholds.cpu().double()).probabilities.numpy())


def _down(value: float) -> float:
    return math.floor(value * 1e6) / 1e6


def _listed(bins: tuple[np.ndarray, np.ndarray, np.ndarray]) -> dict[str, list[float | None]]:
    columns = zip(Bins._fields, bins, strict=True)
    return {
        name: [None if math.isnan(value) else round(value, 6) for value in column.tolist()] for name, column in columns
    }
