"""ADDA: Adversarial Discriminative Domain Adaptation (Tzeng et al., CVPR 2017). Uses target images.

The source network is trained first and then frozen; its features of source faces are the real sample of a GAN. The
target network starts from its weights and is the generator:

    discriminator    -E_s[log D(M_s(x))] - E_t[log(1 - D(M_t(x)))]
    target network   -E_t[log D(M_t(x))]          inverted labels, not the reversed gradient

Differences from the paper: the classification loss on source faces stays (``keep``), because the one written network
serves both domains and its heads are not frozen; ``keep = 0.1`` comes close to the paper, where the features alone
move. M is the sum of global and local features. The frozen copy is made at the first step of the adaptation.
"""

from __future__ import annotations

import copy
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import softplus

from dcdan.methods.adversarial import domain_loss
from dcdan.methods.base import Batch, Method, MethodSettings, register
from dcdan.methods.feature_alignment import fused_features
from dcdan.models.discriminator import Discriminator
from dcdan.models.domain_norm import sources_first
from dcdan.models.network import Network


class ADDASettings(MethodSettings):
    """Settings of ADDA."""

    weight: float = Field(default=0.1, ge=0)
    """Weight of the target network's adversarial loss; the discriminator learns at full weight."""
    keep: float = Field(default=1.0, gt=0)
    """Weight of the classification loss on source faces; the paper has none in this stage."""


def mapping_loss(logits: Tensor) -> Tensor:
    """Return ``-E[log D(M_t(x))]``, the loss of the target network with inverted labels.

    Args:
        logits: ``(B,)`` of the discriminator on target faces, positive for source.

    Returns:
        A scalar.

    Example:
        >>> round(float(mapping_loss(torch.zeros(2))), 4)
        0.6931
    """
    return softplus(-logits).mean()


@register
class ADDA(Method):
    """Target features that a discriminator takes for those of the frozen source network."""

    name: ClassVar[str] = "adda"
    title: ClassVar[str] = "ADDA"
    paper: ClassVar[str] = "Tzeng et al., Adversarial Discriminative Domain Adaptation, CVPR 2017"
    sees_target: ClassVar[bool] = True
    Settings: ClassVar[type[MethodSettings]] = ADDASettings

    frozen: Network
    started: Tensor

    def __init__(self, settings: ADDASettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings
        self.discriminator = Discriminator(width)
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def prepare(self, network: Network, faces: int) -> None:  # noqa: ARG002
        """Make room for the frozen source network.

        Args:
            network: the network, whose weights are copied at the first step of the adaptation.
            faces: not used.
        """
        self.trained = (network,)  # in a tuple, so that it is no part of the method's state
        self.frozen = copy.deepcopy(network).requires_grad_(False).eval()

    @torch.no_grad()
    def source_features(self, faces: Tensor) -> Tensor:
        """Return the features of the frozen source network.

        Args:
            faces: ``(B, 3, S, S)`` source faces in [0, 1].

        Returns:
            ``(B, width)``.
        """
        if not self.started:
            self.frozen.load_state_dict(self.trained[0].state_dict())
            self.started.fill_(True)
        with sources_first(self.frozen.eval(), -1):
            return fused_features(self.frozen(faces))

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the losses of the classifier, the discriminator and the target network.

        Args:
            batch: source and target faces.
            progress: not used.

        Returns:
            ``cls``, ``disc`` and ``map``, weighted.
        """
        assert batch.target is not None
        assert batch.faces is not None
        mapped = fused_features(batch.target)
        known = self.source_features(batch.faces).to(mapped.dtype)
        apart = domain_loss(*self.discriminator.domain_logits(known, mapped.detach(), 0.0))
        fixed = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        seen = functional_call(self.discriminator, fixed, (mapped,)).squeeze(1)
        return {
            "cls": self.options.keep * self.classify(batch),
            "disc": apart,
            "map": self.options.weight * mapping_loss(seen),
        }
