"""Pictures and videos that are dropped: the rows of `dcdan predict`, and sentences for what is none."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="needs dcdan[app]")

from asgi import ask
from dcdan.app import try_view
from dcdan.app.context import AppContext
from dcdan.app.security import Access
from dcdan.app.server import build
from dcdan.app.try_view import recognise
from dcdan.inference.recogniser import load
from tiny_model import coloured

ACCESS = Access(8000, "token", "session")
HEADERS = {"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:8000", "Cookie": "dcdan-8000=session"}


def png(index: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(coloured(index)).save(file, "PNG")
    return file.getvalue()


def test_rows_are_those_of_predict(run: Path, tmp_path: Path) -> None:
    recogniser = load(run, threads=1)
    (tmp_path / "a.png").write_bytes(png(3))
    (expected,) = recogniser.recognise(tmp_path / "a.png")
    found = recognise(recogniser, "a.png", png(3))
    (row,) = found["rows"]
    assert row | {"path": ""} == expected.to_dict() | {"path": ""}
    assert row["path"] == found["cells"][0][0] == "a.png"
    assert found["size"] == [40, 40]
    assert found["cells"][0][1:] == expected.to_row(recogniser.classes)[1:]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", "empty"),
        (b"hello" * 100, "not_an_image"),
        (png(1)[:60], "truncated"),
        (b"\0\0\0\x20ftypisom" + bytes(600), "unsupported"),
        (b"GIF89a\xff\xff\xff\xff" + bytes(20), None),
    ],
)
def test_what_is_no_picture(run: Path, content: bytes, status: str | None) -> None:
    found = recognise(load(run, threads=1), "x.jpg", content)
    (row,) = found["rows"]
    assert row["expression"] is None
    assert found["reason"]
    assert found["size"] is None
    if status is not None:
        assert row["status"] == status


def test_too_many_bytes_are_not_read(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(try_view, "MOST_PICTURE_BYTES", 1 << 20)
    app = build(AppContext(tmp_path, str(run)), ACCESS)
    pieces = [bytes(1 << 18)] * 40
    found = ask(app, "POST", "/api/recognise?name=large.jpg&model=", HEADERS, pieces)
    assert found.status == 413
    assert found.taken <= 5 << 18
    assert json.loads(found.body)["error"].startswith("'large.jpg' is larger than 1 MB")
    declared = ask(app, "POST", "/api/recognise?name=a.jpg", HEADERS | {"Content-Length": str(500 << 20)}, pieces)
    assert (declared.status, declared.taken) == (413, 0)


def test_requests_without_a_name_or_of_another_model(run: Path, tmp_path: Path) -> None:
    app = build(AppContext(tmp_path, str(run), threads=1), ACCESS)
    assert ask(app, "POST", "/api/recognise", HEADERS, [png(1)]).status == 400
    assert ask(app, "POST", f"/api/recognise?name={'x' * 1001}", HEADERS, [png(1)]).status == 400
    other = ask(app, "POST", "/api/recognise?name=a.png&model=/etc", HEADERS, [png(1)])
    assert other.status == 400
    assert b"none of the models" in other.body
    good = ask(app, "POST", "/api/recognise?name=a.png", HEADERS, [png(1)])
    assert good.status == 200
    for body in (b"", b"[1]", b"{", b"[" * 100_000):
        assert ask(app, "POST", "/api/labels", HEADERS, [body]).status == 400


def test_a_video_and_what_is_none(run: Path, tmp_path: Path) -> None:
    import cv2

    path = tmp_path / "a.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 64))
    for _ in range(20):
        writer.write(np.ascontiguousarray(coloured(4, 64)[:, :, ::-1]))
    writer.release()
    app = build(AppContext(tmp_path / "runs", str(run), threads=1), ACCESS)
    found = ask(app, "POST", "/api/video?name=mein%20film.mp4", HEADERS, [path.read_bytes()])
    lines = [json.loads(line) for line in found.body.splitlines()]
    assert lines[-1]["done"] is True
    assert len(lines) == 11
    assert lines[0]["size"] == [64, 64]
    assert lines[0]["rows"][0]["path"] == "mein film.mp4"
    assert [line["time"] for line in lines[:-1]] == sorted(line["time"] for line in lines[:-1])
    bad = ask(app, "POST", "/api/video?name=bad.mp4", HEADERS, [b"no video"])
    (line,) = [json.loads(line) for line in bad.body.splitlines()]
    assert "bad.mp4" in line["error"]
    assert "/dcdan-" not in line["error"]
