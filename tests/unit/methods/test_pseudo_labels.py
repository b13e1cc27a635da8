"""Dynamic thresholds, alignment to a prior, and the pseudo-label loss against plain Python."""

from __future__ import annotations

import math

import pytest
import torch

from dcdan.methods.dcdan import DCDANSettings
from dcdan.methods.pseudo_labels import DynamicThresholds, aligned_to_prior, pseudo_label_loss
from dcdan.models.heads import Logits


def probabilities(batch: int, seed: int, sharp: float = 2.0, classes: int = 4) -> torch.Tensor:
    """Return rows that favour the later classes."""
    generator = torch.Generator().manual_seed(seed)
    logits = sharp * torch.randn(batch, classes, generator=generator) + torch.arange(classes)
    return logits.double().softmax(1)


class Naive:
    """The same running state in plain numbers."""

    def __init__(self, classes: int, tau: float, keep: float, floor: float) -> None:
        self.tau, self.keep, self.floor = tau, keep, floor
        self.share, self.seen, self.confidence = [1 / classes] * classes, [1 / classes] * classes, 1.0
        self.updates = 0

    def values(self) -> list[float]:
        ratios = [share / max(self.share) for share in self.share]
        return [max(self.floor, self.tau * self.confidence * ((r + 1) / 2) ** 2) for r in ratios]

    def update(self, source: list[list[float]], target: list[list[float]]) -> None:
        n, classes = len(target), range(len(self.share))
        keep = min(self.keep, self.updates / (self.updates + 1))
        slow = min(self.keep, (self.updates + 10) / (self.updates + 11))
        self.updates += 1
        self.confidence = keep * self.confidence + (1 - keep) * sum(map(max, source)) / len(source)
        confident = [0] * len(self.share)
        for row in target:
            label = row.index(max(row))
            confident[label] += row[label] >= self.tau * self.confidence
        self.share = [slow * self.share[c] + (1 - slow) * confident[c] / n for c in classes]
        self.seen = [keep * self.seen[c] + (1 - keep) * sum(row[c] for row in target) / n for c in classes]


@pytest.mark.parametrize(("relative", "momentum", "floor"), [(0.9, 0.99, 0.4), (1.0, 0.8, 0.0), (0.7, 0.9, 0.55)])
def test_thresholds_follow_a_naive_computation(relative: float, momentum: float, floor: float) -> None:
    ours = DynamicThresholds(4, relative, momentum, floor).double()
    plain = Naive(4, relative, momentum, floor)
    for step in range(60):
        source, target = probabilities(6, step, 4.0), probabilities(9, 1000 + step)
        ours.update(source, target)
        plain.update(source.tolist(), target.tolist())
        assert ours.values().tolist() == pytest.approx(plain.values())
    assert ours.seen.tolist() == pytest.approx(plain.seen)
    assert ours.confidence.item() == pytest.approx(plain.confidence)
    assert ours.values().min() >= floor
    assert ours.values().max() <= 1
    assert ours.values()[0] < ours.values()[3]


def test_thresholds_start_equal_at_tau() -> None:
    assert DynamicThresholds(7, 0.9).values().tolist() == pytest.approx([0.9] * 7)


def test_the_start_of_a_running_mean_has_no_weight() -> None:
    """F11. After one batch the means are that batch's, not .99 of what they were started with."""
    ours = DynamicThresholds(2)
    ours.update(torch.tensor([[0.6, 0.4]]), torch.tensor([[0.8, 0.2]]))
    assert ours.confidence.item() == pytest.approx(0.6)
    assert ours.seen.tolist() == pytest.approx([0.8, 0.2])
    for _ in range(3):
        ours.update(torch.tensor([[0.9, 0.1]]), torch.tensor([[0.8, 0.2]]))
    assert ours.confidence.item() == pytest.approx((0.6 + 3 * 0.9) / 4)


def test_thresholds_move_apart_by_class() -> None:
    """F1. With the default settings and ordinary confidences no threshold rests on the floor.

    By hand after many batches: tau = .9 x .75; class 0 is confident in half of the faces, class 1 in a quarter, class 2
    in none, so r = 1, .5, 0.
    """
    ours = DynamicThresholds(3, momentum=0.5)
    target = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.1, 0.3, 0.6], [0.9, 0.1, 0.0]])
    for _ in range(60):
        ours.update(torch.tensor([[0.75, 0.2, 0.05]]), target)
    tau = 0.9 * 0.75
    assert ours.values().tolist() == pytest.approx([tau, tau * 0.75**2, 0.25], abs=1e-4)
    assert DCDANSettings().threshold_floor == ours.floor < tau * 0.75**2
    strict = DynamicThresholds(3, momentum=0.5, floor=0.6)
    strict.load_state_dict(ours.state_dict())
    assert strict.values().tolist() == pytest.approx([tau, 0.6, 0.6], abs=1e-4)


def test_no_threshold_is_above_certainty() -> None:
    assert DynamicThresholds(3, 2.0).values().tolist() == [1.0] * 3


def test_thresholds_stay_between_nought_and_one_when_nothing_is_confident() -> None:
    ours = DynamicThresholds(4, 1.0, momentum=0.5, floor=0.3)
    even = torch.full((5, 4), 0.25)
    for _ in range(200):
        ours.update(even, even)
    assert ours.values().isfinite().all()
    assert ours.values().tolist() == pytest.approx([0.3] * 4)


def test_updates_take_no_gradient() -> None:
    ours = DynamicThresholds(4)
    logits = torch.randn(3, 4, requires_grad=True)
    ours.update(logits.softmax(1), logits.softmax(1))
    assert not ours.values().requires_grad


def test_alignment_to_a_prior_equals_a_naive_loop() -> None:
    rows, seen = probabilities(5, 0), torch.tensor([0.1, 0.2, 0.3, 0.4]).double()
    prior = torch.tensor([0.4, 0.3, 0.2, 0.1]).double()
    found = aligned_to_prior(rows, seen, prior)
    for row, wanted in zip(found.tolist(), rows.tolist(), strict=True):
        scaled = [p * q / s for p, q, s in zip(wanted, prior.tolist(), seen.tolist(), strict=True)]
        assert row == pytest.approx([value / sum(scaled) for value in scaled])
    torch.testing.assert_close(aligned_to_prior(rows, prior, prior), rows)


def test_alignment_survives_a_class_never_seen() -> None:
    rows = torch.tensor([[0.5, 0.5, 0.0]])
    found = aligned_to_prior(rows, torch.tensor([0.5, 0.5, 0.0]), torch.full((3,), 1 / 3))
    assert found.tolist() == [[0.5, 0.5, 0.0]]


@pytest.mark.parametrize("counted", [[True, False, True, True, False], [False] * 5, [True] * 5])
def test_loss_equals_a_naive_loop(counted: list[bool]) -> None:
    weights = (1.0, 0.5, 0.25)
    student = Logits(*torch.randn(3, 5, 4).double())
    teacher = probabilities(5, 3)
    total = 0.0
    for weight, head in zip(weights, student, strict=True):
        for row, answer, counts in zip(head.tolist(), teacher.tolist(), counted, strict=True):
            label = answer.index(max(answer))
            if counts:
                total += weight * (math.log(sum(map(math.exp, row))) - row[label]) / 5
    found = pseudo_label_loss(student, teacher, torch.tensor(counted), weights)
    assert found.item() == pytest.approx(total / sum(weights))


def test_uncounted_faces_teach_nothing() -> None:
    heads = [torch.randn(3, 4, requires_grad=True) for _ in range(3)]
    pseudo_label_loss(Logits(*heads), probabilities(3, 0), torch.tensor([True, False, True]), (1, 1, 1)).backward()
    for head in heads:
        assert head.grad[1].abs().sum() == 0
        assert head.grad[0].abs().sum() > 0
