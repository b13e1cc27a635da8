"""The local branch: five regions of the face, cut from the stride-8 map and merged by learned weights.

P: "additional convolutional layers" on "regions such as the eyes and mouth". R: both eyes, nose, both mouth corners.
Aligned faces make fixed windows possible: cutting is then two small matrix products, which export everywhere. They
sample the map exactly as ``torchvision.ops.roi_align`` does, which serves when a face's own landmarks are given.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from dcdan.core.outputs import REGIONS
from dcdan.faces.align import TEMPLATE
from dcdan.models.domain_norm import fold
from dcdan.models.heads import pooled

SIDE = 0.28
CELLS = 7
SAMPLES = 2


def cut_matrix(centres: np.ndarray, side: int, width: float = SIDE, cells: int = CELLS) -> np.ndarray:
    """Return ``(R, cells, side)`` float32: row i of region r averages the map at roi_align's sample points.

    ``centres`` ``(R,)`` along one axis in units of the face side; ``side`` in cells of the map.
    """
    start = (centres - width / 2) * side - 0.5
    step = width * side / cells
    offsets = (np.arange(cells * SAMPLES) + 0.5) / SAMPLES
    points = np.clip(start[:, None] + offsets[None] * step, 0, side - 1)
    low = np.minimum(points.astype(int), max(side - 2, 0))
    weight = points - low
    matrix = np.zeros((len(centres), cells * SAMPLES, side))
    region, row = np.meshgrid(np.arange(len(centres)), np.arange(cells * SAMPLES), indexing="ij")
    matrix[region, row, low] += 1 - weight
    matrix[region, row, np.minimum(low + 1, side - 1)] += weight
    rows: np.ndarray = matrix.reshape(len(centres), cells, SAMPLES, side).mean(2).astype(np.float32)
    return rows


def seen_part(matrix: np.ndarray) -> slice:
    """Return the part of a side that the windows of a :func:`cut_matrix` see; the rest need not be computed."""
    seen = np.flatnonzero(matrix.any((0, 1)))
    return slice(int(seen[0]), int(seen[-1]) + 1)


def cut_fixed(features: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Cut the template's windows: ``(B, C, H, W)``, ``(R, 7, H)``, ``(R, 7, W)`` -> ``(B, R, 7, 7, C)``.

    One product over the places of the map, with the channels last: the layout that maps have in training stays. In a
    graph for elsewhere the matrix is the second factor, which a runtime can pack once and need not repeat.
    """
    regions = rows.shape[0]
    cells = rows.shape[1] * columns.shape[1]
    places = (rows[:, :, None, :, None] * columns[:, None, :, None, :]).reshape(regions * cells, -1)
    if torch.compiler.is_exporting():
        cut = (features.flatten(2) @ places.T).transpose(1, 2)
    else:
        cut = torch.bmm(places.expand(features.shape[0], -1, -1), features.flatten(2).transpose(1, 2))
    return cut.reshape(cut.shape[0], regions, rows.shape[1], columns.shape[1], -1)


def cut_given(features: Tensor, landmarks: Tensor) -> Tensor:
    """Cut windows around landmarks ``(B, 5, 2)`` in units of the face side: ``(B, C, H, W)`` -> ``(B, 5, 7, 7, C)``."""
    b, _, h, w = features.shape
    scale = landmarks.new_tensor([w, h])
    centres = landmarks.clamp(SIDE / 2, 1 - SIDE / 2)
    boxes = torch.cat([(centres - SIDE / 2) * scale, (centres + SIDE / 2) * scale], -1).to(features.dtype)
    cut: Tensor = roi_align(features, list(boxes), output_size=CELLS, sampling_ratio=SAMPLES, aligned=True)
    return cut.permute(0, 2, 3, 1).reshape(b, landmarks.shape[1], CELLS, CELLS, -1)


def separable(inputs: int, outputs: int, stride: int, activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Depthwise 3x3, pointwise, norm, activation."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride=stride, padding=1, groups=inputs, bias=False),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        activation(),
    )


class LocalBranch(nn.Module):
    """Stride-8 map ``(B, C, H, W)`` -> local features ``(B, width)``, weights ``(B, 5)`` that sum to 1, and regions."""

    rows: Tensor

    def __init__(
        self, channels: int, map_side: int, width: int, activation: Callable[[], nn.Module], hidden: int = 64
    ) -> None:
        super().__init__()
        self.reduce = nn.Sequential(nn.Conv2d(channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), activation())
        self.embedding = nn.Parameter(torch.zeros(len(REGIONS), hidden))
        nn.init.normal_(self.embedding, std=0.02)
        self.stack = nn.Sequential(
            separable(hidden, 2 * hidden, 1, activation), separable(2 * hidden, width, 2, activation)
        )
        self.score = nn.Linear(width, 1)
        columns, rows = (cut_matrix(TEMPLATE[:, axis], map_side) for axis in (0, 1))
        self.register_buffer("columns", torch.from_numpy(columns), persistent=False)
        self.register_buffer("rows", torch.from_numpy(rows), persistent=False)
        self.seen = seen_part(rows), seen_part(columns)

    def forward(self, features: Tensor, landmarks: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Cut the regions (fixed windows unless landmarks ``(B, 5, 2)`` are given), look at each, and merge.

        The third result are the regions' own features ``(B, 5, width)``.
        """
        rows, columns = self.rows, self.get_buffer("columns")
        if landmarks is None and torch.compiler.is_exporting():
            down, across = self.seen
            features, rows, columns = features[:, :, down, across], rows[:, :, down], columns[:, :, across]
        reduced: Tensor = self.reduce(features)
        if landmarks is None:
            cut = cut_fixed(reduced, rows.to(reduced.dtype), columns.to(reduced.dtype))
        else:
            cut = cut_given(reduced, landmarks)
        cut = cut + self.embedding[:, None, None]
        fold(self.stack, cut.shape[1])
        seen = pooled(self.stack(cut.flatten(0, 1).permute(0, 3, 1, 2))).reshape(*cut.shape[:2], -1)
        weights = self.score(seen).squeeze(2).softmax(1)
        return (weights[:, :, None] * seen).sum(1), weights, seen
