"""Files from elsewhere are read within bounds, and nothing waits at a pipe."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dcdan.core.atomic_io import sha256
from dcdan.core.limits import open_regular, read_json, read_log, read_text, read_toml, text_lines


def lines(path: Path) -> list[str]:
    return list(text_lines(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes in folders")
@pytest.mark.parametrize("reader", [open_regular, read_text, read_json, read_toml, read_log, lines, sha256])
def test_a_pipe_in_place_of_a_file_is_refused_at_once(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    """S17: a FIFO named as a file of a run, such as `run.json`, `log.jsonl` or `last.safetensors`."""
    os.mkfifo(tmp_path / "run.json")
    with pytest.raises(ValueError, match="pipe or a device"):
        reader(tmp_path / "run.json")


def test_a_folder_in_place_of_a_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)


def test_sizes_and_depths_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("x" * 11)
    assert read_text(path, 11) == "x" * 11
    with pytest.raises(ValueError, match="larger than 10 bytes"):
        read_text(path, 10)
    path.write_text("[" * 64 + "]" * 64)
    assert read_json(path)
    path.write_text("[" * 65 + "]" * 65)
    with pytest.raises(ValueError, match="nested more than 64 deep"):
        read_json(path)
    path.write_text("a = " + "[" * 5000 + "]" * 5000)
    with pytest.raises(ValueError, match="nested"):
        read_toml(path)
    path.write_text("a." * 101 + "b = 1")
    with pytest.raises(ValueError, match="more than 100 dots"):
        read_toml(path)


def test_lines_keep_their_ends_and_bad_bytes_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfname\r\n\xff\n")
    assert lines(tmp_path / "a.csv") == ["name\r\n", "\ufffd\n"]


def test_a_torn_line_of_a_log_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"kind": "step", "step": 1}\n[1]\n{"kind": "step"}\n{"kind": "st')
    assert read_log(tmp_path / "log.jsonl") == [{"kind": "step", "step": 1}]
