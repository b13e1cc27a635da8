"""The demonstration: drawn studio faces teach, street faces without labels are adapted to, a page tells the rest."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from dcdan.data.augment import AugmentSettings
from dcdan.data.build import build_pack
from dcdan.data.pack import Pack
from dcdan.data.spec import is_pack, open_reader, parse_spec
from dcdan.durable import write_text
from dcdan.errors import OutputError
from dcdan.evaluation.demo_page import PAGE, Scored, write_page
from dcdan.evaluation.evaluate import evaluate_pack
from dcdan.evaluation.run_report import write_run_report
from dcdan.lock import LOCK
from dcdan.models.network import NetworkSettings
from dcdan.recognition.recogniser import load
from dcdan.training.folder import holds_something
from dcdan.training.run import train_run
from dcdan.training.settings import AdaptationStage, RunSettings, SourceStage

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
    """What a demonstration draws and how it trains."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    faces: int = Field(2000, ge=70)
    """Faces of each domain; a quarter are kept for the test."""
    seed: int = Field(0, ge=0)
    training: RunSettings = TRAINING

    def spec(self, domain: str) -> str:
        """Return the spec of a domain's faces."""
        return f"synthetic:{domain}?n={self.faces}&seed={self.seed}"

    def of(self, method: str) -> RunSettings:
        """Return the settings of a method's run; the training's options are DCD-DAN's."""
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
    """Draw, train, score and write it all up in the folder ``out``; return the page.

    A demonstration that was interrupted goes on where it stopped. ``force`` replaces one that is complete, and never
    anything else. ``say`` is told what happens next.

    Raises:
        OutputError: when ``out`` holds something else, or a complete demonstration and ``force`` is not given.
        Interrupted: when the user stops the training.
    """
    settings = settings or DemoSettings()
    out = out.resolve()
    began = time.time()
    fresh = claim(out, settings, force)
    say(f"drawing {settings.faces:,} studio faces and {settings.faces:,} street faces")
    studio, street = (packed(out, domain, settings, quiet) for domain in ("studio", "street"))
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
        scored[method] = Scored(
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


def packed(out: Path, domain: str, settings: DemoSettings, quiet: bool) -> Path:
    """Return the pack of a domain's faces, drawn unless an earlier call did."""
    place, spec = out / "packs" / domain, settings.spec(domain)
    if not is_pack(place):
        reader = open_reader(parse_spec(spec))
        build_pack(reader, place, size=settings.training.size, progress=not quiet, spec_text=spec)
    return place


def claim(out: Path, settings: DemoSettings, force: bool) -> bool:
    """Make the folder, or accept one that holds the same demonstration unfinished; return whether it is new."""
    about = {"schema": 1, "dcdan": version("dcdan"), "settings": settings.model_dump(mode="json")}
    mark = out / MARK
    if out.exists() and (not out.is_dir() or holds_something(out)):
        found = earlier(mark)
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


def earlier(mark: Path) -> Mapping[str, Any] | None:
    """Return what the folder of a demonstration says of itself, or None when it is none."""
    try:
        found = json.loads(mark.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("schema") == 1 else None
