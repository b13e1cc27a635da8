"""Weak and strong views of whole batches of faces, on their device.

The weak view is a flip and a small affine map. The strong view adds light, contrast, blur, noise and erasing, as in
RandAugment (Cubuk et al., 2020) and FixMatch (Sohn et al., 2020). Every operation is batched. Landmarks move with the
image, and a flip swaps left and right.
"""

from __future__ import annotations

import math

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

MIRRORED = (1, 0, 2, 4, 3)


class AugmentSettings(BaseModel):
    """Ranges of the random views; 0 switches a part off."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flip: float = Field(0.5, ge=0, le=1)
    """Probability of mirroring."""
    rotation: float = Field(12.0, ge=0, le=90)
    """Degrees, either way."""
    scale: float = Field(0.12, ge=0, lt=1)
    """Relative enlargement or reduction."""
    shift: float = Field(0.06, ge=0, lt=1)
    """Share of the face side."""
    light: float = Field(0.25, ge=0, lt=1)
    """Relative brightness and contrast in the weak view of labelled faces; doubled in the strong view."""
    colour: float = Field(0.3, ge=0, le=1)
    """Saturation and tint in the strong view of colour faces."""
    blur: float = Field(0.5, ge=0, le=1)
    """Probability of blur in the strong view."""
    grain: float = Field(0.04, ge=0, le=1)
    """Largest standard deviation of noise in the strong view, of the full range."""
    erase: float = Field(0.5, ge=0, le=1)
    """Probability that the strong view loses a rectangle of up to .4 of the face side."""
    source_strong: float = Field(default=0.5, ge=0, le=1)
    """Share of source faces in strong view during adaptation (AdaMatch shows the source in both views)."""
    source_stage_strong: float = Field(default=0.0, ge=0, le=1)
    """The same for the source stage; worth it in long ones, whose model must bear pictures unlike the source's."""


def uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator, like: Tensor) -> Tensor:
    """Return uniform random numbers on the device of a tensor.

    Args:
        shape: their shape.
        low: lower bound.
        high: upper bound.
        generator: the generator, on any device.
        like: a tensor on the wanted device.

    Returns:
        float32 in [low, high).
    """
    drawn = torch.rand(shape, generator=generator, device=generator.device) * (high - low) + low
    return drawn.to(like.device)


def affine_maps(n: int, settings: AugmentSettings, generator: torch.Generator, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return random affine maps.

    Args:
        n: number of maps.
        settings: ranges of rotation, scale, shift and flip.
        generator: source of randomness.
        like: a tensor on the wanted device.

    Returns:
        Maps ``(n, 2, 3) float32`` in the units of ``affine_grid``, and which of them mirror, ``(n,) bool``.
    """
    turn = uniform((n,), -settings.rotation, settings.rotation, generator, like) * (math.pi / 180)
    size = 1 + uniform((n,), -settings.scale, settings.scale, generator, like)
    shift = uniform((n, 2), -2 * settings.shift, 2 * settings.shift, generator, like)
    mirror = uniform((n,), 0, 1, generator, like) < settings.flip
    sign = torch.where(mirror, -1.0, 1.0)
    cos, sin = turn.cos() / size, turn.sin() / size
    rows = torch.stack(
        [torch.stack([cos * sign, -sin, shift[:, 0]], 1), torch.stack([sin * sign, cos, shift[:, 1]], 1)], 1
    )
    return rows, mirror


def warp(faces: Tensor, maps: Tensor) -> Tensor:
    """Sample faces through affine maps; the border is replicated.

    Args:
        faces: ``(B, C, S, S) float32``.
        maps: ``(B, 2, 3) float32`` from output to input coordinates.

    Returns:
        ``(B, C, S, S) float32``.
    """
    grid = affine_grid(maps, list(faces.shape), align_corners=False)
    return grid_sample(faces, grid, mode="bilinear", padding_mode="border", align_corners=False)


def move_landmarks(landmarks: Tensor, maps: Tensor, mirror: Tensor) -> Tensor:
    """Return landmarks at the places where :func:`warp` puts them.

    Args:
        landmarks: ``(B, 5, 2)`` as x and y over the face side: left eye, right eye, nose, left and right mouth corner.
        maps: ``(B, 2, 3)`` the maps given to :func:`warp`.
        mirror: ``(B,) bool``; mirrored faces swap left and right landmarks.

    Returns:
        ``(B, 5, 2)``.
    """
    centred = 2 * landmarks - 1
    inverse = torch.linalg.inv(maps[:, :, :2])
    moved = torch.einsum("bij,bnj->bni", inverse, centred - maps[:, None, :, 2])
    swapped = torch.where(mirror[:, None, None], moved[:, list(MIRRORED)], moved)
    return (swapped + 1) / 2


def relight(faces: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """Change the brightness and contrast of each face at random.

    Args:
        faces: ``(B, C, S, S) float32`` in [0, 1].
        amount: largest relative change of contrast; brightness changes by half of it.
        generator: source of randomness.

    Returns:
        ``(B, C, S, S) float32`` in [0, 1].
    """
    n = len(faces)
    contrast = 1 + uniform((n, 1, 1, 1), -amount, amount, generator, faces)
    brightness = uniform((n, 1, 1, 1), -amount / 2, amount / 2, generator, faces)
    mean = faces.mean((1, 2, 3), keepdim=True)
    return ((faces - mean) * contrast + mean + brightness).clamp(0, 1)


def recolour(faces: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    """Change the saturation and tint of colour faces at random.

    Args:
        faces: ``(B, C, S, S) float32`` in [0, 1]; grey faces are returned unchanged.
        amount: strength in [0, 1].
        generator: source of randomness.

    Returns:
        ``(B, C, S, S) float32`` in [0, 1].
    """
    if faces.shape[1] == 1 or not amount:
        return faces
    n = len(faces)
    grey = faces.mean(1, keepdim=True)
    saturation = uniform((n, 1, 1, 1), max(0.0, 1 - 3 * amount), 1 + amount, generator, faces)
    tint = 1 + uniform((n, 3, 1, 1), -amount / 2, amount / 2, generator, faces)
    return ((grey + (faces - grey) * saturation) * tint).clamp(0, 1)


def blurred(faces: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Mix some faces with a 5x5 box-blurred copy, each with a random weight.

    Args:
        faces: ``(B, C, S, S) float32``.
        share: probability that a face is blurred.
        generator: source of randomness.

    Returns:
        ``(B, C, S, S) float32``.
    """
    n = len(faces)
    weight = uniform((n, 1, 1, 1), 0, 1, generator, faces)
    weight = weight * (uniform((n, 1, 1, 1), 0, 1, generator, faces) < share)
    soft = torch.nn.functional.avg_pool2d(faces, 5, stride=1, padding=2, count_include_pad=False)
    return torch.lerp(faces, soft, weight)


def grained(faces: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise of a random strength to each face.

    Args:
        faces: ``(B, C, S, S) float32`` in [0, 1].
        most: largest standard deviation.
        generator: source of randomness.

    Returns:
        ``(B, C, S, S) float32`` in [0, 1].
    """
    strength = uniform((len(faces), 1, 1, 1), 0, most, generator, faces)
    noise = torch.randn(faces.shape, generator=generator, device=generator.device).to(faces.device)
    return (faces + strength * noise).clamp(0, 1)


def erased(faces: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Replace a random rectangle of some faces by the mean of the face (random erasing; Zhong et al., AAAI 2020).

    Args:
        faces: ``(B, C, S, S) float32``.
        share: probability that a face is erased.
        generator: source of randomness.

    Returns:
        ``(B, C, S, S) float32``.
    """
    n, _, height, width = faces.shape
    half = uniform((n, 2, 1), 0.05, 0.2, generator, faces)
    centre = uniform((n, 2, 1), 0, 1, generator, faces)
    chosen = uniform((n, 1, 1, 1), 0, 1, generator, faces) < share
    ys = (torch.arange(height, device=faces.device) + 0.5) / height
    xs = (torch.arange(width, device=faces.device) + 0.5) / width
    inside_y = (ys[None] - centre[:, 0]).abs() < half[:, 0]
    inside_x = (xs[None] - centre[:, 1]).abs() < half[:, 1]
    hole = (inside_y[:, None, :, None] & inside_x[:, None, None, :]) & chosen
    return torch.where(hole, faces.mean((1, 2, 3), keepdim=True), faces)


def weak_view(faces: Tensor, settings: AugmentSettings, generator: torch.Generator, light: bool = True) -> Tensor:
    """Return mirrored and slightly moved copies of faces.

    Args:
        faces: ``(B, C, S, S) float32`` in [0, 1].
        settings: ranges of the view.
        generator: source of randomness.
        light: whether to change brightness and contrast too.

    Returns:
        ``(B, C, S, S) float32`` in [0, 1].
    """
    maps, _ = affine_maps(len(faces), settings, generator, faces)
    moved = warp(faces, maps)
    return relight(moved, settings.light, generator) if light else moved


def strong_view(faces: Tensor, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """Return strongly changed copies of faces.

    Args:
        faces: ``(B, C, S, S) float32`` in [0, 1].
        settings: ranges of the view.
        generator: source of randomness.

    Returns:
        ``(B, C, S, S) float32`` in [0, 1].
    """
    out = weak_view(faces, settings, generator, light=False)
    out = relight(out, min(2 * settings.light, 0.9), generator)
    out = recolour(out, settings.colour, generator)
    out = blurred(out, settings.blur, generator)
    out = grained(out, settings.grain, generator) if settings.grain else out
    return erased(out, settings.erase, generator)


def source_view(faces: Tensor, settings: AugmentSettings, generator: torch.Generator, share: float) -> Tensor:
    """Return views of labelled faces: the first part strong, the rest weak.

    Args:
        faces: ``(B, C, S, S) float32`` in [0, 1].
        settings: ranges of the views.
        generator: source of randomness.
        share: fraction of strong views, in [0, 1].

    Returns:
        ``(B, C, S, S) float32`` in [0, 1].
    """
    strong = round(share * len(faces))
    pairs = ((strong_view, faces[:strong]), (weak_view, faces[strong:]))
    return torch.cat([view(part, settings, generator) for view, part in pairs if len(part)])
