"""Whose a run folder is: told by what its settings decide, not by their text, and not by what a killed process left."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w

import dcdan
from dcdan.core.errors import OutputError, UsageError
from dcdan.core.locks import LOCK, folder_lock
from dcdan.training.run_folder import claim_folder, rollback_on_error
from tiny_training import tiny

DATA = {"source": "studio", "target": "street", "start": ""}


def text_of(*assignments: str) -> str:
    return tomli_w.dumps({"schema": 1, "data": DATA, **tiny(*assignments).whole()})


def begun(out: Path, text: str) -> Path:
    (out / "checkpoints").mkdir(parents=True)
    (out / "config.toml").write_text(text)
    return out


def test_a_run_of_before_a_setting_came_is_gone_on_with(tmp_path: Path) -> None:
    older = text_of().replace("schema = 1\n", "").replace("keep_epochs = false\n", "").replace('start = ""\n', "")
    assert len(older.splitlines()) == len(text_of().splitlines()) - 3
    assert not claim_folder(begun(tmp_path / "run", older), text_of())
    with pytest.raises(OutputError, match="holds something else"):
        claim_folder(tmp_path / "run", text_of("keep_epochs=true"))
    with pytest.raises(OutputError, match="holds something else"):
        claim_folder(begun(tmp_path / "other", older.replace("studio", "elsewhere")), text_of())


def test_settings_that_this_version_does_not_know_are_a_sentence(tmp_path: Path) -> None:
    for number, (old, new, told) in enumerate(
        [
            ("keep_epochs", "keep_everything", "no setting 'keep_everything'"),
            ("schema = 1", "schema = 2", "a newer version wrote it"),
            ("keep_epochs", "[", "cannot be read"),
        ]
    ):
        out = begun(tmp_path / str(number), text_of().replace(old, new))
        with pytest.raises(UsageError, match=told):
            claim_folder(out, text_of())


def test_what_a_killed_process_left_half_written_is_nothing(tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / ".config.toml.999999999.partial").write_text("sch")
    (out / LOCK).touch()
    assert not claim_folder(out, text_of())
    assert [path.name for path in out.iterdir()] == [LOCK]
    with pytest.raises(KeyError), rollback_on_error(out, "config.toml"):
        raise KeyError((out / "config.toml").touch())
    assert [path.name for path in out.iterdir()] == [LOCK]
    (out / ".mine.partial").touch()
    with pytest.raises(OutputError, match="holds something else"):
        claim_folder(out, text_of())


def test_two_runs_in_one_folder_are_refused(domains: tuple[Path, Path], tmp_path: Path) -> None:
    with folder_lock(tmp_path / "run"), pytest.raises(OutputError, match="Another process is at work in"):
        dcdan.adapt(*domains, tmp_path / "run", settings=tiny())
    assert not (tmp_path / "run").exists()
