"""The loop: its first losses, its optimiser, what it refuses."""

from __future__ import annotations

import copy
import itertools
import re
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dcdan.core.errors import TrainingError
from dcdan.core.limits import read_log
from dcdan.methods.base import find_method
from dcdan.models.domain_norm import norms
from dcdan.models.network import Network
from dcdan.training.batches import aligned_weights
from dcdan.training.checkpoint import read_checkpoint
from dcdan.training.data import Source, Target
from dcdan.training.forward import estimate_statistics, predict_features
from dcdan.training.loop import Trainer
from dcdan.training.metrics_log import MetricsLog
from dcdan.training.optimiser import learning_rate
from dcdan.training.settings import RunSettings
from dcdan.training.step import make_teacher
from tiny_training import SIZE, tiny

CPU = torch.device("cpu")
CLASSES = ("fear", "happiness", "neutral")


def noise_domains() -> tuple[Source, Target]:
    """Return 24 grey source faces whose brightness tells the class, and 32 coloured target faces."""
    rng = np.random.default_rng(0)
    hard = np.arange(24) % 3
    faces = (rng.integers(0, 100, (24, SIZE, SIZE)) + 70 * hard[:, None, None]).astype(np.uint8)
    tint = rng.uniform(0.5, 1, (32, 1, 1, 3))
    bright = rng.integers(0, 100, (32, SIZE, SIZE, 1)) + 70 * (np.arange(32) % 3)[:, None, None, None]
    target = (bright * tint).astype(np.uint8)
    labels = torch.eye(3)[torch.from_numpy(hard)]
    return Source(faces, CLASSES, np.arange(18), np.arange(18, 24), hard, labels, 0), Target(target, np.arange(32))


def fill(module: torch.nn.Module) -> None:
    """Set all weights by numbers of NumPy's, named by parameter, so that no library's initialisation matters."""
    with torch.no_grad():
        for name, value in module.named_parameters():
            if value.ndim > 1:
                rng = np.random.default_rng(zlib.crc32(name.encode()))
                drawn = rng.normal(0, (2 / value[0].numel()) ** 0.5, tuple(value.shape))
                value.copy_(torch.from_numpy(drawn.astype(np.float32)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "checkpoints").mkdir()
    return tmp_path


def trainer(folder: Path, settings: RunSettings, metrics_log: MetricsLog) -> Trainer:
    source, target = noise_domains()
    torch.manual_seed(settings.seed)
    network = Network(settings.network, 3, SIZE).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    method = find_method(settings.method)(settings.method_settings(), settings.network.width, source.counts)
    fill(network)
    fill(method)
    made = Trainer(settings, network, method, None, CPU, False, source, target, folder, metrics_log)
    if method.uses_teacher and settings.teacher:
        made.teacher = make_teacher(network)
    return made


@pytest.fixture
def metrics_log(folder: Path) -> Iterator[MetricsLog]:
    with MetricsLog(folder, quiet=True) as opened:
        yield opened


STAGE = 'optimiser="sgd", head_ratio=2.0, weight_decay=5e-4, clip=5.0, batch=8'
GOLDEN = tiny(
    f'source={{epochs=1, lr=0.02, schedule="one-cycle", {STAGE}}}',
    f'adaptation={{epochs=1, lr=0.02, schedule="cosine", {STAGE}}}',
    "teacher=0.9",
    "augment={flip=0.5, rotation=12, scale=0.12, shift=0.06, light=0.25, colour=0.3, blur=0.5, grain=0.04, erase=0.5}",
    "augment.source_strong=0.5",
    "augment.source_stage_strong=0",
    "network.grey=false",
    "options={lambda_global=0.1, lambda_local=0.1, lambda_pseudo=1.0, ramp=0.0, pseudo_labels='dynamic', prior='none'}",
    "options.relative_threshold=0.5",
    "options.threshold_floor=0.0",
    "options.conditional=none",
    "options.sampling=even",
    "options.classification={label_smoothing=0.1, balance='none', soft_votes=true, weights=[1.0, 0.5, 0.5]}",
)


STORED = {
    "source": {"cls": [1.28964, 1.26583, 0.86478]},
    "adaptation": {
        "cls": [1.17939, 0.995, 0.91348, 0.80199],
        "adv_g": [1.64012, 2.87396, 2.06712, 4.2876],
        "adv_l": [1.60112, 1.8767, 1.72768, 1.66441],
        "pl": [1.11575, 1.57369, 1.37847, 0.86299],
    },
}


def test_the_first_losses_are_those_stored(
    folder: Path, metrics_log: MetricsLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anything that changes the training changes these numbers: change them only with a reason."""
    monkeypatch.setattr("dcdan.training.loop.LOGGED_EVERY", 1)
    made = trainer(folder, GOLDEN, metrics_log)
    assert made.train("source")
    assert made.train("adaptation")
    for stage, names in STORED.items():
        found = [record for record in read_log(folder / "log.jsonl") if record["kind"] == stage]
        for name, values in names.items():
            np.testing.assert_allclose([record[name] for record in found], values, atol=1e-3, err_msg=f"{stage} {name}")


def test_the_method_knows_how_long_the_adaptation_is(folder: Path, metrics_log: MetricsLog) -> None:
    assert trainer(folder, tiny("adaptation.epochs=1.5"), metrics_log).method.epochs == 1.5


def lines(folder: Path, kind: str) -> list[dict[str, object]]:
    return [record for record in read_log(folder / "log.jsonl") if record["kind"] == kind]


def test_a_step_follows_from_seed_stage_and_step_alone(folder: Path, metrics_log: MetricsLog) -> None:
    made = trainer(folder, GOLDEN, metrics_log)
    read = [made.source.faces[:8].copy(), made.target.faces[:8].copy()]
    labels = made.source.labels[:8]

    def losses(stage: str, step: int) -> list[float]:
        made.method.load_state_dict(state)
        found = made.losses(stage, step, 0.5, labels, read)  # type: ignore[arg-type]
        return [float(value.detach()) for value in found.values()]

    state = {name: value.clone() for name, value in made.method.state_dict().items()}
    first = losses("adaptation", 3)
    torch.manual_seed(12345)
    losses("adaptation", 4)
    assert losses("adaptation", 3) == first
    assert losses("adaptation", 4) != first
    assert losses("source", 3)[0] != first[0]


def test_the_student_does_not_touch_the_teacher_within_a_step(folder: Path, metrics_log: MetricsLog) -> None:
    made = trainer(folder, GOLDEN, metrics_log)
    assert made.teacher is not None
    before = {name: value.clone() for name, value in made.teacher.state_dict().items()}
    read = [made.source.faces[:8].copy(), made.target.faces[:8].copy()]
    sum(made.losses("adaptation", 0, 0.5, made.source.labels[:8], read).values()).backward()  # type: ignore[union-attr]
    of_target = ("running_mean", "running_var", "num_batches_tracked")  # which the teacher takes from its own weak view
    now = made.teacher.state_dict()
    assert all(torch.equal(now[name], before[name]) for name in before if not name.endswith(of_target))
    assert all(parameter.grad is None for parameter in made.teacher.parameters())
    assert not any(part.training for part in made.teacher.modules())
    assert made.network.training


def test_the_teacher_normalises_the_target_by_what_it_sees(folder: Path, metrics_log: MetricsLog) -> None:
    made = trainer(folder, GOLDEN, metrics_log)
    weak = torch.rand(8, 3, SIZE, SIZE)
    teacher = made.teacher
    assert teacher is not None

    def asked(source: bool) -> torch.Tensor:
        return made.teacher_logits(weak, source=source).fused

    before = asked(False), asked(True)
    for layer in norms(teacher):
        layer.running_mean.add_(1)  # type: ignore[union-attr]
        layer.source_mean.add_(1)
    assert torch.equal(asked(False), before[0])
    assert not torch.allclose(asked(True), before[1])
    made.teacher, made.network = None, teacher  # a student that is its own teacher must not lose its statistics
    kept = {name: value.clone() for name, value in teacher.state_dict().items()}
    assert not torch.allclose(asked(False), before[0])
    assert all(torch.equal(value, kept[name]) for name, value in teacher.state_dict().items())


def test_each_domain_updates_its_own_statistics(folder: Path, metrics_log: MetricsLog) -> None:
    made = trainer(folder, GOLDEN, metrics_log)
    read = [made.source.faces[:8].copy(), made.target.faces[:8].copy()]

    def touched(stage: str) -> set[str]:
        before = {name: value.clone() for name, value in made.network.named_buffers()}
        made.losses(stage, 0, 0.5, made.source.labels[:8], read)  # type: ignore[arg-type]
        changed = {name for name, value in made.network.named_buffers() if not torch.equal(value, before[name])}
        return {name.rpartition(".")[2] for name in changed}

    assert touched("source") == {"source_mean", "source_var"}
    assert touched("adaptation") == {"source_mean", "source_var", "running_mean", "running_var"}


def test_every_parameter_is_optimised_once_and_only_matrices_decay(folder: Path, metrics_log: MetricsLog) -> None:
    made = trainer(folder, GOLDEN, metrics_log)
    plan = made.plan("adaptation")
    for with_method in (False, True):
        groups = made.optimiser(plan, with_method).param_groups
        found = [id(parameter) for group in groups for parameter in group["params"]]
        wanted = [*made.network.parameters(), *(made.method.parameters() if with_method else ())]
        assert len(found) == len(set(found))
        assert set(found) == {id(parameter) for parameter in wanted}
        trunk = {id(parameter) for parameter in made.network.trunk.parameters()}
        adversaries = {id(parameter) for name, parameter in made.method.named_parameters() if name.startswith("of_")}
        assert adversaries
        plan = plan.model_copy(update={"discriminator_ratio": 3.0})
        groups = made.optimiser(plan, with_method).param_groups
        for group in groups:
            for parameter in group["params"]:
                assert group["weight_decay"] == (plan.weight_decay if parameter.ndim > 1 else 0)
                ratio = 1.0 if id(parameter) in trunk else plan.head_ratio
                assert group["ratio"] == (3 * ratio if id(parameter) in adversaries else ratio)


def test_optimisers_are_those_asked_for(folder: Path, metrics_log: MetricsLog) -> None:
    made = trainer(folder, GOLDEN, metrics_log)
    sgd = made.optimiser(made.plan("source"), False)
    assert isinstance(sgd, torch.optim.SGD)
    assert (sgd.defaults["momentum"], sgd.defaults["nesterov"]) == (0.9, True)
    adamw = made.optimiser(made.plan("source").model_copy(update={"optimiser": "adamw"}), False)
    assert isinstance(adamw, torch.optim.AdamW)


def test_steps_epochs_and_rates(folder: Path, metrics_log: MetricsLog) -> None:
    settings = tiny(
        "source.epochs=2.5", "source.batch=4", "source.lr=0.01", "source.head_ratio=3", method="source_only"
    )
    made = trainer(folder, settings, metrics_log)
    assert made.train("source")
    # 18 faces in batches of 4 are 5 steps an epoch, and 12.5 steps are 12.
    (last,) = lines(folder, "source")
    assert last["step"] == 12
    assert last["lr"] == pytest.approx(0.01 * learning_rate("one-cycle", 11 / 12))
    assert [(r["step"], r["epoch"]) for r in lines(folder, "source-epoch")] == [(5, 1), (10, 2), (12, 3)]
    _, metadata = read_checkpoint(folder / "checkpoints" / "last.safetensors")
    assert (metadata["stage"], metadata["step"]) == ("source", 12)


def test_an_epoch_of_adaptation_passes_over_the_larger_domain(folder: Path, metrics_log: MetricsLog) -> None:
    made = trainer(folder, tiny("adaptation.epochs=1", "adaptation.lr=0.001", method="dann"), metrics_log)
    assert made.train("adaptation")
    assert [record["step"] for record in lines(folder, "adaptation-epoch")] == [0, 4]


def test_a_judged_model_normalises_the_target_by_plain_faces(folder: Path, metrics_log: MetricsLog) -> None:
    made = trainer(folder, tiny("adaptation.epochs=1", "adaptation.lr=0.001", method="dann"), metrics_log)
    assert made.train("adaptation")
    settled = copy.deepcopy(made.model)
    estimate_statistics(settled, made.target.faces, made.target.train, CPU)
    for name, value in made.model.state_dict().items():
        torch.testing.assert_close(value, settled.state_dict()[name], msg=name)


def test_logged_losses_are_means_of_the_steps_since_the_last_record(
    folder: Path, metrics_log: MetricsLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny("source.epochs=7", "source.batch=9", "source.lr=0.001", method="source_only")
    monkeypatch.setattr("dcdan.training.loop.LOGGED_EVERY", 4)
    seen: list[float] = []
    made = trainer(folder, settings, metrics_log)
    losses = made.losses

    def noting(*given: object) -> dict[str, torch.Tensor]:
        found = losses(*given)  # type: ignore[arg-type]
        seen.append(float(found["cls"].detach()))
        return found

    monkeypatch.setattr(made, "losses", noting)
    assert made.train("source")
    assert [record["step"] for record in lines(folder, "source")] == [4, 8, 12, 14]
    expected = [np.mean(seen[:4]), np.mean(seen[4:8]), np.mean(seen[8:12]), np.mean(seen[12:])]
    np.testing.assert_allclose([record["cls"] for record in lines(folder, "source")], expected, atol=2e-5)  # type: ignore[misc]


def test_the_balanced_sampler_draws_classes_alike(folder: Path, metrics_log: MetricsLog) -> None:
    made = trainer(folder, tiny("options.classification.balance=balanced-sampler", method="source_only"), metrics_log)
    made.source.hard[:16] = 0
    weights = made.weights("source").source
    assert weights is not None
    assert len(weights) == len(made.source.train)
    assert weights[:16].sum() == pytest.approx(weights[16:].sum() / 2)
    assert trainer(folder, tiny(method="source_only"), metrics_log).weights("source") == (None, None)


def test_faces_are_drawn_by_what_the_source_stage_sees_in_the_target(folder: Path, metrics_log: MetricsLog) -> None:
    assert trainer(folder, tiny(method="dann"), metrics_log).weights("adaptation") == (None, None)
    for how in ("target-as-source", "source-as-target"):
        made = trainer(folder, tiny(f"options.sampling={how}", method="dann"), metrics_log)
        assert made.weights("source") == (None, None)
        asked = copy.deepcopy(made.network)
        estimate_statistics(asked, made.target.faces, made.target.train, CPU)
        seen = predict_features(asked, made.target.faces, made.target.train, CPU, False, False).logits.fused.softmax(1)
        before = {name: value.clone() for name, value in made.network.state_dict().items()}
        source, target = made.weights("adaptation")
        assert all(value.equal(before[name]) for name, value in made.network.state_dict().items())
        if how == "target-as-source":
            assert source is None
            np.testing.assert_allclose(target, aligned_weights(seen.double().numpy(), np.array([6.0, 6.0, 6.0])))
        else:
            assert target is None
            labels = made.source.labels[made.source.train].double().numpy()
            np.testing.assert_allclose(source, aligned_weights(labels, seen.double().mean(0).numpy()))


def test_a_loss_that_is_no_number_ends_the_stage_and_leaves_no_thread(
    folder: Path, metrics_log: MetricsLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trainer(folder, tiny("source.epochs=30", method="source_only"), metrics_log)
    made.source.labels[:] = torch.nan
    monkeypatch.setattr("dcdan.training.loop.LOGGED_EVERY", 2)
    with pytest.raises(TrainingError, match=r"'cls' is no longer a number at step 2 of the source stage") as caught:
        made.train("source")
    assert caught.value.__traceback__ is not None
    assert not [thread for thread in threading.enumerate() if thread.name == "read-ahead"]
    assert not (folder / "checkpoints" / "last.safetensors").exists()


def test_a_step_that_would_ruin_the_weights_is_never_saved(folder: Path, metrics_log: MetricsLog) -> None:
    """The losses of a step are those before its update, so its gradient is looked at too."""
    made = trainer(folder, tiny("source.epochs=1", "source.batch=18", method="source_only"), metrics_log)
    next(made.network.trunk.parameters()).register_hook(lambda gradient: torch.full_like(gradient, torch.nan))
    with pytest.raises(TrainingError, match="The gradient is no longer a number at step 1 of the source stage"):
        made.train("source")
    assert not (folder / "checkpoints" / "last.safetensors").exists()


def test_a_collapse_is_logged_and_ends_the_stage(folder: Path, metrics_log: MetricsLog) -> None:
    made = trainer(folder, tiny("adaptation.lr=1e-9", method="dann"), metrics_log)
    with torch.no_grad():
        for head in made.network.semantic.parameters():
            head.zero_()
    with pytest.raises(TrainingError, match="collapsed in epoch 1"):
        made.train("adaptation")
    before, record = lines(folder, "adaptation-epoch")
    assert (before["epoch"], record["epoch"]) == (0, 1)
    assert record["largest_share"] == 1.0


def test_a_dead_discriminator_ends_the_stage(folder: Path, metrics_log: MetricsLog) -> None:
    made = trainer(folder, tiny("adaptation.lr=1e-9", method="dann"), metrics_log)
    with torch.no_grad():
        made.method.get_submodule("discriminator.6").weight.zero_()  # type: ignore[operator, union-attr]
    with pytest.raises(TrainingError, match=r"'discriminator' died in epoch 1 .* lower adaptation.lr"):
        made.train("adaptation")


def poisoned(made: Trainer, calls: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the loss of the calls with these numbers, counted from 1, no number."""
    losses, count = made.losses, itertools.count(1)

    def spoilt(*given: object, **more: object) -> dict[str, torch.Tensor]:
        found = losses(*given, **more)  # type: ignore[arg-type]
        return {
            name: value * (torch.nan if number in calls else 1.0)
            for number in [next(count)]
            for name, value in found.items()
        }

    monkeypatch.setattr(made, "losses", spoilt)


def test_backing_off_goes_on_from_the_last_good_epoch_at_half_the_rate(
    folder: Path, metrics_log: MetricsLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Epochs of three steps: the fifth step fails, and step 4 is trained again, slower."""
    monkeypatch.setattr("dcdan.training.loop.LOGGED_EVERY", 1)
    settings = tiny("source.epochs=3", "source.batch=6", "on_trouble=back-off", method="source_only")
    made = trainer(folder, settings, metrics_log)
    poisoned(made, {5}, monkeypatch)
    assert made.train("source")
    found = lines(folder, "source")
    assert [record["step"] for record in found] == [*range(1, 10)]
    for record in found:
        whole = settings.source.lr * learning_rate("one-cycle", (record["step"] - 1) / 9)
        assert record["lr"] == pytest.approx(whole if record["step"] <= 3 else whole / 2)
    (trouble,) = lines(folder, "trouble")
    assert (trouble["step"], trouble["stage"], trouble["ease"]) == (3, "source", 0.5)
    assert "The loss 'cls' is no longer a number at step 5" in trouble["what"]
    assert all(torch.isfinite(value).all() for value in made.network.state_dict().values())
    again = trainer(folder, settings, metrics_log)
    assert again.train("source")
    assert again.ease == 0.5, "a run that was stopped goes on at the rate that it had"


def test_backing_off_ends_after_three_times(
    folder: Path, metrics_log: MetricsLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trainer(folder, tiny("on_trouble=back-off", method="source_only"), metrics_log)
    poisoned(made, {*range(1, 100)}, monkeypatch)
    with pytest.raises(TrainingError, match="no longer a number"):
        made.train("source")
    assert [record["ease"] for record in lines(folder, "trouble")] == [1 / 2, 1 / 4, 1 / 8]


def test_stopping_saves_and_says_so(folder: Path, metrics_log: MetricsLog) -> None:
    made = trainer(folder, tiny("source.epochs=10", method="source_only"), metrics_log)
    made.stop = lambda: True
    assert not made.train("source")
    _, metadata = read_checkpoint(folder / "checkpoints" / "last.safetensors")
    assert metadata["step"] == 1
    assert metadata["sums"].keys() == {"cls", "gradient"}


def test_thresholds_take_several_values_over_classes_and_time(folder: Path, metrics_log: MetricsLog) -> None:
    """F1. Of the log of a training with the default rule, floor and tau."""
    made = trainer(folder, tiny("adaptation.epochs=12", "adaptation.lr=0.005", "source.epochs=20"), metrics_log)
    assert made.train("source")
    made.teacher = make_teacher(made.network)
    assert made.train("adaptation")
    found = [record["thresholds"] for record in read_log(folder / "log.jsonl") if record["kind"] == "adaptation-method"]
    found += [record["thresholds"] for record in logged(folder, "adaptation-epoch")]
    assert {len(values) for values in found} == {3}
    assert len({round(value, 2) for value in found[-1]}) > 1, "over classes"
    assert all(len({round(values[c], 2) for values in found}) >= 3 for c in range(3)), "over time"


def logged(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [record for record in read_log(folder / "log.jsonl") if record["kind"] == kind]


def test_discriminators_learn_at_a_small_lambda(folder: Path, metrics_log: MetricsLog) -> None:
    """F2. Grey and tinted faces are told apart within a few epochs although lambda is .01; their accuracy is logged."""
    made = trainer(
        folder,
        tiny(
            "adaptation.epochs=12", "adaptation.lr=0.02", "options={lambda_global=0.01, lambda_local=0.01}",
            "options.pseudo_labels=off", "network.batch_norm=shared", "adaptation.batch=16",
            "adaptation.discriminator_ratio=10",
        ),
        metrics_log,
    )  # fmt: skip
    assert made.train("adaptation")
    epochs = logged(folder, "adaptation-epoch")
    assert "discriminator_global" not in epochs[0], "before the first step there is none"
    for branch in ("global", "local"):  # with dropout, on strong views
        assert np.mean([epoch[f"discriminator_{branch}"] for epoch in epochs[-6:]]) > 0.65


def test_a_stage_that_backs_off_draws_as_before(
    folder: Path, metrics_log: MetricsLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F3. After a loss that is no number the weights of the draw must not be computed by the ruined network."""
    settings = tiny("on_trouble=back-off", "options.sampling=source-as-target", "adaptation.epochs=1")
    made = trainer(folder, settings, metrics_log)
    made.sampled = {}
    whole, ruined = Trainer.losses, []

    def once(self: Trainer, stage: str, step: int, *rest: Any) -> dict[str, torch.Tensor]:
        losses = whole(self, stage, step, *rest)
        if step == 2 and not ruined:
            ruined.append(step)
            losses["cls"] = losses["cls"] * torch.nan  # and so all weights after the step
        return losses

    monkeypatch.setattr(Trainer, "losses", once)
    monkeypatch.setattr("dcdan.training.loop.LOGGED_EVERY", 1)
    assert made.train("adaptation")
    assert ruined
    assert made.ease == 0.5
    assert all(bool(p.isfinite().all()) for p in made.network.parameters())


def test_logit_adjustment_undoes_the_shares_that_are_drawn(folder: Path, metrics_log: MetricsLog) -> None:
    """F14. With ``source-as-target`` the batches have the target's shares of classes, not the source's."""
    settings = tiny("options.sampling=source-as-target", "adaptation.epochs=0.25", "options.lambda_pseudo=0")
    made = trainer(folder, settings, metrics_log)
    seen = np.full((32, 3), [0.6, 0.3, 0.1])
    made.target_probabilities = lambda: seen  # type: ignore[method-assign]
    assert made.train("adaptation")
    torch.testing.assert_close(made.method.sampled_counts, 18 * torch.tensor([0.6, 0.3, 0.1]), rtol=1e-4, atol=1e-4)
    assert made.method.class_counts.tolist() == [6, 6, 6]


def test_a_budget_shortens_the_stages_and_a_resumed_run_keeps_it(
    folder: Path, metrics_log: MetricsLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """U5. Steps of one second and a deadline after 30 s: 20 steps are measured, and as many as fit are added."""
    monkeypatch.setattr("dcdan.training.loop.MEASURED_STEPS", 4)
    clock = iter(range(10_000))
    monkeypatch.setattr("dcdan.training.loop.time", SimpleNamespace(perf_counter=lambda: float(next(clock))))
    made = trainer(folder, tiny("source.epochs=200", method="source_only"), metrics_log)
    made.deadline = 120.0
    said: list[str] = []
    metrics_log.print_line = said.append  # type: ignore[method-assign]
    assert made.train("source")
    (shortened, *_) = logged(folder, "source-budget")
    steps = logged(folder, "source-epoch")[-1]["step"]
    assert 4 < steps <= shortened["steps"] < 600
    assert next(clock) < 200
    assert re.match(r"About \d+ (s|min|h \d\d min) of training left", next(line for line in said if "left" in line))
    again = trainer(folder, made.settings, metrics_log)
    again.deadline = 1e9
    assert again.resume("source", again.optimiser(again.plan("source"), False), 600)[2] == steps
