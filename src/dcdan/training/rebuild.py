"""The network of a finished run, from its weights: for looking into it with torch."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from dcdan.bounded import read_json
from dcdan.durable import sha256
from dcdan.errors import ModelError, first_line
from dcdan.models.network import Network
from dcdan.training.run_files import read_run_settings
from dcdan.training.settings import RunSettings

WEIGHTS = "model.safetensors"
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
        if sha256(run / WEIGHTS) != description["files"][WEIGHTS]:
            raise ValueError(f"{WEIGHTS} was changed since it was saved (its checksum differs)")
        network = settings.build(len(classes))
        tensors = load_file(run / WEIGHTS)
        network.load_state_dict(tensors)
        if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
            raise ValueError(f"a weight in {WEIGHTS} is no finite number")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = first_line(error)
        raise ModelError(f"'{run}' is no finished run whose network can be built again: {reason}.") from error
    return network.eval(), settings, classes
