"""Files and folders to tables."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from dcdan.core.errors import DataError
from dcdan.expressions import EXPRESSIONS
from dcdan.inference.predict import predict
from dcdan.inference.recogniser import Recogniser, load
from dcdan.inference.table import FaceResult, columns, csv_sink, json_sink
from tiny_model import coloured


@pytest.fixture
def model(run: Path) -> Recogniser:
    return load(run, threads=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures in two folders, a damaged one, an empty one, and a file that is no picture."""
    root = tmp_path / "pictures"
    (root / "deep" / "er").mkdir(parents=True)
    for index, name in enumerate(("b.png", "=a.png", "deep/er/c.JPG")):
        Image.fromarray(coloured(index)).save(root / name)
    (root / "deep" / "broken.png").write_bytes((root / "b.png").read_bytes()[:60])
    (root / "deep" / "zero.jpg").write_bytes(b"")
    (root / "notes.txt").write_text("not looked at")
    return root


def test_folders_are_walked_and_every_input_has_a_row(model: Recogniser, folder: Path) -> None:
    rows: list[FaceResult] = []
    summary = predict(model, [folder, folder / "nix.png", folder / "notes.txt"], rows.append)
    found = {Path(row.path).name: str(row.status) for row in rows}
    assert found == {
        "=a.png": "ok",
        "b.png": "ok",
        "broken.png": "truncated",
        "zero.jpg": "empty",
        "c.JPG": "ok",
        "nix.png": "missing",
        "notes.txt": "not_an_image",
    }
    assert (summary.inputs, summary.faces) == (7, 3)
    assert summary.statuses == {"ok": 3, "truncated": 1, "empty": 1, "missing": 1, "not_an_image": 1}
    assert summary.expressions == {EXPRESSIONS[0]: 1, EXPRESSIONS[1]: 1, EXPRESSIONS[2]: 1}
    assert summary.sentence().startswith("7 inputs, 3 faces recognised (3 ok, ")


def test_a_csv_is_read_back(model: Recogniser, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    file = io.StringIO(newline="")
    predict(model, [Path("=a.png"), Path("b.png"), Path('nix, "quoted".png')], csv_sink(file, model.classes))
    rows = list(csv.DictReader(io.StringIO(file.getvalue(), newline="")))
    assert list(rows[0]) == columns(EXPRESSIONS)
    assert [row["path"] for row in rows] == ["'=a.png", "b.png", 'nix, "quoted".png']
    assert rows[1]["expression"] == EXPRESSIONS[0]
    assert sum(float(rows[1][f"p_{name}"]) for name in EXPRESSIONS) == pytest.approx(1.0, abs=1e-5)
    assert (rows[2]["status"], rows[2]["expression"], rows[2]["p_fear"]) == ("missing", "", "")


def test_json_lines_are_read_back(model: Recogniser, folder: Path) -> None:
    file = io.StringIO()
    predict(model, [folder], json_sink(file))
    rows = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [Path(row["path"]).name for row in rows] == ["=a.png", "b.png", "broken.png", "zero.jpg", "c.JPG"]
    assert rows[0]["probabilities"].keys() == set(EXPRESSIONS)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["nix.png"], "'nix.png' does not exist"),
        (["empty"], "'empty' is empty or holds no picture"),
        (["notes.txt"], "'notes.txt' is no picture or video of a known kind"),
        (["nix.png", "empty", "zero.jpg"], r"None of the 3 inputs could be read \(2 empty, 1 missing\)"),
        ([], "nothing to recognise"),
    ],
)
def test_nothing_readable_is_an_error(
    model: Recogniser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("notes.txt").write_text("text")
    Path("zero.jpg").write_bytes(b"")
    rows: list[FaceResult] = []
    with pytest.raises(DataError, match=told) as caught:
        predict(model, [Path(name) for name in names], rows.append)
    assert len(rows) == len(names)
    assert "\n" not in str(caught.value)
