"""The plain network: one head for three, and nothing of the standard network's branches."""

from __future__ import annotations

import torch

from dcdan.models.domain_norm import sources_first
from dcdan.models.network import Network, NetworkSettings
from dcdan.models.plain import PlainNetwork

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
    assert outputs.asides == {}


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
    outputs = network.say(features, network.head(features), score=torch.arange(5.0))
    source, target = outputs.split(2)
    assert source.asides["score"].tolist() == [0, 1]
    assert target.asides["score"].tolist() == [2, 3, 4]


def test_domains_are_normalised_apart() -> None:
    torch.manual_seed(0)
    network = PlainNetwork(SETTINGS, 7, 32).double()
    faces = torch.rand(6, 3, 32, 32, dtype=torch.float64)
    with sources_first(network, 2):
        both = network(faces).of_global
    with sources_first(network, 0):
        target = network(faces[2:]).of_global
    torch.testing.assert_close(both[2:], target)
