"""Measure the faces of one input: pictures, videos, a pack or a data set. No labels are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dcdan.core.errors import DataError, UsageError
from dcdan.datasets.listing import chunks
from dcdan.datasets.spec import parse_spec, view_options
from dcdan.faces.extract import Face
from dcdan.faces.quality import greyness, qualities, sharpness, yaw
from dcdan.images.inputs import Input, InputKind, Picture, find_inputs, read_picture
from dcdan.images.status import Status
from dcdan.images.video_reader import open_video
from dcdan.inference.recogniser import CHUNK_PICTURES, Recogniser, load
from dcdan.inference.session import in_rgb
from dcdan.packs.cache import shifted_copy
from dcdan.packs.data_inputs import data_inputs, framing, pack_folder
from dcdan.packs.pack import Pack

Floats = NDArray[np.float64]

DEFAULT_LIMIT = 1000
"""Number of inputs of a set that are taken, evenly spaced, where no limit is given."""
FEATURE_SIDE = 16
"""Side in pixels to which a face is reduced for the feature distance."""


class Measurement(NamedTuple):
    """One measured property of a face.

    Attributes:
        about: meaning and unit.
        digits: decimal places of its values.
        less: what faces with smaller values are.
        more: what faces with larger values are.
    """

    about: str
    digits: int
    less: str
    more: str


MEASUREMENTS: dict[str, Measurement] = {
    "brightness": Measurement("mean grey level of the aligned face, 0..255", 0, "darker", "brighter"),
    "contrast": Measurement(
        "standard deviation of the grey level, 0..128", 0, "lower in contrast", "higher in contrast"
    ),
    "sharpness": Measurement("fine detail of the aligned face, 0..1", 2, "more blurred", "sharper"),
    "size": Measurement("shorter side of the face's box in the picture, pixels", 0, "smaller", "larger"),
    "yaw": Measurement("turn of the head to either side, degrees", 0, "less turned", "more turned"),
    "roll": Measurement("tilt of the head to either side, degrees", 0, "less tilted", "more tilted"),
    "colour": Measurement(
        "1 for a face with colour, 0 for a grey one", 0, "less often in colour", "more often in colour"
    ),
}
"""What is measured, in the order of tables."""


@dataclass(frozen=True)
class FaceSet:
    """The measured faces of one set.

    Attributes:
        name: the input as it was given.
        measurements: name -> ``(N,) float64``; NaN where a face has no such value, as the roll of an aligned face.
        features: ``(N, D) float32``, grey levels of the reduced face, 0..1.
        counts: ``(K,) int64`` answers of the model by class.
        without_face: inputs without a face, by status.
    """

    name: str
    measurements: dict[str, Floats]
    features: NDArray[np.float32]
    counts: NDArray[np.int64]
    without_face: dict[str, int]

    def __len__(self) -> int:
        return len(self.features)


class _Parts:
    """Collects the measurements of faces, a block at a time."""

    def __init__(self, recogniser: Recogniser) -> None:
        self._recogniser = recogniser
        self._blocks: list[dict[str, Floats]] = []
        self._features: list[NDArray[np.float32]] = []
        self.counts = np.zeros(len(recogniser.classes), np.int64)
        self.without_face: Counter[str] = Counter()

    def add(self, pixels: NDArray[np.uint8], size: Floats, yaws: Floats, rolls: Floats) -> None:
        """Add aligned faces ``(n, S, S, 3) uint8`` and what was measured in their pictures, ``(n,)`` each."""
        grey = np.stack([cv2.cvtColor(face, cv2.COLOR_RGB2GRAY) for face in pixels])
        levels = grey.astype(np.float64)
        self._blocks.append(
            {
                "brightness": levels.mean(axis=(1, 2)),
                "contrast": levels.std(axis=(1, 2)),
                "sharpness": sharpness(pixels).astype(np.float64),
                "size": np.asarray(size, np.float64),
                "yaw": np.abs(np.asarray(yaws, np.float64)),
                "roll": np.abs(np.asarray(rolls, np.float64)),
                "colour": (~greyness(pixels)).astype(np.float64),
            }
        )
        side = (FEATURE_SIDE, FEATURE_SIDE)
        small = np.stack([cv2.resize(face, side, interpolation=cv2.INTER_AREA) for face in grey])
        self._features.append(np.asarray(small.reshape(len(small), -1) / 255, np.float32))
        answers = self._recogniser.recognise_faces(pixels).expression
        self.counts += np.bincount(answers, minlength=len(self.counts))

    def add_faces(self, faces: Sequence[Face]) -> None:
        """Add the faces of pictures."""
        if not faces:
            return
        found = qualities(faces)
        pixels = np.stack([face.pixels for face in faces])
        self.add(pixels, found.side.astype(np.float64), found.yaw.astype(np.float64), found.roll.astype(np.float64))

    def whole(self, name: str) -> FaceSet:
        """Return all faces as one set.

        Raises:
            DataError: there is no face.
        """
        if not self._blocks:
            counts = ", ".join(f"{count} {status}" for status, count in self.without_face.most_common(4))
            raise DataError(f"'{name}' has no face to compare ({counts or 'no picture'}): give pictures of faces.")
        joined = {each: np.concatenate([block[each] for block in self._blocks]) for each in MEASUREMENTS}
        return FaceSet(name, joined, np.concatenate(self._features), self.counts, dict(self.without_face.most_common()))


def measure(
    text: str,
    *,
    model: str | None = None,
    limit: int | None = None,
    threads: int | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> tuple[FaceSet, tuple[str, ...]]:
    """Measure the faces of one input.

    Args:
        text: a picture, folder, pattern, video, zip file, ``@list.txt``, URL, pack or data set.
        model: the model whose face size, alignment and answers are used; None for the default one.
        limit: take at most so many inputs, evenly spaced; None for ``DEFAULT_LIMIT``.
        threads: threads of the network; None for all cores.
        advance: called with the number of inputs done and their total.

    Returns:
        The measured set, and the classes that its ``counts`` are of.

    Raises:
        DataError: there is no face.
        UsageError: the input is a camera.
        ModelError: there is no usable model.
    """
    most = limit or DEFAULT_LIMIT
    told = advance or (lambda _done, _total: None)
    if pack_folder(text) is not None:
        recogniser = load(model, threads=threads, align="none")
        return _of_pack(text, recogniser, most, told), recogniser.classes
    framed = framing([text])
    recogniser = load(model, threads=threads, cropped=framed == "cropped")
    return _of_inputs(text, recogniser, most, told), recogniser.classes


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """Return at most ``most`` of the indices below ``count``, evenly spaced.

    Example:
        >>> evenly(10, 4).tolist(), evenly(3, 9).tolist()
        ([0, 2, 5, 7], [0, 1, 2])
    """
    return np.arange(count) if count <= most else np.arange(most, dtype=np.int64) * count // most


def _of_pack(text: str, recogniser: Recogniser, most: int, advance: Callable[[int, int], None]) -> FaceSet:
    options = view_options(parse_spec(text).options)
    folder = pack_folder(text)
    assert folder is not None
    if options.known_shift is not None:
        folder = shifted_copy(folder, options.known_shift)
    pack = Pack.open(folder, labelled=False, **options.model_dump(include={"split", "limit", "seed"}))
    rows = pack.select()
    rows = rows[evenly(len(rows), most)]
    parts, size = _Parts(recogniser), recogniser.info.face.size
    boxes = pack.boxes[rows]
    sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1).astype(np.float64)
    without = (pack.statuses[rows] == Status.NOT_ALIGNED) | (pack.info.alignment == "none")
    yaws = np.where(without, np.nan, yaw(pack.landmarks[rows]).astype(np.float64))
    for start in range(0, len(rows), 512):
        part = slice(start, start + 512)
        faces = in_rgb(np.asarray(pack.faces[rows[part]]))
        if pack.size != size:
            how = cv2.INTER_AREA if pack.size > size else cv2.INTER_LINEAR
            faces = np.stack([cv2.resize(face, (size, size), interpolation=how) for face in faces])
        # Alignment has turned the face upright, so its roll is unknown.
        parts.add(faces, sides[part], yaws[part], np.full(len(faces), np.nan))
        advance(min(start + 512, len(rows)), len(rows))
    return parts.whole(text)


def _of_inputs(text: str, recogniser: Recogniser, most: int, advance: Callable[[int, int], None]) -> FaceSet:
    inputs = list(find_inputs([text], resolvers=[data_inputs]))
    if any(each.kind is InputKind.CAMERA for each in inputs):
        raise UsageError(f"'{text}' is a camera, which has no end: record a video, and give that.")
    chosen = [inputs[index] for index in evenly(len(inputs), most).tolist()]
    parts = _Parts(recogniser)
    done = 0
    for piece in _pieces(chosen):
        for some in chunks(_pictures(piece, most), CHUNK_PICTURES):
            found = recogniser.faces(some)
            for picture, own in zip(some, found, strict=True):
                if not own:
                    status = picture.status if picture.pixels is None else Status.NO_FACE
                    parts.without_face[str(status)] += 1
            parts.add_faces([face for own in found for face in own])
        done += len(piece)
        advance(done, len(chosen))
    return parts.whole(text)


def _pieces(inputs: Sequence[Input]) -> Iterator[list[Input]]:
    """Yield blocks of pictures, and each video by itself."""
    block: list[Input] = []
    for each in inputs:
        if each.kind is InputKind.PICTURE:
            block.append(each)
        if block and (len(block) == CHUNK_PICTURES or each.kind is not InputKind.PICTURE):
            yield block
            block = []
        if each.kind is not InputKind.PICTURE:
            yield [each]
    if block:
        yield block


def _pictures(piece: Sequence[Input], most: int) -> Iterator[Picture]:
    """Yield pictures, and of a video one frame a second."""
    for each in piece:
        if each.kind is InputKind.PICTURE:
            source = each.source
            yield source if isinstance(source, Picture) else read_picture(source)
            continue
        with open_video(each.path) as video:
            every = max(1, round(video.rate), video.expected // most)
            for frame in video.frames(every):
                yield Picture(each.path, frame.pixels)
