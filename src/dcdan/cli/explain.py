"""`dcdan explain`: why each face got its expression, in words, as JSON and as a page; and whether its maps hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcdan.cli import options
from dcdan.core.errors import DataError, UsageError
from dcdan.core.sanitize import inert, printable

if TYPE_CHECKING:
    from dcdan.explanation.explainer import Explained, Explainer
    from dcdan.images.inputs import Inputs

MOST_FACES = 1000
FACES, CHECKED_FACES = 50, 300
"""Faces that are explained, and that are measured with ``--check``, when ``--face-limit`` is not given."""

LEAST_CHECKED = 20


def explain(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Pictures, folders, 'globs', videos, zip files, @list.txt, - (stdin), URLs, packs, specs.",
        ),
    ],
    model: options.Model = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="PATH", help="Write a page with pictures to this .html file.")
    ] = None,
    json: options.Json = False,
    check: Annotated[
        bool, typer.Option("--check", help="Measure on these faces whether the maps show what the network uses.")
    ] = False,
    faces: Annotated[
        int | None,
        typer.Option(
            "--face-limit",
            min=1,
            max=MOST_FACES,
            metavar="N",
            help="Stop after N faces.",
            show_default=f"{FACES}; {CHECKED_FACES} with --check",
        ),
    ] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--maps",
            metavar="NAME",
            help="Maps of where the network looks, repeatable: occlusion; with torch also grad-cam, "
            "integrated-gradients, spatial-attention, channel-attention; or none.",
            show_default="occlusion",
        ),
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Of videos, analyse every n-th frame only.", show_default="12 frames a video"
        ),
    ] = None,
    align: options.Align = None,
    cropped: Annotated[bool, typer.Option("--cropped", help="Each picture is a crop of one face.")] = False,
    max_faces: Annotated[
        int | None, typer.Option("--max-faces", min=1, metavar="N", help="At most N faces a picture, the largest.")
    ] = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Say why each face got its expression: which facial actions speak for it, and where the network looks.

    The map of a face shows how much the answer loses when a part of the face is covered. With --check, deletion and
    insertion curves tell whether a map is better than a random one and one of the face's centre.
    """
    from dcdan.cli.predict import alignment_of, framing_of, selected_inputs
    from dcdan.core.atomic_io import check_target
    from dcdan.explanation.explainer import DEFAULT_MAPS, load_explainer

    if out is not None:
        if out.suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"'{out}' is no name of a page: give one that ends in .html.")
        if check:
            raise UsageError("--check prints a table and writes no page: leave out --out, or --check.")
        check_target(out, force=force)
    asked = [] if maps == ["none"] else list(maps or DEFAULT_MAPS)
    if check and not asked:
        raise UsageError("--check measures maps: leave out --maps none.")
    inputs = selected_inputs(paths)
    alignment = alignment_of(align)
    if alignment is None and not cropped:
        alignment, cropped = framing_of(inputs.paths)
    explainer = load_explainer(
        model, maps=asked, threads=threads, align=alignment, cropped=cropped, max_faces=max_faces, device=device
    )
    if check:
        _check(explainer, inputs, faces or CHECKED_FACES, every, json=json, quiet=quiet)
    else:
        _explain(explainer, inputs, faces or FACES, every, out, json=json, quiet=quiet)


def _explain(
    explainer: Explainer,
    inputs: Inputs,
    most: int,
    every: int | None,
    out: Path | None,
    *,
    json: bool,
    quiet: bool,
) -> None:
    from json import dumps

    from dcdan.core.console import progress_bar
    from dcdan.explanation.explainer import explain_sources
    from dcdan.explanation.sources import sources

    done: list[Explained] = []
    with progress_bar("faces", None, shown=not quiet and (json or out is not None)) as advance:
        for each in explain_sources(explainer, sources(inputs, every), most):
            done.append(each)
            advance(len(each.faces))
            if not json and out is None:
                _print(each)
    count = sum(len(each.faces) for each in done)
    if not count:
        raise DataError(_nothing(done))
    notes = explainer.notes()
    if count == most:
        notes.append(
            f"Stopped after {count} faces; what came after them was not looked at: --face-limit N takes more,"
            f" at most {MOST_FACES}."
        )
    if out is not None:
        from dcdan.core.atomic_io import write_text
        from dcdan.reports.explanation_page import explanation_page

        write_text(out, explanation_page(explainer, done, notes))
    if json:
        content = {
            "model": explainer.recogniser.info.name,
            "notes": notes,
            "faces": [face.to_dict() for each in done for face in each.faces],
            "without": [
                {"path": each.source.picture.path, "time": each.source.time, "status": each.status.value}
                for each in done
                if not each.faces
            ],
        }
        typer.echo(dumps(content, indent=1))
    elif out is None:
        typer.echo("\n".join(map(printable, notes)))
    if not quiet:
        without = sum(not each.faces for each in done)
        missed = f", {without} picture{'s' if without > 1 else ''} without a face" if without else ""
        left_out = inputs.left_out_sentence()
        counts = f"{count} face{'s' if count > 1 else ''} explained{missed}" + (f"; {left_out}" if left_out else "")
        typer.echo(printable(counts + (f"; written to {out}" if out is not None else "")), err=True)


def _print(each: Explained) -> None:
    from dcdan.explanation.words import title

    for face in each.faces:
        typer.echo(inert(title(face.result)))
        for sentence in face.sentences:
            typer.echo(f"  {sentence}")
    if not each.faces:
        picture = each.source.picture
        typer.echo(printable(f"{picture.path}: {picture.reason or each.status.value.replace('_', ' ')}"), err=True)


def _nothing(done: Sequence[Explained]) -> str:
    if not done:
        return "There is nothing to explain: give pictures, folders or videos."
    first = done[0]
    reason = first.source.picture.reason or first.status.value.replace("_", " ")
    more = f" (and {len(done) - 1} more without a face)" if len(done) > 1 else ""
    return (
        f"No face can be explained: '{first.source.picture.path}': {reason}{more}; for crops of faces give --cropped."
    )


def _check(explainer: Explainer, inputs: Inputs, most: int, every: int | None, *, json: bool, quiet: bool) -> None:
    from json import dumps

    import numpy as np
    from numpy.typing import NDArray

    from dcdan.explanation.faithfulness import measure, scores
    from dcdan.explanation.sources import sources

    pixels: list[NDArray[np.uint8]] = []
    for source in sources(inputs, every):
        (found,) = explainer.recogniser.faces([source.picture])
        pixels += [face.pixels for face in found][: most - len(pixels)]
        if len(pixels) == most:
            break
    if len(pixels) < LEAST_CHECKED:
        raise DataError(
            f"There are {len(pixels)} faces, too few to tell a good map from a bad one: give at least {LEAST_CHECKED}."
        )
    if not quiet:
        typer.echo(f"dcdan: {len(pixels)} faces; each map takes a quarter of a second a face or more.", err=True)
    found_scores = scores(measure(explainer, np.stack(pixels)))
    if json:
        content = {name: {**score.model_dump(), "faithful": score.faithful} for name, score in found_scores.items()}
        typer.echo(dumps(content, indent=1))
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from dcdan.core.console import Console

    table = Table(box=SIMPLE_HEAD)
    table.add_column("map")
    for name in ("deletion", "insertion", "largest p"):
        table.add_column(name, justify="right")
    table.add_column("better than random and centre")
    for name, score in found_scores.items():
        worst = max(score.p_values.values(), default=None)
        table.add_row(
            name,
            f"{score.deletion:.3f}",
            f"{score.insertion:.3f}",
            "" if worst is None else f"{worst:.4f}",
            "" if worst is None else "yes" if score.faithful else "no",
        )
    Console().print(table)
    typer.echo(
        "Areas under the curves of the answer's probability: a good map has a small deletion and a large insertion."
    )
