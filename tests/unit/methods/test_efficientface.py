"""EfficientFace's two parts against their quarters and places one by one, and where they sit in the trunk."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from dcdan.methods.classification import ClassificationSettings, classification_loss
from dcdan.methods.efficientface import (
    EfficientFace,
    EfficientFaceNetwork,
    LocalFeatures,
    Modulator,
    from_quarters,
    to_quarters,
)
from dcdan.models.heads import Logits
from dcdan.models.network import NetworkSettings
from dcdan.models.trunk import Trunk
from toy_batch import COUNTS, toy


def test_quarters_come_and_go() -> None:
    maps = torch.randn(2, 3, 4, 6)
    quarters = to_quarters(maps)
    for number, (top, left) in enumerate(((0, 0), (0, 3), (2, 0), (2, 3))):
        assert torch.equal(quarters[:, 3 * number : 3 * number + 3], maps[:, :, top : top + 2, left : left + 3])
    assert torch.equal(from_quarters(quarters), maps)


def one_quarter(layers: LocalFeatures, number: int, maps: torch.Tensor) -> torch.Tensor:
    """Send one quarter ``(B, C, h, w)`` through its own slice of all weights, norms by hand."""
    out = maps
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            weight = layer.weight.chunk(4)[number]
            groups = layer.groups // 4
            out = nn.functional.conv2d(out, weight, stride=layer.stride, padding=layer.padding, groups=groups)
        elif isinstance(layer, nn.BatchNorm2d):
            mean, var = out.mean((0, 2, 3), keepdim=True), out.var((0, 2, 3), unbiased=False, keepdim=True)
            scale, shift = layer.weight.chunk(4)[number], layer.bias.chunk(4)[number]
            out = (out - mean) / (var + layer.eps).sqrt() * scale[:, None, None] + shift[:, None, None]
        else:
            out = out.clamp_min(0)
    return out


@pytest.mark.parametrize("stride", [1, 2])
def test_each_quarter_is_seen_by_itself_with_weights_of_its_own(stride: int) -> None:
    torch.manual_seed(0)
    layers = LocalFeatures(3, 5, stride).double()
    for parameter in layers.parameters():
        nn.init.normal_(parameter)
    maps = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    found = layers(maps)
    side = 8 // stride
    assert found.shape == (2, 5, side, side)
    for number, (top, left) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        wanted = one_quarter(layers, number, maps[:, :, 4 * top : 4 * top + 4, 4 * left : 4 * left + 4])
        half = side // 2
        part = found[:, :, half * top : half * top + half, half * left : half * left + half]
        torch.testing.assert_close(part, wanted)


def test_modulator_weighs_each_channel_and_place() -> None:
    torch.manual_seed(0)
    modulator = Modulator(6).eval()
    maps = torch.randn(2, 6, 5, 5)
    channel = modulator.channel(maps.mean((2, 3))[:, :, None, None])
    spatial = modulator.spatial(maps)
    assert (channel.shape, spatial.shape) == ((2, 6, 1, 1), (2, 1, 5, 5))
    found = modulator(maps)
    for face, c, y, x in ((0, 0, 0, 0), (1, 5, 4, 2), (1, 2, 3, 3)):
        weight = 1 / (1 + torch.exp(-channel[face, c, 0, 0] * spatial[face, 0, y, x]))
        torch.testing.assert_close(found[face, c, y, x], weight * maps[face, c, y, x])


@pytest.mark.parametrize("trunk", ["test_resnet", "test_byobnet", "mobilenetv2_100"])
def test_what_follows_stride_eight_sees_the_sum(trunk: str) -> None:
    torch.manual_seed(0)
    settings = NetworkSettings(trunk=trunk, width=32, groups=4, batch_norm="shared")
    network = EfficientFaceNetwork(settings, 5, 64).eval()
    faces = torch.rand(2, 3, 64, 64)
    plain = Trunk(trunk).eval()
    plain.load_state_dict(network.trunk.state_dict())
    with torch.no_grad():
        before = plain.body(faces)
        after = network.trunk.body(faces)
    index = plain.middle_index
    torch.testing.assert_close(after[index - 1], before[index - 1])
    wanted = network.modulator(before[index]) + network.local_features(before[index - 1])
    torch.testing.assert_close(after[index], wanted)
    assert not torch.allclose(after[-1], before[-1])


def test_a_copy_uses_its_own_parts() -> None:
    """The teacher is a copy: were its hook still the student's, it would follow the student at once."""
    network = toy(EfficientFace).network.eval()
    other = copy.deepcopy(network)
    faces = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        wanted = network(faces).of_global
        torch.testing.assert_close(other(faces).of_global, wanted)
        for parameter in other.local_features.parameters():  # type: ignore[union-attr]
            parameter.mul_(3)
        assert not torch.allclose(other(faces).of_global, wanted)
        torch.testing.assert_close(network(faces).of_global, wanted)


@pytest.mark.parametrize(("progress", "by_teacher"), [(0.0, False), (0.49, False), (0.5, True), (0.99, True)])
def test_distributions_replace_labels_half_way(progress: float, by_teacher: bool) -> None:
    case = toy(EfficientFace)
    teacher = Logits(*torch.randn(3, 8, 5))
    batch = replace(case.batch(), teacher=teacher)
    labels = teacher.fused.softmax(1) if by_teacher else batch.labels
    wanted = classification_loss(batch.source.logits, labels, COUNTS, ClassificationSettings())
    assert case.method.losses(batch, progress)["cls"].item() == pytest.approx(wanted.item())
