"""Identity of a synthetic person: the parameters that do not depend on the expression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dcdan.datasets.synthetic.action_units import FloatArray

Colour = tuple[float, float, float]

_SKIN: FloatArray = np.array(
    [[250, 224, 205], [240, 201, 172], [224, 178, 142], [198, 146, 108], [162, 110, 77], [120, 78, 54], [88, 57, 41]],
    dtype=np.float64,
)
_HAIR: tuple[Colour, ...] = (
    (28, 24, 26),
    (46, 34, 28),
    (78, 52, 34),
    (112, 76, 44),
    (168, 124, 70),
    (214, 178, 116),
    (142, 66, 34),
    (150, 146, 144),
    (212, 208, 204),
)
_IRIS: tuple[Colour, ...] = ((62, 40, 26), (84, 56, 32), (112, 92, 48), (70, 104, 132), (88, 118, 96), (112, 120, 128))
_CLOTHES: tuple[Colour, ...] = (
    (52, 70, 104),
    (122, 52, 56),
    (60, 94, 78),
    (214, 208, 196),
    (58, 58, 62),
    (168, 126, 70),
)
BEARDS = ("none", "stubble", "moustache", "goatee", "full")


@dataclass(frozen=True, slots=True)
class Identity:
    """Parameters of a person: lengths in units of the face side, factors around 1, others (such as age) in 0..1."""

    half_width: float
    jaw: float
    chin: float
    chin_width: float
    skin: Colour
    hair: Colour
    hair_style: str
    hairline: float
    parting: float
    brow_height: float
    brow_width: float
    brow_arch: float
    brow_tilt: float
    eye_spacing: float
    eye_width: float
    eye_open: float
    eye_tilt: float
    crease: float
    iris: Colour
    nose_width: float
    nose_length: float
    mouth_width: float
    mouth_height: float
    upper_lip: float
    lower_lip: float
    lip_colour: float
    lashes: float
    age: float
    beard: str
    freckles: float
    clothes: Colour
    earrings: bool


def _mix(low: Colour | FloatArray, high: Colour | FloatArray, share: float) -> Colour:
    mixed = np.asarray(low) * (1.0 - share) + np.asarray(high) * share
    return float(mixed[0]), float(mixed[1]), float(mixed[2])


def _skin(rng: np.random.Generator) -> Colour:
    tone = rng.uniform(0, len(_SKIN) - 1)
    index = min(int(tone), len(_SKIN) - 2)
    warmth = rng.uniform(-5, 5)
    red, green, blue = _mix(_SKIN[index], _SKIN[index + 1], tone - index)
    return min(red + warmth, 255.0), green, max(blue - warmth, 0.0)


def _hair(rng: np.random.Generator, skin: Colour, age: float) -> Colour:
    """Sample a hair colour: dark skin mostly with dark hair, and mostly grey hair at old age."""
    if rng.random() < (age - 0.55) * 1.8:
        return _HAIR[int(rng.integers(7, 9))]
    return _HAIR[int(rng.integers(0, 7 if skin[0] > 190 else 3))]


def draw_identity(rng: np.random.Generator) -> Identity:
    """Sample a person; the same state of the generator gives the same person.

    Args:
        rng: Random number generator.

    Returns:
        The identity.

    Example:
        >>> one, other = (draw_identity(np.random.default_rng(7)) for _ in range(2))
        >>> one == other
        True
    """
    softness = rng.random()
    age = float(rng.beta(1.3, 1.8))
    skin = _skin(rng)
    soft = softness > 0.5
    styles: tuple[str, ...] = ("fringe", "parted", "curly", "long", "long", "bob", "tied", "scarf", "short")
    if not soft:
        styles = ("short", "crop", "short", "crop", "parted", "curly", "bald", "fringe")
    beard = "none" if soft or age < 0.15 else str(rng.choice(BEARDS, p=[0.5, 0.2, 0.08, 0.09, 0.13]))
    return Identity(
        half_width=rng.uniform(0.325, 0.385),
        jaw=rng.uniform(0.68, 0.8) + (0.0 if soft else 0.06),
        chin=rng.uniform(0.945, 0.985),
        chin_width=rng.uniform(0.26, 0.36) + (0.0 if soft else 0.06),
        skin=skin,
        hair=_hair(rng, skin, age),
        hair_style=str(rng.choice(styles)),
        hairline=rng.uniform(0.06, 0.125),
        parting=rng.uniform(-0.14, 0.14),
        brow_height=rng.normal(0.288, 0.008),
        brow_width=rng.uniform(0.0085, 0.013) + (0.0 if soft else 0.0035),
        brow_arch=rng.uniform(0.004, 0.02),
        brow_tilt=rng.normal(0.0, 0.005),
        eye_spacing=rng.normal(0.16, 0.005),
        eye_width=rng.normal(0.076, 0.004),
        eye_open=float(np.clip(rng.normal(1.0, 0.08), 0.82, 1.2)),
        eye_tilt=rng.normal(-0.004, 0.005),
        crease=rng.uniform(0.2, 1.0),
        iris=_IRIS[int(rng.integers(0, len(_IRIS) if skin[0] > 200 else 2))],
        nose_width=rng.uniform(0.85, 1.2),
        nose_length=rng.normal(1.0, 0.03),
        mouth_width=rng.normal(1.0, 0.045),
        mouth_height=rng.normal(0.747, 0.007),
        upper_lip=rng.uniform(0.75, 1.2),
        lower_lip=rng.uniform(0.75, 1.2),
        lip_colour=rng.uniform(0.35, 0.8) if soft else rng.uniform(0.1, 0.35),
        lashes=rng.uniform(0.5, 1.0) if soft else rng.uniform(0.0, 0.4),
        age=age,
        beard=beard,
        freckles=max(0.0, rng.uniform(-2.0, 1.0)) if skin[0] > 215 else 0.0,
        clothes=_CLOTHES[int(rng.integers(len(_CLOTHES)))],
        earrings=bool(soft and rng.random() < 0.35),
    )
