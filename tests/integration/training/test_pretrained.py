"""A trunk starts from the weights that ``pretrained`` names; what it cannot start from is refused in one sentence.

A finished run's network, built again, says what its graph says; anything else is refused in one sentence.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dcdan.core.atomic_io import sha256
from dcdan.core.errors import DcdanError, ModelError, UsageError
from dcdan.inference.model_card import read_model_info, write_model_info
from dcdan.inference.recogniser import load
from dcdan.inference.resolver import WEIGHTS, bundled_models
from dcdan.models.domain_norm import sources_first, with_domains
from dcdan.models.trunk import Trunk
from dcdan.packs.pack import Pack
from dcdan.training import run
from dcdan.training.forward import predict_features, selected_probabilities
from dcdan.training.pretrained import folder_of, network_of, start_trunk
from dcdan.training.run import train_run
from tiny_training import TRUNK, quick, records

BUNDLED = "small"


def test_models_of_the_package_are_found_by_name_and_no_folder_takes_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [folder_of(name) for name in bundled_models()] == [WEIGHTS / name for name in bundled_models()]
    monkeypatch.chdir(tmp_path)
    (tmp_path / BUNDLED).mkdir()
    assert folder_of(BUNDLED) == WEIGHTS / BUNDLED
    assert folder_of(f"./{BUNDLED}") == Path(BUNDLED)


@pytest.mark.parametrize("split", [False, True])
def test_the_trunk_of_the_packages_model_arrives_whole(split: bool) -> None:
    trunk = Trunk("mobilenetv2_100").eval()
    if split:
        with_domains(trunk)
    assert start_trunk(trunk, BUNDLED)
    faces = torch.rand(2, 3, 64, 64)
    for sources in (0, -1):
        with torch.no_grad(), sources_first(trunk, sources):
            for found, wanted in zip(trunk(faces), network_of(WEIGHTS / BUNDLED)[0].trunk(faces), strict=True):
                torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("split", [False, True])
def test_a_run_with_domains_gives_its_trunk(adapted: dict[str, Path], split: bool) -> None:
    theirs = network_of(adapted["dcdan"])[0].trunk
    trunk = Trunk(TRUNK).eval()
    if split:
        with_domains(trunk)
    assert start_trunk(trunk, str(adapted["dcdan"]))
    faces = torch.rand(2, 3, 32, 32)
    for sources in (0, -1):
        with torch.no_grad():
            with sources_first(trunk, sources):
                found = trunk(faces)[1]
            with sources_first(theirs, sources if split else 0):
                wanted = theirs(faces)[1]
        torch.testing.assert_close(found, wanted)


def test_at_random_nothing_changes() -> None:
    trunk = Trunk(TRUNK)
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    assert not start_trunk(trunk, "no")
    assert all(torch.equal(value, before[name]) for name, value in trunk.state_dict().items())


@pytest.mark.parametrize(("name", "told"), [("mobilenetv2_100", True), ("test_byobnet", False)])
def test_without_imagenet_the_packages_trunk_is_offered(
    name: str, told: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dcdan.training.pretrained.load_imagenet", lambda _trunk, required: False)
    with caplog.at_level("WARNING", logger="dcdan"):
        assert not start_trunk(Trunk(name), "auto")
    assert (f"--set pretrained={BUNDLED}" in caplog.text) is told


def test_what_it_cannot_start_from_is_refused(tmp_path: Path) -> None:
    cases: list[tuple[str, type[DcdanError], str]] = [
        (BUNDLED, UsageError, f"has the trunk mobilenetv2_100 and this run's is {TRUNK}"),
        ("smal", UsageError, f"Did you mean '{BUNDLED}'"),
        ("atuo", UsageError, "Did you mean 'auto'"),
        (str(tmp_path), ModelError, "cannot be read"),
    ]
    for wanted, kind, sentence in cases:
        with pytest.raises(kind, match=sentence):
            start_trunk(Trunk(TRUNK), wanted)


def test_a_run_from_its_source_stage_is_as_gentle(
    adapted: dict[str, Path], domains: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a trunk was pre-trained decides the rates of the adaptation too, also of one that takes a stage over."""
    monkeypatch.setattr(run, "export_onnx", lambda _model, _size, path: path.write_bytes(b"no graph"))
    monkeypatch.setattr("dcdan.training.loop.LOGGED_EVERY", 2)
    # A training of seconds may give one class nearly all faces; here only its rates matter.
    monkeypatch.setattr("dcdan.training.loop.check_prediction_collapse", lambda *_: None)
    settings = quick(f"pretrained={adapted['dcdan']}").model_copy(
        update={"adaptation": quick("adaptation.lr=0.01").adaptation}
    )
    whole, taken = tmp_path / "whole", tmp_path / "taken"
    train_run(*map(str, domains), whole, settings, quiet=True)
    train_run(*map(str, domains), taken, settings, start=whole, quiet=True)
    rates = [[r["lr"] for r in records(folder) if r["kind"] == "adaptation"] for folder in (whole, taken)]
    assert rates[0] == rates[1]
    cells = [(folder / "model.safetensors").read_bytes() for folder in (whole, taken)]
    assert cells[0] == cells[1]


def test_it_answers_as_the_exported_graph(adapted: dict[str, Path], domains: tuple[Path, Path]) -> None:
    faces = Pack.open(domains[1], labelled=False).faces[:12]
    for name in ("source_only", "dcdan"):
        run = adapted[name]
        network, settings, classes = network_of(run)
        found = predict_features(
            network, np.asarray(faces), np.arange(12), torch.device("cpu"), source=False, bf16=False
        )
        thresholds = torch.tensor(json.loads((run / "model.json").read_text())["thresholds"])
        expected = load(run, align="none").recognise_faces(faces)
        assert settings.method == name
        assert classes == load(run).classes
        np.testing.assert_allclose(selected_probabilities(found, thresholds).numpy(), expected.probabilities, atol=2e-4)


def test_what_is_no_run_is_refused(adapted: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"run\.json' cannot be read"):
        network_of(tmp_path)
    broken = tmp_path / "broken"
    shutil.copytree(adapted["source_only"], broken)
    weights = load_file(adapted["source_only"] / "model.safetensors")
    (broken / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="its checksum differs"):
        network_of(broken)
    info = read_model_info(broken)

    def sealed() -> None:
        files = {**info.files, "model.safetensors": sha256(broken / "model.safetensors")}
        write_model_info(broken, info.model_copy(update={"files": files}))

    sealed()
    with pytest.raises(ModelError, match="no finished run"):
        network_of(broken)
    first = next(name for name, value in weights.items() if value.is_floating_point())
    save_file(weights | {first: torch.full_like(weights[first], torch.nan)}, broken / "model.safetensors")
    sealed()
    with pytest.raises(ModelError, match="no finite number"):
        network_of(broken)
