"""Frames of video files and cameras, one after the other, upright and in RGB; memory does not grow with the length."""

from __future__ import annotations

import math
import os
import re
import time as clock
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from dcdan.core.errors import DataError, UsageError
from dcdan.images.decode import MAX_PIXELS

VIDEO_SUFFIXES: frozenset[str] = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm"})

_CAMERA = re.compile(r"camera:([0-9]{1,3})")
_HEAD = 16
# MP4 and MOV begin with one of these boxes.
_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})
_USUAL_RATE = 25.0
_SILENT = 0

# FFmpeg takes its log level from the environment when OpenCV first uses it; -8 is silence.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a video.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, turned as the video says.
        index: its place among all frames, from 0.
        time: seconds from the beginning of the video, or from the first picture of a camera.
    """

    pixels: NDArray[np.uint8]
    index: int
    time: float


def is_video(path: str | Path) -> bool:
    """Return whether a file's name has a video's suffix (any case) and is not hidden.

    >>> is_video("talk.MP4"), is_video("._talk.mp4"), is_video("talk.jpg")
    (True, False, False)
    """
    name = Path(path).name
    return not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES


def is_camera(text: str | Path) -> bool:
    """Return whether a text names a camera: ``camera:0`` is the first.

    >>> is_camera("camera:0"), is_camera("camera"), is_camera("camera:0.mp4")
    (True, False, False)
    """
    return _CAMERA.fullmatch(str(text)) is not None


def open_video(source: str | Path) -> Video:
    """Open a video file (MP4, AVI, MOV, MKV, WebM) or a camera (``camera:0``).

    Raises:
        DataError: when the file is missing, empty, no video, damaged from its beginning, without a frame or too large,
            or when there is no such camera.
    """
    name = str(source)
    camera = _CAMERA.fullmatch(name)
    if camera is None:
        _check(Path(source))
    with quiet_opencv():
        # Only FFmpeg reads files alike on all systems; by its full path a file cannot be taken for an address.
        capture = (
            cv2.VideoCapture(int(camera[1])) if camera else cv2.VideoCapture(str(Path(source).resolve()), _reader())
        )
        opened = capture.isOpened()
        pixels = capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        good = opened and pixels <= MAX_PIXELS and capture.grab()
        first = capture.retrieve()[1] if good else None
    if first is not None:
        return Video(name, capture, first, camera is not None)
    capture.release()
    if camera is not None:
        raise DataError(f"There is no {name} that gives pictures: connect it, or end the program that uses it.")
    if pixels > MAX_PIXELS:
        raise DataError(f"'{name}' has {pixels:.0f} pixels a frame, more than {MAX_PIXELS}: make it smaller first.")
    if opened:
        raise DataError(f"'{name}' has no frame that can be decoded: save it again as H.264 in MP4.")
    raise DataError(f"'{name}' is damaged or was cut off before its end was written: save or copy it again.")


class Video:
    """An open video; made by :func:`open_video`, to be closed or used in a ``with``.

    Attributes:
        name: the source as it was given.
        camera: whether it is a camera.
        rate: frames a second by the container; 25 where it does not say.
        expected: frames by the container, exact or from its length; 0 where it does not say, and for cameras.
        read: frames read so far, those passed over included.
        warning: a sentence when the video has broken off before its end; empty until then.
    """

    def __init__(self, name: str, capture: cv2.VideoCapture, first: NDArray[np.uint8], camera: bool) -> None:
        rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.name = name
        self.camera = camera
        self.rate = rate if math.isfinite(rate) and 0.1 <= rate <= 1000 else _USUAL_RATE
        self.expected = int(count) if not camera and math.isfinite(count) and count > 0 else 0
        self.read = 1
        self.warning = ""
        self._capture = capture
        self._first: NDArray[np.uint8] | None = first
        self._begun = clock.monotonic()
        self._time = self._stamp()

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Yield every n-th frame, the first included; the others are only passed over, not converted. Once.

        Raises:
            UsageError: when ``every`` is below 1.
        """
        if every < 1:
            raise UsageError(f"every must be at least 1, not {every}.")
        return self._frames(every)

    def close(self) -> None:
        """Let go of the file or camera."""
        self._first = None
        self._capture.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _frames(self, every: int) -> Iterator[Frame]:
        if self._first is None:
            return
        first, self._first = self._first, None
        yield Frame(_rgb(first), 0, self._time)
        del first
        while self._next():
            index = self.read - 1
            if index % every:
                continue
            with quiet_opencv():
                good, pixels = self._capture.retrieve()
            if good:
                yield Frame(_rgb(pixels), index, self._time)
        self.warning = self._fault()

    def _next(self) -> bool:
        with quiet_opencv():
            if not self._capture.grab():
                return False
        self.read += 1
        stamp = self._stamp()
        # Some containers keep no times, others repeat or turn back.
        self._time = stamp if stamp > self._time else self._time + 1 / self.rate
        return True

    def _stamp(self) -> float:
        if self.camera:
            return clock.monotonic() - self._begun
        milliseconds = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        return milliseconds / 1000 if math.isfinite(milliseconds) and milliseconds > 0 else 0.0

    def _fault(self) -> str:
        if not self._capture.isOpened():
            return ""  # closed by the caller
        if self.camera:
            return f"{self.name} stopped giving pictures after {self.read} frames."
        # The count may be an estimate from length and rate, which is wrong where frames are not evenly spaced.
        by_time = round(self._time * self.rate) + 1
        if self.expected - max(self.read, by_time) > max(2, self.expected // 200):
            return f"'{self.name}' breaks off: {self.read} of about {self.expected} frames could be read."
        return ""


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV from writing to stderr: what goes wrong is told as an error or a warning of ours."""
    log = getattr(cv2.utils, "logging", cv2)  # OpenCV 4 has no module for it
    level = log.setLogLevel(_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(level)


def _check(path: Path) -> None:
    try:
        if path.is_dir():
            raise DataError(f"'{path}' is a folder: give the name of a video file.")
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise DataError(f"'{path}' does not exist: give the name of a video file.") from None
    except OSError as error:
        raise DataError(f"'{path}' cannot be read ({error.strerror or error}): give another video.") from None
    if not head:
        raise DataError(f"'{path}' is empty: give a video with at least one frame.")
    # FFmpeg would also follow playlists and scripts, which can lead anywhere.
    if head[4:8] not in _BOXES and not (head[:4] == b"RIFF" and head[8:11] == b"AVI") and head[:4] != b"\x1aE\xdf\xa3":
        raise DataError(f"'{path}' is no MP4, MOV, AVI, MKV or WebM video: give one, or convert it.")


def _reader() -> int:
    return cv2.CAP_FFMPEG if cv2.CAP_FFMPEG in cv2.videoio_registry.getStreamBackends() else cv2.CAP_ANY


def _rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
