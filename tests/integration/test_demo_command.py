"""`dcdan demo` from arguments to output and exit code, at a tiny setting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dcdan.cli.main import run as dcdan
from dcdan.core.locks import folder_lock
from dcdan.reports import demo
from dcdan.reports.demo import DemoSettings, open_demo_folder
from tiny_demo import TINY, finished_demo


def test_page_is_printed_last(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = finished_demo(tmp_path_factory)
    monkeypatch.setattr(demo, "DemoSettings", lambda: TINY)
    assert dcdan(["demo", "--out", str(out)]) == 6
    assert "--force" in capsys.readouterr().err
    (out / "index.html").unlink()
    assert dcdan(["demo", "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1] == str(out / "index.html")
    assert "DCD-DAN" in captured.out
    assert "scoring" in captured.err


def test_json_is_the_results(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = finished_demo(tmp_path_factory)
    monkeypatch.setattr(demo, "DemoSettings", lambda: TINY)
    (out / "index.html").unlink()
    assert dcdan(["demo", "--out", str(out), "--json", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == json.loads((out / "results.json").read_text())
    assert captured.err == ""


def test_a_folder_of_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    assert dcdan(["demo", "--out", str(tmp_path), "--force"]) == 6
    assert "no demonstration" in capsys.readouterr().err


def test_settings_of_the_demonstration_are_valid(tmp_path: Path) -> None:
    open_demo_folder(tmp_path / "out", DemoSettings(), force=False)
    for method in demo.METHODS:
        DemoSettings().of(method).method_settings()


def test_a_folder_that_another_process_fills_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    open_demo_folder(out, TINY, force=False)
    with folder_lock(out):
        assert dcdan(["demo", "--out", str(out), "--force"]) == 6
    assert "Another process is at work" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == [demo.MARK]
