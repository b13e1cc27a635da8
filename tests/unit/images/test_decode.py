"""Decoding: every format and mode that is allowed, every way in which a file can be bad."""

from __future__ import annotations

import copy
import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from dcdan.images.decode import UndecodableImage, decode
from dcdan.images.status import Status


def ramp(height: int = 24, width: int = 40) -> np.ndarray:
    """A smooth coloured picture (H, W, 3), different in each corner."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // (width - 1), y * 255 // (height - 1), 255 - x * 255 // (width - 1)], 2).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def status_of(source: Path | bytes, **options: int) -> Status:
    with pytest.raises(UndecodableImage) as caught:
        decode(source, **options)
    assert caught.value.reason
    return caught.value.status


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("TIFF", {"compression": "jpeg", "quality": 95}, 12),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 12),
        ("JPEG", {"quality": 95, "subsampling": 0}, 6),
        ("JPEG", {"quality": 95, "subsampling": 0, "progressive": True}, 6),
    ],
)
def test_formats(tmp_path: Path, kind: str, options: dict[str, object], tolerance: int) -> None:
    data = encoded(Image.fromarray(ramp()), kind, **options)
    path = tmp_path / "name-says-nothing.dat"
    path.write_bytes(data)
    for source in (data, path):
        picture = decode(source)
        assert picture.dtype == np.uint8
        assert picture.shape == (24, 40, 3)
        assert np.abs(picture.astype(int) - ramp()).max() <= tolerance


@pytest.mark.parametrize("kind", ["PPM", "ICO", "JPEG2000"])
def test_other_formats_are_refused(kind: str) -> None:
    assert status_of(encoded(Image.fromarray(ramp(32, 32)), kind)) == Status.UNSUPPORTED
    assert status_of(encoded(Image.fromarray(ramp(32, 32)), "TGA")) == Status.NOT_AN_IMAGE


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_greys_are_scaled_not_clipped(kind: str) -> None:
    values = np.array([[0, 128, 129, 257, 300, 32768, 65406, 65407, 65535]], np.uint16)
    picture = decode(encoded(Image.fromarray(values), kind))
    np.testing.assert_array_equal(picture[0, :, 0], np.rint(values[0] / 257))
    assert (picture == picture[:, :, :1]).all()


def test_big_endian_sixteen_bit_tiff() -> None:
    values = np.linspace(0, 65535, 60).astype(np.uint16).reshape(6, 10)
    image = Image.frombytes("I;16B", (10, 6), values.astype(">u2").tobytes())
    np.testing.assert_array_equal(decode(encoded(image, "TIFF"))[:, :, 0], np.rint(values / 257))


def test_sixteen_bit_colour_png() -> None:
    values = np.linspace(0, 65535, 8 * 9 * 3).astype(np.uint16).reshape(8, 9, 3)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    data = png(9, 8, depth=16, colour=2, pixels=zlib.compress(rows))
    assert np.abs(decode(data).astype(float) - values / 257).max() <= 1


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bit_greys_are_stretched(dtype: type) -> None:
    values = np.array([[-100, 0, 100, 155]], dtype)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(values), "TIFF"))[0, :, 0], [0, 100, 200, 255])


def test_floats_that_are_no_numbers_and_flat_pictures() -> None:
    values = np.array([[np.nan, np.inf, 0.0, 2.0]], np.float32)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(values), "TIFF"))[0, :, 0], [0, 0, 0, 255])
    assert (decode(encoded(Image.fromarray(np.full((3, 3), 7, np.float32)), "TIFF")) == 0).all()


def test_cmyk() -> None:
    image = Image.fromarray(ramp()).convert("CMYK")
    assert np.abs(decode(encoded(image, "TIFF")).astype(int) - ramp()).max() <= 2
    assert np.abs(decode(encoded(image, "JPEG", quality=95)).astype(int) - ramp()).max() <= 12


def test_grey_and_black_and_white() -> None:
    grey = ramp()[:, :, 0]
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(grey), "PNG")), np.repeat(grey[:, :, None], 3, 2))
    bits = Image.fromarray(grey).convert("1")
    np.testing.assert_array_equal(decode(encoded(bits, "PNG"))[:, :, 1], np.asarray(bits.convert("L")))


def test_palette() -> None:
    image = Image.fromarray(ramp()).quantize(16)
    np.testing.assert_array_equal(decode(encoded(image, "PNG")), np.asarray(image.convert("RGB")))


def test_alpha_lies_over_white() -> None:
    rgba = np.zeros((2, 3, 4), np.uint8)
    rgba[:, :, 0] = 200
    rgba[:, 1, 3], rgba[:, 2, 3] = 128, 255
    expected = [[255, 255, 255], [227, 127, 127], [200, 0, 0]]
    for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})):
        picture = decode(encoded(Image.fromarray(rgba), kind, **options))
        assert np.abs(picture[0].astype(int) - expected).max() <= 1
    grey = Image.fromarray(rgba[:, :, [0, 3]])
    assert grey.mode == "LA"
    assert np.abs(decode(encoded(grey, "PNG"))[0, :, 0].astype(int) - [255, 227, 200]).max() <= 1


def test_transparent_colours_of_palette_grey_and_rgb_lie_over_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(decode(encoded(image, "PNG", transparency=0))[0], [[255] * 3, [40, 50, 60]])
    np.testing.assert_array_equal(decode(encoded(image, "PNG", transparency=b"\x00\xff"))[0], [[255] * 3, [40, 50, 60]])
    grey = Image.fromarray(np.array([[5, 9]], np.uint8))
    np.testing.assert_array_equal(decode(encoded(grey, "PNG", transparency=5))[0, :, 0], [255, 9])
    colour = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    np.testing.assert_array_equal(decode(encoded(colour, "PNG", transparency=(1, 2, 3)))[0], [[255] * 3, [4, 5, 6]])


def turned(picture: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera that notes this EXIF orientation stores of an upright picture."""
    stored = {
        1: picture,
        2: picture[:, ::-1],
        3: picture[::-1, ::-1],
        4: picture[::-1],
        5: picture.transpose(1, 0, 2),
        6: np.rot90(picture),
        7: picture[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(picture, -1),
    }
    return np.ascontiguousarray(stored[orientation])


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, object] = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    data = encoded(Image.fromarray(turned(ramp(), orientation)), kind, exif=exif, **options)
    picture = decode(data)
    assert picture.shape == ramp().shape
    assert np.abs(picture.astype(int) - ramp()).max() <= (6 if kind == "JPEG" else 0)


def test_exif_orientation_of_sixteen_bits() -> None:
    values = (ramp()[:, :, 0].astype(np.uint16)) * 257
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.fromarray(np.ascontiguousarray(np.rot90(values))), "PNG", exif=exif)
    np.testing.assert_array_equal(decode(data)[:, :, 0], ramp()[:, :, 0])


def test_a_damaged_exif_block_leaves_the_picture() -> None:
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x40\x00\x12\x01\x03\x00\x01\x00"
    data = encoded(Image.fromarray(ramp()), "JPEG", exif=exif, quality=95)
    assert decode(data).shape == (24, 40, 3)


@pytest.mark.parametrize(("kind", "options"), [("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})])
def test_of_many_frames_the_first_counts(kind: str, options: dict[str, object]) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "green", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    picture = decode(data)
    assert picture.shape == (10, 20, 3)
    assert (picture == (255, 0, 0)).all()


def png(width: int, height: int, depth: int = 8, colour: int = 2, pixels: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)


def tiff(width: int, height: int) -> bytes:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    entries = {256: width, 257: height, 258: (8, 8, 8), 259: 1, 262: 2, 273: 8, 277: 3, 278: height, 279: 8}
    for tag, value in entries.items():
        directory[tag] = value
    buffer = io.BytesIO()
    buffer.write(b"II*\x00\x08\x00\x00\x00")
    directory.save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("make", [png, bmp, tiff])
@pytest.mark.parametrize(
    ("width", "height"), [(40_000, 25_000), (1_000_000_000, 1), (199_999_999, 1), (13_400, 13_400)]
)
def test_huge_headers_are_refused_before_decoding(make: object, width: int, height: int) -> None:
    """S11: one limit and one sentence for every format; Pillow's own limit, 178,956,970 pixels, never shows."""
    with pytest.raises(UndecodableImage, match=f"{width} x {height} pixels, more than 50000000: make it smaller"):
        decode(make(width, height))  # type: ignore[operator]
    assert status_of(make(width, height)) == Status.TOO_LARGE  # type: ignore[operator]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "GIF", "AVIF"])
def test_the_limit_is_inclusive(kind: str) -> None:
    data = encoded(Image.fromarray(ramp()), kind)
    assert decode(data, max_pixels=24 * 40).shape == (24, 40, 3)
    assert status_of(data, max_pixels=24 * 40 - 1) == Status.TOO_LARGE


def test_the_limit_is_ours_and_not_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert decode(encoded(Image.fromarray(ramp()), "PNG")).shape == (24, 40, 3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated(kind: str, share: float) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(picture), kind)
    assert status_of(data[: int(len(data) * share)]) in (Status.UNREADABLE, Status.TRUNCATED)


@given(st.sampled_from(["PNG", "JPEG", "BMP", "TIFF", "WEBP"]), st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_bytes_give_a_picture_or_a_status(kind: str, data: st.DataObject) -> None:
    good = bytearray(encoded(Image.fromarray(ramp()), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        picture = decode(bytes(good), max_pixels=1_000_000)
    except UndecodableImage as error:
        assert error.status in (Status.UNREADABLE, Status.TRUNCATED, Status.TOO_LARGE, Status.NOT_AN_IMAGE)  # noqa: PT017
    else:
        assert picture.ndim == 3
        assert picture.shape[2] == 3


def test_bad_files(tmp_path: Path) -> None:
    files = {
        "empty.jpg": b"",
        "text.jpg": b"to whom it may concern\n",
        "short.png": b"\x89PNG",
        "zeros.jpg": bytes(999),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    assert status_of(tmp_path / "empty.jpg") == Status.EMPTY
    assert status_of(b"") == Status.EMPTY
    assert status_of(tmp_path / "text.jpg") == Status.NOT_AN_IMAGE
    assert status_of(tmp_path / "short.png") == Status.NOT_AN_IMAGE
    assert status_of(tmp_path / "zeros.jpg") == Status.NOT_AN_IMAGE
    assert status_of(tmp_path / "gone.jpg") == Status.MISSING
    assert status_of(tmp_path / "text.jpg" / "in-a-file.jpg") == Status.MISSING
    assert status_of(tmp_path / "nul\0.jpg") == Status.MISSING
    assert status_of(tmp_path) == Status.NOT_AN_IMAGE
    assert status_of(b"\xff\xd8\xff\xe0" + b"x" * 100) in (Status.UNREADABLE, Status.TRUNCATED)
    assert status_of(tmp_path / ("n" * 4000 + ".jpg")) == Status.UNREADABLE


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes in folders")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert status_of(tmp_path / "pipe.jpg") == Status.NOT_AN_IMAGE


@pytest.mark.skipif(getattr(os, "geteuid", int)() == 0, reason="the administrator may read every file")
def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "mine.png"
    path.write_bytes(encoded(Image.fromarray(ramp()), "PNG"))
    path.chmod(0)
    assert status_of(path) == Status.UNREADABLE


def test_threads_leave_the_warning_filters_as_they_were() -> None:
    data = encoded(Image.fromarray(np.zeros((200, 200, 3), np.uint8)), "PNG")
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [decode(data) for _ in range(20)]) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


def test_the_error_survives_a_process_border() -> None:
    # Copying goes the way that sending to another process goes.
    error = copy.copy(UndecodableImage(Status.EMPTY, "why"))
    assert (error.status, error.reason, str(error)) == (Status.EMPTY, "why", "why")


def test_a_webp_of_a_few_bytes_that_unpacks_to_gigabytes_is_too_large() -> None:
    content = bytes.fromhex("524946461c000000574542505650384c0f0000002ffeffb70b0710fd8ffe0722a2ff0100")
    with pytest.raises(UndecodableImage, match="16383 x 12000 pixels, more than 50000000") as caught:
        decode(content)
    assert caught.value.status is Status.TOO_LARGE


def heif(pixels: np.ndarray, **options: object) -> bytes:
    """Encode a real HEIF file."""
    plugin = pytest.importorskip("pillow_heif", reason="needs the extra dcdan[heif]")
    buffer = io.BytesIO()
    plugin.from_pillow(Image.fromarray(pixels)).save(buffer, quality=95, **options)
    return buffer.getvalue()


def test_heif_is_read_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "IMG 1 ü.jpg"
    path.write_bytes(heif(ramp(48, 64)))
    pixels = decode(path)
    assert pixels.shape == (48, 64, 3)
    assert np.abs(pixels.astype(int) - ramp(48, 64)).mean() < 3


def test_heif_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = decode(heif(ramp(48, 64), exif=exif.tobytes()))
    assert pixels.shape == (64, 48, 3)
    assert np.abs(pixels.astype(int) - np.rot90(ramp(48, 64), -1)).mean() < 3


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_heif_that_ends_early_is_not_a_picture(share: float) -> None:
    content = heif(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    assert status_of(content[: int(share * len(content))]) in (Status.UNREADABLE, Status.TRUNCATED)


def test_a_large_heif_is_refused_before_it_is_decoded() -> None:
    assert status_of(heif(ramp(48, 64)), max_pixels=1000) is Status.TOO_LARGE
