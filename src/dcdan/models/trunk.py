"""The trunk: any timm model that has maps at strides 8 and 16, its last map kept at stride 16.

P: ResNet-50 or MobileNet-V2. ``output_stride=16`` gives a 112 face a 14x14 map at stride 8 and a 7x7 map at the end.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import timm
from huggingface_hub import constants as hub
from torch import Tensor, nn

from dcdan.core.errors import UsageError, first_line, nearest
from dcdan.core.offline import FORBIDDEN, is_offline
from dcdan.models.depthwise import with_fast_gradients

log = logging.getLogger("dcdan")


@dataclass(frozen=True)
class Shape:
    """Channels of the stride-8 and of the last map."""

    middle: int
    last: int


PADDED_AT_THE_END = ("mobilenetv1_100",)
"""Trunks that are padded as TensorFlow does, with the odd row at the end of a map: their pre-trained weights were, see
:mod:`dcdan.models.pretrained_trunks`, and a map that is shifted by a pixel at each stride is another one to them. timm
does so by itself for its models that begin with ``tf_``."""


def body_options(name: str) -> dict[str, Any]:
    """Return what timm is told, beside its name, of the model under a trunk.

    It goes by the name alone, whatever the weights: a model must be built again without knowing what it started from.

    Args:
        name: a timm model.

    Returns:
        Keywords of ``timm.create_model``.

    Example:
        >>> body_options("mobilenetv1_100")
        {'output_stride': 16, 'pad_type': 'same'}
    """
    padding = {"pad_type": "same"} if name in PADDED_AT_THE_END else {}
    return {"output_stride": 16, **padding}


class Trunk(nn.Module):
    """Faces ``(B, 3, S, S)`` float -> the maps ``(B, middle, S/8, S/8)`` and ``(B, last, S/16, S/16)``."""

    def __init__(self, name: str) -> None:
        super().__init__()
        check_name(name)
        try:
            body = timm.create_model(name, features_only=True, pretrained=False, **body_options(name))
        except (RuntimeError, TypeError, AssertionError, ValueError) as error:
            raise UsageError(
                f"The timm model '{name}' offers no feature maps at output stride 16; "
                "take resnet50, mobilenetv2_100 or another convolutional model."
            ) from error
        reductions = body.feature_info.reduction()
        channels = body.feature_info.channels()
        if 8 not in reductions or reductions[-1] != 16:
            raise UsageError(
                f"The timm model '{name}' has maps at strides {reductions}; it needs 8, and 16 at its end."
            )
        self.name = name
        self.middle_index = max(i for i, r in enumerate(reductions) if r == 8)
        self.shape = Shape(channels[self.middle_index], channels[-1])
        with_fast_gradients(body)
        self.body = body

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """Return the stride-8 map and the last map."""
        maps = self.body(faces)
        return maps[self.middle_index], maps[-1]


def check_name(name: str) -> None:
    """Raise a :class:`UsageError` with the nearest spelling when timm does not know ``name``."""
    if not timm.is_model(name):
        raise UsageError(
            f"timm has no model '{name}'.{nearest(name, ['resnet50', 'mobilenetv2_100', *timm.list_models()])} "
            "The trunks tested here are mobilenetv2_100 and resnet50."
        )


@contextmanager
def offline_when_unreachable() -> Iterator[None]:
    """Within the context the hub's client looks in its cache alone when the hub's name cannot be resolved.

    It would otherwise retry for minutes where there is no network. Where the network is forbidden no name is asked for.
    """
    before = hub.HF_HUB_OFFLINE
    try:
        if not is_offline():
            socket.getaddrinfo(urlsplit(hub.ENDPOINT).hostname, 443)
    except OSError:
        hub.HF_HUB_OFFLINE = True
    if is_offline():
        hub.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE = before


def load_imagenet(trunk: Trunk, *, required: bool = False) -> bool:
    """Load timm's ImageNet weights into the trunk when they can be had; return whether they could.

    Raises UsageError when they are ``required`` and cannot be had.
    """
    # Weights that are not on the hub have no cache that would be looked at without the network.
    overlay = {"url": ""} if is_offline() else None
    try:
        with offline_when_unreachable():
            body = timm.create_model(
                trunk.name,
                features_only=True,
                pretrained=True,
                pretrained_cfg_overlay=overlay,
                **body_options(trunk.name),
            )
    except Exception as error:
        reason = first_line(error)[:120]
        if is_offline():
            reason = f"they are not in the cache, and {FORBIDDEN}"
        if required:
            raise UsageError(
                f"ImageNet weights for {trunk.name} cannot be had here ({reason}): --set pretrained=no does without."
            ) from error
        log.warning(
            "ImageNet weights for %s cannot be had here (%s): the trunk starts at random, which needs longer training.",
            trunk.name,
            reason,
        )
        return False
    take_weights(trunk, body)
    return True


def take_weights(trunk: Trunk, body: nn.Module) -> None:
    """Give the trunk all weights and statistics of ``body``, the same timm model as timm makes it or as a trunk has it.

    Where ``body`` knows no domains, both start from its statistics. Raises RuntimeError for another model.
    """
    rest = outside_norms(body)
    if rest.keys() != outside_norms(trunk.body).keys():
        raise RuntimeError("these are the weights of another model")
    trunk.body.load_state_dict(rest, strict=False)
    for mine, theirs in zip(batch_norms(trunk), batch_norms(body), strict=True):
        held = theirs.state_dict()
        mine.load_state_dict({k: held.get(k, held[k.replace("source_", "running_")]) for k in mine.state_dict()})


def outside_norms(module: nn.Module) -> dict[str, Tensor]:
    """Return the state under ``module`` that is not of its batch norms."""
    of_norms = {name for name, part in module.named_modules() if isinstance(part, nn.BatchNorm2d)}
    return {name: value for name, value in module.state_dict().items() if name.rpartition(".")[0] not in of_norms}


def batch_norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    """Return the batch norms under ``module``, with domains or without, in the order of its layers."""
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
