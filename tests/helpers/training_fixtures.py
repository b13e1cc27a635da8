"""What the tests of training share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from dcdan.training import run


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums in one order, so that runs can be compared bit by bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def without_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the export, which takes longer than these trainings and is tested elsewhere."""
    monkeypatch.setattr(run, "export_onnx", lambda _model, _size, path: path.write_bytes(b"no graph"))


@pytest.fixture
def often_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a record every four steps."""
    monkeypatch.setattr("dcdan.training.loop.LOGGED_EVERY", 4)
