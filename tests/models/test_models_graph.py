"""The graph of AGRA: its links one by one, and its convolutions against plain loops."""

from __future__ import annotations

import pytest
import torch

from dcdan.models.graph import FaceGraph, links_across, links_within, normalised


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
