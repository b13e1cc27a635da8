"""Weak and strong views: where a point goes, ranges, determinism."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from dcdan.faces.align import TEMPLATE
from dcdan.training.augment import (
    MIRRORED,
    AugmentSettings,
    affine_maps,
    blurred,
    erased,
    grained,
    move_landmarks,
    recolour,
    relight,
    source_view,
    strong_view,
    warp,
    weak_view,
)

STILL = AugmentSettings(flip=0, rotation=0, scale=0, shift=0, light=0, colour=0, blur=0, grain=0, erase=0)
WILD = AugmentSettings(flip=0.5, rotation=60, scale=0.5, shift=0.3, light=0.9, colour=1, blur=1, grain=0.5, erase=1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(n: int = 6, channels: int = 3, side: int = 32) -> Tensor:
    return torch.rand(n, channels, side, side, generator=seeded(99))


def dots(points: Tensor, side: int) -> Tensor:
    """Return pictures ``(B, 1, S, S)`` with a soft bright dot at ``(B, 2)``, x and y in units of the side."""
    at = (torch.arange(side) + 0.5) / side
    x = (at[None] - points[:, 0, None]) ** 2
    y = (at[None] - points[:, 1, None]) ** 2
    return torch.exp(-(x[:, None, :] + y[:, :, None]) / 0.03**2)[:, None]


def found(pictures: Tensor) -> Tensor:
    """Return the centres of brightness ``(B, 2)`` in units of the side."""
    side = pictures.shape[-1]
    at = (torch.arange(side) + 0.5) / side
    total = pictures.sum((1, 2, 3))
    return torch.stack([(pictures[:, 0].sum(1) * at).sum(1), (pictures[:, 0].sum(2) * at).sum(1)], 1) / total[:, None]


@pytest.mark.parametrize(
    "settings",
    [
        STILL.model_copy(update={"flip": 1}),
        STILL.model_copy(update={"rotation": 40}),
        STILL.model_copy(update={"scale": 0.3}),
        STILL.model_copy(update={"shift": 0.1}),
        STILL.model_copy(update={"flip": 0.5, "rotation": 25, "scale": 0.2, "shift": 0.08}),
    ],
    ids=["flip", "rotation", "scale", "shift", "all"],
)
def test_landmarks_go_where_the_picture_goes(settings: AugmentSettings) -> None:
    n, side = 24, 96
    landmarks = torch.from_numpy(np.array(TEMPLATE)).expand(n, 5, 2)
    maps, mirror = affine_maps(n, settings, seeded(), landmarks)
    moved = move_landmarks(landmarks, maps, mirror)
    for point in range(5):
        seen = found(warp(dots(landmarks[:, point], side), maps))
        place = torch.where(mirror, MIRRORED[point], point)
        expected = moved[torch.arange(n), place]
        inside = ((expected > 0.15) & (expected < 0.85)).all(1)
        assert inside.sum() > n // 2
        assert (seen - expected)[inside].abs().max() < 0.01


def test_the_left_eye_stays_on_the_left_after_a_flip() -> None:
    landmarks = torch.from_numpy(np.array(TEMPLATE)).expand(8, 5, 2) + torch.tensor([0.05, 0.0])
    maps, mirror = affine_maps(8, STILL.model_copy(update={"flip": 1}), seeded(), landmarks)
    assert mirror.all()
    moved = move_landmarks(landmarks, maps, mirror)
    assert (moved[:, 0, 0] < moved[:, 1, 0]).all()
    assert (moved[:, 3, 0] < moved[:, 4, 0]).all()
    torch.testing.assert_close(moved[:, 0, 0], 1 - landmarks[:, 1, 0])
    torch.testing.assert_close(moved[:, 2, 0], 1 - landmarks[:, 2, 0])
    torch.testing.assert_close(moved[..., 1], landmarks[..., 1])


def test_a_flip_swaps_the_sides_of_both_pairs() -> None:
    """T. By hand: mirrored, a left eye at .3 becomes the right eye at .7; the nose stays itself."""
    landmarks = torch.tensor([[[0.3, 0.4], [0.6, 0.41], [0.5, 0.6], [0.35, 0.8], [0.7, 0.81]]])
    mirrored = torch.tensor([[[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    moved = move_landmarks(landmarks, mirrored, torch.tensor([True]))
    wanted = torch.tensor([[[0.4, 0.41], [0.7, 0.4], [0.5, 0.6], [0.3, 0.81], [0.65, 0.8]]])
    torch.testing.assert_close(moved, wanted)


def test_a_certain_flip_is_the_mirror_image() -> None:
    faces = noise()
    view = weak_view(faces, STILL.model_copy(update={"flip": 1}), seeded())
    torch.testing.assert_close(view, faces.flip(3), atol=1e-4, rtol=0)


def test_ranges_are_kept_and_used() -> None:
    n = 2000
    settings = STILL.model_copy(update={"flip": 0.3, "rotation": 20.0, "scale": 0.1, "shift": 0.05})
    maps, mirror = affine_maps(n, settings, seeded(), torch.empty(0))
    assert float(mirror.float().mean()) == pytest.approx(0.3, abs=0.04)
    size = maps[:, :, :2].det().abs().rsqrt()
    assert 0.9 - 1e-5 <= float(size.min()) < 0.91
    assert 1.09 < float(size.max()) <= 1.1 + 1e-5
    angle = torch.rad2deg(torch.atan2(-maps[:, 0, 1], maps[:, 1, 1]))
    assert 19.5 < float(angle.abs().max()) <= 20.001
    assert float(angle.mean().abs()) < 1
    assert 0.099 < float(maps[:, :, 2].abs().max()) <= 0.1


@pytest.mark.parametrize("channels", [1, 3])
def test_zero_ranges_are_the_identity(channels: int) -> None:
    faces = noise(channels=channels)
    torch.testing.assert_close(weak_view(faces, STILL, seeded()), faces, atol=1e-4, rtol=0)
    torch.testing.assert_close(strong_view(faces, STILL, seeded()), faces, atol=1e-4, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_views_stay_in_range_and_shape(channels: int, seed: int) -> None:
    faces = noise(12, channels)
    before = faces.clone()
    for view in (weak_view(faces, WILD, seeded(seed)), strong_view(faces, WILD, seeded(seed))):
        assert view.shape == faces.shape
        assert view.isfinite().all()
        assert float(view.min()) >= 0
        assert float(view.max()) <= 1
    assert (faces == before).all()


def test_views_follow_from_the_generator() -> None:
    faces = noise()
    for view in (weak_view, strong_view):
        torch.manual_seed(1)
        first = view(faces, AugmentSettings(), seeded(5))
        torch.manual_seed(2)
        assert (view(faces, AugmentSettings(), seeded(5)) == first).all()
        assert (view(faces, AugmentSettings(), seeded(6)) != first).any()


def test_each_face_is_changed_by_itself() -> None:
    faces = noise(1).expand(16, -1, -1, -1)
    for view in (weak_view, strong_view):
        seen = view(faces, AugmentSettings(), seeded()).flatten(1)
        assert len(torch.unique(seen, dim=0)) == 16


def test_the_teacher_view_is_not_relit() -> None:
    flat = torch.full((8, 3, 16, 16), 0.5)
    assert (weak_view(flat, AugmentSettings(), seeded(), light=False) - 0.5).abs().max() < 1e-6
    assert (weak_view(flat, AugmentSettings(), seeded()) - 0.5).abs().max() > 0.02


def test_the_strong_view_is_stronger() -> None:
    faces = noise(64)
    still = {"flip": 0, "rotation": 0, "scale": 0, "shift": 0}
    settings = AugmentSettings(**still)
    weak = (weak_view(faces, settings, seeded()) - faces).abs().mean()
    strong = (strong_view(faces, settings, seeded()) - faces).abs().mean()
    assert strong > 1.5 * weak


def test_relighting_keeps_the_order_of_pixels() -> None:
    ramp = torch.linspace(0.3, 0.7, 64).reshape(1, 1, 8, 8).expand(20, -1, -1, -1)
    lit = relight(ramp, 0.4, seeded()).flatten(1)
    assert (lit.diff(dim=1) >= 0).all()
    spread = lit.amax(1) - lit.amin(1)
    assert 0.6 * 0.4 - 1e-5 <= float(spread.min()) < 0.3
    assert 0.5 < float(spread.max()) <= 1.4 * 0.4 + 1e-5


def test_grey_faces_take_no_colour() -> None:
    grey = noise(channels=1)
    assert recolour(grey, 1.0, seeded()) is grey
    colour = noise(channels=3)
    assert recolour(colour, 0.0, seeded()) is colour
    assert (recolour(colour, 0.5, seeded()) != colour).any()


def test_blur_takes_a_share_of_the_faces_and_keeps_flat_ones() -> None:
    faces = noise(400, 1, 16)
    changed = (blurred(faces, 0.25, seeded()) != faces).flatten(1).any(1)
    assert float(changed.float().mean()) == pytest.approx(0.25, abs=0.08)
    softer = blurred(faces, 1.0, seeded())
    assert softer.std() < faces.std()
    flat = torch.full((4, 3, 16, 16), 0.3)
    torch.testing.assert_close(blurred(flat, 1.0, seeded()), flat)


def test_grain_is_as_strong_as_said() -> None:
    flat = torch.full((200, 1, 16, 16), 0.5)
    spread = grained(flat, 0.1, seeded()).flatten(1).std(1)
    assert float(spread.max()) == pytest.approx(0.1, abs=0.02)
    assert float(spread.mean()) == pytest.approx(0.05, abs=0.01)


def test_erasing_takes_one_rectangle_from_a_share_of_the_faces() -> None:
    ramp = torch.linspace(0, 1, 40 * 40).reshape(1, 1, 40, 40).repeat(300, 3, 1, 1)
    out = erased(ramp, 0.4, seeded())
    gone = (out != ramp)[:, 0]
    assert (gone == (out != ramp)[:, 2]).all()
    hit = gone.flatten(1).any(1)
    assert float(hit.float().mean()) == pytest.approx(0.4, abs=0.08)
    rows, columns = gone.any(2), gone.any(1)
    assert (gone == rows[:, :, None] & columns[:, None, :]).all()
    assert 0.3 * 40 < int(rows.sum(1).max()) <= 0.4 * 40 + 1
    assert (out[hit][(out != ramp)[hit]] - 0.5).abs().max() < 1e-5


@pytest.mark.parametrize("values", [{"flip": 1.1}, {"rotation": -1}, {"scale": 1}, {"grain": float("nan")}, {"x": 1}])
def test_impossible_ranges_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        AugmentSettings(**values)


@pytest.mark.parametrize(("share", "strong"), [(0.0, 0), (0.5, 4), (1.0, 8)])
def test_source_view_shows_the_asked_share_in_strong_view(share: float, strong: int) -> None:
    grainy = STILL.model_copy(update={"grain": 0.2})
    faces = noise(8, 1, 16) * 0.5 + 0.25
    changed = ((source_view(faces, grainy, seeded(), share) - faces).abs().amax((1, 2, 3)) > 1e-3).tolist()
    assert changed == [True] * strong + [False] * (8 - strong)
