"""Pictures at URLs: the same names in the same order as in a folder, and a sentence for what cannot be had."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

from dcdan.core.atomic_io import Form
from dcdan.core.errors import DataError, MissingExtraError, Unreachable, UsageError
from dcdan.datasets.spec import Spec, open_reader, parse_spec
from dcdan.images.decode import UndecodableImage
from dcdan.images.discover import find_pictures
from dcdan.images.inputs import find_inputs
from dcdan.images.remote import find_remote, is_url, read_remote, remote_state
from dcdan.images.status import Status
from dcdan.inference.predict import predict_to_file
from dcdan.inference.recogniser import load
from dcdan.packs.build import build_pack, pack_for
from tiny_model import coloured

URL = "memory://bucket/faces"
NAMES = ("b.png", "a.JPG", "deep/c.png", "deep/er/d.png", "Deep/e.png", ".hidden.png", ".git/f.png", "notes.txt")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder of pictures, of which one is damaged; the same lies in a bucket."""
    place, bucket = tmp_path / "faces", fsspec.filesystem("memory")
    for index, name in enumerate(NAMES):
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(coloured(index)).save(file, "PNG")
    (place / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    bucket.put(f"{place}/", "/bucket/faces/", recursive=True)
    yield place
    bucket.rm("/bucket", recursive=True)


def test_names_and_order_are_those_of_the_folder(folder: Path) -> None:
    local, remote = [], []
    ways = [path.relative_to(folder).as_posix() for path in find_pictures(folder, local.append)]
    assert [way for way, _ in find_remote(URL, remote.append)] == ways == ["a.JPG", "b.png", *sorted(ways[2:])]
    assert remote == local == ["file without a picture's suffix"]


def test_predictions_are_those_of_the_folder(folder: Path, run: Path, tmp_path: Path) -> None:
    model = load(run, threads=1)
    for place, out in ((str(folder), "folder.jsonl"), (URL, "url.jsonl"), (f"{URL}/", "slash.jsonl")):
        predict_to_file(model, [place], tmp_path / out, Form.JSONL)
    rows = (tmp_path / "folder.jsonl").read_text().replace(str(folder), URL)
    assert rows.count("unreadable") == 1
    assert (tmp_path / "url.jsonl").read_text() == (tmp_path / "slash.jsonl").read_text() == rows


def test_a_pack_is_that_of_the_folder(folder: Path, tmp_path: Path) -> None:
    packs = [
        build_pack(open_reader(parse_spec(spec)), tmp_path / out, size=16, align="none", progress=False, spec_text="x")
        for spec, out in ((str(folder), "local"), (URL, "remote"))
    ]
    assert packs[0].info == packs[1].info
    assert packs[0].info.counts.rows == 5
    assert np.array_equal(packs[0].faces, packs[1].faces)


def test_an_input_is_another_once_its_file_is(folder: Path) -> None:
    marks = [each.mark() for each in find_inputs([URL])]
    assert [each.mark() for each in find_inputs([URL])] == marks
    with fsspec.open(f"{URL}/a.JPG", "wb") as file:
        file.write(b"other")
    assert [old == each.mark() for old, each in zip(marks, find_inputs([URL]), strict=True)] == [False, *[True] * 4]


def test_what_is_not_there_is_a_status(folder: Path) -> None:
    for way, status in (("nix.png", Status.MISSING), ("deep", Status.MISSING)):
        with pytest.raises(UndecodableImage) as told:
            read_remote(f"{URL}/{way}")
        assert told.value.status is status
    assert remote_state(f"{URL}/nix.png") == "missing"
    assert [each.status for each in find_inputs([f"{URL}/nix.png"])] == [None]


def test_what_cannot_be_fetched_is_no_row(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> bytes:
        raise TimeoutError("no answer")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "cat_file", broken)
    with pytest.raises(Unreachable, match=r"a.png' cannot be fetched \(no answer\): run the same command to resume"):
        read_remote(f"{URL}/a.png")
    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "ls", broken)
    with pytest.raises(DataError, match=r"faces' cannot be listed \(no answer\)"):
        list(find_remote(URL))


def test_urls_and_what_reads_them() -> None:
    assert parse_spec(f"{URL}?faces=crops") == Spec(None, URL, {"faces": "crops"})
    assert parse_spec(f"folder:{URL}") == Spec("folder", URL)
    assert not is_url("ferplus:/data/FERPlus")
    with pytest.raises(UsageError, match="'nix://a' is not a URL that fsspec supports"):
        remote_state("nix://a")
    with pytest.raises(UsageError, match=r"The reader 'ferplus' reads local files and not 'memory://x'"):
        open_reader(parse_spec("ferplus:memory://x"))
    with pytest.raises(UsageError, match="dcdan pack 'memory://x' --out DIR"):
        pack_for("memory://x")


def test_without_fsspec_a_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'dcdan\[remote\]'"):
        remote_state(URL)


@pytest.mark.parametrize("url", ["s3://bucket/faces", "https://host/a.png", "zip://a.png::https://host/a.zip"])
def test_offline_no_url_leaves_the_machine(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCDAN_OFFLINE", "1")
    with pytest.raises(UsageError, match="the network is forbidden"):
        remote_state(url)
    assert remote_state("memory://nothing/there") == "missing"
