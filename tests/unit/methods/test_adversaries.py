"""ADDA, DADA, face-cycle GAN, cross-dataset adaptation: losses against plain Python, and who learns from what."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from dcdan.methods.adda import ADDA, mapping_loss
from dcdan.methods.adversarial import reversal_coefficient
from dcdan.methods.base import Batch
from dcdan.methods.cross_dataset import CrossDataset, CrossDatasetSettings, balanced_weights, set_bias
from dcdan.methods.dada import DADA, DADASettings, class_entropy, domain_against_classes, source_loss
from dcdan.methods.face_cycle_gan import FaceCycleGAN, cycle_and_identity, real_or_not
from toy_batch import CLASSES, COUNTS, LABELS, WIDTH, made_up, toy


def softmax(row: list[float]) -> list[float]:
    exps = [math.exp(value - max(row)) for value in row]
    return [value / sum(exps) for value in exps]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def logits(*shape: int, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_mapping_loss_has_inverted_labels() -> None:
    found = logits(6)
    assert mapping_loss(found).item() == pytest.approx(-sum(math.log(sigmoid(x)) for x in found.tolist()) / 6)
    assert mapping_loss(found + 1) < mapping_loss(found)


def test_adda_keeps_the_source_network_of_its_first_step() -> None:
    case = toy(ADDA)
    method = case.method.eval()
    assert isinstance(method, ADDA)
    case.method.losses(case.batch(), 0.0)
    before = {name: value.clone() for name, value in method.frozen.state_dict().items()}
    kept = {name: value.clone() for name, value in case.network.state_dict().items()}
    assert any(not torch.equal(before[name], value) for name, value in kept.items() if "running" in name) or before
    with torch.no_grad():
        for parameter in case.network.parameters():
            parameter.add_(0.1)
    known = method.source_features(case.source)
    method.losses(case.batch(), 0.5)
    assert all(torch.equal(value, before[name]) for name, value in method.frozen.state_dict().items())
    assert torch.equal(method.source_features(case.source), known)
    assert not any("trained" in name for name in method.state_dict())


def test_adda_teaches_the_discriminator_by_one_loss_and_the_features_by_the_other() -> None:
    case = toy(ADDA)
    method = case.method.eval()
    batch = case.batch()
    assert batch.target is not None
    losses = method.losses(batch, 0.5)
    critic = list(method.discriminator.parameters())  # type: ignore[union-attr]
    features = batch.target.of_global
    of_critic = torch.autograd.grad(losses["disc"], critic, retain_graph=True)
    assert all(gradient.any() for gradient in of_critic)
    assert torch.autograd.grad(losses["disc"], features, retain_graph=True, allow_unused=True)[0] is None
    assert torch.autograd.grad(losses["map"], features, retain_graph=True)[0].any()
    assert set(torch.autograd.grad(losses["map"], critic, allow_unused=True)) == {None}


def test_dada_equals_naive_loops() -> None:
    z, labels = logits(5, 4), torch.eye(3, dtype=torch.float64)[[0, 1, 2, 0, 1]]
    total, against, features, entropy = 0.0, 0.0, 0.0, 0.0
    for row, label in zip(z.tolist(), labels.argmax(1).tolist(), strict=True):
        p, q = softmax(row), softmax(row[:3])
        total -= (1 - p[3]) * math.log(p[label]) + p[3] * math.log(1 - p[label])
        against -= sum(q[k] * math.log(sigmoid(row[3] - row[k])) for k in range(3))
        features -= sum(q[k] * math.log(1 - sigmoid(row[3] - row[k])) for k in range(3))
        entropy -= sum(value * math.log(value) for value in q)
    assert source_loss(z, labels).item() == pytest.approx(total / 5)
    assert domain_against_classes(z, as_target=True).item() == pytest.approx(against / 5)
    assert domain_against_classes(z, as_target=False).item() == pytest.approx(features / 5)
    assert class_entropy(z[:, :3]).item() == pytest.approx(entropy / 5)


def test_dada_divides_the_players() -> None:
    torch.manual_seed(0)
    method = DADA(DADASettings(weight=0.5, entropy=0.25), WIDTH, COUNTS).double()
    labels = torch.eye(CLASSES, dtype=torch.float64)
    batch = Batch(labels, made_up(CLASSES, 0), made_up(4, 1))
    assert batch.target is not None
    assert batch.target.heads is not None
    losses, target = method.losses(batch, 0.3), batch.target
    features = target.of_global
    assert torch.autograd.grad(losses["domain"], features, retain_graph=True, allow_unused=True)[0] is None
    for name in ("features", "entropy"):
        assert torch.autograd.grad(losses[name], features, retain_graph=True)[0].any()
        found = torch.autograd.grad(
            losses[name], [method.domain.weight, target.heads.fused.weight], retain_graph=True, allow_unused=True
        )
        assert found == (None, None)
    seen = target.of_global + target.of_local
    z = torch.cat([target.heads.fused(seen), method.domain(seen)], 1)
    ramp = reversal_coefficient(0.3)
    assert losses["features"].item() == pytest.approx(0.5 * ramp * domain_against_classes(z, as_target=False).item())
    assert losses["entropy"].item() == pytest.approx(0.25 * ramp * class_entropy(z[:, :-1]).item())
    assert losses["domain"].item() == pytest.approx(domain_against_classes(z, as_target=True).item())


def test_the_losses_of_the_gan_equal_naive_loops() -> None:
    real, made = logits(4), logits(6, seed=1)
    wanted = 0.5 * (sum((x - 1) ** 2 for x in real.tolist()) / 4 + sum(x**2 for x in made.tolist()) / 6)
    assert real_or_not(real, made).item() == pytest.approx(wanted)
    faces, back, same = logits(3, 2), logits(3, 2, seed=1), logits(3, 2, seed=2)
    rows = zip(faces.flatten().tolist(), back.flatten().tolist(), same.flatten().tolist(), strict=True)
    wanted = sum(10 * abs(b - x) + 5 * abs(s - x) for x, b, s in rows) / 6
    assert cycle_and_identity(faces, back, same, 10, 5).item() == pytest.approx(wanted)


def test_the_gan_divides_the_players_and_spares_the_network() -> None:
    case = toy(FaceCycleGAN)
    method = case.method
    losses = method.losses(case.batch(), 0.5)
    critics = [p for name, p in method.named_parameters() if name.startswith("of_")]
    generators = [p for name, p in method.named_parameters() if name.startswith("to_")]
    assert len(critics) + len(generators) == len(list(method.parameters()))
    network = list(case.network.parameters())

    def reached(name: str, parameters: list[torch.nn.Parameter]) -> set[bool]:
        found = torch.autograd.grad(losses[name], parameters, retain_graph=True, allow_unused=True)
        return {gradient is not None for gradient in found}

    assert reached("generators", critics) == reached("cycles", critics) == {False}
    assert reached("generators", generators) == reached("cycles", generators) == {True}
    assert reached("discriminators", generators) == {False}
    assert reached("discriminators", critics) == {True}
    assert reached("translated", critics + generators) == {False}
    assert reached("translated", network) == {True}
    assert reached("cycles", network) == {False}
    assert not any("trained" in name for name in method.state_dict())


def test_a_translated_face_is_at_first_nearly_the_face() -> None:
    case = toy(FaceCycleGAN)
    with torch.no_grad():
        made = case.method.to_target(case.source)  # type: ignore[operator]
    assert made.shape == case.source.shape
    assert 0 <= made.min() <= made.max() <= 1
    assert (made - case.source).abs().mean() < 0.25


def test_balanced_weights_equal_a_naive_loop() -> None:
    labels, groups = torch.eye(3, dtype=torch.float64)[[0, 0, 1, 2, 1]], torch.tensor([0, 0, 0, 2, 2])
    counts = torch.tensor([100.0, 4, 25])
    raw = [counts[label].item() ** -0.5 for label in labels.argmax(1).tolist()]
    sums = {0: sum(raw[:3]), 2: sum(raw[3:])}
    wanted = [value / sums[group] / 2 for value, group in zip(raw, groups.tolist(), strict=True)]
    assert balanced_weights(labels, groups, counts, 0.5).tolist() == pytest.approx(wanted)


def test_the_bias_between_sets_equals_a_naive_loop() -> None:
    p, groups = logits(6, 3).softmax(1), torch.tensor([0, 0, 1, 1, 1, 4])
    means = [[sum(p[i, k].item() for i in rows) / len(rows) for k in range(3)] for rows in ([0, 1], [2, 3, 4], [5])]
    pairs = [(0, 1), (0, 2), (1, 2)]
    wanted = sum(sum((means[a][k] - means[b][k]) ** 2 for k in range(3)) for a, b in pairs) / 3
    assert set_bias(p, groups).item() == pytest.approx(wanted)
    assert set_bias(p, torch.zeros(6, dtype=torch.int64)) == 0


def test_the_gradient_of_the_classifier_of_sets_is_reversed() -> None:
    case = toy(CrossDataset)
    torch.manual_seed(0)
    method = CrossDataset(CrossDatasetSettings(weight=0.5), WIDTH, COUNTS)
    method.set_groups(torch.tensor([0, 1] * 4))
    batch = case.batch()
    assert batch.target is not None
    loss = method.losses(batch, 0.3)["sets"]
    features = torch.cat([part.of_global + part.of_local for part in (batch.source, batch.target)])
    plain = torch.nn.functional.cross_entropy(method.of_set(features), torch.tensor([0, 1] * 4 + [2] * 8))
    assert loss.item() == pytest.approx(plain.item(), rel=1e-6)
    found, wanted = (torch.autograd.grad(each, batch.target.of_global, retain_graph=True)[0] for each in (loss, plain))
    torch.testing.assert_close(found, -0.5 * reversal_coefficient(0.3) * wanted)
    one = replace(batch, rows=torch.zeros(len(LABELS), dtype=torch.int64))
    assert method.losses(one, 0.3)["bias"] == 0
