"""Models that come with the package, here in a folder of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcdan.errors import ModelError
from dcdan.recognition import bundled
from dcdan.recognition.bundled import bundled_models, model_folder
from dcdan.recognition.recogniser import load
from tiny_model import coloured, write_run


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with one model, `colours`."""
    root = tmp_path / "weights"
    write_run(root / "colours")
    (root / "notes").mkdir()
    monkeypatch.setattr(bundled, "WEIGHTS", root)
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
    monkeypatch.setattr(bundled, "WEIGHTS", tmp_path / "nix")
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
