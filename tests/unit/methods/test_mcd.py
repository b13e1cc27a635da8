"""MCD: the discrepancy against plain Python, and who raises and who lowers it."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dcdan.methods.adversarial import reversal_coefficient
from dcdan.methods.base import Batch
from dcdan.methods.mcd import MCD, MCDSettings, discrepancy
from toy_batch import CLASSES, COUNTS, WIDTH, made_up


def softmax(row: list[float]) -> list[float]:
    exps = [math.exp(value - max(row)) for value in row]
    return [value / sum(exps) for value in exps]


def apart(first: Tensor, second: Tensor) -> float:
    rows = zip(first.tolist(), second.tolist(), strict=True)
    each = [abs(p - q) for a, b in rows for p, q in zip(softmax(a), softmax(b), strict=True)]
    return sum(each) / len(each)


def case(progress: float = 0.3, **settings: float) -> tuple[MCD, Batch, dict[str, Tensor]]:
    torch.manual_seed(0)
    method = MCD(MCDSettings(**settings), WIDTH, COUNTS).double()
    labels = torch.eye(CLASSES, dtype=torch.float64)[torch.arange(6) % CLASSES]
    batch = Batch(labels, made_up(6, 0), made_up(4, 1))
    return method, batch, method.losses(batch, progress)


def test_discrepancy_equals_a_naive_loop() -> None:
    first, second = torch.randn(2, 5, 4, dtype=torch.float64)
    assert discrepancy(first, second).item() == pytest.approx(apart(first, second))
    assert discrepancy(first, first + 3).item() == pytest.approx(0, abs=1e-12)
    sure = 50 * torch.eye(4, dtype=torch.float64)
    assert discrepancy(sure, sure.roll(1, 0)).item() == pytest.approx(2 / 4)


@given(st.integers(1, 6), st.integers(2, 8), st.integers(0, 999))
def test_discrepancy_is_a_bounded_symmetric_distance(faces: int, classes: int, seed: int) -> None:
    torch.manual_seed(seed)
    a, b, c = 5 * torch.randn(3, faces, classes, dtype=torch.float64)
    assert 0 <= discrepancy(a, b).item() <= 2 / classes + 1e-12
    assert discrepancy(a, b).item() == pytest.approx(discrepancy(b, a).item())
    assert discrepancy(a, c) <= discrepancy(a, b) + discrepancy(b, c) + 1e-12


def test_losses_are_those_of_the_three_steps() -> None:
    method, batch, losses = case(weight=0.7)
    assert batch.target is not None
    assert batch.target.heads is not None
    seen = batch.target.of_global + batch.target.of_local
    wanted = apart(batch.target.heads.fused(seen), method.second(seen))
    assert losses["disc"].item() == pytest.approx(-0.7 * wanted)
    logits = method.second(batch.source.of_global + batch.source.of_local).tolist()
    share = method.settings.classification.label_smoothing
    total = 0.0
    for row, label in zip(logits, batch.labels.argmax(1).tolist(), strict=True):
        logs = [math.log(p) for p in softmax(row)]
        total -= (1 - share) * logs[label] + share * sum(logs) / CLASSES
    assert losses["cls2"].item() == pytest.approx(total / 6)
    assert losses["cls"].item() == pytest.approx(method.classify(batch).item())


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_classifiers_raise_what_the_features_lower(progress: float) -> None:
    method, batch, losses = case(progress, weight=0.5, pull=3.0)
    target = batch.target
    assert target is not None
    assert target.heads is not None
    features, classifiers = (target.of_global, target.of_local), [target.heads.fused.weight, method.second.weight]
    found = torch.autograd.grad(losses["disc"], (*features, *classifiers))
    seen = target.of_global + target.of_local
    plain = discrepancy(target.heads.fused(seen), method.second(seen))
    wanted = torch.autograd.grad(plain, (*features, *classifiers))
    assert all(gradient.abs().sum() > 0 for gradient in wanted)
    for index in range(2):
        torch.testing.assert_close(found[index], 0.5 * 3 * reversal_coefficient(progress) * wanted[index])
        torch.testing.assert_close(found[2 + index], -0.5 * wanted[2 + index])


def test_a_descending_step_of_each_player_moves_the_discrepancy_its_way() -> None:
    method, batch, losses = case()
    target = batch.target
    assert target is not None
    assert target.heads is not None
    players = (target.of_global, target.heads.fused.weight, method.second.weight)
    gradients = torch.autograd.grad(losses["disc"], players)

    def now() -> float:
        seen = target.of_global + target.of_local
        return discrepancy(target.heads.fused(seen), method.second(seen)).item()

    before = now()
    for player, gradient, sign in zip(players, gradients, (-1, 1, 1), strict=True):
        with torch.no_grad():
            player -= 1e-3 * gradient
            assert sign * (now() - before) > 0
            player += 1e-3 * gradient


def test_the_discrepancy_leaves_source_and_the_other_heads_alone() -> None:
    _, batch, losses = case()
    assert batch.target is not None
    heads = batch.target.heads
    assert heads is not None
    others = [*heads.of_global.parameters(), *heads.of_local.parameters()]
    source = [batch.source.of_global, batch.source.of_local, *batch.source.logits]
    found = torch.autograd.grad(losses["disc"], [*others, *source], allow_unused=True)
    assert all(gradient is None for gradient in found)
