"""Known shifts: what all have in common, and each against an independent computation."""

from __future__ import annotations

from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import kstest, norm

from dcdan.corruptions.shifts import SEVERITIES, SHIFT_KINDS, SHIFTS, Shift, ShiftKind, jpeg, shifted
from dcdan.datasets.synthetic.domains import draw_face
from dcdan.expressions import EXPRESSIONS
from dcdan.faces.align import TEMPLATE

NAMES = [f"face/{index}.png" for index in range(200)]
SMOOTH: tuple[ShiftKind, ...] = ("blur", "occlusion", "jpeg", "pose", "contrast")


def drawn(count: int, size: int) -> np.ndarray:
    """Return faces (count, size, size, 3)."""
    return np.stack(
        [draw_face(np.random.default_rng([7, i]), EXPRESSIONS[i % 7], "street", size)[0] for i in range(count)]
    )


@pytest.fixture(scope="module")
def colour() -> np.ndarray:
    return drawn(12, 96)


@pytest.fixture(scope="module")
def grey(colour: np.ndarray) -> np.ndarray:
    return np.stack([cv2.cvtColor(face, cv2.COLOR_RGB2GRAY) for face in colour])


def under(faces: np.ndarray, kind: ShiftKind, severity: int, seed: int = 0) -> np.ndarray:
    shift = Shift(kind=kind, severity=severity, seed=seed)
    return shifted(faces, shift, NAMES[: len(faces)], [0] * len(faces))


def halved(faces: np.ndarray) -> np.ndarray:
    side = faces.shape[1] // 2
    return np.stack([cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA) for face in faces])


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())


def test_the_table_is_whole() -> None:
    assert tuple(SHIFTS) == SHIFT_KINDS
    for recipe in SHIFTS.values():
        assert len(recipe.strengths) == len(SEVERITIES)
        assert len(set(recipe.strengths)) == len(SEVERITIES)


@pytest.mark.parametrize("kind", SHIFT_KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_face_is_shifted_alike_in_every_batch(
    kind: ShiftKind, channels: int, grey: np.ndarray, colour: np.ndarray
) -> None:
    some = halved(grey if channels == 1 else colour)
    faces = np.concatenate([some, 255 - some, some // 2, some])
    before = faces.copy()
    faces.flags.writeable = False
    out = under(faces, kind, 3)
    assert np.array_equal(faces, before)
    assert out.shape == faces.shape
    assert out.dtype == np.uint8
    order = np.random.default_rng(0).permutation(len(faces))
    paths = [NAMES[index] for index in order]
    shift = Shift(kind=kind, severity=3)
    assert np.array_equal(shifted(faces[order], shift, paths, [0] * len(order)), out[order])
    assert np.array_equal(shifted(faces[5:6], shift, NAMES[5:6], [0]), out[5:6])
    assert under(faces[:0], kind, 3).shape == (0, *faces.shape[1:])


@pytest.mark.parametrize("kind", ["noise", "lowlight", "occlusion", "pose"])
def test_random_shifts_follow_seed_path_and_number(kind: ShiftKind, grey: np.ndarray) -> None:
    same = np.repeat(halved(grey[:1]), 16, axis=0)
    out = under(same, kind, 3)
    assert len({face.tobytes() for face in out}) > 1
    assert not np.array_equal(out, under(same, kind, 3, seed=1))
    numbered = shifted(same, Shift(kind=kind, severity=3), [NAMES[0]] * 16, list(range(16)))
    assert len({face.tobytes() for face in numbered}) > 1


@pytest.mark.parametrize("kind", SHIFT_KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_higher_severity_is_further_from_the_face(
    kind: ShiftKind, channels: int, grey: np.ndarray, colour: np.ndarray
) -> None:
    faces = grey if channels == 1 else colour
    away = [distance(under(faces, kind, severity), faces) for severity in SEVERITIES]
    assert away == sorted(away)
    assert away[0] > 0.2
    assert away[4] > 1.4 * away[0]


@pytest.mark.parametrize("kind", SMOOTH)
@pytest.mark.parametrize("severity", [2, 5])
def test_a_severity_means_the_same_at_another_size(kind: ShiftKind, severity: int, colour: np.ndarray) -> None:
    small = halved(colour)
    own = under(small, kind, severity)
    # What JPEG keeps is decided by thresholds, and the grain that the small faces have lost takes part in that.
    allowed = 0.4 if kind == "jpeg" else 0.25
    assert distance(halved(under(colour, kind, severity)), own) < allowed * distance(own, small)


@pytest.mark.parametrize("kind", ["noise", "lowlight"])
def test_grain_means_the_same_at_another_size(kind: ShiftKind) -> None:
    large, small = (np.full((20, side, side), 128, np.uint8) for side in (128, 64))
    averaged = under(large, kind, 1).reshape(20, 64, 2, 64, 2).mean((2, 4))
    own = under(small, kind, 1).astype(float)
    assert averaged.mean() == pytest.approx(own.mean(), rel=0.02)
    assert averaged.std() == pytest.approx(own.std(), rel=0.05)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_blur_is_a_gaussian_of_a_share_of_the_side(severity: int, colour: np.ndarray) -> None:
    deviation = SHIFTS["blur"].strengths[severity - 1] * 96
    out = under(colour[:2], "blur", severity)
    for face, found in zip(colour, out, strict=False):
        for channel in range(3):
            exact = gaussian_filter(
                face[..., channel].astype(float), deviation, mode="nearest", radius=int(np.ceil(4 * deviation))
            )
            assert np.abs(found[..., channel] - exact).max() < 0.5 + 1e-6


def test_contrast_against_loops(colour: np.ndarray) -> None:
    faces = halved(halved(colour[:2]))
    out = under(faces, "contrast", 4)
    share = SHIFTS["contrast"].strengths[3]
    for index, face in enumerate(faces):
        for channel in range(3):
            values = [int(value) for value in face[..., channel].ravel()]
            mean = sum(values) / len(values)
            expected = [mean + share * (value - mean) for value in values]
            assert np.abs(out[index, ..., channel].ravel() - np.array(expected)).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("size", [32, 64])
def test_noise_is_normal_of_the_stated_deviation(size: int) -> None:
    flat = np.full((40, size, size), 128, np.uint8)
    rest = under(flat, "noise", 3).astype(float) - 128
    deviation = 255 * SHIFTS["noise"].strengths[2] * size / 64
    assert rest.mean() == pytest.approx(0, abs=0.02 * deviation)
    assert rest.std() == pytest.approx(np.hypot(deviation, 1 / np.sqrt(12)), rel=0.02)
    spread = rest + np.random.default_rng(0).uniform(-0.5, 0.5, rest.shape)
    assert kstest(spread.ravel()[:4000], norm(0, deviation).cdf).pvalue > 0.01


@pytest.mark.parametrize("severity", [1, 3])
def test_lowlight_lets_the_stated_light_in_with_its_shot_noise(severity: int) -> None:
    share = SHIFTS["lowlight"].strengths[severity - 1]
    out = under(np.full((60, 64, 64), 220, np.uint8), "lowlight", severity)
    light = (out / 255) ** 2.2
    expected = share * (220 / 255) ** 2.2
    assert light.mean() == pytest.approx(expected, rel=0.02)
    # A Poisson number of photons has its mean as variance.
    photons = 1500 * light
    assert photons.var() == pytest.approx(1500 * expected, rel=0.12)
    assert under(np.zeros((1, 64, 64), np.uint8), "lowlight", severity).max() == 0


@pytest.mark.parametrize("severity", [1, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_at_112_pixels_is_what_pillow_gives(severity: int, channels: int) -> None:
    face = drawn(1, 112)[0]
    face = face if channels == 3 else face[..., 1].copy()
    file = BytesIO()
    quality = int(SHIFTS["jpeg"].strengths[severity - 1])
    Image.fromarray(face).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    expected = np.asarray(Image.open(file)).astype(int)
    found = under(face[None], "jpeg", severity)[0]
    assert np.abs(found - expected).mean() < 0.2
    assert np.abs(found - expected).max() <= 3


@pytest.mark.parametrize("size", [48, 160])
def test_jpeg_at_another_size_keeps_what_the_code_keeps(size: int) -> None:
    faces = drawn(2, size)
    assert distance(jpeg(faces, 100, np.zeros(2, np.uint64)), faces) < 1.5


@pytest.mark.parametrize("severity", SEVERITIES)
def test_occlusion_covers_the_stated_area_of_one_grey_near_a_part(severity: int) -> None:
    ramp = np.linspace(0, 255, 64)[None, :, None, None] * np.ones((60, 1, 64, 3))
    faces = ramp.astype(np.uint8)
    out = under(faces, "occlusion", severity)
    share = SHIFTS["occlusion"].strengths[severity - 1]
    for face, found in zip(faces, out, strict=True):
        changed = (face != found).any(-1)
        # One line of the ramp may have the very grey of the cover.
        assert changed.mean() == pytest.approx(share, abs=0.03)
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        inner = found[rows[2] : rows[-2], columns[2] : columns[-2]]
        assert len(np.unique(inner)) == 1
        assert rows[-1] - rows[0] < 63
        if severity == 1:
            centre = np.array([columns.mean(), rows.mean()]) / 64
            assert np.abs(TEMPLATE - centre).max(1).min() < 0.13
    parts = (out != faces).any(-1)
    stronger = (under(faces, "occlusion", min(severity + 1, 5)) != faces).any(-1)
    assert (parts & ~stronger).mean() < 0.01
    assert parts.any(0)[20:50, 15:50].mean() > 0.9


def test_pose_turns_to_both_sides(grey: np.ndarray) -> None:
    even = np.repeat((grey[:1].astype(int) + grey[:1, :, ::-1]).astype(np.uint16) // 2, 40, axis=0).astype(np.uint8)
    out = under(even, "pose", 4)
    kinds = {face.tobytes() for face in out}
    assert len(kinds) == 4
    left, right = out[:, :, :48].mean(), out[:, :, 48:].mean()
    assert left == pytest.approx(right, rel=0.15)
