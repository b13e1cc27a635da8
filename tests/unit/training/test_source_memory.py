"""The memory of a finished run: written by the training, made of its own features, read with its checksum."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dcdan.core.errors import ModelError
from dcdan.correction.memory import MEMORY, read_memory
from dcdan.inference.model_card import read_model_info
from dcdan.inference.recogniser import load
from dcdan.packs.pack import Pack
from dcdan.training.data import source_of
from dcdan.training.forward import predict_features
from dcdan.training.pretrained import network_of_model
from dcdan.training.run import train_run
from dcdan.training.source_memory import add_memory, log_probabilities, memory_of_model
from tiny_training import both, quick


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A finished run and its source pack."""
    folder = tmp_path_factory.mktemp("memory")
    source, target = both(folder)
    return train_run(str(source), str(target), folder / "run", quick(), quiet=True), source


def test_a_run_writes_the_memory_of_its_network(run: tuple[Path, Path]) -> None:
    """Issue 20 point 1. Class means are the means of the features of the training faces."""
    folder, source = run
    info = read_model_info(folder)
    memory = memory_of_model(folder, info)
    assert memory is not None
    network, _ = network_of_model(folder)
    pack = Pack.open(source)
    domain = source_of(pack, info.classes, soft_votes=True)
    found = predict_features(network, domain.faces, domain.train, torch.device("cpu"), False, False)
    for c in range(len(info.classes)):
        own = domain.hard[domain.train] == c
        if own.sum() >= 5:
            assert memory.means[c, 0] == pytest.approx(found.of_global.numpy()[own].mean(0), abs=2e-2)
            assert memory.means[c, 1] == pytest.approx(found.of_local.numpy()[own].mean(0), abs=2e-2)


def test_no_centre_is_of_fewer_than_five_faces(run: tuple[Path, Path]) -> None:
    memory = read_memory(run[0] / MEMORY)
    assert memory.counts.min() >= 5
    assert (run[0] / MEMORY).stat().st_size <= 1_500_000


def test_its_confidence_is_that_of_the_exported_model(run: tuple[Path, Path]) -> None:
    folder, source = run
    info, pack = read_model_info(folder), Pack.open(source)
    domain = source_of(pack, info.classes, soft_votes=True)
    network, _ = network_of_model(folder)
    found = predict_features(network, domain.faces, domain.validation, torch.device("cpu"), False, False, info.mirror)
    graph = load(folder, align="none").recognise_faces(np.asarray(pack.faces[domain.validation])).probabilities
    assert np.exp(log_probabilities(found, info)) == pytest.approx(graph, abs=1e-4)
    assert read_memory(folder / MEMORY).prior == pytest.approx(graph.mean(0), abs=1e-4)


def test_a_changed_memory_is_refused_and_can_be_written_again(run: tuple[Path, Path]) -> None:
    folder, source = run
    whole = (folder / MEMORY).read_bytes()
    (folder / MEMORY).write_bytes(whole[:-1] + b"\x00")
    with pytest.raises(ModelError, match="damaged"):
        memory_of_model(folder, read_model_info(folder))
    add_memory(folder, Pack.open(source))
    assert memory_of_model(folder, read_model_info(folder)) is not None


def test_a_model_without_one_has_none(run: tuple[Path, Path]) -> None:
    info = read_model_info(run[0])
    files = {name: value for name, value in info.files.items() if name != MEMORY}
    assert memory_of_model(run[0], info.model_copy(update={"files": files})) is None
