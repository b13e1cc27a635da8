"""Where a trunk starts from: at random, from ImageNet, or from faces: the trunk of a model of dcdan."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from dcdan.bounded import read_json
from dcdan.bundled import WEIGHTS, bundled_models
from dcdan.errors import UsageError, nearest
from dcdan.models.trunk import Trunk, load_imagenet, take_weights
from dcdan.training.rebuild import network_of

log = logging.getLogger("dcdan")

WORDS = ("auto", "yes", "no")


def start_trunk(trunk: Trunk, wanted: str) -> bool:
    """Give a trunk the weights that the setting ``pretrained`` asks for; return whether it got any.

    Raises UsageError where they cannot be had or are of another trunk, and ModelError for a damaged model.
    """
    if wanted == "no":
        return False
    with torch.random.fork_rng(devices=()):  # what is drawn next must not depend on whether a trunk was read
        if wanted in WORDS:
            found = load_imagenet(trunk, required=wanted == "yes")
            if not found and (names := with_trunk(trunk.name)):
                log.warning("With --set pretrained=%s it starts from a model of faces, with no download.", names[0])
            return found
        network, settings, _ = network_of(folder_of(wanted))
    if settings.network.trunk != trunk.name:
        raise UsageError(
            f"'{wanted}' has the trunk {settings.network.trunk} and this run's is {trunk.name}: "
            f"give --trunk {settings.network.trunk}, or another model as pretrained."
        )
    take_weights(trunk, network.trunk.body)
    return True


def check_pretrained(wanted: str) -> None:
    """Raise UsageError for a setting ``pretrained`` that is no word and names no model."""
    if wanted not in WORDS:
        folder_of(wanted)


def folder_of(wanted: str) -> Path:
    """Return the folder of a finished run, or of the model of that name in the package; a folder goes first."""
    given = Path(wanted)
    if given.is_dir():
        return given
    names = bundled_models()
    if wanted in names:
        return WEIGHTS / wanted
    raise UsageError(
        f"The setting 'pretrained' cannot be {wanted!r}: give {', '.join(WORDS)}, the folder of a finished run, or a "
        f"model of the package ({', '.join(names)}).{nearest(wanted, [*WORDS, *names])}"
    )


def with_trunk(trunk: str) -> list[str]:
    """Return the names of the package's models that have this trunk."""
    return [
        name for name in bundled_models() if read_json(WEIGHTS / name / "model.json")["architecture"]["trunk"] == trunk
    ]
