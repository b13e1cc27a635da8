"""A network over many faces: chunks, statistics of the right domain, and statistics estimated anew."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dcdan.models.domain_norm import norms, sources_first
from dcdan.models.network import Network, NetworkSettings
from dcdan.models.selection import select
from dcdan.training import forward
from dcdan.training.data import in_colour, to_float
from dcdan.training.forward import estimate_statistics, predict_features, selected_probabilities

CPU = torch.device("cpu")
NOISE = np.random.default_rng(0).integers(0, 256, (50, 8, 8), dtype=np.uint8)
FACES = NOISE.repeat(4, axis=1).repeat(4, axis=2)
ROWS = np.array([41, 3, 17, 8, 29, 30, 2, 1, 0, 49, 11])


def network(batch_norm: str = "per-domain") -> Network:
    torch.manual_seed(0)
    settings = NetworkSettings(trunk="test_byobnet", width=32, groups=4, batch_norm=batch_norm)  # type: ignore[arg-type]
    made = Network(settings, 5, 32).train()
    layers = [layer for layer in made.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in layers:
        layer.momentum = 1.0
    for sources, gain in ((-1, 1.0), (0, 0.6)):
        with torch.no_grad(), sources_first(made, sources):
            made(gain * pixels(np.arange(16)))
    for layer in layers:
        layer.momentum = 0.1
    return made


def pixels(rows: np.ndarray) -> Tensor:
    return in_colour(to_float(FACES[rows], CPU))


@pytest.mark.parametrize("source", [True, False])
def test_looking_in_chunks_equals_one_pass(monkeypatch: pytest.MonkeyPatch, source: bool) -> None:
    monkeypatch.setattr(forward, "CHUNK", 4)
    model = network().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = predict_features(model, FACES, ROWS, CPU, source, bf16=False)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model.eval()
    with torch.no_grad(), sources_first(model, -1 if source else 0):
        expected = model(pixels(ROWS))
    for head, other in zip(found.logits, expected.logits, strict=True):
        torch.testing.assert_close(head, other, atol=1e-4, rtol=1e-4)
        assert not head.requires_grad
    assert found.logits.fused.std(0).min() > 1e-3
    torch.testing.assert_close(found.of_global, expected.of_global, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.of_local, expected.of_local, atol=1e-4, rtol=1e-4)


def test_source_and_target_are_normalised_by_their_own_statistics() -> None:
    model = network()
    as_source = predict_features(model, FACES, ROWS, CPU, True, False).logits.fused
    as_target = predict_features(model, FACES, ROWS, CPU, False, False).logits.fused
    assert (as_source - as_target).abs().max() > 1e-3
    for layer in norms(model):
        layer.source_mean.copy_(layer.running_mean)  # type: ignore[arg-type]
        layer.source_var.copy_(layer.running_var)  # type: ignore[arg-type]
    torch.testing.assert_close(predict_features(model, FACES, ROWS, CPU, True, False).logits.fused, as_target)


def test_the_choice_is_that_of_the_selection_rule() -> None:
    found = predict_features(network(), FACES, ROWS, CPU, True, False)
    thresholds = torch.full((5,), float(found.logits.fused.softmax(1).amax(1).median()))
    expected = select(found.logits, thresholds)
    assert len(set(expected.decided_by.tolist())) > 1
    torch.testing.assert_close(selected_probabilities(found, thresholds), expected.probabilities)


def naive_statistics(model: Network, chunks: list[np.ndarray]) -> dict[str, Tensor]:
    """Return the mean over chunks, weighted by faces, of each layer's batch mean and unbiased variance."""
    totals: dict[str, Tensor] = {}

    def note(name: str, share: float) -> object:
        def hook(_: nn.Module, inputs: tuple[Tensor]) -> None:
            columns = inputs[0].detach().transpose(0, 1).flatten(1).double()
            for key, value in (("mean", columns.mean(1)), ("var", columns.var(1))):
                totals[f"{name}.running_{key}"] = totals.get(f"{name}.running_{key}", 0.0) + share * value

        return hook

    model.train()
    for chunk in chunks:
        share = len(chunk) / sum(map(len, chunks))
        handles = [
            layer.register_forward_pre_hook(note(name, share))  # type: ignore[arg-type]
            for name, layer in model.named_modules()
            if isinstance(layer, nn.BatchNorm2d)
        ]
        with torch.no_grad(), sources_first(model, 0):
            model(pixels(chunk))
        for handle in handles:
            handle.remove()
    return totals


@pytest.mark.parametrize("batch_norm", ["per-domain", "shared"])
def test_statistics_are_the_mean_over_the_data(monkeypatch: pytest.MonkeyPatch, batch_norm: str) -> None:
    monkeypatch.setattr(forward, "CHUNK", 16)
    model, other = network(batch_norm), network(batch_norm)
    rows = np.arange(5, 49)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    estimate_statistics(model, FACES, rows, CPU)
    mixed = np.random.default_rng(0).permutation(rows)
    expected = naive_statistics(other, [mixed[:16], mixed[16:32], mixed[32:]])
    assert len(expected) > 20
    assert not model.training
    for name, value in model.state_dict().items():
        if name in expected:
            np.testing.assert_allclose(value.numpy(), expected[name].numpy(), atol=2e-4, rtol=2e-3, err_msg=name)
        elif not name.endswith("num_batches_tracked"):
            assert torch.equal(value, before[name]), name
    assert all(layer.momentum == 0.1 for layer in model.modules() if isinstance(layer, nn.BatchNorm2d))


def test_statistics_do_not_depend_on_the_order_of_the_pack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of a pack sorted by class would miss the variance between classes."""
    monkeypatch.setattr(forward, "CHUNK", 25)
    faces = np.repeat(np.array([40, 200], np.uint8), 25)[:, None, None] + FACES // 16
    model, whole = network(), network()
    estimate_statistics(model, faces, np.arange(50), CPU)
    monkeypatch.setattr(forward, "CHUNK", 50)
    estimate_statistics(whole, faces, np.arange(50), CPU)
    first, same = next(norms(model)), next(norms(whole))
    assert first.running_var is not None
    assert same.running_var is not None
    assert (first.running_var / same.running_var).min() > 0.8


def test_a_few_faces_are_enough() -> None:
    model = network()
    estimate_statistics(model, FACES, np.array([7]), CPU)
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_weighted_statistics_are_those_of_the_faces_with_weight() -> None:
    model, other = network(), network()
    weights = np.zeros(len(FACES))
    weights[7] = 1
    estimate_statistics(model, FACES, np.arange(len(FACES)), CPU, weights)
    estimate_statistics(other, FACES[np.full(len(FACES), 7)], np.arange(len(FACES)), CPU)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[name], msg=name)
