"""Finding pictures in folders.

Names in order, with and without a temporary file.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcdan.core.errors import DataError
from dcdan.images import discover
from dcdan.images.decode import PICTURE_SUFFIXES
from dcdan.images.discover import find_pictures, in_order


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def found(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in find_pictures(root)]


def test_pictures_come_recursively_and_in_order(tmp_path: Path) -> None:
    touch(tmp_path, "b.PNG", "a.jpg", "z/1.webp", "c/2.tiff", "c/10.bmp", "c/d/e.jpeg", "notes.txt", "c/x.gif")
    assert found(tmp_path) == ["a.jpg", "b.PNG", "c/10.bmp", "c/2.tiff", "c/d/e.jpeg", "z/1.webp"]


def test_hidden_and_foreign_folders_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "._a.jpg", ".cache/a.jpg", "__MACOSX/a.jpg", "@eaDir/a.jpg", "good/a.jpg")
    assert found(tmp_path) == ["good/a.jpg"]


def test_linked_folders_are_not_followed_but_linked_files_are(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.jpg")
    (tmp_path / "in" / "circle").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "in" / "b.jpg").symlink_to(tmp_path / "in" / "a.jpg")
    assert found(tmp_path) == ["in/a.jpg", "in/b.jpg"]


def test_it_is_lazy_about_sub_folders(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "sub/b.jpg")
    pictures = find_pictures(tmp_path)
    assert next(pictures).name == "a.jpg"
    touch(tmp_path, "sub/c.jpg")
    assert [path.name for path in pictures] == ["b.jpg", "c.jpg"]


def test_an_empty_folder_has_no_pictures(tmp_path: Path) -> None:
    assert found(tmp_path) == []


@pytest.mark.parametrize(("name", "words"), [("gone", "does not exist"), ("file.jpg", "is a file")])
def test_no_folder_is_an_error_at_once(tmp_path: Path, name: str, words: str) -> None:
    touch(tmp_path, "file.jpg")
    with pytest.raises(DataError, match=words):
        find_pictures(tmp_path / name)


def test_every_suffix_is_found(tmp_path: Path) -> None:
    touch(tmp_path, *(f"a{suffix}" for suffix in PICTURE_SUFFIXES))
    assert len(found(tmp_path)) == len(PICTURE_SUFFIXES)


def test_what_is_passed_over_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "in/a.jpg", "in/b.heic", "in/.hidden", "in/locked/c.jpg", "in/__MACOSX/d.jpg", "in/notes.txt")
    (tmp_path / "in" / "link").symlink_to(tmp_path, target_is_directory=True)
    scandir = os.scandir

    def refusing(folder: Path) -> object:
        if folder.name == "locked":
            raise PermissionError("no")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    reasons: list[str] = []
    assert [path.name for path in find_pictures(tmp_path / "in", reasons.append)] == ["a.jpg"]
    no_picture = "file without a picture's suffix"
    assert sorted(reasons) == [no_picture, no_picture, "folder that cannot be listed", "linked folder"]


# What os.scandir gives for bytes that are no UTF-8 is a surrogate, which must come back as it was.
NAMES = st.text(
    st.characters(exclude_characters="\0/", exclude_categories=["Cs"]) | st.sampled_from("\udc80\udcff\n"), min_size=1
).filter(lambda name: name.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape") == name)


@given(st.lists(NAMES, max_size=40), st.integers(1, 9), st.integers(1, 40))
def test_the_order_is_that_of_sorted(names: list[str], run: int, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discover, "_RUN", run)
        patch.setattr(discover, "_BLOCK", block)
        assert list(in_order(names)) == sorted(names)


def test_without_room_for_a_file_memory_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise OSError("no usable temporary folder")

    monkeypatch.setattr(discover, "_RUN", 2)
    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    assert list(in_order("edcba")) == list("abcde")
