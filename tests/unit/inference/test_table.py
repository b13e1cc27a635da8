"""One answer as a dictionary and as a table row.

Results as rows: CSV read back, JSON lines, and the Parquet table made of them.

Results as columns and frames.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

import dcdan
from dcdan.core.atomic_io import Form
from dcdan.core.errors import MissingExtraError, UsageError
from dcdan.images.status import Status
from dcdan.inference import table as module
from dcdan.inference.table import (
    FaceResult,
    Quality,
    columns,
    csv_sink,
    header_text,
    json_sink,
    rows_text,
    to_columns,
    to_frame,
    write_parquet,
)

CLASSES = ("fear", "anger")
FACE = FaceResult(
    path="a.jpg",
    face=1,
    status=Status.OK,
    expression="anger",
    probability=0.75,
    decided_by="global",
    probabilities={"fear": 0.25, "anger": 0.75},
    box=(1.0, 2.5, 30.0, 40.0),
    landmarks=((0.25, 0.5),) * 5,
    region_weights={"nose": 1.0},
    unsure=True,
    candidates=("anger", "fear"),
    quality=Quality(side=29.0, sharpness=0.5, yaw=-12.25, roll=3.0, score=0.99),
    frame=7,
    time=0.28,
    track=2,
)


def test_a_row_has_the_cells_of_its_columns() -> None:
    assert dict(zip(columns(CLASSES), FACE.to_row(CLASSES), strict=True)) == {
        "path": "a.jpg",
        "face": "1",
        "status": "ok",
        "expression": "anger",
        "probability": "0.750000",
        "unsure": "yes",
        "decided_by": "global",
        "p_fear": "0.250000",
        "p_anger": "0.750000",
        "x0": "1.00",
        "y0": "2.50",
        "x1": "30.00",
        "y1": "40.00",
        "candidates": "anger fear",
        "side": "29.000",
        "sharpness": "0.500",
        "yaw": "-12.250",
        "roll": "3.000",
        "score": "0.990",
        "frame": "7",
        "time": "0.280",
        "track": "2",
    }


def test_a_row_without_a_face_is_empty_after_its_status() -> None:
    row = FaceResult("b.jpg", None, Status.NO_FACE).to_row(CLASSES)
    assert row == ["b.jpg", "", "no_face", *[""] * (len(columns(CLASSES)) - 3)]


@pytest.mark.parametrize("path", ["=1+1.jpg", "+a.jpg", "-a.jpg", "@a.jpg", "\ta.jpg"])
def test_a_file_name_is_never_a_formula(path: str) -> None:
    assert FaceResult(path, None, Status.NO_FACE).to_row(CLASSES)[0] == "'" + path
    assert FaceResult(path, None, Status.NO_FACE).to_dict()["path"] == path


def test_a_dictionary_survives_json() -> None:
    content = FACE.to_dict()
    assert json.loads(json.dumps(content)) == content
    assert content["probabilities"] == {"fear": 0.25, "anger": 0.75}
    assert content["box"] == [1.0, 2.5, 30.0, 40.0]
    empty = FaceResult("b.jpg", None, Status.MISSING).to_dict()
    assert (empty["status"], empty["expression"], empty["box"]) == ("missing", None, None)


HOSTILE_FACE = FaceResult(
    "a\n\x1b[31m.jpg",
    0,
    Status.OK,
    expression="anger",
    probability=0.75,
    decided_by="sum",
    probabilities={"fear": 0.25, "anger": 0.75},
    box=(1.0, 2.0, 3.5, 4.0),
    unsure=True,
    candidates=("anger", "fear"),
    quality=Quality(2.0, 0.5, -12.5, None, 0.25),
    frame=3,
    time=0.125,
    track=1,
)
STRANGE = FaceResult(os.fsdecode(b"\xff=.jpg"), None, Status.MISSING)
RESULTS = [[HOSTILE_FACE, HOSTILE_FACE], [STRANGE], [FaceResult('=cmd|"x"', None, Status.NO_FACE)]]


def test_a_csv_table_is_read_back_whatever_the_names() -> None:
    text = header_text(Form.CSV, CLASSES) + rows_text(Form.CSV, CLASSES, RESULTS)
    found = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["path"] for row in found] == [HOSTILE_FACE.path, HOSTILE_FACE.path, "\\xff=.jpg", '\'=cmd|"x"']
    assert list(found[0]) == columns(CLASSES)
    assert (found[0]["unsure"], found[0]["yaw"], found[0]["roll"]) == ("yes", "-12.500", "")


@pytest.mark.parametrize("form", [Form.CSV, Form.JSONL])
def test_rows_in_pieces_are_those_of_a_sink(form: Form) -> None:
    file = io.StringIO(newline="")
    sink = csv_sink(file, CLASSES) if form is Form.CSV else json_sink(file)
    for result in (result for own in RESULTS for result in own):
        sink(result)
    pieces = [rows_text(form, CLASSES, [own]) for own in RESULTS]
    assert header_text(form, CLASSES) + "".join(pieces) == file.getvalue()


def test_a_json_line_is_a_line() -> None:
    lines = rows_text(Form.JSONL, CLASSES, RESULTS).splitlines()
    assert [json.loads(line)["path"] for line in lines] == to_columns(RESULTS)["path"]
    assert json.loads(lines[0])["quality"]["roll"] is None


def test_a_parquet_table_says_what_the_columns_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS_AT_A_TIME", 3)
    lines = tmp_path / "rows"
    lines.write_text(rows_text(Form.JSONL, CLASSES, RESULTS))
    write_parquet(lines, tmp_path / "faces.parquet", CLASSES)
    found = pq.read_table(tmp_path / "faces.parquet")
    expected = to_columns(RESULTS, CLASSES)
    assert found.to_pydict() == expected
    assert str(found.schema.field("face").type) == "int32"


def test_a_parquet_table_without_a_row_has_its_columns(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("")
    write_parquet(tmp_path / "rows", tmp_path / "faces.parquet", CLASSES)
    assert pq.read_table(tmp_path / "faces.parquet").column_names == columns(CLASSES)


ANGRY_FACE = FaceResult(
    "a.jpg",
    0,
    Status.OK,
    expression="anger",
    probability=0.75,
    decided_by="sum",
    probabilities={"fear": 0.25, "anger": 0.75},
    box=(1.0, 2.0, 3.0, 4.0),
    candidates=("anger", "fear"),
    quality=Quality(2.0, 0.5, None, None, 0.0),
)
NONE = FaceResult("b.jpg", None, Status.NO_FACE)


def test_columns_are_those_of_the_table_with_typed_values() -> None:
    found = to_columns([[NONE], [ANGRY_FACE, ANGRY_FACE]])
    assert list(found) == columns(("fear", "anger"))
    assert {len(values) for values in found.values()} == {3}
    assert found["path"] == ["b.jpg", "a.jpg", "a.jpg"]
    assert found["unsure"] == [None, False, False]
    assert found["p_anger"] == [None, 0.75, 0.75]
    assert (found["y0"], found["candidates"][1]) == ([None, 2.0, 2.0], "anger fear")
    assert (found["yaw"], found["side"]) == ([None] * 3, [None, 2.0, 2.0])
    # The cells of a CSV row say the same.
    for row, result in enumerate((NONE, ANGRY_FACE)):
        cells = dict(zip(columns(("fear", "anger")), result.to_row(("fear", "anger")), strict=True))
        assert [name for name, cell in cells.items() if not cell] == [
            name for name, values in found.items() if values[row] in (None, "")
        ]


def test_results_may_come_flat_or_as_a_stream_and_classes_be_given() -> None:
    assert to_columns([ANGRY_FACE]) == to_columns(iter([[ANGRY_FACE]]))
    assert list(to_columns([NONE], classes=("joy",))) == columns(("joy",))
    assert to_columns([])["path"] == []


def test_an_arrow_table_is_made() -> None:
    table = to_frame([[NONE], [ANGRY_FACE]], "pyarrow")
    assert table.column_names == columns(("fear", "anger"))
    assert table.to_pylist()[1]["probability"] == 0.75


@pytest.mark.parametrize(("name", "make"), [("pandas", dcdan.to_pandas), ("polars", dcdan.to_polars)])
def test_a_missing_library_is_a_sentence(monkeypatch: pytest.MonkeyPatch, name: str, make: object) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=f"'{name}': pip install {name}"):
        make([ANGRY_FACE])  # type: ignore[operator]


def test_a_library_is_given_the_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=lambda given: ("frame", given)))
    assert dcdan.to_pandas([ANGRY_FACE]) == ("frame", to_columns([ANGRY_FACE]))


def test_another_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="Did you mean 'pandas'"):
        to_frame([ANGRY_FACE], "panda")


def test_names_that_are_not_utf8_are_escaped_alike_everywhere(tmp_path: Path) -> None:
    """S9: one escaping for CSV, JSON lines, Parquet and data frames; no lone surrogate anywhere."""
    expected = "\\xff=.jpg"
    (csv_row,) = csv.DictReader(
        io.StringIO(header_text(Form.CSV, CLASSES) + rows_text(Form.CSV, CLASSES, [[STRANGE]]), newline="")
    )
    line = rows_text(Form.JSONL, CLASSES, [[STRANGE]])
    (tmp_path / "rows").write_text(line, encoding="utf-8")
    write_parquet(tmp_path / "rows", tmp_path / "faces.parquet", CLASSES)
    assert csv_row["path"] == json.loads(line)["path"] == expected
    assert pq.read_table(tmp_path / "faces.parquet")["path"].to_pylist() == [expected]
    assert to_frame([STRANGE], "pyarrow")["path"].to_pylist() == [expected]
    assert "ud" not in line


def test_actions_are_columns_of_every_form(tmp_path: Path) -> None:
    smiling = replace(ANGRY_FACE, actions={"AU12": 0.5})
    names = columns(CLASSES, ("AU12",))
    assert names == [*columns(CLASSES), "a_AU12"]
    assert smiling.to_row(CLASSES, ("AU12",))[-1] == "0.500000"
    line = rows_text(Form.JSONL, CLASSES, [[smiling, NONE]], ("AU12",))
    assert json.loads(line.splitlines()[0])["actions"] == {"AU12": 0.5}
    (tmp_path / "rows").write_text(line)
    write_parquet(tmp_path / "rows", tmp_path / "faces.parquet", CLASSES, ("AU12",))
    assert pq.read_table(tmp_path / "faces.parquet")["a_AU12"].to_pylist() == [0.5, None]
    assert to_columns([NONE, smiling])["a_AU12"] == [None, 0.5]


def test_the_documentation_has_every_column_and_status() -> None:
    page = (Path(__file__).parents[3] / "docs" / "predict.md").read_text(encoding="utf-8")
    names = [
        name.replace("p_fear", "p_<expression>").replace("a_AU1", "a_<action>") for name in columns(("fear",), ("AU1",))
    ]
    assert [name for name in names if f"`{name}`" not in page] == []
    assert [str(status) for status in Status if status is not Status.OUTSIDE and f"| `{status}` |" not in page] == []
