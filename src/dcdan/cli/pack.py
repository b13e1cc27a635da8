"""`dcdan pack`: a data set, cut into aligned faces once, for all later training and evaluation."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class AlignChoice(StrEnum):
    """How faces are framed."""

    auto = "auto"
    mtcnn = "mtcnn"
    none = "none"


def pack(
    spec: Annotated[str, typer.Argument(help="reader:path?option=value, or a folder or manifest.")],
    out: Annotated[Path, typer.Option("--out", help="The folder of the new pack.")],
    size: Annotated[int, typer.Option("--size", help="Side of the faces in pixels.")] = 112,
    align: Annotated[
        AlignChoice, typer.Option("--align", help="auto is mtcnn; none leaves faces that are cropped as they are.")
    ] = AlignChoice.auto,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes; one per core by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a pack that is there already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print pack.json instead of a summary.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")] = False,
) -> None:
    """Pack the faces of a data set into a folder that training reads."""
    from dcdan.data.build import build_pack
    from dcdan.data.spec import open_reader, parse_spec
    from dcdan.data.summary import summary

    built = build_pack(
        open_reader(parse_spec(spec)),
        out,
        size=size,
        align=align.value,
        workers=workers,
        progress=not quiet,
        spec_text=spec,
        force=force,
    )
    if as_json:
        typer.echo(built.info.model_dump_json(by_alias=True, indent=2))
    elif not quiet:
        typer.echo(summary(built))
