"""What the demonstration leaves behind: ``index.html``, its pictures, and the figures as ``results.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dcdan.durable import write_text
from dcdan.evaluation.curves import curves_png, read_log, series
from dcdan.evaluation.mcnemar import McNemar, mcnemar
from dcdan.evaluation.metrics import class_scores
from dcdan.evaluation.page import percent, render
from dcdan.evaluation.report import Report
from dcdan.evaluation.sheet import Cell, Mark, Row, sheet_png
from dcdan.recognition.output import write_bytes
from dcdan.recognition.recogniser import Recogniser

if TYPE_CHECKING:
    from dcdan.data.pack import Pack
    from dcdan.training.settings import RunSettings

PAGE, RESULTS, SHEET, CURVES = "index.html", "results.json", "contact-sheet.png", "curves.png"
TITLES = {"source_only": "source-only", "adabn": "AdaBN", "dcdan": "DCD-DAN"}
WHAT = {
    "source_only": "learned from studio labels, nothing adapted",
    "adabn": "the same, with batch-norm statistics of street faces",
    "dcdan": "the same source stage, then adapted to unlabelled street faces",
}
COLUMNS, SHOWN = 3, 6


@dataclass(frozen=True)
class Scored:
    """A model and its scores on the target's test faces."""

    recogniser: Recogniser
    report: Report


def results(
    scored: Mapping[str, Scored], at_home: Report, validation: float | None, seconds: float | None
) -> dict[str, Any]:
    """Return all figures of the demonstration as plain JSON types."""
    test = compared(scored)
    return {
        "schema": 1,
        "gain": round(scored["dcdan"].report.accuracy - scored["source_only"].report.accuracy, 6),
        "mcnemar": {"only_source_only": test.only_first, "only_dcdan": test.only_second, "p_value": test.p_value},
        "source_validation": validation,
        "source_only_on_studio": at_home.to_dict(),
        "methods": {method: entry.report.to_dict() for method, entry in scored.items()},
        "seconds": None if seconds is None else round(seconds, 1),
    }


def compared(scored: Mapping[str, Scored]) -> McNemar:
    """Compare source-only (first) and DCD-DAN (second) on the test faces."""
    return mcnemar(scored["source_only"].report.correct, scored["dcdan"].report.correct)


def write_page(
    out: Path,
    scored: Mapping[str, Scored],
    at_home: Report,
    studio: Pack,
    street: Pack,
    settings: RunSettings,
    seconds: float | None,
) -> None:
    """Write pictures, results.json and, last, the page.

    Args:
        out: folder of the demonstration, with the runs in ``runs/``.
        scored: source_only, adabn and dcdan on the test faces of ``street``.
        at_home: the source-only model on the test faces of ``studio``.
        studio: the labelled source.
        street: the target, opened with its labels, which only this page reads.
        settings: of DCD-DAN's run.
        seconds: how long it took, None when it was interrupted.
    """
    source_log = out / "runs" / "source_only" / "log.jsonl"
    logs = {"source stage": source_log, "DCD-DAN": out / "runs" / "dcdan" / "log.jsonl"}
    curves = curves_png(logs)
    rows = street_rows(scored, street)
    validation = series(read_log(source_log), "source-epoch", "source_validation")[1]
    figures = results(scored, at_home, validation[-1] if validation else None, seconds)
    pictures = {SHEET: sheet_png(rows, columns=SHOWN)} | ({CURVES: curves} if curves else {})
    pictures |= {f"confusion-{method}.png": entry.report.confusion_png() for method, entry in scored.items()}
    for name, content in pictures.items():
        write_bytes(out / name, content)
    write_text(out / RESULTS, json.dumps(figures, indent=1) + "\n")
    page = render(
        "demo.html.j2",
        figures=figures,
        titles=TITLES,
        what=WHAT,
        samples=[samples_png(studio, labelled=True), samples_png(street, labelled=False)],
        cards=[
            {"name": row.heading, "png": sheet_png([row], columns=COLUMNS), "width": COLUMNS * 130 + 10} for row in rows
        ],
        recalls=recalls(scored),
        wide=curves,
        narrow=curves_png(logs, columns=1),
        confusions={method: pictures[f"confusion-{method}.png"] for method in ("source_only", "dcdan")},
        learned=len(studio.select("train")),
        settings=settings,
        provenance=at_home.provenance,
        specs=(studio.info.spec, street.info.spec),
        adapted=len(street.select("train")),
    )
    write_text(out / PAGE, page)


def recalls(scored: Mapping[str, Scored]) -> list[dict[str, Any]]:
    """Return the share of each expression's faces that source-only and DCD-DAN name rightly."""
    first, second = scored["source_only"].report, scored["dcdan"].report
    table = zip(first.classes, class_scores(first.confusion).recall, class_scores(second.confusion).recall, strict=True)
    return [{"name": name, "before": float(before), "after": float(after)} for name, before, after in table]


def street_rows(scored: Mapping[str, Scored], street: Pack) -> list[Row]:
    """Return test faces of each expression, drawn by lot, with what both models say of them."""
    test = street.select("test")
    lot = np.random.default_rng(0)
    rows = []
    for label, name in enumerate(street.classes):
        own = test[street.labels[test] == label]
        chosen = np.sort(lot.choice(own, min(SHOWN, len(own)), replace=False))
        faces = np.asarray(street.faces[chosen])
        before = answers(scored["source_only"].recogniser, faces, name, "S")
        after = answers(scored["dcdan"].recogniser, faces, name, "D")
        cells = tuple(Cell(*cell) for cell in zip(faces, zip(before, after, strict=True), strict=True))
        rows.append(Row(name, cells))
    return rows


def answers(recogniser: Recogniser, faces: np.ndarray, truth: str, tag: str) -> list[Mark]:
    """Return a line for each face ``(N, S, S[, 3])``: who says it, what, and how surely."""
    said = recogniser.recognise_faces(faces)
    named = [(recogniser.classes[index], p) for index, p in zip(said.expression, said.confidence, strict=True)]
    return [Mark(f"{tag} {name} {percent(float(p))}", name == truth) for name, p in named]


def samples_png(pack: Pack, *, labelled: bool) -> bytes:
    """Draw training faces of each expression, with their names where they teach."""
    train = pack.select("train")
    lot = np.random.default_rng(1)
    cells = []
    for label, name in enumerate(pack.classes):
        row = lot.choice(train[pack.labels[train] == label])
        cells.append(Cell(np.asarray(pack.faces[row]), (Mark(name if labelled else "?"),)))
    return sheet_png([Row("", tuple(cells))], columns=4)


def table(out: Path) -> list[str]:
    """Return the scores of a finished demonstration as lines of text."""
    figures = json.loads((out / RESULTS).read_text(encoding="utf-8"))
    lines = [f"{'street test faces':<20}{'accuracy':>10}{'95 % interval':>18}{'macro-F1':>10}{'UAR':>8}"]
    for method, scores in figures["methods"].items():
        low, high = (f"{100 * end:.1f}" for end in scores["accuracy_95"])
        accuracy, f1, uar = f"{100 * scores['accuracy']:.1f} %", scores["macro_f1"], scores["uar"]
        lines.append(f"{TITLES[method]:<20}{accuracy:>10}{f'{low} to {high}':>18}{f1:>10.3f}{uar:>8.3f}")
    return [*lines, f"DCD-DAN is {100 * figures['gain']:+.1f} points from source-only."]
