"""AMP-Net, CSE-GResNet, metric learning, SupCon and TDTLN: losses and layers against plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

from dcdan.methods.amp_net import CBAM, AMPNet, AMPNetwork, salient_features, window
from dcdan.methods.cse_gresnet import (
    ORIENTATIONS,
    ChannelEnhancement,
    CSEGResNet,
    gabor_filters,
    shifted_channels,
    with_gabor,
)
from dcdan.methods.metric_learning import MetricLearning, batch_hard_triplet, centre_loss, moved_centres
from dcdan.methods.supcon import supervised_contrastive
from dcdan.methods.tdtln import TDTLN, TDTLNSettings, moments, on_simplex, solved, squared_error
from dcdan.models.network import NetworkSettings, PlainNetwork
from dcdan.models.trunk import Trunk, outside_norms
from toy_batch import CLASSES, COUNTS, LABELS, SIZE, WIDTH, toy

SMALL = NetworkSettings(trunk="test_resnet", width=WIDTH, groups=4)


def made(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_windows_cover_what_they_say() -> None:
    assert window(0.5, 10, 0.4) == slice(3, 7)
    assert window(1.0, 10, 0.4) == slice(8, 10)
    assert window(0.5, 1, 0.1) == slice(0, 1)


def test_attention_maps_weigh_places() -> None:
    features, scores = made(2, 3, 2, 2), made(2, 5, 2, 2, seed=1)
    found = salient_features(features, scores)
    for b in range(2):
        for r in range(5):
            weights = scores[b, r].flatten().exp()
            wanted = sum(weights[i] * features[b, :, i // 2, i % 2] for i in range(4)) / weights.sum()
            torch.testing.assert_close(found[b, r], wanted)


def test_cbam_equals_its_formula() -> None:
    torch.manual_seed(0)
    layer, x = CBAM(8).double(), made(2, 8, 3, 3)
    gate = torch.stack(
        [
            (layer.channel(torch.tensor([x[b, c].mean() for c in range(8)], dtype=torch.float64))
             + layer.channel(torch.tensor([x[b, c].max() for c in range(8)], dtype=torch.float64))).sigmoid()
            for b in range(2)
        ]
    )  # fmt: skip
    seen = x * gate[:, :, None, None]
    maps = torch.stack([seen.mean(1), seen.max(1).values], 1)
    torch.testing.assert_close(layer(x), seen * layer.spatial(maps).sigmoid())


def test_amp_net_answers_with_both_classifiers() -> None:
    case = toy(AMPNet, detail=0.25)
    batch = case.batch()
    auxiliary = batch.source.auxiliary
    torch.testing.assert_close(batch.source.logits.fused, (auxiliary["whole"] + auxiliary["detail"]) / 2)
    share = case.method.settings.classification.label_smoothing

    def cross_entropy(logits: torch.Tensor) -> float:
        logs = logits.log_softmax(1)
        hard = logs.gather(1, LABELS[:, None]).mean()
        return float((-(1 - share) * hard - share * logs.mean()).detach())

    wanted = 0.25 * cross_entropy(auxiliary["detail"]) + 0.75 * cross_entropy(auxiliary["whole"])
    assert case.method.losses(batch, 0.0)["cls"].item() == pytest.approx(wanted, rel=1e-5)


def test_a_prior_bias_reaches_the_answer_of_amp_net_once() -> None:
    torch.manual_seed(0)
    network = AMPNetwork(SMALL, CLASSES, SIZE).eval()
    faces = torch.rand(2, 3, SIZE, SIZE)
    with torch.no_grad():
        before = network(faces).logits.fused
        network.apply_prior_bias(COUNTS, 0.5)
        after = network(faces).logits.fused
    torch.testing.assert_close(after - before, (0.5 * (COUNTS / COUNTS.sum()).log()).expand(2, -1))


@pytest.mark.parametrize("scale", [1, 3])
def test_gabor_filters_equal_their_formula(scale: int) -> None:
    filters = gabor_filters(3, scale).tolist()
    k = (math.pi / 2) / math.sqrt(2) ** (scale - 1)
    for u in range(ORIENTATIONS):
        angle = u * math.pi / ORIENTATIONS
        for row in range(3):
            for column in range(3):
                y, x = row - 1, column - 1
                envelope = math.exp(-(x * x + y * y) * k * k / (2 * math.pi**2))
                wanted = envelope * math.cos(k * (x * math.cos(angle) + y * math.sin(angle)))
                assert filters[u][row][column] == pytest.approx(wanted, abs=1e-6)
    across, down = filters[0], filters[ORIENTATIONS // 2]
    assert across[1][0] != pytest.approx(across[0][1])
    np.testing.assert_allclose(across, np.transpose(down), atol=1e-6)


def test_a_gabor_convolution_is_one_with_multiplied_weights() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 6, 3, padding=1)
    plain = nn.Conv2d(3, 6, 3, padding=1)
    plain.load_state_dict(layer.state_dict())
    assert with_gabor(nn.Sequential(layer, nn.Conv2d(6, 6, 1))) == 1
    with torch.no_grad():
        for out in range(6):
            plain.weight[out] *= gabor_filters(3, 2)[out % ORIENTATIONS]
    x = torch.rand(2, 3, 5, 5)
    torch.testing.assert_close(layer(x), plain(x))
    layer(x).sum().backward()
    assert dict(layer.named_parameters())["weight"].grad is not None


def test_pretrained_weights_fit_the_gabor_network() -> None:
    network = CSEGResNet.build_network(SMALL, CLASSES, SIZE)
    assert outside_norms(network.trunk.body).keys() == outside_norms(Trunk("test_resnet").body).keys()
    plain = PlainNetwork(SMALL, CLASSES, SIZE)
    extra = set(network.state_dict()) - set(plain.state_dict())
    assert extra == {"enhance.neighbours.weight", "enhance.neighbours.bias"}
    faces = torch.rand(2, 3, SIZE, SIZE)
    plain.load_state_dict({name: value for name, value in network.state_dict().items() if name not in extra})
    with torch.no_grad():
        assert not torch.allclose(network.eval()(faces).of_global, plain.eval()(faces).of_global)


def test_channels_move_by_one_each_way() -> None:
    x = torch.arange(1.0, 17).reshape(1, 16, 1, 1)
    found = shifted_channels(x, 8).flatten().tolist()
    assert found == [2.0, 3.0, 2.0, 3.0, *map(float, range(5, 17))]


def test_channel_enhancement_equals_a_naive_loop() -> None:
    torch.manual_seed(0)
    layer, x = ChannelEnhancement(3).double(), made(1, 4, 2, 2)
    taps, bias = layer.neighbours.weight[0, 0].tolist(), layer.neighbours.bias.item()  # type: ignore[union-attr]
    means = [0.0, *(x[0, c].mean().item() for c in range(4)), 0.0]
    for c in range(4):
        gate = 1 / (1 + math.exp(-(bias + sum(taps[i] * means[c + i] for i in range(3)))))
        torch.testing.assert_close(layer(x)[0, c], x[0, c] * (1 + gate))


def test_centres_equal_naive_loops() -> None:
    features, centres, labels = made(5, 3), made(4, 3, seed=1), torch.tensor([0, 0, 2, 3, 2])
    wanted = sum(((features[i] - centres[labels[i]]) ** 2).sum().item() for i in range(5)) / 10
    assert centre_loss(features, labels, centres).item() == pytest.approx(wanted)
    moved = moved_centres(centres, features, labels, 0.5)
    for k in range(4):
        rows = [i for i in range(5) if labels[i] == k]
        away = sum((centres[k] - features[i] for i in rows), torch.zeros(3, dtype=torch.float64))
        torch.testing.assert_close(moved[k], centres[k] - 0.5 * away / (1 + len(rows)))


def test_centres_move_in_training_only_by_their_rule() -> None:
    case = toy(MetricLearning)
    batch = case.batch()
    case.method.losses(batch, 0.0)
    wanted = moved_centres(torch.zeros(CLASSES, WIDTH), batch.source.of_global.detach(), LABELS, 0.5)
    torch.testing.assert_close(case.method.get_buffer("centres"), wanted)
    assert set(toy(MetricLearning, variant="triplet").method.losses(batch, 0.0)) == {"cls", "triplet"}


def test_batch_hard_triplets_equal_a_naive_loop() -> None:
    features = torch.nn.functional.normalize(made(6, 3), dim=1)
    labels = torch.tensor([0, 0, 1, 1, 1, 2])
    total, anchors = 0.0, 0
    for i in range(6):
        distances = [float((features[i] - features[j]).norm()) for j in range(6)]
        positives = [distances[j] for j in range(6) if j != i and labels[j] == labels[i]]
        negatives = [distances[j] for j in range(6) if labels[j] != labels[i]]
        if positives:
            total += math.log(1 + math.exp(max(positives) - min(negatives)))
            anchors += 1
    assert batch_hard_triplet(features, labels).item() == pytest.approx(total / anchors)
    alone = batch_hard_triplet(features[:2].requires_grad_(), torch.tensor([0, 1]))
    assert alone == 0
    assert alone.requires_grad


def test_supervised_contrast_equals_a_naive_loop() -> None:
    z = torch.nn.functional.normalize(made(6, 4), dim=1)
    labels = torch.tensor([0, 0, 1, 1, 1, 2])
    total, usable = 0.0, 0
    for i in range(6):
        others = [j for j in range(6) if j != i]
        below = sum(math.exp(float(z[i] @ z[j]) / 0.1) for j in others)
        positives = [j for j in others if labels[j] == labels[i]]
        if positives:
            total -= sum(math.log(math.exp(float(z[i] @ z[j]) / 0.1) / below) for j in positives) / len(positives)
            usable += 1
    assert supervised_contrastive(z, labels, 0.1).item() == pytest.approx(total / usable)
    assert supervised_contrastive(z, torch.arange(6), 0.1) == 0


def test_the_simplex_projection_is_the_nearest_point() -> None:
    for row in made(5, 4).tolist():
        found = on_simplex(torch.tensor([row], dtype=torch.float64))[0].numpy()
        assert found.min() >= 0
        assert found.sum() == pytest.approx(1)
        best = minimize(
            lambda p, row=row: float(((p - np.array(row)) ** 2).sum()),
            np.full(4, 0.25),
            bounds=[(0, 1)] * 4,
            constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
            options={"ftol": 1e-12},
        )
        np.testing.assert_allclose(found, best.x, atol=1e-5)


def test_the_regression_is_ridge_regression() -> None:
    features, labels = made(20, 3), made(20, 2, seed=1)
    gram, cross = moments(features, labels)
    x, y = features.numpy(), labels.numpy()
    wanted = np.linalg.solve(x.T @ x / 20 + 0.3 * np.eye(3), x.T @ y / 20)
    weights = solved(gram, cross, 0.3)
    np.testing.assert_allclose(weights.numpy(), wanted)
    error = np.mean([((x[i] @ wanted - y[i]) ** 2).sum() for i in range(20)])
    assert squared_error(features, weights, labels).item() == pytest.approx(error)


def test_labels_and_regression_are_solved_for_in_turn() -> None:
    method = TDTLN(TDTLNSettings(turns=2, ridge=0.1, momentum=0.75), 2, torch.ones(2)).double()
    source, target = made(6, 3), made(5, 3, seed=1)
    labels, first = torch.eye(2, dtype=torch.float64)[[0, 1, 0, 1, 1, 0]], made(5, 2, seed=2).softmax(1)
    guess = first
    for _ in range(2):
        gram, cross = moments(torch.cat([source, target]), torch.cat([labels, guess]))
        weights = solved(gram, cross, 0.1)
        guess = on_simplex(target @ weights)
    found = method.solve(source, labels, target, first)
    torch.testing.assert_close(found, (weights, guess))
    again = moments(torch.cat([source, target]), torch.cat([labels, first]))[0]
    method.solve(source, labels, target, first)
    torch.testing.assert_close(method.gram, 0.75 * gram + 0.25 * again)
