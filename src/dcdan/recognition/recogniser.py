"""Pictures in, expressions out: detection, alignment and recognition in batches of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from dcdan.errors import UsageError, unknown
from dcdan.faces.extract import ALIGNMENTS, Alignment, Extractor, Face
from dcdan.faces.status import Status
from dcdan.recognition.model_file import ModelInfo, read_model_info, verified
from dcdan.recognition.pictures import Picture, Source, read_picture
from dcdan.recognition.results import FaceResult
from dcdan.recognition.session import DECIDERS, REGIONS, Outputs, Session

# A chunk ends at whichever comes first, so that memory stays flat for thumbnails and for large photographs alike.
CHUNK_PICTURES = 32
CHUNK_PIXELS = 32_000_000


class Recogniser:
    """A model that is ready to work; made by :func:`load`.

    Attributes:
        info: the contents of ``model.json``.
        classes: names of the expressions in the order of the model's outputs.
    """

    def __init__(self, info: ModelInfo, session: Session, extractor: Extractor) -> None:
        self.info = info
        self.classes = info.classes
        self._session = session
        self._extractor = extractor

    @overload
    def recognise(self, image: Source) -> list[FaceResult]: ...
    @overload
    def recognise(self, image: list[Source]) -> list[list[FaceResult]]: ...
    def recognise(self, image: Source | list[Source]) -> list[FaceResult] | list[list[FaceResult]]:
        """Recognise the faces of one picture, or of a list of pictures in batches.

        Args:
            image: an array (H, W, 3) uint8 RGB or (H, W) uint8 grey, the path of a file, or a list of these.

        Returns:
            One result per face, the largest first; for a picture without a face one result whose status says why.
            For a list, one such list per picture.

        Raises:
            DataError: when an array is not uint8 or has another shape.
        """
        if isinstance(image, list):
            return list(self.stream(image))
        return next(self.stream([image]))

    def stream(self, sources: Iterable[Source | Picture]) -> Iterator[list[FaceResult]]:
        """Yield the results of each picture in order; sources are drawn, decoded and forgotten chunk by chunk."""
        chunk: list[Picture] = []
        pixels = 0
        for source in sources:
            picture = source if isinstance(source, Picture) else read_picture(source)
            chunk.append(picture)
            pixels += 0 if picture.pixels is None else picture.pixels.shape[0] * picture.pixels.shape[1]
            if len(chunk) >= CHUNK_PICTURES or pixels >= CHUNK_PIXELS:
                yield from self._answer(chunk)
                chunk, pixels = [], 0
        if chunk:
            yield from self._answer(chunk)

    def recognise_faces(self, faces: NDArray[np.uint8]) -> Outputs:
        """Recognise faces that are aligned already: (N, S, S, 3) uint8 RGB or (N, S, S) grey, S = ``info.face.size``.

        Raises:
            ModelError: when the faces are of another size or type.
        """
        return self._session.run(faces)

    def _answer(self, chunk: Sequence[Picture]) -> list[list[FaceResult]]:
        extracted = iter(self._extractor.extract([p.pixels for p in chunk if p.pixels is not None]))
        faces = [next(extracted) if picture.pixels is not None else [] for picture in chunk]
        flat = [
            (picture.path, index, face)
            for picture, own in zip(chunk, faces, strict=True)
            for index, face in enumerate(own)
        ]
        named = iter(self._name(flat))
        return [
            [next(named) for _ in own] or [FaceResult(picture.path, None, _without_face(picture))]
            for picture, own in zip(chunk, faces, strict=True)
        ]

    def _name(self, faces: Sequence[tuple[str, int, Face]]) -> list[FaceResult]:
        if not faces:
            return []
        outputs = self._session.run(np.stack([face.pixels for _, _, face in faces]))
        heads = [
            FaceResult(
                path,
                index,
                face.status,
                box=tuple(face.box.tolist()),
                landmarks=tuple(map(tuple, face.landmarks.tolist())),
            )
            for path, index, face in faces
        ]
        return named(heads, outputs, self.classes)


def named(faces: Sequence[FaceResult], outputs: Outputs, classes: Sequence[str]) -> list[FaceResult]:
    """Complete the results of N faces, which say where they come from, with what the model says of them."""
    table = zip(
        faces,
        outputs.expression.tolist(),
        outputs.confidence.tolist(),
        outputs.decided_by.tolist(),
        outputs.probabilities.tolist(),
        outputs.region_weights.tolist(),
        strict=True,
    )
    return [
        replace(
            face,
            expression=classes[expression],
            probability=confidence,
            decided_by=DECIDERS[decider],
            probabilities=dict(zip(classes, probabilities, strict=True)),
            region_weights=dict(zip(REGIONS, weights, strict=True)),
        )
        for face, expression, confidence, decider, probabilities, weights in table
    ]


def load(
    run: str | Path,
    *,
    threads: int | None = None,
    align: Alignment | None = None,
    cropped: bool = False,
    max_faces: int | None = None,
) -> Recogniser:
    """Load the recogniser of a run folder (``model.json`` and ``model.onnx``).

    Args:
        run: the folder that ``dcdan adapt --out`` has written.
        threads: threads to use; None for all cores.
        align: ``mtcnn`` finds and aligns faces, ``none`` takes each picture as one aligned face; None does what the
            model was trained with.
        cropped: whether each picture is a face crop, with one face that fills it.
        max_faces: recognise at most so many faces of a picture, the largest; None for all.

    Raises:
        ModelError: when the folder holds no model, or one that is damaged or of another schema.
        UsageError: when an option has an impossible value.
    """
    for name, value in (("threads", threads), ("max_faces", max_faces)):
        if value is not None and value < 1:
            raise UsageError(f"{name} must be at least 1, not {value}.")
    if align is not None and align not in ALIGNMENTS:
        raise unknown("alignment", align, ALIGNMENTS)
    folder = Path(run)
    info = read_model_info(folder)
    session = Session(verified(folder, info), info, threads)
    extractor = Extractor(
        info.face.size, align=align or info.face.align, cropped=cropped, max_faces=max_faces, threads=threads
    )
    return Recogniser(info, session, extractor)


def _without_face(picture: Picture) -> Status:
    return picture.status if picture.pixels is None else Status.NO_FACE
