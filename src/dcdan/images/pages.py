"""Files with several images: multi-page TIFFs and animations."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from dcdan.core.limits import open_regular
from dcdan.images.media import ANIMATED_SUFFIXES, FORMATS, HEAD, MediaFormat, is_animated, suffix_of

_PAGE = re.compile(r"(.+)#page=([1-9][0-9]{0,8})", re.DOTALL)
_NEW_SUBFILE_TYPE = 254
_REDUCED_OR_MASK = 0b101
_MOST_PAGES = 100_000
_MOST_GIF_BYTES = 64 << 20


def page_path(path: str, page: int) -> str:
    """Return the name of one page of a file in results.

    Args:
        path: The file.
        page: Index of the page, from 0; the name counts from 1.

    Returns:
        The file name with a page suffix.

    Example:
        >>> page_path("scan.tif", 1)
        'scan.tif#page=2'
    """
    return f"{path}#page={page + 1}"


def split_page(path: str) -> tuple[str, int]:
    """Split a path into the file and the index of the page; the inverse of :func:`page_path`.

    Args:
        path: A path with or without a page suffix.

    Returns:
        (file, page from 0).

    Example:
        >>> split_page("scan.tif#page=2"), split_page("scan.tif")
        (('scan.tif', 1), ('scan.tif', 0))
    """
    found = _PAGE.fullmatch(path) if "#page=" in path else None
    return (found[1], int(found[2]) - 1) if found else (path, 0)


def read_head(path: str | Path) -> bytes:
    """Return the first ``HEAD`` bytes of a regular file, or no bytes if it cannot be read."""
    try:
        with open_regular(Path(path)) as file:
            return file.read(HEAD)
    except (OSError, ValueError):
        return b""


def is_animation(path: str | Path, head: bytes | None = None) -> bool:
    """Return whether an image file contains an animation, which is read as a video.

    Args:
        path: The file; it is opened only if its format supports animation.
        head: Its first bytes, if they were read already.

    Returns:
        True for an animated GIF, WebP, PNG or AVIF.
    """
    if suffix_of(str(path)) not in ANIMATED_SUFFIXES and head is None:
        return False
    head = read_head(path) if head is None else head
    return gif_has_many(path) if head.startswith(b"GIF8") else is_animated(head)


def gif_has_many(path: str | Path) -> bool:
    """Return whether a GIF contains a second image; only the block lengths are read (GIF89a, sections 15-26)."""
    try:
        with open_regular(Path(path)) as file:
            data = file.read(_MOST_GIF_BYTES)
        place, pictures = 13 + _colours(data[10]), 0
        while place < len(data):
            if data[place] == 0x2C:
                pictures += 1
                if pictures == 2:
                    return True
                place += 11 + _colours(data[place + 9])
            elif data[place] == 0x21:
                place += 2
            else:
                return False
            while data[place]:
                place += 1 + data[place]
            place += 1
    except (OSError, ValueError, IndexError):
        return False
    return False


def _colours(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def tiff_pages(path: str | Path) -> list[int]:
    """Return the indices of the full images in a TIFF, without thumbnails and masks (TIFF 6.0, NewSubfileType).

    Args:
        path: The file.

    Returns:
        Page indices from 0; ``[0]`` for a file that is not a TIFF or is damaged at its beginning.
    """
    pages: list[int] = []
    try:
        with open_regular(Path(path)) as file:
            head = file.read(16)
            order = "<" if head[:2] == b"II" else ">"
            big = head[2:4] in (b"+\0", b"\0+")
            count, entry, link = ("Q", 20, "Q") if big else ("H", 12, "I")
            place = struct.unpack_from(order + link, head, 8 if big else 4)[0]
            seen: set[int] = set()
            while place and place not in seen and len(seen) < _MOST_PAGES:
                seen.add(place)
                file.seek(place)
                entries = struct.unpack(order + count, file.read(struct.calcsize(count)))[0]
                if entries > 1 << 16:
                    break
                table = file.read(entries * entry)
                if not _is_reduced(table, entry, order):
                    pages.append(len(seen) - 1)
                place = struct.unpack(order + link, file.read(struct.calcsize(link)))[0]
    except (OSError, ValueError, struct.error):
        pass
    return pages or [0]


def _is_reduced(table: bytes, entry: int, order: str) -> bool:
    for start in range(0, len(table) - entry + 1, entry):
        if struct.unpack_from(order + "H", table, start)[0] == _NEW_SUBFILE_TYPE:
            return bool(
                struct.unpack_from(order + "I", table, start + entry - (4 if entry == 12 else 8))[0] & _REDUCED_OR_MASK
            )
    return False


def has_pages(found: MediaFormat) -> bool:
    """Return whether files of a format can have several pages."""
    return found is FORMATS["TIFF"]
