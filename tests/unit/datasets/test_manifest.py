"""Manifests: every column, CSV and Parquet alike, damaged rows by line, and no way out of the folder."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcdan.core.errors import DataError
from dcdan.datasets.manifest import BOX, LANDMARKS
from dcdan.datasets.reader import Reader, Sample
from dcdan.datasets.spec import open_reader, parse_spec
from drawn_data import write_picture

POINTS = (4.0, 5.0, 12.0, 5.0, 8.0, 9.0, 5.0, 13.0, 11.0, 13.0)


def read(table: Path, query: str = "") -> tuple[Reader, list[Sample]]:
    reader = open_reader(parse_spec(f"manifest:{table}{query}"))
    return reader, list(reader.selected())


def write_csv(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(params=["csv", "parquet"])
def full(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    columns = ["path", "label", "split", "subject", "group.age", "group.sex", *BOX, *LANDMARKS, "remark"]
    rows = [
        ["in/a.png", "Happy", "train", "s1", "20-39", "f", *range(1, 5), *POINTS, "x"],
        ["b.png", "anger", "val", "", "", "", *[""] * 4, *[""] * 10, ""],
        ["c.png", "", "", "", "60+", "", *[""] * 4, *[""] * 10, ""],
    ]
    if request.param == "csv":
        return write_csv(tmp_path / "faces.csv", *[",".join(map(str, row)) for row in (columns, *rows)])
    records = [{key: value for key, value in zip(columns, row, strict=True) if value != ""} for row in rows]
    parquet.write_table(
        arrow.table({key: [record.get(key) for record in records] for key in columns}), tmp_path / "faces.parquet"
    )
    return tmp_path / "faces.parquet"


def test_every_column(full: Path) -> None:
    reader, (first, second, third) = read(full)
    assert reader.classes == ("happiness", "anger")
    assert first == Sample(
        "in/a.png",
        0,
        split="train",
        subject="s1",
        groups={"age": "20-39", "sex": "f"},
        box=(1.0, 2.0, 3.0, 4.0),
        landmarks=tuple(zip(POINTS[::2], POINTS[1::2], strict=True)),
    )
    assert second == Sample("b.png", 1, split="validation")
    assert third == Sample("c.png", groups={"age": "60+"})
    assert reader.skipped == {}


def test_pictures_lie_beside_the_manifest(tmp_path: Path) -> None:
    write_picture(tmp_path / "in" / "a.png", side=20)
    reader, (sample,) = read(write_csv(tmp_path / "m.csv", "path", "in/a.png"))
    assert reader.load(sample).shape == (20, 20, 3)
    assert reader.classes == ()
    assert reader.max_faces is None


def test_damaged_rows_are_named_by_line_and_the_rest_is_read(tmp_path: Path) -> None:
    table = write_csv(
        tmp_path / "m.csv",
        "path,label,split,x0,y0,x1,y1,lx0",
        "a.png,fear,train,,,,,",
        "b.png,puzzled,train,,,,,",
        "c.png,fear,sometimes,,,,,",
        "d.png,fear,train,1,2,3,,",
        "e.png,fear,train,9,2,3,4,",
        "f.png,fear,train,1,2,nan,4,",
        "g.png,fear,train,,,,,7",
        ",fear,train,,,,,",
        "i.png,fear,train,1,9,2,3,",
        "h.png,fear,train,,,,,,surplus",
    )
    reader, samples = read(table)
    assert [sample.path for sample in samples] == ["a.png", "h.png"]
    assert reader.skipped == {"damaged rows": 8}
    assert reader.notes == [
        "line 3 of m.csv was left out: 'puzzled' is no expression",
        "line 4 of m.csv was left out: 'sometimes' is no split",
        "line 5 of m.csv was left out: x0 to y1 are not all numbers",
        "line 6 of m.csv was left out: the box has no area",
        "line 7 of m.csv was left out: x0 to y1 are not all finite",
        "line 8 of m.csv was left out: lx0 to ly4 are not all numbers",
        "line 9 of m.csv was left out: it has no path",
        "line 10 of m.csv was left out: the box has no area",
    ]


@pytest.mark.parametrize(
    "path", ["../a.png", "in/../../a.png", "in/../m.csv", "/etc/passwd", "..\\a.png", "link.png", "away/a.png"]
)
def test_no_path_leads_out_of_the_folder(tmp_path: Path, path: str) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    write_picture(outside / "a.png")
    inside.mkdir()
    (inside / "link.png").symlink_to(outside / "a.png")
    (inside / "away").symlink_to(outside, target_is_directory=True)
    reader, samples = read(write_csv(inside / "m.csv", "path", path))
    assert samples == []
    assert "leads out of the manifest's folder" in reader.notes[0]


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(codec="utf-8", exclude_characters='"\r\n,'), max_size=20))
def test_whatever_the_path_says_it_stays_inside(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    root = tmp_path_factory.mktemp("any")
    (root / "m.csv").write_text(f"path,label\nx/{text},fear\n{text},fear\n")
    _, samples = read(root / "m.csv")
    for sample in samples:
        assert os.path.realpath(root / sample.path).startswith(os.path.realpath(root) + os.sep)


def test_a_table_that_is_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no column path; its columns are: image, label"):
        read(write_csv(tmp_path / "m.csv", "image,label", "a.png,fear"))
    with pytest.raises(DataError, match="has no rows"):
        read(write_csv(tmp_path / "m.csv", "path,label"))
    (tmp_path / "m.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(DataError, match="no readable Parquet file"):
        read(tmp_path / "m.parquet")
    with pytest.raises(DataError, match=r"is no manifest: give a .csv or .parquet file"):
        read(tmp_path)
