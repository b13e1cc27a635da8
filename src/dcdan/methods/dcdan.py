"""DCD-DAN, the method of the paper (Algorithm 1): global and local adversarial alignment, and dynamic pseudo-labels.

    L = L_cls + lambda_g L_adv^g + lambda_l L_adv^l + lambda_p L_pl                   (Eq. 4 and Algorithm 1, line 12)

``preset = "paper"`` reads the text literally: plain discriminators, no teacher average, every arg-max of S counts.
``preset = "default"`` is the configuration that the label-free selection rule of the protocol prefers.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import one_hot

from dcdan.methods.adversarial import Conditional, adversarial_loss, reversal_coefficient
from dcdan.methods.base import Batch, Method, MethodSettings, Sampling, register
from dcdan.methods.pseudo_labels import (
    DynamicThresholds,
    Prior,
    PseudoLabelRule,
    aligned_to_prior,
    move_mean,
    pseudo_label_loss,
)
from dcdan.models.discriminator import Discriminator


class DCDANSettings(MethodSettings):
    """Settings of DCD-DAN; a weight of 0 switches a part off."""

    sampling: Sampling = "source-as-target"
    lambda_global: float = Field(default=0.1, ge=0)
    """Weight of the global adversarial loss on the features; its discriminator learns at full weight."""
    lambda_local: float = Field(default=0.1, ge=0)
    """Weight of the local adversarial loss on the features; its discriminator learns at full weight."""
    lambda_pseudo: float = Field(default=1.0, ge=0)
    """Weight of the pseudo-label loss, after its ramp."""
    ramp: float = Field(default=0.25, ge=0, le=1)
    """Share of stage 2 over which the pseudo-label weight grows from 0."""
    pseudo_labels: PseudoLabelRule = "dynamic"
    """Which pseudo-labels count: none, all, above .95, or above their class's dynamic threshold."""
    fixed_threshold: float = Field(default=0.95, gt=0, lt=1)
    """The threshold of the rule ``fixed``."""
    relative_threshold: float = Field(default=0.9, gt=0, le=2)
    """tau over the source's mean confidence."""
    threshold_floor: float = Field(default=0.25, ge=0, lt=1)
    """No dynamic threshold falls below this. It lies below the range in which they move in most trainings: with a mean
    confidence of .75 on the source, tau is .68 and a class that is never confident has the threshold .17."""
    prior: Prior = "none"
    """The class balance that pseudo-labels are pulled to; ``estimated`` halves the unevenness of the running mean."""
    certain: float = Field(default=0.9, ge=0, le=1)
    """The confidence at which one head decides a face alone; below it the three decide together. At 0 the dynamic
    thresholds take its place (AGLRLS)."""
    conditional: Conditional = "none"
    """Plain discriminators (P), or CDAN-E's."""


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {
        "lambda_global": 1.0,
        "lambda_local": 1.0,
        "ramp": 0.0,
        "pseudo_labels": "all",
        "conditional": "none",
        "prior": "none",
        "sampling": "even",
        "certain": 0.0,
    },
}


@register
class DCDAN(Method):
    """Dynamic Cross-Domain Dual Attention Network."""

    name: ClassVar[str] = "dcdan"
    title: ClassVar[str] = "DCD-DAN"
    paper: ClassVar[str] = "Alzahrani et al., PeerJ Computer Science 2025, doi 10.7717/peerj-cs.2866"
    sees_target: ClassVar[bool] = True
    uses_teacher: ClassVar[bool] = True
    revision: ClassVar[int] = 3
    Settings: ClassVar[type[MethodSettings]] = DCDANSettings

    counted: Tensor
    """Share of target faces whose pseudo-label counts, a running mean."""
    assigned: Tensor
    """Share of target faces that the teacher assigns to each class, ``(K,)``."""
    accepted: Tensor
    """Share of target faces whose pseudo-label is each class and counts, ``(K,)``."""

    def __init__(self, settings: DCDANSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings
        classes = len(class_counts)
        inputs = width * (classes if settings.conditional == "cdan-e" else 1)
        self.of_global = Discriminator(inputs) if settings.lambda_global else None
        self.of_local = Discriminator(inputs) if settings.lambda_local else None
        self.more_global, self.more_local = nn.ModuleList(), nn.ModuleList()
        self.dynamic = DynamicThresholds(classes, settings.relative_threshold, floor=settings.threshold_floor)
        self.register_buffer("counted", torch.tensor(0.0))
        self.register_buffer("assigned", torch.zeros(classes))
        self.register_buffer("accepted", torch.zeros(classes))

    def set_sources(self, count: int) -> None:
        """Add a discriminator of each branch for every source set after the first.

        Args:
            count: number of source sets.
        """
        for first, more in ((self.of_global, self.more_global), (self.of_local, self.more_local)):
            if first is not None:
                more.extend(Discriminator(first.width) for _ in range(count - 1))

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the classification, adversarial and pseudo-label losses.

        With several source sets, each has discriminators of its own against the target, and the adversarial losses are
        the means over the sets.

        Args:
            batch: source and target faces, with the teacher's logits.
            progress: fraction of the stage that is done, in [0, 1].

        Returns:
            ``cls`` and, where switched on, ``adv_g``, ``adv_l`` and ``pl``, weighted.
        """
        source, target, options = batch.source, batch.target, self.options
        assert target is not None
        losses = {"cls": self.classify(batch)}
        coefficient = reversal_coefficient(progress)
        for name, first, more, weight, of_source, of_target, head in (
            ("adv_g", self.of_global, self.more_global, options.lambda_global, source.of_global, target.of_global, 1),
            ("adv_l", self.of_local, self.more_local, options.lambda_local, source.of_local, target.of_local, 2),
        ):
            if first is None:
                continue
            parts = [
                adversarial_loss(
                    discriminator,
                    of_source[rows],
                    of_target,
                    source.logits[head][rows],
                    target.logits[head],
                    weight * coefficient,
                    options.conditional,
                )
                for discriminator, rows in zip((first, *more), rows_of_sets(batch, 1 + len(more)), strict=True)
                if rows is not None
            ]
            losses[name] = torch.stack(parts).mean()
        if options.pseudo_labels != "off" and options.lambda_pseudo:
            losses["pl"] = self.pseudo_loss(batch, progress)
        return losses

    def pseudo_loss(self, batch: Batch, progress: float) -> Tensor:
        """Return the weighted pseudo-label loss and update the running thresholds.

        Args:
            batch: source and target faces, with the teacher's logits.
            progress: fraction of the stage that is done, in [0, 1].

        Returns:
            A scalar.
        """
        assert batch.target is not None
        assert batch.teacher is not None
        teacher = batch.teacher.fused.softmax(1)
        source = batch.source.logits.fused.detach().softmax(1)
        target = self.with_prior(teacher)
        updates = self.dynamic.updates.clone()
        self.dynamic.update(source, teacher)
        best, label = target.max(1)
        counted = best >= self.pseudo_label_thresholds()[label]
        labels = one_hot(label, target.shape[1]).to(best.dtype)
        for mean, value in (
            (self.counted, counted.to(best.dtype).mean()),
            (self.assigned, labels.mean(0)),
            (self.accepted, labels[counted].sum(0) / len(labels)),
        ):
            move_mean(mean, value, updates, self.dynamic.momentum)
        ramp = min(1.0, progress / self.options.ramp) if self.options.ramp else 1.0
        weights = self.options.classification.weights
        return self.options.lambda_pseudo * ramp * pseudo_label_loss(batch.target.logits, target, counted, weights)

    def with_prior(self, teacher: Tensor) -> Tensor:
        """Return the teacher's probabilities, aligned to the assumed class prior of the target.

        Args:
            teacher: ``(B, K)``, rows sum to 1.

        Returns:
            ``(B, K)``, rows sum to 1.
        """
        seen, counts = self.dynamic.seen, self.get_buffer("class_counts")
        if self.options.prior == "none":
            return teacher
        prior = {
            "source": counts / counts.sum(),
            "uniform": torch.full_like(counts, 1 / len(counts)),
            "estimated": seen.sqrt() / seen.sqrt().sum(),
        }[self.options.prior]
        return aligned_to_prior(teacher, seen, prior)

    def pseudo_label_thresholds(self) -> Tensor:
        """Return the thresholds that pseudo-labels must reach.

        Returns:
            ``(K,)``.
        """
        counts = self.get_buffer("class_counts")
        if self.options.pseudo_labels == "fixed":
            return torch.full_like(counts, self.options.fixed_threshold)
        return self.dynamic.values() if self.options.pseudo_labels == "dynamic" else torch.zeros_like(counts)

    def thresholds(self) -> Tensor:
        """Return the thresholds of the final choice; the fused head alone is used where another head was not trained.

        Returns:
            ``(K,)``.
        """
        if not all(self.options.classification.weights):
            return super().thresholds()
        if self.options.certain:
            return torch.full_like(self.get_buffer("class_counts"), self.options.certain)
        return self.dynamic.values() if self.options.pseudo_labels == "dynamic" else super().thresholds()

    def first_thresholds(self) -> Tensor:
        """Return the thresholds for the model before the adaptation: those of the final choice unless they are dynamic.

        Returns:
            ``(K,)``.
        """
        return self.thresholds() if self.options.certain else super().thresholds()

    def report(self) -> dict[str, float | list[float]]:
        """Return the fraction of target faces whose pseudo-label counts, and statistics of each class.

        Returns:
            ``counted``; ``threshold_min`` and ``threshold_max``; ``thresholds`` that pseudo-labels must reach; and
            ``accepted``: among the target faces that the teacher assigns to a class, the fraction whose label counts (0
            where there are none). Lists have one number per class.
        """
        values = self.pseudo_label_thresholds()
        return {
            "counted": float(self.counted),
            "threshold_min": float(values.min()),
            "threshold_max": float(values.max()),
            "thresholds": values.tolist(),
            "accepted": (self.accepted / self.assigned.clamp_min(1e-8)).tolist(),
        }

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Add the buffers that checkpoints of version 0.1 lack."""
        for name in ("assigned", "accepted"):  # checkpoints of version 0.1 do not have them
            if prefix + "counted" in state_dict:
                state_dict.setdefault(prefix + name, self.get_buffer(name).clone())
        super()._load_from_state_dict(state_dict, prefix, *rest)


def rows_of_sets(batch: Batch, count: int) -> list[Tensor | slice | None]:
    """Return which source faces of a batch belong to each data set.

    Args:
        batch: the batch.
        count: number of data sets that have discriminators.

    Returns:
        An index of the source faces for each data set; None for a set without a face in this batch. With a single set
        all faces are its own, whatever set they come from.
    """
    if batch.sets is None or count == 1:
        return [slice(None), *[None] * (count - 1)]
    return [rows if len(rows := (batch.sets == number).nonzero().squeeze(1)) else None for number in range(count)]
