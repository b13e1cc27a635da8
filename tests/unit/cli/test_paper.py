"""`dcdan paper`: text, JSON, Markdown, the committed page, and what it imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dcdan.cli.main import run as dcdan
from dcdan.cli.paper import command

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "paper.md"


def test_text_holds_every_recomputed_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert dcdan(["paper"]) == 0
    text = capsys.readouterr().out
    for figure in ("79.366", "8.979", "75.912", "69.930", "13.031", "64.483", "74.414", "11.929", "69.925", "72.962"):
        assert figure in text
    for figure in ("11.585", "68.448", "43.458", "48.013", "+19.38", "27.775", "1.0e-5", "3.411", "2.670", "2.088"):
        assert figure in text
    words = " ".join(text.split())
    assert "F(1,8) = 1.778, p = 0.219" in words
    assert "t(4) = 3.085, p = 0.037" in words
    assert "The abstract gives FERPlus 92.35, table 3 92.37." in words
    assert "Measured here" not in text


def test_one_table_is_shown_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert dcdan(["paper", "--table", "2"]) == 0
    text = capsys.readouterr().out
    assert "Table 2: source FERPlus, MobileNet-V2" in text
    assert "Table 1: source" not in text


def test_json_is_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dcdan(["paper", "--json", "--results", str(ROOT / "docs" / "results" / "weights_means")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == 1
    assert {row["test"] for row in found["measured"]} == {
        "LFW expressions",
        "FERPlus test",
        "FERPlus test, blur 3",
        "FERPlus test, low light 4",
    }
    assert all(row["accuracy_95"][0] < row["accuracy"] < row["accuracy_95"][1] for row in found["measured"])
    assert found["beside"] == []


def test_the_page_in_the_documents_is_what_the_command_writes(capsys: pytest.CaptureFixture[str]) -> None:
    assert dcdan(["paper", "--markdown"]) == 0
    assert capsys.readouterr().out == PAGE.read_text(encoding="utf-8"), "run: dcdan paper --markdown > docs/paper.md"


def test_the_page_says_how_it_was_made() -> None:
    assert command([], None) == "dcdan paper --markdown"
    assert command([Path("my results")], 3) == "dcdan paper --results 'my results' --table 3 --markdown"
    assert "`dcdan paper --markdown`" in PAGE.read_text(encoding="utf-8").split("##")[0]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--table", "5"], 2, "--table"),
        (["--json", "--markdown"], 2, "give one of them"),
        (["--results", "nix"], 3, "There is no folder 'nix'"),
    ],
)
def test_errors_are_a_sentence(arguments: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dcdan(["paper", *arguments]) == code
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert told in captured.err


def program(before: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys\n{before}\nfrom dcdan.cli.main import run\ncode = run(['paper', '--json'])\n"
    code += "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)\nsys.exit(code)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_torch_is_not_imported() -> None:
    done = program("")
    assert done.returncode == 0
    assert {"torch", "timm", "torchvision", "matplotlib", "pyarrow", "cv2", "onnxruntime"}.isdisjoint(
        done.stderr.split()
    )


def test_without_scipy_it_says_what_to_install() -> None:
    done = program("sys.modules['scipy'] = None")
    assert done.returncode == 8
    assert "pip install 'dcdan[train]'" in done.stderr
    assert done.stdout == ""
