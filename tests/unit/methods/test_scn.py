"""SCN's three parts against plain Python, and its memory for new labels."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from dcdan.methods.base import Batch
from dcdan.methods.scn import SCN, SCNSettings, in_top, rank_loss, relabelled
from dcdan.models.heads import Logits
from dcdan.models.network import NetworkOutputs
from toy_batch import CLASSES, COUNTS, WIDTH, toy


@pytest.mark.parametrize("share", [0.7, 0.5, 0.01, 0.99])
@pytest.mark.parametrize("margin", [0.07, 0.5])
def test_rank_loss_equals_a_naive_loop(share: float, margin: float) -> None:
    importance = torch.rand(9, generator=torch.Generator().manual_seed(1)).double()
    ordered = sorted(importance.tolist(), reverse=True)
    size = min(max(int(share * 9), 1), 8)
    high, low = ordered[:size], ordered[size:]
    wanted = max(0.0, margin - (sum(high) / len(high) - sum(low) / len(low)))
    top = in_top(importance, share)
    assert sorted(importance[top].tolist(), reverse=True) == pytest.approx(high)
    assert rank_loss(importance, top, margin).item() == pytest.approx(wanted)


def test_rank_loss_parts_the_groups() -> None:
    importance = torch.tensor([0.5, 0.51, 0.52, 0.53], requires_grad=True)
    rank_loss(importance, in_top(importance.detach(), 0.5), 0.07).backward()
    assert importance.grad is not None
    assert importance.grad.tolist() == pytest.approx([0.5, 0.5, -0.5, -0.5])


def test_relabelling_equals_a_naive_loop() -> None:
    rows = (3 * torch.randn(40, 5, generator=torch.Generator().manual_seed(2))).softmax(1)
    given = torch.arange(40) % 5
    open_to_it = torch.arange(40) % 3 > 0
    wanted = []
    for row, label, may in zip(rows.tolist(), given.tolist(), open_to_it.tolist(), strict=True):
        wanted.append(row.index(max(row)) if may and max(row) - row[label] > 0.2 else label)
    found = relabelled(rows, given, open_to_it, 0.2)
    assert found.tolist() == wanted
    assert 5 < (found != given).sum() < 30


def test_network_multiplies_logits_by_importance() -> None:
    case = toy(SCN)
    network = case.network.eval()
    outputs = network(case.source)
    weight, bias = network.importance.weight[0].tolist(), network.importance.bias.item()  # type: ignore[union-attr]
    for face in range(len(case.source)):
        features = outputs.of_global[face].tolist()
        z = sum(w * f for w, f in zip(weight, features, strict=True)) + bias
        importance = 1 / (1 + math.exp(-z))
        assert outputs.auxiliary["importance"][face].item() == pytest.approx(importance, rel=1e-4)
        plain = network.head(outputs.of_global[face])  # type: ignore[operator]
        torch.testing.assert_close(outputs.logits.fused[face], importance * plain)


def given_batch(labels: torch.Tensor, logits: torch.Tensor, importance: torch.Tensor) -> Batch:
    """Return a batch of faces in the rows 10, 11, ... of a pack, with these outputs."""
    features = torch.zeros(len(labels), WIDTH)
    even = torch.full((len(labels), 5), 0.2)
    auxiliary = {"importance": importance}
    outputs = NetworkOutputs(features, features, Logits(logits, logits, logits), even, auxiliary=auxiliary)
    return Batch(labels, outputs, rows=torch.arange(len(labels)) + 10)


def made(**settings: object) -> SCN:
    """Return SCN for a pack of twenty faces."""
    classification = {"label_smoothing": 0.0}
    method = SCN(SCNSettings(classification=classification, **settings), WIDTH, COUNTS)  # type: ignore[arg-type]
    method.prepare(toy(SCN).network, 20)
    return method


LABELS = torch.tensor([[1.0, 0, 0, 0, 0], [0.2, 0.5, 0.3, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0]])
SURE = 4 * torch.eye(CLASSES)[[4, 4, 4, 3]]
IMPORTANCE = torch.tensor([0.9, 0.1, 0.8, 0.2])


def naive_loss(logits: torch.Tensor, labels: list[list[float]]) -> float:
    total = 0.0
    for row, label in zip(logits.tolist(), labels, strict=True):
        log_sum = math.log(sum(map(math.exp, row)))
        total -= sum(y * (z - log_sum) for y, z in zip(label, row, strict=True))
    return total / len(labels)


def test_labels_of_the_least_important_change_from_their_next_turn_on() -> None:
    method = made(top_share=0.5, relabel_from=0.3)
    batch = given_batch(LABELS, SURE, IMPORTANCE)
    first = method.losses(batch, 0.29)["cls"].item()
    assert method.report() == {"relabelled": 0}
    second = method.losses(batch, 0.3)["cls"].item()
    assert first == second == pytest.approx(naive_loss(SURE, LABELS.tolist()))
    # Face 1, whose votes say class 1, is unimportant and looks like class 4; face 3 looks like what it is said to be.
    assert method.report() == {"relabelled": 1}
    assert method.given[[10, 11, 12, 13]].tolist() == [-1, 4, -1, -1]
    third = method.losses(batch, 0.31)["cls"].item()
    assert third == pytest.approx(naive_loss(SURE, [*LABELS[:1].tolist(), [0, 0, 0, 0, 1.0], *LABELS[2:].tolist()]))
    other = replace(batch, rows=batch.rows - 10)  # type: ignore[operator]
    assert method.losses(other, 0.31)["cls"].item() == pytest.approx(first)


def test_a_new_label_may_change_again() -> None:
    method = made(top_share=0.5)
    method.losses(given_batch(LABELS, SURE, IMPORTANCE), 0.5)
    method.losses(given_batch(LABELS, 4 * torch.eye(CLASSES)[[4, 2, 4, 3]], IMPORTANCE), 0.6)
    assert method.given[11] == 2
    method.losses(given_batch(LABELS, torch.zeros(4, CLASSES), IMPORTANCE), 0.7)
    assert method.given[11] == 2


def test_losses_are_those_of_the_parts() -> None:
    method = made(rank_weight=3.0, rank_margin=0.9, relabel_from=1.0)
    batch = given_batch(LABELS, SURE, IMPORTANCE)
    losses = method.losses(batch, 0.99)
    wanted = 3 * rank_loss(IMPORTANCE, in_top(IMPORTANCE, 0.7), 0.9)
    assert losses["rank"].item() == pytest.approx(wanted.item())
    assert losses["rank"].item() > 0
    assert method.report() == {"relabelled": 0}
