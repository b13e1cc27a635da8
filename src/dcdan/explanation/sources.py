"""What is explained: pictures as they are, and frames of videos at even distances."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dcdan.core.errors import DataError, UsageError
from dcdan.images.inputs import Input, InputKind, Picture, read_picture
from dcdan.images.status import Status
from dcdan.images.video_reader import VideoError, open_video

FRAMES = 12
"""Frames of a video that are explained when no distance is given."""

_UNKNOWN_LENGTH = 25


@dataclass(frozen=True, slots=True)
class Source:
    """A picture to explain, or a frame.

    Attributes:
        picture: decoded, or the status of what cannot be read.
        frame: index of the frame in its video; None for a picture.
        time: seconds from the beginning of the video; None for a picture.
    """

    picture: Picture
    frame: int | None = None
    time: float | None = None


def sources(inputs: Iterable[Input], every: int | None = None) -> Iterator[Source]:
    """Yield the pictures and frames of inputs, one in memory at a time.

    Args:
        inputs: pictures and videos.
        every: of videos, take every n-th frame; None takes about ``FRAMES`` of the whole video.

    Yields:
        The sources; an input that cannot be read has a status instead of pixels.

    Raises:
        UsageError: an input is a camera.
    """
    for each in inputs:
        if each.kind is InputKind.CAMERA:
            raise UsageError(f"'{each.path}' is a camera, which never ends: give pictures, folders or videos.")
        if each.kind is InputKind.VIDEO and each.status is None:
            yield from _frames(each.path, every)
        else:
            yield Source(read_source(each))


def read_source(each: Input) -> Picture:
    """Read a picture."""
    found = each.source
    return found if isinstance(found, Picture) else read_picture(found)


def _frames(path: str, every: int | None) -> Iterator[Source]:
    try:
        video = open_video(path)
    except DataError as error:
        status = error.status if isinstance(error, VideoError) else Status.UNREADABLE
        yield Source(Picture(path, None, status, str(error)))
        return
    with video:
        step = every or max(1, video.expected // FRAMES if video.expected else _UNKNOWN_LENGTH)
        for frame in video.frames(step):
            yield Source(Picture(path, frame.pixels), frame.index, frame.time)
        if video.warning:
            yield Source(Picture(path, None, Status.TRUNCATED, video.warning))
