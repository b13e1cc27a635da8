"""The trunk: any timm model with feature maps at strides 8 and 16, its last map at stride 16.

From the paper: ResNet-50 or MobileNet-V2. With ``output_stride=16`` a face of 112 pixels has a 14x14 map at stride 8
and a 7x7 map at the end.
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
    """Return the options of ``timm.create_model`` for the model of a trunk.

    They depend on the name only, so that a model can be rebuilt without knowing its initial weights.

    Args:
        name: a timm model.

    Returns:
        Keyword arguments of ``timm.create_model``.

    Example:
        >>> body_options("mobilenetv1_100")
        {'output_stride': 16, 'pad_type': 'same'}
    """
    padding = {"pad_type": "same"} if name in PADDED_AT_THE_END else {}
    return {"output_stride": 16, **padding}


class Trunk(nn.Module):
    """The trunk, from faces to two feature maps.

    Args:
        name: a timm model.

    Raises:
        UsageError: when timm has no such model, or it has no maps at strides 8 and 16.
    """

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
        """Return the stride-8 map and the last map.

        Args:
            faces: ``(B, 3, S, S) float32``, normalised.

        Returns:
            ``(B, middle, S/8, S/8)`` and ``(B, last, S/16, S/16)``.
        """
        maps = self.body(faces)
        return maps[self.middle_index], maps[-1]


def check_name(name: str) -> None:
    """Check that timm has a model.

    Args:
        name: its name.

    Raises:
        UsageError: when it has none; the message suggests the nearest spelling.
    """
    if not timm.is_model(name):
        raise UsageError(
            f"timm has no model '{name}'.{nearest(name, ['resnet50', 'mobilenetv2_100', *timm.list_models()])} "
            "The trunks tested here are mobilenetv2_100 and resnet50."
        )


@contextmanager
def offline_when_unreachable() -> Iterator[None]:
    """Restrict the client of the Hugging Face Hub to its cache within a block when the Hub cannot be resolved.

    Without network the client would otherwise retry for minutes. In offline mode no name is resolved.

    Yields:
        Nothing.
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
    """Load timm's ImageNet weights into a trunk.

    Args:
        trunk: the trunk.
        required: whether missing weights are an error instead of a warning.

    Returns:
        Whether the weights were loaded.

    Raises:
        UsageError: when they are required and not available.
    """
    # Weights that are not on the Hub have no cache that could be used without the network.
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
                f"ImageNet weights for {trunk.name} are missing ({reason}): --set pretrained=no does without."
            ) from error
        log.warning(
            "ImageNet weights for %s are missing (%s): the trunk starts at random, which needs longer training.",
            trunk.name,
            reason,
        )
        return False
    take_weights(trunk, body)
    return True


def take_weights(trunk: Trunk, body: nn.Module) -> None:
    """Copy the weights and statistics of a timm model into a trunk.

    Where ``body`` has no domains, both domains get its statistics.

    Args:
        trunk: the trunk.
        body: the same timm model, plain or from another trunk.

    Raises:
        RuntimeError: for another model.
    """
    rest = outside_norms(body)
    if rest.keys() != outside_norms(trunk.body).keys():
        raise RuntimeError("these are the weights of another model")
    trunk.body.load_state_dict(rest, strict=False)
    for mine, theirs in zip(batch_norms(trunk), batch_norms(body), strict=True):
        state = theirs.state_dict()
        mine.load_state_dict({k: state.get(k, state[k.replace("source_", "running_")]) for k in mine.state_dict()})


def outside_norms(module: nn.Module) -> dict[str, Tensor]:
    """Return the state of a module without its batch norms.

    Args:
        module: the module.

    Returns:
        Tensors by name.
    """
    of_norms = {name for name, part in module.named_modules() if isinstance(part, nn.BatchNorm2d)}
    return {name: value for name, value in module.state_dict().items() if name.rpartition(".")[0] not in of_norms}


def batch_norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    """Return the batch norms of a module, domain-specific or plain, in the order of its layers.

    Args:
        module: the module.

    Returns:
        The layers.
    """
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
