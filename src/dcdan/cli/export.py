"""`dcdan export`: a model's graph in fp32 and int8, for phones, browsers and small machines."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
        str, typer.Argument(metavar="MODEL", help="Run folder, name of a model of the package, or hf-hub:owner/name.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Where the files go (default: into RUN).")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8/--no-int8", help="Make the int8 graph too.")] = True,
    faces: Annotated[
        str | None,
        typer.Option("--faces", metavar="SPEC", help="Faces that int8 is set by (default: the run's target)."),
    ] = None,
    activations: Annotated[
        ActivationChoice, typer.Option("--activations", help="Of int8: unsigned runs fast on x86, signed on ARM.")
    ] = ActivationChoice.UNSIGNED,
    json: Annotated[bool, typer.Option("--json", help="Print what was measured as JSON instead of a table.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the files of an earlier export.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Write a model's graphs, compare int8 with fp32, and say what it costs and gains."""
    from json import dumps

    from dcdan.export.export import export as run_export

    kind = _ACTIVATIONS[activations]
    found = run_export(run, out, int8=int8, faces=faces, force=force, progress=not quiet, activations=kind)
    if json:
        typer.echo(dumps(found.to_dict(), indent=2))
    elif not quiet:
        from dcdan.core.console import Console

        Console().print(found.table())
