"""The `dcdan` program: its commands, and how every error ends (one sentence and a documented exit code).

Exit codes: 0 done, 1 any other error of dcdan, 2 usage, 3 data, 4 pack, 5 model, 6 output, 7 training, 8 optional
packages missing, 70 a fault of dcdan itself, 130 interrupted.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import Any

import typer
import typer.core
import typer.main

from dcdan.core.errors import DcdanError, MissingExtraError, OutputError, UsageError, unknown
from dcdan.core.offline import go_offline, is_offline
from dcdan.core.sanitize import printable
from dcdan.core.signals import terminable

# Each is the function of the same name in the module of the same name in this package, or a group of commands there.
COMMANDS: tuple[str, ...] = ("adapt", "predict", "evaluate", "export", "benchmark", "paper", "pack", "data", "demo")

# Import names of what `pip install 'dcdan[train]'` adds.
TRAIN_PACKAGES: frozenset[str] = frozenset(
    {
        "jinja2",
        "matplotlib",
        "onnx",
        "onnxscript",
        "pyarrow",
        "safetensors",
        "scipy",
        "timm",
        "tomli_w",
        "torch",
        "torchvision",
    }
)

# What goes on where it was when it is given again.
RESUMED: tuple[str, ...] = ("adapt", "pack", "benchmark", "demo")
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENAMETOOLONG)

INTERNAL_ERROR = 70
INTERRUPTED = 130

# Older releases of typer take this class from the package click, newer ones carry it inside.
_CommandLineError: type[Any] = typer.BadParameter.__mro__[2]


class LazyCommands(typer.core.TyperGroup):
    """A group that imports the module of a command only when that command is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Return the names in the order in which the help shows them."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """Return the command of that name.

        Raises:
            UsageError: when there is none; the nearest spelling is offered.
        """
        if cmd_name not in COMMANDS:
            raise unknown("command", cmd_name, COMMANDS)
        found = getattr(importlib.import_module(f"dcdan.cli.{cmd_name}"), cmd_name)
        if isinstance(found, typer.Typer):
            return typer.main.get_group(found)
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        single.command(cmd_name)(found)
        return typer.main.get_command(single)


app = typer.Typer(
    name="dcdan",
    cls=LazyCommands,
    add_completion=False,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and stop.", is_eager=True),
    offline: bool = typer.Option(False, "--offline", help="Never use the network (also DCDAN_OFFLINE=1)."),
) -> None:
    """Facial expression recognition that adapts to your own, unlabelled faces."""
    if offline or is_offline():
        go_offline()
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"dcdan {installed('dcdan')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


def run(arguments: list[str] | None = None) -> int:
    """Run the program with these arguments (default: those of the process) and return its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        with terminable():
            result = app(args=given, prog_name="dcdan", standalone_mode=False, obj=given)
    except (KeyboardInterrupt, typer.Abort):
        goes_on = bool(given) and given[0] in RESUMED
        return _told("stopped; the same command goes on from there." if goes_on else "stopped.", INTERRUPTED)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except Exception as error:
        if os.environ.get("DCDAN_DEBUG") == "1":
            raise
        known = as_dcdan_error(error)
        if known is not None:
            return _told(str(known), known.exit_code)
        kind = f"{type(error).__name__}: {error}".splitlines()[0]
        return _told(
            f"internal error ({kind}); please report it with the output of the same command under DCDAN_DEBUG=1.",
            INTERNAL_ERROR,
        )
    return result if isinstance(result, int) else 0


def as_dcdan_error(error: Exception) -> DcdanError | None:
    """Return the error of ours that an exception amounts to, or None when it is a fault of the program."""
    if isinstance(error, DcdanError):
        return error
    if isinstance(error, _CommandLineError):
        return UsageError(error.format_message())
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in TRAIN_PACKAGES:
        return MissingExtraError(f"This needs the package '{error.name}': pip install 'dcdan[train]'.")
    if isinstance(error, OSError) and error.errno in _UNWRITABLE:
        place = f" '{error.filename}'" if error.filename else ""
        return OutputError(f"Cannot write{place}: {error.strerror}; free some space or choose another folder.")
    if isinstance(error, MemoryError):
        return DcdanError(
            "There is not enough memory for this: give smaller pictures, fewer at a time, or more memory."
        )
    return None


def main() -> None:
    """Entry point of the `dcdan` program."""
    sys.exit(run())


def _told(sentence: str, code: int) -> int:
    # A file's name can hold what would break the line or drive the terminal.
    print(f"dcdan: {printable(sentence)}", file=sys.stderr)
    return code
