"""A folder of pictures and videos with their faces drawn in, named as the inputs are, which are never touched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcdan.errors import OutputError
from dcdan.faces.find import is_picture_name
from dcdan.recognition.draw import draw
from dcdan.recognition.drawn import video_file, write_picture
from dcdan.recognition.inputs import Input
from dcdan.recognition.pictures import read_picture
from dcdan.recognition.results import FaceResult
from dcdan.recognition.steps import Step
from dcdan.recognition.tally import READ

# The charts of more faces than this cover one another, and the faces.
_MOST_CHARTS = 4


class DrawnFolder:
    """Draws the results of pieces of work; to be used in a ``with``, which ends a video that is being written."""

    def __init__(self, folder: Path, paths: Iterable[str], *, force: bool = False) -> None:
        """Check the folder; it is made with the first drawing.

        Args:
            folder: a new or empty folder, or with ``force`` one that has files, which may be replaced.
            paths: what the inputs are found in.
            force: see above.

        Raises:
            OutputError: when the folder is a file or has files, lies in an input folder, or holds an input.
        """
        self._folder = folder
        place = folder.resolve()
        for path in map(Path, paths):
            given = path.resolve()
            if path.exists() and (place == given or given in place.parents or place in given.parents):
                raise OutputError(f"'{folder}' has to do with the input '{path}': give --draw a folder of its own.")
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"'{folder}' is a file: give --draw a new folder.")
        if folder.is_dir() and not force and any(folder.iterdir()):
            raise OutputError(f"'{folder}' has files in it: give --draw a new folder, or --force to write into it.")
        self._film = ExitStack()
        self._add: Callable[[NDArray[np.uint8]], None] | None = None

    def __enter__(self) -> DrawnFolder:
        return self

    def __exit__(self, *error: object) -> None:
        self._film.__exit__(*error)  # type: ignore[arg-type]

    def add(self, step: Step) -> None:
        """Draw a piece of work: pictures are read once more, frames of a video come with it.

        Raises:
            OutputError: when a file cannot be written.
        """
        if step.frame is not None:
            if self._add is None:
                target = self._folder / _named(step.frame.video, (".mp4",))
                self._add = self._film.enter_context(video_file(target, step.frame.rate))
            self._add(annotated(step.frame.pixels, step.results[0]))
            return
        if self._add is not None:
            self._film.close()
            self._add = None
            return
        for each, results in zip(step.inputs, step.results, strict=False):
            self._draw(each, results)

    def _draw(self, each: Input, results: Sequence[FaceResult]) -> None:
        if results[0].status in READ:
            picture = read_picture(each.path)
            if picture.pixels is not None:
                write_picture(self._folder / _named(each), annotated(picture.pixels, results))


def annotated(picture: NDArray[np.uint8], results: Sequence[FaceResult]) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) uint8 RGB with its faces drawn in, with a chart beside each while there are few."""
    return draw(picture, results, charts=len(results) <= _MOST_CHARTS)


def _named(each: Input, suffixes: Sequence[str] = ()) -> Path:
    """Return the name of an input, with another suffix behind its own where that would promise another content."""
    name = each.name
    good = name.suffix.lower() in suffixes if suffixes else is_picture_name(name.name)
    return Path(name) if good else Path(name.with_name(name.name + (suffixes[0] if suffixes else ".jpg")))
