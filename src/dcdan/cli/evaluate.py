"""`dcdan evaluate`: scores of a model on labelled data, as a table, JSON and pictures."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from dcdan.core.sanitize import printable

REPORT_NAME = "evaluation.json"
PICTURE_NAME = "confusion.png"
RELIABILITY_NAME = "reliability.png"
_LONGEST = 100


def evaluate(
    model: Annotated[Path, typer.Option("--model", "-m", metavar="RUN", help="Run folder written by `dcdan adapt`.")],
    data: Annotated[str, typer.Option("--data", "-d", metavar="SPEC", help="A pack, reader:path, or a folder.")],
    split: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="Split to score, or 'all' (default: test if any).")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Where the report goes (default: RUN/evaluation-DATA; evaluation-MODEL-DATA for one of the package).",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of a table.")] = False,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, metavar="N", help="Threads to use (default: all cores).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a report that is there already.")] = False,
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
    folder = out or free_folder(default_folder(model, data, report.split), content, force=force)
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


def default_folder(model: str | Path | None, data: str, split: str) -> Path:
    """Return where a report goes without ``--out``.

    Args:
        model: a run folder, or the name of a model of the package; None for the package's default model.
        data: the spec of the data.
        split: the split that was scored, ``all`` for every image.

    Returns:
        ``RUN/evaluation-DATA`` for a run folder. For a model of the package, which is never written into,
        ``evaluation-MODEL-DATA`` in the working directory, a name that no model has.

    Example:
        >>> str(default_folder("ferplus-mobilenetv2-64", "packs/lfw", "all"))
        'evaluation-ferplus-mobilenetv2-64-lfw'
    """
    from dcdan.inference.bundled import WEIGHTS, model_folder

    run, name = model_folder(model), folder_name(data, split)
    if run.resolve().is_relative_to(WEIGHTS.resolve()):
        return Path(f"evaluation-{run.name}-{name}")
    return run / f"evaluation-{name}"


def free_folder(folder: Path, content: str, *, force: bool = False) -> Path:
    """Return a folder that holds no other report: ``folder`` itself, or the first free one of ``folder-2``, ``-3``, ...

    Args:
        folder: the wanted folder.
        content: the report to write. A folder that holds this very report counts as free.
        force: whether a report may be replaced.
    """
    place, number = folder, 1
    while not force and (place / REPORT_NAME).exists() and (place / REPORT_NAME).read_text("utf-8") != content:
        number += 1
        place = folder.with_name(f"{folder.name}-{number}")
    return place


def folder_name(data: str, split: str) -> str:
    """Return a short name for the folder of a report: the data, its options and the split.

    Options are a part of the name, so that the same faces under a shift, or a limited number of them, have a folder of
    their own.

    Args:
        data: the spec of the data.
        split: the split that was scored, ``all`` for every image.

    Returns:
        A name of letters, digits, dots, dashes and underscores, at most 100 characters.

    Example:
        >>> folder_name("ferplus:/data/FERPlus?votes=majority", "test"), folder_name("packs/lfw/", "all")
        ('ferplus-votes-majority-test', 'lfw')
        >>> folder_name("packs/lfw?shift=blur&severity=3", "all"), folder_name("packs/lfw?limit=50", "all")
        ('lfw-shift-blur-severity-3', 'lfw-limit-50')
    """
    head, mark, query = data.rpartition("?")
    head, query = (head, query) if mark else (data, "")
    reader, colon, rest = head.partition(":")
    name = Path(rest or head).name if not colon or len(reader) < 2 else reader
    if colon and rest and "/" not in rest:
        name = f"{reader}-{rest}"
    options = [part.split("=", 1) for part in query.split("&") if part]
    parts = [_safe(name) or "data", *(_safe("-".join(option)) for option in options if option[0] != "split")]
    parts += [] if split == "all" else [_safe(split)]
    text = "-".join(part for part in parts if part)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 11]}-{sha256(text.encode()).hexdigest()[:10]}"


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")
