"""A finished run's network, built again, says what its graph says; anything else is refused in one sentence."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dcdan.data.pack import Pack
from dcdan.errors import ModelError
from dcdan.recognition.recogniser import load
from dcdan.training.inference import chosen, look
from dcdan.training.rebuild import network_of


def test_it_answers_as_the_exported_graph(adapted: dict[str, Path], domains: tuple[Path, Path]) -> None:
    faces = Pack.open(domains[1], labelled=False).faces[:12]
    for name in ("source_only", "dcdan"):
        run = adapted[name]
        network, settings, classes = network_of(run)
        found = look(network, np.asarray(faces), np.arange(12), torch.device("cpu"), source=False, bf16=False)
        thresholds = torch.tensor(json.loads((run / "model.json").read_text())["thresholds"])
        expected = load(run, align="none").recognise_faces(faces)
        assert settings.method == name
        assert classes == load(run).classes
        np.testing.assert_allclose(chosen(found, thresholds).numpy(), expected.probabilities, atol=2e-4)


def test_what_is_no_run_is_refused(adapted: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"run\.json' cannot be read"):
        network_of(tmp_path)
    broken = tmp_path / "broken"
    shutil.copytree(adapted["source_only"], broken)
    weights = load_file(adapted["source_only"] / "model.safetensors")
    (broken / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="its checksum differs"):
        network_of(broken)
    info = json.loads((broken / "model.json").read_text())

    def sealed() -> None:
        info["files"]["model.safetensors"] = hashlib.sha256((broken / "model.safetensors").read_bytes()).hexdigest()
        (broken / "model.json").write_text(json.dumps(info))

    sealed()
    with pytest.raises(ModelError, match="no finished run"):
        network_of(broken)
    first = next(name for name, value in weights.items() if value.is_floating_point())
    save_file(weights | {first: torch.full_like(weights[first], torch.nan)}, broken / "model.safetensors")
    sealed()
    with pytest.raises(ModelError, match="no finite number"):
        network_of(broken)
