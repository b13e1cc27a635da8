"""The log: records, and going back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dcdan.core.limits import read_log
from dcdan.training.metrics_log import MetricsLog


def filled(folder: Path) -> Path:
    with MetricsLog(folder, quiet=True) as metrics_log:
        metrics_log.write("precision", 0, chosen="fp32")
        for step in (20, 40, 60):
            metrics_log.write("source", step, cls=1 / step)
        metrics_log.write("source-epoch", 60, accuracy=0.5)
        for step in (20, 40):
            metrics_log.write("adaptation", step, cls=0.1)
        metrics_log.write("adaptation-epoch", 30, accuracy=0.5)
    return folder / "log.jsonl"


def places(file: Path) -> list[tuple[str, int]]:
    return [(record["kind"], record["step"]) for record in map(json.loads, file.read_text().splitlines())]


def test_records_are_lines_of_json_written_at_once(tmp_path: Path) -> None:
    with MetricsLog(tmp_path, quiet=True) as metrics_log:
        metrics_log.write("source", 20, cls=0.25, lr=0.1)
        (record,) = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert record.pop("time") > 1.7e9
    assert record == {"kind": "source", "step": 20, "cls": 0.25, "lr": 0.1}


@pytest.mark.parametrize(
    ("stage", "step", "dropped"),
    [
        ("adaptation", 20, [("adaptation", 40), ("adaptation-epoch", 30)]),
        ("adaptation", 40, []),
        ("adaptation", 0, [("adaptation", 20), ("adaptation", 40), ("adaptation-epoch", 30)]),
        ("source", 40, [("source", 60), ("source-epoch", 60)]),
    ],
)
def test_rewinding_drops_what_a_stage_wrote_later(
    tmp_path: Path, stage: str, step: int, dropped: list[tuple[str, int]]
) -> None:
    file = filled(tmp_path)
    before = places(file)
    with MetricsLog(tmp_path, quiet=True) as metrics_log:
        metrics_log.rewind(stage, step)
        metrics_log.write(stage, step + 1, cls=0.0)
    assert places(file) == [place for place in before if place not in dropped] + [(stage, step + 1)]


@pytest.mark.parametrize("tail", ['{"kind": "source", "st', '{"kind": "source", "step": 80, "x": {"y": 1}', "\n\n", ""])
def test_a_half_written_last_line_is_passed_over(tmp_path: Path, tail: str) -> None:
    file = filled(tmp_path)
    before = places(file)
    with file.open("a") as log:
        log.write(tail)
    with MetricsLog(tmp_path, quiet=True) as metrics_log:
        metrics_log.write("precision", 0, chosen="fp32")
        metrics_log.rewind("adaptation", 40)
        metrics_log.write("adaptation", 60, cls=0.0)
    assert [place for place in places(file) if place[0] != "precision"] == [*before[1:], ("adaptation", 60)]
    assert len(read_log(file)) == len(places(file))


def test_a_quiet_journal_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with MetricsLog(tmp_path, quiet=True) as metrics_log:
        metrics_log.print_line("hello")
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_what_is_said_is_said_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "taken from runs/[bold]x[/bold]/" + 12 * "a long folder/"
    with MetricsLog(tmp_path, quiet=False) as metrics_log:
        metrics_log.print_line(text)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert text in captured.err
