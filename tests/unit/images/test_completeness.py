"""Pictures whose data end early, and headers that promise too much, are found; whole ones pass."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from dcdan.images import completeness
from dcdan.images.decode import decode, decode_picture
from dcdan.images.status import Status, UndecodableImage

NOISE = np.random.default_rng(0).integers(1, 256, (64, 48, 3), dtype=np.uint8)


def encoded(picture: np.ndarray, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **options)
    return file.getvalue()


def status_of(content: bytes) -> Status:
    try:
        decode(content)
    except UndecodableImage as error:
        return error.status
    return Status.OK


def png(width: int, height: int, raw: bytes, *, interlaced: int = 0, depth: int = 8, colour: int = 2) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def rows(picture: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in picture)


@pytest.mark.parametrize("share", [0.75, 0.5, 0.1, 0.99])
def test_a_png_whose_compressed_rows_end_early_is_truncated(share: float) -> None:
    """S2: the stream is valid and IEND is there; Pillow gives black rows and no error."""
    raw = rows(NOISE)
    assert status_of(png(48, 64, raw)) is Status.OK
    assert status_of(png(48, 64, raw[: int(share * len(raw))])) is Status.TRUNCATED


@pytest.mark.parametrize("share", [0.6, 0.3])
def test_an_interlaced_png_too(share: float) -> None:
    """S2: the passes of Adam7."""
    passes = b"".join(rows(NOISE[top::down, left::across]) for left, top, across, down in completeness._ADAM7)
    whole = decode(png(48, 64, passes, interlaced=1))
    np.testing.assert_array_equal(whole, NOISE)
    assert status_of(png(48, 64, passes[: int(share * len(passes))], interlaced=1)) is Status.TRUNCATED


@pytest.mark.parametrize(("depth", "colour"), [(1, 0), (4, 3), (8, 0), (16, 2), (8, 4), (8, 6), (16, 4)])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (8, 8)])
@pytest.mark.parametrize("interlaced", [0, 1])
def test_whole_black_pngs_of_every_kind_are_whole(
    depth: int, colour: int, size: tuple[int, int], interlaced: int
) -> None:
    """A black last row is only a suspicion: the bytes of every depth, colour and pass are counted."""
    width, height = size
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    raw = b""
    for left, top, across, down in completeness._ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, count = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and count > 0:
            raw += bytes(1 + -(-columns * bits // 8)) * count
    content = png(width, height, raw, interlaced=interlaced, depth=depth, colour=colour)
    if colour == 3:
        palette = struct.pack(">I", 3) + b"PLTE" + bytes(3) + struct.pack(">I", zlib.crc32(b"PLTE" + bytes(3)))
        content = content.replace(struct.pack(">I", 0)[:0] + content[33:], palette + content[33:])
    assert status_of(content) is Status.OK
    if height > 1:
        short = png(width, height, raw[:-1], interlaced=interlaced, depth=depth, colour=colour)
        if colour == 3:
            short = short[:33] + palette + short[33:]
        assert status_of(short) is Status.TRUNCATED


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_that_was_closed_early_is_truncated(share: float, progressive: bool, mode: str) -> None:
    """S2: the data stop and an end marker follows; libjpeg fills with grey, or leaves scans out."""
    file = io.BytesIO()
    Image.fromarray(NOISE).convert(mode).save(file, "JPEG", progressive=progressive, quality=90)
    whole = file.getvalue()
    assert status_of(whole) is Status.OK
    cut = whole[: int(share * len(whole))] + b"\xff\xd9"
    if progressive and share == 0.9:
        # Within the last scan, which brings the last bit of the coefficients, the loss is a few levels of the noise.
        assert np.abs(decode(cut).astype(int) - decode(whole)).mean() < 8
    else:
        assert status_of(cut) is Status.TRUNCATED


def test_whole_jpegs_that_end_in_grey_pass() -> None:
    grey = np.full((40, 40, 3), 128, np.uint8)
    for progressive in (False, True):
        assert status_of(encoded(grey, "JPEG", progressive=progressive)) is Status.OK
    assert status_of(encoded(grey[..., 0], "JPEG")) is Status.OK


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("share", [0.4, 0.8])
def test_other_formats_that_end_early(kind: str, share: float) -> None:
    """S2."""
    content = encoded(NOISE, kind)
    assert status_of(content[: int(share * len(content))]) in (Status.TRUNCATED, Status.UNREADABLE)


def test_a_gif_that_was_closed_early() -> None:
    """S2."""
    content = encoded(NOISE, "GIF")
    assert status_of(content[: len(content) // 2] + b"\0;") is Status.TRUNCATED


@pytest.mark.parametrize(("width", "height"), [(1, 49_999_999), (49_999_999, 1), (7000, 7000)])
def test_a_header_that_promises_what_no_data_can_hold_takes_no_memory(width: int, height: int) -> None:
    """S1, S3: 69 bytes that declare a picture of this size took 2.2 GB and 17 s."""
    content = png(width, height, b"")
    assert len(content) < 80
    tracemalloc.start()
    with pytest.raises(UndecodableImage, match="it has only") as caught:
        decode(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.status is Status.TRUNCATED
    assert peak < 5_000_000


def test_a_jpeg_header_over_no_data_is_refused_too() -> None:
    """S3."""
    content = bytearray(encoded(np.zeros((16, 16), np.uint8), "JPEG"))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", 6000, 6000)
    with pytest.raises(UndecodableImage, match="it has only"):
        decode(bytes(content))


def test_dense_pictures_of_one_colour_are_not_taken_for_lies() -> None:
    for kind, options in (("PNG", {"compress_level": 9}), ("JPEG", {"quality": 5, "optimize": True})):
        content = encoded(np.zeros((2500, 2500), np.uint8), kind, **options)
        assert decode(content).shape == (2500, 2500, 3)
    bits = io.BytesIO()
    Image.new("1", (9000, 5000)).save(bits, "PNG", compress_level=9)
    assert decode(bits.getvalue()).shape == (5000, 9000, 3)


def test_a_large_jpeg_is_decoded_smaller_and_says_by_how_much() -> None:
    """S3: half, a quarter or an eighth, so that it fits."""
    picture = np.zeros((160, 240, 3), np.uint8)
    picture[:, 120:] = 255
    content = encoded(picture, "JPEG", quality=95)
    for most, scale in ((40_000, 1.0), (38_400, 1.0), (38_399, 2.0), (9_600, 2.0), (9_599, 4.0), (2_399, 8.0)):
        found = decode_picture(content, max_pixels=most)
        assert found.scale == scale
        assert found.pixels.shape == (160 // scale, 240 // scale, 3)
        middle = int(120 // scale)
        assert found.pixels[:, : middle - 2].mean() < 8
        assert found.pixels[:, middle + 2 :].mean() > 250
    with pytest.raises(UndecodableImage) as caught:
        decode_picture(content, max_pixels=500)
    assert caught.value.status is Status.TOO_LARGE


@pytest.mark.parametrize(("mode", "samples"), [("L", 1), ("RGB", 1.5), ("CMYK", 4)])
def test_a_progressive_jpeg_is_refused_by_the_memory_of_its_coefficients(
    mode: str, samples: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3: a progressive CMYK JPEG of 196 megapixels took 2.4 GB; two bytes for each sample."""
    import dcdan.images.decode as module

    file = io.BytesIO()
    Image.fromarray(NOISE).convert(mode).save(file, "JPEG", progressive=True)
    monkeypatch.setattr(module, "MAX_COEFFICIENT_BYTES", int(2 * 64 * 48 * samples))
    assert status_of(file.getvalue()) is Status.OK
    monkeypatch.setattr(module, "MAX_COEFFICIENT_BYTES", int(2 * 64 * 48 * samples) - 1)
    assert status_of(file.getvalue()) is Status.TOO_LARGE
