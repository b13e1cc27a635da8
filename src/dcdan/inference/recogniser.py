"""Pictures in, expressions out: detection, alignment and recognition in batches of bounded size.

Predictions for the faces of a pack, which are cut and aligned already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
from numpy.typing import NDArray

from dcdan.core.errors import ModelError, UsageError, unknown
from dcdan.faces.extract import ALIGNMENTS, Alignment, Extractor, Face, large_enough
from dcdan.images.inputs import Picture, PictureSource, read_picture
from dcdan.images.status import Status
from dcdan.images.video_reader import Frame, Video, open_video
from dcdan.inference.answers import named, quality_of, set_threshold
from dcdan.inference.bundled import model_folder
from dcdan.inference.model_card import GRAPH_NAME, GRAPHS, ModelInfo, Precision, read_model_info, verified
from dcdan.inference.session import Session, SessionOutputs
from dcdan.inference.table import FaceResult
from dcdan.inference.video import FramePipeline, Watch, WatchOptions, closing_after, watched

if TYPE_CHECKING:
    from dcdan.packs.pack import Pack


# A chunk ends at whichever comes first, so that memory stays flat for thumbnails and for large photographs alike.
CHUNK_PICTURES = 32
CHUNK_PIXELS = 32_000_000


class Recogniser:
    """A model that is ready to work; made by :func:`load`.

    Several threads may use one recogniser at once: it keeps nothing between two calls. It can be pickled.

    Attributes:
        info: the contents of ``model.json``.
        classes: names of the expressions in the order of the model's outputs.
        min_side: faces whose box has a shorter side below so many pixels are left out.
        sets: level of the conformal sets in ``candidates``; None for none.
    """

    def __init__(
        self,
        info: ModelInfo,
        session: Session,
        extractor: Extractor,
        min_side: float = 0.0,
        sets: float | None = None,
    ) -> None:
        self.info = info
        self.min_side = min_side
        self.sets = sets
        self.classes = info.classes
        self._session = session
        self._extractor = extractor

    @overload
    def recognise(self, image: PictureSource) -> list[FaceResult]: ...
    @overload
    def recognise(self, image: list[PictureSource]) -> list[list[FaceResult]]: ...
    def recognise(self, image: PictureSource | list[PictureSource]) -> list[FaceResult] | list[list[FaceResult]]:
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

    def stream(self, sources: Iterable[PictureSource | Picture]) -> Iterator[list[FaceResult]]:
        """Yield the results of each picture in order; sources are drawn, decoded and forgotten chunk by chunk.

        Which other faces a face is recognised with can change the last digits of its probabilities: the same sources
        give the same digits.
        """
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

    @overload
    def watch(
        self,
        video: str | Path | Video,
        *,
        every: int = 1,
        smooth: float = 0.5,
        max_faces: int | None = None,
        min_side: float | None = None,
        search: float = 0.0,
        with_frames: Literal[False] = False,
    ) -> Watch[list[FaceResult]]: ...
    @overload
    def watch(
        self,
        video: str | Path | Video,
        *,
        every: int = 1,
        smooth: float = 0.5,
        max_faces: int | None = None,
        min_side: float | None = None,
        search: float = 0.0,
        with_frames: Literal[True],
    ) -> Watch[tuple[Frame, list[FaceResult]]]: ...
    def watch(
        self,
        video: str | Path | Video,
        *,
        every: int = 1,
        smooth: float = 0.5,
        max_faces: int | None = None,
        min_side: float | None = None,
        search: float = 0.0,
        with_frames: bool = False,
    ) -> Watch[list[FaceResult]] | Watch[tuple[Frame, list[FaceResult]]]:
        """Recognise the faces of a video or camera frame by frame, follow them, and smooth their expressions over time.

        Args:
            video: a video file, a camera (``camera:0``), or an open video, which then stays open.
            every: look at every n-th frame only.
            smooth: time constant in seconds of the smoothing of each track's probabilities, which uses the past only;
                0 takes each frame by itself.
            max_faces: at most so many faces a frame, the largest; None for all.
            min_side: leave out faces whose box has a shorter side of fewer pixels. Much smaller ones are not searched
                for either, which saves time: in 720p, 80 pixels take a third of it (``benchmarks/video.py``).
            search: a whole frame is searched for faces at least every so many seconds; in the frames between they are
                looked for where they were before and are after, in a twentieth of the time. 0 searches every frame.
            with_frames: yield (frame, results), for drawing.

        Returns:
            For each frame that is looked at, one result per face with its frame, time and track, or one that says that
            there is no face. ``watch(...).warning`` says at the end when the video has broken off.

        Raises:
            DataError: when the video cannot be opened; see ``open_video``.
            UsageError: when an option has an impossible value.
        """
        asked = WatchOptions(every, smooth, max_faces, min_side or 0.0, search)
        options = replace(asked, min_side=max(asked.min_side, self.min_side))
        calibration = self.info.calibration
        threshold = None if self.sets is None else set_threshold(calibration, self.sets)
        finder = self._extractor.at_least(options.min_side)
        pipeline = FramePipeline(finder.extract, finder.detect_near, self._name, calibration.unsure_below, threshold)
        opened = video if isinstance(video, Video) else open_video(video)
        pairs = watched(opened, pipeline, options, (CHUNK_PICTURES, CHUNK_PIXELS))
        if opened is not video:
            pairs = closing_after(opened, pairs)
        if with_frames:
            return Watch(opened, pairs)
        return Watch(opened, (results for _, results in pairs))

    @property
    def provenance(self) -> dict[str, str]:
        """Version of what answers, and the checksum of the graph."""
        return {"onnxruntime": version("onnxruntime"), "model_sha256": self.info.files.get(GRAPH_NAME, "")}

    def recognise_faces(self, faces: NDArray[np.uint8]) -> SessionOutputs:
        """Recognise faces that are aligned already: (N, S, S, 3) uint8 RGB or (N, S, S) grey, S = ``info.face.size``.

        Raises:
            ModelError: when the faces are of another size or type.
        """
        return self._session.run(faces)

    def _answer(self, chunk: Sequence[Picture]) -> list[list[FaceResult]]:
        extracted = iter(self._extractor.extract([p.pixels for p in chunk if p.pixels is not None]))
        faces = [
            large_enough(_in_file(next(extracted), picture.scale), self.min_side) if picture.pixels is not None else []
            for picture in chunk
        ]
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
                quality=quality,
            )
            for (path, index, face), quality in zip(faces, quality_of([face for _, _, face in faces]), strict=True)
        ]
        return named(heads, outputs, self.info, self.sets)


def _in_file(faces: list[Face], scale: float) -> list[Face]:
    """Return faces of a picture that was decoded smaller with their boxes in pixels of the file."""
    if scale == 1.0:
        return faces
    return [
        replace(face, box=face.box * np.float32(scale), points=None if face.points is None else face.points * scale)
        for face in faces
    ]


def load(
    run: str | Path | None = None,
    *,
    threads: int | None = None,
    align: Alignment | None = None,
    cropped: bool = False,
    max_faces: int | None = None,
    min_side: float = 0.0,
    sets: float | None = None,
    precision: Precision = "fp32",
) -> Recogniser:
    """Load the recogniser of a run folder (``model.json`` and ``model.onnx``), or one that comes with the package.

    Args:
        run: the folder that ``dcdan adapt --out`` has written, or the name of a model of the package; None for the
            package's default model.
        threads: threads to use; None for all cores.
        align: ``mtcnn`` finds and aligns faces, ``none`` takes each picture as one aligned face; None does what the
            model was trained with.
        cropped: whether each picture is a face crop, with one face that fills it.
        max_faces: recognise at most so many faces of a picture, the largest; None for all.
        min_side: leave out faces whose box has a shorter side of fewer pixels.
        sets: fill ``candidates`` with the conformal set that holds the true class of so many faces, 0..1; a level that
            the model was calibrated for.
        precision: ``fp32``, or ``int8`` where `dcdan export` has made that graph.

    Raises:
        ModelError: when the folder holds no model, or one that is damaged or of another schema.
        UsageError: when an option has an impossible value.
    """
    for name, value in (("threads", threads), ("max_faces", max_faces)):
        if value is not None and value < 1:
            raise UsageError(f"{name} must be at least 1, not {value}.")
    if not 0 <= min_side < float("inf"):
        raise UsageError(f"min_side must be a number of pixels, 0 or more, not {min_side}.")
    if align is not None and align not in ALIGNMENTS:
        raise unknown("alignment", align, ALIGNMENTS)
    if precision not in GRAPHS:
        raise unknown("precision", precision, GRAPHS)
    folder = model_folder(run)
    info = read_model_info(folder)
    if sets is not None:
        set_threshold(info.calibration, sets)
    if GRAPHS[precision] not in info.files and precision == "int8":
        raise ModelError(f"'{folder}' has no int8 graph: make one with `dcdan export {folder}`.")
    session = Session(verified(folder, info, GRAPHS[precision]), info, threads)
    extractor = Extractor(
        info.face.size, align=align or info.face.align, cropped=cropped, max_faces=max_faces, threads=threads
    )
    return Recogniser(info, session, extractor, min_side, sets)


def _without_face(picture: Picture) -> Status:
    return picture.status if picture.pixels is None else Status.NO_FACE


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
