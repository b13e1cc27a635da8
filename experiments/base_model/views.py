"""Strong random views of whole batches of grey faces, rendered at the size that training takes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, interpolate

from dcdan.training.augment import AugmentSettings, affine_maps, blurred, erased, grained, uniform

GEOMETRY = AugmentSettings(rotation=15.0, scale=0.15, shift=0.06)


def rendered(faces: Tensor, size: int) -> Tensor:
    """Return faces ``(B, 1, S, S)`` in [0, 1] at another size, as they are."""
    if faces.shape[-1] == size:
        return faces
    return interpolate(faces, (size, size), mode="bilinear", antialias=True, align_corners=False)


def coarse(faces: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Take fine detail from a share of the faces: down to 14 to 48 px and up again, in four groups of one size each."""
    size = faces.shape[-1]
    out = []
    for part in faces.chunk(4):
        if torch.rand((), generator=generator) < share:
            side = int(torch.randint(14, 49, (), generator=generator))
            part = interpolate(part, (side, side), mode="area")
            part = interpolate(part, (size, size), mode="bilinear", align_corners=False)
        out.append(part)
    return torch.cat(out)


def shaded(faces: Tensor, generator: torch.Generator) -> Tensor:
    """Change gamma and contrast of each face, and light it from a random side."""
    n, _, height, width = faces.shape
    gamma = uniform((n, 1, 1, 1), -0.7, 0.7, generator, faces).exp()
    x = torch.linspace(-1, 1, width)[None, None, None, :]
    y = torch.linspace(-1, 1, height)[None, None, :, None]
    slope = uniform((n, 2, 1, 1, 1), -0.35, 0.35, generator, faces)
    lit = faces.clamp_min(1e-3).pow(gamma) * (1 + slope[:, 0] * x + slope[:, 1] * y)
    contrast = uniform((n, 1, 1, 1), 0.5, 1.4, generator, faces)
    mean = lit.mean((1, 2, 3), keepdim=True)
    light = uniform((n, 1, 1, 1), -0.15, 0.15, generator, faces)
    return ((lit - mean) * contrast + mean + light).clamp(0, 1)


def softened(faces: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Blur a share of the faces strongly."""
    n = len(faces)
    weight = (uniform((n, 1, 1, 1), 0, 1, generator, faces) < share).to(faces)
    soft = avg_pool2d(faces, 7, stride=1, padding=3, count_include_pad=False)
    return torch.lerp(faces, soft, weight * uniform((n, 1, 1, 1), 0.3, 1, generator, faces))


def training_view(faces: Tensor, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a random view ``(B, 1, size, size)`` of faces ``(B, 1, S, S)`` in [0, 1], and which are mirrored."""
    maps, mirror = affine_maps(len(faces), GEOMETRY, generator, faces)
    grid = affine_grid(maps, [len(faces), 1, size, size], align_corners=False)
    out = grid_sample(faces, grid, mode="bilinear", padding_mode="border", align_corners=False)
    out = coarse(out, 0.4, generator)
    out = shaded(out, generator)
    out = softened(blurred(out, 0.3, generator), 0.08, generator)
    out = grained(out, 0.09, generator)
    return erased(out, 0.4, generator), mirror
