"""What tests of several packages share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny_model import write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with a real model that names colours: see ``tiny_model``."""
    return write_run(tmp_path / "run")


@pytest.fixture(scope="session")
def domains(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Packs of drawn faces: a grey source and a coloured target."""
    from tiny_training import both

    return both(tmp_path_factory.mktemp("packs"))


@pytest.fixture(scope="session")
def adapted(domains: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A whole, tiny run of each method, from the packs to the report; tests copy what they change."""
    import torch

    import dcdan
    from dcdan.methods.base import methods
    from tiny_training import quick

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("adapted")
    for name in methods():
        dcdan.adapt(*domains, folder / name, settings=quick(method=name), command="dcdan adapt ...")
    return {name: folder / name for name in methods()}
