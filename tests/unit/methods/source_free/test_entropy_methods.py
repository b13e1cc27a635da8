"""TENT, SHOT-IM, EATA, SAR and ROID against plain Python, one number at a time."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor
from torch.optim import SGD

from dcdan.methods.source_free.base import TargetBatch, moved_parameters
from dcdan.methods.source_free.eata import Eata, reliable_weights
from dcdan.methods.source_free.losses import entropy, negative_diversity
from dcdan.methods.source_free.roid import (
    Roid,
    diverse_certain_weights,
    smoothed_prior,
    soft_likelihood_ratio,
    symmetric_cross_entropy,
)
from dcdan.methods.source_free.sar import Sar, ascent
from dcdan.models.network import Network
from dcdan.training.source_free import TargetFaces
from source_free_batch import CLASSES, batch_of, made, outputs_of, random_faces, tiny_network

K = len(CLASSES)
Rows = list[list[float]]


def softmax(row: list[float]) -> list[float]:
    powers = [math.exp(value - max(row)) for value in row]
    return [value / sum(powers) for value in powers]


def naive_entropy(row: list[float]) -> float:
    return -sum(p * math.log(p) for p in softmax(row))


def naive_cosine(a: list[float], b: list[float]) -> float:
    length = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / length


def some_logits(count: int = 9, scale: float = 3.0, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(count, K, generator=generator, dtype=torch.float64)


def real_batch(network: Network, count: int = 12, views: tuple[str, ...] = ("plain",)) -> TargetBatch:
    faces = TargetFaces(random_faces(count), torch.device("cpu")).rows(torch.arange(count).numpy())
    seen = {view: faces if view == "plain" else faces.flip(3) for view in views}
    outputs = {view: network(each) for view, each in seen.items()}
    return TargetBatch(torch.arange(count), seen, outputs, 0.0, 0, torch.Generator())  # type: ignore[arg-type]


def test_entropy_and_diversity() -> None:
    logits = some_logits()
    assert entropy(logits).tolist() == pytest.approx([naive_entropy(row) for row in logits.tolist()])
    rows = [softmax(row) for row in logits.tolist()]
    mean = [sum(row[k] for row in rows) / len(rows) for k in range(K)]
    assert negative_diversity(logits).item() == pytest.approx(sum(p * math.log(p + 1e-5) for p in mean))


def test_tent_is_the_mean_entropy() -> None:
    network, logits = tiny_network(), some_logits()
    found = made("tent", network).losses(network, batch_of({"plain": outputs_of(logits)}))
    assert list(found) == ["entropy"]
    assert found["entropy"].item() == pytest.approx(sum(map(naive_entropy, logits.tolist())) / len(logits))


def test_shot_im_sums_to_the_information_maximisation_loss() -> None:
    network, logits = tiny_network(), some_logits()
    found = made("shot_im", network).losses(network, batch_of({"weak": outputs_of(logits)}))
    rows = [softmax(row) for row in logits.tolist()]
    mean = [sum(row[k] for row in rows) / len(rows) for k in range(K)]
    of_mean = -sum(p * math.log(p + 1e-5) for p in mean)
    wanted = sum(map(naive_entropy, logits.tolist())) / len(logits) - of_mean
    assert sum(value.item() for value in found.values()) == pytest.approx(wanted)


def naive_reliable(logits: Rows, mean: list[float] | None, margin: float, redundancy: float) -> list[float]:
    weights = []
    for row in logits:
        sure = naive_entropy(row) < margin
        different = mean is None or abs(naive_cosine(mean, softmax(row))) < redundancy
        weights.append(math.exp(margin - naive_entropy(row)) if sure and different else 0.0)
    return weights


@pytest.mark.parametrize("mean", [None, [0.6, 0.2, 0.1, 0.1]])
def test_eata_weights(mean: list[float] | None) -> None:
    logits = some_logits(40)
    of_mean = None if mean is None else torch.tensor(mean, dtype=torch.float64)
    found = reliable_weights(logits, of_mean, 0.55, 0.7)
    wanted = naive_reliable(logits.tolist(), mean, 0.55, 0.7)
    assert found.tolist() == pytest.approx(wanted)
    assert 0 < sum(weight > 0 for weight in wanted) < 40


def test_eata_losses_and_moving_average() -> None:
    network = tiny_network()
    method = made("eata", network, fisher=3.0)
    assert isinstance(method, Eata)
    moved = list(moved_parameters(network, "norms").values())
    for number in range(len(moved)):
        method.get_buffer(f"fisher_{number}").fill_(0.5)
    with torch.no_grad():
        moved[0].add_(0.1)
    margin = 0.4 * math.log(K)
    before = None
    optimiser = SGD(moved, lr=0.0)
    for seed in (0, 1):
        logits = some_logits(30, seed=seed).float()
        losses = method.step(network, batch_of({"plain": outputs_of(logits)}), optimiser)
        weights = naive_reliable(logits.tolist(), before, margin, 0.4)
        kept = [i for i, weight in enumerate(weights) if weight > 0]
        assert kept
        wanted = sum(weights[i] * naive_entropy(logits[i].tolist()) for i in kept) / len(kept)
        assert losses["entropy"].item() == pytest.approx(wanted, rel=1e-4)
        assert losses["fisher"].item() == pytest.approx(3.0 * 0.5 * 0.01 * moved[0].numel(), rel=1e-4)
        new = [sum(softmax(logits[i].tolist())[k] for i in kept) / len(kept) for k in range(K)]
        before = new if before is None else [0.9 * a + 0.1 * b for a, b in zip(before, new, strict=True)]
        assert method.mean.tolist() == pytest.approx(before, rel=1e-4)


def test_eata_leaves_the_network_alone_without_a_reliable_face() -> None:
    network = tiny_network()
    method = made("eata", network)
    moved = moved_parameters(network, "norms")
    before = {name: each.detach().clone() for name, each in moved.items()}
    batch = batch_of({"plain": outputs_of(torch.zeros(5, K))})
    assert method.step(network, batch, SGD(moved.values(), lr=1.0))["entropy"] == 0
    assert all(torch.equal(each, before[name]) for name, each in moved.items())
    assert isinstance(method, Eata)
    assert not method.seen


def test_fisher_weights_are_mean_squared_gradients_of_batches() -> None:
    network = tiny_network()
    method = made("eata", network, 70)
    target = TargetFaces(random_faces(70), torch.device("cpu"))
    method.prepare(network, target)
    moved = list(moved_parameters(network, "norms").values())
    sums = [torch.zeros_like(each) for each in moved]
    for part in (slice(0, 64), slice(64, 70)):
        faces = torch.from_numpy(target.faces[part]).permute(0, 3, 1, 2) / 255
        z = network(faces).logits.fused
        loss = -sum(z.log_softmax(1)[i, z[i].argmax()] for i in range(len(z))) / len(z)
        for total, gradient in zip(sums, torch.autograd.grad(loss, moved, allow_unused=True), strict=True):  # type: ignore[arg-type]
            if gradient is not None:
                total += gradient**2 / 2
    for number, total in enumerate(sums):
        torch.testing.assert_close(method.get_buffer(f"fisher_{number}"), total, rtol=1e-3, atol=1e-7)
    assert max(float(total.max()) for total in sums) > 0


def test_the_climb_of_sar_has_the_length_rho() -> None:
    gradients = [torch.randn(3, 2), torch.randn(4)]
    steps = ascent(gradients, 0.05)
    length = math.sqrt(sum(float(value) ** 2 for each in gradients for value in each.flatten()))
    for step, gradient in zip(steps, gradients, strict=True):
        torch.testing.assert_close(step, gradient * 0.05 / length)


def test_a_step_of_sar_uses_the_gradient_at_the_worst_place_nearby() -> None:
    network = tiny_network()
    other = copy.deepcopy(network)
    margin = float(entropy(real_batch(network).outputs["plain"].logits.fused.detach()).sort().values[8]) + 1e-3
    method = made("sar", network, margin=margin / math.log(K), rho=0.05, collapse=0.0)
    moved = list(moved_parameters(network, "trunk norms").values())
    method.step(network, real_batch(network), SGD(moved, lr=0.1))

    theirs = list(moved_parameters(other, "trunk norms").values())
    faces = real_batch(other).faces["plain"]
    start = [each.detach().clone() for each in theirs]
    first = entropy(other(faces).logits.fused)
    sure = [i for i in range(len(first)) if first[i] < margin]
    gradients = torch.autograd.grad(sum(first[i] for i in sure) / len(sure), theirs)  # type: ignore[arg-type]
    length = math.sqrt(sum(float(each.square().sum()) for each in gradients))
    with torch.no_grad():
        for each, gradient in zip(theirs, gradients, strict=True):
            each += 0.05 * gradient / length
    again = entropy(other(faces).logits.fused)
    still = [i for i in sure if again[i] < margin]
    assert 0 < len(still) <= len(sure) < len(first)
    gradients = torch.autograd.grad(sum(again[i] for i in still) / len(still), theirs)  # type: ignore[arg-type]
    for each, old, gradient in zip(moved, start, gradients, strict=True):
        torch.testing.assert_close(each.detach(), old - 0.1 * gradient, rtol=1e-4, atol=1e-6)


def test_sar_recovers_when_the_moving_average_falls() -> None:
    network = tiny_network()
    method = made("sar", network, collapse=0.2)
    assert isinstance(method, Sar)
    moved = method.moved(network)
    start = [each.detach().clone() for each in moved]
    optimiser = SGD(moved, lr=0.1, momentum=0.9)
    with torch.no_grad():
        for each in moved:
            each.add_(1.0)
    assert method.recover(torch.tensor(0.5), moved, optimiser) == 0
    assert method.recover(torch.tensor(0.1), moved, optimiser) == 0
    assert method.average.item() == pytest.approx(0.9 * 0.5 + 0.1 * 0.1)
    assert not torch.equal(moved[0], start[0])
    method.average.fill_(0.2)
    assert method.recover(torch.tensor(0.1), moved, optimiser) == 1
    assert all(torch.equal(each, old) for each, old in zip(moved, start, strict=True))
    assert method.average.isnan()
    assert method.recoveries == 1


def test_likelihood_ratio_and_symmetric_cross_entropy() -> None:
    logits, other = some_logits(), some_logits(seed=1)
    logits[0] = torch.tensor([30.0, 0, 0, 0])
    for i in range(len(logits)):
        p, q = softmax(logits[i].tolist()), softmax(other[i].tolist())
        clipped = [min(value, 0.99) for value in p]
        ratio = -sum(value * math.log(value / (1 - value) + 1e-5) for value in clipped)
        assert soft_likelihood_ratio(logits)[i].item() == pytest.approx(ratio)
        pairs = list(zip(p, q, strict=True))
        both = -sum(b * math.log(a) for a, b in pairs) / 2 - sum(a * math.log(b) for a, b in pairs) / 2
        assert symmetric_cross_entropy(logits, other)[i].item() == pytest.approx(both)


def naive_roid_weights(logits: Rows, mean: list[float], temperature: float) -> list[float]:
    diversity = [1 - naive_cosine(mean, softmax(row)) for row in logits]
    certainty = [-naive_entropy(row) for row in logits]

    def scaled(values: list[float]) -> list[float]:
        return [(value - min(values)) / (max(values) - min(values)) for value in values]

    d, c = scaled(diversity), scaled(certainty)
    middle = sum(d) / len(d)
    return [0.0 if a < middle else math.exp(a * b / temperature) for a, b in zip(d, c, strict=True)]


def test_roid_weights_and_prior() -> None:
    logits, mean = some_logits(20), [0.4, 0.3, 0.2, 0.1]
    found = diverse_certain_weights(logits, torch.tensor(mean, dtype=torch.float64), 1 / 3)
    wanted = naive_roid_weights(logits.tolist(), mean, 1 / 3)
    assert found.tolist() == pytest.approx(wanted)
    assert 0 < sum(weight == 0 for weight in wanted) < 20
    for count in (2, 20):
        p = logits[:count].softmax(1)
        prior = [sum(p[i, k].item() for i in range(count)) / count for k in range(K)]
        smooth = max(1 / count, 1 / K) / max(prior)
        assert smoothed_prior(p).tolist() == pytest.approx([(q + smooth) / (1 + smooth * K) for q in prior])


def test_roid_losses() -> None:
    network = tiny_network()
    method = made("roid", network)
    assert isinstance(method, Roid)
    logits, changed = some_logits(10).float(), some_logits(10, seed=1).float()
    found = method.losses(network, batch_of({"plain": outputs_of(logits), "strong": outputs_of(changed)}))
    weights = naive_roid_weights(logits.tolist(), [1 / K] * K, 1 / 3)
    ratio = sum(w * float(v) for w, v in zip(weights, soft_likelihood_ratio(logits), strict=True)) / 10
    both = sum(w * float(v) for w, v in zip(weights, symmetric_cross_entropy(changed, logits), strict=True)) / 10
    assert found["ratio"].item() == pytest.approx(ratio, rel=1e-4)
    assert found["consistency"].item() == pytest.approx(both, rel=1e-4)
    torch.testing.assert_close(method.mean, 0.9 / K + 0.1 * logits.softmax(1).mean(0))


def test_roid_goes_back_one_part_in_a_hundred_and_folds_the_prior() -> None:
    network = tiny_network()
    method = made("roid", network, keep=0.75)
    moved = moved_parameters(network, "norms")
    start = {name: each.detach().clone() for name, each in moved.items()}
    plain = copy.deepcopy(network)
    batch = real_batch(network, views=("plain", "strong"))
    method.step(network, batch, SGD(moved.values(), lr=0.01))
    other = made("roid", plain, keep=1.0)
    theirs = moved_parameters(plain, "norms")
    other.step(plain, real_batch(plain, views=("plain", "strong")), SGD(theirs.values(), lr=0.01))
    changed = 0
    for name, each in moved.items():
        torch.testing.assert_close(each.detach(), 0.75 * theirs[name].detach() + 0.25 * start[name])
        changed += not torch.equal(theirs[name], start[name])
    assert changed > 5

    target = TargetFaces(random_faces(), torch.device("cpu"))
    before = target.answers(network).logits
    with torch.no_grad():
        method.finish(network, target)
    torch.testing.assert_close(target.answers(network).logits, before * smoothed_prior(before.softmax(1)))
