"""A source memory for a model folder of a test, from faces of noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dcdan.correction.memory import build_memory
from dcdan.inference.model_card import read_model_info
from dcdan.training.pretrained import network_of_model
from dcdan.training.source_memory import store_memory


def add_noise_memory(folder: Path) -> Path:
    """Give a model a memory of random features of its network's width."""
    network, info = network_of_model(folder)
    rng = np.random.default_rng(0)
    count = len(info.classes)
    labels = np.arange(40 * count) % count
    features = rng.normal(size=(len(labels), 2, network.settings.width)) + labels[:, None, None]
    answers = np.log(rng.dirichlet(np.ones(count), 100))
    memory = build_memory(info.classes, features, labels, answers, rng.integers(0, count, 100))
    store_memory(folder, read_model_info(folder), memory)
    return folder
