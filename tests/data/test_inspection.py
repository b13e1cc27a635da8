"""Inspection: what is kept of each picture, in order, by one process or several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from textured import FOUR, Published, texture, write

from dcdan.data.fingerprint import distance
from dcdan.data.inspection import PRINT, STATUSES, inspect, listing, samples_at
from dcdan.data.manifest import Manifest
from dcdan.data.reader import ReaderOptions
from dcdan.data.spec import open_reader, parse_spec
from dcdan.faces.status import Status


def test_a_listing_keeps_split_and_label_of_every_sample(tmp_path: Path) -> None:
    reader = Published(tmp_path, ["test-fear-0", "train-none-1", "train-odd-2", "test-happiness-3"])
    listed = listing(reader)
    assert [listed.splits[code] for code in listed.split_codes] == ["test", "train", "test"]
    assert listed.labels.tolist() == [FOUR.index("fear"), -1, FOUR.index("happiness")]
    assert reader.skipped == {"damaged rows": 1}
    assert [sample.path for sample in samples_at(reader, np.array([2, 0])).values()] == [
        "test-fear-0",
        "test-happiness-3",
    ]


def test_broken_pictures_have_their_status_and_no_print(tmp_path: Path) -> None:
    write(tmp_path / "train-fear-0.png", texture(0))
    whole = write(tmp_path / "train-fear-1.jpg", texture(1)).read_bytes()
    (tmp_path / "train-fear-1.jpg").write_bytes(whole[: len(whole) // 3])
    (tmp_path / "train-fear-2.png").write_bytes(b"")
    (tmp_path / "train-fear-4.png").write_bytes(b"no picture at all")
    names = ["train-fear-0.png", "train-fear-1.jpg", "train-fear-2.png", "train-fear-3.png", "train-fear-4.png"]
    prints = inspect(Published(tmp_path, names), 5, progress=False)
    statuses = [STATUSES[code] for code in prints["status"]]
    assert statuses == [Status.OK, Status.UNREADABLE, Status.EMPTY, Status.MISSING, Status.NOT_AN_IMAGE]
    assert prints.dtype == PRINT
    assert (prints["content"] == 0).tolist() == [False, True, True, True, True]


def test_equal_pixels_have_equal_content_whatever_the_file(tmp_path: Path) -> None:
    for name, picture in (
        ("a.png", texture(1)),
        ("b.bmp", texture(1)),
        ("c.png", texture(1)[:-1]),
        ("d.png", texture(2)),
    ):
        write(tmp_path / f"train-fear-{name}", picture)
    names = sorted(path.name for path in tmp_path.iterdir())
    content = inspect(Published(tmp_path, names), 4, progress=False)["content"].tolist()
    assert content[0] == content[1]
    assert len(set(content)) == 3


def test_the_box_of_a_sample_is_what_is_seen(tmp_path: Path) -> None:
    scene = np.concatenate([texture(1, 64), texture(2, 64)], axis=1)
    write(tmp_path / "scene.png", scene)
    write(tmp_path / "face.png", texture(2, 64))
    rows = "path,x0,y0,x1,y1\nscene.png,0,0,64,64\nscene.png,64,0,128,64\nface.png,,,,\n"
    (tmp_path / "faces.csv").write_text(rows)
    reader = open_reader(parse_spec(f"manifest:{tmp_path / 'faces.csv'}"))
    assert isinstance(reader, Manifest)
    prints = inspect(reader, 3, progress=False)
    assert prints["content"][1] == prints["content"][2] != prints["content"][0]
    assert distance(prints["words"][1], prints["words"][2]).tolist() == [0, 0]


@pytest.mark.parametrize("count", [1100])
def test_processes_give_what_one_gives(tmp_path: Path, count: int) -> None:
    for number in range(8):
        write(tmp_path / f"train-fear-{number}.png", texture(number, 32))
    names = [f"train-fear-{number % 9}.png" for number in range(count)]
    reader = Published(tmp_path, names)
    assert reader.options == ReaderOptions()
    one, two = (inspect(reader, count, workers=workers, progress=False) for workers in (1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one["status"] != 0).sum() == sum(number % 9 == 8 for number in range(count))
