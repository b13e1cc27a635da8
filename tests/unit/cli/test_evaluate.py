"""`dcdan evaluate` from arguments to files and exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from dcdan.cli.evaluate import folder_name
from dcdan.cli.main import run as dcdan
from dcdan.inference import resolver
from tiny_model import coloured


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes that the model gets right, and one picture that it gets wrong."""
    monkeypatch.setenv("DCDAN_CACHE", str(tmp_path / "cache"))
    for name, colours in (("surprise", [0, 0]), ("fear", [1, 0])):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for number, colour in enumerate(colours):
            Image.fromarray(coloured(colour)).save(folder / f"{number}.png")
    return tmp_path / "data"


def test_table_picture_and_report_are_written(run: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dcdan(["evaluate", "--model", str(run), "--data", str(data)]) == 0
    text = capsys.readouterr().out
    assert "75.00 %" in text
    assert "UAR" in text
    folder = run / "evaluation-data"
    assert (folder / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "evaluation.json").read_text())["accuracy"] == 0.75


def test_json_is_the_report(run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report"
    arguments = ["evaluate", "--model", str(run), "--data", str(data), "--out", str(out), "--json", "--quiet"]
    assert dcdan(arguments) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == json.loads((out / "evaluation.json").read_text())
    assert captured.err == ""
    assert dcdan(arguments) == 6
    assert "exists already" in capsys.readouterr().err
    assert dcdan([*arguments, "--force"]) == 0


def test_data_without_labels_end_with_a_sentence(run: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dcdan(["evaluate", "--model", str(run), "--data", f"folder:{data}"]) == 3
    assert "has no labels" in capsys.readouterr().err
    assert not list(run.glob("evaluation*"))


@pytest.mark.parametrize(
    ("data", "split", "name"),
    [
        ("ferplus:/data/FERPlus?votes=majority", "test", "ferplus-votes-majority-test"),
        ("synthetic:street?n=2000", "all", "synthetic-street-n-2000"),
        ("packs/lfw/", "all", "lfw"),
        ("packs/lfw?split=test", "test", "lfw-test"),
        ("packs/lfw?shift=blur&severity=3", "all", "lfw-shift-blur-severity-3"),
        ("packs/lfw?limit=50", "all", "lfw-limit-50"),
        ("../..", "all", "data"),
        ("packs/lfw?a=../../b", "all", "lfw-a-..-..-b"),
    ],
)
def test_folders_are_named_after_the_data(data: str, split: str, name: str) -> None:
    """R11. Clean, shifted and limited runs have folders of their own."""
    assert folder_name(data, split) == name


def test_a_report_is_never_replaced_in_silence(run: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """R11, P7. The default folder is protected as one that is named."""
    arguments = ["evaluate", "--model", str(run), "--data", str(data), "-q"]
    assert dcdan(arguments) == 0
    before = (run / "evaluation-data" / "evaluation.json").read_bytes()
    assert dcdan(arguments) == 6
    assert "exists already" in capsys.readouterr().err
    assert dcdan([*arguments, "--limit", "1"]) == 0
    assert (run / "evaluation-data-limit-1" / "evaluation.json").exists()
    assert (run / "evaluation-data" / "evaluation.json").read_bytes() == before
    assert dcdan([*arguments, "--force"]) == 0


def test_a_model_of_the_package_is_the_default_and_is_left_alone(
    data: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """P6, U9, R11. Without --model the package's model is scored; nothing is written beside it or under its name."""
    weights = tmp_path / "weights"
    weights.mkdir()
    run.rename(weights / "colours")
    monkeypatch.setattr(resolver, "WEIGHTS", weights)
    monkeypatch.chdir(tmp_path)
    assert dcdan(["evaluate", "--data", str(data)]) == 0
    assert "75.00 %" in capsys.readouterr().out
    assert (tmp_path / "evaluation-colours-data" / "evaluation.json").exists()
    assert not (tmp_path / "colours").exists()
    assert not list(weights.rglob("evaluation*"))


def test_strict_fails_on_images_without_a_face(run: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """U12. A damaged picture ends a strict evaluation with exit code 3, after the report."""
    (data / "fear" / "broken.png").write_bytes(b"\x89PNG\r\n")
    arguments = ["evaluate", "--model", str(run), "--data", str(data), "-q"]
    assert dcdan(arguments) == 0
    assert dcdan([*arguments, "--strict", "--force"]) == 3
    assert "1 images of" in capsys.readouterr().err


def test_long_names_are_cut_and_stay_different() -> None:
    one, two = (folder_name(f"packs/{'x' * 300}?seed={seed}", "all") for seed in (1, 2))
    assert len(one) == len(two) == 100
    assert one != two


def test_clean_shifted_and_limited_runs_write_folders_of_their_own(run: Path, data: Path, tmp_path: Path) -> None:
    """R11: three evaluations of one model on the same faces replace nothing."""
    pack = tmp_path / "pack"
    assert dcdan(["pack", str(data), "--out", str(pack), "--size", "32", "--align", "none", "--quiet"]) == 0
    for options in ("", "?shift=blur&severity=3", "?limit=2"):
        assert dcdan(["evaluate", "--model", str(run), "--data", f"{pack}{options}", "--quiet"]) == 0
    found = sorted(path.parent.name for path in run.glob("evaluation*/evaluation.json"))
    assert found == ["evaluation-pack", "evaluation-pack-limit-2", "evaluation-pack-shift-blur-severity-3"]


def test_groups_are_printed_and_drawn(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, colour in (("surprise", 0), ("fear", 1)):
        for number in range(80):
            side = 40 + number
            picture = coloured(1 - colour if number < 40 else colour, side)
            Image.fromarray(picture).save(tmp_path / "data" / name / f"more {number}.png")
    out = tmp_path / "report"
    arguments = ["evaluate", "--model", str(run), "--data", str(data), "--out", str(out)]
    assert dcdan([*arguments, "--by", "size", "--by", "brightness"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "By size: accuracy differs by" in text
    assert "An offset per class for each group" in text
    for name in ("groups.png", "worst-size.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    content = json.loads((out / "evaluation.json").read_text())
    assert [each["column"] for each in content["by"]] == ["size", "brightness"]
    assert dcdan([*arguments, "--force", "--by", "gender"]) == 2
    assert "Unknown column of groups 'gender'" in capsys.readouterr().err
