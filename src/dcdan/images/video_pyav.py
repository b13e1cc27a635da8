"""Frames of videos through PyAV (`dcdan[video]`): more codecs, and the time stamps and geometry of the stream."""

from __future__ import annotations

import re
import struct
import time as clock
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from dcdan.images.decode import MAX_PIXELS
from dcdan.images.status import Status
from dcdan.images.video_source import Pixels, VideoError, displayed, is_transposed, square_size

# Number of consecutive errors after which a file counts as ended.
_MOST_ERRORS = 10_000
# Seconds by which the video may end before its declared duration because of rounding.
_SHORT = 0.5
_DURATION = re.compile(r"([0-9]+):([0-9]{2}):([0-9]{2}(?:\.[0-9]*)?)")


@cache
def is_installed() -> bool:
    """Return whether PyAV is installed."""
    return find_spec("av") is not None


class PyAvFrames:
    """A :class:`FrameSource` that reads from an open PyAV container."""

    def __init__(self, container: Any, stream: Any, *, live: bool = False) -> None:
        """Read a video stream of a container.

        Args:
            container: The open PyAV container.
            stream: One of its video streams.
            live: Whether the stream never ends.
        """
        context = stream.codec_context
        rate = stream.average_rate or stream.guessed_rate
        self.rate = float(rate) if rate else 0.0
        self.expected = 0 if live else int(stream.frames or self._length(container, stream) * self.rate)
        self.gaps: list[tuple[float, float]] = []
        self.coded_size = (int(context.width), int(context.height))
        self._aspect: Fraction | None = stream.sample_aspect_ratio or context.sample_aspect_ratio
        self._matrix: tuple[int, ...] | None = None
        self._container, self._stream, self._live = container, stream, live
        self._begun = clock.monotonic()
        self._start: float | None = None
        self._frame: Any = None
        self._time: float | None = None
        self._broken_from: float | None = None
        self._usual = 1 / self.rate if self.rate else 0.0
        self._shown_until = 0.0
        self._frames = self._deinterlaced(self._decoded())

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as displayed, in square pixels."""
        width, height = square_size(*self.coded_size, self._aspect)
        return (height, width) if is_transposed(self._matrix) else (width, height)

    @property
    def time(self) -> float | None:
        """Time of the current frame in seconds from the first one."""
        return self._time

    def grab(self) -> bool:
        """Advance to the next frame; sections that cannot be decoded are skipped and recorded in ``gaps``."""
        self._frame = next(self._frames, None)
        if self._frame is None:
            self._end_of_frames()
            return False
        self._time = self._time_of(self._frame)
        self._shown_until = (self._time or 0.0) + self._duration_of(self._frame)
        return True

    def retrieve(self) -> Pixels | None:
        """Return the current frame, ``(H, W, 3) uint8`` RGB, upright and in square pixels."""
        if self._frame is None:
            return None
        width, height = square_size(self._frame.width, self._frame.height, self._aspect)
        converted = self._frame.reformat(width=width, height=height, format="rgb24")
        return displayed(np.asarray(converted.to_ndarray(), np.uint8), self._matrix)

    def close(self) -> None:
        """Close the container."""
        self._frames = iter(())
        self._frame = None
        self._container.close()

    def _decoded(self) -> Iterator[Any]:
        """Yield the frames that can be decoded and record the sections that cannot."""
        from av.error import EOFError as EndOfFile
        from av.error import FFmpegError

        packets = self._container.demux(self._stream)
        errors = 0
        while errors < _MOST_ERRORS:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = packet.decode()
            except EndOfFile:
                return
            except FFmpegError:
                errors += 1
                self._note_broken()
                continue
            if packet.is_corrupt:
                self._note_broken()
            for frame in frames:
                if frame.is_corrupt:
                    self._note_broken()
                    continue
                errors = 0
                self._keep_matrix(frame)
                self._end_broken(frame)
                yield frame

    def _deinterlaced(self, frames: Iterator[Any]) -> Iterator[Any]:
        """Yield the frames; from the first interlaced one on, they pass through a deinterlacing filter (BWDIF)."""
        graph = None
        for frame in frames:
            if graph is None and frame.interlaced_frame:
                graph = self._graph(frame)
            if graph is None:
                yield frame
            else:
                graph.push(frame)
                yield from _pulled(graph)
        if graph is not None:
            graph.push(None)
            yield from _pulled(graph)

    def _graph(self, frame: Any) -> Any:
        from av.filter import Graph

        graph = Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1000)
        )
        deinterlacer = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
        sink = graph.add("buffersink")
        source.link_to(deinterlacer)
        deinterlacer.link_to(sink)
        graph.configure()
        return graph

    def _keep_matrix(self, frame: Any) -> None:
        if self._matrix is None:
            for data in frame.side_data:
                if data.type.name == "DISPLAYMATRIX":
                    self._matrix = struct.unpack("=9i", bytes(data)[:36])

    def _time_of(self, frame: Any) -> float | None:
        if self._live:
            return clock.monotonic() - self._begun
        if frame.time is None:
            return None
        if self._start is None:
            self._start = self._stream_start(frame)
        return float(frame.time) - self._start

    def _stream_start(self, frame: Any) -> float:
        if self._stream.start_time is not None and self._stream.time_base is not None:
            return min(float(self._stream.start_time * self._stream.time_base), float(frame.time))
        return float(frame.time)

    def _end_of_frames(self) -> None:
        """Record an undecodable section at the end, or one that the container declares but does not contain."""
        length = 0.0 if self._live else self._length(self._container, self._stream)
        if self._broken_from is not None:
            self.gaps.append((self._broken_from, max(self._broken_from, length)))
            self._broken_from = None
        elif length - self._shown_until > max(_SHORT, 3 * self._usual):
            self.gaps.append((self._shown_until, length))
        self._shown_until = length

    def _duration_of(self, frame: Any) -> float:
        ticks = getattr(frame, "duration", 0) or 0
        return max(self._usual, float(ticks * frame.time_base) if frame.time_base else 0.0)

    def _note_broken(self) -> None:
        if self._broken_from is None:
            self._broken_from = self._time or 0.0

    def _end_broken(self, frame: Any) -> None:
        if self._broken_from is not None:
            self.gaps.append((self._broken_from, max(self._broken_from, self._time_of(frame) or self._broken_from)))
            self._broken_from = None

    @staticmethod
    def _length(container: Any, stream: Any) -> float:
        """Return the duration of the video stream in seconds; 0 if only the duration of the whole file is known."""
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        found = _DURATION.match(stream.metadata.get("DURATION", ""))
        if found is not None:
            return 3600 * int(found[1]) + 60 * int(found[2]) + float(found[3])
        return 0.0 if len(container.streams) > 1 else float(container.duration or 0) / 1_000_000


def _pulled(graph: Any) -> Iterator[Any]:
    from av.error import BlockingIOError as NothingYet
    from av.error import EOFError as EndOfFile

    while True:
        try:
            yield graph.pull()
        except (NothingYet, EndOfFile):
            return


def open_file(path: str, name: str, threads: int = 0) -> PyAvFrames:
    """Open a video file.

    Args:
        path: The file.
        name: Its name in messages.
        threads: Decoder threads; 0 lets PyAV decide.

    Returns:
        The frames.

    Raises:
        VideoError: The file cannot be opened, has no video stream, or its frames are too large.
    """
    import av

    try:
        container = av.open(path, options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except Exception:  # FFmpeg's errors, and what PyAV makes of damaged headers
        raise VideoError(
            f"'{name}' is damaged or was cut off before its end was written: save or copy it again."
        ) from None
    return _chosen(container, name, threads)


def open_stream(url: str, name: str, timeout: float) -> PyAvFrames | None:
    """Open a network stream.

    Args:
        url: Address such as ``rtsp://host/path``.
        name: Its name in messages.
        timeout: Seconds to wait for an answer.

    Returns:
        The frames, or None if the stream does not answer in time.
    """
    import av

    options = {"rtsp_transport": "tcp"} if url.lower().startswith("rtsp") else {}
    try:
        container = av.open(url, options=options, timeout=timeout)
    except Exception:
        return None
    return _chosen(container, name, 0, live=True)


def _chosen(container: Any, name: str, threads: int, *, live: bool = False) -> PyAvFrames:
    """Select the largest video stream; a cover image that is attached to a piece of music is not a video."""
    from av.stream import Disposition

    moving = [each for each in container.streams.video if not each.disposition & Disposition.attached_pic]
    if not moving:
        sound = bool(container.streams.audio)
        container.close()
        what = "has sound and no moving picture" if sound else "holds no video"
        raise VideoError(f"'{name}' {what}: give a video.", Status.UNSUPPORTED)
    known = [each for each in moving if each.codec_context is not None]
    if not known:
        container.close()
        raise VideoError(f"'{name}' uses a codec that PyAV cannot decode: save it as H.264 in MP4.", Status.UNSUPPORTED)
    stream = max(known, key=lambda each: (each.codec_context.width or 0) * (each.codec_context.height or 0))
    context = stream.codec_context
    pixels = (context.width or 0) * (context.height or 0)
    if pixels > MAX_PIXELS:
        container.close()
        raise VideoError(
            f"'{name}' has {pixels} pixels a frame, more than {MAX_PIXELS}: make it smaller first.", Status.TOO_LARGE
        )
    stream.thread_type = "AUTO"
    if threads:
        context.thread_count = threads
    return PyAvFrames(container, stream, live=live)
