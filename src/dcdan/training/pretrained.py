"""Pretrained weights: the network of a finished run, and the initial weights of a trunk.

A trunk starts from random weights, ImageNet, a package of the registry, a file, or a model of dcdan.
"""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from dcdan.core.errors import ModelError, UsageError, first_line, nearest
from dcdan.core.sanitize import printable
from dcdan.inference.model_card import WEIGHTS_NAME, ModelInfo, read_model_info, verified
from dcdan.inference.resolver import HUB_PREFIX, bundled_models, resolve_model
from dcdan.methods.base import find_method
from dcdan.models import pretrained_trunks
from dcdan.models.network import Network, NetworkSettings
from dcdan.models.pretrained_trunks import REGISTRY
from dcdan.models.trunk import Trunk, load_imagenet, take_weights
from dcdan.training.run_folder import read_run_settings
from dcdan.training.settings import RunSettings


def network_of(run: Path) -> tuple[Network, RunSettings, tuple[str, ...]]:
    """Rebuild the network of a finished run from its files.

    Args:
        run: the run folder, or the folder of a bundled model.

    Returns:
        The network in evaluation mode, the settings of the run and its class names.

    Raises:
        ModelError: when the run is not finished, or its weights were changed, do not fit or are not finite.
    """
    settings = read_run_settings(run)
    info = read_model_info(run)
    weights = verified(run, info, WEIGHTS_NAME)
    try:
        network = settings.build(len(info.classes))
        tensors = load_file(weights)
        network.load_state_dict(tensors)
        if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
            raise ValueError(f"a weight in {WEIGHTS_NAME} is no finite number")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = first_line(error)
        raise ModelError(f"'{run}' is no finished run whose network can be built again: {reason}.") from error
    return network.eval(), settings, info.classes


def network_of_model(folder: Path) -> tuple[Network, ModelInfo]:
    """Rebuild the network of a model from ``model.json`` and its weights alone, without the settings of a run.

    Args:
        folder: the folder of a model, of a finished run or of the package.

    Returns:
        The network in evaluation mode, and the description of the model.

    Raises:
        ModelError: when the model is not whole, or its weights were changed, do not fit or are not finite.
    """
    info = read_model_info(folder)
    weights = verified(folder, info, WEIGHTS_NAME)
    try:
        settings = NetworkSettings(**info.architecture)
        network = find_method(info.method).build_network(settings, len(info.classes), info.face.size)
        tensors = load_file(weights)
        network.load_state_dict(tensors)
        if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
            raise ValueError(f"a weight in {WEIGHTS_NAME} is no finite number")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, UsageError, SafetensorError) as error:
        raise ModelError(f"'{folder}' holds no model whose network can be built: {first_line(error)}.") from error
    return network.eval(), info


log = logging.getLogger("dcdan")

WORDS = ("auto", "yes", "no")


def start_trunk(trunk: Trunk, wanted: str, init: str = "") -> bool:
    """Load the initial weights of a trunk.

    Args:
        trunk: the trunk.
        wanted: the setting ``pretrained``: one of ``WORDS``, weights of the registry (``NAME`` or ``NAME:FILE``), a
            bundled model, or the folder of a finished run. A folder takes precedence over a registry name.
        init: the setting ``network.init``: a safetensors file with the tensors of the trunk's timm model, or "".

    Returns:
        Whether weights were loaded; False leaves the random initialisation.

    Raises:
        UsageError: when the weights are not available or belong to another trunk.
        ModelError: when a model is damaged.
    """
    if wanted == "no" and not init:
        return False
    with torch.random.fork_rng(devices=()):  # what is drawn next must not depend on whether a trunk was read
        if init:
            pretrained_trunks.load_own(trunk, Path(init))
            return True
        if wanted in WORDS:
            found = load_imagenet(trunk, required=wanted == "yes")
            if not found:
                log_alternatives(trunk.name)
            return found
        if registered := of_registry(wanted):
            pretrained_trunks.load(trunk, *registered)
            return True
        network, settings, _ = network_of(folder_of(wanted))
    if settings.network.trunk != trunk.name:
        raise UsageError(
            f"'{wanted}' has the trunk {settings.network.trunk} and this run's is {trunk.name}: "
            f"give --trunk {settings.network.trunk}, or another model as pretrained."
        )
    take_weights(trunk, network.trunk.body)
    return True


def check_pretrained(wanted: str, init: str = "") -> None:
    """Check the settings of :func:`start_trunk` before any work is done; file contents are not read.

    Args:
        wanted: the setting ``pretrained``.
        init: the setting ``network.init``.

    Raises:
        UsageError: when a setting names nothing that exists, or both settings name something.
    """
    if init:
        if wanted not in ("auto", "no"):
            raise UsageError("'pretrained' and 'network.init' both say what the trunk starts from: give one of them.")
        if not Path(init).is_file():
            raise UsageError(f"The setting 'network.init' names no file: '{printable(init)}'.")
    elif registered := of_registry(wanted):
        pretrained_trunks.find(*registered)
    elif wanted not in WORDS:
        folder_of(wanted)


def of_registry(wanted: str) -> tuple[pretrained_trunks.PretrainedTrunk, Path | None] | None:
    """Return the registry entry that a setting names.

    Args:
        wanted: the setting ``pretrained``.

    Returns:
        The entry and the file given with it, or None; a folder of that name takes precedence.
    """
    return None if Path(wanted).is_dir() else pretrained_trunks.parse(wanted)


def log_alternatives(trunk: str) -> None:
    """Log the alternatives for a trunk whose ImageNet weights are not available.

    Args:
        trunk: timm's name of the trunk.
    """
    if names := with_trunk(trunk):
        log.warning("With --set pretrained=%s it starts from a model of faces, with no download.", names[0])
    for entry in REGISTRY.values():
        if entry.trunk == trunk:
            log.warning("With --set pretrained=%s it starts from weights of others: %s", entry.name, entry.cure)


def folder_of(wanted: str) -> Path:
    """Return the folder of the model that the setting ``pretrained`` names; see :func:`resolve_model`.

    Args:
        wanted: the setting ``pretrained``.

    Returns:
        The folder.

    Raises:
        UsageError: when there is no such model.
        ModelError: when a model of the Hugging Face Hub cannot be fetched.
    """
    try:
        return resolve_model(wanted).folder
    except ModelError as error:
        if wanted.startswith(HUB_PREFIX):
            raise
        names = bundled_models()
        raise UsageError(
            f"The setting 'pretrained' cannot be {wanted!r}: give {', '.join(WORDS)}, the folder of a finished run, a "
            f"model of the package ({', '.join(names)}), or weights of others ({', '.join(REGISTRY)})."
            f"{nearest(wanted, [*WORDS, *names, *REGISTRY])}"
        ) from error


def with_trunk(trunk: str) -> list[str]:
    """Return the bundled models that have a given trunk.

    Args:
        trunk: timm's name of the trunk.

    Returns:
        The names of the models.
    """
    return [
        name
        for name in bundled_models()
        if read_model_info(resolve_model(name).folder).architecture.get("trunk") == trunk
    ]
