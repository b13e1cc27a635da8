"""One process at a time in a folder, and nothing left of the lock."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dcdan.cli.main import run as dcdan
from dcdan.core.errors import OutputError
from dcdan.core.locks import LOCK, check_folder, folder_lock, try_lock

HOLD = "import sys, time; from pathlib import Path; from dcdan.core.locks import folder_lock\n"
HOLD += "with folder_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"


def test_a_second_one_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    with folder_lock(folder):
        with pytest.raises(OutputError, match="Another process is at work in"), folder_lock(folder):
            pytest.fail("held twice")
        (folder / "kept.txt").touch()
    assert [path.name for path in folder.iterdir()] == ["kept.txt"]
    with folder_lock(folder):
        pass
    with folder_lock(tmp_path / "empty"):
        pass
    assert not (tmp_path / "empty").exists()


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(OutputError, match="Another process"), folder_lock(tmp_path):
            pytest.fail("held twice")
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / LOCK).exists()
    with folder_lock(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_lock_file_that_was_removed_meanwhile_is_no_lock(tmp_path: Path) -> None:
    with (tmp_path / LOCK).open("a+b") as stale:
        assert try_lock(stale)
        (tmp_path / LOCK).unlink()
        with folder_lock(tmp_path), pytest.raises(OutputError), folder_lock(tmp_path):
            pytest.fail("held twice")


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="choose another --out"), folder_lock(tmp_path / "file"):
        pytest.fail("held a file")


def test_a_check_of_a_folder_leaves_it_as_it_was(tmp_path: Path) -> None:
    check_folder(tmp_path / "new")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="choose another --out"):
        check_folder(tmp_path / "file" / "run")
    with folder_lock(tmp_path), pytest.raises(OutputError, match="Another process"):
        check_folder(tmp_path)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody can write to")
def test_adapt_tells_of_a_folder_that_cannot_be_written_before_it_imports_torch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """S14: it took 30 seconds."""
    monkeypatch.setitem(sys.modules, "dcdan.api", None)
    monkeypatch.setitem(sys.modules, "dcdan.training.settings", None)
    assert dcdan(["adapt", "-s", "one", "-t", "other", "--out", "/proc/run"]) == 6
    told = capsys.readouterr().err
    assert "'/proc/run' cannot be made or written" in told
    assert told.count("\n") == 1
