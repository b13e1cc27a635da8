"""`dcdan models`: what can be given as ``--model``, and what networks cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dcdan.cli import options

if TYPE_CHECKING:
    from dcdan.models.complexity import Complexity
    from dcdan.reports.text_table import Table

TRUNKS = ("mobilenetv2_100", "resnet50", "mobilenetv1_100")
SIZES = (64, 96, 112)


def models(
    complexity: Annotated[
        bool,
        typer.Option(
            "--complexity",
            help="Print what the network costs for each trunk, face size and condensation ratio: parameters,"
            " multiply-adds by part, activation memory, time of one face. Needs the extra 'train'.",
        ),
    ] = False,
    trunk: Annotated[
        list[str] | None,
        typer.Option("--trunk", metavar="NAME", help="Trunk of --complexity, by its timm name; repeatable."),
    ] = None,
    size: Annotated[
        list[int] | None, typer.Option("--size", metavar="PX", min=32, max=512, help="Side of the faces in pixels.")
    ] = None,
    json: options.Json = False,
) -> None:
    """List the models of the package, and what else --model takes; or print what networks cost."""
    if complexity:
        print_complexity(trunk or list(TRUNKS), size or list(SIZES), json)
        return
    if trunk or size:
        from dcdan.core.errors import UsageError

        raise UsageError("--trunk and --size belong to --complexity: give that too.")
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


def print_complexity(trunks: list[str], sizes: list[int], json: bool) -> None:
    """Measure and print the cost of all combinations of trunks, sizes and condensation ratios."""
    from dcdan.models.complexity import complexities

    typer.echo(f"Measuring {3 * len(trunks) * len(sizes)} networks takes about a second each.", err=True)
    found = complexities(trunks, sizes, timed=True)
    if json:
        from json import dumps

        typer.echo(dumps([entry.model_dump() for entry in found], indent=2))
        return
    typer.echo(complexity_table(found).markdown(), nl=False)


def complexity_table(found: list[Complexity]) -> Table:
    """Return the costs as a table, with what condensation saves against ratio 1.

    Args:
        found: Costs; ratio 1 of the same trunk and size is what each is compared with.

    Returns:
        The table, one row a network.
    """
    from dcdan.reports.text_table import Table

    plain = {(entry.trunk, entry.size): entry for entry in found if entry.condensation == 1}
    rows = []
    for entry in found:
        full = plain[entry.trunk, entry.size]
        saved = 1 - entry.by_part["attention"] / full.by_part["attention"]
        rows.append(
            (
                entry.trunk,
                str(entry.size),
                str(entry.condensation),
                f"{entry.parameters / 1e6:.2f}",
                f"{entry.multiply_adds / 1e6:.1f}",
                f"{entry.by_part['trunk'] / 1e6:.1f}",
                f"{entry.by_part['attention'] / 1e6:.2f}",
                f"{entry.of_condensation / 1e6:.2f}",
                f"{entry.by_part['local'] / 1e6:.2f}",
                f"{entry.activation_bytes / 2**20:.1f}",
                "" if entry.milliseconds is None else f"{entry.milliseconds:.1f}",
                "" if entry is full else f"{100 * saved:.0f} %",
            )
        )
    header = (
        *("trunk", "size", "ratio", "parameters", "multiply-adds", "of trunk", "of attention", "of condensation"),
        *("of local branch", "activations", "time", "saved of attention"),
    )
    note = (
        "Parameters and multiply-adds in millions; activations of one face in MiB, float32; time of one face in ms,"
        " eager PyTorch on one thread (an exported graph is faster). Saved: multiply-adds of the attention against"
        " ratio 1."
    )
    return Table("Cost of the network", header, tuple(rows), note)
