"""`dcdan adapt`: from your faces, with or without a labelled source set, to a model, a verdict and predictions."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcdan.cli import options
from dcdan.cli.methods import help_text
from dcdan.core.errors import UsageError
from dcdan.core.sanitize import printable

if TYPE_CHECKING:
    from dcdan.adaptation.job import Outcome

EPILOG = help_text


METHOD_OPTIONS = ("--method", "--shares", "--seed", "--epochs", "--set", "--model", "--limit", "--force")
"""What belongs to a published method without a source set."""


class GroupChoice(StrEnum):
    """Values of ``--groups``."""

    AUTO = "auto"
    ALIKE = "alike"
    NONE = "none"


def adapt(
    context: typer.Context,
    out: options.Out,
    target: Annotated[
        str | None,
        typer.Option(
            "--target", "-t", metavar="SPEC", help="Your faces, without labels: a folder, a pack, or reader:path."
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source", "-s", metavar="SPEC", help="Labelled faces to train on; leave it out if you have none."
        ),
    ] = None,
    shares: Annotated[
        str | None,
        typer.Option(
            "--shares",
            metavar="SHARES",
            help="Without --source, what you know of the faces: balanced, source, or happiness=.3,neutral=.5,...",
        ),
    ] = None,
    groups: Annotated[
        GroupChoice | None,
        typer.Option(
            "--groups",
            metavar="auto | alike | none",
            help="Without --source: sub-folders are persons or cameras; alike: each shows the same expressions.",
            show_default="auto",
        ),
    ] = None,
    rungs: Annotated[
        str | None,
        typer.Option(
            "--rungs",
            metavar="NAMES",
            help="Without --source, what is adapted: output,statistics,training; the last two need torch.",
            show_default="output",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="CSV", help="Go on with the run in --out by this labels.csv, filled in."),
    ] = None,
    ask: Annotated[
        bool, typer.Option("--ask", help="Go on with the run in --out: label its faces here, one by one.")
    ] = False,
    faces: Annotated[
        int | None,
        typer.Option(
            "--label-faces", min=1, metavar="N", help="How many faces to draw for labelling.", show_default="40"
        ),
    ] = None,
    model: options.Model = None,
    limit: options.Limit = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help="A name that `dcdan methods` lists; without --source, of those that need none.",
            show_default="dcdan",
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", metavar="NAME", help="Of dcdan: default or paper.", show_default="default")
    ] = None,
    trunk: Annotated[
        str | None,
        typer.Option(
            "--trunk", metavar="NAME", help="Any timm model, for example resnet50.", show_default="mobilenetv2_100"
        ),
    ] = None,
    size: options.Size = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="Seed of all random choices.", show_default="0")
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(
            "--epochs", metavar="N", help="Passes of the adaptation; --set source.epochs=N for the source stage."
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", metavar="N", help="Train for about this long in place of a number of epochs."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="MODEL", help="Take over the source stage of this finished run."),
    ] = None,
    config: options.Config = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting, for example source.lr=0.05.")
    ] = None,
    threads: options.Threads = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Adapt a recogniser to faces without labels.

    Without --source: corrects the output of a finished model for your faces, and says whether to use that. Writes
    run.json, model.json, model.onnx, predictions.csv and label/ (40 faces to label, which helps most).

    Without --source, with --method: adapts the model by a published method, for comparison; there is no verdict.

    With --source: trains. Writes config.toml, run.json, log.jsonl, checkpoints, model.safetensors, model.onnx,
    model.json, predictions.csv and report.html. The same command resumes a run that was stopped.

    On several devices: torchrun --nproc-per-node N -m dcdan adapt ...
    """
    training = {
        "--method": method, "--preset": preset, "--trunk": trunk, "--size": size, "--seed": seed,
        "--epochs": epochs, "--start": start, "--config": config, "--set": settings or None,
    }  # fmt: skip
    alone = {
        "--shares": shares, "--groups": groups, "--rungs": rungs, "--labels": labels, "--ask": ask or None,
        "--label-faces": faces,
        "--model": model, "--limit": limit, "--threads": threads, "--force": force or None,
    }  # fmt: skip
    command = shlex.join(["dcdan", *context.obj])
    by_method = source is None and method is not None
    if by_method:
        training = {name: value for name, value in training.items() if name not in METHOD_OPTIONS}
        training |= {name: value for name, value in alone.items() if name not in METHOD_OPTIONS}
        training |= {"--minutes": minutes}
    given = training if source is None else alone
    wrong = [name for name, value in given.items() if value is not None]
    if wrong:
        hint = "needs --source" if source is None else "is for adapting without --source"
        hint = "has no meaning for a --method without --source" if by_method else hint
        raise UsageError(f"{wrong[0]} {hint}: leave one of the two out, or see `dcdan adapt --help`.")
    if by_method:
        _by_method(
            target, out, command, str(method), model, settings or [], shares=shares, seed=seed, passes=epochs,
            limit=limit, force=force, quiet=quiet,
        )  # fmt: skip
        return
    if source is None:
        if labels is not None or ask:
            if target is not None:
                raise UsageError("--labels and --ask go on with the run in --out: leave out --target.")
            _with_labels(out, labels, faces, threads, command, ask=ask, quiet=quiet)
        elif target is None and faces is not None and out.exists():
            _with_labels(out, None, faces, threads, command, ask=False, quiet=quiet)
        elif target is None:
            raise UsageError("Give --target with your faces, or --labels or --ask to go on with the run in --out.")
        else:
            _without_source(
                target, out, command, shares=shares, groups=groups, rungs=rungs, model=model, limit=limit, count=faces,
                minutes=minutes, threads=threads, force=force, quiet=quiet,
            )  # fmt: skip
        return
    if target is None:
        raise UsageError("--source needs --target: give the faces to adapt to.")
    from dcdan.api import adapt as run
    from dcdan.training.settings import read_settings

    chosen = read_settings(
        config,
        settings or [],
        method=method,
        preset=preset,
        size=size,
        seed=seed,
        network__trunk=trunk,
        adaptation__epochs=epochs,
        minutes=minutes,
    )
    run(source, target, out, settings=chosen, start=start, progress=not quiet, command=command)
    if not quiet and os.environ.get("RANK", "0") == "0":
        typer.echo(printable(f"Done: {out / 'report.html'}"), err=True)
        typer.echo(printable(f"Next: dcdan predict PATH... --model {out}"), err=True)


def _by_method(
    target: str | None,
    out: Path,
    command: str,
    method: str,
    model: str | None,
    assignments: list[str],
    *,
    shares: str | None,
    seed: int | None,
    passes: float | None,
    limit: int | None,
    force: bool,
    quiet: bool,
) -> None:
    if target is None:
        raise UsageError("--method needs your faces: give --target.")
    from dcdan.export.source_free import adapt_by_method, parse_settings
    from dcdan.methods.source_free.base import find_source_free

    loop, options = parse_settings(find_source_free(method), assignments, seed=seed, passes=passes)
    done = adapt_by_method(
        target,
        out,
        method,
        model=model,
        settings=loop,
        options=options,
        shares=shares,
        limit=limit,
        force=force,
        progress=not quiet,
        command=command,
    )
    for line in done.lines():
        typer.echo(printable(line))
    if not quiet:
        typer.echo(printable(f"Next: dcdan predict PATH... --model {out}"), err=True)


def _without_source(
    target: str,
    out: Path,
    command: str,
    *,
    shares: str | None,
    groups: GroupChoice | None,
    rungs: str | None,
    model: str | None,
    limit: int | None,
    count: int | None,
    minutes: float | None,
    threads: int | None,
    force: bool,
    quiet: bool,
) -> None:
    from dcdan.adaptation.folder import OutputRun
    from dcdan.adaptation.groups import Grouping
    from dcdan.adaptation.job import adapt_to_faces
    from dcdan.adaptation.rungs import parse_rungs
    from dcdan.adaptation.sheet import COUNT
    from dcdan.api import rung_maker

    if minutes is not None and minutes <= 0:
        raise UsageError(f"--minutes must be above 0, not {minutes:g}.")
    asked = OutputRun(
        target=target,
        model=model or "",
        shares=shares or "",
        groups=Grouping(groups.value if groups is not None else "auto"),
        limit=limit,
        rungs=",".join(parse_rungs(rungs)) if rungs else "",
    )
    outcome = adapt_to_faces(
        asked,
        out,
        count=count or COUNT,
        minutes=minutes,
        threads=threads,
        force=force,
        progress=not quiet,
        command=command,
        say=_say(quiet),
        maker=rung_maker() if rungs else None,
    )
    _tell(out, outcome, quiet)


def _with_labels(
    out: Path, table: Path | None, count: int | None, threads: int | None, command: str, *, ask: bool, quiet: bool
) -> None:
    from dcdan.adaptation.job import continue_with_labels

    asker = (lambda question: input(printable(question)), lambda line: typer.echo(printable(line))) if ask else None

    _tell(out, continue_with_labels(out, table, asker, count=count, threads=threads, command=command), quiet)


def _say(quiet: bool) -> Callable[[str], None]:
    return lambda line: None if quiet else typer.echo(printable(line), err=True)


def _tell(out: Path, outcome: Outcome, quiet: bool) -> None:
    from dcdan.reports.adaptation_report import write_adaptation_report

    for line in outcome.lines:
        typer.echo(printable(line))
    report = write_adaptation_report(out)
    if quiet:
        return
    if outcome.left_out:
        typer.echo(printable(outcome.left_out), err=True)
    typer.echo(printable(f"Report: {report}"), err=True)
    table = out / "label" / "labels.csv"
    if not outcome.labelled:
        typer.echo(printable(f"To do better: fill in {table} (faces: {table.with_name('faces.png')}), then"), err=True)
        typer.echo(
            printable(f"  dcdan adapt --out {out} --labels {table}    or    dcdan adapt --out {out} --ask"), err=True
        )
    typer.echo(printable(f"Next: dcdan predict PATH... --model {out}"), err=True)
