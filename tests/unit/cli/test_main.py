"""The program: its commands, its errors, and what it does not import."""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from dcdan.cli import main
from dcdan.cli import predict as predict_module
from dcdan.core import errors
from imported_modules import HEAVY, imported_by
from tiny_model import coloured


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "--help"], ["evaluate", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code, names = imported_by(arguments)
    assert code == 0
    assert names.isdisjoint({*HEAVY, "onnxruntime", "cv2", "numpy"})


def test_predict_imports_nothing_heavy(run: Path, tmp_path: Path) -> None:
    Image.fromarray(coloured(2)).save(tmp_path / "a.png")
    code, names = imported_by(["predict", str(tmp_path / "a.png"), "--model", str(run), "--align", "mtcnn"])
    assert code == 0
    assert names.isdisjoint(HEAVY)
    assert "onnxruntime" in names


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, dcdan; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()).isdisjoint({*HEAVY, "onnxruntime", "cv2"})


def test_help_lists_the_commands_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0
    text = capsys.readouterr().out
    places = [text.index(f" {name} ") for name in ("predict", "adapt", "evaluate", "pack", "demo", "doctor")]
    assert places == sorted(places)
    assert main.run([]) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["predit"], 2, "Unknown command 'predit'. Did you mean 'predict'?"),
        (["predict"], 2, "Missing"),
        (["predict", "a.jpg", "--modl", "x"], 2, "No such option: --modl"),
        (["predict", "a.jpg", "--model", "nix", "--threads", "0"], 2, "--threads"),
        (["predict", "a.jpg", "--model", "nix", "--align", "dlib"], 2, "--align"),
        (["predict", "a.jpg", "--model", "nix"], 5, "no model at 'nix'"),
        (["evaluate", "--model", "nix", "--data", "nix"], 5, "no model at 'nix'"),
    ],
)
def test_an_error_is_one_sentence_and_a_code(
    arguments: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("dcdan: ")
    assert captured.err.count("\n") == 1
    assert told in captured.err


@pytest.mark.parametrize(
    ("raised", "code", "told"),
    [
        (errors.TrainingError("Loss is not a number."), 7, "Loss is not a number."),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 8, "pip install 'dcdan[train]'"),
        (ModuleNotFoundError("No module named 'pyarrow.x'", name="pyarrow.x"), 8, "pip install 'dcdan[parquet]'"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.csv"), 6, "'out.csv': No space left"),
        (ModuleNotFoundError("No module named 'dcdan.x'", name="dcdan.x"), 70, "internal error"),
        (ZeroDivisionError("division\nby zero"), 70, "internal error (ZeroDivisionError: division)"),
        (errors.ClusterError("Ray cannot start."), 9, "Ray cannot start."),
        (KeyboardInterrupt(), 130, "dcdan: stopped."),
    ],
)
def test_exceptions_have_documented_codes(
    raised: BaseException,
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command() -> None:
        raise raised

    monkeypatch.setattr(predict_module, "predict", command)
    monkeypatch.delenv("DCDAN_DEBUG", raising=False)
    assert main.run(["predict"]) == code
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.err.count("\n") == 1


def test_a_fault_shows_its_traceback_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def command() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(predict_module, "predict", command)
    monkeypatch.setenv("DCDAN_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main.run(["predict"])


def test_every_error_class_has_its_own_code() -> None:
    kinds = [kind for kind in errors.DcdanError.__subclasses__() if kind.__module__ == errors.__name__]
    codes = [kind.exit_code for kind in kinds]
    assert len(set(codes)) == len(kinds)
    assert {main.INTERNAL_ERROR, main.INTERRUPTED, 0, 1}.isdisjoint(codes)
    assert {*codes, main.INTERNAL_ERROR, main.INTERRUPTED, main.PIPE_CLOSED, 0, 1} == set(main.EXIT_CODES)


def test_the_program_is_installed() -> None:
    code = "from dcdan.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "--version"], text=True, capture_output=True, check=True)
    assert done.stdout.startswith("dcdan ")


PROGRAM = shlex.join([sys.executable, "-m", "dcdan"])


@pytest.mark.parametrize("arguments", ["--help", "methods", "predict --help", "data list --json"])
def test_a_reader_that_has_gone_is_no_error(arguments: str) -> None:
    """S12. `dcdan ... | head -1` ends without a word, as a program does that SIGPIPE has ended."""
    command = f"{PROGRAM} {arguments} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.strip() in ("0", "141")
    assert done.stderr == ""


def test_rows_for_a_reader_that_has_gone_end_with_141(run: Path, tmp_path: Path) -> None:
    """S12. The rows of `predict` too."""
    Image.fromarray(coloured(2)).save(tmp_path / "a.png")
    given = " ".join([str(tmp_path / "a.png")] * 500)
    command = f"{PROGRAM} predict {given} --model {run} --json -q | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    row, code = done.stdout.splitlines()
    assert json.loads(row)["status"] == "ok"
    assert code == "141"
    assert done.stderr == ""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_any_encoding_of_the_standard_output_works(run: Path, tmp_path: Path, encoding: str) -> None:
    """S8. Names that the encoding lacks are escaped."""
    name = tmp_path / "顔é.png"
    Image.fromarray(coloured(2)).save(name)
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "200"}
    for extra in ([], ["--json"]):
        command = [sys.executable, "-m", "dcdan", "predict", str(name), "--model", str(run), *extra]
        done = subprocess.run(command, capture_output=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        shown = done.stdout.decode(encoding)
        assert ("顔" if encoding == "utf-8" and not extra else "\\u9854") in shown


def catches(process: int, number: signal.Signals) -> bool:
    """Return whether a process has a handler for a signal, by the mask that the kernel shows."""
    status = Path(f"/proc/{process}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seconds", [0.15, 0.4, 0.8])
def test_a_signal_is_answered_with_a_sentence_from_the_first_moment(
    run: Path, tmp_path: Path, number: signal.Signals, seconds: float
) -> None:
    """S7. While modules are imported and while it works: exit code 130, one sentence, no traceback."""
    command = [sys.executable, "-m", "dcdan", "predict", "-", "--model", str(run)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    # The interpreter itself leaves SIGTERM alone: once it is caught, the program has taken over its signals.
    while process.poll() is None and not catches(process.pid, signal.SIGTERM):
        time.sleep(0.005)
    time.sleep(seconds)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert told.startswith("dcdan: ")
    assert told.rstrip().count("\n") == 0
    assert "Traceback" not in told


def test_a_signal_after_the_work_leaves_its_exit_code() -> None:
    """S7. What arrives while the interpreter ends changes nothing."""
    code = (
        "import atexit, os, signal, dcdan.__main__ as program\n"
        "atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))\n"
        "import sys; sys.argv = ['dcdan', '--version']\n"
        "program.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("dcdan ")


def test_ignored_signals_stay_ignored() -> None:
    """S7. A program that `nohup` or a script has started in the background goes on."""
    code = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from dcdan.cli import main, doctor\n"
        "doctor.doctor = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
        "import dcdan.__main__ as program; sys.argv = ['dcdan', 'doctor']; program.main()"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
