"""Face-cycle GAN with transfer learning (Zhou et al., 2024, after CycleGAN, Zhu et al., ICCV 2017). Uses target images.

A generator G gives source faces the look of the target, F the reverse, and both domains have a discriminator D of
patches. The least-squares GAN, with a = 10 for cycles and b = 5 for identity:

    generators        (D_t(G(x_s)) - 1)^2 + (D_s(F(x_t)) - 1)^2
                      + a ( |F(G(x_s)) - x_s| + |G(F(x_t)) - x_t| ) + b ( |G(x_t) - x_t| + |F(x_s) - x_s| )
    discriminators    1/2 ( (D_t(x_t) - 1)^2 + D_t(G(x_s))^2 ), and the same of the source
    network           L_cls + w CE(network(G(x_s)), y_s), faces of the target's look with the source's labels

Our reading of its abstract: a cycle GAN of faces enlarges the training set, then two networks are trained on both. Here
generators and network train together in the adaptation stage, with the run's optimiser; the translated faces count more
as the generators improve (the ramp of DANN). The two branches of the network stand for the two networks, and
expressions are not generated anew. Generators have one step down, two residual blocks and 16 to 32 channels.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from dcdan.methods.adversarial import reversal_coefficient
from dcdan.methods.base import Batch, Method, MethodSettings, register
from dcdan.methods.classification import classification_loss
from dcdan.models.domain_norm import sources_first
from dcdan.models.network import Network


class FaceCycleGANSettings(MethodSettings):
    """Settings of the face-cycle GAN."""

    translated: float = Field(default=0.5, ge=0)
    """Weight w of the translated faces, after the ramp."""
    gan: float = Field(default=0.1, ge=0)
    """Weight of all losses of generators and discriminators; the run's learning rate is made for the network."""
    cycle: float = Field(default=10.0, ge=0)
    """Weight a of the cycles."""
    identity: float = Field(default=5.0, ge=0)
    """Weight b of the identity."""
    channels: int = Field(default=16, ge=4, le=256)
    """Channels of the generators' first layer."""


class Block(nn.Module):
    """A residual block with instance norm, ``(B, C, H, W)`` to the same shape.

    Args:
        channels: channels C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.InstanceNorm2d(channels, affine=True),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.InstanceNorm2d(channels, affine=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add what the layers find.

        Args:
            x: ``(B, C, H, W)``.

        Returns:
            ``(B, C, H, W)``.
        """
        out: Tensor = x + self.layers(x)
        return out


class Generator(nn.Module):
    """Translate faces, ``(B, 3, S, S)`` in [0, 1] to the same; S is even. At the start it is nearly the identity.

    Args:
        channels: channels of the first layer.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, channels, 5, padding=2),
            nn.InstanceNorm2d(channels, affine=True),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
            nn.InstanceNorm2d(2 * channels, affine=True),
            nn.ReLU(),
            Block(2 * channels),
            Block(2 * channels),
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv2d(2 * channels, channels, 3, padding=1),
            nn.InstanceNorm2d(channels, affine=True),
            nn.ReLU(),
            nn.Conv2d(channels, 3, 5, padding=2),
        )

    def forward(self, faces: Tensor) -> Tensor:
        """Translate faces.

        Args:
            faces: ``(B, 3, S, S)`` in [0, 1].

        Returns:
            ``(B, 3, S, S)`` in [0, 1].
        """
        odds = torch.logit(faces.float().clamp(0.02, 0.98))
        made: Tensor = (odds + self.layers(faces)).sigmoid()
        return made


def patch_discriminator(channels: int) -> nn.Sequential:
    """Return a discriminator of overlapping patches, ``(B, 3, S, S)`` to ``(B, 1, S/4, S/4)``.

    Args:
        channels: channels of the first layer.
    """
    return nn.Sequential(
        nn.Conv2d(3, channels, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1),
        nn.InstanceNorm2d(2 * channels, affine=True),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * channels, 1, 3, padding=1),
    )


def real_or_not(real: Tensor, made: Tensor) -> Tensor:
    """Return ``1/2 (mean (D(real) - 1)^2 + mean D(made)^2)``, the loss of a discriminator.

    Args:
        real: its outputs on real faces.
        made: its outputs on translated faces.

    Returns:
        A scalar.
    """
    return 0.5 * ((real - 1).square().mean() + made.square().mean())


def cycle_and_identity(faces: Tensor, back: Tensor, same: Tensor, cycle: float, identity: float) -> Tensor:
    """Return ``cycle mean |back - faces| + identity mean |same - faces|``.

    Args:
        faces: ``(B, 3, S, S)``.
        back: the faces translated there and back.
        same: the faces translated to their own domain.
        cycle: weight of the first.
        identity: weight of the second.

    Returns:
        A scalar.
    """
    return cycle * (back - faces).abs().mean() + identity * (same - faces).abs().mean()


@register
class FaceCycleGAN(Method):
    """Source faces that a cycle GAN gives the look of the target, as further labelled faces."""

    name: ClassVar[str] = "face_cycle_gan"
    title: ClassVar[str] = "Face-cycle GAN"
    paper: ClassVar[str] = "Zhou et al., transfer learning with a face-cycle GAN for expression recognition, 2024"
    reading: ClassVar[str] = "our reading of its abstract"
    sees_target: ClassVar[bool] = True
    Settings: ClassVar[type[MethodSettings]] = FaceCycleGANSettings

    def __init__(self, settings: FaceCycleGANSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings
        self.to_target, self.to_source = Generator(settings.channels), Generator(settings.channels)
        self.of_target, self.of_source = (patch_discriminator(settings.channels) for _ in range(2))

    def prepare(self, network: Network, faces: int) -> None:  # noqa: ARG002
        """Remember the network, through which translated faces pass.

        Args:
            network: the network.
            faces: not used.
        """
        self.trained = (network,)  # in a tuple, so that it is no part of the method's state

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the classification losses and those of the GAN.

        Args:
            batch: source and target faces, with their views.
            progress: fraction of the stage that is done, in [0, 1].

        Returns:
            ``cls``, ``translated``, ``generators``, ``cycles`` and ``discriminators``, weighted.
        """
        source, target, options = batch.faces, batch.target_faces, self.options
        assert source is not None
        assert target is not None
        made_target, made_source = self.to_target(source), self.to_source(target)
        cheated = [
            functional_call(critic, {name: value.detach() for name, value in critic.named_parameters()}, (made,))
            for critic, made in ((self.of_target, made_target), (self.of_source, made_source))
        ]
        fooling = sum(((found - 1).square().mean() for found in cheated), source.new_zeros(()))
        cycles = cycle_and_identity(
            source, self.to_source(made_target), self.to_source(source), options.cycle, options.identity
        ) + cycle_and_identity(
            target, self.to_target(made_source), self.to_target(target), options.cycle, options.identity
        )
        apart = real_or_not(self.of_target(target), self.of_target(made_target.detach()))
        apart = apart + real_or_not(self.of_source(source), self.of_source(made_source.detach()))
        network = self.trained[0]
        with sources_first(network, 0):
            logits = network(made_target.detach().to(source.dtype)).logits
        translated = classification_loss(logits, batch.labels, self.sampled_counts, self.settings.classification)
        return {
            "cls": self.classify(batch),
            "translated": reversal_coefficient(progress) * options.translated * translated,
            "generators": options.gan * fooling,
            "cycles": options.gan * cycles,
            "discriminators": options.gan * apart,
        }
