"""Only models and folders that were given can be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcdan.app.context import AppContext
from dcdan.core.errors import UsageError


def test_only_given_folders(tmp_path: Path) -> None:
    given = tmp_path / "Fötos 1"
    (given / "anna").mkdir(parents=True)
    (given / ".hidden").mkdir()
    (tmp_path / "other").mkdir()
    (given / "way out").symlink_to(tmp_path / "other")
    context = AppContext(tmp_path / "runs", target=str(given))
    assert context.check_target(str(given)) == str(given)
    assert context.check_target(str(given / "anna")) == str(given / "anna")
    assert str(given / "anna") in context.targets()
    assert str(given / ".hidden") not in context.targets()
    for outside in (tmp_path / "other", given / ".." / "other", given / "way out", tmp_path, Path("/etc")):
        with pytest.raises(UsageError, match="outside the folder"):
            context.check_target(str(outside))
    with pytest.raises(UsageError, match="no folder"):
        context.check_target(str(given / "gone"))
    with pytest.raises(UsageError, match="No folder was given"):
        AppContext(tmp_path / "runs").check_target(str(given))


def test_a_given_folder_that_has_vanished(tmp_path: Path) -> None:
    given = tmp_path / "photos"
    given.mkdir()
    context = AppContext(tmp_path / "runs", target=str(given))
    given.rmdir()
    with pytest.raises(UsageError, match="has vanished"):
        context.check_target(str(given))


def test_only_known_models(tmp_path: Path, run: Path) -> None:
    made = tmp_path / "runs" / "mine"
    made.mkdir(parents=True)
    (made / "model.json").write_bytes((run / "model.json").read_bytes())
    (made / "model.onnx").write_bytes((run / "model.onnx").read_bytes())
    context = AppContext(tmp_path / "runs", str(run), threads=1)
    assert {str(run), "", str(made)} <= set(context.models())
    assert context.recogniser() is context.recogniser(str(run))
    first = context.recogniser(str(made))
    context.forget(made)
    assert context.recogniser(str(made)) is not first
    with pytest.raises(UsageError, match="none of the models"):
        context.recogniser(str(tmp_path))
