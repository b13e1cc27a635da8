"""`dcdan models`: what can be given as ``--model``."""

from __future__ import annotations

import typer

from dcdan.cli import options


def models(json: options.Json = False) -> None:
    """List the models of the package, and what else --model takes."""
    from dcdan.inference.diagnosis import models as found

    entries = found()
    if json:
        from json import dumps

        typer.echo(dumps(entries, indent=2))
        return
    from dcdan.core.sanitize import printable

    for entry in entries:
        default = " (default)" if entry["default"] else ""
        if entry["error"]:
            typer.echo(printable(f"{entry['name']}{default}: {entry['error']}"))
            continue
        typer.echo(printable(f"{entry['name']}{default}"))
        typer.echo(
            printable(
                f"  faces of {entry['face_size']} px, {', '.join(entry['precisions'])}, {entry['bytes'] / 1e6:.0f} MB"
            )
        )
        typer.echo(printable(f"  classes: {', '.join(entry['classes'])}"))
        typer.echo(printable(f"  licence: {entry['licence']}"))
    typer.echo("\n--model also takes a run folder of `dcdan adapt`, a run's .onnx file, and hf-hub:owner/name.")
