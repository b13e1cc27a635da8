"""AaD, NRC and CluP against plain Python, and k-means against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from dcdan.methods.source_free.aad import BankMethod, attraction, dispersion
from dcdan.methods.source_free.base import TargetBatch
from dcdan.methods.source_free.clup import UNLABELLED, Clup, ClusterLabels, cluster_labels, kmeans, purest
from dcdan.methods.source_free.losses import nearest_neighbours, unit
from dcdan.models.network import Network
from dcdan.training.source_free import TargetFaces
from source_free_batch import CLASSES, WIDTH, batch_of, made, outputs_of, random_faces, tiny_network

K = len(CLASSES)
N = 15


def vectors(count: int, width: int = WIDTH, seed: int = 0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def naive_near(features: Tensor, i: int, count: int) -> list[int]:
    similar = {j: float(features[i] @ features[j]) for j in range(len(features)) if j != i}
    return sorted(similar, key=lambda j: -similar[j])[:count]


def dot(a: Tensor, b: Tensor) -> float:
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def test_nearest_neighbours_leave_the_face_itself_out() -> None:
    bank = unit(vectors(N))
    rows = torch.tensor([3, 0, 14])
    found = nearest_neighbours(bank[rows], bank, rows, 4)
    assert found.tolist() == [naive_near(bank, i, 4) for i in rows.tolist()]
    doubled = torch.cat([bank, bank])  # a copy of the face is a neighbour, the face itself is not
    assert nearest_neighbours(doubled[:1], doubled, torch.tensor([0]), 1).tolist() == [[N]]
    assert nearest_neighbours(bank[:1], bank[:3], torch.tensor([0]), 5).shape == (1, 2)


def test_attraction_and_dispersion() -> None:
    p = vectors(6, K).softmax(1)
    near, weights = vectors(6 * 3, K, 1).softmax(1).reshape(6, 3, K), vectors(6, 3, 2).abs()
    agree = -sum(float(weights[i, j]) * dot(p[i], near[i, j]) for i in range(6) for j in range(3)) / 6
    assert attraction(p, near, weights).item() == pytest.approx(agree, rel=1e-5)
    apart = sum(dot(p[i], p[j]) for i in range(6) for j in range(6) if i != j) / 6
    assert dispersion(p).item() == pytest.approx(apart, rel=1e-5)


def banked(name: str, network: Network) -> tuple[BankMethod, Tensor, Tensor, TargetBatch]:
    """Return a method with made-up banks, these banks as they are after the batch, and the batch."""
    method = made(name, network, N)
    assert isinstance(method, BankMethod)
    features, scores = unit(vectors(N)), vectors(N, K, 1).softmax(1)
    method.features.copy_(features)
    method.scores.copy_(scores)
    rows = [4, 9, 2]
    of_batch, logits = vectors(3, WIDTH, 5), vectors(3, K, 6)
    features[rows], scores[rows] = unit(of_batch), logits.softmax(1)
    return method, features, scores, batch_of({"weak": outputs_of(logits, of_batch)}, rows, 0.25)


def test_aad_equals_a_naive_loop() -> None:
    network = tiny_network()
    method, features, scores, batch = banked("aad", network)
    found = method.losses(network, batch)
    p = batch.outputs["weak"].logits.fused.softmax(1)
    rows = batch.rows.tolist()
    near = [[scores[j] for j in naive_near(features, i, 5)] for i in rows]
    attract = -sum(dot(p[b], each) for b in range(3) for each in near[b]) / 3
    disperse = sum(dot(p[a], p[b]) for a in range(3) for b in range(3) if a != b) / 3
    assert found["attract"].item() == pytest.approx(attract, rel=1e-5)
    assert found["disperse"].item() == pytest.approx((1 + 2.5) ** -5 * disperse, rel=1e-5)
    torch.testing.assert_close(method.features, features)
    torch.testing.assert_close(method.scores, scores)


def test_nrc_equals_a_naive_loop() -> None:
    network = tiny_network()
    method, features, scores, batch = banked("nrc", network)
    found = method.losses(network, batch)
    p = batch.outputs["weak"].logits.fused.softmax(1)
    near = expanded = 0.0
    mutual = []
    for b, i in enumerate(batch.rows.tolist()):
        for j in naive_near(features, i, 5):
            around = naive_near(features, j, 5)
            mutual.append(i in around)
            near -= (1.0 if i in around else 0.1) * dot(p[b], scores[j]) / 3
            expanded -= sum(0.1 * dot(p[b], scores[m]) for m in around) / 3
    assert True in mutual
    assert False in mutual
    mean = [sum(float(p[b, k]) for b in range(3)) / 3 for k in range(K)]
    assert found["near"].item() == pytest.approx(near, rel=1e-5)
    assert found["expanded"].item() == pytest.approx(expanded, rel=1e-5)
    assert found["diversity"].item() == pytest.approx(sum(q * math.log(q + 1e-5) for q in mean), rel=1e-5)


def test_banks_start_from_the_answers_of_the_network() -> None:
    network = tiny_network()
    method = made("aad", network, 20)
    assert isinstance(method, BankMethod)
    target = TargetFaces(random_faces(), torch.device("cpu"))
    method.prepare(network, target)
    faces = torch.from_numpy(random_faces()).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        out = network(faces)
    both = out.of_global + out.of_local
    torch.testing.assert_close(method.features, both / both.norm(dim=1, keepdim=True), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(method.scores, out.logits.fused.softmax(1), rtol=1e-4, atol=1e-5)


def test_kmeans_is_as_good_as_scikit_learn() -> None:
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(centre, 0.3, (20, 3)) for centre in ((0, 0, 0), (5, 0, 0), (0, 5, 5))])
    member = kmeans(torch.from_numpy(points), 3).numpy()
    theirs = KMeans(3, n_init=10, random_state=0).fit(points).labels_
    pairs = set(zip(member.tolist(), theirs.tolist(), strict=True))
    assert len(pairs) == 3  # the same clusters, in another order
    assert len(set(kmeans(torch.zeros(5, 2), 3).tolist())) == 1
    assert torch.equal(kmeans(torch.from_numpy(points), 7), kmeans(torch.from_numpy(points), 7))


def test_cluster_labels_and_the_purest() -> None:
    rng = np.random.default_rng(1)
    member, given = torch.from_numpy(rng.integers(0, 6, 40)), torch.from_numpy(rng.integers(0, K, 40))
    found = cluster_labels(member, given, K)
    for i in range(40):
        inside = [int(given[j]) for j in range(40) if member[j] == member[i]]
        counts = [inside.count(k) for k in range(K)]
        assert found.classes[i] == counts.index(max(counts))
        assert found.purity[i].item() == pytest.approx(max(counts) / len(inside))
    kept = purest(found, 0.3)
    for each in set(found.classes.tolist()):
        rows = [i for i in range(40) if found.classes[i] == each]
        inside = [i for i in rows if kept[i] == each]
        assert len(inside) == max(int(0.3 * len(rows)), 1)
        rest = [float(found.purity[i]) for i in rows if i not in inside]
        assert min(float(found.purity[i]) for i in inside) >= max(rest, default=0)
        assert all(kept[i] in (each, UNLABELLED) for i in rows)


def test_purest_keeps_at_least_one() -> None:
    assert purest(ClusterLabels(torch.tensor([1, 1]), torch.tensor([0.4, 0.6])), 0.01).tolist() == [UNLABELLED, 1]


def test_clup_mixes_labelled_faces_only() -> None:
    network = tiny_network()
    method = made("clup", network, 20)
    assert isinstance(method, Clup)
    target = TargetFaces(random_faces(), torch.device("cpu"))
    method.prepare(network, target)
    assert 0 < int((method.labels != UNLABELLED).sum()) < 20
    faces = target.rows(np.arange(20))
    method.labels.fill_(UNLABELLED)
    rows = torch.arange(20)

    def loss(seed: int) -> float:
        batch = TargetBatch(rows, {"weak": faces}, {}, 0.0, 0, torch.Generator().manual_seed(seed))
        return float(method.losses(network, batch)["cross_entropy"].detach())

    assert loss(0) == 0
    method.labels[3] = method.labels[8] = 2
    generator = torch.Generator().manual_seed(0)
    rng = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
    share = float(rng.beta(0.2, 0.2))
    other = torch.randperm(2, generator=generator).tolist()
    chosen = [3, 8]
    mixed = [share * faces[chosen[i]] + (1 - share) * faces[chosen[other[i]]] for i in range(2)]
    logits = network(torch.stack(mixed)).logits.fused.detach().log_softmax(1)
    assert loss(0) == pytest.approx(-float(logits[0, 2] + logits[1, 2]) / 2, rel=1e-4)
    method.labels[8] = 0
    labels = [2, 0]
    wanted = -sum(
        share * float(logits[i, labels[i]]) + (1 - share) * float(logits[i, labels[other[i]]]) for i in range(2)
    )
    assert loss(0) == pytest.approx(wanted / 2, rel=1e-4)
