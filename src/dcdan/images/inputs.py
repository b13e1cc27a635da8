"""What a user names, as a stream of inputs: pictures, folders, videos, cameras, URLs.

A picture that a user hands in, an array or a file, decoded or with the status that says why it is not.

What a user names (pictures, folders, videos, cameras) as a stream of inputs, in an order that is always the same.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from dcdan.core.errors import DataError, UsageError
from dcdan.images.decode import UndecodableImage, decode
from dcdan.images.discover import find_pictures, find_remote, is_picture_name, is_url, read_remote, remote_state
from dcdan.images.status import Status
from dcdan.images.video_reader import is_camera, is_video

PictureSource = NDArray[np.uint8] | Path | str


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture (H, W, 3) uint8 RGB, or the status that says why there is none (then ``pixels`` is None)."""

    path: str
    pixels: NDArray[np.uint8] | None
    status: Status = Status.OK


def read_picture(source: PictureSource) -> Picture:
    """Decode a file or what is at a URL, or check an array: (H, W, 3) uint8 RGB or (H, W) uint8 grey.

    Raises:
        DataError: when an array is of another type or shape, or a URL cannot be reached; a file that cannot be read
            gives a status instead.
    """
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim not in (2, 3) or (source.ndim == 3 and source.shape[2] != 3):
            raise DataError(
                f"A picture must be a uint8 array (height, width, 3) in RGB, not {source.dtype} {source.shape}."
            )
        if 0 in source.shape:
            return Picture("", None, Status.EMPTY)
        return Picture("", source if source.ndim == 3 else np.repeat(source[..., None], 3, axis=2))
    try:
        remote = isinstance(source, str) and is_url(source)
        return Picture(str(source), decode(read_remote(str(source)) if remote else Path(source)))
    except UndecodableImage as error:
        return Picture(str(source), None, error.status)


class InputKind(StrEnum):
    """What an input is taken for, by its name alone."""

    PICTURE = "picture"
    VIDEO = "video"
    CAMERA = "camera"


@dataclass(frozen=True, slots=True)
class Input:
    """One picture, video or camera; nothing of it has been opened yet.

    Attributes:
        path: as it is named in the results.
        kind: picture, video or camera.
        name: where something made from it goes in an output folder; no two inputs share one.
        empty: it stands for a folder in which there is nothing to recognise.
        state: of a file at a URL, a text that changes with it.
    """

    path: str
    kind: InputKind
    name: PurePath
    empty: bool = False
    state: str = ""

    @property
    def source(self) -> Path | str | Picture:
        """What a recogniser takes for it."""
        if self.empty:
            return Picture(self.path, None, Status.EMPTY)
        return self.path if is_url(self.path) else Path(self.path)

    def mark(self) -> bytes:
        """Return a few bytes that are others once the file is another: its path, size and time of change."""
        try:
            found = None if self.state else os.stat(self.path)  # noqa: PTH116  (Path() raises on some paths)
            state = self.state if found is None else f"{found.st_size} {found.st_mtime_ns}"
        except (OSError, ValueError):
            state = "missing"
        return self.path.encode("utf-8", "surrogatepass") + b"\0" + state.encode() + b"\0"


def find_inputs(paths: Sequence[str]) -> Iterator[Input]:
    """Yield the inputs that the paths lead to: folders are walked through, each in the order of ``find_pictures``.

    A folder without a picture or video yields one empty input, so that it has its row like everything named. At a URL
    there are pictures only.

    Raises:
        UsageError: a video at a URL.
    """
    for path, name in zip(paths, _own_names(paths), strict=True):
        if is_camera(path):
            yield Input(path, InputKind.CAMERA, name)
        elif is_url(path):
            yield from _at_url(path, name)
        elif not os.path.isdir(path):  # noqa: PTH112
            yield Input(path, _kind(path), name)
        else:
            yield from _in_folder(Path(path), name if len(paths) > 1 else PurePath())


def _in_folder(folder: Path, name: PurePath) -> Iterator[Input]:
    found = False
    for file in find_pictures(folder, wanted=_is_wanted):
        found = True
        yield Input(str(file), _kind(file.name), name / file.relative_to(folder))
    if not found:
        yield Input(str(folder), InputKind.PICTURE, name, empty=True)


def _at_url(url: str, name: PurePath) -> Iterator[Input]:
    if is_video(url):
        raise UsageError(f"'{url}' is a video: copy it to this machine, only pictures are read from a URL.")
    state = remote_state(url)
    if state is not None:
        yield Input(url, InputKind.PICTURE, name, state=state)
        return
    found = False
    for way, state in find_remote(url):
        found = True
        yield Input(f"{url.rstrip('/')}/{way}", InputKind.PICTURE, name / way, state=state)
    if not found:
        yield Input(url, InputKind.PICTURE, name, empty=True, state="empty")


def _is_wanted(name: str) -> bool:
    return is_picture_name(name) or is_video(name)


def _kind(name: str) -> InputKind:
    return InputKind.VIDEO if is_video(name) else InputKind.PICTURE


def _own_names(paths: Sequence[str]) -> list[PurePath]:
    """Return the last part of each path, with a number before its suffix where it came before: a.jpg, a-2.jpg."""
    used: set[str] = set()
    counts: Counter[str] = Counter()
    names = []
    for path in paths:
        last = os.path.basename(os.path.abspath(path))  # noqa: PTH100, PTH119
        given = PurePath("camera-" + path.partition(":")[2] if is_camera(path) else last or "root")
        name = str(given)
        while name.lower() in used:
            counts[str(given)] += 1
            name = f"{given.stem}-{counts[str(given)] + 1}{given.suffix}"
        used.add(name.lower())
        names.append(PurePath(name))
    return names
