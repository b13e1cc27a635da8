"""`dcdan predict` from arguments to table, file and exit code."""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dcdan.cli import predict as command
from dcdan.cli.main import run as dcdan
from dcdan.expressions import EXPRESSIONS
from dcdan.images.decode import decode
from dcdan.images.inputs import Picture
from dcdan.images.video_reader import open_video
from dcdan.inference import predict, recogniser, resolver
from dcdan.inference.annotated_output import video_file
from dcdan.inference.table import FaceResult
from tiny_model import coloured, write_run


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(4):
        Image.fromarray(coloured(index)).save(folder / f"{index}.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    return folder


def test_a_folder_becomes_a_table_file(
    run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tables" / "faces.csv"
    assert dcdan(["predict", str(pictures), "nix.png", "--model", str(run), "--out", str(out)]) == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["ok"] * 4 + ["truncated", "missing"]
    assert [row["expression"] for row in rows[:4]] == list(EXPRESSIONS[:4])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "6 inputs, 4 faces recognised (4 ok, 1 truncated, 1 missing)" in captured.err


def test_json_lines_go_to_the_standard_output(run: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dcdan(["predict", str(pictures), "--model", str(run), "--json", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert [json.loads(line)["face"] for line in captured.out.splitlines()] == [0, 0, 0, 0, None]
    assert captured.err == ""


def test_json_lines_go_to_a_file(run: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces.jsonl"
    assert dcdan(["predict", str(pictures), "--model", str(run), "--json", "--out", str(out)]) == 0
    assert len(out.read_text().splitlines()) == 5


def test_the_table_is_shown_without_a_file(
    run: Path, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "SHOWN_ROWS", 2)
    monkeypatch.setenv("NO_COLOR", "1")
    assert dcdan(["predict", str(pictures), "--model", str(run)]) == 0
    text = capsys.readouterr().out
    assert EXPRESSIONS[0] in text
    assert EXPRESSIONS[1] in text
    assert EXPRESSIONS[2] not in text
    assert "3 more rows" in text
    assert "\x1b[" not in text


def test_an_existing_file_is_kept_unless_forced(
    run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "faces.csv"
    out.write_text("mine")
    arguments = ["predict", str(pictures), "--model", str(run), "--out", str(out)]
    assert dcdan(arguments) == 6
    assert out.read_text() == "mine"
    assert "--force" in capsys.readouterr().err
    assert dcdan([*arguments, "--force"]) == 0
    assert out.read_text().startswith("path,face,status")


def test_nothing_readable_leaves_no_file(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    out = tmp_path / "faces.csv"
    assert dcdan(["predict", str(tmp_path / "empty"), "--model", str(run), "--out", str(out)]) == 3
    assert "is empty or holds no picture" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "run"]


def test_a_damaged_model_is_told(run: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "model.onnx").write_bytes(b"cut")
    assert dcdan(["predict", str(pictures), "--model", str(run)]) == 5
    assert "checksum" in capsys.readouterr().err


def test_the_suffix_decides_and_another_is_told(
    run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["predict", str(pictures), "--model", str(run), "--quiet", "--out"]
    for suffix in ("csv", "jsonl", "parquet"):
        assert dcdan([*arguments, str(tmp_path / f"faces.{suffix}")]) == 0
    assert pq.read_table(tmp_path / "faces.parquet").num_rows == 5
    assert len((tmp_path / "faces.jsonl").read_text().splitlines()) == 5
    assert dcdan([*arguments, str(tmp_path / "faces.xlsx")]) == 2
    assert dcdan([*arguments, str(tmp_path / "other.csv"), "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 2


def test_without_a_model_the_package_s_own_is_used(
    run: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(resolver, "WEIGHTS", run.parent / "weights")
    assert dcdan(["predict", str(pictures)]) == 5
    assert "comes without a trained model" in capsys.readouterr().err
    write_run(run.parent / "weights" / "colours")
    assert dcdan(["predict", str(pictures), "--json", "-q"]) == 0
    assert dcdan(["predict", str(pictures), "--json", "-q", "-m", "colours"]) == 0
    first, second = np.split(np.array(capsys.readouterr().out.splitlines()), 2)
    assert first.tolist() == second.tolist()


def test_ctrl_c_is_told_and_the_same_command_goes_on(
    run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "faces.csv"
    arguments = ["predict", str(pictures), "nix.png", "--model", str(run), "--out", str(out)]
    monkeypatch.setattr(predict, "CHUNK_PICTURES", 2)
    answer, chunks = recogniser.Recogniser._answer, 0

    def interrupted(self: recogniser.Recogniser, chunk: Sequence[Picture], *more: Any) -> list[list[FaceResult]]:
        nonlocal chunks
        chunks += 1
        if chunks == 2:
            raise KeyboardInterrupt
        return answer(self, chunk, *more)

    monkeypatch.setattr(recogniser.Recogniser, "_answer", interrupted)
    assert dcdan(arguments) == 130
    assert f"dcdan: stopped before '{out}' was complete; the same command resumes the run." in capsys.readouterr().err
    assert not out.exists()
    assert dcdan(arguments) == 0
    told = capsys.readouterr().err
    assert "an earlier run has done 2 of the inputs" in told
    assert "6 inputs, 4 faces recognised (4 ok, 1 truncated, 1 missing)" in told
    assert chunks == 4
    assert dcdan([*arguments[:-1], str(tmp_path / "whole.csv")]) == 0
    assert (tmp_path / "whole.csv").read_bytes() == out.read_bytes()


def test_drawings_go_to_a_folder_of_their_own(
    run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = tmp_path / "drawn"
    before = {path: path.read_bytes() for path in pictures.iterdir()}
    arguments = ["predict", str(pictures), "--model", str(run), "--draw"]
    assert dcdan([*arguments, str(drawn)]) == 0
    assert sorted(path.name for path in drawn.iterdir()) == [f"{index}.png" for index in range(4)]
    for index in range(4):
        assert (decode(drawn / f"{index}.png") == decode(pictures / f"{index}.png")[0, 0]).all(axis=2).any()
    assert dcdan([*arguments, str(drawn)]) == 6
    assert "has files in it" in capsys.readouterr().err
    assert dcdan([*arguments, str(drawn), "--force"]) == 0
    for wrong in (pictures, pictures / "new", tmp_path):
        assert dcdan([*arguments, str(wrong), "--force"]) == 6
        assert "a folder of its own" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in pictures.iterdir()} == before


def test_a_missing_camera_and_a_broken_video_are_rows_and_sentences(
    run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cut.mp4").write_bytes(b"\0\0\0\x18ftypmp42 cut")
    (tmp_path / "text.mov").write_text("not a video")
    paths = [str(pictures / "0.png"), "camera:99", str(tmp_path / "cut.mp4"), str(tmp_path / "text.mov"), "nix.avi"]
    assert dcdan(["predict", *paths, "--model", str(run), "--json"]) == 0
    captured = capsys.readouterr()
    rows = [json.loads(line) for line in captured.out.splitlines()]
    assert [row["status"] for row in rows] == ["ok", "missing", "unreadable", "not_an_image", "missing"]
    assert [row["path"] for row in rows] == paths
    assert "There is no camera:99" in captured.err
    assert "'nix.avi' does not exist" in captured.err
    assert dcdan(["predict", "camera:99", "--model", str(run)]) == 3
    assert capsys.readouterr().err.count("There is no camera:99") == 1


def test_a_video_is_a_row_for_each_face_of_each_frame(run: Path, tmp_path: Path) -> None:
    with video_file(tmp_path / "film.mp4", 10) as add:
        for _ in range(6):
            add(coloured(2, side=64))
    out, drawn = tmp_path / "faces.csv", tmp_path / "drawn"
    arguments = ["predict", str(tmp_path / "film.mp4"), "--model", str(run), "--every", "2", "-q"]
    assert dcdan([*arguments, "--out", str(out), "--draw", str(drawn)]) == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == ["0", "2", "4"]
    assert [row["time"] for row in rows] == ["0.000", "0.200", "0.400"]
    assert {row["track"] for row in rows} == {"1"}
    with open_video(drawn / "film.mp4") as film:
        assert (sum(1 for _ in film.frames()), film.rate) == (3, 5)


STRANGE = ["=cmd|' C calc'!A0.png", "\x1b[31mred\nline.png", "-m.png", "[bold]x.png", "\udcff.png"]


def test_strange_file_names_break_nothing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "strange"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "160")
    for name in STRANGE:
        Image.fromarray(coloured(1)).save(io := BytesIO(), "PNG")
        Path(name).write_bytes(io.getvalue())
    arguments = ["predict", "--model", str(run), "--", *STRANGE, "nix\x1b[1m\n.png"]
    assert dcdan(arguments) == 0
    shown = capsys.readouterr().out
    assert "\x1b[31m" not in shown
    assert "\\x1b[31mred\\nline.png" in shown
    assert "[bold]x.png" in shown
    assert dcdan(["predict", "--model", str(run), "--out", "../faces.csv", *arguments[3:]]) == 0
    with Path("../faces.csv").open(newline="", encoding="utf-8") as file:
        cells = [row["path"] for row in csv.DictReader(file)]
    assert cells[:4] == ["'" + STRANGE[0], STRANGE[1], "'" + STRANGE[2], STRANGE[3]]
    assert dcdan(["predict", "--model", str(run), "nix\x1b[1m\n.png"]) == 3
    assert capsys.readouterr().err.splitlines()[-1].startswith("dcdan: 'nix\\x1b[1m\\n.png' does not exist")


@pytest.mark.parametrize(("redirection", "code"), [("<&- >/dev/null", 0), (">&-", 6), ("| true", 0), (">/dev/full", 6)])
def test_closed_and_full_streams(run: Path, pictures: Path, redirection: str, code: int) -> None:
    if ">/dev/full" in redirection and not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    program = shlex.join([sys.executable, "-c", "from dcdan.__main__ import main; main()"])
    asked = shlex.join(["predict", *[str(pictures)] * 3, "--model", str(run), "--json", "--quiet"])
    done = subprocess.run(f"{program} {asked} {redirection}", shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert done.stderr.count("\n") == (code != 0)


def test_an_output_that_cannot_be_written_is_a_sentence(
    run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "faces.csv", Path("/proc/nix/faces.csv")):
        assert dcdan(["predict", str(pictures), "--model", str(run), "--out", str(out)]) == 6
        assert "cannot be written" in capsys.readouterr().err


def rows_of(text: str) -> list[tuple[str, str]]:
    return [(Path(row["path"]).name, row["status"]) for row in map(json.loads, text.splitlines())]


def test_every_kind_of_input_is_taken(
    run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """U10. A list, the standard input, a zip file and a glob give the rows of the pictures that they name."""
    names = [str(pictures / f"{index}.png") for index in range(2)]
    (tmp_path / "list.txt").write_text("\n".join(names))
    with ZipFile(tmp_path / "faces.zip", "w") as archive:
        for name in names:
            archive.write(name, Path(name).name)
    for given in (f"@{tmp_path / 'list.txt'}", str(tmp_path / "faces.zip"), str(pictures / "[01].png")):
        assert dcdan(["predict", given, "--model", str(run), "--json", "-q"]) == 0
        assert rows_of(capsys.readouterr().out) == [("0.png", "ok"), ("1.png", "ok")]
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO((pictures / "0.png").read_bytes())))
    assert dcdan(["predict", "-", "--model", str(run), "--json", "-q"]) == 0
    assert rows_of(capsys.readouterr().out) == [("-", "ok")]


def test_a_pack_a_spec_and_a_manifest_are_inputs(
    run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """U10. Data sets are read by their readers; the faces of a pack are taken as they are aligned."""
    (pictures / "broken.jpg").unlink()
    manifest = tmp_path / "faces.csv"
    manifest.write_text("path\n" + "\n".join(f"pictures/{index}.png" for index in range(4)))
    assert dcdan(["pack", f"folder:{pictures}", "--out", str(tmp_path / "pack"), "--align", "none", "-q"]) == 0
    found = {}
    for given in (f"folder:{pictures}", str(manifest), str(tmp_path / "pack")):
        assert dcdan(["predict", given, "--model", str(run), "--json", "-q"]) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        found[given] = [(Path(line["path"]).name, line["expression"]) for line in lines]
    assert all(each == [(f"{index}.png", EXPRESSIONS[index]) for index in range(4)] for each in found.values())
    assert dcdan(["predict", f"{tmp_path / 'pack'}?limit=2", "--model", str(run), "--json", "-q"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_strict_ends_with_code_3_and_keeps_the_table(
    run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """U12. Failures are rows; with --strict the exit code is 3, and the table is written all the same."""
    arguments = ["predict", str(pictures), "--model", str(run), "--out"]
    assert dcdan([*arguments, str(tmp_path / "a.csv")]) == 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("5 inputs, 4 faces recognised (4 ok, 1 truncated)")
    assert dcdan([*arguments, str(tmp_path / "b.csv"), "--strict"]) == 3
    assert "1 of 5 inputs failed (--strict)" in capsys.readouterr().err
    assert (tmp_path / "b.csv").read_bytes() == (tmp_path / "a.csv").read_bytes()
    (pictures / "broken.jpg").unlink()
    assert dcdan([*arguments, str(tmp_path / "c.csv"), "--strict"]) == 0


def test_files_of_other_kinds_are_counted(run: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """U12, V8. The summary names what was left out, also where no terminal is attached."""
    for name in ("a.txt", "b.txt", "c.docx"):
        (pictures / name).write_text("words")
    assert dcdan(["predict", str(pictures), "--model", str(run)]) == 0
    assert "3 files of other kinds left out: 2 .txt, 1 .docx" in capsys.readouterr().err


def test_a_limit_takes_the_first_inputs(run: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dcdan(["predict", str(pictures), "--model", str(run), "--json", "-q", "--limit", "3"]) == 0
    assert rows_of(capsys.readouterr().out) == [(f"{index}.png", "ok") for index in range(3)]


def test_a_terminal_sees_the_summary(
    run: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """U6. Shares of expressions and unsure faces are printed where a terminal is attached, and nowhere else."""
    arguments = ["predict", str(pictures), "--model", str(run)]
    assert dcdan(arguments) == 0
    assert "unsure:" not in capsys.readouterr().err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert dcdan(arguments) == 0
    assert "unsure: 0 of 4 faces (0 %)" in capsys.readouterr().err
