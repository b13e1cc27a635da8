"""Zip files as folders of pictures."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from dcdan.images import archive
from dcdan.images.archive import members, read_member, split_member
from dcdan.images.inputs import InputKind, find_inputs, read_picture
from dcdan.images.status import Status, UndecodableImage


def picture(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, colour in (("b.png", "red"), ("anna/1.png", "lime"), ("a.png", "blue"), ("../../evil.png", "white")):
            file.writestr(name, picture(colour))
        for name in ("__MACOSX/._b.png", ".hidden.png", "notes.txt", "README", "x.jxl"):
            file.writestr(name, b"x")
        file.writestr("clip.mp4", b"x")
    return path


def test_a_zip_is_read_like_a_folder(faces: Path) -> None:
    """U10: pictures, videos, unsupported kinds and counts of the rest, in order; nothing is written outside."""
    inputs = find_inputs([str(faces)])
    found = list(inputs)
    names = ["a.png", "b.png", "clip.mp4", "x.jxl", "../../evil.png", "anna/1.png"]
    assert [each.path for each in found] == [f"{faces}/{name}" for name in names]
    assert found[2].kind is InputKind.VIDEO
    assert found[3].status is Status.UNSUPPORTED
    assert str(found[4].name) == "evil.png"
    assert inputs.left_out == {".txt": 1, "without a suffix": 1}
    assert read_picture(found[5].source).pixels[0, 0].tolist() == [0, 255, 0]  # type: ignore[index]
    assert read_picture(str(faces / "b.png")).pixels[0, 0].tolist() == [255, 0, 0]  # type: ignore[index]


def test_one_member_can_be_named(faces: Path) -> None:
    (one,) = find_inputs([f"{faces}/anna/1.png"])
    assert read_picture(one.source).status is Status.OK
    assert read_picture(f"{faces}/gone.png").status is Status.MISSING
    assert read_picture(f"{faces}/clip.mp4").status is Status.NOT_AN_IMAGE


def test_a_mark_changes_with_the_member(faces: Path) -> None:
    before = [each.mark() for each in find_inputs([str(faces)])]
    with zipfile.ZipFile(faces, "w") as file:
        file.writestr("a.png", picture("red"))
    assert next(iter(find_inputs([str(faces)]))).mark() not in before


def test_a_damaged_or_encrypted_zip_is_a_row(faces: Path) -> None:
    whole = faces.read_bytes()
    faces.write_bytes(whole[: len(whole) // 2])
    (row,) = find_inputs([str(faces)])
    assert row.status is Status.UNREADABLE
    assert "zip file cannot be read" in row.reason
    content = bytearray(whole)
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + flags] |= 1
    faces.write_bytes(content)
    assert read_picture(f"{faces}/b.png").status is Status.UNREADABLE


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", bytes(100_000))
    assert len(read_member(tmp_path / "bomb.zip", "a.png", 100_000)) == 100_000
    with pytest.raises(UndecodableImage) as caught:
        read_member(tmp_path / "bomb.zip", "a.png", 99_999)
    assert caught.value.status is Status.TOO_LARGE


def test_paths_that_only_look_like_members(tmp_path: Path, faces: Path) -> None:
    assert split_member(f"{faces}/a/b.png") == (faces, "a/b.png")
    assert split_member(str(faces)) is None
    assert split_member("nowhere.zip/a.png") is None
    assert split_member("nul\0.zip/a.png") is None
    folder = tmp_path / "folder.zip"
    folder.mkdir()
    (folder / "a.png").write_bytes(picture("red"))
    assert split_member(f"{folder}/a.png") is None
    assert [Path(each.path).name for each in find_inputs([str(folder)])] == ["a.png"]
    assert not archive.is_archive(str(folder))


def test_an_empty_zip_has_its_row(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w"):
        pass
    assert members(tmp_path / "a.zip") == []
    (row,) = find_inputs([str(tmp_path / "a.zip")])
    assert (row.status, row.reason) == (Status.EMPTY, "the zip file holds no picture or video")
