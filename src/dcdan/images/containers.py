"""Facts from a video container without decoding: whether its end is missing and whether it has a video track."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from dcdan.core.limits import open_regular

_MOST_BOXES = 10_000
_MOST_HEADER = 32 << 20


def missing_bytes(path: Path) -> int:
    """Return how many bytes are missing at the end of an MP4, MOV, AVI or Matroska file.

    The sizes of the outermost elements are compared with the size of the file. Frame counts are unreliable: headers
    estimate them, and edit lists hide frames.

    Args:
        path: The video file.

    Returns:
        Number of bytes; 0 if the file is complete or this is unknown.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(12)
            if head[:4] == b"RIFF":
                return _missing_riff(file, size)
            if head[:4] == b"\x1aE\xdf\xa3":
                return _missing_matroska(file, size)
            return max(0, max((start + length for start, length, _ in _boxes(file, size)), default=0) - size)
    except (OSError, ValueError, struct.error, IndexError):
        return 0


def is_sound_only(path: Path) -> bool:
    """Return whether an MP4 or MOV file has an audio track and no video track."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            for start, length, kind in _boxes(file, size):
                if kind == b"moov":
                    file.seek(start)
                    header = file.read(min(length, _MOST_HEADER))
                    return b"soun" in header and b"vide" not in header
    except (OSError, ValueError, struct.error):
        pass
    return False


def _boxes(file: IO[bytes], size: int) -> Iterator[tuple[int, int, bytes]]:
    place = 0
    for _ in range(_MOST_BOXES):
        file.seek(place)
        head = file.read(16)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head[:8])
        if length == 1 and len(head) == 16:
            length = struct.unpack(">Q", head[8:])[0]
        elif length == 0:
            length = size - place
        if length < 8 or not kind.isalnum():
            return
        yield place, length, kind
        place += length
        if place >= size:
            return


def _missing_riff(file: IO[bytes], size: int) -> int:
    """Compare the chunks of an AVI with its size: RIFF AVI, then RIFF AVIX for every further gigabyte."""
    end = 0
    while end < size:
        file.seek(end)
        head = file.read(8)
        if len(head) < 8 or head[:4] != b"RIFF":
            break
        length = struct.unpack("<I", head[4:])[0]
        if length == 0:
            return 0
        end += 8 + length + length % 2
    return max(0, end - size)


def _missing_matroska(file: IO[bytes], size: int) -> int:
    """Compare the segment after the EBML header with the file size; a live recording has a segment of unknown size."""
    file.seek(0)
    head = file.read(4096)
    length, used = _vint(head, 4)
    segment = 4 + used + length
    if head[segment : segment + 4] != b"\x18\x53\x80\x67":
        return 0
    length, used = _vint(head, segment + 4)
    if length == (1 << (7 * used)) - 1:
        return 0
    return max(0, segment + 4 + used + length - size)


def _vint(data: bytes, place: int) -> tuple[int, int]:
    """Return an EBML variable-length integer and its length in bytes (RFC 8794, section 4)."""
    used = 9 - data[place].bit_length()
    value = int.from_bytes(data[place : place + used], "big") & ((1 << (7 * used)) - 1)
    return value, used
