"""The calibration of a trained network: which faces and labels it takes, when it corrects, what it writes down."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dcdan.training.calibration as module
from dcdan.inference.model_card import Calibration, read_model_info
from dcdan.inference.session import Session
from dcdan.methods.base import Method, find_method
from dcdan.metrics.calibration import binned, fit_temperature, matched_temperature, tempered
from dcdan.models.deploy import Deployed
from dcdan.models.domain_norm import norms
from dcdan.models.network import Network
from dcdan.packs.pack import Pack
from dcdan.training.calibration import (
    FEWEST,
    Calibrated,
    calibrated,
    calibration_of,
    chosen_probabilities,
)
from dcdan.training.data import Source, Target, source_of, target_of
from dcdan.training.forward import predict_features
from dcdan.training.pretrained import network_of
from dcdan.training.run import train_run
from dcdan.training.settings import RunSettings
from tiny_training import quick, tiny


def answers(n: int = 400, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return overconfident probabilities and labels."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(n, classes))
    labels = np.array([rng.choice(classes, p=tempered(np.exp(row)[None], 1.0)[0]) for row in logits])
    powers = np.exp(2.0 * logits)
    return powers / powers.sum(1, keepdims=True), labels


def test_the_error_falls_and_no_answer_changes() -> None:
    p, labels = answers()
    found = calibrated(p, labels, 0.6)
    assert found.temperature == found.plain == pytest.approx(2.0, rel=0.2)
    assert found.before is not None
    assert found.after is not None
    assert found.after.error < 0.5 * found.before.error
    final = tempered(p, found.temperature)
    assert (final.argmax(1) == p.argmax(1)).all()
    kept = final.max(1) >= found.unsure_below
    assert (p.argmax(1) == labels)[kept].mean() >= 0.6
    assert found.conformal is not None
    covered = (final[np.arange(len(labels)), labels] >= found.conformal["0.9"]).mean()
    assert covered == pytest.approx(0.9, abs=0.01)


def test_target_faces_correct_the_temperature_and_no_answer() -> None:
    p, labels = answers()
    p = tempered(p, 2.0)
    flat = tempered(p, 1.4)
    found = calibrated(p, labels, 0.9, flat)
    wanted, predicted = matched_temperature(p, p.argmax(1) == labels, flat)
    assert (found.temperature, found.predicted) == (wanted, predicted)
    assert found.plain == fit_temperature(p, labels)
    assert "estimate" in found.corrected
    assert "estimate" in found.sentence()


def test_what_is_written_is_what_a_model_file_reads() -> None:
    found = calibrated(*answers(), 0.9)
    read = found.for_model("ferplus:FERPlus")
    assert (read.faces, read.on, read.corrected) == (400, "ferplus:FERPlus", "")
    assert found.conformal is not None
    assert all(read.conformal[level] <= value for level, value in found.conformal.items())
    metadata = json.loads(json.dumps(found.for_run(), allow_nan=False))
    assert sum(metadata["before"]["faces"]) == sum(metadata["after"]["faces"]) == 400
    assert None in metadata["after"]["accuracy"]
    nothing = Calibrated(faces=7)
    assert nothing.for_model("x") == Calibration(faces=7, on="x")
    assert "too few" in nothing.sentence()


@dataclass
class Trained:
    """What stays of a training."""

    settings: RunSettings
    source: Source
    target: Target
    method: Method
    device: torch.device


def trained(domains: tuple[Path, Path], method: str) -> tuple[Trained, Network]:
    """Return domains of drawn faces, a method, and its network, in which target statistics are not the source's."""
    packs = [Pack.open(path, labelled=labelled) for path, labelled in zip(domains, (True, False), strict=True)]
    source = source_of(packs[0], (), soft_votes=True)
    settings = tiny(method=method)
    torch.manual_seed(0)
    network = settings.build(len(source.classes)).eval()
    for layer in norms(network):
        layer.running_mean.add_(0.5)  # type: ignore[union-attr]
    kind = find_method(method)
    made = kind(settings.method_settings(), settings.network.width, source.counts)
    return Trained(settings, source, target_of(packs[1]), made, torch.device("cpu")), network


def test_few_held_out_faces_calibrate_nothing(domains: tuple[Path, Path]) -> None:
    state, network = trained(domains, "source_only")
    found = calibration_of(state, network, torch.zeros(len(state.source.classes)))
    assert 0 < found.faces < FEWEST == 100
    assert found == Calibrated(faces=found.faces)
    assert found.sentence() == f"not calibrated: {found.faces} held-out faces are too few, at least 100 are needed"


def test_mirrored_views_are_calibrated_as_they_are_answered(
    domains: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """T: a model that averages a face and its mirror image is calibrated on these averages."""
    monkeypatch.setattr(module, "FEWEST", 2)
    state, network = trained(domains, "source_only")
    thresholds = torch.full((len(state.source.classes),), 0.2)
    plain = calibration_of(state, network, thresholds)
    state.settings = tiny("mirror=true", method="source_only")
    mirrored = calibration_of(state, network, thresholds)
    rows = state.source.validation
    both = predict_features(network, state.source.faces, rows, state.device, source=True, bf16=False, mirror=True)
    p = chosen_probabilities(both, thresholds)
    assert mirrored.before is not None
    assert plain.before is not None
    np.testing.assert_allclose(mirrored.before.confidence, binned_of(p, state.source.hard[rows]), atol=1e-12)
    assert not np.array_equal(mirrored.before.confidence, plain.before.confidence, equal_nan=True)


def binned_of(p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean confidences of the bins of answers."""
    return binned(p.max(1), p.argmax(1) == labels).confidence


def test_no_temperature_lies_outside_its_limits() -> None:
    """D6. Answers that are all right ask for a temperature near 0 and would be called certain."""
    labels = np.arange(120) % 3
    right = np.full((120, 3), 0.3)
    right[np.arange(120), labels] = 0.4
    found = calibrated(right, labels, 0.9)
    assert found.temperature == found.plain == 0.5
    assert "the limit" in found.sentence()
    wrong = np.full((120, 3), 1e-4)
    wrong[np.arange(120), (labels + 1) % 3] = 1 - 2e-4
    assert calibrated(wrong, labels, 0.9).temperature == 3.0
    assert calibrated(right, labels, 0.9, wrong).temperature <= 3.0


def test_ninety_nine_held_out_faces_are_too_few() -> None:
    """D6."""
    assert FEWEST == 100
    assert Calibrated(faces=99).sentence() == "not calibrated: 99 held-out faces are too few, at least 100 are needed"


@pytest.mark.parametrize("method", ["source_only", "adabn"])
def test_a_mirrored_model_is_calibrated_on_mirrored_answers(
    domains: tuple[Path, Path], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T. Both domains are looked at as the exported model will: each face with its mirror image."""
    state, network = trained(domains, method)
    state.settings = tiny("mirror=true", method=method)
    monkeypatch.setattr(module, "FEWEST", 2)
    seen: list[bool] = []

    def watched(*arguments: Any) -> Any:
        seen.append(arguments[6])
        return predict_features(*arguments)

    monkeypatch.setattr(module, "predict_features", watched)
    calibration_of(state, network, torch.zeros(len(state.source.classes)))
    assert seen == [True] * (1 if method == "source_only" else 2)


@pytest.mark.parametrize("method", ["source_only", "adabn", "dann"])
def test_held_out_faces_are_seen_as_source_faces(
    domains: tuple[Path, Path], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FEWEST", 2)
    state, network = trained(domains, method)
    thresholds = torch.full((len(state.source.classes),), 0.2)
    found = calibration_of(state, network, thresholds)
    rows = state.source.validation
    seen = predict_features(network, state.source.faces, rows, state.device, source=True, bf16=False)
    p = chosen_probabilities(seen, thresholds)
    assert found.plain == fit_temperature(p, state.source.hard[rows], minimum_faces=2)
    assert (found.corrected != "") == (method != "source_only")
    state.settings = tiny("calibrate_for=source", method=method)
    assert calibration_of(state, network, thresholds).temperature == found.plain
    if method != "source_only":
        at = predict_features(network, state.target.faces, state.target.train, state.device, source=False, bf16=False)
        on_target = chosen_probabilities(at, thresholds)
        assert (found.temperature, found.predicted) == matched_temperature(
            p, p.argmax(1) == state.source.hard[rows], on_target, minimum_faces=2
        )


def test_a_run_writes_its_temperature_into_graph_and_description(
    domains: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FEWEST", 2)
    source, target = map(str, domains)
    run = train_run(source, target, tmp_path / "run", quick(method="adabn"), quiet=True)
    info = read_model_info(run)
    metadata = json.loads((run / "run.json").read_text())["calibration"]
    assert info.temperature == metadata["temperature"] != 1.0
    assert info.calibration.corrected == metadata["corrected"] != ""
    assert info.calibration.on == json.loads((run / "run.json").read_text())["source"]["spec"]
    assert set(info.calibration.conformal) == {"0.8", "0.9", "0.95"}
    network, _, _ = network_of(run)
    faces = np.array(Pack.open(domains[1], labelled=False).faces[:7])
    outputs = Session(run / "model.onnx", info, 1).run(faces)
    with torch.no_grad():
        thresholds = torch.tensor(info.thresholds)
        plain = Deployed(network, thresholds)(torch.from_numpy(faces))
        wanted = Deployed(network, thresholds, info.temperature)(torch.from_numpy(faces))
    np.testing.assert_allclose(outputs.probabilities, wanted[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(tempered(plain[0].numpy(), info.temperature), wanted[0].numpy(), atol=1e-5)
    assert np.array_equal(outputs.expression, plain[1].numpy())
    assert np.array_equal(outputs.decided_by, plain[3].numpy())
