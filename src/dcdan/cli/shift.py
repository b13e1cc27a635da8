"""`dcdan shift`: how two sets of faces differ, without labels and without torch."""

from __future__ import annotations

from typing import Annotated

import typer

from dcdan.cli import options
from dcdan.core.sanitize import printable

REPORT_NAME = "shift.json"
PICTURE_NAME = "shift.png"


def shift(
    first: Annotated[str, typer.Argument(metavar="A", help="Pictures, a folder, video, pack or spec.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The same kinds of input, to compare with A.")],
    model: options.Model = None,
    out: options.OutFolder = None,
    json: options.Json = False,
    limit: options.Limit = None,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure how two sets of faces differ: light, sharpness, size, pose, colour, features and answers.

    No label is read. Of each set 1000 inputs are taken, evenly spaced, or as many as --limit says; of a video one frame
    a second. With --out, the figures and a picture are written to that folder.
    """
    from importlib.util import find_spec

    from dcdan.core.atomic_io import check_target, write_bytes
    from dcdan.core.console import Console, progress_bar
    from dcdan.domain_shift.compare import shift as run
    from dcdan.domain_shift.compare import to_json

    if out is not None:
        check_target(out / REPORT_NAME, force=force)
        check_target(out / PICTURE_NAME, force=force)
    with progress_bar("inputs", None, shown=not quiet and not json) as advance:
        before = 0

        def count(done: int, _total: int) -> None:
            nonlocal before
            advance(done - before if done > before else done)
            before = done

        found = run(first, second, model=model, limit=limit, threads=threads, seed=seed, advance=count)
    written = [REPORT_NAME]
    if out is not None:
        write_bytes(out / REPORT_NAME, to_json(found).encode())
        if find_spec("matplotlib") is not None:
            write_bytes(out / PICTURE_NAME, found.png())
            written.insert(0, PICTURE_NAME)
        elif not quiet:
            typer.echo(f"dcdan: {PICTURE_NAME} needs matplotlib and is left out: pip install matplotlib.", err=True)
    if json:
        typer.echo(to_json(found), nl=False)
    else:
        Console().print(found.table())
    if out is not None and not quiet:
        typer.echo(printable(f"{' and '.join(written)} written to {out}"), err=True)
