"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from dcdan.core.atomic_io import Form, atomic_text, check_target, form_of, write_bytes
from dcdan.core.errors import MissingExtraError, OutputError, UsageError


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_file_takes_its_name_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.csv"
    with atomic_text(target) as file:
        file.write("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert names_in(target.parent) == ["a.csv"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    target.write_text("old")
    with pytest.raises(UnicodeDecodeError), atomic_text(target) as file:
        file.write("half" + b"\xff".decode())
    assert target.read_text() == "old"
    assert names_in(tmp_path) == ["a.csv"]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space left on device"), atomic_text(tmp_path / "a.csv"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names_in(tmp_path) == []


def test_a_file_in_the_way_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_bytes(tmp_path / "file" / "a.png", b"x")


def test_bytes_replace_an_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"old and longer")
    write_bytes(tmp_path / "a.png", b"new")
    assert (tmp_path / "a.png").read_bytes() == b"new"


def test_names_that_are_no_unicode_are_written(tmp_path: Path) -> None:
    with atomic_text(tmp_path / "a.csv") as file:
        file.write(os.fsdecode(b"\xff.jpg"))
    assert (tmp_path / "a.csv").read_text() == "\\udcff.jpg"


def test_targets_that_exist_are_refused_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("old")
    with pytest.raises(OutputError, match="exists already"):
        check_target(tmp_path / "a.csv")
    check_target(tmp_path / "a.csv", force=True)
    with pytest.raises(OutputError, match="is a folder"):
        check_target(tmp_path, force=True)
    with pytest.raises(OutputError, match="not a regular file"):
        check_target(Path(os.devnull), force=True)


def test_the_suffix_decides_the_form(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [form_of(Path(f"a{suffix}")) for suffix in (".csv", ".JSONL", ".parquet")] == list(Form)
    assert form_of(Path("a.txt"), json=True) is Form.JSONL
    with pytest.raises(UsageError, match=r"'a\.xlsx' has no known suffix: .*\.csv, \.jsonl, \.parquet"):
        form_of(Path("a.xlsx"))
    with pytest.raises(UsageError, match="--json writes JSON lines"):
        form_of(Path("a.csv"), json=True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install pyarrow"):
        form_of(Path("a.parquet"))
