"""Detect truncated images that decoders accept, and headers that declare more pixels than the file can contain.

Pillow returns a truncated image as if it were complete: missing rows are black in a PNG and grey in a JPEG. Each check
first examines a few pixels, which rules out almost every complete image, and reads the data again only if they are
suspicious.
"""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from typing import IO

import numpy as np
from PIL import Image

from dcdan.images.status import Status, UndecodableImage

# The maximum compression ratio of Deflate (RFC 1951: 258 bytes from two bits).
_DEFLATE_RATIO = 1032
# A block of 8 x 8 pixels of one component takes at least one bit.
_JPEG_RATIO = 512
_SMALL = 4_000_000
_BLOCK = 1 << 16
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SOS, _EOI = 0xDA, 0xD9


def check_declared_size(image: Image.Image, name: str, size: int) -> None:
    """Reject a header that declares far more pixels than a file of ``size`` bytes can contain, before decoding it.

    Args:
        image: The opened image; it is not decoded.
        name: Name of its format.
        size: Size of the file in bytes.

    Raises:
        UndecodableImage: TRUNCATED.
    """
    ratio = {"PNG": _DEFLATE_RATIO * 8, "JPEG": _JPEG_RATIO}.get(name)
    pixels = image.size[0] * image.size[1]
    if ratio is not None and pixels > _SMALL and pixels > ratio * size:
        width, height = image.size
        raise UndecodableImage(
            Status.TRUNCATED, f"damaged: its header declares {width} x {height} pixels and it has only {size} bytes"
        )


def check_complete(image: Image.Image, name: str, file: IO[bytes]) -> None:
    """Reject a decoded image whose data end before its last row.

    Args:
        image: The decoded image.
        name: Name of its format.
        file: The open file that it was read from.

    Raises:
        UndecodableImage: TRUNCATED.
    """
    whole = True
    if name == "PNG" and _last_rows_are_zero(image):
        whole = _png_is_whole(file)
    elif name == "JPEG":
        if image.info.get("progressive"):
            whole = _progressive_is_whole(file)
        if whole and _ends_in_grey(image):
            whole = not _libjpeg_warns(file)
    if not whole:
        raise UndecodableImage(Status.TRUNCATED, "damaged: its data end before its last row")


def _last_rows_are_zero(image: Image.Image) -> bool:
    """Check the last two rows; in an interlaced PNG they belong to different passes."""
    width, height = image.size
    return any(not np.asarray(image.crop((0, row, width, row + 1))).any() for row in {height - 1, max(0, height - 2)})


def _png_is_whole(file: IO[bytes]) -> bool:
    """Inflate the pixel data of a PNG and compare its length with the header (PNG specification, 7.2 and 8)."""
    width, height, depth, colour, interlaced = 0, 0, 0, 0, 0
    inflate = zlib.decompressobj()
    length = 0
    file.seek(8)
    while len(head := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", file.read(13))
            file.seek(4, 1)
        elif kind == b"IDAT":
            length += sum(len(part) for part in _inflated(inflate, file, size))
            file.seek(4, 1)
        elif kind == b"IEND":
            break
        else:
            file.seek(size + 4, 1)
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1)
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    expected = 0
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        expected += rows * (1 + -(-columns * bits // 8)) if columns > 0 and rows > 0 else 0
    return length >= expected


_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def _inflated(inflate: zlib._Decompress, file: IO[bytes], size: int) -> Iterator[bytes]:
    while size > 0 and (block := file.read(min(size, _BLOCK))):
        size -= len(block)
        while block:
            yield inflate.decompress(block, _BLOCK * 16)
            block = inflate.unconsumed_tail


def _progressive_is_whole(file: IO[bytes]) -> bool:
    """Return whether the scans of a progressive JPEG reach the last bit of every coefficient of its first component.

    A scan lists components, a band of coefficients (Ss to Se) and a bit position (Al); see ITU T.81, G.1.2.
    """
    file.seek(0)
    data = file.read()
    first: int | None = None
    finest = [99] * 64
    place = 2
    while (found := _MARKER.search(data, place)) is not None:
        marker, place = data[found.start() + 1], found.end()
        if marker == _EOI:
            break
        if marker in (0x01, 0xD8):
            continue
        size = int.from_bytes(data[place : place + 2], "big")
        body = data[place + 2 : place + size]
        place += max(size, 2)
        if marker == 0xC2 and len(body) > 6:
            first = body[6]
        if marker == _SOS and body and len(body) >= 1 + 2 * body[0] + 3:
            components = body[1 : 1 + 2 * body[0] : 2]
            start, end, bits = body[1 + 2 * body[0] :][:3]
            if first is not None and first in components:
                for index in range(start, min(end, 63) + 1):
                    finest[index] = min(finest[index], bits & 15)
    return first is None or not any(finest)


def _ends_in_grey(image: Image.Image) -> bool:
    """Return whether the last pixels are mid-grey, which libjpeg writes for blocks without data."""
    width, height = image.size
    last = image.getpixel((width - 1, height - 1))
    if not all(value in (127, 128) for value in (last if isinstance(last, tuple) else (last,))):
        return False
    corner = np.asarray(image.crop((max(0, width - 4), height - 1, width, height)))
    return bool(np.isin(corner, (127, 128)).all())


def _libjpeg_warns(file: IO[bytes]) -> bool:
    """Return whether libjpeg warns of truncated data; it writes to stderr, so another process decodes the image."""
    file.seek(0)
    code = "import sys, numpy, cv2; cv2.imdecode(numpy.frombuffer(sys.stdin.buffer.read(), numpy.uint8), 1)"
    done = subprocess.run([sys.executable, "-c", code], input=file.read(), capture_output=True, check=False)
    return b"premature end" in done.stdout + done.stderr
