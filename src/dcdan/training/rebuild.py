"""The network of a finished run, from its weights: for looking into it with torch."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from dcdan.errors import ModelError
from dcdan.models.network import Network
from dcdan.training.settings import RunSettings


def network_of(run: Path) -> tuple[Network, RunSettings, tuple[str, ...]]:
    """Return the network in evaluation mode, the run's settings and its class names; raise ModelError without a run."""
    try:
        facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
        classes = tuple(json.loads((run / "model.json").read_text(encoding="utf-8"))["classes"])
        settings = RunSettings.model_validate(facts["settings"])
        network = settings.build(len(classes))
        network.load_state_dict(load_file(run / "model.safetensors"))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"'{run}' is no finished run whose network can be built again: {error}.") from error
    return network.eval(), settings, classes
