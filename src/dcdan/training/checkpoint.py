"""Checkpoints: safetensors with a JSON header, holding everything that the rest of a run depends on.

Network, teacher, method (discriminators, running thresholds), optimiser, and the stage and step. Random states need
no place: every step draws from generators seeded by the run's seed and the step, so position is state enough.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from dcdan.bounded import parse_json
from dcdan.durable import written
from dcdan.errors import ModelError

SCHEMA = 1


def optimiser_tensors(optimiser: Optimizer) -> dict[str, Tensor]:
    """Return an optimiser's state as named tensors."""
    state = optimiser.state_dict()["state"]
    return {
        f"optimiser.{index}.{key}": value if isinstance(value, Tensor) else torch.tensor(float(value))
        for index, entry in state.items()
        for key, value in entry.items()
        if value is not None
    }


def load_optimiser(optimiser: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put named tensors back into an optimiser over the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = value
    whole = optimiser.state_dict()
    whole["state"] = state
    optimiser.load_state_dict(whole)


def save_checkpoint(
    path: Path, modules: dict[str, nn.Module], optimiser: Optimizer | None, facts: dict[str, Any]
) -> None:
    """Write modules by name, the optimiser and JSON-able ``facts`` to ``path``; the file there becomes ``previous``."""
    tensors = {
        f"{prefix}.{name}": value.detach().cpu().contiguous().clone()
        for prefix, module in modules.items()
        for name, value in module.state_dict().items()
    }
    if optimiser is not None:
        tensors.update({k: v.detach().cpu().contiguous().clone() for k, v in optimiser_tensors(optimiser).items()})
    with written(path) as beside:
        save_tensors(tensors, beside, {"dcdan": json.dumps({"schema": SCHEMA, **facts})})
        if path.exists():
            path.replace(previous(path))


def save_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write tensors to a safetensors file; what its library says of a full disk becomes an OSError, as elsewhere."""
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def previous(path: Path) -> Path:
    """Return where the checkpoint before the one at ``path`` is kept."""
    return path.with_name(f"previous-{path.name}")


def newest_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return the checkpoint at ``path``, or the previous one where that is missing or damaged; None where none is.

    Raises ModelError when there are some and none can be read.
    """
    failure: ModelError | None = None
    for candidate in (path, previous(path)):
        if candidate.exists():
            try:
                return read_checkpoint(candidate)
            except ModelError as error:
                failure = failure or error
    if failure is not None:
        raise failure
    return None


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and facts of a checkpoint; raise ModelError when it is damaged or of another schema."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = parse_json((file.metadata() or {}).get("dcdan", "{}"))
            if not isinstance(facts, dict):
                raise ValueError("its facts are none")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"The checkpoint '{path}' cannot be read: {error}.") from error
    if facts.get("schema") != SCHEMA:
        raise ModelError(f"The checkpoint '{path}' is of schema {facts.get('schema')}; this version reads {SCHEMA}.")
    return tensors, facts


def load_module(module: nn.Module, tensors: dict[str, Tensor], prefix: str) -> None:
    """Load the tensors named ``prefix.*`` into a module; raise ModelError when they do not fit."""
    own = {name[len(prefix) + 1 :]: value for name, value in tensors.items() if name.startswith(f"{prefix}.")}
    weights = [name for name, _ in module.named_parameters() if name in own]
    broken = next((name for name in weights if not bool(torch.isfinite(own[name]).all())), None)
    if broken is not None:
        raise ModelError(f"The checkpoint is damaged: {prefix}.{broken} is not all finite numbers.")
    try:
        module.load_state_dict(own)
    except RuntimeError as error:
        detail = str(error).splitlines()[-1].strip()
        raise ModelError(f"The checkpoint does not fit this network: {detail}") from error
