"""`dcdan cache`: what is stored on this machine between runs, and how to delete it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dcdan.cli import options
from dcdan.core.sanitize import printable

if TYPE_CHECKING:
    from dcdan.packs.cache_store import CacheEntry

cache = typer.Typer(
    name="cache",
    help="Show and clear the packs and models that are stored between runs.",
    add_completion=False,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@cache.callback()
def group(context: typer.Context) -> None:
    """Show and clear the packs and models that are stored between runs.

    The cache is ~/.cache/dcdan, or the folder in DCDAN_CACHE. Its limit is 20GB, or DCDAN_CACHE_LIMIT: when a pack is
    added, the packs that were not used for the longest time are deleted.
    """
    if context.invoked_subcommand is None:
        show(json=False)


@cache.command()
def show(json: options.Json = False) -> None:
    """List the entries, the last used first."""
    from dcdan.packs.cache_store import cache_entries, cache_folders, cache_limit

    entries = cache_entries()
    if json:
        from json import dumps

        limit = cache_limit()
        folders = [str(folder) for folder in cache_folders()]
        typer.echo(
            dumps({"folders": folders, "limit": limit, "entries": [each.to_dict() for each in entries]}, indent=2)
        )
        return
    for line in lines(entries):
        typer.echo(printable(line))
    total = sum(entry.bytes for entry in entries)
    folders_text = " and ".join(str(folder) for folder in cache_folders())
    typer.echo(
        printable(f"{len(entries)} entries, {megabytes(total)} of {megabytes(cache_limit())}, in {folders_text}")
    )


@cache.command()
def clear(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Entries to delete; all without a name.")
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Delete entries: all of them, or those that are named. Packs are built again when they are needed."""
    from dcdan.packs.cache_store import clear_cache

    _report(clear_cache(names or []), quiet)


@cache.command()
def shrink(
    to: Annotated[
        str | None, typer.Option("--to", metavar="SIZE", help="Largest size, such as 5GB.", show_default="the limit")
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Delete the entries that were not used for the longest time, until the cache is small enough."""
    from dcdan.packs.cache_store import cache_limit, evict, parse_size

    _report(evict(cache_limit() if to is None else parse_size(to), in_use=0.0), quiet)


def lines(entries: list[CacheEntry]) -> list[str]:
    """Return a line for each entry: size, day of its last use, kind, name."""
    from datetime import datetime

    return [
        f"{megabytes(entry.bytes):>10}  {datetime.fromtimestamp(entry.used):%Y-%m-%d}  {entry.kind:<10}  {entry.name}"
        for entry in entries
    ]


def megabytes(size: int) -> str:
    """Return a size in megabytes.

    >>> megabytes(404_000_000)
    '404.0 MB'
    """
    return f"{size / 1e6:.1f} MB"


def _report(deleted: list[CacheEntry], quiet: bool) -> None:
    if not quiet:
        total = megabytes(sum(entry.bytes for entry in deleted))
        typer.echo(f"{len(deleted)} entries deleted ({total})", err=True)
