"""`dcdan export`: a model's graph in fp32 and int8, for phones, browsers and small machines."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcdan.cli import options

if TYPE_CHECKING:
    from dcdan.export.quantise import Activations


class ActivationChoice(StrEnum):
    """Values of ``--activations``."""

    UNSIGNED = "unsigned"
    SIGNED = "signed"


_ACTIVATIONS: dict[ActivationChoice, Activations] = {
    ActivationChoice.UNSIGNED: "unsigned",
    ActivationChoice.SIGNED: "signed",
}


def export(
    run: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A run folder, a name that `dcdan models` lists, or hf-hub:owner/name."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="PATH", help="Folder of the files.", show_default="the run folder"),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8/--no-int8", help="Make the int8 graph too.")] = True,
    faces: Annotated[
        str | None,
        typer.Option(
            "--faces",
            metavar="SPEC",
            help="Faces that the int8 ranges are measured on.",
            show_default="the run's target",
        ),
    ] = None,
    activations: Annotated[
        ActivationChoice,
        typer.Option(
            "--activations", metavar="unsigned | signed", help="Of int8: unsigned is fast on x86, signed on ARM."
        ),
    ] = ActivationChoice.UNSIGNED,
    json: options.Json = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a model's fp32 and int8 graphs, and measure accuracy, size and speed of both."""
    from json import dumps

    from dcdan.export.export import export as run_export

    kind = _ACTIVATIONS[activations]
    found = run_export(run, out, int8=int8, faces=faces, force=force, progress=not quiet, activations=kind)
    if json:
        typer.echo(dumps(found.to_dict(), indent=2))
    elif not quiet:
        from dcdan.core.console import Console

        Console().print(found.table())
