"""`dcdan pack`: what it prints, and its exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "data"))

from drawn_data import write_classes

from dcdan.cli.app import run


def pack(*arguments: object) -> int:
    return run(["pack", *map(str, arguments)])


def test_a_summary_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_classes(tmp_path / "in", {"happy": 2, "sad": 1, "fear": 0})
    assert pack(root, "--out", tmp_path / "out", "--size", 32, "--align", "none") == 0
    printed = capsys.readouterr()
    assert "3 colour faces of 32 pixels" in printed.out
    assert "happiness 2" in printed.out
    assert "warning: no sample of: fear" in printed.out
    assert printed.err == ""


def test_json_is_pack_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_classes(tmp_path / "in", {"happy": 2, "sad": 1})
    assert pack(root, "--out", tmp_path / "out", "--align", "none", "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "out" / "pack.json").read_text())


def test_quiet_is_quiet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_classes(tmp_path / "in", {"happy": 2, "sad": 1})
    assert pack(root, "--out", tmp_path / "out", "--align", "none", "--quiet") == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ("ferpluss:in", 2, "Did you mean 'ferplus'"),
        ("folder:in?limits=3", 2, "Did you mean 'limit'"),
        ("nowhere", 3, "There is no folder"),
        ("empty", 3, "is empty"),
        ("ferplus:in", 3, "looked for fer2013new.csv"),
    ],
)
def test_mistakes_end_in_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spec: str,
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_classes(tmp_path / "in", {"happy": 1, "sad": 1})
    (tmp_path / "empty").mkdir()
    assert pack(spec, "--out", "out") == code
    printed = capsys.readouterr()
    assert message in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()


def test_an_out_that_exists_needs_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_classes(tmp_path / "in", {"happy": 1, "sad": 1})
    for expected, extra in ((0, ()), (6, ()), (0, ("--force",))):
        assert pack(root, "--out", tmp_path / "out", "--align", "none", "--quiet", *extra) == expected
    assert "--force" in capsys.readouterr().err
