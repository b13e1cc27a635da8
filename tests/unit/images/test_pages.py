"""Pages of TIFF files and animations."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from dcdan.images.decode import decode
from dcdan.images.inputs import find_inputs, read_picture
from dcdan.images.pages import gif_has_many, is_animation, page_path, split_page, tiff_pages
from dcdan.images.status import Status

COLOURS = ("red", "lime", "blue")


def tiff(path: Path, types: tuple[int, ...] = (0, 0, 0), **options: object) -> Path:
    """Write a TIFF of several pages, each of one colour and with this NewSubfileType."""
    pages = [Image.new("RGB", (20, 10), COLOURS[index]) for index in range(len(types))]
    with TiffImagePlugin.AppendingTiffWriter(str(path), True) as writer:
        for page, kind in zip(pages, types, strict=True):
            page.save(writer, "TIFF", tiffinfo={254: kind}, **options)
            writer.newFrame()
    return path


def test_each_page_of_a_tiff_is_an_input(tmp_path: Path) -> None:
    """Issue 18, item 2: multi-page TIFF, each page a row."""
    tiff(tmp_path / "scan.tif")
    Image.new("RGB", (20, 10), "red").save(tmp_path / "single.tif")
    found = list(find_inputs([str(tmp_path)]))
    assert [Path(each.path).name for each in found] == [f"scan.tif#page={n}" for n in (1, 2, 3)] + ["single.tif"]
    assert [str(each.name) for each in found] == [f"scan-page-{n}.tif" for n in (1, 2, 3)] + ["single.tif"]
    colours = [read_picture(each.source).pixels[0, 0].tolist() for each in found]  # type: ignore[index]
    assert colours == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 0, 0]]
    assert len({each.mark() for each in found}) == 4
    assert b"missing" not in b"".join(each.mark() for each in found)


def test_thumbnails_and_masks_are_no_pages(tmp_path: Path) -> None:
    assert tiff_pages(tiff(tmp_path / "a.tif", (0, 1, 4))) == [0]
    assert tiff_pages(tiff(tmp_path / "b.tif", (1, 0, 2))) == [1, 2]


def test_big_and_big_endian_tiffs(tmp_path: Path) -> None:
    first = Image.new("L", (4, 4))
    first.save(tmp_path / "big.tif", save_all=True, append_images=[first, first], big_tiff=True)
    assert tiff_pages(tmp_path / "big.tif") == [0, 1, 2]
    ends = struct.pack(">HHII", 254, 4, 1, 0)
    content = b"MM\x00*" + struct.pack(">I", 8)
    content += struct.pack(">H", 1) + ends + struct.pack(">I", 26) + struct.pack(">H", 1) + ends + struct.pack(">I", 0)
    (tmp_path / "motorola.tif").write_bytes(content)
    assert tiff_pages(tmp_path / "motorola.tif") == [0, 1]


def test_a_chain_of_pages_that_is_a_circle_ends(tmp_path: Path) -> None:
    path = tmp_path / "circle.tif"
    path.write_bytes(b"II*\0" + struct.pack("<IHI", 8, 0, 8))
    assert tiff_pages(path) == [0]
    for content in (b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"no tiff at all, but long"):
        path.write_bytes(content)
        assert tiff_pages(path) == [0]
    assert tiff_pages(tmp_path / "nowhere.tif") == [0]


def test_a_page_that_is_not_there(tmp_path: Path) -> None:
    tiff(tmp_path / "scan.tif")
    assert read_picture(page_path(str(tmp_path / "scan.tif"), 7)).status is Status.MISSING
    assert read_picture(str(tmp_path / "gone.tif#page=2")).status is Status.MISSING
    assert decode(tmp_path / "scan.tif", page=2)[0, 0].tolist() == [0, 0, 255]


def test_a_file_may_have_the_name_of_a_page(tmp_path: Path) -> None:
    path = tmp_path / "a#page=2"
    Image.new("RGB", (4, 4), "blue").save(path, "PNG")
    assert read_picture(str(path)).pixels[0, 0].tolist() == [0, 0, 255]  # type: ignore[index]


@pytest.mark.parametrize("path", ["a.tif", "a.tif#page=0", "a.tif#page=x", "#page=2", "a.tif#page=1000000000"])
def test_what_is_no_page(path: str) -> None:
    assert split_page(path) == (path, 0)


def gif(frames: int) -> bytes:
    pictures = [Image.fromarray(np.full((9, 11), 80 * index, np.uint8)) for index in range(frames)]
    file = io.BytesIO()
    pictures[0].save(file, "GIF", save_all=frames > 1, append_images=pictures[1:], duration=50, comment=b"hello")
    return file.getvalue()


@pytest.mark.parametrize(("frames", "many"), [(1, False), (2, True), (3, True)])
def test_a_gif_with_a_second_picture_is_an_animation(tmp_path: Path, frames: int, many: bool) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(gif(frames))
    assert gif_has_many(path) == is_animation(path) == many


def test_damaged_gifs_are_no_animations(tmp_path: Path) -> None:
    whole = gif(2)
    for length in (0, 6, 12, 14, 30, 60):
        (tmp_path / "a.gif").write_bytes(whole[:length])
        assert not gif_has_many(tmp_path / "a.gif")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes in folders")
def test_nothing_waits_at_a_pipe(tmp_path: Path) -> None:
    """S17."""
    for name in ("a.gif", "a.tif", "a.webp", "a", "a.mp4"):
        os.mkfifo(tmp_path / name)
    found = list(find_inputs([str(tmp_path)]))
    assert [Path(each.path).name for each in found] == ["a.gif", "a.mp4", "a.tif", "a.webp"]
