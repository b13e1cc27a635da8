"""`dcdan pack`: a data set, cut into aligned faces once, for all later training and evaluation."""

from __future__ import annotations

from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dcdan.core.errors import UsageError
from dcdan.core.sanitize import inert, printable

_SIZE = 112


class AlignChoice(StrEnum):
    """How faces are framed."""

    auto = "auto"
    mtcnn = "mtcnn"
    none = "none"


def pack(
    data: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SPEC | SHARD...",
            help="reader:path?option=value, or a folder or manifest; with --merge, the folders of all shards.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The folder of the new pack.", show_default=False)] = None,
    size: Annotated[
        int | None, typer.Option("--size", help="Side of the faces in pixels.", show_default=f"{_SIZE}")
    ] = None,
    align: Annotated[
        AlignChoice | None,
        typer.Option(
            "--align",
            help="auto is mtcnn; none leaves faces that are cropped as they are.",
            show_default=AlignChoice.auto.value,
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes; one per core by default.")] = None,
    shard: Annotated[
        str | None, typer.Option("--shard", metavar="I/N", help="Pack the I-th of N parts, 1/N to N/N, for --merge.")
    ] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Join finished shards into one pack.")] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="local | ADDRESS",
            help="Pack on a Ray cluster (auto, HOST:PORT), or on Ray of this machine's own (local).",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a pack that is there already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print pack.json instead of a summary.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")] = False,
) -> None:
    """Pack the faces of a data set into a folder that training reads."""
    from dcdan.datasets.listing import parse_part
    from dcdan.datasets.spec import open_reader, parse_spec
    from dcdan.jobs.cluster import Cluster
    from dcdan.packs.build import build_pack
    from dcdan.packs.shards import merge_packs
    from dcdan.packs.summary import found, summary

    given = {"--size": size, "--align": align, "--workers": workers, "--shard": shard, "--ray": ray}
    _check_combination(data or [], out, merge, [name for name, value in given.items() if value is not None])
    assert data
    assert out is not None
    if merge:
        built = merge_packs(data, out, force=force, progress=not quiet)
    else:
        (spec,) = data
        part = None if shard is None else parse_part(shard)
        parsed = parse_spec(spec)
        reader = open_reader(parsed)
        if parsed.reader is None and reader.layout and not quiet:
            typer.echo(printable(f"'{spec}' is {found(reader)}."), err=True)
        with nullcontext() if ray is None else Cluster(ray, workers=workers, paths=[str(reader.root)]) as cluster:
            built = build_pack(
                reader,
                out,
                size=_SIZE if size is None else size,
                align=align.value if align else "auto",
                workers=workers,
                progress=not quiet,
                spec_text=spec,
                force=force,
                shard=part,
                cluster=cluster,
            )
    if as_json:
        typer.echo(inert(built.info.text()), nl=False)
    elif not quiet:
        typer.echo(inert(summary(built)))


def _check_combination(data: list[str], out: Path | None, merge: bool, given: list[str]) -> None:
    """Raise UsageError for a command that does not say what to pack or merge, and where."""
    if not data:
        what = "the folders of the shards after --merge" if merge else "a spec or a folder, or --merge and the shards"
        raise UsageError(f"There is nothing to {'merge' if merge else 'pack'}: name {what}.")
    if out is None:
        raise UsageError("The new pack has no place yet: name it with --out DIR.")
    if merge and given:
        raise UsageError(
            f"{given[0]} does not go with --merge, which takes the shards as they were packed: leave it out."
        )
    if not merge and len(data) > 1:
        raise UsageError(f"One data set at a time is packed, not {len(data)}: to join shards, add --merge.")
