"""Whether a map shows what the network uses: deletion and insertion curves (RISE: Petsiuk et al., BMVC 2018).

Pixels are replaced, the most salient first (deletion), or put into a blurred face, the most salient first (insertion).
The better the map, the sooner the probability of the chosen class falls or rises: the area under the deletion curve is
small, that under the insertion curve is large. Two maps that know nothing of the network must be beaten: a random one
of the same smoothness, and one that is highest in the centre of the face.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from dcdan.explanation.explainer import Explainer
from dcdan.explanation.occlusion import GRID, Answer, enlarged
from dcdan.inference.session import in_rgb

BASELINES: tuple[str, ...] = ("random", "centre")
"""Maps that know nothing of the network."""

STEPS = 8
LEVEL = 0.05
BLUR = 0.15
"""Standard deviation of the blur that insertion starts from, in sides of the face."""

FLIPS = 10_000
_FACES_AT_A_TIME = 4


class MapScore(BaseModel):
    """Faithfulness of one kind of map.

    Attributes:
        deletion: mean area under the deletion curve, 0..1; less is better.
        insertion: mean area under the insertion curve, 0..1; more is better.
        p_values: ``deletion`` and ``insertion`` against each baseline, one-sided: the probability of a lead at least
            as large if the map were no better. Empty for a baseline itself.
        faces: number of faces.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    deletion: float = Field(ge=0, le=1)
    insertion: float = Field(ge=0, le=1)
    p_values: dict[str, float] = Field(default_factory=dict)
    faces: int = Field(ge=0)

    @property
    def faithful(self) -> bool:
        """Whether the map beats both baselines, in deletion and in insertion, with p < .05 each."""
        return bool(self.p_values) and all(p < LEVEL for p in self.p_values.values())


def centre_maps(count: int, side: int) -> NDArray[np.float32]:
    """Return maps that fall off from the centre of the face, ``(count, side, side) float32``."""
    places = (np.arange(side) + 0.5) / side - 0.5
    distance = np.hypot(places[:, None], places[None])
    return np.repeat((1 - distance).astype(np.float32)[None], count, axis=0)


def random_maps(count: int, side: int, seed: int, grid: int = GRID) -> NDArray[np.float32]:
    """Return random maps as smooth as those of :func:`~dcdan.explanation.occlusion.occlusion_maps`.

    Args:
        count: number of maps.
        side: side of the face in pixels.
        seed: seed of the random numbers.
        grid: cells along each side.

    Returns:
        ``(count, side, side) float32``.
    """
    cells = np.random.default_rng(seed).random((count, grid, grid), dtype=np.float32)
    return enlarged(cells, side)


def curves(
    answer: Answer,
    faces: NDArray[np.uint8],
    chosen: NDArray[np.int64],
    maps: NDArray[np.float32],
    steps: int = STEPS,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the probability of the chosen class while pixels are deleted, and while they are inserted.

    Args:
        answer: the network.
        faces: ``(N, S, S, 3) uint8`` aligned faces.
        chosen: ``(N,)`` the class, an index.
        maps: ``(N, S, S) float32``, larger where more salient.
        steps: steps from the whole face to none of it.

    Returns:
        Two arrays ``(N, steps + 1) float32``; point k is after k / steps of the pixels. Deletion fills with the mean
        colour of the face, insertion starts from the blurred face.
    """
    count, side = len(faces), faces.shape[1]
    deletion = np.zeros((count, steps + 1), np.float32)
    insertion = np.zeros((count, steps + 1), np.float32)
    for start in range(0, count, _FACES_AT_A_TIME):
        rows = slice(start, start + _FACES_AT_A_TIME)
        some = faces[rows]
        ranks = _ranks(maps[rows]).reshape(-1, 1, side, side, 1)
        replaced = ranks < (np.arange(steps + 1) * side * side / steps)[:, None, None, None]
        mean = np.round(some.mean((1, 2), keepdims=True)).astype(np.uint8)
        blurred = np.stack([cv2.GaussianBlur(face, (0, 0), BLUR * side) for face in some])
        for found, filled in (
            (deletion, np.where(replaced, mean[:, None], some[:, None])),
            (insertion, np.where(replaced, some[:, None], blurred[:, None])),
        ):
            probabilities = answer(filled.reshape(-1, *faces.shape[1:])).reshape(len(some), steps + 1, -1)
            found[rows] = np.take_along_axis(probabilities, chosen[rows][:, None, None], 2)[..., 0]
    return deletion, insertion


def _ranks(maps: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the rank of each pixel in its map, 0 for the largest value; equal values keep their order."""
    flat = maps.reshape(len(maps), -1)
    order = np.argsort(-flat, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(flat.shape[1])[None], 1)
    return ranks


def area(curve: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the area under each curve ``(N, steps + 1)`` over the share 0..1 of pixels, by the trapezoidal rule.

    Example:
        >>> area(np.array([[1.0, 0.5, 0.0]], np.float32)).tolist()
        [0.5]
    """
    return np.asarray(((curve[:, 1:] + curve[:, :-1]) / 2).astype(np.float64).mean(1))


def lead_p(differences: NDArray[np.float64], flips: int = FLIPS, seed: int = 0) -> float:
    """Return the one-sided p-value of a mean difference above 0 by random sign flips (paired randomisation test).

    Args:
        differences: ``(N,)`` lead of one map over another, face by face.
        flips: random assignments of signs.
        seed: seed of the random numbers.

    Returns:
        (1 + number of assignments with a mean at least as large) / (1 + flips).

    Example:
        >>> lead_p(np.full(20, 0.1)) < 0.001, lead_p(np.zeros(20))
        (True, 1.0)
    """
    rng = np.random.default_rng(seed)
    observed = differences.sum()
    larger = 0
    for start in range(0, flips, 1000):
        signs = rng.integers(0, 2, (min(1000, flips - start), len(differences)), dtype=np.int8) * 2 - 1
        larger += int((signs @ differences >= observed - 1e-12).sum())
    return (1 + larger) / (1 + flips)


Areas = dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Kind of map -> areas under the deletion and the insertion curve of each face, ``(N,)`` both."""


def scores(areas: Areas) -> dict[str, MapScore]:
    """Score maps against the baselines.

    Args:
        areas: kind of map -> deletion and insertion area of each face, ``(N,)`` both; the baselines among them.

    Returns:
        Kind of map -> its score.
    """
    found = {}
    for name, (deletion, insertion) in areas.items():
        p_values = {}
        if name not in BASELINES:
            for baseline in BASELINES:
                p_values[f"deletion_{baseline}"] = lead_p(areas[baseline][0] - deletion)
                p_values[f"insertion_{baseline}"] = lead_p(insertion - areas[baseline][1])
        found[name] = MapScore(
            deletion=round(float(deletion.mean()), 4),
            insertion=round(float(insertion.mean()), 4),
            p_values={key: round(p, 5) for key, p in p_values.items()},
            faces=len(deletion),
        )
    return found


def measure(
    explainer: Explainer, faces: NDArray[np.uint8], seed: int = 0, progress: Callable[[str, Areas], None] | None = None
) -> Areas:
    """Measure the maps of an explainer and the baselines on faces; labels are not needed.

    Args:
        explainer: the model and the kinds of maps.
        faces: ``(N, S, S, 3)`` or ``(N, S, S) uint8`` aligned faces.
        seed: seed of the random maps.
        progress: called when a kind is measured, with its name and the areas so far.

    Returns:
        The areas, of the baselines first. The class of a face is the one that the model gives it.
    """
    faces = in_rgb(faces)
    outputs = explainer.recogniser.recognise_faces(faces)
    chosen, side = outputs.probabilities.argmax(1), faces.shape[1]
    areas: Areas = {}

    def measure_maps(name: str, maps: NDArray[np.float32]) -> None:
        deletion, insertion = curves(explainer.answer, faces, chosen, maps)
        areas[name] = area(deletion), area(insertion)
        if progress is not None:
            progress(name, areas)

    measure_maps("random", random_maps(len(faces), side, seed))
    measure_maps("centre", centre_maps(len(faces), side))
    for name in explainer.maps:
        measure_maps(name, explainer.maps_of(name, faces, chosen, outputs.probabilities))
    return areas
