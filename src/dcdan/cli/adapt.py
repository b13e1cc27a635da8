"""`dcdan adapt`: from labelled source faces and unlabelled target faces to a model and its predictions."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from dcdan.core.sanitize import printable


def adapt(
    context: typer.Context,
    source: Annotated[
        str, typer.Option("--source", "-s", metavar="SPEC", help="Labelled faces: pack, spec or folder.")
    ],
    target: Annotated[str, typer.Option("--target", "-t", metavar="SPEC", help="Faces without labels.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="RUN", help="The run folder to make, or to resume.")],
    method: Annotated[
        str | None, typer.Option(help="dcdan (default), source_only, adabn or dann.", show_default=False)
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Of dcdan: default or paper.", show_default=False)] = None,
    trunk: Annotated[
        str | None, typer.Option(help="Any timm model, for example resnet50.", show_default="mobilenetv2_100")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Face side in pixels.", show_default="112")] = None,
    seed: Annotated[int | None, typer.Option(show_default="0")] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Passes of the adaptation (--set source.epochs=N: of the source stage).")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Take over the source stage of this finished run.")
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings in TOML.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting, for example source.lr=0.05.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Adapt a recogniser to faces without labels.

    The run folder explains itself: config.toml, run.json, log.jsonl, checkpoints, model.safetensors, model.onnx,
    model.json, predictions.csv and report.html. The same command again resumes a run that was stopped.

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
    )
    command = shlex.join(["dcdan", *context.obj])
    run(source, target, out, settings=chosen, start=start, progress=not quiet, command=command)
    if not quiet and os.environ.get("RANK", "0") == "0":
        typer.echo(printable(f"Done: {out / 'report.html'}"), err=True)
        typer.echo(printable(f"Next: dcdan predict PATH... --model {out}"), err=True)
