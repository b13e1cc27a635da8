"""DCD-DAN and DANN: which parts their settings switch, and how the losses are weighted."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from dcdan.methods.adversarial import adversarial_loss, reversal_coefficient
from dcdan.methods.base import Batch
from dcdan.methods.classification import ClassificationSettings, classification_loss
from dcdan.methods.dann import DANN
from dcdan.methods.dcdan import DCDAN, PRESETS, DCDANSettings
from dcdan.methods.pseudo_labels import DynamicThresholds, aligned_to_prior
from dcdan.models.heads import Logits
from dcdan.models.network import NetworkOutputs
from toy_batch import CLASSES, COUNTS, WIDTH, toy


def drawn(faces: int, seed: int, sharp: float = 3.0) -> NetworkOutputs:
    """Return made-up outputs of the network."""
    generator = torch.Generator().manual_seed(seed)
    logits = Logits(*(sharp * torch.randn(3, faces, CLASSES, generator=generator)))
    features = torch.randn(2, faces, WIDTH, generator=generator)
    return NetworkOutputs(features[0], features[1], logits, torch.full((faces, 5), 0.2))


def batch() -> Batch:
    """Return six source and six target faces."""
    labels = torch.eye(CLASSES)[torch.arange(6) % CLASSES]
    return Batch(labels, drawn(6, 0), drawn(6, 1), drawn(6, 2).logits)


def made(**settings: Any) -> DCDAN:
    """Return the method without dropout."""
    torch.manual_seed(0)
    method = DCDAN(DCDANSettings(**settings), WIDTH, COUNTS)
    return method.eval()


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, {"cls", "adv_g", "adv_l", "pl"}),
        ({"lambda_global": 0}, {"cls", "adv_l", "pl"}),
        ({"lambda_local": 0}, {"cls", "adv_g", "pl"}),
        ({"lambda_pseudo": 0}, {"cls", "adv_g", "adv_l"}),
        ({"pseudo_labels": "off", "lambda_global": 0, "lambda_local": 0}, {"cls"}),
    ],
)
def test_a_weight_of_nought_switches_a_part_off(settings: dict[str, Any], wanted: set[str]) -> None:
    method = made(**settings)
    assert set(method.losses(batch(), 0.5)) == wanted
    assert (method.of_global is not None, method.of_local is not None) == ("adv_g" in wanted, "adv_l" in wanted)


@pytest.mark.parametrize("conditional", ["none", "cdan-e"])
def test_losses_are_the_weighted_terms_of_equation_four(conditional: str) -> None:
    method, seen = made(lambda_global=0.3, lambda_local=0.7, conditional=conditional), batch()
    assert seen.target is not None
    losses = method.losses(seen, 0.4)
    cls = classification_loss(seen.source.logits, seen.labels, COUNTS, ClassificationSettings())
    assert losses["cls"].item() == pytest.approx(cls.item())
    for name, weight, judge, part, head in (
        ("adv_g", 0.3, method.of_global, "of_global", "of_global"),
        ("adv_l", 0.7, method.of_local, "of_local", "of_local"),
    ):
        assert judge is not None
        assert judge[0].in_features == WIDTH * (CLASSES if conditional == "cdan-e" else 1)
        plain = adversarial_loss(
            judge,
            getattr(seen.source, part),
            getattr(seen.target, part),
            getattr(seen.source.logits, head),
            getattr(seen.target.logits, head),
            reversal_coefficient(0.4),
            conditional,  # type: ignore[arg-type]
        )
        assert weight > 0
        assert losses[name].item() == pytest.approx(plain.item())


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.25, 1.0])
@pytest.mark.parametrize(("rule", "bar"), [("all", 0.0), ("fixed", 0.8), ("dynamic", None)])
def test_pseudo_label_term_by_hand(rule: str, bar: float | None, progress: float) -> None:
    method = made(pseudo_labels=rule, fixed_threshold=0.8, ramp=0.2, lambda_pseudo=2.0)
    seen = batch()
    assert seen.target is not None
    assert seen.teacher is not None
    found = method.losses(seen, progress)["pl"].item()
    teacher = seen.teacher.fused.softmax(1)
    bars = method.dynamic.values().tolist() if bar is None else [bar] * CLASSES
    total, counted = 0.0, 0
    for face, row in enumerate(teacher.tolist()):
        label = row.index(max(row))
        if row[label] < bars[label]:
            continue
        counted += 1
        for weight, head in zip((1.0, 0.5, 0.5), seen.target.logits, strict=True):
            total += weight * (math.log(sum(map(math.exp, head[face].tolist()))) - head[face, label].item())
    wanted = 2.0 * min(1.0, progress / 0.2) * total / 6 / 2.0
    assert found == pytest.approx(wanted, rel=1e-5)
    assert method.report()["counted"] == pytest.approx(counted / 6, rel=1e-4)
    if rule == "fixed":
        assert 0 < counted < 6


def test_no_ramp_counts_from_the_start() -> None:
    assert made(ramp=0, pseudo_labels="all").losses(batch(), 0.0)["pl"].item() > 0


@pytest.mark.parametrize(("rule", "used"), [("dynamic", True), ("all", False), ("fixed", False), ("off", False)])
def test_final_choice_is_by_certainty_or_by_thresholds_that_were_learned(rule: str, used: bool) -> None:
    assert made(pseudo_labels=rule).thresholds().tolist() == pytest.approx([0.9] * CLASSES)
    untaught = made(pseudo_labels=rule, classification={"weights": (1.0, 0.0, 0.0)})
    assert not untaught.thresholds().any()
    method = made(pseudo_labels=rule, certain=0)
    assert not method.first_thresholds().any()
    assert torch.equal(method.thresholds(), method.dynamic.values() if used else torch.zeros(CLASSES))


def test_the_log_has_each_classs_threshold_and_accepted_share() -> None:
    """F11. By hand over two batches: the first counts as much as the second, however long the average is."""
    method = made(pseudo_labels="fixed", fixed_threshold=0.6)
    seen = batch()
    rows = [[0.7, 0.1, 0.1, 0.1, 0.0], [0.5, 0.2, 0.1, 0.1, 0.1], [0.1, 0.9, 0.0, 0.0, 0.0]]
    others = [[0.8, 0.1, 0.1, 0.0, 0.0], [0.1, 0.5, 0.2, 0.1, 0.1], [0.1, 0.5, 0.2, 0.1, 0.1]]
    for probabilities in (rows, others):
        teacher = torch.tensor(probabilities).clamp_min(1e-6).log()
        made_up = drawn(3, 1)
        method.pseudo_loss(Batch(seen.labels, seen.source, made_up, Logits(teacher, teacher, teacher)), 0.5)
    report = method.report()
    assert report["counted"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert report["thresholds"] == pytest.approx([0.6] * CLASSES)
    # Class 0: assigned 2 and 1, accepted 1 and 1; class 1: assigned 1 and 2, accepted 1 and 0.
    assert report["accepted"] == pytest.approx([2 / 3, 1 / 3, 0, 0, 0])


def test_a_checkpoint_without_these_figures_loads() -> None:
    state = made().state_dict()
    added = ("assigned", "accepted", "updates", "correct", "seen")
    old = {name: value for name, value in state.items() if name == "dynamic.seen" or name.split(".")[-1] not in added}
    fresh = made()
    fresh.load_state_dict(old)
    assert fresh.dynamic.updates == 1e6


@pytest.mark.parametrize("floor", [0.1, 0.6])
def test_no_threshold_falls_below_the_floor_that_is_set(floor: float) -> None:
    """T. A class that is never confident has exactly the floor."""
    method = made(threshold_floor=floor, relative_threshold=0.5)
    method.dynamic.confidence.fill_(0.7)
    method.dynamic.share.copy_(torch.tensor([1.0, 0, 0, 0, 0]))
    assert method.pseudo_label_thresholds()[1:].tolist() == pytest.approx([max(floor, 0.5 * 0.7 / 4)] * 4)


def test_priors() -> None:
    teacher = batch().teacher
    assert teacher is not None
    rows = teacher.fused.softmax(1)
    seen = torch.tensor([0.4, 0.3, 0.1, 0.1, 0.1])
    roots = [math.sqrt(value) for value in seen.tolist()]
    priors = {
        "none": seen,
        "source": COUNTS / COUNTS.sum(),
        "uniform": torch.full((CLASSES,), 0.2),
        "estimated": torch.tensor([root / sum(roots) for root in roots]),
    }
    for name, prior in priors.items():
        method = made(prior=name)
        method.dynamic.seen.copy_(seen)
        torch.testing.assert_close(method.with_prior(rows), aligned_to_prior(rows, seen, prior), msg=name)


def test_a_prior_moves_the_labels() -> None:
    method, seen = made(prior="uniform", pseudo_labels="all", ramp=0), batch()
    assert seen.target is not None
    assert seen.teacher is not None
    method.dynamic.momentum = 1.0
    method.dynamic.updates.fill_(1e9)
    method.dynamic.seen.copy_(torch.tensor([0.96, 0.01, 0.01, 0.01, 0.01]))
    rows = seen.teacher.fused.softmax(1)
    labels = (rows / method.dynamic.seen).argmax(1)
    assert not torch.equal(labels, rows.argmax(1))
    losses = [
        w * torch.nn.functional.cross_entropy(h, labels) for w, h in zip((1, 0.5, 0.5), seen.target.logits, strict=True)
    ]
    assert method.losses(seen, 0.5)["pl"].item() == pytest.approx(sum(losses).item() / 2, rel=1e-5)


def test_thresholds_learn_from_the_source_and_the_teacher() -> None:
    method, seen = made(), batch()
    assert seen.teacher is not None
    expected = DynamicThresholds(CLASSES, 0.9)
    for _ in range(3):
        method.losses(seen, 0.5)
        expected.update(seen.source.logits.fused.softmax(1), seen.teacher.fused.softmax(1))
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(method.dynamic.state_dict()[name], value, msg=name)


def test_teacher_gets_no_gradient_and_the_student_does() -> None:
    seen = batch()
    assert seen.target is not None
    assert seen.teacher is not None
    for tensor in (*seen.target.logits, *seen.teacher):
        tensor.requires_grad_()
    made(pseudo_labels="all").losses(seen, 1.0)["pl"].backward()
    assert all(head.grad is not None for head in seen.target.logits)
    assert all(head.grad is None for head in seen.teacher)


def test_paper_preset_is_plain_and_counts_every_label() -> None:
    method = made(**PRESETS["paper"])
    method.losses(batch(), 0.0)
    assert method.report()["counted"] == 1
    assert method.thresholds().abs().sum() == 0


@pytest.mark.parametrize("conditional", ["none", "cdan-e"])
def test_dann_judges_what_the_fused_head_sees(conditional: str) -> None:
    case = toy(DANN, weight=0.5, conditional=conditional)
    method, seen = case.method.eval(), batch()
    assert seen.target is not None
    plain = adversarial_loss(
        method.discriminator,
        seen.source.of_global + seen.source.of_local,
        seen.target.of_global + seen.target.of_local,
        seen.source.logits.fused,
        seen.target.logits.fused,
        reversal_coefficient(0.3),
        conditional,  # type: ignore[arg-type]
    )
    assert method.losses(seen, 0.3)["adv"].item() == pytest.approx(plain.item())


@pytest.mark.parametrize("settings", [{"conditional": "cdan-e"}, PRESETS["paper"], {"prior": "estimated"}])
def test_variants_train_with_the_network_in_half_precision_too(settings: dict[str, Any]) -> None:
    case = toy(DCDAN, **settings)
    with torch.autocast("cpu", torch.bfloat16):
        seen = case.batch()
        assert seen.teacher is not None
        seen = Batch(seen.labels, seen.source, seen.target, Logits(*(head.float() for head in seen.teacher)))
        losses = case.method.losses(seen, 0.6)
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in case.method.parameters())


def test_every_source_set_has_discriminators_of_its_own() -> None:
    """F18. The adversarial losses are the means over the sets, each set against the whole target."""
    method = made()
    method.set_sources(3)
    method.eval()
    given = replace(batch(), sets=torch.tensor([0, 2, 0, 2, 0, 2]))
    coefficient = 0.1 * reversal_coefficient(0.5)
    assert given.target is not None
    for name, first, more, features, head in (
        ("adv_g", method.of_global, method.more_global, "of_global", 1),
        ("adv_l", method.of_local, method.more_local, "of_local", 2),
    ):
        assert first is not None
        assert len(more) == 2
        wanted = []
        for discriminator, rows in ((first, [0, 2, 4]), (more[1], [1, 3, 5])):  # the second set has no face
            own = getattr(given.source, features)[rows]
            theirs = getattr(given.target, features)
            logits = given.source.logits[head][rows], given.target.logits[head]
            wanted.append(
                adversarial_loss(discriminator, own, theirs, *logits, coefficient, method.options.conditional)
            )
        assert method.losses(given, 0.5)[name].item() == pytest.approx(
            sum(each.item() for each in wanted) / 2, rel=1e-5
        )


def test_one_source_set_adds_no_discriminator() -> None:
    method = made()
    before = set(method.state_dict())
    method.set_sources(1)
    assert set(method.state_dict()) == before
