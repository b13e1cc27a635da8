"""The domain `street`: cluttered background, rotated head, light from one side, and a low-quality camera."""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist

import cv2
import numpy as np
import numpy.typing as npt

from dcdan.datasets.synthetic.action_units import FloatArray
from dcdan.datasets.synthetic.drawing import Canvas, Image, to_pixels
from dcdan.datasets.synthetic.geometry import Pose


def cluttered(rng: np.random.Generator, side: int) -> Image:
    """Return a background of blurred coloured shapes that resemble walls, windows, lamps and leaves.

    Args:
        rng: Random number generator.
        side: Side of the image in pixels.

    Returns:
        ``(side, side, 3) uint8`` RGB.
    """
    small = max(side // 8, 8)
    base = rng.uniform(90, 150) + rng.uniform(-50, 60, 3)
    canvas = Canvas(np.full((small, small, 3), base.astype(np.uint8), np.uint8))
    for _ in range(int(rng.integers(4, 9))):
        centre, spread = rng.uniform(-0.1, 1.1, 2), rng.uniform(0.1, 0.45)
        shape = centre + rng.uniform(-1.0, 1.0, (int(rng.integers(3, 6)), 2)) * spread
        red, green, blue = base + rng.uniform(-90, 90, 3)
        canvas.fill(to_pixels({"": shape}, small)[""], (red, green, blue))
    soft = cv2.GaussianBlur(canvas.image, (0, 0), rng.uniform(0.5, 1.8))
    return np.asarray(cv2.resize(soft, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


def draw_pose(rng: np.random.Generator) -> Pose:
    """Sample a moderate pose in which the face can still be detected and aligned."""
    return Pose(
        yaw=float(np.clip(rng.normal(0, 0.26), -0.55, 0.55)),
        pitch=float(np.clip(rng.normal(0, 0.12), -0.25, 0.25)),
        roll=float(np.clip(rng.normal(0, 0.09), -0.2, 0.2)),
        scale=rng.uniform(0.88, 1.08),
        shift=(rng.normal(0, 0.018), rng.normal(0, 0.018)),
    )


def _light(rng: np.random.Generator, size: int) -> FloatArray:
    """Return a light field (size, size, 3): a ramp from one side, a tint, and sometimes a shadow with a soft edge."""
    coarse = 16
    grid = np.linspace(-1.0, 1.0, coarse)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.cos(angle) * grid[None, :] + np.sin(angle) * grid[:, None]
    field = 1.0 + rng.uniform(0.1, 0.55) * ramp
    if rng.random() < 0.5:
        canvas = Canvas(np.full((coarse, coarse), 255, np.uint8))
        middle = rng.uniform(0.2, 0.8, 2)
        shape = to_pixels({"": middle + rng.uniform(-1, 1, (4, 2)) * 0.6}, coarse)[""]
        canvas.fill(shape, 255.0 * rng.uniform(0.5, 0.8))
        field = field * (cv2.GaussianBlur(canvas.image, (0, 0), 0.8) / 255.0)
    tint = np.exp(rng.normal(0, 0.09, 3))
    field = field * rng.uniform(0.8, 1.2)
    coloured = (field[:, :, None] * tint).astype(np.float32)
    return np.asarray(cv2.resize(coloured, (size, size), interpolation=cv2.INTER_LINEAR))


def _blur(rng: np.random.Generator, image: Image) -> Image:
    """Apply defocus blur, and sometimes motion blur or a low resolution; strengths are in 112ths of the side."""
    unit = image.shape[0] / 112
    image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.6, 1.5) * unit), np.uint8)
    kind = rng.random()
    if kind < 0.25:
        length = max(2, round(rng.uniform(2, 6) * unit))
        kernel = np.zeros((length, length), np.float32)
        angle = rng.uniform(0, np.pi)
        middle, reach = (length - 1) / 2, length / 2
        offset = np.array([np.cos(angle), np.sin(angle)]) * reach
        first, last = np.round(middle - offset).astype(int), np.round(middle + offset).astype(int)
        cv2.line(kernel, (int(first[0]), int(first[1])), (int(last[0]), int(last[1])), 1.0)
        return np.asarray(cv2.filter2D(image, -1, kernel / max(float(kernel.sum()), 1.0)), np.uint8)
    if kind < 0.5:
        low = max(16, round(rng.uniform(0.36, 0.75) * image.shape[0]))
        small = cv2.resize(image, (low, low), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, image.shape[:2], interpolation=cv2.INTER_LINEAR), np.uint8)
    return image


@lru_cache(maxsize=1)
def _normal_steps() -> FloatArray:
    """Return the standard normal quantiles at the midpoints of 256 equal shares, which map random bytes to noise."""
    normal = NormalDist()
    return np.array([normal.inv_cdf((step + 0.5) / 256) for step in range(256)])


def _noise(rng: np.random.Generator, size: int, grain: float) -> npt.NDArray[np.float32]:
    """Return grey noise (size, size, 3) with the standard deviation `grain`; bytes are much faster than normals."""
    steps = np.frombuffer(rng.bytes(size * size), np.uint8).reshape(size, size)
    table = (_normal_steps() * grain).astype(np.float32)
    return np.asarray(cv2.LUT(cv2.cvtColor(steps, cv2.COLOR_GRAY2RGB), table), np.float32)


def photograph(rng: np.random.Generator, image: Image) -> Image:
    """Degrade an image as a street camera would: light, tone, blur, noise and JPEG compression.

    Args:
        rng: Random number generator.
        image: ``(S, S, 3) uint8`` RGB.

    Returns:
        ``(S, S, 3) uint8`` RGB.
    """
    # Automatic exposure is partial: a dark face in front of a bright wall remains dark.
    exposure = (rng.uniform(100, 135) / max(float(cv2.mean(image)[0]), 20.0)) ** 0.6
    lit = cv2.multiply(image, _light(rng, image.shape[0]), scale=exposure, dtype=cv2.CV_8U)
    gamma, contrast, level = np.exp(rng.normal(0, 0.25)), rng.uniform(0.45, 0.85), rng.uniform(0.42, 0.58)
    tone = ((np.arange(256) / 255.0) ** gamma - 0.5) * contrast + level
    picture = _blur(rng, cv2.LUT(lit, np.clip(tone * 255, 0, 255).astype(np.uint8)))
    # Downsampling also averages noise; this scale makes the same face equally noisy at every size.
    grain = rng.uniform(4.0, 10.0) * image.shape[0] / 112
    noisy = cv2.add(picture, _noise(rng, image.shape[0], grain), dtype=cv2.CV_8U)
    coded = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 85))])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
