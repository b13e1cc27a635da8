"""The reference of all commands and options, read from their parsers; ``python -m dcdan.cli.reference`` prints it.

docs/options.md is its output, and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import typer.main

from dcdan.cli.main import COMMANDS, EXIT_CODES, app


@dataclass(frozen=True, slots=True)
class OptionEntry:
    """One option or argument of one command.

    Attributes:
        command: the command, with its group (``data check``).
        names: its forms, the long one first; one name for an argument.
        argument: whether it is an argument and has no name on the command line.
        metavar: the kind of value; empty for a switch.
        default: the default, as the help shows it.
        required: whether it must be given.
        about: the sentence of the help.
    """

    command: str
    names: tuple[str, ...]
    argument: bool
    metavar: str
    default: str
    required: bool
    about: str


def commands() -> Iterator[tuple[str, Any]]:
    """Yield each command's name, with its group, and its parser."""
    root: Any = typer.main.get_command(app)
    for name in COMMANDS:
        found = root.get_command(None, name)
        below = getattr(found, "commands", None)
        if below is None:
            yield name, found
        else:
            yield from ((f"{name} {each}", below[each]) for each in below)


def option_entries() -> list[OptionEntry]:
    """Return every option and argument of every command, in the order of the help.

    Example:
        >>> [entry.names for entry in option_entries() if entry.command == "methods"]
        [('--json',)]
    """
    return [
        _entry(name, parameter)
        for name, command in commands()
        for parameter in command.params
        if "--help" not in parameter.opts
    ]


def page() -> str:
    """Return docs/options.md."""
    lines = [
        "# Commands and options",
        "",
        "<!-- Made by `python -m dcdan.cli.reference > docs/options.md`; a test compares it with the parsers. -->",
        "",
        "An option means the same in every command that has it. `dcdan COMMAND --help` shows the same texts.",
        "`dcdan --offline COMMAND` (or `DCDAN_OFFLINE=1`) forbids the network.",
        "",
        "## Options that several commands share",
        "",
        "| option | meaning | commands |",
        "|---|---|---|",
    ]
    entries = option_entries()
    shared: dict[str, list[OptionEntry]] = {}
    for entry in entries:
        if not entry.argument:
            shared.setdefault(entry.names[0], []).append(entry)
    for name, found in sorted(shared.items()):
        if len(found) > 1:
            about = {each.about for each in found}
            meaning = about.pop() if len(about) == 1 else _GENERAL.get(name, found[0].about)
            where = ", ".join(f"`{each.command}`" for each in found)
            lines.append(f"| {_forms(found[0])} | {_cell(meaning)} | {where} |")
    lines += ["", "## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    for name, command in commands():
        lines += ["", f"## dcdan {name}", "", *_paragraphs(command.help or "")]
        own = [entry for entry in entries if entry.command == name]
        lines += ["", "| option | default | meaning |", "|---|---|---|"]
        lines += [f"| {_forms(entry)} | {_default(entry)} | {_cell(entry.about)} |" for entry in own]
    return "\n".join(lines) + "\n"


_GENERAL = {
    "--out": "Where the results are written.",
    "--results": "Folder of measured results.",
}
"""Meaning of options whose sentence is more exact in the help of single commands."""


def _entry(command: str, parameter: Any) -> OptionEntry:
    argument = parameter.param_type_name == "argument"
    names = sorted((*parameter.opts, *parameter.secondary_opts), key=len, reverse=True)
    switch = bool(getattr(parameter, "is_flag", False))
    shown = parameter.show_default
    default = parameter.default
    if isinstance(shown, str):
        text = shown
    elif default is None or switch or parameter.required or default is ...:
        text = ""
    else:
        text = str(getattr(default, "value", default))
    metavar = parameter.metavar or ""
    if not metavar and not switch:
        metavar = "VALUE"
    return OptionEntry(
        command,
        (metavar,) if argument else tuple(names),
        argument,
        "" if argument or switch else metavar,
        text,
        bool(parameter.required),
        getattr(parameter, "help", None) or "",
    )


def _forms(entry: OptionEntry) -> str:
    text = ", ".join(f"`{name}`" for name in entry.names).replace("|", "\\|")
    return f"{text} {entry.metavar}".rstrip().replace(" | ", " \\| ")


def _default(entry: OptionEntry) -> str:
    return "required" if entry.required else _cell(entry.default)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").strip()


def _paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a help text, in lines of at most 100 characters."""
    lines: list[str] = []
    for paragraph in text.strip().split("\n\n"):
        lines += [*([""] if lines else []), *wrap(" ".join(paragraph.split()), 100)]
    return lines


if __name__ == "__main__":
    print(page(), end="")
