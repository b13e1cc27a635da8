"""`dcdan app` in a real browser: what a person does, and what a page of another origin cannot do."""

from __future__ import annotations

import csv
import http.server
import io
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dcdan.adaptation.folder import read_run
from dcdan.inference.recogniser import load
from tiny_model import coloured, write_run

NEXT = "row => document.querySelector('#face').dataset.row !== row"


def key(page: Any, name: str) -> None:
    """Press a key on the label view and wait for the next face."""
    row = page.get_attribute("#face", "data-row")
    page.keyboard.press(name)
    page.wait_for_function(NEXT, arg=row)


def given(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "label" / "given.jsonl").read_text().splitlines()]


def test_drop_a_picture_and_read_the_answer(
    page: Any, serve: Callable[..., Any], drawn_photos: Path, tmp_path: Path
) -> None:
    served = serve("--out", tmp_path / "runs")
    page.goto(served.address)
    assert page.url == served.root + "/"
    picture = sorted(drawn_photos.glob("*/*.png"))[0]
    page.set_input_files("#files", picture)
    page.wait_for_selector(".box")
    (expected,) = load(threads=1).recognise(picture)
    shown = page.locator(".answer").first.inner_text()
    assert shown.startswith(f"{expected.expression} {round(100 * expected.probability)} %")
    box = page.evaluate("(e => [e.style.left, e.style.top])(document.querySelector('.box'))")
    width, height = 200, 200
    left, top = (float(each.rstrip("%")) for each in box)
    assert left == pytest.approx(100 * expected.box[0] / width, abs=0.1)
    assert top == pytest.approx(100 * expected.box[1] / height, abs=0.1)

    bad = tmp_path / "kein Bild.jpg"
    bad.write_text("no picture")
    page.set_input_files("#files", bad)
    page.wait_for_selector("text=it is no picture of a known format")
    # A dropped file takes the way of a chosen one.
    page.evaluate(
        """async () => {
          const data = new DataTransfer();
          data.items.add(new File(["x"], "dropped.png"));
          document.querySelector("#drop").dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
        }"""
    )
    page.wait_for_selector("h3:text('dropped.png')")
    page.wait_for_function("() => document.querySelector('#count').textContent === '3 rows'")
    with page.expect_download() as saved:
        page.click("#save")
    rows = list(csv.DictReader(io.StringIO(Path(saved.value.path()).read_text())))
    assert {row["path"]: row["status"] for row in rows} == {
        picture.name: "ok",
        "kein Bild.jpg": "not_an_image",
        "dropped.png": "not_an_image",
    }
    assert rows[0]["expression"] == expected.expression


def test_the_camera_answers_frame_by_frame(page: Any, serve: Callable[..., Any], tmp_path: Path) -> None:
    served = serve("--out", tmp_path / "runs")
    page.goto(served.address)
    page.wait_for_selector("#model option", state="attached")
    page.click("#camera")
    page.wait_for_function("() => document.querySelector('#live-answer').textContent !== ''")
    assert page.inner_text("#live-answer") == "No face."
    page.click("#camera")
    assert page.is_hidden("#live")


def test_forty_labels_by_keyboard_through_a_kill(
    page: Any, serve: Callable[..., Any], drawn_run: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(drawn_run, tmp_path / "run")
    served = serve(run, "--out", tmp_path / "runs")
    page.goto(served.address)
    page.goto(served.root + "/label")
    page.wait_for_selector("#face[data-row]")
    for number in range(20):
        key(page, str(number % 7 + 1))
    served.kill()
    assert len(given(run)) == 20

    served = serve(run, "--out", tmp_path / "runs")
    page.goto(served.address)
    page.goto(served.root + "/label")
    page.wait_for_selector("#face[data-row]")
    assert page.inner_text("#progress").startswith("20 of 40 faces answered")
    assert page.is_disabled("#finish") or "enough" in page.inner_text("#enough")
    before = page.get_attribute("#face", "data-row")
    key(page, "3")
    key(page, "u")
    assert page.get_attribute("#face", "data-row") == before
    for _ in range(17):
        key(page, "7")
    key(page, "s")
    key(page, "n")
    page.keyboard.press("7")
    page.wait_for_function("() => document.querySelector('#progress').textContent.startsWith('40 of 40')")
    page.wait_for_function("() => !document.querySelector('#finish').disabled")
    assert "38 of them with an expression" in page.inner_text("#progress")
    assert "% to" in page.inner_text("#accuracy")
    cells = page.eval_on_selector_all("#confusion td", "cells => cells.map(cell => Number(cell.textContent))")
    assert sum(cells) == 38
    page.click("#finish")
    page.wait_for_selector("#verdict a")
    _, content = read_run(run)
    assert content["labels"] == 38
    assert content["skipped"] == 2
    assert content["verdict"]["answer"] in page.inner_text("#verdict")


def test_two_browsers_see_each_other_and_a_second_person_has_a_kappa(
    page: Any, browser: Any, serve: Callable[..., Any], drawn_run: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(drawn_run, tmp_path / "run")
    served = serve(run, "--out", tmp_path / "runs")
    other_context = browser.new_context()
    other = other_context.new_page()
    for each in (page, other):
        each.goto(served.address)
        each.goto(served.root + "/label")
        each.wait_for_selector("#face[data-row]")
    row = page.get_attribute("#face", "data-row")
    key(page, "1")
    first = "document.querySelector('#neighbours button').textContent"
    other.wait_for_function(f"() => {first} === 'surprise'")
    other.click("#neighbours li:first-child button")
    assert other.get_attribute("#face", "data-row") == row
    key(other, "2")
    page.wait_for_function(f"() => {first} === 'fear'")
    assert [line["label"] for line in given(run)] == ["surprise", "fear"]

    other.fill("#labeller", "Zoë")
    other.press("#labeller", "Enter")
    other.wait_for_function("() => document.querySelector('#progress').textContent.startsWith('0 of 40')")
    key(other, "2")
    other.wait_for_function("() => document.querySelector('#agreement').textContent.includes('on 1 faces')")
    assert (run / "labellers" / "Zoë" / "label" / "given.jsonl").is_file()
    assert len(given(run)) == 2
    other_context.close()


@pytest.fixture
def tinted(tmp_path: Path) -> tuple[Path, Path]:
    """A model that names colours, and pictures whose tint misleads it."""
    folder, rng = tmp_path / "tinted faces", np.random.default_rng(5)
    folder.mkdir()
    for number in range(96):
        colour = coloured(number % 8).astype(float)
        mixed = 127 + 0.45 * (colour - 127) + 44 + rng.normal(0, 25, 3) + rng.normal(0, 4, colour.shape)
        Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8)).save(folder / f"{number:02}.png")
    return write_run(tmp_path / "model", sharpness=6.0), folder


def test_adapt_and_take_the_result_then_compare(
    page: Any, serve: Callable[..., Any], tinted: tuple[Path, Path], tmp_path: Path
) -> None:
    model, folder = tinted
    served = serve(model, "--target", folder, "--out", tmp_path / "runs")
    page.goto(served.address)
    page.goto(served.root + "/adapt")
    page.wait_for_function("() => document.querySelector('#target').value !== ''")
    page.select_option("#known", "sliders")
    sliders = page.locator("#sliders input")
    sliders.nth(2).fill("40")
    values = [float(each.rstrip(" %")) for each in page.locator("#sliders output").all_inner_texts()]
    assert values[2] == 40
    assert sum(values) == pytest.approx(100, abs=0.5)
    page.select_option("#known", "balanced")
    page.click("#start")
    page.wait_for_selector("#result:not([hidden])", timeout=120_000)
    assert page.inner_text("#verdict") == "Verdict: use it"
    assert page.locator("#faces li").count() == 96
    assert page.locator("#faces li:first-child p.changed").count() == 2
    page.wait_for_function("() => document.querySelector('#faces img').naturalWidth > 0")
    page.click("#take")
    page.wait_for_function("() => document.querySelector('#take').getAttribute('aria-pressed') === 'true'")
    (run,) = (tmp_path / "runs").iterdir()
    assert str(run) in page.inner_text("#chosen")
    assert json.loads((run / "choice.json").read_text()) == {"choice": "take"}
    page.goto(served.root + "/")
    page.wait_for_function("run => document.querySelector('#model').value === run", arg=str(run))

    page.goto(served.root + "/compare")
    page.wait_for_selector("#first option", state="attached")
    page.select_option("#first", str(model))
    page.select_option("#second", str(run))
    page.click("#start")
    page.wait_for_selector("#result:not([hidden])")
    changed = read_run(run)[1]["changed_faces"]
    assert f"They differ on {changed} of 96 faces" in page.inner_text("#summary")
    # A folder that was not given is a sentence.
    page.fill("#target", "/etc")
    page.click("#start")
    page.wait_for_selector("#error:not([hidden])")
    assert "outside the folder that was given" in page.inner_text("#error")


@pytest.fixture
def foreign() -> Iterator[str]:
    """The address of a page of another origin on this machine."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>other</title>")

        def log_message(self, *given: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def test_a_page_of_another_origin_can_neither_read_nor_post(
    page: Any, serve: Callable[..., Any], drawn_run: Path, foreign: str, tmp_path: Path
) -> None:
    run = shutil.copytree(drawn_run, tmp_path / "run")
    served = serve(run, "--out", tmp_path / "runs")
    page.goto(served.address)  # the cookie is there
    page.goto(foreign)
    read = (
        "async root => { try { return await (await fetch(root, {credentials: 'include'})).text() } catch { return 0 } }"
    )
    post = """async ([root, row]) => { try {
      return (await fetch(root + "/api/labels", {method: "POST", mode: "no-cors", credentials: "include",
        headers: {"Content-Type": "text/plain"}, body: JSON.stringify({row, label: "fear"})})).type
    } catch { return 0 } }"""
    row = json.loads((run / "label" / "sample.json").read_text())["rows"][0]
    for path in ("/", "/api/labels", "/static/try.js", "/api/events"):
        assert page.evaluate(read, served.root + path) == 0
    page.evaluate(post, [served.root, row])
    assert not (run / "label" / "given.jsonl").exists()
    image = """root => new Promise(end => {
      const image = new Image();
      image.onload = () => end(true);
      image.onerror = () => end(false);
      image.src = root;
    })"""
    assert page.evaluate(image, f"{served.root}/api/faces/{row}/small") is False
    page.goto(served.root + "/label")
    page.wait_for_selector("#face[data-row]")
    key(page, "2")
    assert len(given(run)) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility_and_no_scroll_to_the_side(
    browser: Any, serve: Callable[..., Any], drawn_run: Path, tmp_path: Path, scheme: Any
) -> None:
    source = axe(tmp_path)
    run = shutil.copytree(drawn_run, tmp_path / "run")
    served = serve(run, "--out", tmp_path / "runs")
    context = browser.new_context(color_scheme=scheme, viewport={"width": 400, "height": 800})
    page = context.new_page()
    page.goto(served.address)
    for path, ready in (
        ("/", "#model option"),
        ("/label", "#face[data-row]"),
        ("/adapt", "#faces li"),
        ("/compare", "#first option"),
    ):
        page.goto(served.root + path)
        page.wait_for_selector(ready, state="attached")
        if path == "/":
            page.set_input_files("#files", sorted(Path(read_run(run)[0].target).glob("*/*.png"))[0])
            page.wait_for_selector(".box")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, path
        page.evaluate(source)
        found = page.evaluate("async () => (await axe.run()).violations.map(v => [v.impact, v.id, v.nodes[0].html])")
        assert [each for each in found if each[0] in ("serious", "critical")] == [], path
    context.close()


def axe(folder: Path) -> str:
    """Return the source of axe-core, from the registry of npm; it is too large to be kept here."""
    import subprocess

    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), "axe-core@4"]
    if subprocess.run(command, capture_output=True, timeout=120).returncode:
        pytest.skip("needs axe-core from the registry of npm")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()
