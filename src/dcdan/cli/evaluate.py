"""`dcdan evaluate`: a model's scores on labelled data, as a table, JSON and a picture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from dcdan.core.sanitize import printable

REPORT_NAME = "evaluation.json"
PICTURE_NAME = "confusion.png"
RELIABILITY_NAME = "reliability.png"


def evaluate(
    data: Annotated[str, typer.Option("--data", "-d", metavar="SPEC", help="A pack, reader:path, or a folder.")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="Run folder, name of a model of the package, or hf-hub:owner/name (default: the package's model).",
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="Split to score, or 'all' (default: test if any).")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Where the report goes (default: RUN/evaluation-DATA, or ./evaluation-MODEL-DATA).",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of a table.")] = False,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, metavar="N", help="Threads to use (default: all cores).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a report that is in --out already.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the scores.")] = False,
) -> None:
    """Score a model on labelled data: accuracy with its interval, macro-F1, UAR, each class, confusion matrix."""
    from json import dumps

    from dcdan.core.atomic_io import check_target, write_bytes
    from dcdan.evaluation.evaluate import evaluate as run

    if out is not None:
        check_target(out / REPORT_NAME, force=force)
    report = run(model, data, split=split, threads=threads, progress=not quiet)
    content = dumps(report.to_dict(), indent=2) + "\n"
    folder = default_folder(model, data, report.split) if out is None else out
    write_bytes(folder / PICTURE_NAME, report.confusion_png())
    write_bytes(folder / RELIABILITY_NAME, report.reliability_png())
    write_bytes(folder / REPORT_NAME, content.encode())
    if json:
        typer.echo(content, nl=False)
    else:
        from dcdan.core.console import Console

        Console().print(report.table())
    if not quiet:
        typer.echo(printable(f"{PICTURE_NAME}, {RELIABILITY_NAME} and {REPORT_NAME} written to {folder}"), err=True)


def default_folder(model: str | None, data: str, split: str) -> Path:
    """Return where a report goes without ``--out``: into the run folder, else into this folder under the model's name.

    >>> str(default_folder("ferplus-mobilenetv2-64", "packs/lfw", "all"))
    'evaluation-ferplus-mobilenetv2-64-lfw'
    """
    from dcdan.inference.resolver import WEIGHTS, hub_folder, resolve_model

    run, name = resolve_model(model).folder, folder_name(data, split)
    if any(run.resolve().is_relative_to(folder.resolve()) for folder in (WEIGHTS, hub_folder())):
        return Path(f"evaluation-{run.name}-{name}")
    return run / f"evaluation-{name}"


def folder_name(data: str, split: str) -> str:
    """Return a short name for a folder: the reader or the last part of the path, and the split.

    >>> folder_name("ferplus:/data/FERPlus?votes=majority", "test"), folder_name("packs/lfw/", "all")
    ('ferplus-test', 'lfw')
    """
    head = data.rpartition("?")[0] or data
    reader, colon, rest = head.partition(":")
    name = Path(rest or head).name if not colon or len(reader) < 2 else reader
    if colon and rest and "/" not in rest:
        name = f"{reader}-{rest}"
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "data"
    return safe if split == "all" else f"{safe}-{re.sub(r'[^A-Za-z0-9._-]+', '-', split)}"
