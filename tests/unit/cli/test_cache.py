"""`dcdan cache`: show, clear, shrink."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from dcdan.cli.main import run as dcdan
from tiny_model import coloured


@pytest.fixture
def cache(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with the pack of an evaluation in it."""
    monkeypatch.setenv("DCDAN_CACHE", str(tmp_path / "cache"))
    for name, colour in (("surprise", 0), ("fear", 1)):
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.fromarray(coloured(colour)).save(tmp_path / "data" / name / "0.png")
    assert dcdan(["evaluate", "--model", str(run), "--data", str(tmp_path / "data"), "-q"]) == 0
    return tmp_path / "cache"


def entries(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    capsys.readouterr()
    assert dcdan(["cache", "show", "--json"]) == 0
    return list(json.loads(capsys.readouterr().out)["entries"])


def test_a_pack_is_shown_and_cleared(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """P8. What is stored can be seen, and deleted by name or as a whole."""
    (entry,) = entries(capsys)
    files = sum(path.stat().st_size for path in Path(str(entry["path"])).rglob("*") if path.is_file())
    assert (entry["kind"], entry["bytes"]) == ("pack", files)
    assert dcdan(["cache"]) == 0
    assert f"{entry['name']}\n1 entries" in capsys.readouterr().out
    assert dcdan(["cache", "clear", "nix"]) == 2
    assert len(entries(capsys)) == 1
    assert dcdan(["cache", "clear", str(entry["name"])]) == 0
    assert entries(capsys) == []
    assert [path.name for path in cache.iterdir()] == []


def test_shrink_deletes_down_to_a_size(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """P8. A size is a limit; one that is no size is a sentence."""
    assert dcdan(["cache", "shrink", "--to", "much"]) == 2
    assert "is no size" in capsys.readouterr().err
    assert dcdan(["cache", "shrink"]) == 0
    assert len(entries(capsys)) == 1
    assert dcdan(["cache", "shrink", "--to", "1B"]) == 0
    assert entries(capsys) == []
