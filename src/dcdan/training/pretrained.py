"""Where a trunk starts from: at random, from ImageNet, or from faces: the trunk of a model of dcdan."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import torch

from dcdan.errors import UsageError, nearest
from dcdan.models.trunk import Trunk, load_imagenet, take_weights
from dcdan.training.rebuild import network_of

WORDS = ("auto", "yes", "no")
_IN_PACKAGE = Path(str(files("dcdan"))) / "recognition" / "weights"


def start_trunk(trunk: Trunk, wanted: str) -> bool:
    """Give a trunk the weights that the setting ``pretrained`` asks for; return whether it got any.

    Raises UsageError where they cannot be had or are of another trunk, and ModelError for a damaged model.
    """
    if wanted == "no":
        return False
    with torch.random.fork_rng(devices=()):  # what is drawn next must not depend on whether a trunk was read
        if wanted in WORDS:
            return load_imagenet(trunk, required=wanted == "yes")
        network, settings, _ = network_of(folder_of(wanted))
    if settings.network.trunk != trunk.name:
        raise UsageError(
            f"'{wanted}' has the trunk {settings.network.trunk} and this run's is {trunk.name}: "
            f"give --trunk {settings.network.trunk}, or another model as pretrained."
        )
    take_weights(trunk, network.trunk.body)
    return True


def folder_of(wanted: str) -> Path:
    """Return the folder of a finished run, or of the model of that name in the package; a folder goes first."""
    given = Path(wanted)
    if given.is_dir():
        return given
    names = sorted(path.parent.name for path in _IN_PACKAGE.glob("*/model.safetensors"))
    if wanted in names:
        return _IN_PACKAGE / wanted
    raise UsageError(
        f"The setting 'pretrained' cannot be {wanted!r}: give {', '.join(WORDS)}, the folder of a finished run, or a "
        f"model of the package ({', '.join(names)}).{nearest(wanted, [*WORDS, *names])}"
    )
