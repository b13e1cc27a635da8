"""What tests of several packages share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny_model import write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with a real model that names colours: see ``tiny_model``."""
    return write_run(tmp_path / "run")
