"""MCC: class confusion against plain Python, its gradient, and its limits."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dcdan.methods.base import Batch
from dcdan.methods.mcc import MCC, MCCSettings, class_confusion
from toy_batch import CLASSES, COUNTS, WIDTH, made_up

Rows = list[list[float]]


def softmax(row: list[float], temperature: float) -> list[float]:
    exps = [math.exp((value - max(row)) / temperature) for value in row]
    return [value / sum(exps) for value in exps]


def weights_of(logits: Rows, temperature: float) -> list[float]:
    raw = []
    for row in logits:
        raw.append(1 + math.exp(sum(p * math.log(p) for p in softmax(row, temperature))))
    return [len(raw) * value / sum(raw) for value in raw]


def confusion(logits: Rows, temperature: float, weights: list[float] | None = None) -> float:
    """The paper's steps, one number at a time."""
    y = [softmax(row, temperature) for row in logits]
    w = weights or weights_of(logits, temperature)
    classes = range(len(y[0]))
    c = [[sum(w[i] * y[i][j] * y[i][k] for i in range(len(y))) for k in classes] for j in classes]
    off = [c[j][k] / sum(c[j]) for j in classes for k in classes if j != k]
    return sum(off) / len(classes)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_confusion_equals_a_naive_loop(temperature: float) -> None:
    logits = 3 * torch.randn(6, 4, dtype=torch.float64)
    assert class_confusion(logits, temperature).item() == pytest.approx(confusion(logits.tolist(), temperature))


def test_gradient_takes_the_weights_as_constants() -> None:
    logits = (2 * torch.randn(4, 3, dtype=torch.float64)).requires_grad_()
    (gradient,) = torch.autograd.grad(class_confusion(logits, 2.5), logits)
    rows, held = logits.tolist(), weights_of(logits.tolist(), 2.5)
    for i in range(4):
        for j in range(3):
            up, down = ([list(row) for row in rows] for _ in range(2))
            up[i][j] += 1e-5
            down[i][j] -= 1e-5
            slope = (confusion(up, 2.5, held) - confusion(down, 2.5, held)) / 2e-5
            assert gradient[i, j].item() == pytest.approx(slope, abs=1e-8)


def test_sure_answers_are_not_confused_and_even_ones_wholly() -> None:
    sure = 200 * torch.eye(5, dtype=torch.float64)
    assert class_confusion(sure, 2.5).item() == pytest.approx(0, abs=1e-9)
    assert class_confusion(torch.zeros(7, 5), 2.5).item() == pytest.approx(1 - 1 / 5)


def test_a_class_that_no_face_may_be_is_no_division_by_nought() -> None:
    logits = torch.tensor([[1e5, 0.0, -1e5], [0.0, 1e5, -1e5]], requires_grad=True)
    loss = class_confusion(logits, 2.5)
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert torch.autograd.grad(loss, logits)[0].isfinite().all()


@given(st.integers(1, 8), st.integers(2, 7), st.integers(0, 999))
def test_confusion_is_a_share_and_knows_no_order(faces: int, classes: int, seed: int) -> None:
    torch.manual_seed(seed)
    logits = 4 * torch.randn(faces, classes, dtype=torch.float64)
    value = class_confusion(logits, 2.5).item()
    assert 0 <= value <= 1
    mixed = logits[torch.randperm(faces)][:, torch.randperm(classes)]
    assert class_confusion(mixed, 2.5).item() == pytest.approx(value)


def test_method_confuses_the_target_only() -> None:
    method = MCC(MCCSettings(weight=0.5, temperature=2.0), WIDTH, COUNTS).double()
    labels = torch.eye(CLASSES, dtype=torch.float64)
    batch = Batch(labels, made_up(CLASSES, 0), made_up(4, 1))
    assert batch.target is not None
    losses = method.losses(batch, 0.2)
    assert losses["mcc"].item() == pytest.approx(0.5 * confusion(batch.target.logits.fused.tolist(), 2.0))
    assert losses["cls"].item() == pytest.approx(method.classify(batch).item())
    inputs = [batch.target.logits.fused, batch.target.logits.of_global, *batch.source.logits]
    found = torch.autograd.grad(losses["mcc"], inputs, allow_unused=True)
    assert [gradient is not None for gradient in found] == [True, False, False, False, False]
