"""AGRA: running class means and the features of the graph against plain Python, and where its gradient goes."""

from __future__ import annotations

import math

import pytest
import torch
from toy_batch import CLASSES, COUNTS, WIDTH, made_up

from dcdan.errors import UsageError
from dcdan.methods.adversarial import adversarial_loss, reversal_coefficient
from dcdan.methods.agra import AGRA, AGRASettings, ClassMeans
from dcdan.methods.base import Batch
from dcdan.training.settings import read_settings


def case() -> tuple[AGRA, Batch]:
    torch.manual_seed(0)
    method = AGRA(AGRASettings(classifier=0.3, adversarial=0.6), WIDTH, COUNTS).double().eval()
    for norm in method.norms:
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    labels = torch.eye(CLASSES, dtype=torch.float64)[torch.tensor([0, 1, 1, 3, 0, 2])]
    return method, Batch(labels, made_up(6, 0), made_up(4, 1))


def test_means_follow_a_naive_computation() -> None:
    torch.manual_seed(0)
    means = ClassMeans(4, 3, 0.1).double()
    running: dict[int, list[float]] = {}
    for step in range(12):
        nodes = torch.randn(5, 3, dtype=torch.float64)
        classes = torch.randint(0, 4 if step > 3 else 2, (5,))
        means.update(nodes, classes)
        for label in set(classes.tolist()):
            rows = [row for row, other in zip(nodes.tolist(), classes.tolist(), strict=True) if other == label]
            mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
            before = running.get(label, mean)
            running[label] = [0.9 * old + 0.1 * new for old, new in zip(before, mean, strict=True)]
        for label in range(4):
            assert bool(means.known[label]) == (label in running)
            assert means.mean[label].tolist() == pytest.approx(running.get(label, [0.0] * 3))
        for row, found in zip(nodes.tolist(), means.nearest(nodes).tolist(), strict=True):
            assert found == pytest.approx(min(running.values(), key=lambda mean, row=row: math.dist(mean, row)))


def test_an_unknown_class_is_never_the_nearest() -> None:
    means = ClassMeans(3, 2, 0.5)
    means.update(torch.tensor([[5.0, 5.0]]), torch.tensor([1]))
    assert means.nearest(torch.tensor([[0.0, 0.1], [9.0, 9.0]])).tolist() == [[5.0, 5.0], [5.0, 5.0]]


def node_row(method: AGRA, outputs: object, face: int, domain: int) -> list[float]:
    """The 384 numbers of a face, part by part."""
    parts = [outputs.of_global[face], *outputs.regions[face]]  # type: ignore[attr-defined]
    raw = [method.of_whole(parts[0]), *(method.of_region(part) for part in parts[1:])]
    norm = method.norms[domain]
    joined = torch.cat(raw).tolist()
    rows = zip(
        joined, *(t.tolist() for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)), strict=True
    )
    return [(x - mean) / math.sqrt(var + norm.eps) * weight + bias for x, mean, var, weight, bias in rows]


def test_graph_sees_the_nearest_mean_of_the_other_domain() -> None:
    method, batch = case()
    target = batch.target
    assert target is not None
    of_source, of_target = method.features(batch)
    rows = [[node_row(method, o, i, d) for i in range(n)] for d, (o, n) in enumerate(((batch.source, 6), (target, 4)))]
    classes = [batch.labels.argmax(1).tolist(), target.logits.fused.argmax(1).tolist()]
    means = []
    for domain in range(2):
        members: dict[int, list[list[float]]] = {}
        for row, label in zip(rows[domain], classes[domain], strict=True):
            members.setdefault(label, []).append(row)
        means.append([[sum(column) / len(group) for column in zip(*group, strict=True)] for group in members.values()])
    for domain, found in enumerate((of_source, of_target)):
        for row, feature in zip(rows[domain], found, strict=True):
            beside = min(means[1 - domain], key=lambda mean, row=row: math.dist(mean, row))
            twelve = torch.tensor([row, beside] if domain == 0 else [beside, row], dtype=torch.float64)
            wanted = method.graph(twelve.reshape(1, 12, 64))[0].flatten()
            torch.testing.assert_close(feature, wanted[:384] if domain == 0 else wanted[384:])


def test_losses_are_weighted_terms_on_those_features() -> None:
    method, batch = case()
    losses = method.losses(batch, 0.4)
    again, _ = case()
    source, target = again.features(batch)
    logits = again.classifier(source), again.classifier(target)
    total, share = 0.0, method.settings.classification.label_smoothing
    for row, label in zip(logits[0].tolist(), batch.labels.argmax(1).tolist(), strict=True):
        logs = [value - math.log(sum(map(math.exp, row))) for value in row]
        total -= (1 - share) * logs[label] + share * sum(logs) / CLASSES
    assert losses["graph"].item() == pytest.approx(0.3 * total / 6)
    adversarial = adversarial_loss(again.discriminator, source, target, *logits, reversal_coefficient(0.4), "cdan-e")
    assert losses["adv"].item() == pytest.approx(0.6 * adversarial.item())
    assert losses["cls"].item() == pytest.approx(method.classify(batch).item())


def test_gradient_reaches_whole_and_regions_of_both_domains_but_not_the_heads_that_answer() -> None:
    method, batch = case()
    target = batch.target
    assert target is not None
    losses = method.losses(batch, 0.4)
    features = [batch.source.of_global, batch.source.regions, target.of_global, target.regions]
    adversarial = torch.autograd.grad(losses["adv"], features, retain_graph=True)
    assert all(gradient.flatten(1).any(1).all() for gradient in adversarial)
    assert target.heads is not None
    answering = [*target.heads.parameters(), *batch.source.logits, *target.logits]
    for name in ("graph", "adv"):
        found = torch.autograd.grad(losses[name], answering, allow_unused=True, retain_graph=True)
        assert all(gradient is None for gradient in found)


@pytest.mark.parametrize("method", ["agra", "aglrls"])
def test_a_network_without_regions_is_refused(method: str) -> None:
    with pytest.raises(UsageError, match=r"network\.local_branch"):
        read_settings(None, ["network.local_branch=false"], method=method).build(CLASSES)
