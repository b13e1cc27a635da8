"""The protocol of source-free methods: recipes, what moves, the registry, the error for losses that are not finite."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dcdan.core.errors import TrainingError, UsageError
from dcdan.methods.catalogue import GROUPS, SOURCE_FREE, method_catalogue
from dcdan.methods.source_free.base import (
    Recipe,
    features_of,
    find_source_free,
    moved_parameters,
    source_free_methods,
    total_loss,
)
from dcdan.models.network import NetworkSettings, PlainNetwork
from source_free_batch import CLASSES, SIZE, outputs_of, random_faces, tiny_network

NAMES = {
    *("shot_im", "tent", "eata", "sar", "roid", "aad", "nrc", "clup"),
    *("sfda_pft", "adabn", "alpha_bn", "t3a", "lame"),
}


@pytest.mark.parametrize(
    ("recipe", "faces", "steps"),
    [
        (Recipe(passes=1, batch=64), 64, 1),
        (Recipe(passes=1, batch=64), 65, 2),
        (Recipe(passes=2.5, batch=10), 40, 10),
        (Recipe(passes=1, batch=64, least_steps=100), 640, 100),
        (Recipe(passes=1, batch=64, least_steps=100, most_passes=40), 64, 40),
        (Recipe(passes=0), 300, 0),
    ],
)
def test_steps_of_a_recipe(recipe: Recipe, faces: int, steps: int) -> None:
    assert recipe.steps(faces) == steps


def test_the_inverse_schedule() -> None:
    assert Recipe().factor(0.7) == 1
    assert Recipe(schedule="inverse").factor(0.3) == pytest.approx((1 + 3) ** -0.75)


def test_every_baseline_is_registered_with_its_paper_and_listed() -> None:
    found = source_free_methods()
    assert set(found) >= NAMES
    listed = {entry.name: entry for entry in method_catalogue() if entry.group == SOURCE_FREE}
    assert set(listed) == set(found)
    for name, method in found.items():
        assert listed[name].title == method.title
        assert listed[name].paper == method.paper
        assert listed[name].needs == method.needs
        assert name == "dcdan" or 2016 <= (listed[name].year or 0) <= 2026
    assert GROUPS[-1] == SOURCE_FREE


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'tent'\?"):
        find_source_free("tentt")


def test_what_moves() -> None:
    network = tiny_network()
    everything = dict(network.named_parameters())
    assert moved_parameters(network, "nothing") == {}
    assert moved_parameters(network, "all").keys() == everything.keys()
    heads = {id(each) for head in network.heads() for each in head.parameters()}
    assert {name for name, each in everything.items() if id(each) not in heads} == set(
        moved_parameters(network, "features")
    )
    norms = {
        f"{name}.{kind}"
        for name, layer in network.named_modules()
        if isinstance(layer, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm)
        for kind, _ in layer.named_parameters()
    }
    assert len(norms) > 10
    assert set(moved_parameters(network, "norms")) == norms
    assert set(moved_parameters(network, "trunk norms")) == {name for name in norms if name.startswith("trunk.")}
    assert 0 < len(moved_parameters(network, "trunk norms")) < len(norms)


def test_features_are_the_input_of_the_fused_head() -> None:
    faces = torch.from_numpy(random_faces(3)).permute(0, 3, 1, 2) / 255
    plain = PlainNetwork(NetworkSettings(trunk="test_byobnet", width=32, groups=4), len(CLASSES), SIZE).eval()
    for network in (tiny_network(), plain):
        outputs = network(faces)
        torch.testing.assert_close(network.heads()[0](features_of(network, outputs)), outputs.logits.fused)
    assert not torch.equal(outputs_of(torch.zeros(2, 4), torch.ones(2, 32)).of_global, torch.ones(2, 32))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_named(value: float) -> None:
    with pytest.raises(TrainingError, match=r"'second' is no finite number at step 8"):
        total_loss({"first": torch.tensor(1.0), "second": torch.tensor(value)}, 7)
    assert total_loss({"a": torch.tensor(1.0), "b": torch.tensor(2.5)}, 0).item() == 3.5
