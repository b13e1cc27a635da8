"""The graph of AGRA: its links one by one, and its convolutions against plain loops.

AGRA: running class means and the features of the graph against plain Python, and where its gradient goes.
"""

from __future__ import annotations

import math

import pytest
import torch

from dcdan.core.errors import UsageError
from dcdan.methods.adversarial import adversarial_loss, reversal_coefficient
from dcdan.methods.agra import AGRA, AGRASettings, ClassMeans, FaceGraph, links_across, links_within, normalised
from dcdan.methods.base import Batch
from dcdan.training.settings import read_settings
from toy_batch import CLASSES, COUNTS, WIDTH, made_up


def test_links_are_those_of_the_paper() -> None:
    within, across = links_within(), links_across()
    for i in range(12):
        for j in range(12):
            whole = i % 6 == 0 or j % 6 == 0
            if (i < 6) == (j < 6):
                wanted = 1.0 if i == j else 0.8 if whole else 0.5
                assert within[i % 6, j % 6].item() == pytest.approx(wanted)
                assert across[i, j].item() == float(i == j)
            else:
                wanted = 0.9 if i % 6 == j % 6 else 0.4 if whole else 0.25
                assert across[i, j].item() == pytest.approx(wanted)


def test_rows_are_shares_of_the_positive_links() -> None:
    links = torch.tensor([[1.0, -2.0, 3.0], [0.5, 0.5, 0.0], [-1.0, -1.0, -1.0]])
    assert normalised(links).tolist() == [[0.25, 0.0, 0.75], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]
    allowed = torch.tensor([[1.0, 1, 0], [1, 0, 1], [1, 1, 1]])
    assert normalised(links, allowed)[:2].tolist() == [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]


def test_graph_equals_plain_loops() -> None:
    torch.manual_seed(0)
    graph = FaceGraph(4, 6).double().eval()
    with torch.no_grad():
        graph.within += 0.2 * torch.randn(6, 6)
        graph.across += 0.3 * torch.randn(12, 12)
    nodes = torch.randn(3, 12, 4, dtype=torch.float64)
    found = graph(nodes)

    def share(links: torch.Tensor, i: int, j: int, open_: list[int]) -> torch.Tensor:
        return links[i, j].clamp_min(0) / sum(links[i, k].clamp_min(0) for k in open_)

    for face in range(3):
        seen = []
        for domain in (0, 6):
            own = list(range(6))
            first = [graph.first(nodes[face, domain + k]) for k in own]
            hidden = [sum(share(graph.within, i, j, own) * first[j] for j in own).relu() for i in own]
            second = [graph.second(row) for row in hidden]
            seen += [sum(share(graph.within, i, j, own) * second[j] for j in own) for i in own]
        third = [graph.third(row) for row in seen]
        for i in range(12):
            open_ = [i, *range(6, 12)] if i < 6 else [i, *range(6)]
            wanted = sum(share(graph.across, i, j, open_) * third[j] for j in open_)
            torch.testing.assert_close(found[face, i], wanted)


def test_domains_meet_in_the_last_layer_and_links_learn() -> None:
    graph = FaceGraph(4, 6).eval()
    nodes = torch.randn(2, 12, 4, requires_grad=True)
    (reached,) = torch.autograd.grad(graph(nodes)[0, 0].sum(), nodes, retain_graph=True)
    assert reached[0].abs().sum(1).gt(0).all()
    assert not reached[1].any()
    graph(nodes).square().sum().backward()
    assert graph.within.grad.abs().sum() > 0
    closed = graph.allowed == 0
    assert not graph.across.grad[closed].any()
    assert graph.across.grad[~closed].all()


def test_dropout_works_in_training_only() -> None:
    torch.manual_seed(0)
    graph, nodes = FaceGraph(8), torch.randn(2, 12, 8)
    assert not torch.equal(graph(nodes), graph(nodes))
    graph.eval()
    assert torch.equal(graph(nodes), graph(nodes))


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
    assert losses["adv"].item() == pytest.approx(adversarial.item())
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
