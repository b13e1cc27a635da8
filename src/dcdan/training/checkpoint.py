"""Checkpoints: safetensors files with a JSON header that contain all state of a run.

A checkpoint contains network, teacher, method (discriminators, running thresholds), optimiser, stage and step. Random
states are not stored: every step seeds its generators from the seed of the run and the step.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from dcdan.core.atomic_io import atomic_write
from dcdan.core.errors import ModelError
from dcdan.core.limits import parse_json
from dcdan.core.schema import check_schema
from dcdan.training.optimiser import fill_momentum

CHECKPOINT_SCHEMA = 1


def optimiser_tensors(optimiser: Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimiser as named tensors.

    Args:
        optimiser: the optimiser.

    Returns:
        Tensors named ``optimiser.INDEX.KEY``.
    """
    state = optimiser.state_dict()["state"]
    return {
        f"optimiser.{index}.{key}": value if isinstance(value, Tensor) else torch.tensor(float(value))
        for index, entry in state.items()
        for key, value in entry.items()
        if value is not None
    }


def load_optimiser(optimiser: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load named tensors into an optimiser over the same parameters.

    Args:
        optimiser: the optimiser.
        tensors: tensors of a checkpoint; those not named ``optimiser.*`` are ignored.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = value
    whole = optimiser.state_dict()
    whole["state"] = state
    optimiser.load_state_dict(whole)
    fill_momentum(optimiser)


def save_checkpoint(
    path: Path, modules: dict[str, nn.Module], optimiser: Optimizer | None, metadata: dict[str, Any]
) -> None:
    """Write modules, optimiser and metadata to a checkpoint; an existing one is renamed, see :func:`previous`.

    Args:
        path: the file.
        modules: modules by name.
        optimiser: the optimiser, or None.
        metadata: JSON values.

    Raises:
        OSError: when the file cannot be written or does not read back.
    """
    tensors = {
        f"{prefix}.{name}": value.detach().cpu().contiguous().clone()
        for prefix, module in modules.items()
        for name, value in module.state_dict().items()
    }
    if optimiser is not None:
        tensors.update({k: v.detach().cpu().contiguous().clone() for k, v in optimiser_tensors(optimiser).items()})
    put_checkpoint(path, tensors, metadata)


def put_checkpoint(path: Path, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write named tensors to a checkpoint, as :func:`save_checkpoint` does.

    Args:
        path: the file.
        tensors: tensors by name, on the CPU, as :func:`read_checkpoint` returns them.
        metadata: JSON values.

    Raises:
        OSError: when the file cannot be written or does not read back.
    """
    with atomic_write(path) as beside:
        # One entry, since safetensors writes several in any order.
        header = {**metadata, "schema": CHECKPOINT_SCHEMA, "blake2b": digest(tensors)}
        save_tensors(tensors, beside, {"dcdan": json.dumps(header)})
        read_back(beside)
        if path.exists():
            path.replace(previous(path))


def save_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write tensors to a safetensors file with the usual file permissions.

    Args:
        tensors: contiguous tensors by name.
        path: the file.
        metadata: the header's texts.

    Raises:
        OSError: also for a full disk, for which safetensors has an error of its own.
    """
    try:
        save_file(tensors, path, metadata)
        path.chmod(ordinary_mode())
    except SafetensorError as error:
        raise OSError(str(error)) from error


def ordinary_mode() -> int:
    """Return the permissions that this process gives a new file; safetensors creates its files with 0600.

    Returns:
        The mode, such as 0o644.
    """
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


def read_back(path: Path) -> None:
    """Flush a new checkpoint to the disk and verify it from there.

    Args:
        path: the file.

    Raises:
        OSError: when it does not read back as written.
    """
    with path.open("r+b") as file:
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    try:
        read_checkpoint(path)
    except ModelError as error:
        raise OSError(errno.EIO, "what was written cannot be read back, so the disk may be failing") from error


def digest(tensors: dict[str, Tensor]) -> str:
    """Return a checksum of named tensors.

    Args:
        tensors: tensors on the CPU.

    Returns:
        BLAKE2b of names, types, shapes and values, 32 hexadecimal digits.

    Example:
        >>> digest({"a": torch.zeros(2)}) == digest({"a": torch.zeros(2)})
        True
    """
    found = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        found.update(f"{name} {tensors[name].dtype} {list(tensors[name].shape)}".encode())
        found.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def previous(path: Path) -> Path:
    """Return the path of the backup of a checkpoint.

    Args:
        path: the checkpoint.

    Returns:
        Its neighbour ``previous-NAME``.

    Example:
        >>> previous(Path("last.safetensors")).name
        'previous-last.safetensors'
    """
    return path.with_name(f"previous-{path.name}")


def newest_checkpoint(
    path: Path, say: Callable[[str], None] = lambda _: None
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read a checkpoint, or its backup where it is missing or damaged.

    Args:
        path: the checkpoint.
        say: called with a message when the backup is used instead of a damaged checkpoint.

    Returns:
        Tensors and metadata, or None where neither exists.

    Raises:
        ModelError: when at least one exists and none can be read.
    """
    failure: ModelError | None = None
    for place in (path, previous(path)):
        if place.exists():
            try:
                found = read_checkpoint(place)
            except ModelError as error:
                failure = failure or error
            else:
                if failure is not None:
                    say(f"{failure} The checkpoint before it, '{place}', is used.")
                return found
    if failure is not None:
        raise ModelError(f"{failure} Remove it, and the stage is trained again.")
    return None


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint and verify its checksum.

    Args:
        path: the file.

    Returns:
        Tensors by name, and the metadata.

    Raises:
        ModelError: when it is damaged or of another schema.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = parse_json((file.metadata() or {}).get("dcdan", "{}"))
            if not isinstance(metadata, dict):
                raise ValueError("its metadata is not a dictionary")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"The checkpoint '{path}' cannot be read: {error}.") from error
    cure = "finish the run with the version that began it, or train again"
    check_schema(ModelError, f"The checkpoint '{path}'", metadata.get("schema"), CHECKPOINT_SCHEMA, cure)
    if metadata.pop("blake2b", "") not in ("", digest(tensors)):
        raise ModelError(f"The checkpoint '{path}' is damaged: its checksum differs.")
    return tensors, metadata


def load_module(module: nn.Module, tensors: dict[str, Tensor], prefix: str) -> None:
    """Load the tensors named ``prefix.*`` into a module.

    Args:
        module: the module.
        tensors: tensors of a checkpoint.
        prefix: name of the module in the checkpoint.

    Raises:
        ModelError: when they do not fit or are not finite.
    """
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
