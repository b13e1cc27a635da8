"""Every long command killed at random moments, in short: `experiments/kills.py` with few kills."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "experiments" / "kills.py"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["pack", "predict", "adapt", "benchmark"])
def test_a_command_survives_kills_and_loses_nothing(command: str) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--kills", "3", "--only", command], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2].startswith(f"| `{command}` | 3 |")
