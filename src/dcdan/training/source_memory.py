"""The source memory of a finished model: features and answers of its network on labelled faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from dcdan.core.atomic_io import sha256
from dcdan.correction.memory import MEMORY, SourceMemory, build_memory, read_memory, write_memory
from dcdan.inference.model_card import ModelInfo, verified, write_model_info
from dcdan.models.network import Network
from dcdan.models.selection import select
from dcdan.packs.pack import Pack
from dcdan.training.data import Source, source_of
from dcdan.training.forward import Features, predict_features
from dcdan.training.pretrained import network_of_model

FACES = 8000
"""Training faces that a memory is made from, at most; more change its centres little."""


def memory_of(network: Network, info: ModelInfo, source: Source, device: torch.device | None = None) -> SourceMemory:
    """Make the source memory of a network.

    Args:
        network: the network.
        info: the description of the model: classes, thresholds, temperature, mirrored faces.
        source: labelled faces with the classes of the model, or some of them.
        device: the device of the network; None for the CPU.

    Returns:
        The memory, from at most :data:`FACES` training faces; its confidence curve is that of the held-out faces.

    Raises:
        DataError: when the source has too few faces.
    """
    place = np.array([info.classes.index(name) for name in source.classes])
    some = np.random.default_rng(0).permutation(source.train)[:FACES]
    held_out = np.random.default_rng(1).permutation(source.validation)[:FACES]
    where = device or torch.device("cpu")
    train = predict_features(network, source.faces, np.sort(some), where, False, False)
    tested = predict_features(network, source.faces, np.sort(held_out), where, False, False, info.mirror)
    features = torch.stack([train.of_global, train.of_local], 1).numpy()
    votes = np.zeros((len(some), len(info.classes)))
    votes[:, place] = source.labels[np.sort(some)].numpy()
    return build_memory(
        info.classes,
        features,
        place[source.hard[np.sort(some)]],
        log_probabilities(tested, info),
        place[source.hard[np.sort(held_out)]],
        votes,
    )


def log_probabilities(features: Features, info: ModelInfo) -> np.ndarray:
    """Return the answers that the exported graph of a model would give.

    Args:
        features: outputs of the network on N faces.
        info: the description of the model.

    Returns:
        ``(N, K) float64`` log-probabilities.
    """
    thresholds = torch.tensor(info.thresholds, dtype=torch.float32)
    p = select(features.logits, thresholds, info.temperature).probabilities.double()
    return np.asarray(p.clamp_min(1e-12).log().numpy())


def add_memory(folder: Path, pack: Pack) -> SourceMemory:
    """Write the source memory of a finished model into its folder, and its checksum into ``model.json``.

    Args:
        folder: folder of the model, with weights.
        pack: labelled faces that the model was trained on, aligned and of its size.

    Returns:
        The memory.

    Raises:
        ModelError: when the model is not whole.
        DataError: when the pack has too few labelled faces.
    """
    network, info = network_of_model(folder)
    source = source_of(pack, info.classes, soft_votes=True)
    memory = memory_of(network, info, source)
    store_memory(folder, info, memory)
    return memory


def store_memory(folder: Path, info: ModelInfo, memory: SourceMemory) -> None:
    """Write a memory beside a model, and its checksum into ``model.json``.

    Args:
        folder: folder of the model.
        info: its description.
        memory: the memory.
    """
    write_memory(memory, folder / MEMORY)
    files = {**info.files, MEMORY: sha256(folder / MEMORY)}
    write_model_info(folder, info.model_copy(update={"files": files}))


def memory_of_model(folder: Path, info: ModelInfo) -> SourceMemory | None:
    """Return the source memory of a model; None where it has none.

    Args:
        folder: folder of the model.
        info: its description.

    Returns:
        The memory.

    Raises:
        ModelError: when it is damaged, or not the one that ``model.json`` names.
    """
    if MEMORY not in info.files:
        return None
    return read_memory(verified(folder, info, MEMORY), info.classes)
