"""What a model can be given as, and that the models of the package are whole."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from dcdan.core.errors import MissingExtraError, ModelError, UsageError
from dcdan.inference import resolver
from dcdan.inference.model_card import GRAPHS, read_model_info, verified
from dcdan.inference.recogniser import load
from dcdan.inference.resolver import ResolvedModel, bundled_models, model_folder, resolve_model
from tiny_model import coloured, write_run


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with one model, `colours`."""
    root = tmp_path / "weights"
    write_run(root / "colours")
    (root / "notes").mkdir()
    monkeypatch.setattr(resolver, "WEIGHTS", root)
    return root


def test_the_only_model_is_the_default(weights: Path) -> None:
    assert bundled_models() == ["colours"]
    assert model_folder() == weights / "colours"
    (result,) = load(threads=1).recognise(coloured(2))
    assert result.expression == load(weights / "colours", threads=1).recognise(coloured(2))[0].expression


def test_no_folder_takes_the_place_of_a_name(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P6, U8: a name of the package is that model; a folder of this name is written with ``./``."""
    monkeypatch.chdir(tmp_path)
    assert model_folder("colours") == weights / "colours"
    write_run(tmp_path / "colours")
    assert model_folder("colours") == weights / "colours"
    assert model_folder("./colours") == model_folder(Path("colours")) == Path("colours")
    assert model_folder(str(tmp_path / "colours")) == tmp_path / "colours"


def test_a_graph_of_a_run_tells_its_precision(run: Path) -> None:
    assert resolve_model(run / "model.onnx") == ResolvedModel(run, "fp32")
    shutil.copyfile(run / "model.onnx", run / "model-int8.onnx")
    assert resolve_model(str(run / "model-int8.onnx")) == ResolvedModel(run, "int8")
    with pytest.raises(UsageError, match="is the int8 graph and precision is fp32"):
        load(run / "model-int8.onnx", precision="fp32")
    shutil.copyfile(run / "model.onnx", run / "other.onnx")
    for path, told in ((run / "other.onnx", "is not a graph of a run"), (run / "nix.onnx", "There is no graph at")):
        with pytest.raises(ModelError, match=told):
            resolve_model(path)


class Hub:
    """In place of ``huggingface_hub``: a model of one name, and a list of what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []

    def snapshot_download(self, name: str, *, revision: str | None, local_dir: Path, allow_patterns: list[str]) -> None:
        self.asked.append((name, revision))
        assert "*.onnx" in allow_patterns
        if name == "me/nix":
            raise OSError("404\nNot found")
        write_run(local_dir)


def test_a_model_of_the_hub_is_downloaded_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub()
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    monkeypatch.setenv("DCDAN_CACHE", str(tmp_path))
    monkeypatch.delenv("DCDAN_OFFLINE", raising=False)
    folder = model_folder("hf-hub:me/colours@v1")
    assert folder == tmp_path / "models" / "me--colours@v1"
    assert hub.asked == [("me/colours", "v1")]
    (result,) = load("hf-hub:me/colours@v1", threads=1).recognise(coloured(2))
    assert result.recognised
    with pytest.raises(ModelError, match="cannot be downloaded: 404"):
        model_folder("hf-hub:me/nix")
    monkeypatch.setenv("DCDAN_OFFLINE", "1")
    hub.asked.clear()
    assert model_folder("hf-hub:me/colours@v1") == folder
    with pytest.raises(ModelError, match="never downloaded and the network is forbidden"):
        model_folder("hf-hub:me/other")
    assert hub.asked == []
    for name in ("hf-hub:colours", "hf-hub:../../etc", "hf-hub:a/b/c"):
        with pytest.raises(UsageError, match="names no model of the hub"):
            model_folder(name)


def test_without_the_hubs_client_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match="pip install huggingface-hub"):
        model_folder("hf-hub:me/colours")


def test_of_several_models_a_file_says_which(weights: Path) -> None:
    write_run(weights / "shapes")
    with pytest.raises(ModelError, match="Say which of the package's models to use: colours, shapes"):
        model_folder()
    (weights / "default").write_text("shapes\n")
    assert model_folder() == weights / "shapes"


def test_another_name_is_told_with_the_nearest(weights: Path) -> None:
    with pytest.raises(ModelError, match=r"no model at 'color'.*\(colours\).* Did you mean 'colours'\?"):
        load("color")
    with pytest.raises(ModelError, match="no model at"):
        load("../weights/nix")


def test_a_package_without_a_model_says_so_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "WEIGHTS", tmp_path / "nix")
    assert bundled_models() == []
    with pytest.raises(ModelError, match="comes without a trained model: give the run folder") as caught:
        load()
    assert "\n" not in str(caught.value)


def test_the_models_in_the_package_are_whole_and_small() -> None:
    for name in bundled_models():
        folder = model_folder(name)
        assert load(name, threads=1).classes
        assert (folder / "README.md").is_file()
        assert all(path.stat().st_size <= 15_000_000 for path in folder.iterdir())


@pytest.mark.parametrize("name", bundled_models())
def test_a_model_of_the_package_is_whole(name: str) -> None:
    folder = model_folder(name)
    info = read_model_info(folder)
    assert info.name == name
    assert {"model.safetensors", *GRAPHS.values()} <= set(info.files)
    for file in info.files:
        assert verified(folder, info, file).stat().st_size <= 15 * 2**20
    assert (folder / "README.md").read_text().startswith(f"# {name}\n")
    faces = np.random.default_rng(0).integers(0, 256, (3, info.face.size, info.face.size, 3), dtype=np.uint8)
    full, small = (load(name, precision=precision).recognise_faces(faces) for precision in GRAPHS)
    np.testing.assert_allclose(full.probabilities.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(full.probabilities, small.probabilities, atol=0.25)


def test_there_is_a_model_to_begin_with() -> None:
    assert load().info.calibration.faces > 1000
