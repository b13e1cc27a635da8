"""Decode a picture file to 8-bit RGB, safely: few formats, size checked before decoding, every fault a status."""

from __future__ import annotations

import io
import stat
import threading
import warnings
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import (
    BmpImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from dcdan.images.status import Status

PICTURE_SUFFIXES: frozenset[str] = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff"}
)
MAX_PIXELS = 200_000_000
MAX_WEBP_PIXELS = 50_000_000
"""Pillow holds a WebP four times over, and a few bytes of one unpack to any size."""
MAX_BYTES = 1 << 30
"""Of a file: WebP is read into the memory before its header says how large it is."""

_HEAD = 16
_BAND = 4_000_000

# Plugins are called directly: Image.open() refuses pictures by a limit that is global to the process.
_PLUGINS: tuple[tuple[bytes, type[ImageFile.ImageFile]], ...] = (
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
    (b"II*\x00", TiffImagePlugin.TiffImageFile),
    (b"MM\x00*", TiffImagePlugin.TiffImageFile),
    (b"II+\x00", TiffImagePlugin.TiffImageFile),
    (b"MM\x00+", TiffImagePlugin.TiffImageFile),
)


class UndecodableImage(Exception):
    """A picture that cannot be had: ``status`` for the table, ``reason`` in words."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason

    def __reduce__(self) -> tuple[type[UndecodableImage], tuple[Status, str]]:
        return type(self), (self.status, self.reason)


def decode(source: Path | bytes, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Return the picture as (H, W, 3) uint8 RGB, upright as its EXIF orientation says.

    JPEG, PNG, WebP, BMP and TIFF are read, whatever the file is called. 16-bit greys are scaled from 0..65535,
    32-bit and float greys from their own minimum and maximum, CMYK and palettes are converted, transparent parts lie
    over white, and of an animation or a multi-page file the first picture counts. Colour profiles are ignored.

    Raises:
        UndecodableImage: MISSING (no such file), EMPTY (zero bytes), NOT_AN_IMAGE (another format, or a folder),
            TOO_LARGE (more pixels in the header than ``max_pixels``, of WebP MAX_WEBP_PIXELS, or more than MAX_BYTES),
            UNREADABLE (damaged, truncated, no permission).
    """
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), max_pixels)
    try:
        # Opening a pipe would wait for ever.
        found = source.stat()
        if not stat.S_ISREG(found.st_mode):
            raise UndecodableImage(Status.NOT_AN_IMAGE, "it is a folder or a device, not a file")
        if found.st_size > MAX_BYTES:
            raise UndecodableImage(Status.TOO_LARGE, f"it has {found.st_size} bytes, more than {MAX_BYTES}")
        with source.open("rb") as file:
            return _decode(file, max_pixels)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise UndecodableImage(Status.MISSING, "the file does not exist") from None
    except OSError as error:
        raise UndecodableImage(Status.UNREADABLE, f"the file cannot be read: {error.strerror or error}") from None


def _decode(file: IO[bytes], max_pixels: int) -> npt.NDArray[np.uint8]:
    head = file.read(_HEAD)
    if not head:
        raise UndecodableImage(Status.EMPTY, "the file has no bytes")
    plugin = _plugin(head)
    if plugin is None:
        raise UndecodableImage(Status.NOT_AN_IMAGE, "it is no JPEG, PNG, WebP, BMP or TIFF")
    file.seek(0)
    try:
        with _QUIET, plugin(file) as image:
            width, height = image.size
            most = min(max_pixels, MAX_WEBP_PIXELS) if plugin is WebPImagePlugin.WebPImageFile else max_pixels
            if width * height > most:
                raise UndecodableImage(Status.TOO_LARGE, f"its header says {width} x {height} pixels, more than {most}")
            if width * height == 0:
                raise UndecodableImage(Status.UNREADABLE, "damaged: its header says no pixels")
            image.load()
            return _to_rgb(_upright(image))
    except UndecodableImage:
        raise
    except (Image.DecompressionBombError, MemoryError) as error:
        raise UndecodableImage(Status.TOO_LARGE, str(error) or "not enough memory") from None
    except Exception as error:  # A damaged file can make a decoder raise anything.
        raise UndecodableImage(Status.UNREADABLE, f"damaged: {error}") from None


def _plugin(head: bytes) -> type[ImageFile.ImageFile] | None:
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return WebPImagePlugin.WebPImageFile
    return next((plugin for magic, plugin in _PLUGINS if head.startswith(magic)), None)


def _upright(image: Image.Image) -> Image.Image:
    # A damaged EXIF block leaves a good picture as it lies.
    with suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _to_rgb(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Return the picture in RGB; in bands, since what lies between takes many times its bytes."""
    width, height = image.size
    rows = max(1, _BAND // width)
    bands = [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]
    low, high = _range(image, bands) if image.mode in ("I", "F") else (0.0, 0.0)
    pixels = np.empty((height, width, 3), np.uint8)
    for band in bands:
        part = image if len(bands) == 1 else image.crop(band)
        out = pixels[band[1] : band[3]]
        if image.mode.startswith("I;16"):
            out[:] = ((np.asarray(part).astype(np.uint32) + 128) // 257)[:, :, None]
        elif image.mode in ("I", "F"):
            out[:] = np.rint((_finite(part) - low) * (255.0 / max(high - low, 1e-12)))[:, :, None]
        else:
            out[:] = np.asarray(_over_white(part) if image.has_transparency_data else part.convert("RGB"))
    return pixels


def _over_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def _finite(image: Image.Image) -> npt.NDArray[np.float64]:
    return np.nan_to_num(np.asarray(image).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _range(image: Image.Image, bands: list[tuple[int, int, int, int]]) -> tuple[float, float]:
    ends = [(float(values.min()), float(values.max())) for values in map(_finite, map(image.crop, bands))]
    return min(low for low, _ in ends), max(high for _, high in ends)


class _Quiet(AbstractContextManager[None]):
    """Silence Pillow's warnings while any thread is inside.

    ``warnings.catch_warnings`` alone is not safe here: two threads that overlap would leave the filter behind.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._saved.__exit__(None, None, None)


_QUIET = _Quiet()
