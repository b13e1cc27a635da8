"""What a user names (pictures, folders, videos, cameras) as a stream of inputs, in an order that is always the same."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePath

from dcdan.errors import UsageError
from dcdan.faces.find import find_pictures, is_picture_name
from dcdan.faces.remote import find_remote, is_url, remote_state
from dcdan.faces.status import Status
from dcdan.recognition.pictures import Picture
from dcdan.recognition.video import is_camera, is_video


class Kind(StrEnum):
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
    kind: Kind
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
            yield Input(path, Kind.CAMERA, name)
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
        yield Input(str(folder), Kind.PICTURE, name, empty=True)


def _at_url(url: str, name: PurePath) -> Iterator[Input]:
    if is_video(url):
        raise UsageError(f"'{url}' is a video: copy it to this machine, only pictures are read from a URL.")
    state = remote_state(url)
    if state is not None:
        yield Input(url, Kind.PICTURE, name, state=state)
        return
    found = False
    for way, state in find_remote(url):
        found = True
        yield Input(f"{url.rstrip('/')}/{way}", Kind.PICTURE, name / way, state=state)
    if not found:
        yield Input(url, Kind.PICTURE, name, empty=True, state="empty")


def _is_wanted(name: str) -> bool:
    return is_picture_name(name) or is_video(name)


def _kind(name: str) -> Kind:
    return Kind.VIDEO if is_video(name) else Kind.PICTURE


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
