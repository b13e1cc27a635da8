"""Shared comparisons of features, and the losses of the methods that use them, against plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from dcdan.methods.feature_alignment import (
    BANDWIDTHS,
    MovingMeans,
    class_means,
    directions,
    mmd,
    one_hot_confident,
)
from dcdan.methods.jdman import centre_loss, mean_distance
from dcdan.methods.la_cmfer import LACMFER, LACMFERSettings, pair_loss
from dcdan.methods.subject_based import SubjectBased, SubjectBasedSettings, closest, subject_discrepancy
from dcdan.methods.ustst import ambiguity, pseudo_label_loss, similarity_loss
from toy_batch import CLASSES, COUNTS, LABELS, WIDTH, toy

Rows = list[list[float]]


def made(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def squared(a: list[float], b: list[float]) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def naive_mmd(first: Rows, second: Rows) -> float:
    both = first + second
    pairs = [squared(a, b) for i, a in enumerate(both) for j, b in enumerate(both) if i != j]
    scale = sum(pairs) / len(pairs)

    def kernel(one: Rows, other: Rows) -> float:
        values = [
            sum(math.exp(-squared(a, b) / (scale * width)) for width in BANDWIDTHS) / len(BANDWIDTHS)
            for a in one
            for b in other
        ]
        return sum(values) / len(values)

    return kernel(first, first) + kernel(second, second) - 2 * kernel(first, second)


def test_mmd_equals_a_naive_loop() -> None:
    first, second = made(4, 3), made(6, 3, seed=1) + 0.5
    assert mmd(first, second).item() == pytest.approx(naive_mmd(first.tolist(), second.tolist()))
    assert mmd(first, first).item() == pytest.approx(0, abs=1e-12)
    assert mmd(first, second + 3) > mmd(first, second) > 0
    assert mmd(first, second).item() == pytest.approx(mmd(second, first).item())


def test_a_descending_step_lowers_mmd() -> None:
    first, second = made(8, 3).requires_grad_(), made(8, 3, seed=1) + 2
    before = mmd(first, second)
    (gradient,) = torch.autograd.grad(before, first)
    assert mmd(first - 0.5 * gradient, second) < before


def test_class_means_equal_a_naive_loop() -> None:
    features, weights = made(5, 3), made(5, 4).abs()
    weights[:, 2] = 0
    means, total = class_means(features, weights)
    for k in range(4):
        mass = sum(weights[i, k].item() for i in range(5))
        assert total[k].item() == pytest.approx(mass)
        for w in range(3):
            wanted = sum((weights[i, k] * features[i, w]).item() for i in range(5)) / mass if mass else 0.0
            assert means[k, w].item() == pytest.approx(wanted)


def test_moving_means_start_at_the_first_batch_and_keep_unseen_classes() -> None:
    moving = MovingMeans(3, 2, momentum=0.75)
    first = moving(torch.tensor([[1.0, 0.0], [3.0, 0.0]]), torch.eye(3)[[0, 0]])
    assert first.tolist() == [[2.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    assert moving.known.tolist() == [True, False, False]
    features = torch.tensor([[6.0, 4.0], [5.0, 5.0]], requires_grad=True)
    second = moving(features, torch.eye(3)[[0, 1]])
    assert second.tolist() == [[0.75 * 2 + 0.25 * 6, 0.25 * 4], [5.0, 5.0], [0.0, 0.0]]
    (gradient,) = torch.autograd.grad(second.sum(), features)
    assert gradient.tolist() == [[0.25, 0.25], [1.0, 1.0]]
    assert torch.equal(moving.means, second)


def test_directions_have_unit_length_and_confident_labels_reach_the_threshold() -> None:
    assert directions(made(5, 3)).norm(dim=1).tolist() == pytest.approx([1] * 5)
    found = one_hot_confident(torch.tensor([[0.8, 0.2], [0.79, 0.21], [0.1, 0.9]]), 0.8)
    assert found.tolist() == [[1, 0], [0, 0], [0, 1]]


def test_centre_and_mean_distance_equal_naive_loops() -> None:
    features, centres = made(5, 3), made(4, 3, seed=1)
    labels = made(5, 4, seed=2).softmax(1)
    wanted = sum(
        labels[i, k].item() * squared(features[i].tolist(), centres[k].tolist()) for i in range(5) for k in range(4)
    )
    assert centre_loss(features, labels, centres).item() == pytest.approx(wanted / 5)
    known = torch.tensor([True, False, True, True])
    other = made(4, 3, seed=3)
    distances = [squared(centres[k].tolist(), other[k].tolist()) for k in (0, 2, 3)]
    assert mean_distance(centres, other, known).item() == pytest.approx(sum(distances) / 3)
    assert mean_distance(centres, other, torch.zeros(4, dtype=torch.bool)) == 0


def test_ambiguity_pseudo_labels_and_similarities_equal_naive_loops() -> None:
    p, logits = made(5, 4).softmax(1), made(5, 4, seed=1)
    gaps = [1 - (sorted(row)[-1] - sorted(row)[-2]) for row in p.tolist()]
    assert ambiguity(p).tolist() == pytest.approx(gaps)
    limit = sorted(gaps)[2]
    total = 0.0
    for row, guess, gap in zip(logits.tolist(), p.tolist(), gaps, strict=True):
        if gap <= limit:
            total += math.log(sum(map(math.exp, row))) - row[guess.index(max(guess))]
    assert pseudo_label_loss(logits, p, limit).item() == pytest.approx(total / 5)
    strong = made(5, 4, seed=2).softmax(1).requires_grad_()
    a, b = p.tolist(), strong.tolist()

    def dot(rows: Rows, i: int, j: int) -> float:
        return sum(x * y for x, y in zip(rows[i], rows[j], strict=True))

    wanted = sum((dot(a, i, j) - dot(b, i, j)) ** 2 for i in range(5) for j in range(5)) / 25
    assert similarity_loss(p, strong).item() == pytest.approx(wanted)
    weak = p.clone().requires_grad_()
    similarity_loss(weak, strong).backward()
    assert weak.grad is None
    assert strong.grad is not None


def test_pair_loss_equals_a_naive_loop() -> None:
    first, second = directions(made(4, 3)), directions(made(5, 3, seed=1))
    ours, theirs = torch.eye(3, dtype=torch.float64)[[0, 1, 2, 0]], torch.eye(3, dtype=torch.float64)[[0, 0, 1, 2, 1]]
    theirs[3] = 0
    total, pairs = 0.0, 0
    for i in range(4):
        for j in range(5):
            if not theirs[j].any():
                continue
            cosine = float(first[i] @ second[j])
            same = ours[i].argmax() == theirs[j].argmax()
            total += 1 - cosine if same else max(0.0, cosine - 0.1)
            pairs += 1
    assert pair_loss(first, second, ours, theirs, 0.1).item() == pytest.approx(total / pairs)
    assert pair_loss(first, second, ours, 0 * theirs, 0.1) == 0


def test_the_closest_persons_take_part() -> None:
    distances = torch.tensor([0.5, 0.1, 0.4, 0.2])
    assert closest(distances, 0.5).tolist() == [False, True, False, True]
    assert closest(distances, 0.01).tolist() == [False, True, False, False]
    assert closest(distances, 1.0).all()


def test_subject_discrepancy_is_the_mean_over_persons() -> None:
    source, target = made(6, 3), made(4, 3, seed=1)
    groups = torch.tensor([3, 3, 7, 7, 7, 1])
    each = [naive_mmd(source[rows].tolist(), target.tolist()) for rows in ([0, 1], [2, 3, 4])]
    found = subject_discrepancy(source, groups, target, torch.tensor([3, 7]))
    assert found.item() == pytest.approx(np.mean(each))


def test_means_of_persons_follow_their_faces() -> None:
    torch.manual_seed(0)
    method = SubjectBased(SubjectBasedSettings(momentum=0.75), 2, COUNTS)
    method.set_groups(torch.tensor([0, 1, 1, 2]))
    persons, target = torch.tensor([0, 1]), torch.zeros(2, 2)
    source, groups = torch.tensor([[3.0, 4.0], [1.0, 0.0], [3.0, 0.0]]), torch.tensor([0, 1, 1])
    assert method.distances(source, groups, target, persons).tolist() == pytest.approx([5, 2])
    assert method.distances(0 * source, groups, target, persons).tolist() == pytest.approx([0.75 * 5, 0.75 * 2])
    assert method.known.tolist() == [True, True, False]


def test_each_source_set_has_a_classifier_that_its_own_faces_train() -> None:
    case = toy(LACMFER)
    assert len(case.method.classifiers) == 1  # type: ignore[arg-type]
    torch.manual_seed(0)
    method = LACMFER(LACMFERSettings(), WIDTH, COUNTS)
    method.set_groups(torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]))
    batch = case.batch()
    losses = method.losses(batch, 0.5)
    first, second = method.classifiers
    features = (batch.source.of_global + batch.source.of_local).detach()
    share = method.settings.classification.label_smoothing

    def cross_entropy(rows: slice, layer: torch.nn.Module) -> float:
        logs = layer(features[rows]).log_softmax(1)
        hard = logs.gather(1, LABELS[rows, None]).mean()
        return float((-(1 - share) * hard - share * logs.mean()).detach())

    wanted = (cross_entropy(slice(4), first) + cross_entropy(slice(4, 8), second)) / 2
    assert losses["sets"].item() == pytest.approx(wanted, rel=1e-5)
    alone = LACMFER(LACMFERSettings(), WIDTH, COUNTS)
    alone.set_groups(torch.tensor([0, 0, 0, 0, 0, 0, 0, 0, 1]))
    found = alone.losses(batch, 0.5)["sets"]
    assert found.item() == pytest.approx(cross_entropy(slice(8), alone.classifiers[0]), rel=1e-5)
    assert alone.classifiers[1].out_features == CLASSES
