"""Tables killed at many points: the same command goes on, does nothing twice, and gives the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dcdan.core.atomic_io import Form
from dcdan.core.errors import DataError, OutputError
from dcdan.core.signals import Interrupted
from dcdan.inference import predict as steps_module
from dcdan.inference.predict import Step, predict_to_file
from dcdan.inference.recogniser import Recogniser, load
from tiny_model import coloured

CHUNK, COUNT = 2, 15


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    for index in range(COUNT):
        Image.fromarray(coloured(index % 8)).save(folder / ("deep" if index % 3 else "") / f"{index:02}.png")
    (folder / "07.png").write_bytes(b"\xff\xd8\xff cut")
    return folder


@pytest.fixture
def model(run: Path, monkeypatch: pytest.MonkeyPatch) -> Recogniser:
    monkeypatch.setattr(steps_module, "CHUNK_PICTURES", CHUNK)
    return load(run, threads=1)


def slowly(run: str, folder: str, out: str, form: str) -> None:
    """What the process that is killed does."""
    steps_module.CHUNK_PICTURES = CHUNK
    predict_to_file(load(run, threads=1), [folder], Path(out), Form(form), each=lambda _: time.sleep(0.02))


def journal(out: Path) -> list[str]:
    path = out.with_name(out.name + ".partial") / "journal.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def killed(run: Path, folder: Path, out: Path, form: Form, lines: int) -> None:
    """Begin the work in a process of its own and kill it once its journal has so many lines."""
    code = "import sys; sys.path[:0] = sys.argv[1:3]; import test_resumable_table as t; t.slowly(*sys.argv[3:])"
    here = Path(__file__).parent
    given = [str(here), str(here.parents[1] / "helpers"), str(run), str(folder), str(out), form.value]
    process = subprocess.Popen([sys.executable, "-c", code, *given])
    deadline = time.monotonic() + 300
    while len(journal(out)) < lines and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("form", [Form.CSV, Form.JSONL])
def test_a_killed_run_goes_on_and_gives_the_same_bytes(
    model: Recogniser, run: Path, pictures: Path, tmp_path: Path, form: Form
) -> None:
    out = tmp_path / f"faces{form.value}"
    for lines in (1, 4):
        killed(run, pictures, out, form, lines)
        assert not out.exists()
    done = json.loads(journal(out)[-1])["inputs"]
    assert 4 * CHUNK <= done < COUNT + 1
    steps: list[Step] = []
    told: list[int] = []
    summary = predict_to_file(model, [pictures], out, form, each=steps.append, begun=told.append)
    assert sum(len(step.inputs) for step in steps) == COUNT + 1 - done
    assert told == [done]
    whole = tmp_path / f"whole{form.value}"
    assert predict_to_file(model, [pictures], whole, form) == summary
    assert out.read_bytes() == whole.read_bytes()
    assert (summary.inputs, summary.faces) == (COUNT + 1, COUNT)
    assert not out.with_name(out.name + ".partial").exists()


def stopped(model: Recogniser, folder: Path, out: Path, after: int, **options: Any) -> None:
    """Stop in the middle of a piece of work, after so many whole ones."""
    count = 0

    def each(step: Step) -> None:
        nonlocal count
        count += 1
        if count > after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_to_file(model, [folder], out, each=each, **options)


def again(model: Recogniser, paths: list[Path], out: Path, **options: Any) -> int:
    """Finish, and return how many inputs were looked at."""
    steps: list[Step] = []
    predict_to_file(model, paths, out, each=steps.append, **options)
    return sum(len(step.inputs) for step in steps)


def test_what_was_half_written_is_written_again(model: Recogniser, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces.csv"
    predict_to_file(model, [pictures], tmp_path / "whole.csv")
    stopped(model, pictures, out, 3)
    folder = tmp_path / "faces.csv.partial"
    with (folder / "pack" / "rows").open("ab") as file:
        file.write(b"half a ro")
    with (folder / "journal.jsonl").open("ab") as file:
        file.write(b'{"inputs": 8, "se')
    assert again(model, [pictures], out) == COUNT + 1 - 3 * CHUNK
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_rows_that_never_reached_the_disk_do_not_count(model: Recogniser, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces.csv"
    predict_to_file(model, [pictures], tmp_path / "whole.csv")
    stopped(model, pictures, out, 3)
    records = [json.loads(line) for line in journal(out)]
    os.truncate(tmp_path / "faces.csv.partial" / "pack" / "rows", records[2]["bytes"] - 1)
    assert again(model, [pictures], out) == COUNT + 1 - 2 * CHUNK
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize("change", ["settings", "form", "changed", "new", "gone", "model"])
def test_anything_else_is_begun_anew(model: Recogniser, run: Path, pictures: Path, tmp_path: Path, change: str) -> None:
    out = tmp_path / "faces"
    stopped(model, pictures, out, 3, settings={"a": 1})
    options: dict[str, Any] = {"settings": {"a": 1}}
    if change == "settings":
        options["settings"] = {"a": 2}
    elif change == "form":
        options["form"] = Form.JSONL
    elif change == "changed":
        os.utime(pictures / "00.png", ns=(1, 1))
    elif change == "new":
        (pictures / "000.png").write_bytes(b"")
    elif change == "gone":
        (pictures / "00.png").unlink()
    else:
        graph = {**model.info.files, "model.onnx": "0" * 64}
        model = load(run, threads=1)
        model.info = model.info.model_copy(update={"files": graph})
    inputs = COUNT + 1 + (change == "new") - (change == "gone")
    assert again(model, [pictures], out, **options) == inputs
    whole = tmp_path / "whole"
    predict_to_file(model, [pictures], whole, **options)
    assert out.read_bytes() == whole.read_bytes()


def test_files_that_come_later_in_the_folder_are_done_too(model: Recogniser, pictures: Path, tmp_path: Path) -> None:
    stopped(model, pictures, tmp_path / "faces.csv", 2)
    (pictures / "deep" / "99.png").write_bytes((pictures / "00.png").read_bytes())
    assert again(model, [pictures], tmp_path / "faces.csv") == COUNT + 2 - 2 * CHUNK


def test_a_finished_table_is_parquet_too(model: Recogniser, pictures: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    stopped(model, pictures, tmp_path / "faces.parquet", 3, form=Form.PARQUET)
    assert again(model, [pictures], tmp_path / "faces.parquet", form=Form.PARQUET) == COUNT + 1 - 3 * CHUNK
    predict_to_file(model, [pictures], tmp_path / "whole.parquet", Form.PARQUET)
    assert (tmp_path / "faces.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    rows = pq.read_table(tmp_path / "whole.parquet").to_pylist()
    assert len(rows) == COUNT + 1
    assert {row["status"] for row in rows} == {"ok", "unreadable"}


def test_a_second_process_and_a_stranger_s_folder_are_refused(
    model: Recogniser, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "faces.csv"

    def each(step: Step) -> None:
        with pytest.raises(OutputError, match="Another process"):
            predict_to_file(model, [pictures], out)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_to_file(model, [pictures], out, each=each)
    (tmp_path / "other.csv.partial").mkdir()
    (tmp_path / "other.csv.partial" / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="in the way"):
        predict_to_file(model, [pictures], tmp_path / "other.csv")
    assert (tmp_path / "other.csv.partial" / "mine.txt").read_text() == "keep"


def test_a_file_that_came_meanwhile_is_kept_and_the_work_too(model: Recogniser, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces.csv"
    with pytest.raises(OutputError, match="exists already"):
        predict_to_file(model, [pictures], out, each=lambda _: out.write_text("mine") and None)
    assert out.read_text() == "mine"
    assert again(model, [pictures], out, force=True) == 0
    assert out.read_text().count("\n") == COUNT + 2


def test_a_signal_ends_the_work_after_a_whole_piece(model: Recogniser, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces.csv"
    with pytest.raises(Interrupted, match="run the same command to resume"):
        predict_to_file(model, [pictures], out, each=lambda _: signal.raise_signal(signal.SIGTERM))
    assert len(journal(out)) == 1
    assert again(model, [pictures], out) == COUNT + 1 - CHUNK


@pytest.mark.parametrize("form", [Form.CSV, Form.PARQUET])
def test_one_killed_while_it_cleans_up_has_done_its_work(
    model: Recogniser, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Form
) -> None:
    out = tmp_path / f"faces{form.value}"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dcdan.jobs.resumable_job._clear", killed)
        with pytest.raises(KeyboardInterrupt):
            predict_to_file(model, [pictures], out, form)
    written = out.read_bytes()
    summary = predict_to_file(model, [pictures], out, form, each=lambda _: pytest.fail("done again"))
    assert (summary.inputs, summary.faces) == (COUNT + 1, COUNT)
    assert out.read_bytes() == written
    assert not out.with_name(out.name + ".partial").exists()
    with pytest.raises(OutputError, match="exists already"):
        predict_to_file(model, [pictures], out, form)


def test_a_folder_that_goes_away_is_told_and_its_pictures_are_not_missing(
    model: Recogniser, pictures: Path, tmp_path: Path
) -> None:
    out, away = tmp_path / "faces.csv", tmp_path / "away"
    with pytest.raises(DataError, match="is no longer there: restore it"):
        predict_to_file(model, [pictures], out, each=lambda _: pictures.exists() and pictures.rename(away) and None)
    assert not out.exists()
    away.rename(pictures)
    again(model, [pictures], out)
    assert out.read_text().count(",ok,") == COUNT


def test_nothing_readable_leaves_nothing(model: Recogniser, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        predict_to_file(model, [tmp_path / "nix.jpg"], tmp_path / "faces.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_a_full_disk_is_told_and_what_is_done_stays(
    model: Recogniser, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "faces.csv"

    def each(step: Step) -> None:
        if len(journal(out)) == 2:
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space is left for"):
        predict_to_file(model, [pictures], out, each=each)
    assert again(model, [pictures], out) == COUNT + 1 - 2 * CHUNK
