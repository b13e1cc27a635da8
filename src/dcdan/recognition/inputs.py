"""What a user names (pictures, folders, videos, cameras) as a stream of inputs, in an order that is always the same."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePath

from dcdan.faces.find import find_pictures, is_picture_name
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
    """

    path: str
    kind: Kind
    name: PurePath
    empty: bool = False

    @property
    def source(self) -> Path | Picture:
        """What a recogniser takes for it."""
        return Picture(self.path, None, Status.EMPTY) if self.empty else Path(self.path)

    def mark(self) -> bytes:
        """Return a few bytes that are others once the file is another: its path, size and time of change."""
        try:
            found = os.stat(self.path)  # noqa: PTH116  (a path can hold anything, Path() raises on some)
            state = f"{found.st_size} {found.st_mtime_ns}"
        except (OSError, ValueError):
            state = "missing"
        return self.path.encode("utf-8", "surrogatepass") + b"\0" + state.encode() + b"\0"


def find_inputs(paths: Sequence[str]) -> Iterator[Input]:
    """Yield the inputs that the paths lead to: folders are walked through, each in the order of ``find_pictures``.

    A folder without a picture or video yields one empty input, so that it has its row like everything named.
    """
    for path, name in zip(paths, _own_names(paths), strict=True):
        if is_camera(path):
            yield Input(path, Kind.CAMERA, name)
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
