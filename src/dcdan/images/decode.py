"""Decode images to 8-bit RGB within bounds: sizes are checked before decoding, and every fault is a status."""

from __future__ import annotations

import io
import stat
import threading
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from dcdan.core.native_stderr import muted_stderr
from dcdan.images.completeness import check_complete, check_declared_size
from dcdan.images.media import HEAD, Decoder, InputKind, MediaFormat, format_of_head
from dcdan.images.status import Status, UndecodableImage

MAX_PIXELS = 50_000_000
"""Most pixels of a decoded picture: Pillow and NumPy together take 7 bytes for each. Larger JPEGs are reduced."""
MAX_DECLARED_PIXELS = 1_000_000_000
"""Most pixels in the header of a JPEG, which is decoded at a half, a quarter or an eighth of its size to fit."""
MAX_COEFFICIENT_BYTES = 400_000_000
"""Most memory for the coefficients of a progressive JPEG, all of which are needed before the first pixel."""
MAX_BYTES = 1 << 30
"""Most bytes of a file."""

_BAND = 4_000_000

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "Decoded",
    "UndecodableImage",
    "check_pixels",
    "decode",
    "decode_picture",
    "open_image",
    "to_rgb",
]


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded image.

    Attributes:
        pixels: ``(H, W, 3) uint8`` RGB, upright.
        scale: Pixels of the file per pixel of the array: 1.0, or 2.0, 4.0 or 8.0 for a large JPEG that was reduced.
    """

    pixels: npt.NDArray[np.uint8]
    scale: float = 1.0


def decode(source: Path | bytes, *, page: int = 0, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Return the pixels of :func:`decode_picture`.

    Args:
        source: A file or its bytes.
        page: Index of the image in a multi-page file, from 0.
        max_pixels: See :func:`decode_picture`.

    Returns:
        ``(H, W, 3) uint8`` RGB.

    Raises:
        UndecodableImage: As for :func:`decode_picture`.

    Example:
        >>> import io; from PIL import Image
        >>> file = io.BytesIO(); Image.new("RGB", (40, 24), "red").save(file, "PNG")
        >>> decode(file.getvalue()).shape
        (24, 40, 3)
    """
    return decode_picture(source, page=page, max_pixels=max_pixels).pixels


def decode_picture(source: Path | bytes, *, page: int = 0, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode one image and rotate it upright according to its EXIF orientation.

    Supported are JPEG, PNG, WebP, BMP, TIFF, GIF and AVIF, and HEIF with ``dcdan[heif]``. The format is detected from
    the first bytes, not from the name. 16-bit grey is scaled from 0..65535, 32-bit and float grey from its own minimum
    and maximum; CMYK and palettes are converted; transparent parts are composited over white. Colour profiles are
    ignored.

    Args:
        source: A file or its bytes.
        page: Index of the image in a multi-page file, from 0.
        max_pixels: Maximum number of pixels; a larger JPEG is decoded at 1/2, 1/4 or 1/8 of its size.

    Returns:
        The pixels and their scale.

    Raises:
        UndecodableImage: With the status MISSING (no such file), EMPTY (zero bytes), NOT_AN_IMAGE (no known format, or
            a folder), UNSUPPORTED (a known format that cannot be read here), TOO_LARGE (more pixels than ``max_pixels``
            or more bytes than ``MAX_BYTES``), TRUNCATED (the data end early) or UNREADABLE (damaged, or no permission).
    """
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), len(source), page, max_pixels)
    try:
        # Opening a pipe would block forever.
        found = source.stat()
        if not stat.S_ISREG(found.st_mode):
            raise UndecodableImage(Status.NOT_AN_IMAGE, "it is a folder or a device, not a file")
        if found.st_size > MAX_BYTES:
            raise UndecodableImage(Status.TOO_LARGE, f"it has {found.st_size} bytes, more than {MAX_BYTES}")
        with source.open("rb") as file:
            return _decode(file, found.st_size, page, max_pixels)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise UndecodableImage(Status.MISSING, "the file does not exist") from None
    except OSError as error:
        raise UndecodableImage(Status.UNREADABLE, f"the file cannot be read: {error.strerror or error}") from None


def open_image(file: IO[bytes]) -> tuple[Image.Image, MediaFormat]:
    """Open an image with the Pillow plugin of its format without decoding it.

    Args:
        file: The open file, at its beginning.

    Returns:
        (image, format).

    Raises:
        UndecodableImage: EMPTY, NOT_AN_IMAGE or UNSUPPORTED.
        Exception: The header is damaged; the type depends on the plugin.
    """
    head = file.read(HEAD)
    if not head:
        raise UndecodableImage(Status.EMPTY, "the file has no bytes")
    found = format_of_head(head)
    if found is None:
        raise UndecodableImage(Status.NOT_AN_IMAGE, "it is no picture of a known format")
    if found.kind is InputKind.VIDEO:
        raise UndecodableImage(Status.UNSUPPORTED, f"it is a video ({found.name}) with the name of a picture")
    if found.problem:
        raise UndecodableImage(Status.UNSUPPORTED, found.problem)
    file.seek(0)
    return _plugin(found)(file), found


def _plugin(found: MediaFormat) -> Callable[[IO[bytes]], Image.Image]:
    # Plugins are called directly: Image.open() refuses pictures by a limit that is global to the process.
    if found.decoder is Decoder.HEIF:
        from pillow_heif.as_plugin import HeifImageFile

        return HeifImageFile  # type: ignore[no-any-return]
    if found.name == "AVIF":
        from PIL.AvifImagePlugin import AvifImageFile

        return AvifImageFile
    return _PLUGINS[found.name]


_PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "GIF": GifImagePlugin.GifImageFile,
}


def _decode(file: IO[bytes], size: int, page: int, max_pixels: int) -> Decoded:
    try:
        with _QUIET:
            image, found = open_image(file)
            # LibTIFF writes warnings to the standard error of the process.
            with image, muted_stderr() if found.name == "TIFF" else nullcontext():
                if page:
                    image.seek(page)
                scale = _fitted(image, found, max_pixels)
                check_declared_size(image, found.name, size)
                image.load()
                check_complete(image, found.name, file)
                return Decoded(to_rgb(_upright(image)), scale)
    except UndecodableImage:
        raise
    except (Image.DecompressionBombError, MemoryError) as error:
        raise UndecodableImage(Status.TOO_LARGE, str(error) or "not enough memory") from None
    except EOFError:
        raise UndecodableImage(Status.MISSING, f"it has no page {page + 1}") from None
    except Exception as error:  # A damaged file can make a decoder raise anything.
        status = Status.TRUNCATED if "truncated" in str(error).lower() else Status.UNREADABLE
        raise UndecodableImage(status, f"damaged: {error}") from None


def check_pixels(image: Image.Image, max_pixels: int = MAX_PIXELS) -> None:
    """Check the number of pixels that an image header declares.

    Args:
        image: The opened image.
        max_pixels: Maximum number of pixels.

    Raises:
        UndecodableImage: TOO_LARGE, or UNREADABLE for an image without pixels.
    """
    width, height = image.size
    if width * height > max_pixels:
        raise UndecodableImage(
            Status.TOO_LARGE, f"its header declares {width} x {height} pixels, more than {max_pixels}: make it smaller"
        )
    if width * height == 0:
        raise UndecodableImage(Status.UNREADABLE, "damaged: its header declares no pixels")


def _fitted(image: Image.Image, found: MediaFormat, max_pixels: int) -> float:
    """Check the declared size, select a reduced size for a large JPEG, and return the reduction factor."""
    width, height = image.size
    if found.name != "JPEG":
        check_pixels(image, max_pixels)
        return 1.0
    if image.info.get("progressive") and _coefficient_bytes(image) > MAX_COEFFICIENT_BYTES:
        raise UndecodableImage(
            Status.TOO_LARGE,
            f"it is a progressive JPEG of {width} x {height} pixels: save it without 'progressive', or make it smaller",
        )
    if width * height <= max_pixels:
        check_pixels(image, max_pixels)
        return 1.0
    for scale in (2, 4, 8):
        if width * height <= max_pixels * scale * scale and width * height <= MAX_DECLARED_PIXELS:
            image.draft(image.mode, (width // scale, height // scale))
            check_pixels(image, max_pixels + width + height)
            return float(scale)
    check_pixels(image, max_pixels)
    return 1.0


def _coefficient_bytes(image: Image.Image) -> int:
    layers: list[Any] = getattr(image, "layer", [])
    across, down = max((each[1] for each in layers), default=1), max((each[2] for each in layers), default=1)
    share = sum(each[1] * each[2] for each in layers) / (across * down)
    return int(2 * image.size[0] * image.size[1] * share)


def _upright(image: Image.Image) -> Image.Image:
    # An image with a damaged EXIF block is still usable without rotation.
    with suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)
    return image


def to_rgb(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Convert a loaded Pillow image of any mode to RGB.

    The conversion runs in bands of rows, because its intermediate arrays need many times the memory of the result.

    Args:
        image: A Pillow image.

    Returns:
        ``(H, W, 3) uint8`` RGB.

    Example:
        >>> to_rgb(Image.new("CMYK", (2, 1)))[0, 0].tolist()
        [255, 255, 255]
    """
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

    ``warnings.catch_warnings`` alone is not thread-safe: two overlapping threads would leave the filter active.
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
