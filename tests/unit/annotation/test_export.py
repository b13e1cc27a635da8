"""`dcdan predict --export` from a video to files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from dcdan.annotation.export import ENDINGS, PeakCollector, thumbnail
from dcdan.cli.main import run as dcdan
from dcdan.cli.predict import ExportChoice
from dcdan.images.status import Status
from dcdan.inference.table import FaceResult
from tiny_model import COLOURS, coloured


def video(path: Path, parts: list[tuple[int, int]], rate: float = 10.0) -> Path:
    """Write a video that shows each colour for a number of frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    inner = path.parent / "plain.avi"
    writer = cv2.VideoWriter(str(inner), cv2.VideoWriter_fourcc(*"MJPG"), rate, (64, 64))
    for colour, frames in parts:
        for _ in range(frames):
            writer.write(coloured(colour, 64)[:, :, ::-1])
    writer.release()
    return inner.rename(path)


def test_every_format_of_a_video_with_an_odd_name(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = video(tmp_path / "ein gabe" / "Gespräch übung.avi", [(3, 20), (1, 15)])
    arguments = ["predict", str(path), "--model", str(run), "--smooth", "0", "--out", str(tmp_path / "faces.csv")]
    chosen = [each for form in ExportChoice for each in ("--export", form.value)]
    out = tmp_path / "aus gabe"
    assert dcdan([*arguments, *chosen, "--export-dir", str(out)]) == 0
    names = sorted(each.name for each in out.iterdir())
    assert names == sorted(f"Gespräch übung{ending}" for own in ENDINGS.values() for ending in own)
    events = (out / "Gespräch übung_events.tsv").read_text(encoding="utf-8").splitlines()[1:]
    assert [row.split("\t")[:4] for row in events] == [
        ["0.000", "2.000", "happiness", "1"],
        ["2.000", "1.500", "fear", "1"],
    ]
    summary = json.loads((out / "Gespräch übung_summary.json").read_text(encoding="utf-8"))
    assert summary["people"][0]["first_onsets"] == {"happiness": 0.0, "fear": 2.0}
    assert "data:image/jpeg;base64," in (out / "Gespräch übung_summary.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert dcdan([*arguments[:-2], "--export", "srt", "--export-dir", str(out)]) == 6
    assert "exists already" in capsys.readouterr().err
    assert dcdan([*arguments[:-2], "--export", "srt", "--export-dir", str(out), "--force", "--min-segment", "1.8"]) == 0
    assert (out / "Gespräch übung.srt").read_text(encoding="utf-8").count("-->") == 1


def test_files_lie_beside_the_table(run: Path, tmp_path: Path) -> None:
    one, two = video(tmp_path / "a" / "x.avi", [(3, 5)]), video(tmp_path / "b" / "x.avi", [(1, 5)])
    out = tmp_path / "results" / "faces.csv"
    assert dcdan(["predict", str(one), str(two), "--model", str(run), "--out", str(out), "--export", "srt"]) == 0
    written = sorted(out.parent.rglob("*.srt"))
    assert len(written) == 2
    assert {"happiness" in each.read_text() for each in written} == {True, False}


def test_pictures_have_no_times(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), coloured(3))
    command = ["predict", str(picture), "--model", str(run), "--export", "elan", "--export-dir", str(tmp_path / "out")]
    assert dcdan(command) == 2
    assert "--export elan writes times, and" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    video(tmp_path / "v.avi", [(3, 5)])
    assert dcdan(["predict", str(tmp_path), *command[2:]]) == 0
    assert "1 picture has no times" in capsys.readouterr().err
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["v.eaf"]


def test_a_video_without_a_face_and_a_damaged_one(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tiny_model import write_run

    finder = write_run(tmp_path / "finder", align="mtcnn")
    path = video(tmp_path / "v.avi", [(3, 5)])
    command = ["predict", str(path), "--model", str(finder), "--export", "bids", "--export-dir", str(tmp_path)]
    assert dcdan(command) == 0
    assert "shows no face" in capsys.readouterr().err
    assert (tmp_path / "v_events.tsv").read_text().count("\n") == 1
    broken = tmp_path / "broken.avi"
    broken.write_bytes(path.read_bytes()[:300])
    command = ["predict", str(broken), "--model", str(run), "--export", "bids", "--export-dir", str(tmp_path)]
    assert dcdan(command) == 3
    assert not list(tmp_path.glob("broken_*"))


def test_a_folder_that_cannot_be_written(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = video(tmp_path / "v.avi", [(3, 5)])
    (tmp_path / "file").write_text("")
    where = str(tmp_path / "file" / "sub")
    assert dcdan(["predict", str(path), "--model", str(run), "--export", "srt", "--export-dir", where]) == 6
    assert "choose another folder" in capsys.readouterr().err


def test_a_killed_run_is_resumed_with_all_files(run: Path, tmp_path: Path) -> None:
    """After kill -9 the same command writes what is missing; no file is ever half written."""
    for number in range(4):
        video(tmp_path / "videos" / f"{number}.avi", [(number, 120), (4 - number, 60)])
    out = tmp_path / "out" / "faces.csv"
    arguments = ["predict", str(tmp_path / "videos"), "--model", str(run), "--out", str(out), "--export", "json", "-q"]
    command = [sys.executable, "-m", "dcdan", *arguments]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    first = out.parent / "0_summary.json"
    deadline = time.monotonic() + 60
    while not first.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for path in out.parent.glob("*_summary.json"):
        json.loads(path.read_text())
    if not out.exists():
        assert dcdan(arguments) == 0
    found = {path.name: json.loads(path.read_text()) for path in out.parent.glob("*_summary.json")}
    assert sorted(found) == [f"{number}_summary.json" for number in range(4)]
    assert all(content["duration"] == pytest.approx(18.0, abs=0.2) for content in found.values())


def test_the_peak_is_the_most_probable_frame() -> None:
    peaks = PeakCollector()
    for number, probability in enumerate((0.5, 0.9, 0.7)):
        pixels = np.full((80, 100, 3), 40 * number, np.uint8)
        row = FaceResult(
            "a", 0, Status.OK, "fear", probability, box=(10.0, 10.0, 50.0, 60.0), time=number / 10, track=2
        )
        peaks.add([row], pixels)
    (peak,) = peaks.peaks.values()
    assert (peak.time, peak.probability) == (0.1, 0.9)
    decoded = cv2.imdecode(np.frombuffer(peak.picture, np.uint8), cv2.IMREAD_COLOR)
    assert max(decoded.shape[:2]) == 96
    assert abs(float(decoded.mean()) - 40) < 3
    assert thumbnail(np.zeros((10, 10, 3), np.uint8), (50, 50, 60, 60)) == b""


def test_the_thumbnail_keeps_colours() -> None:
    red = np.broadcast_to(np.array(COLOURS[4], np.uint8), (50, 50, 3))
    decoded = cv2.imdecode(np.frombuffer(thumbnail(red, (10, 10, 40, 40)), np.uint8), cv2.IMREAD_COLOR)
    assert decoded[20, 20, 2] > 240
    assert decoded[20, 20, 0] < 15
