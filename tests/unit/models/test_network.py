"""The whole network: shapes, domains, ablation switches. Timm's test models keep it small.

The plain network: one head for three, and nothing of the standard network's branches.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from dcdan.core.errors import UsageError
from dcdan.models.domain_norm import norms, sources_first
from dcdan.models.network import Network, NetworkSettings, PlainNetwork, normalise_contrast


def small(size: int = 64, **switches: Any) -> Network:
    """Return a network of a few thousand weights for seven classes."""
    torch.manual_seed(0)
    return Network(NetworkSettings(trunk="test_resnet", width=32, groups=4, **switches), 7, size)


@pytest.mark.parametrize("size", [32, 64, 96])
def test_shapes(size: int) -> None:
    outputs = small(size).eval()(torch.rand(3, 3, size, size))
    assert outputs.of_global.shape == outputs.of_local.shape == (3, 32)
    assert [tuple(head.shape) for head in outputs.logits] == [(3, 7)] * 3
    torch.testing.assert_close(outputs.region_weights.sum(1), torch.ones(3))
    source, target = outputs.split(1)
    assert (len(source.of_global), len(target.logits.of_local), len(target.region_weights)) == (1, 2, 2)


def test_pixels_are_normalised_and_grey_is_repeated() -> None:
    network = small().eval()
    grey = torch.rand(2, 1, 64, 64)
    seen: list[torch.Tensor] = []
    network.trunk.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network(grey)
    for channel, (mean, deviation) in enumerate(((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))):
        torch.testing.assert_close(seen[0][:, channel], (grey[:, 0] - mean) / deviation)


def test_the_trunk_decides_how_pixels_are_scaled() -> None:
    """EfficientNet-Lite0 was trained on (x - 127) / 128 of bytes, so that black is -127/128 and white exactly 1."""
    network = Network(NetworkSettings(trunk="tf_efficientnet_lite0", width=32), 3, 32)
    scaled = network.normalised(torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 3, 2, 2))
    assert scaled[0].unique().tolist() == pytest.approx([-127 / 128])
    assert scaled[1].unique().tolist() == pytest.approx([1.0])


def test_contrast_is_normalised_by_the_face() -> None:
    """By hand: 0, .2, .4, .6 have the mean .3 and the unbiased deviation sqrt(.2 / 3); channels count together."""
    face = torch.tensor([0.0, 0.2, 0.4, 0.6])
    wanted = (face - 0.3) / (0.2 / 3) ** 0.5 * 0.22 + 0.5
    torch.testing.assert_close(normalise_contrast(face.reshape(1, 1, 2, 2)).flatten(), wanted)
    torch.testing.assert_close(normalise_contrast(face.reshape(1, 2, 2, 1)).flatten(), wanted)
    both = torch.stack([face, 0.5 + face / 4]).reshape(2, 1, 2, 2)
    torch.testing.assert_close(normalise_contrast(both).flatten(1), wanted.expand(2, 4))
    flat = torch.tensor([0.5, 0.5, 0.5, 0.504]).reshape(1, 1, 2, 2)  # a deviation of .002, below 1/64
    torch.testing.assert_close(normalise_contrast(flat), (flat - 0.501) * 64 * 0.22 + 0.5)


def test_the_order_is_grey_contrast_three_channels_scaling() -> None:
    torch.manual_seed(0)
    network = Network(NetworkSettings(trunk="test_resnet", width=32, grey=True, contrast=True), 3, 32)
    faces = torch.rand(2, 3, 8, 8)
    luma = 0.299 * faces[:, :1] + 0.587 * faces[:, 1:2] + 0.114 * faces[:, 2:]
    mean, deviation = luma.mean((1, 2, 3), keepdim=True), luma.std((1, 2, 3), keepdim=True)
    even = ((luma - mean) / deviation * 0.22 + 0.5).expand(-1, 3, -1, -1)
    wanted = (even - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    torch.testing.assert_close(network.normalised(faces), wanted)


def test_actions_are_a_linear_head_on_both_branches() -> None:
    torch.manual_seed(0)
    network = Network(NetworkSettings(trunk="test_resnet", width=32, groups=4, actions=5), 3, 32).eval()
    outputs = network(torch.rand(2, 3, 32, 32))
    assert network.actions is not None
    weight, bias = network.actions.weight, network.actions.bias
    wanted = outputs.of_global @ weight[:, :32].T + outputs.of_local @ weight[:, 32:].T + bias
    torch.testing.assert_close(outputs.auxiliary["actions"], wanted)
    torch.testing.assert_close(outputs.part(slice(1, None)).auxiliary["actions"], wanted[1:])
    assert any(parameter is weight for parameter in network.parameter_groups()[1])
    plain = PlainNetwork(NetworkSettings(trunk="test_resnet", width=32, actions=5), 3, 32)
    assert plain.actions is None
    assert plain.settings.actions == 0


@pytest.mark.parametrize(("size", "switches"), [(64, {}), (128, {"condensation": 2}), (32, {"condensation": 4})])
def test_one_batch_of_both_domains_equals_a_batch_of_each(size: int, switches: dict[str, Any]) -> None:
    """Nothing of one domain reaches the other: not through regions nor windows folded into the batch either."""
    together, apart = small(size, **switches).double(), small(size, **switches).double()
    faces = torch.rand(5, 3, size, size, dtype=torch.float64)
    with sources_first(together, 2):
        outputs = together(faces)
    with sources_first(apart, -1):
        source = apart(faces[:2])
    with sources_first(apart, 0):
        target = apart(faces[2:])
    for found, wanted in zip(outputs.split(2), (source, target), strict=True):
        torch.testing.assert_close(found.of_global, wanted.of_global)
        torch.testing.assert_close(found.of_local, wanted.of_local)
        torch.testing.assert_close(found.logits.fused, wanted.logits.fused)
    for one, other in zip(together.named_buffers(), apart.named_buffers(), strict=True):
        torch.testing.assert_close(one[1], other[1], msg=one[0])


def test_a_grey_network_sees_a_colour_face_as_its_luma() -> None:
    torch.manual_seed(0)
    network = Network(NetworkSettings(trunk="mobilenetv2_050", width=32, grey=True), 3, 32).eval()
    faces = torch.rand(2, 3, 32, 32)
    luma = 0.299 * faces[:, :1] + 0.587 * faces[:, 1:2] + 0.114 * faces[:, 2:]
    torch.testing.assert_close(network(faces).logits.fused, network(luma).logits.fused, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network.normalised(faces), (luma - network.mean) / network.deviation)
    assert network.normalised(luma.expand(-1, 3, -1, -1)).shape == (2, 3, 32, 32)


def test_shared_statistics_have_no_domains() -> None:
    network = small(batch_norm="shared")
    assert not list(norms(network))
    assert all(type(part) is not nn.SyncBatchNorm for part in network.modules())
    per_domain = small()
    plain = {name for name in per_domain.state_dict() if not name.endswith(("source_mean", "source_var"))}
    assert plain == set(network.state_dict())


@pytest.mark.parametrize(
    "switches",
    [
        {"attention": "off"},
        {"attention": "spatial"},
        {"attention": "channel"},
        {"condensation": 1},
        {"condensation": 4},
        {"interaction": False},
        {"activation": "gelu"},
        {"activation": "relu"},
        {"local_branch": False},
        {"batch_norm": "shared"},
    ],
    ids=str,
)
def test_every_ablation_trains(switches: dict[str, Any]) -> None:
    network = small(32, **switches)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05)
    faces, labels = torch.rand(6, 3, 32, 32), torch.tensor([0, 1, 2, 3, 4, 5])
    losses = []
    for _ in range(4):
        with sources_first(network, 3):
            outputs = network(faces)
        loss = sum(nn.functional.cross_entropy(head, labels) for head in outputs.logits)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    used = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert used == []
    if not switches.get("local_branch", True):
        assert outputs.of_local.abs().max() == 0
        assert (outputs.region_weights == 0.2).all()


def test_parameter_groups_part_trunk_and_rest() -> None:
    network = small()
    trunk, rest = network.parameter_groups()
    assert {id(p) for p in trunk} == {id(p) for p in network.trunk.parameters()}
    assert len(trunk) + len(rest) == len(list(network.parameters()))
    assert not {id(p) for p in trunk} & {id(p) for p in rest}


def test_state_round_trip() -> None:
    first, second = small(), small()
    with torch.no_grad():
        for tensor in first.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.05 * torch.rand_like(tensor))
    second.load_state_dict(first.state_dict())
    faces = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        for sources in (0, -1):
            with sources_first(first, sources), sources_first(second, sources):
                wanted, found = first.eval()(faces), second.eval()(faces)
            torch.testing.assert_close(found.logits.fused, wanted.logits.fused, rtol=0, atol=0)


def test_landmarks_of_a_face_override_the_template() -> None:
    network, faces = small().eval(), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        plain = network(faces)
        moved = network(faces, torch.full((2, 5, 2), 0.3))
    torch.testing.assert_close(plain.of_global, moved.of_global)
    assert (plain.of_local - moved.of_local).abs().max() > 1e-4


def test_settings_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ValidationError):
        NetworkSettings(trunks="resnet50")  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        NetworkSettings(condensation=3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="multiple of 16"):
        Network(NetworkSettings(trunk="test_resnet", width=40, groups=8), 7, 32)


@pytest.mark.parametrize("bf16", [False, True])
def test_resnet50_trains_a_step(bf16: bool) -> None:
    torch.manual_seed(0)
    network = Network(NetworkSettings(trunk="resnet50", width=64), 7, 32)
    faces = torch.rand(4, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    with sources_first(network, 2), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        outputs = network(faces)
        loss = nn.functional.cross_entropy(outputs.logits.fused, torch.tensor([0, 1, 2, 3]))
    assert network.trunk.shape.last == 2048
    assert outputs.logits.fused.dtype == (torch.bfloat16 if bf16 else torch.float32)
    loss.backward()
    assert loss.isfinite()
    grads = [p.grad for p in network.trunk.parameters()]
    assert all(grad is not None and grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize("kind", [Network, PlainNetwork])
def test_leaning_adds_the_logarithms_of_the_shares_to_all_heads(kind: type[Network]) -> None:
    torch.manual_seed(0)
    network = kind(NetworkSettings(trunk="test_resnet", width=32, groups=4), 3, 32).eval()
    faces = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        before = network(faces).logits
        network.apply_prior_bias(torch.tensor([6.0, 3.0, 0.0]), 0.5)
        after = network(faces).logits
    for one, other in zip(after, before, strict=True):
        torch.testing.assert_close(one - other, (0.5 * torch.tensor([0.6, 0.3, 0.1]).log()).expand(2, 3))


SETTINGS = NetworkSettings(trunk="test_resnet", width=32, groups=4)


def test_three_heads_are_one_on_the_pooled_map() -> None:
    network = PlainNetwork(SETTINGS, 7, 32).eval()
    faces = torch.rand(3, 1, 32, 32)
    outputs = network(faces)
    with torch.no_grad():
        pixels = (faces.expand(-1, 3, -1, -1) - network.mean) / network.deviation
        features = network.squeeze(network.trunk.body(pixels)[-1]).mean((2, 3))
    torch.testing.assert_close(outputs.of_global, features)
    assert outputs.of_local is outputs.of_global
    for head in outputs.logits:
        torch.testing.assert_close(head, features @ network.head.weight.T + network.head.bias)
    assert torch.equal(outputs.region_weights, torch.full((3, 5), 0.2))
    assert outputs.auxiliary == {}


def test_it_has_the_common_trunk_and_squeeze_and_no_more_than_a_head() -> None:
    torch.manual_seed(3)
    common = Network(SETTINGS, 7, 32).state_dict()
    torch.manual_seed(3)
    network = PlainNetwork(SETTINGS, 7, 32)
    own = network.state_dict()
    shared = {name for name in common if name.startswith(("trunk.", "squeeze."))}
    assert own.keys() == shared | {"head.weight", "head.bias"}
    assert all(torch.equal(own[name], common[name]) for name in shared)
    assert (network.settings.attention, network.settings.local_branch) == ("off", False)
    assert network.settings.trunk == SETTINGS.trunk


def test_what_architecture_says_builds_it_again() -> None:
    network = PlainNetwork(SETTINGS, 7, 32, features=48)
    again = PlainNetwork(network.settings, 7, 32, features=48)
    again.load_state_dict(network.state_dict())
    assert again.head.in_features == 48


def test_parts_keep_their_asides() -> None:
    network = PlainNetwork(SETTINGS, 7, 32)
    features = torch.arange(5.0)[:, None].expand(5, 32)
    outputs = network.single_head_outputs(features, network.head(features), score=torch.arange(5.0))
    source, target = outputs.split(2)
    assert source.auxiliary["score"].tolist() == [0, 1]
    assert target.auxiliary["score"].tolist() == [2, 3, 4]


def test_domains_are_normalised_apart() -> None:
    torch.manual_seed(0)
    network = PlainNetwork(SETTINGS, 7, 32).double()
    faces = torch.rand(6, 3, 32, 32, dtype=torch.float64)
    with sources_first(network, 2):
        both = network(faces).of_global
    with sources_first(network, 0):
        target = network(faces[2:]).of_global
    torch.testing.assert_close(both[2:], target)
