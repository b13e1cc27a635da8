"""The semantic heads, and the choice of prediction against a loop over faces."""

from __future__ import annotations

import math

import pytest
import torch

from dcdan.core.outputs import DECIDERS
from dcdan.models.heads import Logits, SemanticModule
from dcdan.models.network import NetworkOutputs
from dcdan.models.selection import both_ways, select


def softmax(row: list[float], temperature: float) -> list[float]:
    """Softmax in plain Python."""
    powers = [math.exp(value / temperature) for value in row]
    return [power / sum(powers) for power in powers]


def naive(heads: list[list[float]], thresholds: list[float], temperature: float) -> tuple[list[float], int, str]:
    """Probabilities, class and deciding head of one face, as the documentation says it."""
    rows = [softmax(head, 1.0) for head in heads]
    for name, row, head in zip(("fused", "global"), rows, heads, strict=False):
        best = max(range(len(row)), key=row.__getitem__)
        if row[best] >= thresholds[best]:
            return softmax(head, temperature), best, name
    kept = [row for row in rows if any(p >= t for p, t in zip(row, thresholds, strict=True))] or rows
    summed = [sum(column) / len(kept) for column in zip(*kept, strict=True)]
    best = max(range(len(summed)), key=summed.__getitem__)
    return softmax([math.log(p) for p in summed], temperature), best, "sum"


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
@pytest.mark.parametrize("level", [0.0, 0.3, 0.6, 0.95])
def test_choice_equals_a_loop_over_faces(level: float, temperature: float) -> None:
    generator = torch.Generator().manual_seed(int(10 * level))
    thresholds = (level + 0.1 * torch.rand(7, generator=generator)).clamp_max(1) if level else torch.zeros(7)
    logits = Logits(*(2 * torch.randn(3, 80, 7, generator=generator).double()))
    found = select(logits, thresholds.double(), temperature)
    decided = []
    for face in range(80):
        heads = [head[face].tolist() for head in logits]
        probabilities, expression, by = naive(heads, thresholds.double().tolist(), temperature)
        decided.append(by)
        assert found.probabilities[face].tolist() == pytest.approx(probabilities, abs=1e-9)
        assert found.expression[face].item() == expression
        assert found.confidence[face].item() == pytest.approx(probabilities[expression])
        assert DECIDERS[found.decided_by[face]] == by
    torch.testing.assert_close(found.probabilities.sum(1), torch.ones(80, dtype=torch.float64))
    if level == 0.6 and temperature == 1:
        assert set(decided) == set(DECIDERS)


def test_nothing_above_its_threshold_leaves_the_plain_mean() -> None:
    logits = Logits(*torch.randn(3, 4, 5))
    found = select(logits, torch.ones(5))
    assert found.decided_by.tolist() == [2, 2, 2, 2]
    torch.testing.assert_close(found.probabilities, torch.stack([head.softmax(1) for head in logits]).mean(0))


def test_thresholds_of_nought_let_the_fused_head_decide() -> None:
    logits = Logits(*torch.randn(3, 4, 5))
    found = select(logits, torch.zeros(5))
    assert found.decided_by.sum() == 0
    torch.testing.assert_close(found.probabilities, logits.fused.softmax(1))


@pytest.mark.parametrize("temperature", [0.3, 0.8, 1.5, 6.0])
def test_a_temperature_changes_how_sure_an_answer_is_and_nothing_else(temperature: float) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = Logits(*(2 * torch.randn(3, 300, 7, generator=generator)))
    thresholds = 0.4 + 0.3 * torch.rand(7, generator=generator)
    plain, found = select(logits, thresholds), select(logits, thresholds, temperature)
    assert set(plain.decided_by.tolist()) == {0, 1, 2}
    assert torch.equal(found.decided_by, plain.decided_by)
    assert torch.equal(found.expression, plain.expression)
    sharper = found.confidence > plain.confidence
    assert bool(sharper.all() if temperature < 1 else (~sharper).all())
    torch.testing.assert_close(found.probabilities.sum(1), torch.ones(300))


def test_certain_probabilities_stay_finite_under_a_temperature() -> None:
    far = torch.tensor([[400.0, 0.0, -400.0]])
    for temperature in (0.1, 10.0):
        found = select(Logits(far, far, far), torch.zeros(3), temperature)
        assert bool(found.probabilities.isfinite().all())
        assert found.expression.item() == 0


def test_a_confidence_just_at_the_threshold_counts() -> None:
    even = torch.zeros(1, 4, dtype=torch.float64)
    assert select(Logits(even, even, even), torch.full((4,), 0.25, dtype=torch.float64)).decided_by.item() == 0


def test_heads_see_the_sum_the_global_and_the_local_features() -> None:
    torch.manual_seed(0)
    heads = SemanticModule(6, 4)
    g, f = torch.randn(3, 6), torch.randn(3, 6)
    found = heads(g, f)
    for logits, layer, seen in zip(found, (heads.fused, heads.of_global, heads.of_local), (g + f, g, f), strict=True):
        torch.testing.assert_close(logits, seen @ layer.weight.T + layer.bias)
    assert len({id(layer) for layer in (heads.fused, heads.of_global, heads.of_local)}) == 3


def test_the_second_view_is_the_mirror_image_left_to_right() -> None:
    seen: list[torch.Tensor] = []

    def network(faces: torch.Tensor) -> NetworkOutputs:
        seen.append(faces)
        logits = torch.zeros(len(faces), 3)
        features = torch.zeros(len(faces), 2)
        regions = torch.arange(len(faces)).reshape(-1, 1, 1)
        weights = torch.full((len(faces), 5), 0.2)
        return NetworkOutputs(features, features, Logits(logits, logits, logits), weights, regions)

    face = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None]
    assert both_ways(network, face).regions.tolist() == [[[0]]]
    assert seen[0].tolist() == [[[[1, 2], [3, 4]]], [[[2, 1], [4, 3]]]]
