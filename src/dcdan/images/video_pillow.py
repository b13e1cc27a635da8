"""Frames of animated images (GIF, WebP, APNG, AVIF) through Pillow."""

from __future__ import annotations

from pathlib import Path

from dcdan.images.decode import check_pixels, open_image, to_rgb
from dcdan.images.status import UndecodableImage
from dcdan.images.video_source import Pixels, VideoError

# Browsers show frames without a duration, or with a very short one, for a tenth of a second.
_LEAST, _USUAL = 0.011, 0.1


class PillowFrames:
    """A :class:`FrameSource` of an animation; each frame is shown for its declared duration."""

    def __init__(self, path: Path, name: str) -> None:
        """Open an animation.

        Args:
            path: The file.
            name: Its name in messages.

        Raises:
            VideoError: The file is not an image, is damaged, or is too large.
        """
        self.gaps: list[tuple[float, float]] = []
        self._time, self._next_time, self._place = 0.0, 0.0, -1
        file = path.open("rb")
        try:
            self._image, _ = open_image(file)
            check_pixels(self._image)
        except UndecodableImage as error:
            file.close()
            raise VideoError(f"'{name}' cannot be read: {error.reason}.", error.status) from None
        except Exception as error:  # a damaged file can make a decoder raise anything
            file.close()
            raise VideoError(f"'{name}' is damaged ({error}): save or copy it again.") from None
        self._file = file
        self.size = self.coded_size = self._image.size
        self.expected = 0
        self.rate = 1 / self._duration()

    @property
    def time(self) -> float | None:
        """Time of the current frame in seconds from the first one."""
        return self._time

    def grab(self) -> bool:
        """Advance to the next frame; a damaged frame ends the animation."""
        try:
            self._image.seek(self._place + 1)
            self._image.load()
        except EOFError:
            return False
        except Exception:
            self.gaps.append((self._next_time, self._next_time))
            return False
        self._place += 1
        self._time, self._next_time = self._next_time, self._next_time + self._duration()
        return True

    def retrieve(self) -> Pixels | None:
        """Return the current frame, ``(H, W, 3) uint8`` RGB."""
        return to_rgb(self._image)

    def close(self) -> None:
        """Close the file."""
        self._image.close()
        self._file.close()

    def _duration(self) -> float:
        seconds = float(self._image.info.get("duration") or 0) / 1000
        return seconds if seconds >= _LEAST else _USUAL
