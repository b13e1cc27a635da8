"""The local branch: five regions of the face, cut from the stride-8 map and merged with learned weights.

From the paper: "additional convolutional layers" on "regions such as the eyes and mouth". From related work: both eyes,
nose, both mouth corners. Aligned faces allow fixed windows, which are cut by two small matrix products that every
runtime supports. They sample the map exactly as ``torchvision.ops.roi_align`` does, which is used for landmarks of
single faces.
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
    """Return matrices whose rows average a side of the map at the sample points of roi_align.

    Args:
        centres: ``(R,)`` centres of the regions along one axis, over the face side.
        side: side of the map in cells.
        width: side of a region over the face side.
        cells: cells of a region.

    Returns:
        ``(R, cells, side) float32``; each row sums to 1.
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


def used_part(matrix: np.ndarray) -> slice:
    """Return the part of a side that the windows of a :func:`cut_matrix` use; the rest need not be computed.

    Args:
        matrix: ``(R, cells, side)``.

    Returns:
        A slice of the side.
    """
    seen = np.flatnonzero(matrix.any((0, 1)))
    return slice(int(seen[0]), int(seen[-1]) + 1)


def cut_fixed(features: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Cut the windows of the template.

    One product over the places of the map, with channels last, preserves the memory layout of maps in training. In an
    exported graph the matrix is the second factor, which a runtime can pack once.

    Args:
        features: ``(B, C, H, W)``.
        rows: ``(R, 7, H)``.
        columns: ``(R, 7, W)``.

    Returns:
        ``(B, R, 7, 7, C)``.
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
    """Cut windows around landmarks.

    Args:
        features: ``(B, C, H, W)``.
        landmarks: ``(B, 5, 2)`` x and y over the face side.

    Returns:
        ``(B, 5, 7, 7, C)``.
    """
    b, _, h, w = features.shape
    scale = landmarks.new_tensor([w, h])
    centres = landmarks.clamp(SIDE / 2, 1 - SIDE / 2)
    boxes = torch.cat([(centres - SIDE / 2) * scale, (centres + SIDE / 2) * scale], -1).to(features.dtype)
    cut: Tensor = roi_align(features, list(boxes), output_size=CELLS, sampling_ratio=SAMPLES, aligned=True)
    return cut.permute(0, 2, 3, 1).reshape(b, landmarks.shape[1], CELLS, CELLS, -1)


def separable(inputs: int, outputs: int, stride: int, activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Return a depthwise separable convolution: depthwise 3x3, pointwise, norm, activation.

    Args:
        inputs: input channels.
        outputs: output channels.
        stride: stride of the depthwise convolution.
        activation: makes the activation.

    Returns:
        The layers.
    """
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride=stride, padding=1, groups=inputs, bias=False),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        activation(),
    )


class LocalBranch(nn.Module):
    """The local branch: cut, convolve and merge five regions of the stride-8 map.

    Args:
        channels: channels of the map.
        map_side: side of the map in cells.
        width: width of the features.
        activation: makes the activation.
        hidden: channels after the first convolution.
    """

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
        self.seen = used_part(rows), used_part(columns)

    def forward(self, features: Tensor, landmarks: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Cut the regions, compute the features of each, and merge them.

        Args:
            features: ``(B, C, H, W)`` the stride-8 map.
            landmarks: ``(B, 5, 2)`` over the face side; None cuts the fixed windows of the template.

        Returns:
            Local features ``(B, width)``, region weights ``(B, 5)`` that sum to 1, and the features of the regions
            ``(B, 5, width)``.
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
