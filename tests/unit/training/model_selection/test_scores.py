"""Label-free scores against naive computations, their order on models that are plainly better or worse, the guard."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from dcdan.training.model_selection.kept_epochs import load_epoch, read_kept_epochs, save_epoch
from dcdan.training.model_selection.scores import (
    SCORES,
    EpochScores,
    bnm_score,
    density_weights,
    dev_risk,
    entropy_score,
    information_score,
    select_epoch,
    snd_score,
)
from dcdan.training.pretrained import network_of
from tiny_training import quick


def some(n: int = 40, k: int = 5, sharp: float = 2.0, seed: int = 0) -> torch.Tensor:
    return (sharp * torch.randn(n, k, generator=torch.Generator().manual_seed(seed))).softmax(1)


def test_entropy_and_information_equal_loops() -> None:
    p = some().double()
    rows = [-sum(float(x) * math.log(float(x)) for x in row) for row in p]
    mean = [sum(float(row[c]) for row in p) / len(p) for c in range(p.shape[1])]
    assert entropy_score(p) == pytest.approx(-sum(rows) / len(rows))
    assert information_score(p) == pytest.approx(-sum(m * math.log(m) for m in mean) - sum(rows) / len(rows))


def test_bnm_is_the_sum_of_singular_values_and_1_for_sure_and_even_predictions() -> None:
    p = some()
    expected = np.linalg.svd(p.numpy().astype(float), compute_uv=False).sum() / math.sqrt(len(p) * p.shape[1])
    assert bnm_score(p) == pytest.approx(expected)
    assert bnm_score(torch.eye(5).repeat(8, 1)) == pytest.approx(1.0)
    assert bnm_score(torch.full((40, 5), 0.2)) < 0.5


def test_snd_equals_a_loop() -> None:
    p = some(n=12).double()
    total = 0.0
    for i in range(len(p)):
        logits = [float(p[i] @ p[j] / (p[i].norm() * p[j].norm())) / 0.05 for j in range(len(p)) if j != i]
        top = max(logits)
        share = [math.exp(x - top) for x in logits]
        share = [x / sum(share) for x in share]
        total += -sum(x * math.log(x) for x in share if x > 0)
    assert snd_score(p) == pytest.approx(total / len(p))


def test_snd_prefers_dense_neighbourhoods() -> None:
    tight = torch.eye(4).repeat(10, 1) * 0.96 + 0.01
    assert snd_score(tight) > snd_score(some(40, 4, sharp=1.5))


def test_dev_equals_the_released_formula_of_its_authors() -> None:
    generator = torch.Generator().manual_seed(1)
    loss, weight = torch.rand(50, generator=generator), torch.rand(50, generator=generator) + 0.5
    weighted = (loss * weight).numpy().astype(float)
    w = weight.numpy().astype(float)
    covariance = np.cov(np.stack([weighted, w], 1), rowvar=False)[0][1]
    eta = -covariance / np.var(w, ddof=1)
    assert dev_risk(loss, weight) == pytest.approx(weighted.mean() + eta * w.mean() - eta, rel=1e-5)
    assert dev_risk(loss, torch.ones(50)) == pytest.approx(float(loss.mean()))


def test_density_weights_follow_the_true_ratio() -> None:
    generator = torch.Generator().manual_seed(2)
    train, validation = torch.randn(3000, 1, generator=generator), torch.randn(200, 1, generator=generator)
    target = torch.randn(3000, 1, generator=generator) + 1
    found = density_weights(train, validation, target).log()
    # Of two unit normals a step apart the log-ratio is x - 1/2.
    truth = validation[:, 0].double() - 0.5
    assert torch.corrcoef(torch.stack([found, truth]))[0, 1] > 0.999
    assert float((found - truth).abs().mean()) < 0.15


@pytest.mark.parametrize("scale", [0.001, 1.0, 1000.0])
def test_density_weights_do_not_depend_on_sizes_nor_on_units(scale: float) -> None:
    """T. 4,000 source faces against 500 target faces, in any unit: the log-ratio of the same normals is x - 1/2."""
    generator = torch.Generator().manual_seed(3)
    train, validation = torch.randn(4000, 1, generator=generator), torch.randn(200, 1, generator=generator)
    target = torch.randn(500, 1, generator=generator) + 1
    found = density_weights(scale * train, scale * validation, scale * target).log()
    assert float((found - (validation[:, 0].double() - 0.5)).abs().mean()) < 0.2


def candidates() -> list[EpochScores]:
    plain = dict.fromkeys(SCORES, 0.0)
    return [
        EpochScores(1, {**plain, "entropy": -0.5, "bnm": 0.7}, 0.4),
        EpochScores(2, {**plain, "entropy": -0.3, "bnm": 0.8}, 0.5),
        EpochScores(3, {**plain, "entropy": -0.01, "bnm": 0.4, "dev": math.nan}, 0.97),
        EpochScores(4, {**plain, "entropy": -0.4, "bnm": 0.6}, 0.5),
    ]


def test_the_pick_is_the_best_that_has_not_collapsed_and_of_equals_the_latest() -> None:
    assert select_epoch(candidates(), "entropy").epoch == 2
    assert select_epoch(candidates(), "bnm").epoch == 2
    assert select_epoch(candidates(), "dev").epoch == 4
    assert select_epoch([c._replace(largest_share=0.99) for c in candidates()], "entropy").epoch == 4


def test_a_run_writes_out_the_epoch_that_the_score_picks(domains: tuple[Path, Path], tmp_path: Path) -> None:
    import dcdan

    settings = quick("choose=information", "keep_epochs=true", "adaptation.epochs=3", method="dcdan")
    dcdan.adapt(*domains, tmp_path / "run", settings=settings)
    choice = json.loads((tmp_path / "run" / "run.json").read_text())["choice"]
    candidates = read_kept_epochs(tmp_path / "run")
    assert [c.epoch for c in candidates] == [0, 1, 2, 3]
    assert all(set(c.scores) == set(SCORES) for c in candidates)
    assert choice["by"] == "information"
    assert choice["epoch"] == select_epoch(candidates, "information").epoch
    network, _, _ = network_of(tmp_path / "run")
    written = {name: value.clone() for name, value in network.state_dict().items()}
    thresholds = load_epoch(tmp_path / "run", choice["epoch"], network)
    assert all(torch.equal(value, written[name]) for name, value in network.state_dict().items())
    said = json.loads((tmp_path / "run" / "model.json").read_text())["thresholds"]
    np.testing.assert_allclose(said, thresholds.numpy(), atol=1e-6)


def test_scores_that_are_no_numbers_survive_the_file(tmp_path: Path, adapted: dict[str, Path]) -> None:
    network, _, classes = network_of(adapted["dcdan"])
    candidate = EpochScores(4, {**dict.fromkeys(SCORES, 0.25), "dev": math.nan}, 0.5)
    save_epoch(tmp_path, candidate, network, torch.full((len(classes),), 0.3))
    (found,) = read_kept_epochs(tmp_path)
    assert found.epoch == 4
    assert math.isnan(found.scores["dev"])
    assert found.scores["bnm"] == 0.25


def test_density_weights_count_the_sizes_and_the_scale_of_features() -> None:
    """T: five times as many source faces, and features in other units, leave the ratio as it is."""
    generator = torch.Generator().manual_seed(3)
    train, validation = torch.randn(5000, 2, generator=generator), torch.randn(300, 2, generator=generator)
    target = torch.randn(1000, 2, generator=generator) + torch.tensor([1.0, 0.0])
    found = density_weights(train, validation, target)
    truth = (validation[:, 0].double() - 0.5).exp()
    assert float((found.log() - truth.log()).abs().mean()) < 0.2
    assert float(found.mean()) == pytest.approx(1.0, abs=0.25)
    units = torch.tensor([1000.0, 0.001])
    scaled = density_weights(train * units, validation * units, target * units)
    assert float((scaled.log() - found.log()).abs().max()) < 0.02


def test_snd_does_not_depend_on_the_length_of_rows_but_on_the_temperature() -> None:
    p = some(n=12).double()
    assert snd_score(3 * p) == pytest.approx(snd_score(p))
    assert snd_score(p, temperature=1.0) > snd_score(p, temperature=0.05)
    assert snd_score(p, temperature=1e6) == pytest.approx(math.log(11), abs=1e-4)


def test_dev_falls_back_to_the_plain_mean_where_weights_do_not_vary() -> None:
    loss = torch.tensor([1.0, 3.0])
    assert dev_risk(loss, torch.full((2,), 2.0)) == pytest.approx(4.0)


def test_a_share_on_the_edge_has_not_collapsed() -> None:
    scores = dict.fromkeys(SCORES, 0.0)
    assert not EpochScores(0, scores, 0.95).collapsed
    assert EpochScores(0, scores, 0.951).collapsed
    assert select_epoch([EpochScores(0, {"bnm": 0.5}, 0.2), EpochScores(1, {}, 0.2)], "bnm").epoch == 0
