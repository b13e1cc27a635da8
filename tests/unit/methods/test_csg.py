"""CSG's pooling, contrastive loss and queue against plain Python, and what it keeps frozen."""

from __future__ import annotations

import math

import pytest
import torch

from dcdan.methods.csg import CSG, STAGES, Comparison, CSGSettings, attention_pooled, contrastive_loss
from toy_batch import toy


def test_pooling_equals_a_naive_loop() -> None:
    torch.manual_seed(0)
    maps, by = torch.randn(2, 3, 2, 2).double(), torch.randn(2, 3, 2, 2).double()
    found = attention_pooled(maps, by)
    places = [(y, x) for y in range(2) for x in range(2)]
    for face in range(2):
        seen = {p: [max(0.0, by[face, c, p[0], p[1]].item()) for c in range(3)] for p in places}
        mean = [sum(seen[p][c] for p in places) / 4 for c in range(3)]
        weight = {p: sum(s * m for s, m in zip(seen[p], mean, strict=True)) + 1e-6 for p in places}
        for c in range(3):
            wanted = sum(weight[p] * maps[face, c, p[0], p[1]].item() for p in places) / sum(weight.values())
            assert found[face, c].item() == pytest.approx(wanted)


def test_pooling_of_a_map_that_is_nowhere_positive_is_its_mean() -> None:
    maps = -torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(attention_pooled(maps, maps), maps.mean((2, 3)))


def unit(n: int, seed: int) -> torch.Tensor:
    drawn = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed)).double()
    return drawn / drawn.norm(dim=1, keepdim=True)


def test_contrastive_loss_equals_a_naive_loop() -> None:
    queries, keys, negatives = unit(3, 0), unit(3, 1), unit(6, 2)
    total = 0.0
    for q, k in zip(queries.tolist(), keys.tolist(), strict=True):
        own = math.exp(sum(a * b for a, b in zip(q, k, strict=True)) / 0.07)
        others = [math.exp(sum(a * b for a, b in zip(q, n, strict=True)) / 0.07) for n in negatives.tolist()]
        total -= math.log(own / (own + sum(others)))
    assert contrastive_loss(queries, keys, negatives, 0.07).item() == pytest.approx(total / 3)


def test_queue_keeps_the_newest_keys_in_a_ring() -> None:
    torch.manual_seed(0)
    comparison = Comparison(6, CSGSettings(queue=5, dimensions=4, momentum=0.5))
    torch.testing.assert_close(comparison.queue.norm(dim=1), torch.ones(5))
    kept: list[torch.Tensor] = list(comparison.queue.clone())
    place = 0
    for size in (2, 2, 3, 7):
        trained, frozen = torch.rand(size, 6, 2, 2), torch.rand(size, 6, 2, 2)
        wanted_average = [
            torch.lerp(a, t.detach(), 0.5)
            for a, t in zip(comparison.averaged.parameters(), comparison.trained.parameters(), strict=True)
        ]
        negatives = torch.stack(kept)
        loss = comparison(trained, frozen)
        for found, wanted in zip(comparison.averaged.parameters(), wanted_average, strict=True):
            torch.testing.assert_close(found, wanted)
        with torch.no_grad():
            keys = torch.nn.functional.normalize(comparison.averaged(attention_pooled(frozen, trained)), dim=1)
            queries = torch.nn.functional.normalize(comparison.trained(attention_pooled(trained, trained)), dim=1)
        torch.testing.assert_close(loss.detach(), contrastive_loss(queries, keys, negatives, 0.07))
        for key in keys[-5:]:
            kept[place] = key
            place = (place + 1) % 5
        torch.testing.assert_close(comparison.queue, torch.stack(kept))
        assert comparison.place.item() == place


def test_queue_and_frozen_side_get_no_gradient_and_the_trained_side_does() -> None:
    comparison = Comparison(6, CSGSettings(queue=5, dimensions=4))
    trained, frozen = (torch.rand(3, 6, 2, 2, requires_grad=True) for _ in range(2))
    comparison(trained, frozen).backward()
    assert trained.grad is not None
    assert frozen.grad is None
    assert not comparison.queue.requires_grad
    assert all(parameter.grad is None for parameter in comparison.averaged.parameters())


def test_initial_trunk_stays_and_is_no_part_of_the_network() -> None:
    case = toy(CSG)
    assert isinstance(case.method, CSG)
    first = {name: value.clone() for name, value in case.method.frozen.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in case.method.parameters() if p.requires_grad], lr=0.1)
    optimiser.add_param_group({"params": list(case.network.parameters())})
    for _ in range(2):
        losses = case.method.losses(case.batch(), 0.5)
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
    frozen = case.method.frozen.state_dict()
    assert all(torch.equal(value, first[name]) for name, value in frozen.items())
    assert frozen.keys() == case.network.state_dict().keys()
    assert not torch.equal(frozen["trunk.body.conv1.0.weight"], case.network.state_dict()["trunk.body.conv1.0.weight"])


def test_losses_compare_the_last_two_stages_of_both_trunks() -> None:
    case = toy(CSG, weight=0.3, queue=16)
    assert isinstance(case.method, CSG)
    batch = case.batch()
    shapes = [tuple(batch.source.auxiliary[stage].shape) for stage in STAGES]
    assert shapes == [(8, channels, 2, 2) for channels in case.network.trunk.body.feature_info.channels()[-2:]]
    state = {name: value.clone() for name, value in case.method.state_dict().items()}
    losses = case.method.losses(batch, 0.5)
    case.method.load_state_dict(state)
    with torch.no_grad():
        frozen = case.method.frozen.maps(case.source)
        for stage, known in zip(STAGES, frozen, strict=True):
            wanted = 0.3 * case.method.comparisons[stage](batch.source.auxiliary[stage], known)
            assert losses[f"contrast_{stage}"].item() == pytest.approx(wanted.item())
    assert losses["cls"].item() == pytest.approx(case.method.classify(batch).item())
