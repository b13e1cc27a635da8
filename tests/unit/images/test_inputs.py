"""What a user names, as inputs."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path, PurePath

import numpy as np
import pytest
from PIL import Image

from dcdan.core.errors import DataError, UsageError
from dcdan.images.inputs import Input, InputKind, Picture, PictureSource, find_inputs, read_picture
from dcdan.images.status import Status


def test_folders_are_walked_for_pictures_and_videos(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.MP4", "deep/c.png", "notes.txt", ".hidden.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = list(find_inputs([str(tmp_path)]))
    assert [(each.kind, str(each.name)) for each in found] == [
        (InputKind.VIDEO, "a.MP4"),
        (InputKind.PICTURE, "b.jpg"),
        (InputKind.PICTURE, str(PurePath("deep/c.png"))),
    ]
    assert [each.path for each in found] == [str(tmp_path / str(each.name)) for each in found]


def test_what_is_named_is_taken_by_its_name(tmp_path: Path) -> None:
    found = list(find_inputs(["camera:0", "nix.txt", "nix.mov", str(tmp_path)]))
    assert [each.kind for each in found] == [InputKind.CAMERA, InputKind.PICTURE, InputKind.VIDEO, InputKind.PICTURE]
    assert [each.status for each in found] == [None, None, None, Status.EMPTY]
    assert found[0].name == PurePath("camera-0")


def test_no_two_inputs_share_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("one/x", "two/x"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.jpg").write_bytes(b"x")
    paths = ["one/x", "two/x", "two/x/a.jpg", "A.jpg", "a.jpg", "a-2.jpg", "."]
    monkeypatch.chdir(tmp_path)
    names = [str(each.name) for each in find_inputs(paths)]
    assert len({name.lower() for name in names}) == len(names) == 8
    assert names[:2] == [str(PurePath("x/a.jpg")), str(PurePath("x-2/a.jpg"))]


def test_a_mark_changes_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    first = [each.mark() for each in find_inputs([str(tmp_path)])]
    assert first == [each.mark() for each in find_inputs([str(tmp_path)])]
    (tmp_path / "a.jpg").write_bytes(b"xy")
    second = [each.mark() for each in find_inputs([str(tmp_path)])]
    (tmp_path / "a.jpg").unlink()
    assert first != second
    assert next(iter(find_inputs(["nix\0.jpg"]))).mark() != next(iter(find_inputs(["nix.jpg"]))).mark()
    assert next(iter(find_inputs([os.fsdecode(b"\xff.jpg")]))).mark()


def png(colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(file, "PNG")
    return file.getvalue()


def rows(*paths: str | Path, stdin: bytes = b"") -> list[Input]:
    return list(find_inputs(map(str, paths), stdin=io.BytesIO(stdin)))


def test_every_file_of_a_known_kind_is_read_or_told_and_the_rest_is_counted(tmp_path: Path) -> None:
    """V8, issue 18 item 3: nothing in a folder is skipped in silence."""
    kinds = {
        "a.heic": None, "b.heif": None, "c.avif": None, "d.gif": None, "e.webm": None, "f.mts": None, "g.3gp": None,
        "h.m4v": None, "i.jxl": Status.UNSUPPORTED, "j.jp2": Status.UNSUPPORTED, "k.psd": Status.UNSUPPORTED,
        "l.nef": Status.UNSUPPORTED,
    }  # fmt: skip
    others = ["m.txt", "n.txt", "o.docx", "p.pdf", "q.zip", "noise", "code.ts", ".hidden.jpg"]
    for name in (*kinds, *others):
        (tmp_path / name).write_bytes(b"text, nothing else")
    inputs = find_inputs([str(tmp_path)])
    found = {Path(each.path).name: each for each in inputs}
    assert {name: each.status for name, each in found.items()} == kinds
    assert found["i.jxl"].reason == "JPEG XL is not read: convert it to PNG or JPEG"
    assert inputs.left_out == {".txt": 2, ".docx": 1, ".pdf": 1, ".zip": 1, "without a suffix": 1, ".ts": 1}
    assert inputs.left_out_sentence().startswith("7 files of other kinds left out: 2 .txt, 1 ")
    assert len(list(inputs)) == len(kinds)
    assert sum(inputs.left_out.values()) == 7


def test_files_without_a_suffix_are_known_by_their_first_bytes(tmp_path: Path) -> None:
    """Issue 18 item 2."""
    (tmp_path / "photo").write_bytes(png())
    (tmp_path / "clip").write_bytes(b"\0\0\0\x20ftypisom")
    (tmp_path / "camcorder.ts").write_bytes((b"\x47" + bytes(187)) * 3)
    assert [(Path(each.path).name, each.kind) for each in rows(tmp_path)] == [
        ("camcorder.ts", InputKind.VIDEO),
        ("clip", InputKind.VIDEO),
        ("photo", InputKind.PICTURE),
    ]
    assert [each.kind for each in rows(tmp_path / "clip", tmp_path / "photo")] == [InputKind.VIDEO, InputKind.PICTURE]


def test_what_is_named_and_unsupported_is_a_row_with_the_cure(tmp_path: Path) -> None:
    """V8: a PDF counts in a folder, and has its row when it is named."""
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7")
    (row,) = rows(tmp_path / "a.pdf")
    assert row.status is Status.UNSUPPORTED
    assert row.reason == "PDF is not read: export its pages as PNG or TIFF"
    picture = read_picture(row.source) if not isinstance(row.source, Picture) else row.source
    assert (picture.pixels, picture.status, picture.reason) == (None, row.status, row.reason)
    assert rows(tmp_path / "gone.jxl")[0].status is None


def test_a_folder_without_permission_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S4: inside of the input, and named alone."""
    (tmp_path / "locked").mkdir()
    (tmp_path / "a.png").write_bytes(png())
    scandir = os.scandir

    def refusing(folder: str) -> object:
        if str(folder).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    for path, count in ((tmp_path, 2), (tmp_path / "locked", 1)):
        found = rows(path)
        assert len(found) == count
        assert found[-1].status is Status.UNREADABLE
        assert found[-1].reason == "the folder cannot be listed: Permission denied"


def test_a_pattern_means_its_matches_in_order(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "in/deep/c.png", "d[1].png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png())
    assert [Path(each.path).name for each in rows(tmp_path / "?.png")] == ["a.png", "b.png"]
    assert [Path(each.path).name for each in rows(tmp_path / "**" / "c.png")] == ["c.png"]
    assert [Path(each.path).name for each in rows(tmp_path / "d[1].png")] == ["d[1].png"]
    (none,) = rows(tmp_path / "*.bmp")
    assert none.path.endswith("*.bmp")
    assert read_picture(none.source).status is Status.MISSING


def test_a_list_means_its_lines(tmp_path: Path) -> None:
    """U10: `@list.txt`."""
    (tmp_path / "a.png").write_bytes(png())
    lines = [str(tmp_path / "a.png"), "", "camera:0", "Zo\u00eb.mp4", str(tmp_path / "*.png")]
    (tmp_path / "list.txt").write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    inputs = find_inputs([f"@{tmp_path / 'list.txt'}"])
    assert inputs.paths == [lines[0], "camera:0", "Zo\u00eb.mp4", lines[0]]
    assert [each.kind.value for each in inputs] == ["picture", "camera", "video", "picture"]
    with pytest.raises(DataError, match=r"The list 'gone.txt' cannot be read \(No such file"):
        find_inputs(["@gone.txt"])
    (tmp_path / "list.txt").write_text("@other.txt")
    with pytest.raises(UsageError, match="a list holds inputs, not lists"):
        find_inputs([f"@{tmp_path / 'list.txt'}"])


def test_standard_input_holds_names_or_one_picture(tmp_path: Path) -> None:
    """U10: `-`."""
    names = [str(tmp_path / "a b.jpg"), os.fsdecode(b"\xff.jpg")]
    for separator in (b"\n", b"\0"):
        found = rows("-", stdin=b"".join(os.fsencode(name) + separator for name in names))
        assert [each.path for each in found] == names
    (one,) = rows("-", stdin=png("blue"))
    assert one.source.pixels[0, 0].tolist() == [0, 0, 255]  # type: ignore[union-attr,index]
    assert one.mark() != rows("-", stdin=png("red"))[0].mark()
    assert pickle.loads(pickle.dumps(one)).source.status is Status.OK
    (cut,) = rows("-", stdin=png()[:40])
    assert cut.source.status in (Status.TRUNCATED, Status.UNREADABLE)  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="name it once"):
        rows("-", "-")


def test_lists_and_standard_input_are_read_once(tmp_path: Path) -> None:
    inputs = find_inputs(["-"], stdin=io.BytesIO(b"a.jpg\n"))
    assert [each.path for each in inputs] == [each.path for each in inputs] == ["a.jpg"]


def test_resolvers_are_asked_first(tmp_path: Path) -> None:
    """Packs and specs of data sets are resolved by the rooms above."""
    own = Input("pack#0", InputKind.PICTURE, PurePath("0"), load=_red)

    def packs(text: str) -> list[Input] | None:
        return [own] if text == "my-pack" else None

    found = list(find_inputs(["my-pack", "a.jpg"], resolvers=[packs]))
    assert [each.path for each in found] == ["pack#0", "a.jpg"]
    assert found[0].source.path == "pack#0"  # type: ignore[union-attr]


def _red() -> Picture:
    return Picture("pack#0", np.zeros((2, 2, 3), np.uint8))


def test_animations_are_videos_and_stills_are_pictures(tmp_path: Path) -> None:
    """V8."""
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]
    for kind in ("gif", "webp", "png", "avif"):
        frames[0].save(tmp_path / f"moving.{kind}", save_all=True, append_images=frames[1:], duration=100)
        frames[0].save(tmp_path / f"still.{kind}")
    kinds = {Path(each.path).name: each.kind for each in rows(tmp_path)}
    assert all((kind is InputKind.VIDEO) == name.startswith("moving") for name, kind in kinds.items())
    assert len(kinds) == 8


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.read_bytes(),
        lambda path: io.BytesIO(path.read_bytes()),
        lambda path: Image.open(path),
        lambda path: bytearray(path.read_bytes()),
        lambda path: str(path),
        lambda path: path,
    ],
    ids=["bytes", "BytesIO", "Pillow", "bytearray", "str", "Path"],
)
def test_a_picture_may_come_as_anything(tmp_path: Path, make: Callable[[Path], PictureSource]) -> None:
    """V11."""
    (tmp_path / "a.png").write_bytes(png("lime"))
    picture = read_picture(make(tmp_path / "a.png"))
    assert picture.status is Status.OK
    assert (picture.pixels == (0, 255, 0)).all()


@pytest.mark.parametrize("source", [3, None, object(), ["a.png"]])
def test_what_cannot_be_a_picture_is_a_sentence(source: object) -> None:
    """V11."""
    with pytest.raises(DataError, match="A picture must be a uint8 array, a path, bytes"):
        read_picture(source)  # type: ignore[arg-type]


def test_damaged_bytes_are_a_status() -> None:
    """V11."""
    assert read_picture(b"").status is Status.EMPTY
    assert read_picture(b"text").status is Status.NOT_AN_IMAGE
    cut = read_picture(png()[:50])
    assert cut.status in (Status.TRUNCATED, Status.UNREADABLE)
    assert cut.reason.startswith("damaged")
    assert cut.path == ""


def test_arrays_are_checked() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert read_picture(grey).pixels[1, 2].tolist() == [5, 5, 5]  # type: ignore[index]
    assert read_picture(np.zeros((0, 3, 3), np.uint8)).status is Status.EMPTY
    for wrong in (np.zeros((2, 2, 3), np.float32), np.zeros((2, 2, 4), np.uint8), np.zeros(3, np.uint8)):
        with pytest.raises(DataError, match="uint8 array"):
            read_picture(wrong)


def test_a_reduced_jpeg_tells_its_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3."""
    file = io.BytesIO()
    Image.new("RGB", (64, 32)).save(file, "JPEG")
    assert read_picture(file.getvalue()).scale == 1.0
    monkeypatch.setattr("dcdan.images.decode.decode_picture.__kwdefaults__", {"page": 0, "max_pixels": 512})
    found = read_picture(file.getvalue())
    assert (found.scale, found.pixels.shape) == (2.0, (16, 32, 3))  # type: ignore[union-attr]


def test_streams_are_cameras_and_are_named_without_their_password() -> None:
    (camera,) = rows("rtsp://user:secret@host/stream")
    assert camera.kind is InputKind.CAMERA
    assert "secret" not in str(camera.name)
