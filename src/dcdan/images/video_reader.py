"""Frames of video files, animations and cameras, upright and in RGB, in constant memory."""

from __future__ import annotations

import re
import time as clock
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dcdan.core.errors import UsageError
from dcdan.core.limits import open_regular
from dcdan.core.offline import FORBIDDEN, is_offline
from dcdan.images import video_opencv, video_pyav
from dcdan.images.archive import split_member, unpacked
from dcdan.images.containers import is_sound_only, missing_bytes
from dcdan.images.media import HEAD, VIDEO_SUFFIXES, InputKind, format_of_head, suffix_of
from dcdan.images.pages import is_animation
from dcdan.images.remote import is_url, local_copy
from dcdan.images.status import Status, UndecodableImage
from dcdan.images.video_opencv import quiet_opencv
from dcdan.images.video_pillow import PillowFrames
from dcdan.images.video_source import FrameSource, VideoError

__all__ = [
    "VIDEO_SUFFIXES",
    "Frame",
    "Video",
    "VideoError",
    "is_camera",
    "is_video",
    "open_video",
    "quiet_opencv",
]

TIMEOUT = 10.0
"""Default time in seconds within which a stream must answer."""

_CAMERA = re.compile(r"camera:([0-9]{1,3})")
_STREAM = re.compile(r"(rtsps?|rtmps?|srt|udp|rtp)://.+", re.IGNORECASE | re.DOTALL)
_USUAL_RATE = 25.0
_MOST_GAPS = 5


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a video.

    Attributes:
        pixels: ``(H, W, 3) uint8`` RGB as displayed: rotated, deinterlaced, in square pixels.
        index: Index among all frames, from 0.
        time: Seconds from the first frame of the video or camera.
    """

    pixels: NDArray[np.uint8]
    index: int
    time: float


def is_video(path: str | Path) -> bool:
    """Return whether a file name has the suffix of a video format (in any case) and is not hidden.

    Example:
        >>> is_video("talk.MP4"), is_video("._talk.mp4"), is_video("talk.jpg")
        (True, False, False)
    """
    name = Path(path).name
    return not name.startswith(".") and suffix_of(name) in VIDEO_SUFFIXES


def is_camera(text: str | Path) -> bool:
    """Return whether a text names a camera: ``camera:0`` is the first local one, ``rtsp://...`` a network stream.

    Example:
        >>> is_camera("camera:0"), is_camera("rtsp://host/stream"), is_camera("camera:0.mp4")
        (True, True, False)
    """
    return _CAMERA.fullmatch(str(text)) is not None or _STREAM.fullmatch(str(text)) is not None


def open_video(source: str | Path, *, timeout: float = TIMEOUT, threads: int = 0) -> Video:
    """Open a video file, an animated image, or a camera.

    Files are read with PyAV if it is installed (``dcdan[video]``), otherwise with OpenCV.

    Args:
        source: A path, a path in a zip file, a URL, ``camera:0``, or the address of a stream (``rtsp://...``).
        timeout: Seconds to wait for a stream.
        threads: Decoder threads; 0 lets the library decide.

    Returns:
        The open video; use it in a ``with`` block, or close it.

    Raises:
        VideoError: The file is missing, empty, not a video, damaged at its beginning, without a frame, too large, or of
            a format that cannot be decoded here; there is no such camera; or a stream does not answer in time.
        UsageError: The source is a stream and network access is forbidden.
    """
    name = str(source)
    if is_camera(name):
        return _open_camera(name, timeout)
    resources = ExitStack()
    try:
        path = _local(name, resources)
        frames = _open_file(path, name, threads)
        resources.callback(frames.close)
        return Video(name, frames, path=path, on_close=resources.close)
    except BaseException:
        resources.close()
        raise


class Video:
    """An open video from :func:`open_video`; close it or use it in a ``with`` block.

    Attributes:
        name: The source as it was given.
        camera: Whether it is a camera or stream.
        rate: Frames per second according to the container; 25 if unknown.
        expected: Number of frames according to the container, exact or estimated; 0 if unknown, and for cameras.
        size: (width, height) of a frame as displayed, in square pixels; boxes refer to it.
        coded_size: (width, height) of a frame as stored.
        read: Number of frames read so far, including skipped ones.
        gaps: (start, end) in seconds of the sections that could not be decoded and were skipped.
        warning: A sentence if sections are damaged or the end is missing; empty until the last frame was read.
    """

    def __init__(
        self,
        name: str,
        frames: FrameSource,
        *,
        camera: bool = False,
        path: Path | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.camera = camera
        self.rate = frames.rate if 0.1 <= frames.rate <= 1000 else _USUAL_RATE
        self.expected = 0 if camera else frames.expected
        self.read = 0
        self.warning = ""
        self._frames_of = frames
        self._path = path
        self._on_close = on_close or frames.close
        self._begun = clock.monotonic()
        self._time = 0.0
        self._closed = False
        self._first = self._first_frame()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as displayed."""
        return self._frames_of.size

    @property
    def coded_size(self) -> tuple[int, int]:
        """Width and height as stored."""
        return self._frames_of.coded_size

    @property
    def gaps(self) -> list[tuple[float, float]]:
        """Sections that were skipped, in seconds."""
        return list(self._frames_of.gaps)

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Yield every n-th frame, beginning with the first; the others are not converted to RGB. Can be called once.

        Args:
            every: n, at least 1.

        Yields:
            The frames.

        Raises:
            UsageError: ``every`` is below 1.
        """
        if every < 1:
            raise UsageError(f"every must be at least 1, not {every}.")
        return self._frames(every)

    def close(self) -> None:
        """Close the file or camera."""
        self._first = None
        if not self._closed:
            self._closed = True
            self._on_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _first_frame(self) -> NDArray[np.uint8] | None:
        """Advance to the first frame that can be decoded."""
        while self._frames_of.grab():
            self.read += 1
            pixels = self._frames_of.retrieve()
            if pixels is not None:
                self._time = self._frames_of.time or 0.0
                return pixels
        raise VideoError(f"'{self.name}' has no frame that can be decoded: save it again as H.264 in MP4.")

    def _frames(self, every: int) -> Iterator[Frame]:
        if self._first is None:
            return
        first, self._first = self._first, None
        yield Frame(first, self.read - 1, self._time)
        del first
        while not self._closed and self._next():
            index = self.read - 1
            if index % every:
                continue
            pixels = self._frames_of.retrieve()
            if pixels is not None:
                yield Frame(pixels, index, self._time)
        self.warning = "" if self._closed else self._fault()

    def _next(self) -> bool:
        if not self._frames_of.grab():
            return False
        self.read += 1
        stamp = self._frames_of.time
        # Some containers have no time stamps, in others they repeat or decrease.
        self._time = stamp if stamp is not None and stamp > self._time else self._time + 1 / self.rate
        return True

    def _fault(self) -> str:
        if self.camera:
            return f"{self.name} stopped giving pictures after {self.read} frames."
        faults = []
        if self._path is not None and missing_bytes(self._path):
            about = f" of about {self.expected}" if self.expected > self.read else ""
            faults.append(f"'{self.name}' breaks off: {self.read}{about} frames could be read.")
        elif self.gaps:
            stretches = ", ".join(f"{start:.1f} to {end:.1f} s" for start, end in self.gaps[:_MOST_GAPS])
            more = f" and {len(self.gaps) - _MOST_GAPS} more" if len(self.gaps) > _MOST_GAPS else ""
            faults.append(f"'{self.name}' is damaged at {stretches}{more}: those frames are left out.")
        return " ".join(faults)


def _open_camera(name: str, timeout: float) -> Video:
    number = _CAMERA.fullmatch(name)
    if number is not None:
        frames = video_opencv.open_camera(int(number[1]))
    else:
        if is_offline():
            raise UsageError(f"'{name}' needs the network, and {FORBIDDEN}.")
        begun = clock.monotonic()
        if video_pyav.is_installed():
            return _live(video_pyav.open_stream(name, name, timeout), name, begun, timeout)
        return _live(video_opencv.open_stream(name, timeout), name, begun, timeout)
    if frames is not None:
        try:
            return Video(name, frames, camera=True)
        except VideoError:
            frames.close()
    raise VideoError(
        f"There is no {name} that gives pictures: connect it, or end the program that uses it.", Status.MISSING
    )


def _live(frames: FrameSource | None, name: str, begun: float, timeout: float) -> Video:
    if frames is not None:
        try:
            return Video(name, frames, camera=True)
        except VideoError:
            frames.close()
    if clock.monotonic() - begun >= 0.9 * timeout:
        raise VideoError(
            f"'{name}' did not answer within {timeout:g} s: check the address, or allow more time.", Status.TIMEOUT
        )
    raise VideoError(f"'{name}' gives no pictures: check the address, the name and the password.", Status.MISSING)


def _open_file(path: Path, name: str, threads: int) -> FrameSource:
    head = _checked_head(path, name)
    if is_animation(path, head):
        return PillowFrames(path, name)
    found = format_of_head(head)
    # FFmpeg would also open playlists and scripts, which can refer to any file or address.
    if found is None or found.kind is not InputKind.VIDEO:
        raise VideoError(
            f"'{name}' is no video of a known kind (MP4, MOV, AVI, MKV, WebM, MPEG, ...): give one, or convert it.",
            Status.NOT_AN_IMAGE,
        )
    if video_pyav.is_installed():
        return video_pyav.open_file(str(path.resolve()), name, threads)
    if is_sound_only(path):
        raise VideoError(f"'{name}' has sound and no moving picture: give a video.", Status.UNSUPPORTED)
    return video_opencv.open_file(path, name, threads)


def _local(name: str, resources: ExitStack) -> Path:
    """Return a local file; a member of a zip file or a URL is copied to a temporary file."""
    if is_url(name):
        return resources.enter_context(local_copy(name))
    member = None if Path(name).exists() else split_member(name)
    if member is None:
        return Path(name)
    try:
        return resources.enter_context(unpacked(*member))
    except UndecodableImage as error:
        raise VideoError(f"'{name}' cannot be read: {error.reason}.", error.status) from None


def _checked_head(path: Path, name: str) -> bytes:
    try:
        if path.is_dir():
            raise VideoError(f"'{name}' is a folder: give the name of a video file.", Status.NOT_AN_IMAGE)
        with open_regular(path) as file:
            head = file.read(HEAD)
    except (FileNotFoundError, NotADirectoryError):
        raise VideoError(f"'{name}' does not exist: give the name of a video file.", Status.MISSING) from None
    except ValueError as error:
        if path.name and "\0" not in str(path):
            raise VideoError(f"'{name}' cannot be read: {error}.", Status.NOT_AN_IMAGE) from None
        raise VideoError(f"'{name}' does not exist: give the name of a video file.", Status.MISSING) from None
    except OSError as error:
        raise VideoError(f"'{name}' cannot be read ({error.strerror or error}): give another video.") from None
    if not head:
        raise VideoError(f"'{name}' is empty: give a video with at least one frame.", Status.EMPTY)
    return head
