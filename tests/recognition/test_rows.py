"""Results as rows: CSV read back, JSON lines, and the Parquet table made of them."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dcdan.faces.status import Status
from dcdan.recognition import rows as module
from dcdan.recognition.frames import to_columns
from dcdan.recognition.output import Form
from dcdan.recognition.results import FaceResult, Quality, columns
from dcdan.recognition.rows import csv_sink, header_text, json_sink, rows_text, write_parquet

CLASSES = ("fear", "anger")
FACE = FaceResult(
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
RESULTS = [[FACE, FACE], [STRANGE], [FaceResult('=cmd|"x"', None, Status.NO_FACE)]]


def test_a_csv_table_is_read_back_whatever_the_names() -> None:
    text = header_text(Form.CSV, CLASSES) + rows_text(Form.CSV, CLASSES, RESULTS)
    found = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["path"] for row in found] == [FACE.path, FACE.path, STRANGE.path, '\'=cmd|"x"']
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
    assert [json.loads(line)["path"] for line in lines] == [result.path for own in RESULTS for result in own]
    assert json.loads(lines[0])["quality"]["roll"] is None


def test_a_parquet_table_says_what_the_columns_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS_AT_A_TIME", 3)
    lines = tmp_path / "rows"
    lines.write_text(rows_text(Form.JSONL, CLASSES, RESULTS))
    write_parquet(lines, tmp_path / "faces.parquet", CLASSES)
    found = pq.read_table(tmp_path / "faces.parquet")
    expected = to_columns(RESULTS, CLASSES)
    expected["path"][2] = "\\udcff=.jpg"
    assert found.to_pydict() == expected
    assert str(found.schema.field("face").type) == "int32"


def test_a_parquet_table_without_a_row_has_its_columns(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("")
    write_parquet(tmp_path / "rows", tmp_path / "faces.parquet", CLASSES)
    assert pq.read_table(tmp_path / "faces.parquet").column_names == columns(CLASSES)
