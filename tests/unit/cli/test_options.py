"""One vocabulary of options in all commands, and the page that is made from it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from dcdan.cli.main import COMMANDS
from dcdan.cli.reference import commands, option_entries, page

ROOT = Path(__file__).parents[3]
SAME_SENTENCE = (
    *("--model", "--force", "--json", "--quiet", "--limit", "--seed", "--threads", "--workers", "--strict", "--size"),
    *("--ray", "--align", "--device"),
)


def test_a_name_has_one_form_and_one_kind_of_value() -> None:
    """U11. The short form and the kind of value of an option are the same in every command."""
    forms: dict[str, set[tuple[tuple[str, ...], str]]] = defaultdict(set)
    for entry in option_entries():
        if not entry.argument:
            forms[entry.names[0]].add((entry.names, entry.metavar))
    assert {name: found for name, found in forms.items() if len(found) > 1} == {}


def test_a_short_form_belongs_to_one_option() -> None:
    """U11. No letter means two things."""
    letters: dict[str, set[str]] = defaultdict(set)
    for entry in option_entries():
        for name in entry.names[1:]:
            letters[name].add(entry.names[0])
    assert {letter: names for letter, names in letters.items() if len(names) > 1} == {}


def test_shared_options_have_one_sentence() -> None:
    """U11. The options of the common vocabulary are explained by one sentence everywhere."""
    about: dict[str, set[str]] = defaultdict(set)
    for entry in option_entries():
        if entry.names[0] in SAME_SENTENCE:
            about[entry.names[0]].add(entry.about)
    assert {name: found for name, found in about.items() if len(found) > 1} == {}


def test_every_option_and_command_is_explained() -> None:
    for entry in option_entries():
        assert entry.about.endswith("."), entry
    assert [name for name, command in commands() if not command.help] == []
    assert {name.partition(" ")[0] for name, _ in commands()} == set(COMMANDS)


def test_the_page_is_that_of_the_parsers() -> None:
    """U11. Run `python -m dcdan.cli.reference > docs/options.md` after a change of an option."""
    assert (ROOT / "docs" / "options.md").read_text(encoding="utf-8") == page()
