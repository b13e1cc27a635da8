"""Builds that are stopped by a signal, lose their data, or are killed while they put a finished pack in its place."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dcdan.core.errors import DataError, OutputError
from dcdan.core.signals import Interrupted
from dcdan.datasets.listing import CHUNK
from dcdan.datasets.reader import Reader, ReaderOptions, Sample
from dcdan.jobs import resumable_job
from dcdan.packs.build import build_pack
from dcdan.packs.format import HEADER_BYTES
from dcdan.packs.pack import Pack
from drawn_data import file_bytes, picture

COUNT = 3 * CHUNK


class Drawn(Reader):
    """Pictures that are there as long as their folder is; ``at`` the loading of one of them something happens."""

    name = "drawn"
    title = "Drawn shapes"
    licence = "none"
    classes = ("fear", "anger")

    def __init__(self, root: Path, at: int = -1, signals: bool = True) -> None:
        super().__init__(root, ReaderOptions())
        self.at, self.signals = at, signals

    def samples(self) -> Iterator[Sample]:
        for number in range(COUNT):
            yield Sample(str(number), number % 2)

    def load(self, sample: Sample) -> np.ndarray:
        if int(sample.path) == self.at:
            if self.signals:
                signal.raise_signal(signal.SIGTERM)
            else:
                shutil.rmtree(self.folder)
        if not self.folder.exists():
            raise FileNotFoundError(self.folder)
        return picture(int(sample.path), 6)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").touch()
    return tmp_path / "data"


def build(reader: Reader, out: Path, force: bool = False) -> Pack:
    return build_pack(reader, out, size=16, align="none", workers=1, progress=False, force=force)


def chunks(out: Path) -> int:
    return (out.with_name(f"{out.name}.partial") / "journal.jsonl").read_bytes().count(b"\n")


def test_a_signal_ends_a_build_after_a_whole_chunk(root: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="run the same command to resume"):
        build(Drawn(root, at=CHUNK + 5), tmp_path / "out")
    assert chunks(tmp_path / "out") == 2
    build(Drawn(root), tmp_path / "out")
    build(Drawn(root), tmp_path / "whole")
    assert file_bytes(tmp_path / "out") == file_bytes(tmp_path / "whole")


def test_data_that_go_away_are_not_packed_as_missing(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no longer there: restore it"):
        build(Drawn(root, at=CHUNK + 5, signals=False), tmp_path / "out")
    assert chunks(tmp_path / "out") == 1
    root.mkdir()
    (root / "file").touch()
    assert build(Drawn(root), tmp_path / "out").info.counts.statuses == {"ok": COUNT}


def test_a_full_disk_leaves_whole_chunks(root: Path, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (HEADER_BYTES + 2 * CHUNK * 16 * 16 * 3 + 1000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot be written \(File too large\)"):
            build(Drawn(root), tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert 1 <= chunks(tmp_path / "out") <= 2
    build(Drawn(root), tmp_path / "out")
    build(Drawn(root), tmp_path / "whole")
    assert file_bytes(tmp_path / "out") == file_bytes(tmp_path / "whole")


@pytest.mark.parametrize("step", ["first rename", "second rename", "cleaning up"])
def test_a_pack_is_replaced_at_any_moment(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    out = tmp_path / "out"
    build(Drawn(root), out)
    before = file_bytes(out)
    replace, renames = os.replace, []

    def killed(*arguments: Path) -> None:
        renames.append(arguments)
        if step == "cleaning up" or len(renames) == (1 if step == "first rename" else 2):
            raise KeyboardInterrupt
        replace(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(*((resumable_job, "_clear") if step == "cleaning up" else (os, "replace")), killed)
        with pytest.raises(KeyboardInterrupt):
            build(Drawn(root), out, force=True)
    build(Drawn(root), out, force=True)
    assert file_bytes(out) == before
    assert not (tmp_path / "out.partial").exists()
    with pytest.raises(OutputError, match="exists already"):
        build(Drawn(root), out)
