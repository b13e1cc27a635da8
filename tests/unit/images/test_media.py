"""The table of formats: suffixes, first bytes, and what to do about those that are not read."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from dcdan.images import media
from dcdan.images.media import (
    FORMATS,
    Decoder,
    InputKind,
    format_of_head,
    format_of_name,
    is_animated,
)

HEADS = {
    b"\xff\xd8\xff\xe0": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"RIFF\x00\x00\x00\x00WEBPVP8 ": "WebP",
    b"RIFF\x00\x00\x00\x00AVI LIST": "AVI",
    b"BM\x00\x00": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00+": "TIFF",
    b"GIF89a": "GIF",
    b"\0\0\0\x20ftypavif": "AVIF",
    b"\0\0\0\x20ftypheic": "HEIF",
    b"\0\0\0\x20ftypmif1": "HEIF",
    b"\0\0\0\x20ftypisom": "MP4",
    b"\0\0\0\x20ftypqt  ": "MP4",
    b"\0\0\0\x20ftyp3gp4": "MP4",
    b"\0\0\0\x20ftypcrx ": "camera raw",
    b"\0\0\0\x08moov": "MP4",
    b"\x1aE\xdf\xa3": "Matroska",
    b"\x47" + bytes(187) + b"\x47": "MPEG-TS",
    bytes(4) + b"\x47" + bytes(191) + b"\x47": "MPEG-TS",
    b"\x00\x00\x01\xba": "MPEG",
    b"0&\xb2u\x8ef\xcf\x11": "Windows Media",
    b"FLV\x01": "Flash video",
    b"OggS": "Ogg",
    b"\xff\x0a": "JPEG XL",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"%PDF-1.7": "PDF",
    b"P6\n": "Netpbm",
    bytes(128) + b"DICM": "DICOM",
}
NO_MEDIA = [
    b"",
    b"x",
    b"PK\x03\x04",
    b"#EXTM3U\n",
    b"ffconcat version 1.0",
    b"RIFF\0\0\0\0WAVE",
    b"\x7fELF",
    bytes(512),
]


@pytest.mark.parametrize(("head", "name"), HEADS.items(), ids=HEADS.values())
def test_first_bytes(head: bytes, name: str) -> None:
    found = format_of_head(head)
    assert found is FORMATS[name]


@pytest.mark.parametrize("head", NO_MEDIA)
def test_what_is_no_picture_or_video(head: bytes) -> None:
    assert format_of_head(head) is None


@pytest.mark.parametrize(
    ("suffix", "name"),
    [
        (".heic", "HEIF"),
        (".HEIF", "HEIF"),
        (".avif", "AVIF"),
        (".jxl", "JPEG XL"),
        (".jp2", "JPEG 2000"),
        (".gif", "GIF"),
        (".m4v", "MP4"),
        (".mts", "MPEG-TS"),
        (".3gp", "MP4"),
        (".webm", "Matroska"),
        (".dng", "camera raw"),
    ],
)
def test_every_known_kind_has_its_row(suffix: str, name: str) -> None:
    """V8: HEIC, HEIF, AVIF, JPEG XL, JP2, GIF, .m4v, .mts, .3gp and .webm were skipped without a word."""
    assert format_of_name(f"a{suffix}") is FORMATS[name]


def test_no_suffix_is_in_two_rows_and_every_row_that_is_not_read_has_a_cure() -> None:
    """V8."""
    suffixes = [suffix for each in FORMATS.values() for suffix in each.suffixes]
    assert len(suffixes) == len(set(suffixes))
    for each in FORMATS.values():
        assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in each.suffixes)
        assert bool(each.cure) == (each.decoder is Decoder.NONE)
        assert each.decoder is not Decoder.VIDEO or each.kind is InputKind.VIDEO
        if each.cure:
            assert each.problem == f"{each.name} is not read: {each.cure}"


def test_a_format_that_needs_an_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """V8."""
    monkeypatch.setattr(media, "_installed", lambda name: False)
    assert "pip install 'dcdan[heif]'" in FORMATS["HEIF"].problem
    assert FORMATS["HEIF"].extra == "heif"
    monkeypatch.setattr(media, "_installed", lambda name: True)
    assert FORMATS["HEIF"].problem == ""
    monkeypatch.setattr(media, "_has_avif", lambda: False)
    assert "upgrade pillow" in FORMATS["AVIF"].problem
    assert FORMATS["JPEG"].extra == FORMATS["AVIF"].extra == ""


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "AVIF"])
def test_animations_announce_themselves(kind: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "green")]
    still, moving = io.BytesIO(), io.BytesIO()
    frames[0].save(still, kind)
    frames[0].save(moving, kind, save_all=True, append_images=frames[1:], duration=100)
    assert not is_animated(still.getvalue()[: media.HEAD])
    assert is_animated(moving.getvalue()[: media.HEAD])
