"""`dcdan adapt` without a source set: a folder of pictures in, labels given, a model that predicts better out.

The model names the colour of a face. The target's pictures are tinted, so that it takes most of them for one class.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcdan.api import adapt as adapt_in_python
from dcdan.cli.main import run as dcdan
from dcdan.core.errors import UsageError
from dcdan.correction.verdict import Answer
from dcdan.expressions import EXPRESSIONS
from dcdan.inference.recogniser import load
from tiny_model import coloured, write_run

FACES = 96
SIDE = 40


def tinted(folder: Path, seed: int = 5, strength: float = 0.35) -> dict[str, int]:
    """Write pictures of all classes, noisy and pulled to white; return the true class of each file's name."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    truth = {}
    for number in range(FACES):
        label = number % len(EXPRESSIONS)
        colour = coloured(label, SIDE).astype(float)
        mixed = 127 + 0.45 * (colour - 127) + 255 * strength / 2 + rng.normal(0, 25, 3)
        picture = np.clip(mixed + rng.normal(0, 4, colour.shape), 0, 255).astype(np.uint8)
        name = f"{number:03}.png"
        Image.fromarray(picture).save(folder / name)
        truth[name] = label
    return truth


def filled(table: Path, truth: dict[str, int]) -> None:
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "face", "expression"])
        writer.writeheader()
        for row in rows:
            writer.writerow(row | {"expression": EXPRESSIONS[truth[Path(row["path"]).name]]})


def accuracies(out: Path, truth: dict[str, int]) -> tuple[float, float]:
    with (out / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    right = [EXPRESSIONS[truth[Path(row["path"]).name]] for row in rows]
    before = np.mean([row["before"] == true for row, true in zip(rows, right, strict=True)])
    after = np.mean([row["expression"] == true for row, true in zip(rows, right, strict=True)])
    return float(before), float(after)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_run(tmp_path / "model", size=32, sharpness=6.0)


def adapt(*arguments: object) -> int:
    return dcdan(["adapt", *map(str, arguments), "--threads", "1"])


def test_labels_undo_a_tint(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, out = tinted(tmp_path / "photos"), tmp_path / "out"
    assert adapt("--target", tmp_path / "photos", "--out", out, "--model", model) == 0
    said = capsys.readouterr()
    assert "cannot tell: label 40 faces" in said.out
    assert "96 pictures" in said.err
    before, after = accuracies(out, truth)
    assert before == after < 0.7
    tempered = load(out, threads=1).info.correction
    assert tempered is not None
    assert set(tempered.class_bias) == {0.0}  # calibrated only: no answer has changed
    assert (out / "label" / "faces.png").stat().st_size > 1000

    table = out / "label" / "labels.csv"
    filled(table, truth)
    assert adapt("--out", out, "--labels", table) == 0
    assert "use it" in capsys.readouterr().out
    _, after = accuracies(out, truth)
    assert after >= before + 0.1
    content = json.loads((out / "run.json").read_text())
    assert content["labels"] == 40
    assert content["measured_accuracy"]["source"]["low"] <= before <= content["measured_accuracy"]["source"]["high"]

    # The model in the folder says of new faces what the verdict promises.
    recogniser = load(out, threads=1)
    new = tinted(tmp_path / "new", seed=6)
    names = sorted(new)
    found = [faces[0].expression for faces in recogniser.stream([tmp_path / "new" / name for name in names])]
    old = [faces[0].expression for faces in load(model, threads=1).stream([tmp_path / "new" / n for n in names])]
    right = [EXPRESSIONS[new[name]] for name in names]
    share = [np.mean([a == b for a, b in zip(each, right, strict=True)]) for each in (old, found)]
    assert share[1] >= share[0] + 0.08


def test_declared_shares(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, out = tinted(tmp_path / "photos"), tmp_path / "out"
    asked = ["--target", tmp_path / "photos", "--out", out, "--model", model, "--shares", "balanced"]
    assert adapt(*asked) == 0
    assert "use it" in capsys.readouterr().out
    before, after = accuracies(out, truth)
    assert after > before + 0.1
    assert adapt(*asked) == 0
    assert "known from the last run" in capsys.readouterr().err


def test_few_or_same_pictures_keep_the_model(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(40):
        Image.fromarray(coloured(3)).save(photos / f"{number}.png")
    assert adapt("--target", photos, "--out", tmp_path / "a", "--model", model, "--shares", "balanced") == 0
    assert "keep the model you had. 1 different face is too few" in capsys.readouterr().out
    assert load(tmp_path / "a", threads=1).info.correction is None


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--shares", "joy=2"], 2, "share"),
        (["--shares", "anger=.5,neutral=.9"], 2, "add up"),
        (["--shares", "source"], 2, "does not know"),
        (["--method", "dann"], 2, "--source"),
        (["--labels", "x.csv"], 2, "leave out --target"),
        (["--minutes", "0"], 2, "above 0"),
    ],
)
def test_bad_settings(
    tmp_path: Path, model: Path, arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tinted(tmp_path / "photos")
    more = ["--model", model] if "--method" not in arguments else []
    assert adapt("--target", tmp_path / "photos", "--out", tmp_path / "out", *more, *arguments) == code
    assert words in capsys.readouterr().err


def test_without_faces(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert adapt("--target", tmp_path / "empty", "--out", tmp_path / "out", "--model", model) == 3
    assert adapt("--out", tmp_path / "nothing", "--ask") == 2
    assert "first" in capsys.readouterr().err


def test_answers_in_the_terminal(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tinted(tmp_path / "photos")
    out = tmp_path / "out"
    assert adapt("--target", tmp_path / "photos", "--out", out, "--model", model) == 0
    typed = iter(["1", "u", "2", "s", "nonsense", "happy", "q"])
    monkeypatch.setattr("builtins.input", lambda _: next(typed))
    assert adapt("--out", out, "--ask") == 0
    with (out / "label" / "labels.csv").open(newline="") as file:
        given = [row["expression"] for row in csv.DictReader(file)]
    assert given[:3] == [EXPRESSIONS[1], "skip", "happiness"]
    assert set(given[3:]) == {""}
    assert "no expression" in capsys.readouterr().out
    # More labels later are added to these, and a larger sheet holds all faces of the smaller.
    assert adapt("--out", out, "--label-faces", 60) == 0
    with (out / "label" / "labels.csv").open(newline="") as file:
        rows = [row["expression"] for row in csv.DictReader(file)]
    assert len(rows) == 60
    assert len([row for row in rows if row]) == 3


def test_from_python(tmp_path: Path, model: Path) -> None:
    truth = tinted(tmp_path / "photos")
    recogniser = adapt_in_python(target=tmp_path / "photos", shares="balanced", model=model, progress=False)
    assert recogniser.verdict is not None
    assert recogniser.verdict.answer is Answer.USE
    names = sorted(truth)
    found = [faces[0].expression for faces in recogniser.stream([tmp_path / "photos" / name for name in names])]
    old = [faces[0].expression for faces in load(model, threads=1).stream([tmp_path / "photos" / n for n in names])]
    right = [EXPRESSIONS[truth[name]] for name in names]
    assert sum(a == b for a, b in zip(found, right, strict=True)) > sum(a == b for a, b in zip(old, right, strict=True))
    with pytest.raises(UsageError, match="needs target and out"):
        adapt_in_python(target=tmp_path / "photos", method="dann")
    with pytest.raises(UsageError, match="needs a source"):
        adapt_in_python(target=tmp_path / "photos", size=64)
    with pytest.raises(UsageError, match="grouping"):
        adapt_in_python(target=tmp_path / "photos", groups="all")
