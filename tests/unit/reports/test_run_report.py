"""The report of a run whose target has no labels, over a real tiny model and a log written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dcdan.reports.run_report as module
from dcdan.core.errors import ModelError
from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.inference.recogniser import load
from dcdan.packs.build import build_pack
from dcdan.packs.pack import Pack
from dcdan.plots.contact_sheet import SheetRow
from dcdan.reports.run_report import Answers, conclusions, read_answers, write_predictions, write_run_report
from dcdan.training.calibration import Calibrated, calibrated
from tiny_model import coloured

SURPRISE, FEAR, HAPPINESS = 0, 1, 3
FACTS = {
    "command": "dcdan adapt --target <mine>",
    "settings": {
        "method": "source_only",
        "preset": "default",
        "size": 32,
        "seed": 0,
        "network": {"trunk": "colours"},
        "source": {"epochs": 2.0},
        "adaptation": {"epochs": 0.0},
    },
    "source": {
        "spec": "ferplus:FERPlus",
        "train": 90,
        "validation": 10,
        "licence": "",
        "per_class": {"surprise": 60, "fear": 30},
    },
    "target": {"spec": "folder:<b>mine</b>", "faces": 9},
    "versions": {"dcdan": "0.1.0"},
    "commit": "",
    "precision": "fp32",
    "seconds": 90.0,
}


@pytest.fixture
def target(tmp_path: Path) -> Pack:
    """Nine faces: six that the model names surprise, two fear, one happiness."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for number, colour in enumerate([SURPRISE] * 6 + [FEAR] * 2 + [HAPPINESS]):
        Image.fromarray(coloured(colour, 32)).save(folder / f"{number}.png")
    reader = open_reader(parse_spec(f"folder:{folder}"))
    build_pack(reader, tmp_path / "pack", size=32, align="none", workers=1, progress=False)
    return Pack.open(tmp_path / "pack", labelled=False)


@pytest.fixture
def trained(run: Path) -> Path:
    """A run folder with the facts and the log of a training."""
    (run / "run.json").write_text(json.dumps(FACTS))
    records = [
        {"kind": "source", "step": 20, "time": 0.0, "cls": 1.0},
        {"kind": "source-epoch", "step": 20, "time": 0.0, "source_validation": 0.625},
    ]
    (run / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return run


def test_page_says_what_the_model_says_of_the_target(trained: Path, target: Pack) -> None:
    page = write_run_report(trained, target).read_text()
    assert '<div class="value">67 %</div>' in page
    assert '<div class="value">22 %</div>' in page
    assert "62.5 %" in page
    assert "No face was named disgust, sadness, anger, neutral, contempt." in page
    assert "Before and after" not in page
    assert page.count("data:image/png") == 3 + 2
    assert "://" not in page


def test_a_calibrated_run_shows_what_a_probability_is_worth(trained: Path, target: Pack) -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), 300)
    labels = p.argmax(1)
    labels[:120] = rng.integers(0, 4, 120)
    for on_target, told in ((None, ""), (rng.dirichlet(np.full(4, 2.0), 150), "It was set for your faces")):
        found = calibrated(p, labels, 0.9, on_target)
        (trained / "run.json").write_text(json.dumps(FACTS | {"calibration": found.for_run()}))
        page = write_run_report(trained, target).read_text()
        assert "On 300 held-out faces" in page
        assert f"temperature {found.temperature:.2f}" in page
        assert (told in page) if told else ("It was set for your faces" not in page)
        assert page.count("data:image/png") == 3 + 2 + 1
        assert "unsure faces (below 90 %)" in page
    (trained / "run.json").write_text(json.dumps(FACTS | {"calibration": Calibrated(faces=9).for_run()}))
    assert "What a probability is worth" not in write_run_report(trained, target).read_text()


def test_text_from_outside_is_escaped(trained: Path, target: Pack) -> None:
    page = write_run_report(trained, target).read_text()
    assert "&lt;b&gt;mine&lt;/b&gt;" in page
    assert "<b>mine</b>" not in page


def test_labels_of_the_target_stay_unread(trained: Path, target: Pack) -> None:
    assert not target.labelled
    write_run_report(trained, target)
    assert "labels" not in vars(target)


def test_predictions_are_written_where_missing_and_read_where_not(trained: Path, target: Pack) -> None:
    write_run_report(trained, target)
    written = (trained / "predictions.csv").read_text()
    assert written.count("\n") == 10
    (trained / "predictions.csv").write_text(written.replace(",surprise,", ",anger,"))
    assert "No face was named surprise" in write_run_report(trained, target).read_text()


def test_predictions_of_other_faces_are_refused(trained: Path, target: Pack) -> None:
    write_predictions(trained, load(trained, align="none"), target)
    lines = (trained / "predictions.csv").read_text().splitlines(keepends=True)
    (trained / "predictions.csv").write_text("".join(lines[:-1]))
    with pytest.raises(ModelError, match="8 faces and the target 9"):
        write_run_report(trained, target)


def test_a_run_without_a_log_has_a_report_without_curves(trained: Path, target: Pack) -> None:
    (trained / "log.jsonl").unlink()
    page = write_run_report(trained, target).read_text()
    assert "<h2>Training</h2>" not in page
    assert "held-out source faces" not in page


def test_rows_without_an_answer_are_counted(tmp_path: Path) -> None:
    table = "path,face,status,expression,probability,decided_by\na,0,ok,fear,0.4,sum\nb,,no_face,,,\n"
    (tmp_path / "predictions.csv").write_text(table)
    answers, failures = read_answers(tmp_path / "predictions.csv", ["anger", "fear"])
    assert failures == 1
    assert answers.classes.tolist() == [1]
    assert answers.summary(2) == {"confidence": 0.4, "unsure": 1.0, "largest": 1.0}


def test_shares_are_of_the_answers() -> None:
    answers = Answers(np.array([0, 2, 2, 2]), np.array([0.9, 0.5, 0.4, 0.6]))
    assert answers.shares(4).tolist() == [0.25, 0.0, 0.75, 0.0]
    assert answers.summary(4)["unsure"] == 0.25


def test_before_and_after_are_concluded_and_changed_faces_shown(
    trained: Path, target: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """U6: shares before and after, the changed faces with both answers, and what the figures mean."""
    facts = json.loads(json.dumps(FACTS))
    facts["settings"]["method"] = "adabn"
    (trained / "run.json").write_text(json.dumps(facts))
    before = np.full((9, 8), 0.02)
    before[:, FEAR] = 0.86  # all fear; now six are surprise and one happiness
    monkeypatch.setattr("dcdan.reports.run_report.predict_before_adaptation", lambda run, faces: before)
    page = write_run_report(trained, target).read_text()
    assert "The adaptation changed 78 % of the answers, most often from fear to surprise (6 of 7 changes)." in page
    assert "Surprise became commoner by 67 points, fear rarer by 78." in page
    assert "7 of 9 compared faces" in page
    assert page.count("data:image/png") == 3 + 2 + 1
    monkeypatch.setattr(
        "dcdan.reports.run_report.predict_before_adaptation", lambda run, faces: after_of(trained, target)
    )
    page = write_run_report(trained, target).read_text()
    assert "The adaptation changed no answer." in page
    assert "Faces whose answer changed" not in page


def after_of(run: Path, target: Pack) -> np.ndarray:
    """Return the model's own probabilities."""
    return load(run, align="none").recognise_faces(np.asarray(target.faces)).probabilities


def test_changed_faces_carry_both_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """U6: the surest first, at most twelve, each face with the answer before above the answer now."""
    drawn: list[SheetRow] = []
    monkeypatch.setattr(module, "sheet_png", lambda rows, columns: drawn.extend(rows) or b"")
    before = Answers(np.zeros(20, np.int64), np.full(20, 0.5))
    after = Answers(np.array([1] * 19 + [0]), np.linspace(0.5, 0.9, 20))
    faces = np.arange(20, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    found = module._changed_faces(("fear", "anger"), before, after, np.arange(20), faces)
    assert found is not None
    assert found["count"] == 19
    cells = drawn[0].cells
    assert [int(cell.face[0, 0]) for cell in cells] == list(range(18, 6, -1))
    assert [mark.text for mark in cells[0].marks] == ["fear 50 %", "now anger 88 %"]
    assert module._changed_faces(("fear", "anger"), None, after, np.arange(20), faces) is None


def test_conclusions_follow_the_figures() -> None:
    """U6: each sentence from numbers by hand; the sample is a part of the faces."""
    before = Answers(np.array([0, 0, 1]), np.array([0.4, 0.45, 0.9]))
    after = Answers(np.array([2, 0, 2, 0, 2, 1]), np.array([0.9, 0.9, 0.9, 0.9, 0.9, 0.4]))
    found = conclusions(("fear", "anger", "neutral"), before, after, np.array([0, 1, 5]), 0.5)
    assert found == [
        "The adaptation changed 33 % of the answers, most often from fear to neutral (1 of 1 changes).",
        "Neutral became commoner by 50 points, fear rarer by 33.",
        "Fewer answers are unsure: 17 %, before 67 %. A surer model is not always a better one.",
    ]
    collapsed = conclusions(("fear", "anger"), None, Answers(np.zeros(10, np.int64), np.full(10, 0.9)), np.arange(10))
    assert len(collapsed) == 1
    assert collapsed[0].startswith("100 % of the faces are called fear.")
    even = Answers(np.array([0, 1] * 5), np.full(10, 0.9))
    assert conclusions(("fear", "anger"), None, even, np.arange(10)) == []


def test_sets_have_a_sentence(trained: Path, target: Pack) -> None:
    """U14: coverage and size of the conformal sets on the target."""
    p = np.random.default_rng(0).dirichlet(np.ones(4), 300)
    found = calibrated(p, p.argmax(1), 0.9)
    (trained / "run.json").write_text(json.dumps(FACTS | {"calibration": found.for_run()}))
    page = " ".join(write_run_report(trained, target).read_text().split())
    assert "dcdan predict --sets 0.9" in page
    assert "in 90 % of the cases" in page
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.3, 0.7]], np.float32)
    assert module._sets({"0.8": 0.6, "0.9": 0.4}, probabilities) == {
        "level": "0.9",
        "size": pytest.approx(4 / 3),
        "single": pytest.approx(2 / 3),
    }
    assert module._sets({}, probabilities) is None
