"""Where faces are looked for in a video: in some frames everywhere, in those between about where they were found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

import numpy as np
from numpy.typing import NDArray

from dcdan.faces.extract import Face
from dcdan.recognition.video import Frame

Pictures = Sequence[NDArray[np.uint8]]
Boxes = NDArray[np.float32]

_EARLY = 1e-3
"""Seconds by which the times of frames may be rounded."""


class Search:
    """Finds the faces of frames that come in chunks; remembers the faces of the last frame.

    A face that is nowhere at the searches before and after is missed in between.
    """

    def __init__(
        self,
        extract: Callable[[Pictures], list[list[Face]]],
        near: Callable[[Pictures, Sequence[Boxes]], list[list[Face]]],
        pause: float,
    ) -> None:
        """Set up the search.

        Args:
            extract: pictures -> the faces of each.
            near: pictures and the places of each, (n, 4) boxes -> the faces that are about there.
            pause: seconds from one search of a whole frame to the next; 0 searches every frame.
        """
        self._extract, self._near, self._pause = extract, near, pause
        self._searched = -inf
        self._last = _boxes([])

    def faces(self, frames: Sequence[Frame]) -> list[list[Face]]:
        """Return the faces of each of the next frames."""
        whole = [index for index, frame in enumerate(frames) if self._due(frame.time)]
        found = dict(zip(whole, self._extract([frames[index].pixels for index in whole]), strict=True))
        between = [index for index in range(len(frames)) if index not in found]
        if between:
            places = self._places(between, {index: _boxes(faces) for index, faces in found.items()})
            found |= zip(between, self._near([frames[index].pixels for index in between], places), strict=True)
        ordered = [found[index] for index in range(len(frames))]
        self._last = _boxes(ordered[-1]) if ordered else self._last
        return ordered

    def _due(self, time: float) -> bool:
        # A camera's clock may be set back.
        due = not 0 <= time - self._searched < self._pause - _EARLY
        if due:
            self._searched = time
        return due

    def _places(self, between: Sequence[int], found: dict[int, Boxes]) -> list[Boxes]:
        """Return for each frame the boxes of the search before it and of the one after it, if that is among them."""
        places = []
        for index in between:
            before = max((other for other in found if other < index), default=None)
            after = min((other for other in found if other > index), default=None)
            earlier = self._last if before is None else found[before]
            places.append(earlier if after is None else np.concatenate([earlier, found[after]]))
        return places


def _boxes(faces: Sequence[Face]) -> Boxes:
    return np.array([face.box for face in faces], np.float32).reshape(-1, 4)
