"""A demonstration of a few seconds, run once in a session of tests however many modules look at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcdan.reports.demo import DemoSettings, run_demo
from tiny_training import tiny

TINY = DemoSettings(
    faces=84,
    training=tiny(
        "source.epochs=3",
        "source.lr=0.02",
        "adaptation.lr=0.005",
        "options.threshold_floor=0",
        "options.relative_threshold=0.3",
        "options.ramp=0.1",
    ),
)


def finished_demo(folders: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished demonstration."""
    out = folders.getbasetemp() / "tiny-demo"
    if not (out / "index.html").exists():
        run_demo(out, settings=TINY, quiet=True)
    return out
