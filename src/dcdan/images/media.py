"""Table of image and video formats: suffixes, first bytes, decoder and required extra."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

HEAD = 512
"""Number of bytes at the beginning of a file that :func:`format_of_head` needs."""


class InputKind(StrEnum):
    """Type of an input."""

    PICTURE = "picture"
    VIDEO = "video"
    CAMERA = "camera"


class Decoder(StrEnum):
    """Library that reads a format."""

    PILLOW = "pillow"
    HEIF = "pillow-heif"
    VIDEO = "video"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class MediaFormat:
    """An image or video file format.

    Attributes:
        name: Name in messages.
        kind: PICTURE or VIDEO.
        suffixes: File name suffixes in lower case, including the dot.
        signatures: (offset, bytes) pairs; a file that matches any of them has this format.
        decoder: Library that reads it; ``Decoder.NONE`` if it is not supported.
        cure: For an unsupported format, what the user can do; a clause.
    """

    name: str
    kind: InputKind
    suffixes: tuple[str, ...]
    signatures: tuple[tuple[int, bytes], ...] = ()
    decoder: Decoder = Decoder.PILLOW
    cure: str = ""

    @property
    def extra(self) -> str:
        """The extra that is needed to read this format; empty if none is."""
        return "heif" if self.decoder is Decoder.HEIF else ""

    @property
    def problem(self) -> str:
        """Why this installation cannot read the format, and what to do; empty if it can.

        Example:
            >>> FORMATS["JPEG"].problem, FORMATS["JPEG XL"].problem
            ('', 'JPEG XL is not read: convert it to PNG or JPEG')
        """
        if self.decoder is Decoder.NONE:
            return f"{self.name} is not read: {self.cure}"
        if self.decoder is Decoder.HEIF and not _installed("pillow_heif"):
            return f"{self.name} needs pillow-heif: pip install 'dcdan[heif]', or convert it to JPEG"
        if self.name == "AVIF" and not _has_avif():
            return "AVIF needs a Pillow that was built with it: pip install --upgrade pillow, or convert it to JPEG"
        return ""


_CONVERT = "convert it to PNG or JPEG"
_DEVELOP = "export it from the camera's or photo program's software as JPEG or TIFF"
_PICTURE, _VIDEO = InputKind.PICTURE, InputKind.VIDEO

_TABLE: tuple[MediaFormat, ...] = (
    MediaFormat("JPEG", _PICTURE, (".jpg", ".jpeg", ".jpe", ".jfif"), ((0, b"\xff\xd8\xff"),)),
    MediaFormat("PNG", _PICTURE, (".png", ".apng"), ((0, b"\x89PNG\r\n\x1a\n"),)),
    MediaFormat("WebP", _PICTURE, (".webp",), ((8, b"WEBP"),)),
    MediaFormat("BMP", _PICTURE, (".bmp", ".dib"), ((0, b"BM"),)),
    MediaFormat(
        "TIFF",
        _PICTURE,
        (".tif", ".tiff"),
        ((0, b"II*\x00"), (0, b"MM\x00*"), (0, b"II+\x00"), (0, b"MM\x00+")),
    ),
    MediaFormat("GIF", _PICTURE, (".gif",), ((0, b"GIF87a"), (0, b"GIF89a"))),
    MediaFormat("AVIF", _PICTURE, (".avif", ".avifs"), ((8, b"avif"), (8, b"avis"))),
    MediaFormat(
        "HEIF",
        _PICTURE,
        (".heic", ".heif", ".heics", ".heifs", ".hif"),
        tuple((8, brand) for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")),
        Decoder.HEIF,
    ),
    MediaFormat(
        "JPEG XL",
        _PICTURE,
        (".jxl",),
        ((0, b"\xff\x0a"), (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n")),
        Decoder.NONE,
        _CONVERT,
    ),
    MediaFormat(
        "JPEG 2000",
        _PICTURE,
        (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
        ((0, b"\x00\x00\x00\x0cjP  \r\n\x87\n"), (0, b"\xff\x4f\xff\x51")),
        Decoder.NONE,
        _CONVERT,
    ),
    MediaFormat("Photoshop", _PICTURE, (".psd", ".psb"), ((0, b"8BPS"),), Decoder.NONE, _CONVERT),
    MediaFormat("GIMP", _PICTURE, (".xcf",), ((0, b"gimp xcf"),), Decoder.NONE, _CONVERT),
    MediaFormat(
        "Netpbm",
        _PICTURE,
        (".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".pfm"),
        tuple((0, b"P%d%s" % (number, end)) for number in range(1, 8) for end in (b"\n", b" ")),
        Decoder.NONE,
        _CONVERT,
    ),
    MediaFormat("Windows icon", _PICTURE, (".ico", ".cur"), ((0, b"\x00\x00\x01\x00"),), Decoder.NONE, _CONVERT),
    MediaFormat("Targa", _PICTURE, (".tga",), (), Decoder.NONE, _CONVERT),
    MediaFormat("OpenEXR", _PICTURE, (".exr",), ((0, b"v/1\x01"),), Decoder.NONE, _CONVERT),
    MediaFormat("Radiance HDR", _PICTURE, (".hdr",), ((0, b"#?RADIANCE"),), Decoder.NONE, _CONVERT),
    MediaFormat("DICOM", _PICTURE, (".dcm", ".dicom"), ((128, b"DICM"),), Decoder.NONE, _CONVERT),
    MediaFormat("SVG", _PICTURE, (".svg", ".svgz"), ((0, b"<svg"),), Decoder.NONE, "export it as PNG"),
    MediaFormat(
        "camera raw",
        _PICTURE,
        (".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw"),
        ((8, b"CR\x02\x00"), (8, b"crx "), (0, b"FUJIFILMCCD-RAW"), (0, b"IIRO"), (0, b"IIU\x00")),
        Decoder.NONE,
        _DEVELOP,
    ),
    MediaFormat("PDF", _PICTURE, (), ((0, b"%PDF-"),), Decoder.NONE, "export its pages as PNG or TIFF"),
    MediaFormat(
        "MP4",
        _VIDEO,
        (".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".f4v"),
        tuple((4, box) for box in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")),
        Decoder.VIDEO,
    ),
    MediaFormat("AVI", _VIDEO, (".avi", ".divx"), ((8, b"AVI"),), Decoder.VIDEO),
    MediaFormat("Matroska", _VIDEO, (".mkv", ".webm", ".mk3d"), ((0, b"\x1aE\xdf\xa3"),), Decoder.VIDEO),
    MediaFormat("MPEG-TS", _VIDEO, (".ts", ".mts", ".m2ts", ".m2t", ".tp"), (), Decoder.VIDEO),
    MediaFormat(
        "MPEG",
        _VIDEO,
        (".mpg", ".mpeg", ".m2v", ".m1v", ".vob", ".mod", ".dat"),
        ((0, b"\x00\x00\x01\xba"), (0, b"\x00\x00\x01\xb3")),
        Decoder.VIDEO,
    ),
    MediaFormat("Windows Media", _VIDEO, (".wmv", ".asf"), ((0, b"0&\xb2u\x8ef\xcf\x11"),), Decoder.VIDEO),
    MediaFormat("Flash video", _VIDEO, (".flv",), ((0, b"FLV\x01"),), Decoder.VIDEO),
    MediaFormat("Ogg", _VIDEO, (".ogv", ".ogm"), ((0, b"OggS"),), Decoder.VIDEO),
    MediaFormat("MXF", _VIDEO, (".mxf",), ((0, b"\x06\x0e+4\x02\x05\x01\x01\r\x01\x02"),), Decoder.VIDEO),
    MediaFormat("DV", _VIDEO, (".dv", ".dif"), ((0, b"\x1f\x07\x00"),), Decoder.VIDEO),
    MediaFormat("RealMedia", _VIDEO, (".rm", ".rmvb"), ((0, b".RMF"),), Decoder.VIDEO),
)

FORMATS: dict[str, MediaFormat] = {each.name: each for each in _TABLE}
_BY_SUFFIX: dict[str, MediaFormat] = {suffix: each for each in _TABLE for suffix in each.suffixes}
# Most files with these suffixes are not videos (data, TypeScript), so only their first bytes decide.
_AMBIGUOUS = frozenset({".dat", ".mod", ".ts", ".tp", ".hdr", ".cur"})

PICTURE_SUFFIXES: frozenset[str] = frozenset(
    suffix for suffix, each in _BY_SUFFIX.items() if each.kind is InputKind.PICTURE and each.decoder is not Decoder.NONE
)
VIDEO_SUFFIXES: frozenset[str] = frozenset(
    suffix for suffix, each in _BY_SUFFIX.items() if each.kind is InputKind.VIDEO and suffix not in _AMBIGUOUS
)
ANIMATED_SUFFIXES: frozenset[str] = frozenset({".gif", ".webp", ".png", ".apng", ".avif", ".avifs"})
"""Suffixes of picture formats whose files can hold an animation."""


def suffix_of(name: str) -> str:
    """Return the suffix of a file name in lower case, including the dot; empty if it has none.

    Example:
        >>> suffix_of("Anna.JPG"), suffix_of("notes"), suffix_of(".hidden")
        ('.jpg', '', '')
    """
    return os.path.splitext(name)[1].lower()  # noqa: PTH122  (Path() is slow, and raises on some names)


def format_of_name(name: str) -> MediaFormat | None:
    """Return the format that the suffix of a file name implies, or None.

    Example:
        >>> format_of_name("clip.MTS").name, format_of_name("notes.txt")
        ('MPEG-TS', None)
    """
    suffix = suffix_of(name)
    return None if suffix in _AMBIGUOUS else _BY_SUFFIX.get(suffix)


def format_of_head(head: bytes) -> MediaFormat | None:
    """Return the format that the first ``HEAD`` bytes of a file imply, or None.

    Example:
        >>> format_of_head(b"GIF89a").name, format_of_head(b"to whom it may concern")
        ('GIF', None)
    """
    if head[:3] == b"\xff\xd8\xff":
        return FORMATS["JPEG"]
    if head[:4] == b"RIFF":
        return FORMATS["WebP"] if head[8:12] == b"WEBP" else FORMATS["AVI"] if head[8:11] == b"AVI" else None
    if head[4:8] == b"ftyp":
        return next((FORMATS[name] for name in ("AVIF", "HEIF") if _matches(FORMATS[name], head)), _other_ftyp(head))
    if _is_transport_stream(head):
        return FORMATS["MPEG-TS"]
    return next((each for each in _TABLE if each.name not in _WITH_BRANDS and _matches(each, head)), None)


def is_animated(head: bytes) -> bool:
    """Return whether the first bytes of a file declare an animation (WebP, APNG or AVIF).

    A GIF has no such flag; see :func:`dcdan.images.pages.gif_has_many`.

    Args:
        head: The first ``HEAD`` bytes.

    Returns:
        True for an animation.

    Example:
        >>> is_animated(b"RIFF0000WEBPVP8X0000" + bytes([2])), is_animated(b"GIF89a")
        (True, False)
    """
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X":
        return bool(head[20:21]) and bool(head[20] & 2)
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        control, pixels = head.find(b"acTL"), head.find(b"IDAT")
        return control >= 0 and (pixels < 0 or control < pixels)
    return head[4:8] == b"ftyp" and head[8:12] == b"avis"


_WITH_BRANDS = ("AVIF", "HEIF", "WebP", "AVI")


def _matches(each: MediaFormat, head: bytes) -> bool:
    return any(head[start : start + len(mark)] == mark for start, mark in each.signatures)


def _other_ftyp(head: bytes) -> MediaFormat:
    return FORMATS["camera raw"] if head[8:12] == b"crx " else FORMATS["MP4"]


def _is_transport_stream(head: bytes) -> bool:
    """Detect 188-byte packets that begin with 0x47; Blu-ray discs and camcorders add four bytes before each packet."""
    return any(
        len(head) > first + size and head[first] == 0x47 and head[first + size] == 0x47
        for first, size in ((0, 188), (4, 192))
    )


@cache
def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


@cache
def _has_avif() -> bool:
    from PIL import features

    return bool(features.check("avif"))
