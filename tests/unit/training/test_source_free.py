"""The loop of source-free adaptation: every method runs, moves what it declares, and resumes to the same bits."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dcdan.core.errors import DataError, ModelError, TrainingError
from dcdan.methods.source_free.base import Recipe, SourceFreeMethod, TargetBatch, moved_parameters
from dcdan.models.network import Network
from dcdan.training.forward import estimate_statistics
from dcdan.training.source_free import Adaptation, AdaptSettings, adapt_network, check_faces, step_rows
from source_free_batch import CLASSES, made, random_faces, tiny_network

BASELINES = [
    *("shot_im", "tent", "eata", "sar", "roid", "aad", "nrc", "clup"),
    *("sfda_pft", "adabn", "alpha_bn", "t3a", "lame"),
]
TRAINED = BASELINES[:8]
COUNT = 20
OPTIONS: dict[str, dict[str, object]] = {
    "eata": {"margin": 2.0, "redundancy": 1.0},
    "sar": {"margin": 2.0, "collapse": 0.0},
}
"""So that the filters keep some of the faces of a network with random weights."""


def settings(steps: int | None = 4, **values: object) -> AdaptSettings:
    return AdaptSettings.model_validate({"steps": steps, "batch": 8, "device": "cpu", "save_seconds": 0, **values})


def adapted(
    name: str, network: Network, chosen: AdaptSettings | None = None, stop_at: int | None = None, **kwargs: Path
) -> tuple[Adaptation, SourceFreeMethod]:
    """Adapt to twenty faces; ``stop_at`` asks to stop after so many steps."""
    neutral = (0, 1, 2, 3) if name == "sfda_pft" else ()
    method = made(name, network, COUNT, neutral, **OPTIONS.get(name, {}))
    done = [0]

    def tell(step: int, steps: int, losses: dict[str, float]) -> None:
        assert all(np.isfinite(value) for value in losses.values())
        done[0] = step

    outcome = adapt_network(
        network,
        random_faces(COUNT),
        method,
        chosen or settings(None if name in BASELINES[9:] else 4),
        tell,
        lambda: stop_at is not None and done[0] >= stop_at,
        **kwargs,
    )
    return outcome, method


def same(one: Network, other: Network) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", BASELINES)
def test_a_method_moves_what_it_declares_and_nothing_else(name: str) -> None:
    network = tiny_network()
    start = copy.deepcopy(network)
    needed = [each.requires_grad for each in network.parameters()]
    outcome, method = adapted(name, network)
    assert outcome.finished
    assert outcome.class_shares.sum() == pytest.approx(1)
    assert not network.training
    assert [each.requires_grad for each in network.parameters()] == needed
    assert all(each.grad is None for each in network.parameters())
    moved = set(moved_parameters(network, method.recipe.moves))
    if name in ("roid", "sfda_pft"):  # which end by changing the fused head
        moved |= {"semantic.fused.weight", "semantic.fused.bias"}
    before = dict(start.named_parameters())
    changed = {key for key, each in network.named_parameters() if not torch.equal(each, before[key])}
    assert changed <= moved
    assert bool(changed) == bool(moved)
    keeps = method.recipe.norms == "stored" and name not in ("adabn", "alpha_bn")
    statistics = [key for key, _ in network.named_buffers() if key.endswith("running_mean")]
    theirs = start.state_dict()
    assert all(torch.equal(network.state_dict()[key], theirs[key]) == keeps for key in statistics)
    assert (outcome.answers is not None) == (name in ("t3a", "lame"))


@pytest.mark.parametrize("name", TRAINED)
def test_the_same_seed_gives_the_same_network(name: str) -> None:
    first, again, other = tiny_network(), tiny_network(), tiny_network()
    adapted(name, first)
    adapted(name, again)
    assert same(first, again)
    adapted(name, other, settings(seed=1))
    assert not same(first, other)


@pytest.mark.parametrize("name", [*TRAINED, "sfda_pft"])
def test_a_stopped_adaptation_resumes_to_the_same_bits(name: str, tmp_path: Path) -> None:
    whole, parts = tiny_network(), tiny_network()
    adapted(name, whole)
    path = tmp_path / "state.safetensors"
    outcome, _ = adapted(name, parts, stop_at=2, checkpoint=path)
    assert (outcome.steps, outcome.planned, outcome.finished) == (2, 4, False)
    assert path.is_file()
    fresh = tiny_network()
    outcome, _ = adapted(name, fresh, checkpoint=path)
    assert (outcome.steps, outcome.finished) == (4, True)
    assert same(whole, fresh)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_adaptation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    adapted("tent", tiny_network(), stop_at=2, checkpoint=path)
    for name, chosen in (("tent", settings(seed=1)), ("tent", settings(lr=0.5)), ("shot_im", settings())):
        with pytest.raises(ModelError, match="other faces or settings: remove it"):
            adapted(name, tiny_network(), chosen, checkpoint=path)
    network = tiny_network()
    with pytest.raises(ModelError, match="other faces or settings"):
        adapt_network(network, random_faces(COUNT, 1), made("tent", network), settings(), checkpoint=path)


def test_statistics_of_the_whole_target_are_stored_at_the_end() -> None:
    network = tiny_network()
    adapted("tent", network)
    stored = copy.deepcopy(network).state_dict()
    estimate_statistics(network, random_faces(COUNT), np.arange(COUNT), torch.device("cpu"))
    assert all(torch.equal(value, stored[key]) for key, value in network.state_dict().items() if "running" in key)


def test_per_domain_norms_adapt_the_statistics_of_the_target() -> None:
    network = tiny_network(batch_norm="per-domain")
    start = copy.deepcopy(network)
    adapted("tent", network)
    now, before = network.state_dict(), start.state_dict()
    assert all(torch.equal(now[key], before[key]) for key in now if key.endswith("source_mean"))
    assert not any(torch.equal(now[key], before[key]) for key in now if key.endswith("running_mean"))


class Probe(SourceFreeMethod):
    """Records what the loop gives, and pushes all answers to one class."""

    name: ClassVar[str] = "probe"
    title: ClassVar[str] = "Probe"
    recipe: ClassVar[Recipe] = Recipe(views=("weak", "strong"), inputs=("plain",), lr=0.02, schedule="inverse")
    broken: ClassVar[bool] = False

    def __init__(self, network: Network) -> None:
        nn.Module.__init__(self)
        self.extra = nn.Parameter(torch.zeros(len(CLASSES)))
        self.seen: list[TargetBatch] = []
        self.rates: list[float] = []

    def losses(self, network: Network, batch: TargetBatch) -> dict[str, Tensor]:
        self.seen.append(batch)
        logits = batch.outputs["weak"].logits.fused + self.extra
        value = -logits.log_softmax(1)[:, 0].mean()
        return {"push": value * float("nan") if self.broken and len(self.seen) == 3 else value}

    def step(self, network: Network, batch: TargetBatch, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
        self.rates.append(optimiser.param_groups[0]["lr"])
        return super().step(network, batch, optimiser)


def test_what_the_loop_gives_to_a_method() -> None:
    network = tiny_network()
    probe = Probe(network)
    outcome = adapt_network(network, random_faces(COUNT), probe, settings(6))
    assert outcome.steps == 6
    faces = torch.from_numpy(random_faces(COUNT)).permute(0, 3, 1, 2) / 255
    for step, batch in enumerate(probe.seen):
        assert batch.step == step
        assert batch.progress == pytest.approx(step / 6)
        assert set(batch.outputs) == {"weak", "strong"}
        torch.testing.assert_close(batch.faces["plain"], faces[batch.rows])
        assert not torch.equal(batch.faces["weak"], batch.faces["strong"])
        assert batch.outputs["weak"].logits.fused.requires_grad
    assert probe.rates == pytest.approx([0.02 * (1 + 10 * step / 6) ** -0.75 for step in range(6)])
    for start in (0, 3):  # three batches are a pass
        rows = torch.cat([batch.rows for batch in probe.seen[start : start + 3]])
        assert sorted(rows.tolist()) == list(range(COUNT))
    assert not torch.equal(probe.extra, torch.zeros(len(CLASSES)))


def test_a_collapse_is_told() -> None:
    network = tiny_network()
    outcome = adapt_network(network, random_faces(COUNT), Probe(network), settings(30))
    assert outcome.before.max() < 0.98
    assert outcome.class_shares[0] == 1
    assert "100 % of the faces get one class" in outcome.warning
    assert adapted("alpha_bn", tiny_network())[0].warning == ""


def test_a_loss_that_is_not_finite_stops_with_one_sentence() -> None:
    network = tiny_network()
    probe = Probe(network)
    probe.broken = True  # type: ignore[misc]
    with pytest.raises(TrainingError, match=r"'push' is no finite number at step 3: take a smaller learning rate"):
        adapt_network(network, random_faces(COUNT), probe, settings(6, lr=1e-4))
    assert all(each.requires_grad for each in network.parameters())


@pytest.mark.parametrize(
    "faces",
    [np.zeros((4, 32, 32), np.float32), np.zeros((4, 32, 31), np.uint8), np.zeros((4, 32, 32, 4), np.uint8)],
)
def test_other_arrays_are_refused(faces: np.ndarray) -> None:
    with pytest.raises(DataError, match="Faces must be uint8"):
        check_faces(faces)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_faces(count: int) -> None:
    network = tiny_network()
    with pytest.raises(DataError, match=f"{count} faces are too few"):
        adapt_network(network, random_faces(count or 1)[:count], made("tent", network, count), settings())


def test_grey_faces_and_two_faces_are_enough() -> None:
    network = tiny_network()
    grey = random_faces(2)[..., 0]
    for name in ("tent", "aad", "nrc", "clup"):
        assert adapt_network(network, grey, made(name, network, 2), settings(2)).finished


def test_every_pass_shows_every_face_once_in_another_order() -> None:
    passes = [np.concatenate([step_rows(130, 64, 3 * number + step, 5) for step in range(3)]) for number in range(3)]
    assert all(sorted(each.tolist()) == list(range(130)) for each in passes)
    assert not np.array_equal(passes[0], passes[1])
    assert [len(step_rows(130, 64, step, 5)) for step in range(3)] == [44, 43, 43]
    assert not np.array_equal(step_rows(130, 64, 0, 5), step_rows(130, 64, 0, 6))
