"""What tests of several packages share."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from tiny_model import write_run

# A shell that starts the tests in the background lets them ignore Ctrl-C, and with them the programs that they start.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with a real model that names colours: see ``tiny_model``."""
    return write_run(tmp_path / "run")


@pytest.fixture(scope="session")
def domains(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Packs of drawn faces: a grey source and a coloured target."""
    from tiny_training import both

    return both(tmp_path_factory.mktemp("packs"))


class Adapted(dict[str, Path]):
    """Run folders by method, each made when it is first asked for."""

    def __init__(self, source: Path, target: Path, folder: Path) -> None:
        super().__init__()
        self.pair = source, target
        self.folder = folder

    def __missing__(self, name: str) -> Path:
        import torch

        import dcdan
        from tiny_training import quick

        torch.set_num_threads(1)
        dcdan.adapt(*self.pair, self.folder / name, settings=quick(method=name), command="dcdan adapt ...")
        self[name] = self.folder / name
        return self[name]


@pytest.fixture(scope="session")
def adapted(domains: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A whole, tiny run of each method, from the packs to the report; tests copy what they change."""
    runs = Adapted(*domains, tmp_path_factory.mktemp("adapted"))
    # Tests that replace parts of a run ask for these, which must be whole.
    for name in ("source_only", "adabn", "dann", "dcdan"):
        assert runs[name].is_dir()
    return runs
