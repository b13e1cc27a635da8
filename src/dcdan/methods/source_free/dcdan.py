"""DCD-DAN without a source set: its losses against the source memory of a model (docs/methods.md).

    L = L_pl + .5 L_im + .1 L_adv + .01 |theta - theta_0|^2

- L_pl: cross-entropy of all heads on strong views against labels of an average teacher. The answers of the teacher to
  all faces are corrected first: assigned jointly to the declared class shares (Sinkhorn), or, where no shares are
  declared, only answers count that are nearly as confident as those on the source.
- L_im: sure answers for each face, and mean answers that have the declared shares (no shares: none).
- L_adv: a discriminator for each branch between features of the memory and of the target, conditional on the classes.
  Memory features are centres plus noise of the variance of their class. Only target features move (ADDA).
- The last term keeps the weights where they were (L2-SP; Li et al., ICML 2018). The heads are frozen.

From this project: all weights and the schedule, measured on four real sets.
"""

from __future__ import annotations

import copy
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import one_hot

from dcdan.correction.memory import SourceMemory
from dcdan.correction.output import sinkhorn
from dcdan.methods.adversarial import domain_loss, reversal_coefficient
from dcdan.methods.source_free.base import (
    Context,
    Recipe,
    SourceFreeMethod,
    SourceFreeSettings,
    Target,
    TargetBatch,
    moved_parameters,
    register,
)
from dcdan.models.discriminator import Discriminator
from dcdan.models.heads import Logits
from dcdan.models.network import Network

HEADS = (1.0, 0.5, 0.5)
"""Weights of the fused, the global and the local head, as in training."""
UNKNOWN_CONFIDENCE = 0.8
"""Mean confidence on the source of a model that has no memory to say it."""


class SourceFreeDCDANSettings(SourceFreeSettings):
    """Settings of DCD-DAN without a source set; a weight of 0 switches a part off."""

    lambda_pseudo: float = Field(default=1.0, ge=0)
    """Weight of the pseudo-label loss."""
    lambda_information: float = Field(default=0.5, ge=0)
    """Weight of the information maximisation towards declared shares."""
    lambda_adversary: float = Field(default=0.1, ge=0)
    """Weight of the reversed gradient; .3 does harm."""
    lambda_anchor: float = Field(default=0.01, ge=0)
    """Weight of the squared distance from the first weights."""
    teacher: float = Field(default=0.99, ge=0, lt=1)
    """Momentum of the average teacher."""
    renew: int = Field(default=16, ge=1)
    """Steps between two renewals of the labels; at least a pass over the faces."""
    relative_threshold: float = Field(default=0.9, gt=0, le=1)
    """Without shares: confidence from which on a label counts, over the mean confidence on the source."""


@register
class SourceFreeDCDAN(SourceFreeMethod):
    """Corrected pseudo-labels of an average teacher, and both branches aligned with the source memory."""

    name: ClassVar[str] = "dcdan"
    title: ClassVar[str] = "DCD-DAN"
    paper: ClassVar[str] = "Alzahrani et al., PeerJ Computer Science 2025; without source pictures: this project"
    needs: ClassVar[str] = "weights, source memory"
    recipe: ClassVar[Recipe] = Recipe(
        moves="features", views=("strong",), passes=4, least_steps=100, most_passes=40, lr=0.005
    )
    Settings: ClassVar[type[SourceFreeSettings]] = SourceFreeDCDANSettings

    labels: Tensor
    """Labels of the teacher, ``(N, K)``; rows of zeros do not count."""

    def __init__(self, settings: SourceFreeDCDANSettings, network: Network, context: Context) -> None:
        super().__init__(settings, network, context)
        self.options = settings
        self.teacher = frozen_copy(network)
        self.start = frozen_copy(network)
        classes, width = len(context.classes), network.settings.width
        self.register_buffer("labels", torch.zeros(context.faces, classes))
        self.shares = None if context.shares is None else torch.tensor(context.shares, dtype=torch.float32)
        memory = context.memory
        self.confidence = UNKNOWN_CONFIDENCE if memory is None else memory.source_confidence
        self.of_global = self.of_local = None
        if memory is not None and settings.lambda_adversary:
            with torch.random.fork_rng(devices=()):
                torch.manual_seed(0)
                self.of_global, self.of_local = Discriminator(width + classes), Discriminator(width + classes)
            self.register_buffer("centres", torch.from_numpy(memory.centres.astype(np.float32)))
            self.register_buffer("centre_labels", torch.from_numpy(memory.soft_labels.astype(np.float32)))
            self.register_buffer("centre_weights", torch.from_numpy(memory.weights.astype(np.float32)))
            self.register_buffer("centre_spread", torch.from_numpy(spread_within(memory)))

    def before_step(self, network: Network, target: Target, step: int, steps: int) -> None:  # noqa: ARG002
        """Update the teacher, and renew the labels where it is time.

        Args:
            network: the network.
            target: all faces.
            step: number of the step, from 0.
            steps: number of all steps.
        """
        if step:
            momentum = self.options.teacher
            with torch.no_grad():
                for own, other in zip(self.teacher.parameters(), network.parameters(), strict=True):
                    own.lerp_(other, 1 - momentum)
        if step % max(self.options.renew, -(-len(target) // self.recipe.batch)) == 0:
            self.labels.copy_(self.labels_of(target.answers(self.teacher).logits))

    def labels_of(self, logits: Tensor) -> Tensor:
        """Return the labels of all faces from the answers of the teacher.

        Args:
            logits: ``(N, K)``.

        Returns:
            ``(N, K)``: with shares, the joint assignment; without, the arg-max of confident faces and zeros elsewhere.
        """
        logs = logits.double().log_softmax(1)
        if self.shares is not None:
            joint = sinkhorn(logs.cpu().numpy(), self.shares.double().cpu().numpy() / float(self.shares.sum()))
            return torch.from_numpy(np.exp(joint.log_probabilities)).to(self.labels)
        best, label = logs.exp().max(1)
        counts = best >= self.options.relative_threshold * self.confidence
        return (one_hot(label, logs.shape[1]) * counts[:, None]).to(self.labels)

    def losses(self, network: Network, batch: TargetBatch) -> dict[str, Tensor]:
        """Return the losses of a batch.

        Args:
            network: the network.
            batch: the strong view.

        Returns:
            ``pl`` and, where they apply, ``im``, ``adv_g``, ``adv_l`` and ``anchor``, weighted.
        """
        outputs, options = batch.outputs["strong"], self.options
        losses = {"pl": options.lambda_pseudo * label_loss(outputs.logits, self.labels[batch.rows])}
        if self.shares is not None and options.lambda_information:
            losses["im"] = options.lambda_information * information_loss(outputs.logits.fused, self.shares)
        if self.of_global is not None and self.of_local is not None:
            coefficient = options.lambda_adversary * reversal_coefficient(batch.progress)
            features, labels = self.memory_batch(len(batch.rows), batch.generator)
            given = outputs.logits.fused.detach().softmax(1)
            for place, (name, discriminator, own) in enumerate(
                (("adv_g", self.of_global, outputs.of_global), ("adv_l", self.of_local, outputs.of_local))
            ):
                source = torch.cat([features[:, place], labels], 1)
                losses[name] = domain_loss(
                    *discriminator.domain_logits(source, torch.cat([own, given], 1), coefficient)
                )
        if options.lambda_anchor:
            first = moved_parameters(self.start, self.recipe.moves).values()
            now = moved_parameters(network, self.recipe.moves).values()
            squares = [(a - b).square().sum() for a, b in zip(now, first, strict=True)]
            losses["anchor"] = options.lambda_anchor * torch.stack(squares).sum()
        return losses

    def memory_batch(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw features from the memory: centres by their weights, plus noise.

        Args:
            count: number of features B.
            generator: source of randomness, on the CPU.

        Returns:
            Features ``(B, 2, width)`` of the global and local branch, and soft labels ``(B, K)``.
        """
        centres = self.get_buffer("centres")
        drawn = torch.multinomial(self.get_buffer("centre_weights").cpu(), count, True, generator=generator)
        noise = torch.randn((count, *centres.shape[1:]), generator=generator).to(centres)
        drawn = drawn.to(centres.device)
        features = centres[drawn] + noise * self.get_buffer("centre_spread")[drawn]
        return features, self.get_buffer("centre_labels")[drawn]


def frozen_copy(network: Network) -> Network:
    """Return a copy of a network in evaluation mode without gradients.

    Args:
        network: the network.

    Returns:
        The copy.
    """
    made = copy.deepcopy(network).eval()
    made.requires_grad_(False)
    return made


def spread_within(memory: SourceMemory) -> np.ndarray:
    """Return the standard deviation of the features around each centre of a memory.

    The variance of a class is that between its centres plus that within them, which is what is left.

    Args:
        memory: the memory.

    Returns:
        ``(C, B, D) float32``.
    """
    owner = memory.soft_labels.astype(np.float32).argmax(1)
    centres, weights = memory.centres.astype(np.float64), memory.weights.astype(np.float64)
    spread = np.zeros(centres.shape, np.float32)
    for label in np.unique(owner):
        own = owner == label
        share = (weights[own] / weights[own].sum())[:, None, None]
        between = (share * (centres[own] - (share * centres[own]).sum(0)) ** 2).sum(0)
        spread[own] = np.sqrt(np.maximum(memory.variances[label] - between, 0))
    return spread


def label_loss(logits: Logits, labels: Tensor) -> Tensor:
    """Return the cross-entropy of the three heads against labels, divided by all faces of the batch.

    Args:
        logits: ``(B, K)`` of each head.
        labels: ``(B, K)``; rows of zeros do not count.

    Returns:
        A scalar: the weighted mean over the heads.
    """
    parts = [-(labels * head.log_softmax(1)).sum(1).mean() * weight for head, weight in zip(logits, HEADS, strict=True)]
    return torch.stack(parts).sum() / sum(HEADS)


def information_loss(logits: Tensor, shares: Tensor) -> Tensor:
    """Return the mean entropy of the answers plus the divergence of their mean from the shares.

    ``mean_i H(p_i) + KL(mean_i p_i || shares)``; with equal shares this is the loss of SHOT-IM up to a constant.

    Args:
        logits: ``(B, K)``.
        shares: ``(K,)``, sums to 1; 0 is taken as 1e-4.

    Returns:
        A scalar.
    """
    p = logits.softmax(1)
    mean = p.mean(0)
    wanted = shares.to(p).clamp_min(1e-4)
    wanted = wanted / wanted.sum()
    sharpness = -(p * logits.log_softmax(1)).sum(1).mean()
    return sharpness + (mean * (mean.clamp_min(1e-8).log() - wanted.log())).sum()
