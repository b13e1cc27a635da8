"""`dcdan demo` from arguments to output and exit code, at a tiny setting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dcdan.cli.app import run as dcdan
from dcdan.evaluation import demo
from dcdan.evaluation.demo import DemoSettings, claim
from tiny_training import tiny


def test_page_is_printed_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    easy = ("options.threshold_floor=0", "options.relative_threshold=0.3", "options.ramp=0.1")
    settings = DemoSettings(
        faces=84,
        training=tiny("source.epochs=3", "source.lr=0.02", "adaptation.lr=0.005", "adaptation.epochs=1", *easy),
    )
    monkeypatch.setattr(demo, "DemoSettings", lambda: settings)
    out = tmp_path / "demo"
    assert dcdan(["demo", "--out", str(out), "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [str(out / "index.html")]
    assert captured.err == ""
    assert dcdan(["demo", "--out", str(out), "--json"]) == 6
    assert "--force" in capsys.readouterr().err
    (out / "index.html").unlink()
    assert dcdan(["demo", "--out", str(out), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["methods"]) == {"source_only", "adabn", "dcdan"}


def test_a_folder_of_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    assert dcdan(["demo", "--out", str(tmp_path), "--force"]) == 6
    assert "no demonstration" in capsys.readouterr().err


def test_settings_of_the_demonstration_are_valid(tmp_path: Path) -> None:
    claim(tmp_path / "out", DemoSettings(), force=False)
    for method in demo.METHODS:
        DemoSettings().of(method).method_settings()
