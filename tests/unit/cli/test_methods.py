"""`dcdan methods`, and the list of methods in the help of `dcdan adapt`."""

from __future__ import annotations

import json

import pytest

from dcdan.cli.main import run as dcdan
from dcdan.methods.base import methods
from dcdan.methods.catalogue import GROUPS, SOURCE, STATISTICS, TARGET, method_catalogue
from imported_modules import HEAVY, imported_by


def test_the_catalogue_is_that_of_the_registry() -> None:
    """U7. Every registered method is listed, with its own title and paper, in the group of what it sees."""
    known = methods()
    assert {entry.name for entry in method_catalogue()} == set(known)
    for entry in method_catalogue():
        method = known[entry.name]
        assert (entry.title, entry.paper) == (method.title, method.paper)
        assert entry.group == (TARGET if method.sees_target else STATISTICS if method.estimates_statistics else SOURCE)
        assert entry.about
        assert len(entry.about) < 110


def test_all_methods_are_in_the_help_of_adapt(capsys: pytest.CaptureFixture[str]) -> None:
    """U7. `adapt --help` names all methods, grouped."""
    assert dcdan(["adapt", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for name in methods():
        assert f" {name}: " in text
    assert [text.index(f"Methods that {group}:") for group in GROUPS] == sorted(
        text.index(f"Methods that {group}:") for group in GROUPS
    )


def test_a_list_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert dcdan(["methods"]) == 0
    assert "DCD-DAN: " in capsys.readouterr().out
    assert dcdan(["methods", "--json"]) == 0
    entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert (entries["dann"]["year"], entries["dann"]["group"]) == (2016, TARGET)
    assert (entries["adabn"]["year"], entries["adabn"]["group"]) == (2016, STATISTICS)
    assert (entries["scn"]["year"], entries["scn"]["group"]) == (2020, SOURCE)


@pytest.mark.parametrize("arguments", [["methods"], ["models"], ["cache"], ["adapt", "--help"]])
def test_lists_need_no_torch(arguments: list[str]) -> None:
    code, names = imported_by(arguments)
    assert code == 0
    assert names.isdisjoint(HEAVY)
