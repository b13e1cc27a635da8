"""The demonstration: a whole adaptation on drawn faces.

A model is trained on labelled studio faces and adapted to unlabelled street faces. The folder then holds
``index.html``, its pictures, and the figures as ``results.json``.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from dcdan.core.atomic_io import write_bytes, write_text
from dcdan.core.errors import OutputError
from dcdan.core.limits import read_log
from dcdan.core.locks import LOCK
from dcdan.datasets.spec import is_pack, open_reader, parse_spec
from dcdan.evaluation.evaluate import evaluate_pack
from dcdan.evaluation.report import Report
from dcdan.inference.recogniser import Recogniser, load
from dcdan.metrics.classification import class_scores
from dcdan.metrics.significance import McNemar, mcnemar
from dcdan.models.network import NetworkSettings
from dcdan.packs.build import build_pack
from dcdan.packs.pack import Pack
from dcdan.plots.contact_sheet import Mark, SheetCell, SheetRow, sheet_png
from dcdan.plots.curves import curves_png, series
from dcdan.reports.page import percent, render
from dcdan.reports.run_report import write_run_report
from dcdan.training.augment import AugmentSettings
from dcdan.training.run import train_run
from dcdan.training.run_folder import holds_something
from dcdan.training.settings import AdaptationStage, RunSettings, SourceStage

if TYPE_CHECKING:
    from dcdan.packs.pack import Pack
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
class ScoredModel:
    """A model and its scores on the test faces of the target.

    Attributes:
        recogniser: the model.
        report: its scores.
    """

    recogniser: Recogniser
    report: Report


def results(
    scored: Mapping[str, ScoredModel], at_home: Report, validation: float | None, seconds: float | None
) -> dict[str, Any]:
    """Return all figures of the demonstration as plain JSON types.

    Args:
        scored: method -> model and scores on the street test faces.
        at_home: scores of the source-only model on the studio test faces.
        validation: its accuracy on held-out source faces, 0..1; None where it was not measured.
        seconds: duration of the demonstration; None when it was interrupted.
    """
    test = compare_methods(scored)
    return {
        "schema": 1,
        "gain": round(scored["dcdan"].report.accuracy - scored["source_only"].report.accuracy, 6),
        "mcnemar": {"only_source_only": test.only_first, "only_dcdan": test.only_second, "p_value": test.p_value},
        "source_validation": validation,
        "source_only_on_studio": at_home.to_dict(),
        "methods": {method: entry.report.to_dict() for method, entry in scored.items()},
        "seconds": None if seconds is None else round(seconds, 1),
    }


def compare_methods(scored: Mapping[str, ScoredModel]) -> McNemar:
    """Compare source-only (first) and DCD-DAN (second) on the test faces by McNemar's test.

    Args:
        scored: method -> model and scores.
    """
    return mcnemar(scored["source_only"].report.correct, scored["dcdan"].report.correct)


def write_page(
    out: Path,
    scored: Mapping[str, ScoredModel],
    at_home: Report,
    studio: Pack,
    street: Pack,
    settings: RunSettings,
    seconds: float | None,
) -> None:
    """Write pictures, ``results.json`` and, last, the page.

    Args:
        out: folder of the demonstration, with the runs in ``runs/``.
        scored: source_only, adabn and dcdan on the test faces of ``street``.
        at_home: the source-only model on the test faces of ``studio``.
        studio: the labelled source.
        street: the target, opened with its labels, which only this page reads.
        settings: settings of the DCD-DAN run.
        seconds: duration of the demonstration; None when it was interrupted.

    Raises:
        OutputError: when a file cannot be written.
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


def recalls(scored: Mapping[str, ScoredModel]) -> list[dict[str, Any]]:
    """Return the recall of each expression by source-only and by DCD-DAN.

    Args:
        scored: method -> model and scores.

    Returns:
        One dict for each class: ``name``, and ``before`` and ``after``, 0..1.
    """
    first, second = scored["source_only"].report, scored["dcdan"].report
    table = zip(first.classes, class_scores(first.confusion).recall, class_scores(second.confusion).recall, strict=True)
    return [{"name": name, "before": float(before), "after": float(after)} for name, before, after in table]


def street_rows(scored: Mapping[str, ScoredModel], street: Pack) -> list[SheetRow]:
    """Return random test faces of each expression with the predictions of both models.

    Args:
        scored: method -> model and scores.
        street: the target, opened with its labels.
    """
    test = street.select("test")
    lot = np.random.default_rng(0)
    rows = []
    for label, name in enumerate(street.classes):
        own = test[street.labels[test] == label]
        chosen = np.sort(lot.choice(own, min(SHOWN, len(own)), replace=False))
        faces = np.asarray(street.faces[chosen])
        before = answers(scored["source_only"].recogniser, faces, name, "S")
        after = answers(scored["dcdan"].recogniser, faces, name, "D")
        cells = tuple(SheetCell(*cell) for cell in zip(faces, zip(before, after, strict=True), strict=True))
        rows.append(SheetRow(name, cells))
    return rows


def answers(recogniser: Recogniser, faces: np.ndarray, truth: str, tag: str) -> list[Mark]:
    """Return a line for each face: the tag of the model, its prediction and the probability.

    Args:
        recogniser: the model.
        faces: ``(N, S, S, 3)`` RGB or ``(N, S, S)`` grey, uint8.
        truth: the labelled expression of all faces.
        tag: one letter for the model.
    """
    said = recogniser.recognise_faces(faces)
    named = [(recogniser.classes[index], p) for index, p in zip(said.expression, said.confidence, strict=True)]
    return [Mark(f"{tag} {name} {percent(float(p))}", name == truth) for name, p in named]


def samples_png(pack: Pack, *, labelled: bool) -> bytes:
    """Draw one random training face of each expression.

    Args:
        pack: the faces.
        labelled: whether to write the expression below each face, instead of a question mark.

    Returns:
        The bytes of a PNG file.
    """
    train = pack.select("train")
    lot = np.random.default_rng(1)
    cells = []
    for label, name in enumerate(pack.classes):
        row = lot.choice(train[pack.labels[train] == label])
        cells.append(SheetCell(np.asarray(pack.faces[row]), (Mark(name if labelled else "?"),)))
    return sheet_png([SheetRow("", tuple(cells))], columns=4)


def table(out: Path) -> list[str]:
    """Return the scores of a finished demonstration as lines of text.

    Args:
        out: folder of the demonstration.
    """
    figures = json.loads((out / RESULTS).read_text(encoding="utf-8"))
    lines = [f"{'street test faces':<20}{'accuracy':>10}{'95 % interval':>18}{'macro-F1':>10}{'UAR':>8}"]
    for method, scores in figures["methods"].items():
        low, high = (f"{100 * end:.1f}" for end in scores["accuracy_95"])
        accuracy, f1, uar = f"{100 * scores['accuracy']:.1f} %", scores["macro_f1"], scores["uar"]
        lines.append(f"{TITLES[method]:<20}{accuracy:>10}{f'{low} to {high}':>18}{f1:>10.3f}{uar:>8.3f}")
    return [*lines, f"DCD-DAN is {100 * figures['gain']:+.1f} points from source-only."]


MARK = "demo.json"
METHODS = ("source_only", "adabn", "dcdan")

TRAINING = RunSettings(
    size=64,
    pretrained="no",
    precision="fp32",
    network=NetworkSettings(trunk="mobilenetv2_050", width=128),
    source=SourceStage(epochs=12, batch=32, lr=0.08),
    adaptation=AdaptationStage(epochs=5, batch=32, lr=0.04),
    augment=AugmentSettings(rotation=6, scale=0.06, shift=0.03),
)
"""Small enough for two cores and four minutes; chosen by the source's validation faces and label-free signals."""


class DemoSettings(BaseModel):
    """Faces that a demonstration draws, and settings of its training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    faces: int = Field(2000, ge=70)
    """Faces of each domain; a quarter are kept for the test."""
    seed: int = Field(0, ge=0)
    training: RunSettings = TRAINING

    def spec(self, domain: str) -> str:
        """Return the spec of the faces of a domain.

        Args:
            domain: ``studio`` or ``street``.

        Example:
            >>> DemoSettings(faces=100).spec("street")
            'synthetic:street?n=100&seed=0'
        """
        return f"synthetic:{domain}?n={self.faces}&seed={self.seed}"

    def of(self, method: str) -> RunSettings:
        """Return the settings of the run of a method. Method options apply to DCD-DAN alone.

        Args:
            method: name of the method.
        """
        options = self.training.options if method == "dcdan" else {}
        return self.training.model_copy(update={"method": method, "seed": self.seed, "options": options})


def run_demo(
    out: Path,
    *,
    force: bool = False,
    quiet: bool = False,
    settings: DemoSettings | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """Draw faces, train three methods, score them, and write the page.

    A demonstration that was interrupted resumes where it stopped.

    Args:
        out: folder of the demonstration.
        force: replace a demonstration that is complete. Anything else is never replaced.
        quiet: show no progress bars.
        settings: faces and training; None for the defaults.
        say: called with a sentence before each step.

    Returns:
        The page.

    Raises:
        OutputError: when ``out`` holds something else, or a complete demonstration and ``force`` is not given.
        Interrupted: when the user stops the training.
    """
    settings = settings or DemoSettings()
    out = out.resolve()
    began = time.time()
    fresh = open_demo_folder(out, settings, force)
    say(f"drawing {settings.faces:,} studio faces and {settings.faces:,} street faces")
    studio, street = (domain_pack(out, domain, settings, quiet) for domain in ("studio", "street"))
    shared = out / "runs" / METHODS[0]
    for method in METHODS:
        run = out / "runs" / method
        if (run / "report.html").exists():
            continue
        say(f"training: {method}" + ("" if run == shared else ", from the same source stage"))
        start = None if run == shared else shared
        train_run(str(studio), str(street), run, settings.of(method), start, quiet, "dcdan demo")
    say("scoring on the street faces that were kept for the test")
    faces = Pack.open(street)
    scored = {}
    for method in METHODS:
        recogniser = load(out / "runs" / method, align="none")
        scored[method] = ScoredModel(
            recogniser, evaluate_pack(recogniser, faces, data=settings.spec("street"), split="test")
        )
    at_home = evaluate_pack(
        scored["source_only"].recogniser, Pack.open(studio), data=settings.spec("studio"), split="test"
    )
    report = out / "runs" / "dcdan"
    if not (report / "report.html").exists():
        write_run_report(report, Pack.open(street, labelled=False), recogniser=scored["dcdan"].recogniser)
    seconds = time.time() - began if fresh else None
    write_page(out, scored, at_home, Pack.open(studio), faces, settings.of("dcdan"), seconds)
    return out / PAGE


def domain_pack(out: Path, domain: str, settings: DemoSettings, quiet: bool) -> Path:
    """Return the pack of the faces of a domain. They are drawn unless an earlier call did.

    Args:
        out: folder of the demonstration.
        domain: ``studio`` or ``street``.
        settings: number and size of the faces.
        quiet: show no progress bar.
    """
    place, spec = out / "packs" / domain, settings.spec(domain)
    if not is_pack(place):
        reader = open_reader(parse_spec(spec))
        build_pack(reader, place, size=settings.training.size, progress=not quiet, spec_text=spec)
    return place


def open_demo_folder(out: Path, settings: DemoSettings, force: bool) -> bool:
    """Make the folder of a demonstration, or accept one that holds the same demonstration unfinished.

    Args:
        out: the folder.
        settings: settings of the demonstration.
        force: whether to replace another or complete demonstration.

    Returns:
        Whether the demonstration is new.

    Raises:
        OutputError: when the folder holds something else, or a demonstration that may not be replaced.
    """
    about = {"schema": 1, "dcdan": version("dcdan"), "settings": settings.model_dump(mode="json")}
    mark = out / MARK
    if out.exists() and (not out.is_dir() or holds_something(out)):
        found = read_demo_metadata(mark)
        if found is None:
            raise OutputError(f"'{out}' exists and is no demonstration of dcdan: choose another --out.")
        complete = (out / PAGE).exists()
        if found == about and not complete:
            return False
        if not force:
            what = "a complete demonstration" if complete else "the beginning of another demonstration"
            raise OutputError(f"'{out}' holds {what}: choose another --out, or replace it with --force.")
        for old in sorted(out.iterdir(), key=lambda path: path.name == MARK):  # the mark last: it can be forced again
            if old.is_dir() and not old.is_symlink():
                shutil.rmtree(old)
            elif old.name != LOCK:
                old.unlink()
    write_text(mark, json.dumps(about, indent=1) + "\n")
    return True


def read_demo_metadata(mark: Path) -> Mapping[str, Any] | None:
    """Read the record in the folder of a demonstration.

    Args:
        mark: the file :data:`MARK` of the folder.

    Returns:
        Its content; None when the folder holds no demonstration.
    """
    try:
        found = json.loads(mark.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("schema") == 1 else None
