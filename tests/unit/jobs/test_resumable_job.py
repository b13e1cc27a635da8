"""A job whose output is whole counts as done, at whatever step of its cleaning up it was killed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from dcdan.core.errors import OutputError
from dcdan.jobs.resumable_job import ResumableJob, done_file, job_folder, named_before

STATE = {"paths": ["a"], "size": 3}


def finish(out: Path, state: dict[str, object] = STATE) -> None:
    job = ResumableJob(out, state)
    rows = job.pack / "rows"
    rows.write_text("whole")
    job.name(rows, {"inputs": 7})


def leftovers(out: Path) -> list[str]:
    return sorted(path.name for path in out.parent.iterdir() if path != out)


class Killer:
    """Stands in for the system's calls that remove something, and fails at the n-th of them."""

    def __init__(self, at: int, error: BaseException) -> None:
        self.at, self.error, self.calls = at, error, 0

    def wrap(self, real: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object, **named: object) -> None:
            self.calls += 1
            if self.calls == self.at:
                raise self.error
            real(*arguments, **named)

        return call


def removals(out: Path) -> int:
    """Return how many calls remove something when a job ends."""
    counter = Killer(-1, KeyboardInterrupt())
    with pytest.MonkeyPatch.context() as patch:
        for name in ("unlink", "rmdir"):
            patch.setattr(os, name, counter.wrap(getattr(os, name)))
        finish(out)
    return counter.calls


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(5, "Input/output error")])
def test_a_kill_or_an_error_at_any_removal_leaves_a_job_that_is_done(tmp_path: Path, error: BaseException) -> None:
    """P4: also at the last unlink and the last rmdir of `X.partial/`; the next run clears the rest and exits with 0."""
    count = removals(tmp_path / "probe")
    assert count >= 4
    for at in range(1, count + 1):
        out = tmp_path / f"{at}" / "x.csv"
        out.parent.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            killer = Killer(at, error)
            for name in ("unlink", "rmdir"):
                patch.setattr(os, name, killer.wrap(getattr(os, name)))
            with suppress(KeyboardInterrupt, OSError):
                finish(out)
        if not out.exists():
            continue
        if leftovers(out):
            assert named_before(out, STATE) == {"inputs": 7}, at
        assert leftovers(out) == [], at
        assert out.read_text() == "whole"
        assert named_before(out, STATE) is None


def test_the_record_of_another_job_is_no_excuse(tmp_path: Path) -> None:
    out = tmp_path / "x.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        finish(out)
    assert done_file(out).exists()
    assert named_before(out, {"paths": ["b"]}) is None
    other = tmp_path / "other"
    other.write_text("whole")
    other.replace(out)
    assert named_before(out, STATE) is None
    finish(out, {"paths": ["b"]})
    assert leftovers(out) == []


def test_a_folder_of_somebody_else_is_not_removed(tmp_path: Path) -> None:
    job_folder(tmp_path / "x").mkdir()
    (job_folder(tmp_path / "x") / "mine.txt").touch()
    with pytest.raises(OutputError, match="is in the way"):
        ResumableJob(tmp_path / "x", STATE)
    assert (job_folder(tmp_path / "x") / "mine.txt").exists()


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    job = ResumableJob(tmp_path / "x", STATE)
    with pytest.raises(OutputError, match="Another process is building"):
        ResumableJob(tmp_path / "x", STATE)
    job.discard()
    assert leftovers(tmp_path / "x") == []
