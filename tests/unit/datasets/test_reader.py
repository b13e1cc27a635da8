"""What all readers inherit: links that lead out of the folder, and the notes on damaged rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dcdan.datasets.listing import nothing_selected
from dcdan.datasets.reader import Reader, ReaderOptions, Sample
from dcdan.images.decode import UndecodableImage
from dcdan.images.status import Status
from drawn_data import write_picture


class Rows(Reader):
    """A reader of 150 damaged rows."""

    name = "rows"
    title = "Rows"
    licence = "none"

    def samples(self) -> Iterator[Sample]:
        for line in range(1, 151):
            self.damaged(Path("rows.csv"), line, "it is empty")
        self.damaged(Path("a_exp.npy"), None, "it is empty")
        return iter(())


class LinkedRows(Rows):
    """A user's own pictures may be links."""

    follows_links = True


def test_a_link_out_of_a_published_set_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    write_picture(tmp_path / "secret.png")
    (tmp_path / "set" / "a.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "set" / "b.png").symlink_to(write_picture(tmp_path / "set" / "c.png"))
    published = Rows(tmp_path / "set", ReaderOptions())
    with pytest.raises(UndecodableImage) as refused:
        published.load(Sample("a.png"))
    assert refused.value.status == Status.OUTSIDE
    assert published.load(Sample("b.png")).shape == (24, 24, 3)
    assert LinkedRows(tmp_path / "set", ReaderOptions()).load(Sample("a.png")).shape == (24, 24, 3)


def test_the_first_hundred_damaged_rows_are_described_and_all_are_counted() -> None:
    reader = Rows(None, ReaderOptions())
    assert list(reader.selected()) == []
    assert reader.skipped == {"damaged rows": 151}
    assert len(reader.notes) == 100
    assert reader.notes[-1] == "line 100 of rows.csv was left out: it is empty"
    text = str(nothing_selected(reader, "pack"))
    assert text.startswith("Rows gave nothing to pack (left out: 151 damaged rows): line 1 of rows.csv was left out")
    assert text.count("rows.csv") == 5
