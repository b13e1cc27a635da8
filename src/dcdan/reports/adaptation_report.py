"""The page ``report.html`` of an adaptation without a source set: the verdict first, then what it rests on.

One file without scripts or other files, written with the standard library alone, since the command needs no extra.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dcdan.adaptation.extraction import ANSWERS, Answers, read_answers
from dcdan.adaptation.folder import PREDICTIONS, OutputRun, read_run, verdict_of
from dcdan.adaptation.job import start_model
from dcdan.adaptation.sheet import face_pixels, given_labels, read_sample
from dcdan.core.atomic_io import write_text
from dcdan.core.errors import DataError, DcdanError
from dcdan.core.limits import read_text
from dcdan.correction.arrays import Floats
from dcdan.correction.labels import Sample
from dcdan.correction.verdict import Answer, Verdict
from dcdan.inference.model_card import read_model_info
from dcdan.reports.html_parts import bars, escaped, face_cards, interval_bar, key_of, points, reliability_svg, table
from dcdan.reports.page import RESPONSIBLE_USE, percent

REPORT = "report.html"
FACES = 24
"""Changed faces that are shown."""
GROUPS = 40
"""Groups that are shown, the largest first."""
BINS = (0.0, 0.5, 0.7, 0.85, 1.0)
"""Edges of the bins of confidence: forty labels fill no more."""

_TONES = {Answer.USE: "good", Answer.KEEP: "calm", Answer.UNKNOWN: "open"}
_WHAT = {
    "source": "the model as it was",
    "shares": "moved to the declared class shares",
    "estimated shares": "class shares estimated from the answers",
    "offsets": "an offset for each group",
    "offsets and shares": "offsets by group, then the declared shares",
    "bias": "a bias for each class, from the labels",
    "shares by labels": "assigned jointly to class shares that the labels give",
    "offsets and bias": "offsets by group, then a bias from the labels",
}


@dataclass(frozen=True)
class RunFaces:
    """What a run says of its N faces.

    Attributes:
        settings: what was asked.
        content: of ``run.json``.
        classes: K names.
        answers: of the start model.
        after: (N, K) probabilities of the model that predicts now.
        labels: row -> class, -1 for a face that was skipped.
        sample: faces drawn for labelling.
    """

    settings: OutputRun
    content: dict[str, Any]
    classes: tuple[str, ...]
    answers: Answers
    after: Floats
    labels: dict[int, int]
    sample: Sample

    @property
    def before(self) -> Floats:
        """(N, K) probabilities of the start model."""
        return np.asarray(np.exp(self.answers.log_probabilities))

    @property
    def changed(self) -> NDArray[np.int64]:
        """Rows whose answer has changed, the surest new answers first."""
        rows = np.flatnonzero(self.before.argmax(1) != self.after.argmax(1))
        return np.asarray(rows[np.argsort(-self.after[rows].max(1), kind="stable")], np.int64)


def write_adaptation_report(folder: Path, threads: int | None = None) -> Path:
    """Write ``report.html`` into the folder of a finished adaptation.

    Args:
        folder: the run folder.
        threads: of ONNX Runtime and OpenCV, for the pictures of changed faces, which are read again.

    Returns:
        The file.

    Raises:
        UsageError: when the folder holds no finished adaptation without a source set.
        DataError: when its files are damaged.
        OutputError: when the page cannot be written.
    """
    run = read_faces(folder)
    rows = run.changed[:FACES].tolist()
    pixels: dict[int, np.ndarray] = {}
    if rows:
        recogniser, inputs = start_model(run.settings, threads)
        with suppress(DcdanError, OSError):  # pictures that are gone since: the page says so beside their answers
            pixels = face_pixels(recogniser, inputs, run.answers, rows)
    path = folder / REPORT
    write_text(path, report_page(run, pixels))
    return path


def read_faces(folder: Path) -> RunFaces:
    """Read what a report needs from the folder of a finished adaptation.

    Raises:
        UsageError: when the folder holds no finished adaptation without a source set.
        DataError: when its files are damaged or do not fit together.
    """
    settings, content = read_run(folder)
    classes = read_model_info(folder).classes
    answers = read_answers(folder / ANSWERS, classes)
    try:
        lines = list(csv.DictReader(io.StringIO(read_text(folder / PREDICTIONS))))
        seen = [[float(line[f"p_{name}"]) for name in classes] for line in lines if line["expression"]]
        after = np.array(seen, np.float64).reshape(-1, len(classes))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"'{folder / PREDICTIONS}' cannot be read: run the same `dcdan adapt` again.") from error
    if len(after) != len(answers):
        raise DataError(f"'{folder / PREDICTIONS}' is of other faces: run the same `dcdan adapt` again.")
    labels = given_labels(folder, answers, classes)
    return RunFaces(settings, content, classes, answers, after, labels, read_sample(folder, answers, classes))


def report_page(run: RunFaces, pixels: Mapping[int, np.ndarray]) -> str:
    """Return the page as HTML.

    Args:
        run: what the run says.
        pixels: row -> (S, S, 3) uint8 of changed faces that can be shown.
    """
    verdict = verdict_of(run.content)
    sections = [
        _measured(run),
        _shares(run),
        _calibration(run),
        _changed(run, pixels),
        _groups(run),
        _tried(run, verdict),
        _settings(run),
        _section(
            "Responsible use", "<ul>" + "".join(f"<li>{escaped(each)}</li>" for each in RESPONSIBLE_USE) + "</ul>"
        ),
    ]
    page = files("dcdan.reports").joinpath("templates", "adaptation.html").read_text(encoding="utf-8")
    return Template(page).substitute(
        title=escaped(f"{verdict.answer.value}: {run.settings.target}"),
        tone=_TONES[verdict.answer],
        answer=escaped(verdict.answer.value[:1].upper() + verdict.answer.value[1:]),
        reason=escaped(verdict.reason),
        estimate=interval_bar(verdict.estimate.value, verdict.estimate.low, verdict.estimate.high),
        by=escaped(_estimated_by(verdict, run)),
        tiles=_tiles(run),
        next=_next(verdict),
        sections="\n".join(sections),
    )


def _estimated_by(verdict: Verdict, run: RunFaces) -> str:
    low, high = percent(verdict.estimate.low), percent(verdict.estimate.high)
    who = "the model as it was" if verdict.model == "source" else f"the corrected model ({verdict.model})"
    measured = "measured on" if run.labels else "estimated by"
    return (
        f"Accuracy of {who} on these faces: {percent(verdict.estimate.value)}, 95 % interval {low} to {high}, "
        f"{measured} {verdict.estimate.name}."
    )


def _tiles(run: RunFaces) -> str:
    labelled = sum(label >= 0 for label in run.labels.values())
    shown = [
        (len(run.answers), "faces"),
        (len(run.answers.without), "pictures without a face"),
        (len(run.changed), "answers changed"),
        (labelled, "faces labelled"),
    ]
    return "".join(f'<div class="tile"><b>{number:,}</b><span>{name}</span></div>' for number, name in shown)


def _next(verdict: Verdict) -> str:
    if verdict.answer is Answer.UNKNOWN:
        text = "Open <code>label/faces.png</code>, fill in <code>label/labels.csv</code>, then run"
        return f"<p>{text}</p><pre>dcdan adapt --out RUN --labels RUN/label/labels.csv</pre>"
    return (
        "<p>This folder predicts with what the verdict says:</p><pre>dcdan predict PICTURES --model RUN</pre>"
        "<p>RUN is the folder of this page.</p>"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escaped(title)}</h2>{body}</section>"


def _measured(run: RunFaces) -> str:
    found: dict[str, dict[str, float]] = run.content.get("measured_accuracy") or {}
    if not found:
        return ""
    used = run.content["verdict"]["model"]
    rows = [
        [
            f"<b>{escaped(name)}</b>, used" if name == used else escaped(name),
            escaped(_WHAT.get(name, "")),
            percent(each["value"]),
            f"{percent(each['low'])} to {percent(each['high'])}",
            interval_bar(each["value"], each["low"], each["high"]),
        ]
        for name, each in found.items()
    ]
    note = (
        f"<p>From {run.content['labels']} labelled faces, weighted by how they were drawn; what the labels fitted is "
        "judged by leaving each labelled face out.</p>"
    )
    return _section("Accuracy by labels", note + table(["model", "what it is", "accuracy", "95 % interval", ""], rows))


def _shares(run: RunFaces) -> str:
    before, after = run.before, run.after
    named = [np.bincount(p.argmax(1), minlength=len(run.classes)) / max(1, len(p)) for p in (before, after)]
    rows = [(name, (float(named[0][k]), float(named[1][k]))) for k, name in enumerate(run.classes)]
    cells = [
        [escaped(name), *(percent(value, 1) for value in (*pair, before[:, k].mean(), after[:, k].mean()))]
        for k, (name, pair) in enumerate(rows)
    ]
    head = ["expression", "answers before", "answers now", "probability before", "probability now"]
    body = key_of({"before": "before", "after": "now"}) + bars(rows)
    return _section("Expressions before and now", body + _details("As a table", table(head, cells)))


def _calibration(run: RunFaces) -> str:
    at = {int(row): place for place, row in enumerate(run.sample.rows.tolist())}
    rows = [row for row, label in run.labels.items() if label >= 0 and row in at]
    if len(rows) < 8:
        return ""
    labels = np.array([run.labels[row] for row in rows])
    weights = run.sample.weights[[at[row] for row in rows]]
    lines, cells, shown = {}, [], (("before", run.before), ("now", run.after))
    for name, p in shown:
        confidence, right = p[rows].max(1), p[rows].argmax(1) == labels
        where = np.clip(np.digitize(confidence, BINS[1:-1], right=True), 0, len(BINS) - 2)
        found = []
        for bin_ in range(len(BINS) - 1):
            own = where == bin_
            if own.any():
                mean, share = (float(np.average(value[own], weights=weights[own])) for value in (confidence, right))
                found.append((mean, share))
                span = f"{percent(BINS[bin_])} to {percent(BINS[bin_ + 1])}"
                cells.append([name, span, str(int(own.sum())), percent(mean), percent(share)])
        lines[name] = found
    note = (
        "<p>On the labelled faces, weighted. A dot on the line says that answers given with this confidence are right "
        "as often. With so few faces a dot may lie 20 points off by chance.</p>"
    )
    head = ["", "confidence", "faces", "mean confidence", "right"]
    body = note + key_of({"before": "before", "after": "now"}) + reliability_svg(lines["before"], lines["now"])
    return _section("Confidence against truth", body + _details("As a table", table(head, cells)))


def _changed(run: RunFaces, pixels: Mapping[int, np.ndarray]) -> str:
    rows = run.changed
    if len(rows) == 0:
        return _section("Changed answers", "<p>No answer has changed.</p>")
    before, after = run.before, run.after
    cards = []
    for row in rows[:FACES].tolist():
        old, new = int(before[row].argmax()), int(after[row].argmax())
        picture = pixels.get(row)
        code = b"" if picture is None else cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
        label = run.labels.get(row, -1)
        cards.append(
            (
                bytes(code),
                f"{run.answers.paths[row]}, face {int(run.answers.faces[row]) + 1}",
                (run.classes[old], float(before[row, old])),
                (run.classes[new], float(after[row, new])),
                run.classes[label] if label >= 0 else "",
            )
        )
    pairs, counts = np.unique(np.stack([before[rows].argmax(1), after[rows].argmax(1)], 1), axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    cells = [
        [escaped(run.classes[a]), escaped(run.classes[b]), str(n)]
        for (a, b), n in zip(pairs[order].tolist(), counts[order].tolist(), strict=True)
    ]
    shown = f"the {len(cards)} surest of {len(rows)}" if len(rows) > len(cards) else f"all {len(rows)}"
    note = f"<p>Shown: {shown}; every face is in <code>{PREDICTIONS}</code>.</p>"
    counted = _details("What became what", table(["before", "now", "faces"], cells))
    return _section("Changed answers", note + face_cards(cards) + counted)


def _groups(run: RunFaces) -> str:
    names, numbers, sizes = np.unique(run.answers.groups, return_inverse=True, return_counts=True)
    if len(names) < 2:
        return ""
    before, after = run.before, run.after
    old, new = before.argmax(1), after.argmax(1)
    cells = []
    for group in np.argsort(-sizes, kind="stable")[:GROUPS].tolist():
        own = numbers.reshape(-1) == group
        top = [int(np.bincount(each[own], minlength=len(run.classes)).argmax()) for each in (old, new)]
        cells.append(
            [
                escaped(str(names[group])) or "<i>no group</i>",
                str(int(sizes[group])),
                percent(float((old[own] != new[own]).mean())),
                escaped(run.classes[top[0]]),
                escaped(run.classes[top[1]]),
                percent(float(after[own].max(1).mean())),
            ]
        )
    note = f"<p>The {GROUPS} largest of {len(names)}.</p>" if len(names) > GROUPS else ""
    head = ["group", "faces", "changed", "most often before", "most often now", "mean confidence now"]
    return _section("By group", note + table(head, cells))


def _tried(run: RunFaces, verdict: Verdict) -> str:
    measured: dict[str, Any] = run.content.get("measured_accuracy") or {}
    seen = {each["name"]: each for each in run.content.get("considered") or []}
    names = list(dict.fromkeys([*seen, *(run.content.get("tried") or []), *(n for n in measured if n != "source")]))
    if not names:
        return _section("What was tried", f"<p>Nothing. {escaped(verdict.reason)}</p>")
    base = measured.get("source", {}).get("value")
    cells = []
    for name in names:
        each = seen.get(name, {})
        if name in measured and base is not None:
            gain, why = f"{points(measured[name]['value'] - base)} (labels)", "Judged by the labels: see above."
        elif "gain" in each:
            gain, why = f"{points(each['gain'])} ± {100 * each['error']:.1f}", each["reason"]
        else:
            gain, why = "not known", each.get("reason", "Only labels can tell.")
        used = name == verdict.model
        why = verdict.reason if used else why
        cells.append(
            [escaped(name), escaped(_WHAT.get(name, "")), gain, "<b>used</b>" if used else "not used", escaped(why)]
        )
    return _section("What was tried", table(["correction", "what it is", "gain, points", "", "why"], cells))


def _settings(run: RunFaces) -> str:
    content = run.content
    pairs = {
        "command": content.get("command", ""),
        **{f"setting: {key}": value for key, value in run.settings.model_dump(mode="json").items()},
        **{f"version: {key}": value for key, value in (content.get("versions") or {}).items()},
        "seconds": content.get("seconds", ""),
    }
    cells = [[escaped(key), escaped("" if value is None else str(value)) or "-"] for key, value in pairs.items()]
    return _section("Settings and versions", table(["", ""], cells, plain=True))


def _details(title: str, body: str) -> str:
    return f"<details><summary>{escaped(title)}</summary>{body}</details>"
