"""Frames of videos and cameras through OpenCV, which is always installed."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time as clock
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# FFmpeg reads these when OpenCV first uses it: no log, and enough read attempts for files with many other packets
# before or between their video packets.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ.setdefault("OPENCV_FFMPEG_READ_ATTEMPTS", str(1 << 20))

import cv2
import numpy as np

from dcdan.images.decode import MAX_PIXELS
from dcdan.images.status import Status
from dcdan.images.video_source import Pixels, VideoError, square_size

_SILENT = 0
# After this many consecutive frames that cannot be grabbed, the file counts as ended.
_FAILURES = 200
# From this version on, OpenCV returns an empty image for each interlaced frame.
_REFUSES_INTERLACED = (4, 13)


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Prevent OpenCV from writing to stderr within the context; faults become errors or warnings of this package."""
    log = getattr(cv2.utils, "logging", cv2)  # OpenCV 4 has no module for it
    level = log.setLogLevel(_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(level)


class OpenCvFrames:
    """A :class:`FrameSource` that reads from a ``cv2.VideoCapture``."""

    def __init__(self, capture: cv2.VideoCapture, *, live: bool = False) -> None:
        """Wrap an open capture.

        Args:
            capture: The open capture.
            live: Whether it is a camera, whose frames are timed by their arrival.
        """
        with quiet_opencv():
            rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
            across, down = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
            width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
            turned = round(capture.get(cv2.CAP_PROP_ORIENTATION_META) or 0) % 180 == 90
        self.rate = rate if math.isfinite(rate) else 0.0
        self.expected = int(count) if not live and math.isfinite(count) and count > 0 else 0
        self.gaps: list[tuple[float, float]] = []
        self.read = 0
        self._aspect = across / down if not live and across > 0 and down > 0 else 1.0
        self._turned = turned
        self.size = self.coded_size = (int(width or 0), int(height or 0))
        self._capture = capture
        self._live = live
        self._begun = clock.monotonic()
        self._grabbed = -1.0
        self._time: float | None = None
        self._ahead: deque[tuple[float | None, Pixels]] = deque()
        self._current: Pixels | None = None

    @property
    def time(self) -> float | None:
        """Time of the current frame in seconds from the first one."""
        return self._time

    def grab(self) -> bool:
        """Advance to the next frame; sections that cannot be decoded are skipped and recorded in ``gaps``."""
        self._current = None
        if self._ahead:
            self._time, self._current = self._ahead.popleft()
            self.read += 1
            return True
        failures = 0
        while not self._grab_once():
            failures += 1
            if self._live or not self._may_have_more() or failures > _FAILURES:
                return False
        before, self._time = self._time, self._stamp()
        self.read += 1
        if failures:
            self.gaps.append((before or 0.0, self._time if self._time is not None else (before or 0.0)))
        return True

    def retrieve(self) -> Pixels | None:
        """Return the current frame, ``(H, W, 3) uint8`` RGB, or None if it is damaged."""
        pixels = self._current
        if pixels is None:
            with quiet_opencv():
                good, pixels = self._capture.retrieve()
            if not good or pixels is None or pixels.size == 0:
                return None
        self.coded_size = self.coded_size if all(self.coded_size) else (pixels.shape[1], pixels.shape[0])
        return rgb(self._squared(pixels))

    def look_ahead(self) -> list[Pixels]:
        """Decode the first two frames without consuming them, and return them as BGR."""
        while len(self._ahead) < 2 and self._grab_once():
            with quiet_opencv():
                good, pixels = self._capture.retrieve()
            if good and pixels is not None and pixels.size:
                self._ahead.append((self._stamp(), pixels.copy()))
        return [pixels for _, pixels in self._ahead]

    def close(self) -> None:
        """Release the capture."""
        self._ahead.clear()
        self._capture.release()

    def _grab_once(self) -> bool:
        with quiet_opencv():
            return bool(self._capture.grab())

    def _may_have_more(self) -> bool:
        return self.expected - self.read - len(self._ahead) > 0 and self._capture.isOpened()

    def _stamp(self) -> float | None:
        if self._live:
            return clock.monotonic() - self._begun
        milliseconds = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        return milliseconds / 1000 if math.isfinite(milliseconds) and milliseconds >= 0 else None

    def _squared(self, pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        if self._turned:
            height, width = square_size(height, width, self._aspect)
        else:
            width, height = square_size(width, height, self._aspect)
        self.size = width, height
        if (height, width) == pixels.shape[:2]:
            return pixels
        return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def rgb(pixels: Pixels) -> Pixels:
    """Convert a BGR image of OpenCV, ``(H, W, 3) uint8``, to RGB."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def open_file(path: Path, name: str, threads: int = 0) -> OpenCvFrames:
    """Open a video file.

    Args:
        path: The file.
        name: Its name in messages.
        threads: Decoder threads; 0 lets OpenCV decide.

    Returns:
        The frames.

    Raises:
        VideoError: The file cannot be opened, or this OpenCV cannot decode it.
    """
    options = [cv2.CAP_PROP_N_THREADS, threads] if threads else []
    with quiet_opencv():
        # Only FFmpeg gives the same frames on all systems. An absolute path cannot be mistaken for a URL.
        capture = cv2.VideoCapture(str(path.resolve()), _reader(), options)
        opened = capture.isOpened()
    if not opened:
        raise VideoError(f"'{name}' is damaged or was cut off before its end was written: save or copy it again.")
    frames = OpenCvFrames(capture)
    pixels = frames.coded_size[0] * frames.coded_size[1]
    if pixels > MAX_PIXELS:
        frames.close()
        raise VideoError(
            f"'{name}' has {pixels} pixels a frame, more than {MAX_PIXELS}: make it smaller first.", Status.TOO_LARGE
        )
    ahead = frames.look_ahead()
    if not ahead:
        codec = _codec(capture)
        frames.close()
        known = f" (codec {codec})" if codec else ""
        raise VideoError(
            f"'{name}' has no frame that OpenCV can decode{known}: "
            "pip install 'dcdan[video]', or save it as H.264 in MP4."
        )
    if _may_be_interlaced(ahead) and _is_interlaced(path):
        frames.close()
        raise VideoError(
            f"'{name}' is interlaced, which this OpenCV cannot read: pip install 'dcdan[video]'.", Status.UNSUPPORTED
        )
    return frames


def open_camera(number: int) -> OpenCvFrames | None:
    """Open a camera of this machine.

    Args:
        number: Index of the camera, from 0.

    Returns:
        The frames, or None if there is no such camera.
    """
    with quiet_opencv():
        capture = cv2.VideoCapture(number)
        if capture.isOpened():
            return OpenCvFrames(capture, live=True)
    capture.release()
    return None


def open_stream(url: str, timeout: float) -> OpenCvFrames | None:
    """Open a network stream.

    Args:
        url: Address such as ``rtsp://host/path``.
        timeout: Seconds to wait for an answer.

    Returns:
        The frames, or None if the stream does not answer in time.
    """
    milliseconds = max(1, round(1000 * timeout))
    options = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds, cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds]
    with quiet_opencv():
        capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, options)
        if capture.isOpened():
            return OpenCvFrames(capture, live=True)
    capture.release()
    return None


def _reader() -> int:
    return cv2.CAP_FFMPEG if cv2.CAP_FFMPEG in cv2.videoio_registry.getStreamBackends() else cv2.CAP_ANY


def _codec(capture: cv2.VideoCapture) -> str:
    code = int(capture.get(cv2.CAP_PROP_FOURCC) or 0)
    return "".join(
        each for each in code.to_bytes(4, "little", signed=code < 0).decode("ascii", "ignore") if each.isalnum()
    )


def _may_be_interlaced(frames: list[Pixels]) -> bool:
    """Detect the empty images that OpenCV returns for interlaced frames: uninitialised memory that never changes."""
    version = tuple(int(part) for part in cv2.__version__.split(".")[:2] if part.isdecimal())
    return version >= _REFUSES_INTERLACED and (len(frames) < 2 or np.array_equal(frames[0], frames[1]))


def _is_interlaced(path: Path) -> bool:
    """Search FFmpeg's log for interlaced frames, in another process because the log goes to stderr."""
    code = "import sys, cv2; c = cv2.VideoCapture(sys.argv[1], cv2.CAP_FFMPEG); c.grab(); c.retrieve()"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path.resolve())],
        env={**os.environ, "OPENCV_FFMPEG_LOGLEVEL": "16"},
        capture_output=True,
        check=False,
    )
    return b"interlaced" in done.stdout + done.stderr
