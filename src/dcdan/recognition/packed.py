"""Predictions for the faces of a pack, which are cut and aligned already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from dcdan.faces.status import Status
from dcdan.recognition.naming import named
from dcdan.recognition.recogniser import Recogniser
from dcdan.recognition.results import FaceResult

if TYPE_CHECKING:
    from dcdan.data.pack import Pack

FACES_AT_A_TIME = 1024


def predict_pack(recogniser: Recogniser, pack: Pack) -> Iterator[FaceResult]:
    """Yield a result for every face of a pack, then one for every picture in which none was found."""
    for start in range(0, len(pack), FACES_AT_A_TIME):
        rows = range(start, min(start + FACES_AT_A_TIME, len(pack)))
        heads = [
            FaceResult(
                str(pack.paths[row]),
                int(pack.face_numbers[row]),
                Status(str(pack.statuses[row])),
                box=tuple(pack.boxes[row].tolist()),
                landmarks=tuple(map(tuple, pack.landmarks[row].tolist())),
            )
            for row in rows
        ]
        outputs = recogniser.recognise_faces(np.asarray(pack.faces[rows.start : rows.stop]))
        yield from named(heads, outputs, recogniser.info, recogniser.sets)
    for path, status in pack.failures():
        yield FaceResult(path, None, Status(status))
