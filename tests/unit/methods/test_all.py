"""Every registered method through the same tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from dcdan.core.errors import UsageError
from dcdan.methods.base import Batch, find_method, methods
from dcdan.training.checkpoint import load_module, load_optimiser, read_checkpoint, save_checkpoint
from toy_batch import CLASSES, COUNTS, LABELS, WIDTH, Toy, toy

NAMES = sorted(methods())
ADAPTING = {"adabn", "afn", "aglrls", "agra", "cdan_e", "dann", "dcdan", "dgl", "mcc", "mcd"}
ADAPTING |= {"adda", "cross_dataset", "dada", "face_cycle_gan", "jdman", "la_cmfer", "subject_based", "tdtln", "ustst"}
EXPECTED = {"source_only", "cf_dan", "scn", "ran", "efficientface", "csg"} | ADAPTING
EXPECTED |= {"amp_net", "cse_gresnet", "metric_learning", "supcon"}


@pytest.fixture(params=NAMES)
def case(request: pytest.FixtureRequest) -> Toy:
    """A toy of each method."""
    return toy(find_method(request.param))


def test_registry_knows_the_methods_and_offers_the_nearest() -> None:
    assert set(NAMES) >= EXPECTED
    for name in NAMES:
        assert find_method(name).name == name
        assert find_method(name).title
        assert find_method(name).paper
    with pytest.raises(UsageError, match=r"Unknown method 'dcdna'.*Did you mean 'dcdan'.*source_only"):
        find_method("dcdna")


def test_losses_are_scalars_and_reach_every_parameter(case: Toy) -> None:
    batch = case.batch()
    if case.method.uses_teacher:
        batch = replace(batch, teacher=sharpened(batch))
    losses = case.method.losses(batch, 0.5)
    assert "cls" in losses
    for name, loss in losses.items():
        assert loss.shape == (), name
        assert loss.isfinite(), name
    torch.stack(list(losses.values())).sum().backward()
    for owner in (case.network, case.method):
        for name, parameter in owner.named_parameters():
            assert (parameter.grad is not None) == parameter.requires_grad, name
            assert parameter.grad is None or parameter.grad.isfinite().all(), name


def sharpened(batch: Batch) -> object:
    """Return a teacher that is sure of its answers."""
    assert batch.teacher is not None
    return type(batch.teacher)(*(40 * head for head in batch.teacher))


def test_a_few_steps_lower_the_loss_of_a_small_batch(case: Toy) -> None:
    case.method.eval()
    optimiser = torch.optim.AdamW([*case.network.parameters(), *case.method.parameters()], lr=4e-3)
    totals, of_source = [], []
    for _ in range(6):
        losses = case.method.losses(case.batch(), 0.0)
        total = torch.stack(list(losses.values())).sum()
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(total.item())
        of_source.append(losses["cls"].item())
    assert totals[-1] < 0.95 * totals[0]
    assert of_source[-1] < 0.9 * of_source[0]


def test_target_is_seen_by_those_that_say_so(case: Toy) -> None:
    batch = case.batch()
    assert batch.target is not None
    assert batch.target_faces is not None
    batch = replace(batch, target_faces=batch.target_faces.clone().requires_grad_())
    parts = (batch.target.of_global, batch.target.of_local, *batch.target.logits, batch.target_faces)
    for part in parts:
        part.retain_grad()
    if not case.method.sees_target:
        state = {name: value.clone() for name, value in case.method.state_dict().items()}
        alone = case.method.losses(replace(batch, target=None, target_faces=None), 0.5)
        case.method.load_state_dict(state)
        both = case.method.losses(batch, 0.5)
        assert {name: loss.item() for name, loss in alone.items()} == {name: loss.item() for name, loss in both.items()}
    torch.stack(list(case.method.losses(batch, 0.5).values())).sum().backward()
    seen = [part.grad is not None and bool(part.grad.any()) for part in parts]
    assert any(seen) == case.method.sees_target


def test_thresholds_are_confidences(case: Toy) -> None:
    for step in range(5):
        thresholds = case.method.thresholds()
        assert thresholds.shape == (CLASSES,)
        assert thresholds.min() >= 0
        assert thresholds.max() <= 1
        case.method.losses(case.batch(), step / 5)
    report = case.method.report().values()
    assert all(isinstance(part, float) for value in report for part in (value if isinstance(value, list) else [value]))


def test_state_round_trip(case: Toy) -> None:
    for _ in range(3):
        case.method.losses(case.batch(), 0.4)
    kind = type(case.method)
    other = kind(case.method.settings, WIDTH, torch.ones(CLASSES))
    other.epochs = case.method.epochs
    other.set_sampled_counts(case.method.sampled_counts)
    other.prepare(case.network, len(LABELS))
    other.load_state_dict(case.method.state_dict())
    assert torch.equal(other.thresholds(), case.method.thresholds())
    assert torch.equal(other.get_buffer("class_counts"), COUNTS)
    batch = case.batch()
    found, wanted = other.eval().losses(batch, 0.7), case.method.eval().losses(batch, 0.7)
    assert {k: v.item() for k, v in found.items()} == {k: v.item() for k, v in wanted.items()}
    assert other.report() == case.method.report()


def stepped(case: Toy, optimiser: torch.optim.Optimizer, step: int) -> float:
    """Take one optimiser step as the loop does and return its loss."""
    torch.manual_seed(step)
    total = torch.stack(list(case.method.losses(case.batch(), step / 8).values())).sum()
    optimiser.zero_grad(set_to_none=True)
    total.backward()
    optimiser.step()
    return total.item()


@pytest.mark.parametrize("name", NAMES)
def test_a_training_taken_up_again_goes_on_as_if_never_stopped(name: str, tmp_path: Path) -> None:
    """Through a file, with everything a method remembers: a buffer it does not register would be lost here."""
    cases = [toy(find_method(name)) for _ in range(2)]
    modules = [{"network": case.network, "method": case.method} for case in cases]
    optimisers = [
        torch.optim.SGD([p for m in held.values() for p in m.parameters() if p.requires_grad], 1e-3, momentum=0.9)
        for held in modules
    ]
    for step in (3, 4):
        stepped(cases[0], optimisers[0], step)
    save_checkpoint(tmp_path / "last.safetensors", modules[0], optimisers[0], {})
    tensors, _ = read_checkpoint(tmp_path / "last.safetensors")
    for key, module in modules[1].items():
        load_module(module, tensors, key)
    load_optimiser(optimisers[1], tensors)
    assert stepped(cases[0], optimisers[0], 5) == stepped(cases[1], optimisers[1], 5)
    for key in ("network", "method"):
        for one, other in zip(modules[0][key].state_dict().items(), modules[1][key].state_dict().items(), strict=True):
            assert torch.equal(one[1], other[1]), one[0]


def test_losses_are_finite_with_the_network_in_half_precision(case: Toy) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        batch = case.batch()
        assert batch.teacher is not None
        batch = replace(batch, teacher=type(batch.teacher)(*(head.float() for head in batch.teacher)))
        losses = case.method.losses(batch, 0.6)
    torch.stack(list(losses.values())).sum().backward()
    for name, parameter in (*case.method.named_parameters(), *case.network.named_parameters()):
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("name", NAMES)
def test_settings_refuse_unknown_keys(name: str) -> None:
    with pytest.raises(ValidationError, match="lambda_glob"):
        find_method(name).Settings(lambda_glob=1)  # type: ignore[call-arg]
