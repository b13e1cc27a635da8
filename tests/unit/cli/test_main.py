"""The program: its commands, its errors, and what it does not import."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
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
    places = [text.index(f" {name} ") for name in ("adapt", "predict", "evaluate", "pack", "demo")]
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
        (ModuleNotFoundError("No module named 'pyarrow.x'", name="pyarrow.x"), 8, "pip install 'dcdan[train]'"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.csv"), 6, "'out.csv': No space left"),
        (ModuleNotFoundError("No module named 'dcdan.x'", name="dcdan.x"), 70, "internal error"),
        (ZeroDivisionError("division\nby zero"), 70, "internal error (ZeroDivisionError: division)"),
        (KeyboardInterrupt(), 130, "stopped"),
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
    if code == 130:
        return
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


def test_the_program_is_installed() -> None:
    code = "from dcdan.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "--version"], text=True, capture_output=True, check=True)
    assert done.stdout.startswith("dcdan ")
