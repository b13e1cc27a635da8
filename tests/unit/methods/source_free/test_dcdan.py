"""DCD-DAN without a source set: each loss against a naive loop, the labels, and the features drawn from the memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dcdan.correction.memory import SourceMemory, build_memory
from dcdan.methods.source_free.base import Context
from dcdan.methods.source_free.dcdan import (
    HEADS,
    SourceFreeDCDAN,
    SourceFreeDCDANSettings,
    information_loss,
    label_loss,
    spread_within,
)
from dcdan.models.heads import Logits
from dcdan.training.source_free import AdaptSettings, adapt_network
from source_free_batch import CLASSES, WIDTH, batch_of, outputs_of, random_faces, tiny_network

K = len(CLASSES)


def memory(seed: int = 0) -> SourceMemory:
    """Return a memory of features around one mean a class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(400) % K
    features = rng.normal(size=(400, 2, WIDTH)) + 5 * labels[:, None, None]
    z = np.log(rng.dirichlet(np.ones(K), 100))
    return build_memory(CLASSES, features, labels, z, z.argmax(1))


def made(shares: tuple[float, ...] | None = None, with_memory: bool = True, **options: float) -> SourceFreeDCDAN:
    """Return the method for twenty faces and a tiny network."""
    context = Context(CLASSES, 20, (), shares, memory() if with_memory else None)
    torch.manual_seed(0)
    return SourceFreeDCDAN(SourceFreeDCDANSettings(**options), tiny_network(), context).eval()


def logits(rows: int, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(rows, K, generator=torch.Generator().manual_seed(seed))


def test_the_label_loss_is_the_cross_entropy_of_all_heads() -> None:
    heads = Logits(logits(3, 0), logits(3, 1), logits(3, 2))
    labels = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0], [0.25, 0.25, 0.5, 0]])
    total = 0.0
    for head, weight in zip(heads, HEADS, strict=True):
        for row in range(3):
            norm = math.log(sum(math.exp(float(v)) for v in head[row]))
            total += weight * sum(float(labels[row, c]) * (norm - float(head[row, c])) for c in range(K)) / 3
    assert float(label_loss(heads, labels)) == pytest.approx(total / sum(HEADS), rel=1e-5)


def test_the_information_loss_is_entropy_plus_divergence_from_the_shares() -> None:
    z, shares = logits(5), torch.tensor([0.5, 0.25, 0.125, 0.125])
    p = z.softmax(1).numpy().astype(float)
    entropy = float(np.mean([-sum(v * math.log(v) for v in row) for row in p]))
    mean = p.mean(0)
    divergence = sum(m * math.log(m / float(s)) for m, s in zip(mean, shares, strict=True))
    assert float(information_loss(z, shares)) == pytest.approx(entropy + divergence, rel=1e-5)


def test_with_shares_the_labels_of_all_faces_have_them() -> None:
    """Rung 1 corrects the teacher: a joint assignment whose columns sum to the declared shares."""
    shares = (0.4, 0.3, 0.2, 0.1)
    found = made(shares).labels_of(logits(20))
    assert found.sum(1).tolist() == pytest.approx([1.0] * 20, abs=1e-5)
    assert found.mean(0).tolist() == pytest.approx(shares, abs=1e-3)


def test_without_shares_only_confident_answers_count() -> None:
    method = made()
    z = torch.tensor([[8.0, 0, 0, 0], [0.1, 0, 0, 0], [0, 0, 0, 9.0]])
    method.confidence = 0.9
    assert method.labels_of(z).tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]


def test_features_drawn_from_the_memory_have_its_means_and_variances() -> None:
    given, method = memory(), made()
    features, labels = method.memory_batch(20000, torch.Generator().manual_seed(1))
    owner = labels.argmax(1)
    for c in range(K):
        own = features[owner == c].numpy()
        assert own.mean(0) == pytest.approx(given.means[c].astype(float), abs=0.15)
        assert own.var(0) == pytest.approx(given.variances[c], rel=0.25)
    assert np.bincount(owner.numpy()) / 20000 == pytest.approx(given.shares, abs=0.02)


def test_the_spread_within_is_what_the_centres_leave_of_the_variance() -> None:
    given = memory()
    spread = spread_within(given)
    own = np.flatnonzero(given.soft_labels.argmax(1) == 2)
    weights = given.weights[own] / given.weights[own].sum()
    mean = sum(w * given.centres[i, 1, 3].astype(float) for w, i in zip(weights, own, strict=True))
    between = sum(w * (given.centres[i, 1, 3].astype(float) - mean) ** 2 for w, i in zip(weights, own, strict=True))
    wanted = math.sqrt(max(float(given.variances[2, 1, 3]) - between, 0))
    assert spread[own, 1, 3] == pytest.approx(wanted, rel=1e-3, abs=1e-3)


def test_parts_are_there_where_they_apply() -> None:
    network = tiny_network()
    batch = batch_of({"strong": outputs_of(logits(4))}, progress=0.5)
    shares = (0.25, 0.25, 0.25, 0.25)
    every = {"pl", "im", "adv_g", "adv_l", "anchor"}
    assert set(made(shares).losses(network, batch)) == every
    assert set(made().losses(network, batch)) == every - {"im"}
    assert set(made(with_memory=False).losses(network, batch)) == {"pl", "anchor"}
    assert set(made(shares, lambda_adversary=0, lambda_anchor=0).losses(network, batch)) == {"pl", "im"}


def test_the_anchor_is_the_squared_distance_from_the_first_weights() -> None:
    method, network = made(with_memory=False), tiny_network()
    batch = batch_of({"strong": outputs_of(logits(4))})
    assert method.losses(network, batch)["anchor"].item() == 0
    weight = next(network.trunk.parameters())
    with torch.no_grad():
        weight.add_(0.5)
    assert method.losses(network, batch)["anchor"].item() == pytest.approx(0.01 * 0.25 * weight.numel(), rel=1e-4)
    with torch.no_grad():
        network.heads()[0].weight.add_(9)  # heads are frozen and do not count
    assert method.losses(network, batch)["anchor"].item() == pytest.approx(0.01 * 0.25 * weight.numel(), rel=1e-4)


def test_an_adaptation_moves_the_answers_towards_the_shares_and_leaves_the_heads() -> None:
    network = tiny_network()
    heads = [head.weight.clone() for head in network.heads()]
    shares = (0.7, 0.1, 0.1, 0.1)
    method = SourceFreeDCDAN(SourceFreeDCDANSettings(), network, Context(CLASSES, 20, (), shares, memory()))
    done = adapt_network(network, random_faces(), method, AdaptSettings(steps=30, lr=0.02))
    before, after = (np.abs(found - np.array(shares)).sum() for found in (done.before, done.class_shares))
    assert after < before
    assert all((head.weight == kept).all() for head, kept in zip(network.heads(), heads, strict=True))
