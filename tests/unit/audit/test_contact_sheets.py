"""Showing data sets: which faces are on the sheet, and which files are written."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dcdan.audit import contact_sheets as module
from dcdan.audit.contact_sheets import faces_png, show
from dcdan.audit.inspection import listing
from dcdan.core.errors import DataError, OutputError
from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.plots.contact_sheet import SheetRow
from drawn_data import write_picture

COLOURS = {"happy": (220, 30, 30), "sad": (30, 30, 220)}


def write_colours(root: Path, counts: dict[str, int], size: tuple[int, int] = (32, 32)) -> Path:
    """Write plain pictures (height, width), a colour a class."""
    for name, count in counts.items():
        for number in range(count):
            path = root / "train" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", size[::-1], COLOURS[name]).save(path)
    return root


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[SheetRow]:
    """Return the rows of every sheet that is drawn."""
    seen: list[SheetRow] = []
    real = module.sheet_png

    def sheet_png(given: list[SheetRow], **options: int) -> bytes:
        seen.extend(given)
        return real(given, **options)

    monkeypatch.setattr(module, "sheet_png", sheet_png)
    return seen


def test_a_sheet_has_a_row_of_its_faces_for_each_class(tmp_path: Path, rows: list[SheetRow]) -> None:
    root = write_colours(tmp_path / "set", {"happy": 12, "sad": 2})
    paths = show([f"class_folders:{root}"], tmp_path / "out", per_class=5)
    assert [path.name for path in paths] == ["set-faces.png", "set-classes.png", "counts.csv"]
    assert [(row.heading, len(row.cells)) for row in rows] == [("happiness · 12", 5), ("sadness · 2", 2)]
    for row, colour in zip(rows, COLOURS.values(), strict=True):
        for cell in row.cells:
            assert (cell.face == colour).all()
            assert [mark.text for mark in cell.marks] == ["train"]
    with (tmp_path / "out" / "counts.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["set", "split", "class", "images"],
            ["set", "train", "happiness", "12"],
            ["set", "train", "sadness", "2"],
        ]


def test_the_seed_decides_which_faces_are_drawn() -> None:
    reader = open_reader(parse_spec("synthetic:studio?n=70&size=32"))
    listed = listing(reader)
    sheets = [faces_png(reader, listed, 2, seed) for seed in (0, 0, 1)]
    assert sheets[0] == sheets[1] != sheets[2]


def test_several_sets_stand_side_by_side_under_their_own_names(tmp_path: Path) -> None:
    one = write_colours(tmp_path / "a" / "faces", {"happy": 2, "sad": 1})
    two = write_colours(tmp_path / "b" / "faces", {"sad": 1, "happy": 1})
    bare = tmp_path / "bare"
    write_picture(bare / "x.png")
    names = [path.name for path in show([str(one), f"class_folders:{two}", f"folder:{bare}"], tmp_path / "out")]
    expected = ["faces-faces.png", "faces-classes.png", "faces-2-faces.png", "faces-2-classes.png", "bare-faces.png"]
    assert names == [*expected, "distribution.png", "counts.csv"]
    assert all((tmp_path / "out" / name).stat().st_size for name in names)


def test_a_folder_without_labels_has_a_sheet_without_classes(tmp_path: Path, rows: list[SheetRow]) -> None:
    for number in range(7):
        write_picture(tmp_path / "bare" / f"{number}.png", number)
    names = [path.name for path in show([f"folder:{tmp_path / 'bare'}"], tmp_path / "out", per_class=1)]
    assert names == ["bare-faces.png", "counts.csv"]
    assert [(row.heading, len(row.cells)) for row in rows] == [("7 pictures", 5)]
    assert all(cell.marks == () for cell in rows[0].cells)


def test_proportions_are_kept_and_boxes_cut(tmp_path: Path, rows: list[SheetRow]) -> None:
    scene = np.zeros((40, 100, 3), np.uint8)
    scene[10:30, 50:90] = 200
    cv2.imwrite(str(tmp_path / "scene.png"), scene)
    (tmp_path / "m.csv").write_text("path,label,x0,y0,x1,y1\nscene.png,happy,50,10,90,30\n")
    show([f"manifest:{tmp_path / 'm.csv'}"], tmp_path / "out")
    face = rows[0].cells[0].face
    assert face.shape == (40, 40, 3)
    assert (face[10:30] == 200).all()
    assert (face[:10] == 255).all()
    assert (face[30:] == 255).all()


def test_a_broken_picture_is_a_cell_that_says_so(tmp_path: Path, rows: list[SheetRow]) -> None:
    root = write_colours(tmp_path / "set", {"happy": 1, "sad": 1})
    (root / "train" / "sad" / "0.png").write_bytes(b"nothing")
    show([f"class_folders:{root}"], tmp_path / "out")
    assert [cell.marks[0].text for row in rows for cell in row.cells] == ["train", "not_an_image"]


def test_what_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    root = write_colours(tmp_path / "set", {"happy": 1, "sad": 1})
    out = tmp_path / "out"
    out.mkdir()
    show([str(root)], out)
    before = {path.name for path in out.iterdir()}
    (out / "mine.txt").write_text("kept")
    with pytest.raises(OutputError, match="--force"):
        show([str(root)], out)
    show([str(root)], out, force=True)
    assert {path.name for path in out.iterdir()} == before | {"mine.txt"}
    with pytest.raises(OutputError, match="is a file"):
        show([str(root)], out / "mine.txt", force=True)
    with pytest.raises(DataError, match="no folder"):
        show([str(tmp_path / "nowhere")], tmp_path / "new")
    assert not (tmp_path / "new").exists()
