"""Parallel builds killed at random moments: the same command goes on, does nothing twice, and gives the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dcdan.datasets.listing import CHUNK
from dcdan.datasets.reader import Reader, ReaderOptions, Sample
from dcdan.packs.build import build_pack
from drawn_data import file_bytes, picture

COUNT = 11 * CHUNK + 60  # two processes share eight chunks or more


class Logged(Reader):
    """Pictures drawn when they are loaded, each load noted in a file that all processes append to."""

    name = "logged"
    title = "Drawn shapes"
    licence = "none"
    classes = ("fear", "anger")

    def __init__(self, log: Path | None, pause: float = 0.0) -> None:
        super().__init__(None, ReaderOptions())
        self.log, self.pause = log, pause

    def samples(self) -> Iterator[Sample]:
        for number in range(COUNT):
            yield Sample(str(number), number % 2)

    def load(self, sample: Sample) -> np.ndarray:
        if self.log is not None:
            handle = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(handle, f"{sample.path}\n".encode())
            os.close(handle)
        time.sleep(self.pause)
        return picture(int(sample.path), 6)


def build(log: Path | None, out: Path, workers: int, pause: float = 0.0) -> None:
    build_pack(Logged(log, pause), out, size=16, align="none", workers=workers, progress=False)


def journal_lines(out: Path) -> int:
    journal = out.with_name(f"{out.name}.partial") / "journal.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def killed(log: Path, out: Path, lines: int, pause: float) -> None:
    """Begin a build with two processes and kill it `pause` seconds after its journal has so many lines."""
    code = (
        "import os, sys; from pathlib import Path; sys.path[:0] = sys.argv[1].split(os.pathsep);"
        "import test_build_resume as t;"
        "t.build(Path(sys.argv[2]), Path(sys.argv[3]), 2, 0.001)"
    )
    here = os.pathsep.join((str(Path(__file__).parent), str(Path(__file__).parents[2] / "helpers")))
    process = subprocess.Popen([sys.executable, "-c", code, here, str(log), str(out)])
    deadline = time.monotonic() + 120
    while journal_lines(out) < lines and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(pause)
    process.send_signal(signal.SIGKILL)
    process.wait()


def settled(log: Path) -> None:
    """Wait until the children of the killed process, which end by themselves, write no more."""
    size = -1
    while size != log.stat().st_size:
        size = log.stat().st_size
        time.sleep(0.3)


def test_a_parallel_build_survives_being_killed_again_and_again(tmp_path: Path) -> None:
    out, log, rng = tmp_path / "out", tmp_path / "log", random.Random(os.urandom(8))
    for round_number in (1, 2):
        finished = journal_lines(out)
        killed(log, out, finished + 1, rng.uniform(0, 0.2))
        settled(log)
        loaded = [int(line) for line in log.read_text().split()]
        assert min(loaded, default=COUNT) >= finished * CHUNK, f"round {round_number} did finished chunks again"
        log.unlink()
    finished = journal_lines(out)
    build(log, out, 1)
    assert [int(line) for line in log.read_text().split()] == list(range(finished * CHUNK, COUNT))
    build(None, tmp_path / "whole", 1)
    assert file_bytes(out) == file_bytes(tmp_path / "whole")
    assert not (tmp_path / "out.partial").exists()
