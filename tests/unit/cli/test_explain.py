"""`dcdan explain` from arguments to text, JSON, page and exit code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acting_model import write_acting
from dcdan.cli import explain as command
from dcdan.cli.main import run as dcdan
from dcdan.expressions import EXPRESSIONS
from imported_modules import HEAVY, imported_by
from tiny_model import coloured, write_run


@pytest.fixture
def acting(tmp_path: Path) -> Path:
    return write_acting(tmp_path / "acting")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "Zoë und Jürgen"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(4):
        noise = rng.integers(-30, 30, (40, 40, 3))
        Image.fromarray(np.clip(coloured(index) + noise, 0, 255).astype(np.uint8)).save(folder / f"{index}.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    return folder


def test_text_for_each_face(acting: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dcdan(["explain", str(pictures), "--model", str(acting)]) == 0
    out, err = capsys.readouterr()
    assert [out.count(f"face 1: {name}") for name in EXPRESSIONS[:4]] == [1] * 4
    assert out.splitlines()[-1].startswith("The map from actions to expressions gives")
    assert "broken.jpg" in err
    assert err.splitlines()[-1] == "4 faces explained, 1 picture without a face"


def test_json_has_every_face_and_what_is_without(
    acting: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dcdan(["explain", str(pictures), "nix.png", "--model", str(acting), "--json", "--maps", "none"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [face["expression"] for face in found["faces"]] == list(EXPRESSIONS[:4])
    assert [each["status"] for each in found["without"]] == ["truncated", "missing"]
    assert found["faces"][0]["occlusion"] is None
    assert found["faces"][0]["reasons"]["answer"] == EXPRESSIONS[0]


def test_a_page_is_written_whole_or_not_at_all(
    acting: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "new folder" / "why.html"
    arguments = ["explain", str(pictures), "--model", str(acting), "--out", str(out)]
    assert dcdan(arguments) == 0
    page = out.read_text(encoding="utf-8")
    assert page.count("<figure>") == 8
    assert "Not explained" in page
    assert dcdan(arguments) == 6
    assert "--force" in capsys.readouterr().err
    assert out.read_text(encoding="utf-8") == page

    def cut(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("dcdan.reports.explanation_page.explanation_page", cut)
    assert dcdan([*arguments, "--force"]) == 130
    assert out.read_text(encoding="utf-8") == page
    assert [path.name for path in out.parent.iterdir()] == ["why.html"]


def test_a_large_folder_is_cut_and_it_is_told(acting: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dcdan(["explain", str(pictures), "--model", str(acting), "--face-limit", "2"]) == 0
    out = capsys.readouterr().out
    assert out.count("face 1:") == 2
    assert "Stopped after 2 faces; what came after them was not looked at" in out
    assert "--face-limit N takes more, at most 1000." in out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["nix.png"], 3, "No face can be explained: 'nix.png'"),
        (["camera:0"], 2, "is a camera"),
        (["PICTURES", "--maps", "saliency"], 2, "saliency"),
        (["PICTURES", "--out", "page.pdf"], 2, "ends in .html"),
        (["PICTURES", "--check", "--out", "page.html"], 2, "--check prints a table"),
        (["PICTURES", "--check", "--maps", "none"], 2, "--check measures maps"),
        (["PICTURES", "--check"], 3, "There are 4 faces, too few"),
        (["PICTURES", "--face-limit", "1001"], 2, "--face-limit"),
        (["PICTURES", "--face-limit", "0"], 2, "--face-limit"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(
    acting: Path, pictures: Path, arguments: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(pictures) if each == "PICTURES" else each for each in arguments]
    assert dcdan(["explain", *given, "--model", str(acting)]) == code
    err = capsys.readouterr().err
    assert told in err.replace("\n", " ")


def test_a_picture_without_a_face(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.full((90, 90, 3), 90, np.uint8)).save(tmp_path / "sky.png")
    assert dcdan(["explain", str(tmp_path / "sky.png"), "--model", str(run), "--align", "mtcnn"]) == 3
    assert "sky.png': no face; for crops of faces give --cropped." in capsys.readouterr().err


def test_an_empty_folder(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert dcdan(["explain", str(tmp_path / "empty"), "--model", str(run)]) == 3
    assert "the folder holds no picture or video" in capsys.readouterr().err


def test_the_check_prints_its_verdict(
    acting: Path, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "LEAST_CHECKED", 4)
    assert dcdan(["explain", str(pictures), "--model", str(acting), "--check", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["random", "centre", "occlusion"]
    assert found["occlusion"]["faces"] == 4
    assert found["occlusion"]["faithful"] is False, "four faces cannot give p < .05: 2^-4 = .06"
    assert dcdan(["explain", str(pictures), "--model", str(acting), "--check"]) == 0
    assert "occlusion" in capsys.readouterr().out


def test_it_needs_no_extra(acting: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    code, names = imported_by(["explain", str(pictures), "--model", str(acting), "--out", str(out)])
    assert code == 0
    assert out.exists()
    assert not names & {*HEAVY, "jinja2"}


def test_actions_are_columns_of_predict(
    acting: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only actions that correlate with their teacher, with their unit; the fifth one does not."""
    out = tmp_path / "faces.csv"
    assert dcdan(["predict", str(pictures), "--model", str(acting), "--out", str(out), "--actions"]) == 0
    header = out.read_text().splitlines()[0].split(",")
    assert [name for name in header if name.startswith("a_")] == [
        *("a_browDownLeft_AU4", "a_browDownRight_AU4", "a_mouthSmileLeft_AU12", "a_mouthSmileRight_AU12"),
    ]
    assert dcdan(["predict", str(pictures / "0.png"), "--model", str(acting), "--json"]) == 0
    assert "actions" not in json.loads(capsys.readouterr().out)
    assert dcdan(["predict", str(pictures / "0.png"), "--model", str(acting), "--json", "--actions"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert set(row["actions"]) == {"browDownLeft", "browDownRight", "mouthSmileLeft", "mouthSmileRight"}
    assert row["actions"]["browDownLeft"] == row["probabilities"]["surprise"]
    plain = write_run(tmp_path / "plain")
    assert dcdan(["predict", str(pictures), "--model", str(plain), "--actions"]) == 5
    assert "does not estimate facial actions: leave out --actions" in capsys.readouterr().err


def test_unmeasured_actions_are_no_columns(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unmeasured = write_acting(tmp_path / "unmeasured", mapped=False, action_correlations=[])
    assert dcdan(["predict", str(pictures), "--model", str(unmeasured), "--actions"]) == 5
    assert "never compared with their teacher" in capsys.readouterr().err
