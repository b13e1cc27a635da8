"""Results as columns and frames."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

import dcdan
from dcdan.errors import MissingExtraError, UsageError
from dcdan.faces.status import Status
from dcdan.recognition.frames import to_columns, to_frame
from dcdan.recognition.results import FaceResult, Quality, columns

FACE = FaceResult(
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
    found = to_columns([[NONE], [FACE, FACE]])
    assert list(found) == columns(("fear", "anger"))
    assert {len(values) for values in found.values()} == {3}
    assert found["path"] == ["b.jpg", "a.jpg", "a.jpg"]
    assert found["unsure"] == [None, False, False]
    assert found["p_anger"] == [None, 0.75, 0.75]
    assert (found["y0"], found["candidates"][1]) == ([None, 2.0, 2.0], "anger fear")
    assert (found["yaw"], found["side"]) == ([None] * 3, [None, 2.0, 2.0])
    # The cells of a CSV row say the same.
    for row, result in enumerate((NONE, FACE)):
        cells = dict(zip(columns(("fear", "anger")), result.to_row(("fear", "anger")), strict=True))
        assert [name for name, cell in cells.items() if not cell] == [
            name for name, values in found.items() if values[row] in (None, "")
        ]


def test_results_may_come_flat_or_as_a_stream_and_classes_be_given() -> None:
    assert to_columns([FACE]) == to_columns(iter([[FACE]]))
    assert list(to_columns([NONE], classes=("joy",))) == columns(("joy",))
    assert to_columns([])["path"] == []


def test_an_arrow_table_is_made() -> None:
    table = to_frame([[NONE], [FACE]], "pyarrow")
    assert table.column_names == columns(("fear", "anger"))
    assert table.to_pylist()[1]["probability"] == 0.75


@pytest.mark.parametrize(("name", "make"), [("pandas", dcdan.to_pandas), ("polars", dcdan.to_polars)])
def test_a_missing_library_is_a_sentence(monkeypatch: pytest.MonkeyPatch, name: str, make: object) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=f"'{name}': pip install {name}"):
        make([FACE])  # type: ignore[operator]


def test_a_library_is_given_the_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=lambda given: ("frame", given)))
    assert dcdan.to_pandas([FACE]) == ("frame", to_columns([FACE]))


def test_another_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="Did you mean 'pandas'"):
        to_frame([FACE], "panda")
