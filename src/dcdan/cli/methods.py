"""`dcdan methods`: what can be given as ``--method``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from dcdan.cli import options

if TYPE_CHECKING:
    from dcdan.methods.catalogue import MethodEntry


def methods(json: options.Json = False) -> None:
    """List all methods, grouped by what they use of source and target, with the paper and year of each."""
    from dcdan.methods.catalogue import method_catalogue

    if json:
        from json import dumps

        typer.echo(dumps([entry.to_dict() for entry in method_catalogue()], indent=2))
        return
    for line in lines(method_catalogue()):
        typer.echo(line)


def lines(entries: tuple[MethodEntry, ...]) -> list[str]:
    """Return the methods as text: a heading for each group, and two lines for each method."""
    from dcdan.methods.catalogue import GROUPS

    told: list[str] = []
    for group in GROUPS:
        told += [*([""] if told else []), f"Methods that {group}"]
        for entry in entries:
            if entry.group == group:
                told.append(f"  {entry.name:<17}{entry.title}: {entry.about}.")
                told.append(f"  {'':<17}{entry.paper}")
                if entry.reading:
                    told.append(f"  {'':<17}built from {entry.reading}")
                if entry.needs:
                    told.append(f"  {'':<17}needs {entry.needs}")
    return told


def help_text() -> str:
    """Return the methods as paragraphs of a help text, one line each."""
    from dcdan.methods.catalogue import GROUPS, method_catalogue

    paragraphs: list[str] = []
    for group in GROUPS:
        paragraphs.append(f"Methods that {group}:")
        paragraphs += [f"{entry.name}: {entry.about}." for entry in method_catalogue() if entry.group == group]
    return "\n\n".join(paragraphs)
