"""`dcdan adapt`: from labelled source faces and unlabelled target faces to a model and its predictions."""

from __future__ import annotations

import os
import shlex
from typing import Annotated

import typer

from dcdan.cli import options
from dcdan.cli.methods import help_text
from dcdan.core.sanitize import printable

EPILOG = help_text


def adapt(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Option("--source", "-s", metavar="SPEC", help="Labelled faces: a pack, reader:path, or a folder."),
    ],
    target: Annotated[
        str,
        typer.Option(
            "--target", "-t", metavar="SPEC", help="Your faces, without labels: a pack, reader:path, or a folder."
        ),
    ],
    out: options.Out,
    method: Annotated[
        str | None,
        typer.Option("--method", metavar="NAME", help="A name that `dcdan methods` lists.", show_default="dcdan"),
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
    quiet: options.Quiet = False,
) -> None:
    """Adapt a recogniser to faces without labels.

    Writes a run folder: config.toml, run.json, log.jsonl, checkpoints, model.safetensors, model.onnx, model.json,
    predictions.csv and report.html. The same command resumes a run that was stopped.

    On several devices: torchrun --nproc-per-node N -m dcdan adapt ...
    """
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
    command = shlex.join(["dcdan", *context.obj])
    run(source, target, out, settings=chosen, start=start, progress=not quiet, command=command)
    if not quiet and os.environ.get("RANK", "0") == "0":
        typer.echo(printable(f"Done: {out / 'report.html'}"), err=True)
        typer.echo(printable(f"Next: dcdan predict PATH... --model {out}"), err=True)
