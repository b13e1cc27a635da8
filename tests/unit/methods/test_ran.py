"""RAN's crops, attentions and loss against loops over faces, crops and pixels."""

from __future__ import annotations

import math

import pytest
import torch

from dcdan.methods.ran import CROPS, RAN, RegionAttentionNetwork, attended, cut, region_bias_loss
from dcdan.models.domain_norm import sources_first
from dcdan.models.heads import pooled
from toy_batch import toy


def pixel(face: torch.Tensor, x: float, y: float) -> float:
    """Sample a plane ``(H, W)`` between the centres of its pixels, the border replicated."""
    height, width = face.shape
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    left, top = int(x), int(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    u, v = x - left, y - top
    upper = (1 - u) * face[top, left].item() + u * face[top, right].item()
    lower = (1 - u) * face[bottom, left].item() + u * face[bottom, right].item()
    return (1 - v) * upper + v * lower


def test_crops_are_where_the_paper_has_them() -> None:
    size = 40
    face = torch.rand(1, 1, size, size, generator=torch.Generator().manual_seed(0))
    found = cut(face)
    assert found.shape == (1, 6, 1, size, size)
    assert torch.equal(found[:, 0], face)
    for number, (left, top, side) in enumerate([(0, 0, 30), (10, 0, 30), (5, 10, 30), (3, 3, 34), (2, 2, 36)], 1):
        crop = face[0, 0, top : top + side, left : left + side]
        for x, y in ((0, 0), (39, 39), (20, 7), (3, 31)):
            wanted = pixel(crop, (x + 0.5) * side / size - 0.5, (y + 0.5) * side / size - 0.5)
            assert found[0, number, 0, y, x].item() == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("size", [32, 48, 112, 448])
def test_crops_lie_within_faces_of_any_size(size: int) -> None:
    for left, top, share in CROPS:
        assert 0 <= round(left * size) < round(left * size) + round(share * size) <= size
        assert 0 <= round(top * size) < round(top * size) + round(share * size) <= size


@pytest.mark.parametrize("margin", [0.02, 0.5])
def test_region_bias_loss_equals_a_naive_loop(margin: float) -> None:
    weights = torch.rand(7, 6, generator=torch.Generator().manual_seed(1)).double()
    each = [max(0.0, margin - (max(row[1:]) - row[0])) for row in weights.tolist()]
    assert region_bias_loss(weights, margin).item() == pytest.approx(sum(each) / 7)
    assert 0 < sum(value > 0 for value in each) < 7 or margin == 0.5


def test_weighted_mean_equals_a_naive_loop() -> None:
    features, weights = torch.randn(3, 6, 4).double(), (torch.rand(3, 6) + 0.1).double()
    found = attended(features, weights)
    for face in range(3):
        for k in range(4):
            rows = [features[face, n, k].item() * weights[face, n].item() for n in range(6)]
            assert found[face, k].item() == pytest.approx(sum(rows) / weights[face].sum().item())


def test_network_weighs_six_features_of_one_trunk() -> None:
    case = toy(RAN)
    network = case.network.eval()
    assert isinstance(network, RegionAttentionNetwork)
    with torch.no_grad():
        outputs = network(case.source[:2])
        for face in range(2):
            inputs = cut(network.normalised(case.source[face : face + 1]))[0]
            features = [pooled(network.squeeze(network.trunk(one[None])[1]))[0] for one in inputs]
            a = [torch.sigmoid(network.itself(f)).item() for f in features]
            v = sum(w * f for w, f in zip(a, features, strict=True)) / sum(a)
            joined = [torch.cat([f, v]) for f in features]
            b = [torch.sigmoid(network.relation(f)).item() for f in joined]
            both = [one * other for one, other in zip(a, b, strict=True)]
            merged = sum(w * f for w, f in zip(both, joined, strict=True)) / sum(both)
            torch.testing.assert_close(outputs.of_global[face], merged, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(outputs.logits.fused[face], network.head(merged), rtol=1e-4, atol=1e-5)
            assert outputs.auxiliary["attention"][face].tolist() == pytest.approx(a, rel=1e-4)
    assert all(math.isfinite(value) for value in outputs.logits.fused.flatten().tolist())


def test_crops_of_one_domain_do_not_reach_the_other() -> None:
    case = toy(RAN)
    network = case.network.double().train()
    source, target = case.source[:3].double(), case.target[:4].double()
    with torch.no_grad():
        with sources_first(network, 3):
            both = network(torch.cat([source, target]))
        with sources_first(network, -1):
            alone = network(source)
    torch.testing.assert_close(both.of_global[:3], alone.of_global)


def test_losses_are_those_of_the_parts() -> None:
    case = toy(RAN, margin=0.3, weight=2.0)
    batch = case.batch()
    losses = case.method.losses(batch, 0.5)
    wanted = 2 * region_bias_loss(batch.source.auxiliary["attention"], 0.3)
    assert losses["bias"].item() == pytest.approx(wanted.item())
    assert losses["cls"].item() == pytest.approx(case.method.classify(batch).item())
