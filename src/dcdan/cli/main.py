"""The `dcdan` program: its commands, and how each run ends, with a sentence for every error and an exit code.

The table of exit codes is ``EXIT_CODES``.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import typer
import typer.core
import typer.main

from dcdan.core.errors import DcdanError, OutputError, UsageError, unknown
from dcdan.core.extras import missing_extra
from dcdan.core.offline import go_offline, is_offline
from dcdan.core.sanitize import printable
from dcdan.core.signals import Interrupted

COMMANDS: tuple[str, ...] = (
    *("predict", "explain", "adapt", "evaluate", "shift", "export", "data", "pack", "models", "methods"),
    *("benchmark", "paper", "demo", "doctor", "cache", "app"),
)
"""Each is the function of the same name in the module of the same name in this package, or a group of commands there.
"""

RESUMED: tuple[str, ...] = ("adapt", "pack", "benchmark", "demo")
"""Commands that resume their work when they are given again."""

INTERNAL_ERROR = 70
INTERRUPTED = 130
PIPE_CLOSED = 141

EXIT_CODES: dict[int, str] = {
    0: "done; inputs that could not be read are rows with a status",
    1: "another error of dcdan",
    2: "a wrong option, key, value, name or spec",
    3: "data: missing, empty, another layout, no labels, no common class; with `--strict`, any input that failed",
    4: "a pack that is damaged, unfinished, of another schema or of another face size",
    5: "a model that is missing, damaged or does not fit",
    6: "an output that exists, a folder that cannot be written, a full disk",
    7: "a training that went wrong: not a number, collapse to one class, a process that ended",
    8: "the packages of an extra are not installed; the sentence names it",
    9: "Ray cannot start, cannot be reached, or has ended",
    INTERNAL_ERROR: "a fault of dcdan itself: please report it with the output of `dcdan doctor`",
    INTERRUPTED: "stopped by Ctrl-C or SIGTERM; what is done is saved where the command can be resumed",
    PIPE_CLOSED: "the reader of the standard output has gone (`dcdan ... | head`)",
}
"""Exit code -> what it means. The table in docs/options.md is made from it."""

_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENAMETOOLONG)

# Older releases of typer take this class from the package click, newer ones carry it inside.
_CommandLineError: type[Any] = typer.BadParameter.__mro__[2]


class _PipeClosed(Exception):
    """The reader of the standard output has gone."""


@contextmanager
def _translated(arguments: list[str]) -> Iterator[None]:
    """Raise exceptions of our own for those that the command-line library would turn into a silent exit."""
    try:
        yield
    except KeyboardInterrupt:
        resumed = bool(arguments) and arguments[0] in RESUMED
        raise Interrupted("stopped; the same command resumes the work." if resumed else "stopped.") from None
    except BrokenPipeError as error:
        raise _PipeClosed from error


class LazyCommands(typer.core.TyperGroup):
    """A group that imports the module of a command only when that command is asked for."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse the options of the program; see :func:`_translated`."""
        with _translated(list(args)):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; see :func:`_translated`."""
        with _translated(ctx.obj or []):
            return super().invoke(ctx)

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
        module = importlib.import_module(f"dcdan.cli.{cmd_name}")
        found = getattr(module, cmd_name)
        if isinstance(found, typer.Typer):
            return typer.main.get_group(found)
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        epilog = getattr(module, "EPILOG", None)
        single.command(cmd_name, epilog=None if epilog is None else epilog())(found)
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
    """Run the program.

    Args:
        arguments: what follows the name of the program; those of the process where None.

    Returns:
        The exit code, one of ``EXIT_CODES``. The sentence of an error is on stderr by then.

    Example:
        >>> run(["--version"]) == 0
        dcdan 0.1.0
        True
    """
    given = sys.argv[1:] if arguments is None else arguments
    _escape_what_cannot_be_encoded()
    interrupted: list[int] = []
    try:
        with _interrupting() as interrupted, _translated(given):
            result = app(args=given, prog_name="dcdan", standalone_mode=False, obj=given)
            if sys.stdout is not None:
                sys.stdout.flush()
    except _PipeClosed:
        _drop_standard_output()
        return PIPE_CLOSED
    except typer.Abort:
        return _told("stopped.", INTERRUPTED)
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # of a table or a help text, which rich has printed
            return PIPE_CLOSED
        return end.code if isinstance(end.code, int) else 1
    except Exception as error:
        if os.environ.get("DCDAN_DEBUG") == "1":
            raise
        known = as_dcdan_error(error)
        if known is not None:
            return _told(str(known), known.exit_code)
        if interrupted:
            return _told("stopped.", INTERRUPTED)
        kind = f"{type(error).__name__}: {error}".splitlines()[0]
        return _told(
            f"internal error ({kind}); please report it with the output of the same command under DCDAN_DEBUG=1.",
            INTERNAL_ERROR,
        )
    return result if isinstance(result, int) else 0


@contextmanager
def _interrupting() -> Iterator[list[int]]:
    """Within the context, SIGINT and SIGTERM raise KeyboardInterrupt, unless the process ignores them.

    Yields:
        The signals received so far. Compiled modules turn an interrupt during their import into an error of their own;
        the list then tells the reason.
    """
    before: dict[signal.Signals, Any] = {}
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.default_int_handler(number, frame)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, interrupt)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _escape_what_cannot_be_encoded() -> None:
    """Let the standard output escape characters that its encoding lacks, such as Japanese names in ASCII."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _drop_standard_output() -> None:
    """Send what is still buffered nowhere: it would be written, and fail again, when the interpreter ends."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def as_dcdan_error(error: Exception) -> DcdanError | None:
    """Return the error of ours that an exception amounts to, or None when it is a fault of the program."""
    if isinstance(error, DcdanError):
        return error
    if isinstance(error, _CommandLineError):
        return UsageError(error.format_message())
    if isinstance(error, ModuleNotFoundError) and (missing := missing_extra(error)):
        return missing
    if isinstance(error, OSError) and error.errno in _UNWRITABLE:
        place = f" '{error.filename}'" if error.filename else ""
        return OutputError(f"Cannot write{place}: {error.strerror}; free some space or choose another folder.")
    if isinstance(error, MemoryError):
        return DcdanError(
            "There is not enough memory for this: give smaller pictures, fewer at a time, or more memory."
        )
    return None


def _told(sentence: str, code: int) -> int:
    # A file's name can hold what would break the line or drive the terminal.
    print(f"dcdan: {printable(sentence)}", file=sys.stderr)
    return code
