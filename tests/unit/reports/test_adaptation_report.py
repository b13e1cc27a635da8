"""The page of an adaptation without a source set."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcdan.adaptation.extraction import Answers
from dcdan.adaptation.folder import OutputRun
from dcdan.core.errors import DataError, UsageError
from dcdan.correction.arrays import log_softmax
from dcdan.correction.labels import draw_faces
from dcdan.reports.adaptation_report import RunFaces, read_faces, report_page, write_adaptation_report

CLASSES = ("anger", "happiness", "neutral")
FACES = 60


def run_faces(answer: str = "use it", model: str = "bias", *, labels: int = 40, evil: str = "a.jpg") -> RunFaces:
    rng = np.random.default_rng(0)
    z = log_softmax(rng.normal(0, 1.5, (FACES, 3)) + np.array([0, 0, 1]))
    bias = np.array([1.0, 0, -1.0]) if model != "source" else np.zeros(3)
    sample = draw_faces(z.argmax(1), 3, 40)
    given = {int(row): int(rng.integers(3)) for row in sample.rows[:labels]}
    accuracy = {"value": 0.5, "low": 0.4, "high": 0.62}
    content = {
        "command": "dcdan adapt <script>",
        "verdict": {
            "answer": answer,
            "model": model,
            "estimate": {"value": 0.65, "low": 0.5, "high": 0.8, "name": "40 labels"},
            "gain": 0.15,
            "reason": "It explains the labelled faces better.",
        },
        "measured_accuracy": {"source": accuracy, "bias": accuracy | {"value": 0.6}} if labels else {},
        "labels": labels,
        "tried": ["shares"],
        "considered": [{"name": "shares", "gain": 0.034, "error": 0.02, "reason": "Too small to be sure."}],
        "versions": {"dcdan": "1"},
        "seconds": 2.5,
    }
    return RunFaces(
        OutputRun(target="photos & more"),
        content,
        CLASSES,
        Answers(
            np.array([evil if n == 0 else f"{n}.jpg" for n in range(FACES)]),
            np.zeros(FACES, int),
            np.arange(FACES),
            np.array(["anna", "ben"])[np.arange(FACES) % 2],
            z,
            (("b.jpg", "no_face"),),
        ),
        np.exp(log_softmax(z + bias)),
        given,
        sample,
    )


class Checked(HTMLParser):
    """Counts tags, collects text, and fails on tags that are closed in another order than opened."""

    VOID = frozenset({"meta", "img", "path", "circle", "rect", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def pixels(run: RunFaces) -> dict[int, np.ndarray]:
    return {int(row): np.full((16, 16, 3), 90, np.uint8) for row in run.changed[1:]}


@pytest.mark.parametrize(
    ("answer", "model", "labels"),
    [("use it", "bias", 40), ("keep the model you had", "source", 40), ("cannot tell: label 40 faces", "source", 0)],
)
def test_the_verdict_comes_first_and_the_page_is_whole(answer: str, model: str, labels: int) -> None:
    run = run_faces(answer, model, labels=labels)
    page = report_page(run, pixels(run))
    found = Checked(page)
    headings = re.findall(r"<h[12][^>]*>(.*?)</h[12]>", page)
    assert headings[0].lower() == answer
    assert ("Accuracy by labels" in headings) == ("Confidence against truth" in headings) == (labels > 0)
    assert {"Expressions before and now", "Changed answers", "By group", "What was tried"} <= set(headings)
    assert ("No answer has changed" in page) == (model == "source")
    assert not {tag for tag, _ in found.seen} & {"script", "link", "iframe"}
    assert "http" not in page.replace("http-equiv", "")


def test_every_picture_and_drawing_has_words() -> None:
    run = run_faces()
    found = Checked(report_page(run, pixels(run)))
    images = [attributes for tag, attributes in found.seen if tag == "img"]
    assert len(images) == min(24, len(run.changed)) - 1
    assert all(each["alt"] and each["src"] and each["src"].startswith("data:image/jpeg;base64,") for each in images)
    drawn = [attributes for _, attributes in found.seen if attributes.get("role") == "img"]
    assert len(drawn) >= 5
    assert all(each.get("aria-label") for each in drawn)
    assert "the picture is gone" in "".join(found.text)


def test_names_of_files_are_text() -> None:
    run = run_faces(evil='x"><script>alert(1)</script>\u202e.jpg')
    run.after[0] = np.roll(run.before[0], 1)
    page = report_page(run, {})
    Checked(page)
    assert "<script" not in page
    assert "\u202e" not in page
    assert "photos &amp; more" in page


def test_shares_and_gains_are_those_of_the_run() -> None:
    run = run_faces()
    page = report_page(run, {})
    for k, name in enumerate(CLASSES):
        before, after = (np.mean(p.argmax(1) == k) for p in (run.before, run.after))
        assert f"{name}: {100 * before:.0f} % before, {100 * after:.0f} % now" in page
    assert "+3.4 ± 2.0" in page
    assert "+10.0 (labels)" in page
    assert f"<b>{len(run.changed)}</b><span>answers changed" in page


def test_the_reliability_table_is_weighted() -> None:
    run = run_faces()
    page = report_page(run, {})
    at = {int(row): place for place, row in enumerate(run.sample.rows)}
    right, total = 0.0, 0.0
    for row, label in run.labels.items():
        p = run.before[row]
        if 0.5 < p.max() <= 0.7:
            weight = float(run.sample.weights[at[row]])
            total += weight
            right += weight * (p.argmax() == label)
    assert re.search(rf"<td>before</td><td>50 % to 70 %</td>.*?<td>{100 * right / total:.0f} %</td></tr>", page)


def test_one_group_and_few_labels_leave_their_parts_out() -> None:
    run = run_faces(labels=5)
    run.answers.groups[:] = ""
    page = report_page(run, {})
    assert "By group" not in page
    assert "Confidence against truth" not in page


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write_adaptation_report(tmp_path)


def test_a_real_run_in_a_folder_with_spaces(tmp_path: Path) -> None:
    from dcdan.cli.main import run as dcdan
    from tiny_model import coloured, write_run

    model, photos, out = write_run(tmp_path / "model", size=32, sharpness=6.0), tmp_path / "Zoë's faces", tmp_path / "o"
    (photos / "one group").mkdir(parents=True)
    for number in range(64):
        colour = 0.45 * coloured(number % 8, 40).astype(float) + 90 + np.random.default_rng(number).normal(0, 25, 3)
        picture = Image.fromarray(np.clip(colour, 0, 255).astype(np.uint8))
        picture.save(photos / "one group" / f"{number}.png")
    command = ["adapt", "--target", str(photos), "--out", str(out), "--model", str(model), "--shares", "balanced"]
    assert dcdan([*command, "--threads", "1"]) == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    Checked(page)
    found = read_faces(out)
    assert page.count("<figure>") == min(24, len(found.changed))
    assert len(found.changed) == json.loads((out / "run.json").read_text())["changed_faces"]
    assert "the picture is gone" not in page
    for picture in (photos / "one group").iterdir():
        picture.unlink()
    write_adaptation_report(out)
    assert (out / "report.html").read_text().count("the picture is gone") == page.count("<figure>")
    lines = (out / "predictions.csv").read_text().splitlines()
    (out / "predictions.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(DataError, match="other faces"):
        write_adaptation_report(out)


def test_neither_torch_nor_jinja_is_needed() -> None:
    code = (
        "import sys, dcdan.reports.adaptation_report; "
        "assert not {'torch', 'jinja2', 'matplotlib'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
