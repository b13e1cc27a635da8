"""`dcdan evaluate`: scores of a model on labelled data, as a table, JSON and pictures."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from dcdan.cli import options
from dcdan.core.errors import DataError
from dcdan.core.sanitize import printable

REPORT_NAME = "evaluation.json"
PICTURE_NAME = "confusion.png"
RELIABILITY_NAME = "reliability.png"
GROUPS_NAME = "groups.png"
_LONGEST = 100


def evaluate(
    data: Annotated[str, typer.Option("--data", "-d", metavar="SPEC", help="A pack, reader:path, or a folder.")],
    model: options.Model = None,
    split: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="Split to score, or 'all' (default: test if any).")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="Folder of the report.",
            show_default="RUN/evaluation-DATA, or ./evaluation-MODEL-DATA",
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="COLUMN",
            help="Score by group too: a group of the data (gender, group.age), or size, blur, yaw, brightness; "
            "repeatable.",
        ),
    ] = None,
    json: options.Json = False,
    limit: options.Limit = None,
    threads: options.Threads = None,
    strict: options.Strict = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Score a model on labelled data: accuracy with its interval, macro-F1, UAR, each class, confusion matrix.

    The report, the confusion matrix and the reliability diagram are written to a folder whose name tells model, data,
    split, shift and limit apart; with --by also a picture of the groups and the confusion of the worst group. An
    earlier report there is never replaced without --force.
    """
    from json import dumps

    from dcdan.core.atomic_io import check_target, write_bytes
    from dcdan.evaluation.evaluate import evaluate as run

    if limit is not None:
        data = with_option(data, "limit", str(limit))
    if out is not None:
        check_target(out / REPORT_NAME, force=force)
    elif split is not None:  # otherwise the data decides the split, and the name is known after the scoring
        check_target(default_folder(model, data, split) / REPORT_NAME, force=force)
    report = run(model, data, split=split, by=by or (), threads=threads, progress=not quiet)
    content = dumps(report.to_dict(), indent=2) + "\n"
    folder = default_folder(model, data, report.split) if out is None else out
    check_target(folder / REPORT_NAME, force=force)
    write_bytes(folder / PICTURE_NAME, report.confusion_png())
    write_bytes(folder / RELIABILITY_NAME, report.reliability_png())
    pictures = [PICTURE_NAME, RELIABILITY_NAME]
    if report.by:
        write_bytes(folder / GROUPS_NAME, report.groups_png())
        pictures.append(GROUPS_NAME)
        for column, picture in report.worst_group_pngs().items():
            pictures.append(f"worst-{_safe(column) or 'group'}.png")
            write_bytes(folder / pictures[-1], picture)
    write_bytes(folder / REPORT_NAME, content.encode())
    if json:
        typer.echo(content, nl=False)
    else:
        from dcdan.core.console import Console

        Console().print(report.table())
    if not quiet:
        typer.echo(printable(f"{', '.join(pictures)} and {REPORT_NAME} written to {folder}"), err=True)
    if strict and report.lost:
        lost = ", ".join(f"{count} {status}" for status, count in report.lost.items())
        raise DataError(f"{sum(report.lost.values())} images of '{data}' gave no face (--strict): {lost}.")


def default_folder(model: str | None, data: str, split: str) -> Path:
    """Return where a report goes without ``--out``.

    That is the run folder, or, for models that are not the user's (of the package, of the hub), the current folder. The
    name never is that of a model.

    Example:
        >>> str(default_folder("small", "packs/lfw?shift=blur&severity=3", "all"))
        'evaluation-small-lfw-shift-blur-severity-3'
    """
    from dcdan.inference.resolver import WEIGHTS, hub_folder, resolve_model

    resolved = resolve_model(model)
    run, name = resolved.folder, folder_name(data, split)
    if resolved.precision == "int8":
        name = f"int8-{name}"
    if any(run.resolve().is_relative_to(folder.resolve()) for folder in (WEIGHTS, hub_folder())):
        return Path(f"evaluation-{run.name}-{name}")
    return run / f"evaluation-{name}"


def folder_name(data: str, split: str) -> str:
    """Return a short name for a folder: the reader or the last part of the path, the options of the spec, the split.

    Example:
        >>> folder_name("ferplus:/data/FERPlus?votes=majority", "test"), folder_name("packs/lfw/", "all")
        ('ferplus-votes-majority-test', 'lfw')
    """
    head, mark, query = data.rpartition("?")
    if not mark:
        head, query = data, ""
    reader, colon, rest = head.partition(":")
    name = Path(rest or head).name if not colon or len(reader) < 2 else reader
    if colon and rest and "/" not in rest:
        name = f"{reader}-{rest}"
    chosen = [item for item in query.split("&") if item and not item.startswith("split=")]
    parts = [_safe(name) or "data", *(_safe(item) for item in chosen), *([] if split == "all" else [_safe(split)])]
    text = "-".join(part for part in parts if part)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 11]}-{sha256(text.encode()).hexdigest()[:10]}"


def with_option(data: str, name: str, value: str) -> str:
    """Return a spec with one more option.

    Example:
        >>> with_option("packs/lfw", "limit", "5"), with_option("ferplus:/data?split=test", "limit", "5")
        ('packs/lfw?limit=5', 'ferplus:/data?split=test&limit=5')
    """
    return f"{data}{'&' if '?' in data else '?'}{name}={value}"


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")
