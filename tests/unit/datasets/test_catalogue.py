"""The catalogue: every reader with what it says of itself, readable at any width."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from rich.console import Console

from dcdan.datasets.catalogue import catalogue, catalogue_table
from dcdan.datasets.registry import readers


def test_every_reader_is_listed_with_all_it_says() -> None:
    entries = {entry.reader: entry for entry in catalogue()}
    assert list(entries) == list(readers())
    for name, kind in readers().items():
        assert entries[name].title == kind.title
        assert entries[name].licence == kind.licence
        assert entries[name].extent == kind.extent
        assert entries[name].obtain == kind.obtain
        assert entries[name].options.keys() == kind.Options.model_fields.keys()
    assert json.loads(json.dumps([entry.to_dict() for entry in entries.values()]))[0]["reader"] == next(iter(entries))


@pytest.mark.parametrize("width", [40, 80, 129, 130, 200])
def test_nothing_is_cut_off_at_any_width(width: int) -> None:
    entries = catalogue()
    console = Console(file=StringIO(), width=width)
    console.print(catalogue_table(entries, width))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= width
    text = "".join("".join(lines).split())
    assert "…" not in text
    for entry in entries:
        assert entry.reader in text
        if width < 130:  # paragraphs, in which words stand in their order
            assert "".join(entry.licence.split()) in text
            assert "".join(entry.obtain.split()) in text
