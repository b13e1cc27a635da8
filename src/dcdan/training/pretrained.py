"""Where a trunk starts from: at random, from ImageNet, or from the weights of a finished run.

The network of a finished run, from its weights: for looking into it with torch.

Where a trunk starts from: at random, from ImageNet, or from faces: the trunk of a model of dcdan.
"""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from dcdan.core.atomic_io import sha256
from dcdan.core.errors import ModelError, UsageError, first_line, nearest
from dcdan.core.limits import read_json
from dcdan.inference.bundled import WEIGHTS, bundled_models
from dcdan.models.network import Network
from dcdan.models.trunk import Trunk, load_imagenet, take_weights
from dcdan.training.run_folder import read_run_settings
from dcdan.training.settings import RunSettings

WEIGHTS_FILE = "model.safetensors"
_MOST_CLASSES = 1000


def network_of(run: Path) -> tuple[Network, RunSettings, tuple[str, ...]]:
    """Return the network in evaluation mode, the run's settings and its class names.

    Raises ModelError without a finished run, and for weights that were changed, do not fit, or are no finite numbers.
    """
    settings = read_run_settings(run)
    try:
        description = read_json(run / "model.json")
        classes = tuple(map(str, description["classes"]))
        if len(classes) > _MOST_CLASSES:
            raise ValueError(f"it has more than {_MOST_CLASSES} classes")
        if sha256(run / WEIGHTS_FILE) != description["files"][WEIGHTS_FILE]:
            raise ValueError(f"{WEIGHTS_FILE} was changed since it was saved (its checksum differs)")
        network = settings.build(len(classes))
        tensors = load_file(run / WEIGHTS_FILE)
        network.load_state_dict(tensors)
        if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
            raise ValueError(f"a weight in {WEIGHTS_FILE} is no finite number")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = first_line(error)
        raise ModelError(f"'{run}' is no finished run whose network can be built again: {reason}.") from error
    return network.eval(), settings, classes


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
