"""The local branch: fixed windows against torchvision's roi_align, mirrored faces, and the merging of the regions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.ops import roi_align

from dcdan.core.outputs import REGIONS
from dcdan.faces.align import TEMPLATE
from dcdan.models.afc import AFC
from dcdan.models.regions import CELLS, SIDE, LocalBranch, cut_fixed, cut_given, cut_matrix, used_part

MIRRORED = [1, 0, 2, 4, 3]


def fixed(features: torch.Tensor) -> torch.Tensor:
    """Cut the template's windows of square maps."""
    side = features.shape[-1]
    rows, columns = (torch.from_numpy(cut_matrix(TEMPLATE[:, axis], side)) for axis in (1, 0))
    return cut_fixed(features, rows, columns)


def boxes(landmarks: np.ndarray, height: int, width: int) -> torch.Tensor:
    """Windows around landmarks ``(5, 2)`` in cells of the map: ``(5, 4)``."""
    scale = np.array([width, height])
    return torch.tensor(np.concatenate([(landmarks - SIDE / 2) * scale, (landmarks + SIDE / 2) * scale], 1)).float()


@pytest.mark.parametrize(
    ("title", "x", "y"),
    [
        ("left_eye", 0.34, 0.39), ("right_eye", 0.66, 0.39), ("nose", 0.5, 0.58),
        ("left_mouth", 0.37, 0.75), ("right_mouth", 0.63, 0.75),
    ],
)  # fmt: skip
def test_the_order_of_the_regions_is_that_of_their_titles(title: str, x: float, y: float) -> None:
    """T. A bright spot at the left eye of the picture (left of its middle) is seen by the window of that title."""
    features = torch.zeros(1, 1, 100, 100)
    features[0, 0, round(100 * y) - 2 : round(100 * y) + 2, round(100 * x) - 2 : round(100 * x) + 2] = 1
    brightest = int(fixed(features)[0, :, 3, 3, 0].argmax())
    assert REGIONS[brightest] == title


def test_a_window_is_28_percent_of_the_face() -> None:
    """By hand: on a ramp of 0 to 1 across 100 places the 7 cells around .5 are .04 apart, from .38 to .62."""
    ramp = ((torch.arange(100) + 0.5) / 100).expand(1, 1, 100, 100)
    cells = fixed(ramp)[0, 2, 3, :, 0]
    torch.testing.assert_close(cells, torch.linspace(0.38, 0.62, 7), rtol=0, atol=1e-3)


@pytest.mark.parametrize("side", [4, 8, 12, 14, 28])
def test_fixed_windows_are_roi_align_at_the_template(side: int) -> None:
    features = torch.randn(2, 3, side, side)
    wanted = roi_align(features, [boxes(TEMPLATE, side, side)] * 2, CELLS, sampling_ratio=2, aligned=True)
    torch.testing.assert_close(fixed(features).flatten(0, 1).permute(0, 3, 1, 2), wanted, rtol=1e-4, atol=1e-5)


def test_given_landmarks_are_roi_align_around_each_face() -> None:
    features = torch.randn(3, 4, 8, 14)
    landmarks = np.random.default_rng(0).uniform(0.2, 0.8, (3, 5, 2)).astype(np.float32)
    wanted = roi_align(features, [boxes(face, 8, 14) for face in landmarks], CELLS, sampling_ratio=2, aligned=True)
    found = cut_given(features, torch.from_numpy(landmarks))
    assert found.shape == (3, 5, CELLS, CELLS, 4)
    torch.testing.assert_close(found.flatten(0, 1).permute(0, 3, 1, 2), wanted, rtol=1e-4, atol=1e-5)


def test_landmarks_outside_the_face_are_moved_inside() -> None:
    features = torch.randn(1, 2, 14, 14)
    outside = torch.full((1, 5, 2), -3.0)
    torch.testing.assert_close(cut_given(features, outside), cut_given(features, torch.full((1, 5, 2), SIDE / 2)))


@pytest.mark.parametrize("side", [1, 2, 4, 14])
def test_each_cell_of_a_window_is_an_average(side: int) -> None:
    matrix = cut_matrix(TEMPLATE[:, 0], side)
    assert matrix.shape == (5, CELLS, side)
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(matrix.sum(2), 1, rtol=1e-6)
    assert (matrix >= 0).all()


@pytest.mark.parametrize("side", [4, 6, 8, 14, 28])
def test_what_no_window_sees_can_be_left_out(side: int) -> None:
    features = torch.randn(2, 3, side, side)
    rows, columns = (torch.from_numpy(cut_matrix(TEMPLATE[:, axis], side)) for axis in (1, 0))
    down, across = used_part(rows.numpy()), used_part(columns.numpy())
    part = cut_fixed(features[:, :, down, across], rows[:, :, down], columns[:, :, across])
    torch.testing.assert_close(part, fixed(features), rtol=1e-4, atol=1e-5)
    for matrix, seen in ((rows, down), (columns, across)):
        assert matrix[:, :, seen.start].any()
        assert matrix[:, :, seen.stop - 1].any()
    if side >= 8:
        assert down.start > 0 < across.start


def test_a_mirrored_map_swaps_left_and_right_regions() -> None:
    features = torch.randn(2, 3, 14, 14)
    torch.testing.assert_close(fixed(features.flip(3)), fixed(features)[:, MIRRORED].flip(3), rtol=1e-4, atol=1e-5)
    landmarks = torch.rand(2, 5, 2) * 0.5 + 0.25
    mirrored = landmarks[:, MIRRORED].clone()
    mirrored[..., 0] = 1 - mirrored[..., 0]
    swapped = cut_given(features, landmarks)[:, MIRRORED].flip(3)
    torch.testing.assert_close(cut_given(features.flip(3), mirrored), swapped, rtol=1e-4, atol=1e-5)


def test_region_names_follow_the_template() -> None:
    left = [name.startswith("left") for name in REGIONS]
    assert left == [bool(x < 0.5) for x in TEMPLATE[:, 0]]
    assert [name.split("_")[-1] for name in REGIONS] == ["eye", "eye", "nose", "mouth", "mouth"]


def test_branch_merges_its_regions_by_weights_that_sum_to_one() -> None:
    torch.manual_seed(0)
    branch = LocalBranch(6, 8, 16, AFC, hidden=8).eval()
    features = torch.randn(3, 6, 8, 8)
    of_local, weights, regions = branch(features)
    assert of_local.shape == (3, 16)
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    cut = fixed(branch.reduce(features))
    for face in range(3):
        maps = (cut[face] + branch.embedding[:, None, None]).permute(0, 3, 1, 2)
        seen = [branch.stack(maps[r : r + 1]).mean((2, 3)) for r in range(5)]
        scores = torch.cat([branch.score(one)[0] for one in seen]).softmax(0)
        torch.testing.assert_close(regions[face], torch.cat(seen), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(weights[face], scores, rtol=1e-4, atol=1e-5)
        merged = sum(score * one[0] for score, one in zip(scores, seen, strict=True))
        torch.testing.assert_close(of_local[face], merged, rtol=1e-4, atol=1e-5)


def test_template_landmarks_change_nothing() -> None:
    torch.manual_seed(0)
    branch, features = LocalBranch(6, 14, 16, nn.ReLU, hidden=8).eval(), torch.randn(2, 6, 14, 14)
    given = branch(features, torch.from_numpy(TEMPLATE.copy()).expand(2, 5, 2))
    for one, other in zip(given, branch(features), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_windows_are_not_part_of_the_state() -> None:
    assert not {"rows", "columns"} & LocalBranch(6, 8, 16, AFC).state_dict().keys()
