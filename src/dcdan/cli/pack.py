"""`dcdan pack`: the aligned faces of a data set, stored once for training and evaluation."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from dcdan.cli import options
from dcdan.core.errors import DataError, UsageError
from dcdan.core.sanitize import inert, printable

_SIZE = 112


def pack(
    data: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SPEC | SHARD...",
            help="reader:path?option=value, or a folder or manifest; with --merge, the folders of all shards.",
            show_default=False,
        ),
    ] = None,
    out: options.OutFolder = None,
    size: options.Size = None,
    align: options.Align = None,
    workers: options.Workers = None,
    limit: options.Limit = None,
    shard: Annotated[
        str | None, typer.Option("--shard", metavar="I/N", help="Pack part I of N, 1/N to N/N, for --merge.")
    ] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Join finished shards into one pack.")] = False,
    ray: options.Ray = None,
    strict: options.Strict = False,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Store the aligned faces of a data set in a folder that training and evaluation read."""
    from dcdan.datasets.listing import parse_part
    from dcdan.datasets.spec import open_reader, parse_spec
    from dcdan.jobs.cluster import Cluster
    from dcdan.packs.build import build_pack
    from dcdan.packs.shards import merge_packs
    from dcdan.packs.summary import describe_data_set, summary

    given = {"--size": size, "--align": align, "--workers": workers, "--shard": shard, "--ray": ray, "--limit": limit}
    _check_combination(data or [], out, merge, [name for name, value in given.items() if value is not None])
    assert data
    assert out is not None
    if merge:
        built = merge_packs(data, out, force=force, progress=not quiet)
    else:
        (spec,) = data
        if limit is not None:
            spec = f"{spec}{'&' if '?' in spec else '?'}limit={limit}"
        part = None if shard is None else parse_part(shard)
        parsed = parse_spec(spec)
        reader = open_reader(parsed)
        if parsed.reader is None and reader.layout and not quiet:
            typer.echo(printable(f"'{spec}' is {describe_data_set(reader)}."), err=True)
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
    if json:
        typer.echo(inert(built.info.text()), nl=False)
    elif not quiet:
        typer.echo(inert(summary(built)))
    failed = built.failures() if strict else []
    if failed:
        path, status = failed[0]
        raise DataError(f"{len(failed)} pictures gave no face (--strict), '{printable(path)}' first ({status}).")


def _check_combination(data: list[str], out: Path | None, merge: bool, given: list[str]) -> None:
    """Raise UsageError where the arguments do not name what to pack or merge, and where."""
    if not data:
        what = "the folders of the shards after --merge" if merge else "a spec or a folder, or --merge and the shards"
        raise UsageError(f"There is nothing to {'merge' if merge else 'pack'}: name {what}.")
    if out is None:
        raise UsageError("The pack needs a folder: give --out DIR.")
    if merge and given:
        raise UsageError(
            f"{given[0]} does not go with --merge, which takes the shards as they were packed: leave it out."
        )
    if not merge and len(data) > 1:
        raise UsageError(f"One data set at a time is packed, not {len(data)}: to join shards, add --merge.")
