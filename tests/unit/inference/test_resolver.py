"""Models that come with the package: how they are found, in a folder of the tests, and that its own are whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dcdan.core.errors import ModelError
from dcdan.inference import resolver
from dcdan.inference.resolver import bundled_models, model_folder
from dcdan.inference.model_card import GRAPHS, read_model_info, verified
from dcdan.inference.recogniser import load
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


def test_a_name_is_found_and_a_folder_goes_first(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert model_folder("colours") == weights / "colours"
    write_run(tmp_path / "colours")
    assert model_folder("colours") == Path("colours")
    assert model_folder(tmp_path / "colours") == tmp_path / "colours"


def test_of_several_models_a_file_says_which(weights: Path) -> None:
    write_run(weights / "shapes")
    with pytest.raises(ModelError, match="Say which of the package's models to use: colours, shapes"):
        model_folder()
    (weights / "default").write_text("shapes\n")
    assert model_folder() == weights / "shapes"


def test_another_name_is_told_with_the_nearest(weights: Path) -> None:
    with pytest.raises(ModelError, match=r"no model at 'color'.*\(colours\)\. Did you mean 'colours'\?"):
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
