"""Recognise the expressions in images: detection, alignment and classification in batches of bounded size.

Faces of a pack are already aligned; :func:`predict_pack` classifies them directly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
from numpy.typing import NDArray

from dcdan.core.errors import DataError, ModelError, UsageError, unknown
from dcdan.faces.extract import ALIGNMENTS, Alignment, Extractor, Face, large_enough, scaled
from dcdan.images.inputs import Picture, PictureSource, read_picture
from dcdan.images.remote import is_url
from dcdan.images.status import Status
from dcdan.images.video_reader import Frame, Video, open_video
from dcdan.inference.answers import named, quality_of, set_threshold
from dcdan.inference.corrected import corrected_outputs
from dcdan.inference.model_card import GRAPHS, ModelInfo, Precision, read_model_info, verified
from dcdan.inference.resolver import resolve_model
from dcdan.inference.session import Session, SessionOutputs
from dcdan.inference.table import FaceResult, FaceResults
from dcdan.inference.video import (
    FramePipeline,
    Watch,
    WatchOptions,
    closing_after,
    too_small_or_none,
    watched,
)

if TYPE_CHECKING:
    from dcdan.correction.verdict import Verdict
    from dcdan.packs.pack import Pack


# A chunk ends at whichever comes first, so that memory stays flat for thumbnails and for large photographs alike.
CHUNK_PICTURES = 32
CHUNK_PIXELS = 32_000_000


class Recogniser:
    """A model that is ready for use; created by :func:`load`.

    A recogniser has no state between two calls, so several threads may share it. It can be pickled.

    Attributes:
        info: The content of ``model.json``.
        classes: Names of the expressions in the order of the model's outputs.
        min_side: Minimum shorter side of the box of a face in pixels; smaller faces are not recognised.
        sets: Level of the conformal sets in ``candidates``; None for none.
        precision: ``fp32`` or ``int8``.
        verdict: after `dcdan.adapt` without a source set, whether the adapted model is used, and why; else None.
    """

    def __init__(
        self,
        info: ModelInfo,
        session: Session,
        extractor: Extractor,
        min_side: float = 0.0,
        sets: float | None = None,
        precision: Precision = "fp32",
    ) -> None:
        self.info = info
        self.precision: Precision = precision
        self.verdict: Verdict | None = None
        self.min_side = min_side
        self.sets = sets
        self.classes = info.classes
        self._session = session
        self._extractor = extractor

    @overload
    def recognise(self, image: PictureSource) -> FaceResults: ...
    @overload
    def recognise(self, image: list[PictureSource]) -> list[FaceResults]: ...
    def recognise(self, image: PictureSource | list[PictureSource]) -> FaceResults | list[FaceResults]:
        """Recognise the faces of one picture, or of a list of pictures in batches.

        Args:
            image: an array (H, W, 3) uint8 RGB or (H, W) uint8 grey, the path or URL of a picture, the bytes of a file,
                an open binary file, a Pillow picture, or a list of these.

        Returns:
            One result a face, the largest first; an empty list for a picture without a face, whose ``status`` says
            why. For a list, one such list a picture.

        Raises:
            DataError: when an array is not uint8 or has another shape, or a folder is given.

        Example:
            >>> import numpy as np
            >>> found = load(threads=1).recognise(np.zeros((64, 64, 3), np.uint8))
            >>> len(found), found.status
            (0, <Status.NO_FACE: 'no_face'>)
        """
        if isinstance(image, str | Path) and not is_url(str(image)) and Path(image).is_dir():
            raise DataError(
                f"'{image}' is a folder, and recognise() takes pictures: give their paths, or run `dcdan predict`."
            )
        if isinstance(image, list):
            return list(self.stream(image))
        return next(self.stream([image]))

    def stream(
        self,
        sources: Iterable[PictureSource | Picture],
        keep: Callable[[NDArray[np.uint8]], None] = lambda _: None,
    ) -> Iterator[FaceResults]:
        """Yield the results of each image in order; images are read, decoded and released in chunks.

        The last digits of a probability can depend on the other faces in its batch; the same sequence of images gives
        the same digits.

        Args:
            sources: Images as for :meth:`recognise`.
            keep: Is given the aligned faces of each chunk, ``(N, S, S, 3) uint8``, in the order of the results.

        Yields:
            The results of each image.
        """
        chunk: list[Picture] = []
        pixels = 0
        for source in sources:
            picture = source if isinstance(source, Picture) else read_picture(source)
            chunk.append(picture)
            pixels += 0 if picture.pixels is None else picture.pixels.shape[0] * picture.pixels.shape[1]
            if len(chunk) >= CHUNK_PICTURES or pixels >= CHUNK_PIXELS:
                yield from self._answer(chunk, keep)
                chunk, pixels = [], 0
        if chunk:
            yield from self._answer(chunk, keep)

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
    ) -> Watch[FaceResults]: ...
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
    ) -> Watch[tuple[Frame, FaceResults]]: ...
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
    ) -> Watch[FaceResults] | Watch[tuple[Frame, FaceResults]]:
        """Recognise the faces of a video or camera frame by frame, follow them, and smooth their expressions over time.

        Args:
            video: a video file, a camera (``camera:0``), or an open video, which then stays open.
            every: look at every n-th frame only.
            smooth: time constant in seconds of the smoothing of each track's probabilities, which uses the past only;
                0 takes each frame by itself.
            max_faces: at most so many faces a frame, the largest; None for all.
            min_side: leave out faces whose box has a shorter side of fewer pixels. Much smaller ones are not searched
                for either, which saves time: in 720p, 80 pixels take a third of it (``benchmarks/video.py``).
            search: seconds from one search of a whole frame to the next; in the frames between, only the places are
                searched where faces were before and are after, in a twentieth of the time. 0 searches every frame: at
                full size every fifth of a second, reduced and at those places in between.
            with_frames: yield (frame, results), for drawing.

        Returns:
            For each frame that is analysed, one result a face with its frame, time and track; an empty list where
            there is no face. ``watch(...).warning`` is a sentence at the end when the video broke off or was damaged.

        Raises:
            DataError: when the video cannot be opened; see ``open_video``.
            UsageError: when an option has an impossible value.
        """
        asked = WatchOptions(every, smooth, max_faces, min_side or 0.0, search)
        options = replace(asked, min_side=max(asked.min_side, self.min_side))
        calibration = self.info.calibration
        threshold = None if self.sets is None else set_threshold(calibration, self.sets)
        finder = self._extractor.at_least(options.min_side)
        pipeline = FramePipeline(
            finder.extract, finder.detect_near, self.face_results, calibration.unsure_below, threshold
        )
        opened = video if isinstance(video, Video) else open_video(video)
        pairs = watched(opened, pipeline, options, (CHUNK_PICTURES, CHUNK_PIXELS))
        if opened is not video:
            pairs = closing_after(opened, pairs)
        if with_frames:
            return Watch(opened, pairs)
        return Watch(opened, (results for _, results in pairs))

    @property
    def provenance(self) -> dict[str, str]:
        """Version of the runtime, the device, and the checksum of the graph."""
        return {
            "onnxruntime": version("onnxruntime"),
            "device": self.device,
            "model_sha256": self.info.files.get(GRAPHS[self.precision], ""),
        }

    @property
    def device(self) -> str:
        """Device that runs the network: ``cpu``, ``cuda``, ...; faces are always detected on the CPU."""
        return self._session.device

    def recognise_faces(self, faces: NDArray[np.uint8]) -> SessionOutputs:
        """Recognise aligned faces.

        Args:
            faces: ``(N, S, S, 3) uint8`` RGB or ``(N, S, S) uint8`` grey, with S = ``info.face.size``.

        Returns:
            The outputs of the network.

        Raises:
            ModelError: The faces have another size or type.
        """
        return corrected_outputs(self._session.run(faces), self.info.correction)

    def faces(self, pictures: Sequence[Picture]) -> list[list[Face]]:
        """Return the aligned faces of each picture, the largest first, as :meth:`recognise` sees and numbers them."""
        found = iter(self._found([picture.pixels for picture in pictures if picture.pixels is not None]))
        return [
            []
            if picture.pixels is None
            else large_enough([scaled(face, picture.scale) for face in next(found)], self.min_side)
            for picture in pictures
        ]

    def _answer(self, chunk: Sequence[Picture], keep: Callable[[NDArray[np.uint8]], None]) -> list[FaceResults]:
        found = self._found([picture.pixels for picture in chunk if picture.pixels is not None])
        extracted = iter(found)
        faces = [
            [] if picture.pixels is None else [scaled(face, picture.scale) for face in next(extracted)]
            for picture in chunk
        ]
        large = [large_enough(own, self.min_side) for own in faces]
        flat = [
            (picture.path, index, face)
            for picture, own in zip(chunk, large, strict=True)
            for index, face in enumerate(own)
        ]
        if flat:
            keep(np.stack([face.pixels for _, _, face in flat]))
        named = iter(self.face_results(flat))
        return [
            FaceResults([next(named) for _ in own], _without_face(picture, all_faces))
            for picture, own, all_faces in zip(chunk, large, faces, strict=True)
        ]

    def _found(self, pictures: Sequence[NDArray[np.uint8]]) -> list[list[Face]]:
        """Return the faces of each image; an image without a face is searched again in the other orientations."""
        faces = self._extractor.extract(pictures)
        for index, own in enumerate(faces):
            if not own:
                (faces[index],) = self._extractor.extract_turned([pictures[index]])
        return faces

    def face_results(self, faces: Sequence[tuple[str, int, Face]]) -> list[FaceResult]:
        """Recognise faces that :meth:`faces` has found.

        Args:
            faces: N triples: path of the picture, number of the face in it, and the face.

        Returns:
            N results.
        """
        if not faces:
            return []
        outputs = self._session.run(np.stack([face.pixels for _, _, face in faces]))
        outputs = corrected_outputs(outputs, self.info.correction, [path for path, _, _ in faces])
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


def load(
    run: str | Path | None = None,
    *,
    threads: int | None = None,
    align: Alignment | None = None,
    cropped: bool = False,
    max_faces: int | None = None,
    min_side: float = 0.0,
    sets: float | None = None,
    precision: Precision | None = None,
    device: str = "auto",
) -> Recogniser:
    """Load the recogniser of a run folder (``model.json`` and ``model.onnx``) or of the package.

    Args:
        run: A run folder, the name of a model of the package, an ``.onnx`` file of a run, or ``hf-hub:owner/name``;
            None for the default model. See :func:`dcdan.inference.resolver.resolve_model`.
        threads: Threads of ONNX Runtime, and of OpenCV in the whole process; None for all cores.
        align: ``mtcnn`` detects and aligns faces, ``none`` treats each image as one aligned face; None uses the
            alignment that the model was trained with.
        cropped: Whether each image is a face crop with one face that fills it.
        max_faces: Maximum number of faces per image, the largest first; None for all.
        min_side: Minimum shorter side of the box of a face in pixels; smaller faces are not recognised.
        sets: Coverage, 0..1, of the conformal sets in ``candidates``: the share of faces whose set contains the true
            class. The model must have been calibrated for this level.
        precision: ``fp32``, or ``int8`` if `dcdan export` has created that graph; None for the precision of the graph
            that ``run`` names, otherwise ``fp32``.
        device: ``auto`` (a GPU if this build of ONNX Runtime supports one, otherwise the CPU), ``cpu``, ``cuda``,
            ``coreml``, ``openvino``, ``directml``, ``migraphx`` or ``tensorrt``. It runs the network; faces are
            detected on the CPU. ``Recogniser.device`` is the device in use.

    Returns:
        The recogniser.

    Raises:
        ModelError: The folder contains no model, or one that is damaged or of another schema.
        UsageError: An option has an invalid value.

    Example:
        >>> load("small", threads=1).info.face.size
        64
    """
    for name, value in (("threads", threads), ("max_faces", max_faces)):
        if value is not None and value < 1:
            raise UsageError(f"{name} must be at least 1, not {value}.")
    if not 0 <= min_side < float("inf"):
        raise UsageError(f"min_side must be a number of pixels, 0 or more, not {min_side}.")
    if align is not None and align not in ALIGNMENTS:
        raise unknown("alignment", align, ALIGNMENTS)
    if precision is not None and precision not in GRAPHS:
        raise unknown("precision", precision, GRAPHS)
    resolved = resolve_model(run)
    folder = resolved.folder
    if resolved.precision is not None and precision not in (None, resolved.precision):
        raise UsageError(
            f"'{run}' is the {resolved.precision} graph and precision is {precision}: give one of the two."
        )
    precision = precision or resolved.precision or "fp32"
    info = read_model_info(folder)
    if sets is not None:
        set_threshold(info.calibration, sets)
    if GRAPHS[precision] not in info.files and precision == "int8":
        raise ModelError(f"'{folder}' has no int8 graph: make one with `dcdan export {folder}`.")
    session = Session(verified(folder, info, GRAPHS[precision]), info, threads, device)
    extractor = Extractor(
        info.face.size, align=align or info.face.align, cropped=cropped, max_faces=max_faces, threads=threads
    )
    return Recogniser(info, session, extractor, min_side, sets, precision)


def _without_face(picture: Picture, faces: Sequence[Face]) -> FaceResult:
    """Return the row of an image in which no face is large enough."""
    if picture.pixels is None:
        return FaceResult(picture.path, None, picture.status)
    return too_small_or_none(picture.path, faces)


FACES_AT_A_TIME = 1024


def predict_pack(recogniser: Recogniser, pack: Pack) -> Iterator[FaceResult]:
    """Yield a result for every face of a pack, then one for every image in which no face was found.

    Args:
        recogniser: The model.
        pack: The pack.

    Yields:
        The results.

    Raises:
        ModelError: The faces of the pack have another size than the model takes.
    """
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
