"""Finding pictures in folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dcdan.core.errors import DataError
from dcdan.images.discover import find_pictures, walk
from dcdan.images.media import PICTURE_SUFFIXES


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def found(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in find_pictures(root)]


def test_pictures_come_recursively_and_in_order(tmp_path: Path) -> None:
    touch(
        tmp_path, "b.PNG", "a.jpg", "z/1.webp", "c/2.tiff", "c/10.bmp", "c/d/e.jpeg", "notes.txt", "c/x.gif", "c/x.ico"
    )
    assert found(tmp_path) == ["a.jpg", "b.PNG", "c/10.bmp", "c/2.tiff", "c/x.gif", "c/d/e.jpeg", "z/1.webp"]


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
    touch(tmp_path, "in/a.jpg", "in/b.doc", "in/.hidden", "in/locked/c.jpg", "in/__MACOSX/d.jpg", "in/notes.txt")
    (tmp_path / "in" / "link").symlink_to(tmp_path, target_is_directory=True)
    scandir = os.scandir

    def refusing(folder: str) -> object:
        if folder.endswith("locked"):
            raise PermissionError("no")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    reasons: list[str] = []
    assert [path.name for path in find_pictures(tmp_path / "in", reasons.append)] == ["a.jpg"]
    no_picture = "file without a picture's suffix"
    assert sorted(reasons) == [no_picture, no_picture, "folder that cannot be listed", "linked folder"]


def test_folders_nested_beyond_the_recursion_limit_are_walked(tmp_path: Path) -> None:
    """S18: 1,500 folders in one another, each entered; the one whose path is too long for the system is told."""
    here = os.getcwd()
    try:
        os.chdir(tmp_path)
        for _ in range(2100):
            os.mkdir("a")
            os.chdir("a")
        Path("x.jpg").touch()
    finally:
        os.chdir(here)
    listed = list(walk(str(tmp_path), lambda name: True, lambda name: None))
    assert [each.problem for each in listed] == ["folder that cannot be listed"]
    assert "too long" in listed[0].reason
    os.rename(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "y.jpg").touch()
    assert [Path(each.path).name for each in walk(str(tmp_path), lambda name: True, lambda name: None)][0] == "y.jpg"
    remove_deep(tmp_path / "b")


def remove_deep(folder: Path) -> None:
    """Remove nested folders whose paths are too long for `shutil.rmtree`."""
    import subprocess

    subprocess.run(["rm", "-rf", str(folder)], check=True)
