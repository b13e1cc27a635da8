"""AGLRLS: thresholds against the code's own counting by face, and its losses against plain Python."""

from __future__ import annotations

import math
import random

import pytest
import torch

from dcdan.methods.adversarial import adversarial_loss, reversal_coefficient
from dcdan.methods.aglrls import AGLRLS, AGLRLSSettings, EpochThresholds
from dcdan.methods.base import Batch
from dcdan.models.heads import Logits
from dcdan.models.network import NetworkOutputs
from toy_batch import CLASSES, COUNTS, WIDTH, made_up

HEADS = ("of_global", *["of_local"] * 5, "fused")
WEIGHTS = (7, 1, 1, 1, 1, 1, 7)


def test_thresholds_equal_those_that_know_every_face() -> None:
    """A table of the whole target, one entry a face, -1 until it is counted, as the authors keep it."""
    faces, size, epochs, classes = 48, 6, 3, 4
    random.seed(0)
    torch.manual_seed(0)
    ours = EpochThresholds(classes, 0.95).double()
    steps = epochs * faces // size
    admitted = []
    for step in range(steps):
        if step % (faces // size) == 0:
            order, table = random.sample(range(faces), faces), [[-1] * faces for _ in range(3)]
        rows = order[step * size % faces :][:size]
        ours.begin(epochs * step / steps)
        for head in range(3):
            counts = [table[head].count(label) for label in (-1, *range(classes))]
            for label in range(classes):
                ratio = counts[1 + label] / max(counts)
                wanted = 0.95 * ((ratio + 1) / 2) ** 2
                assert ours.values()[head, label].item() == pytest.approx(wanted)
        weak = (6 * torch.randn(3, size, classes, dtype=torch.float64)).softmax(2)
        ours.count(weak)
        for head in range(3):
            for face, row in zip(rows, weak[head].tolist(), strict=True):
                if max(row) >= 0.95:
                    table[head][face] = row.index(max(row))
        admitted.append(ours.values().min().item())
    firsts = admitted[:: faces // size]
    assert firsts == pytest.approx([0.95 / 4] * epochs)
    assert max(admitted) > 0.95 / 4 + 0.01


def test_thresholds_lie_between_a_quarter_and_the_whole() -> None:
    ours = EpochThresholds(3, 0.95)
    sure = torch.tensor([1.0, 0, 0]).expand(3, 10, 3)
    for step in range(10):
        ours.begin(step / 10)
        ours.count(sure)
    ours.begin(0.999)
    assert ours.values()[0].tolist() == pytest.approx([0.95, 0.2375, 0.2375], abs=1e-3)


def case(progress: float, sharp: float = 4.0) -> tuple[AGLRLS, Batch, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    method = AGLRLS(AGLRLSSettings(pseudo=0.8, adversarial=0.5), WIDTH, COUNTS).double().eval()
    method.epochs = 4.0
    method.dynamic.epoch.fill_(int(progress * 4))
    method.dynamic.counts.copy_(torch.randint(0, 9, (3, CLASSES)))
    method.dynamic.seen.fill_(6)
    labels = torch.eye(CLASSES, dtype=torch.float64)[torch.tensor([0, 1, 1, 3, 4, 2])]
    teacher = Logits(*(head.detach() for head in made_up(4, 2, sharp=sharp).logits))
    batch = Batch(labels, made_up(6, 0), made_up(4, 1), teacher)
    return method, batch, method.losses(batch, progress)


def classifiers(outputs: NetworkOutputs) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Features and logits of the seven classifiers, one by one."""
    assert outputs.regions is not None
    assert outputs.heads is not None
    found = [(outputs.of_global, outputs.logits.of_global)]
    found += [(outputs.regions[:, r], outputs.heads.of_local(outputs.regions[:, r])) for r in range(5)]
    return [*found, (outputs.of_global + outputs.of_local, outputs.logits.fused)]


def log_softmax(row: list[float]) -> list[float]:
    return [value - math.log(sum(map(math.exp, row))) for value in row]


def test_classification_weighs_seven_to_one() -> None:
    method, batch, losses = case(0.3)
    share, total = method.settings.classification.label_smoothing, 0.0
    for weight, (_, logits) in zip(WEIGHTS, classifiers(batch.source), strict=True):
        for row, label in zip(logits.tolist(), batch.labels.argmax(1).tolist(), strict=True):
            logs = log_softmax(row)
            total -= weight * ((1 - share) * logs[label] + share * sum(logs) / CLASSES) / 6
    assert losses["cls"].item() == pytest.approx(total / 19)


@pytest.mark.parametrize("sharp", [1.0, 2.0])
def test_pseudo_labels_follow_each_heads_own_answer_and_threshold(sharp: float) -> None:
    method, batch, losses = case(0.3, sharp)
    assert batch.target is not None
    assert batch.teacher is not None
    fresh, _, _ = case(0.3, sharp)
    faces_of_the_epoch = 6 / (0.3 * 4 - 1)
    total, counted = 0.0, 0
    counts = dict(zip(("fused", "of_global", "of_local"), before_the_step(), strict=True))
    for weight, head, (_, logits) in zip(WEIGHTS, HEADS, classifiers(batch.target), strict=True):
        seen = counts[head]
        largest = max(*seen, faces_of_the_epoch - sum(seen))
        bars = [0.95 * ((n / largest + 1) / 2) ** 2 for n in seen]
        for row, weak in zip(logits.tolist(), getattr(batch.teacher, head).softmax(1).tolist(), strict=True):
            label = weak.index(max(weak))
            if weak[label] >= bars[label]:
                counted += 1
                total -= weight * log_softmax(row)[label] / 4
    assert losses["pl"].item() == pytest.approx(0.8 * total / 19)
    assert 0 < counted < 7 * 4
    assert torch.equal(method.thresholds(), fresh.thresholds())
    assert torch.equal(method.thresholds(), method.dynamic.values()[0])


def before_the_step() -> list[list[float]]:
    """The counts that :func:`case` draws."""
    torch.manual_seed(0)
    AGLRLS(AGLRLSSettings(), WIDTH, COUNTS)
    counts: list[list[float]] = torch.randint(0, 9, (3, CLASSES)).tolist()
    return counts


def test_three_discriminators_judge_seven_classifiers_at_half_weight() -> None:
    method, batch, losses = case(0.3)
    assert batch.target is not None
    total = 0.0
    pairs = zip(classifiers(batch.source), classifiers(batch.target), strict=True)
    for index, (source, target) in zip((1, 2, 2, 2, 2, 2, 0), pairs, strict=True):
        judge = method.discriminators[index]
        coefficient = 0.5 / 19 * reversal_coefficient(0.3)
        mean = adversarial_loss(judge, source[0], target[0], source[1], target[1], coefficient, "cdan-e")  # type: ignore[arg-type]
        total += mean.item()
    assert losses["adv"].item() == pytest.approx(total)


def test_the_weight_of_the_adversaries_reaches_the_features_alone() -> None:
    """F2. The features' gradient is that of the loss reversed, times .5 / 19 and the ramp."""
    method, batch, losses = case(0.3)
    assert batch.target is not None
    (found,) = torch.autograd.grad(losses["adv"], [batch.source.of_global], retain_graph=True)
    _, other, plain = case(0.3)
    method.options = AGLRLSSettings(pseudo=0.8, adversarial=1.0)
    twice = method.losses(batch, 0.3)["adv"]
    (doubled,) = torch.autograd.grad(twice, [batch.source.of_global])
    torch.testing.assert_close(doubled, 2 * found)
    assert found.abs().max() < 0.5 / 19
    assert twice.item() == pytest.approx(plain["adv"].item())
    assert other.target is not None


def test_each_region_is_taught_and_aligned() -> None:
    _, batch, losses = case(0.3)
    assert batch.target is not None
    for name, outputs in (("cls", batch.source), ("adv", batch.source), ("adv", batch.target), ("pl", batch.target)):
        (gradient,) = torch.autograd.grad(losses[name], [outputs.regions], retain_graph=True)
        assert gradient.abs().sum((0, 2)).gt(0).all(), name
    (found,) = torch.autograd.grad(losses["pl"], [batch.source.of_global], allow_unused=True)
    assert found is None


def test_counts_grow_by_certain_faces_of_the_step() -> None:
    method, batch, _ = case(0.3)
    assert batch.teacher is not None
    for index, head in enumerate(batch.teacher):
        grown = list(before_the_step()[index])
        for row in head.softmax(1).tolist():
            grown[row.index(max(row))] += max(row) >= 0.95
        assert method.dynamic.counts[index].tolist() == grown
    assert method.dynamic.seen.item() == 10
