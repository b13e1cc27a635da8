"""The two domains of synthetic faces: how a face of each is composed and rendered, and a contact sheet of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from dcdan.datasets.synthetic.action_units import FloatArray, draw_units
from dcdan.datasets.synthetic.drawing import SUPERSAMPLING, Image, paint
from dcdan.datasets.synthetic.dressing import dress
from dcdan.datasets.synthetic.geometry import Geometry, Pose, build
from dcdan.datasets.synthetic.identity import Identity, draw_identity
from dcdan.datasets.synthetic.occlusion import cover, draw_cover
from dcdan.datasets.synthetic.street import cluttered, draw_pose, photograph
from dcdan.expressions import EXPRESSIONS

DOMAINS = ("studio", "street")
_GAZE = {"studio": (0.05, 0.02), "street": (0.12, 0.05)}
_SITTER = 165.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A face that is composed but not yet painted.

    Attributes:
        domain: "studio" or "street".
        person: Identity of the face.
        posed: Outlines and landmarks after the pose is applied, in units of the side of the image.
    """

    domain: str
    person: Identity
    posed: Geometry

    @property
    def landmarks(self) -> npt.NDArray[np.float32]:
        """``(5, 2) float32`` left eye, right eye, nose, left and right mouth corner, in units of the image side."""
        return self.posed.landmarks.astype(np.float32)


def set_up(rng: np.random.Generator, expression: str, domain: str, person: Identity | None = None) -> Scene:
    """Sample the action units, gaze, pose and accessories of a face.

    Args:
        rng: Random number generator.
        expression: One of the eight expressions.
        domain: "studio" or "street".
        person: Identity of the face; None samples one.

    Returns:
        The composed face.
    """
    if person is None:
        person = draw_identity(rng)
    units = draw_units(rng, expression)
    across, down = _GAZE[domain]
    geometry = dress(person, build(person, units, (rng.normal(0.0, across), rng.normal(0.0, down))))
    if domain == "studio":
        return Scene(domain, person, _studio_pose(rng).apply(geometry))
    worn = draw_cover(rng, person)
    return Scene(domain, person, draw_pose(rng).apply(geometry.moved({**geometry.parts, **worn}, geometry.landmarks)))


def render(rng: np.random.Generator, scene: Scene, size: int) -> Image:
    """Paint a scene at twice the size and downsample it.

    Args:
        rng: Random number generator.
        scene: The composed face.
        size: Side of the image in pixels.

    Returns:
        ``(size, size, 3) uint8`` RGB.
    """
    side = size * SUPERSAMPLING
    if scene.domain == "studio":
        picture = paint(_plain(rng, side, scene.person), scene.person, scene.posed)
        return _develop(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), scene.person)
    picture = paint(cluttered(rng, side), scene.person, scene.posed)
    cover(rng, picture, scene.person, scene.posed)
    return photograph(rng, cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA))


def draw_face(
    rng: np.random.Generator, expression: str, domain: str, size: int, person: Identity | None = None
) -> tuple[Image, npt.NDArray[np.float32]]:
    """Draw one face.

    Args:
        rng: Random number generator.
        expression: One of the eight expressions.
        domain: "studio" or "street".
        size: Side of the image in pixels.
        person: Identity of the face; None samples one.

    Returns:
        The image, ``(size, size, 3) uint8`` RGB, and the landmarks, ``(5, 2) float32`` as in ``Scene.landmarks``.

    Example:
        >>> picture, landmarks = draw_face(np.random.default_rng(0), "happiness", "studio", size=48)
        >>> picture.shape, landmarks.shape
        ((48, 48, 3), (5, 2))
    """
    scene = set_up(rng, expression, domain, person)
    return render(rng, scene, size), scene.landmarks


def _exposure(person: Identity) -> float:
    """Return the gain of a studio image, which moves the brightness of every skin halfway to a common value."""
    return min(1.45, float((_SITTER / np.dot(person.skin, (0.299, 0.587, 0.114))) ** 0.5))


def _plain(rng: np.random.Generator, side: int, person: Identity) -> Image:
    """Return a grey backdrop (side, side, 3), slightly lighter in the middle, that no exposure saturates."""
    ramp: FloatArray = rng.uniform(130, 215) - 26.0 * np.linspace(-1.0, 1.0, side) ** 2
    grey = np.empty((side, side), np.uint8)
    grey[:] = (ramp / max(_exposure(person), 1.0)).astype(np.uint8)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)


def _studio_pose(rng: np.random.Generator) -> Pose:
    return Pose(yaw=rng.normal(0, 0.03), roll=rng.normal(0, 0.012), scale=rng.normal(1.0, 0.012))


def _develop(picture: Image, person: Identity) -> Image:
    """Convert a studio image to exposed grey."""
    exposed = cv2.convertScaleAbs(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), alpha=_exposure(person))
    return np.asarray(cv2.cvtColor(exposed, cv2.COLOR_GRAY2RGB), np.uint8)


_PAPER = 250
_GAP = 6


def contact_sheet(
    domain_rows: Sequence[str] = DOMAINS,
    *,
    expressions: Sequence[str] = EXPRESSIONS,
    columns: int = 6,
    size: int = 112,
    seed: int = 0,
) -> Image:
    """Draw a contact sheet with one row per expression and the domains side by side.

    Each face has a different identity. Equal arguments give the same sheet.

    Args:
        domain_rows: Domains, from left to right.
        expressions: Expressions, from top to bottom.
        columns: Number of faces per expression and domain.
        size: Side of a face in pixels.
        seed: Seed of the random numbers.

    Returns:
        ``(H, W, 3) uint8`` RGB.
    """
    margin = size
    bands = []
    for expression in expressions:
        cells = [_label(expression, margin, size)]
        for place, domain in enumerate(domain_rows):
            if place:
                cells.append(np.full((size, _GAP, 3), _PAPER, np.uint8))
            for column in range(columns):
                entropy = [seed, DOMAINS.index(domain), EXPRESSIONS.index(expression), column]
                cells.append(draw_face(np.random.default_rng(entropy), expression, domain, size)[0])
        bands.append(np.concatenate(cells, axis=1))
    return np.concatenate(bands, axis=0)


def _label(text: str, width: int, height: int) -> Image:
    paper = np.full((height, width, 3), _PAPER, np.uint8)
    scale = width / 112 * 0.5
    cv2.putText(paper, text, (width // 16, height // 2), cv2.FONT_HERSHEY_SIMPLEX, scale, (40, 40, 40), 1, cv2.LINE_AA)
    return paper
