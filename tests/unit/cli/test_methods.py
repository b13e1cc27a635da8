"""`dcdan methods`, and the list of methods in the help of `dcdan adapt`."""

from __future__ import annotations

import json

import pytest

from dcdan.cli.main import run as dcdan
from dcdan.methods.base import methods
from dcdan.methods.catalogue import GROUPS, SOURCE, SOURCE_FREE, STATISTICS, TARGET, method_catalogue
from dcdan.methods.source_free.base import source_free_methods
from imported_modules import HEAVY, imported_by


def test_the_catalogue_is_that_of_the_registry() -> None:
    """U7. Every registered method is listed, with its own title and paper, in the group of what it sees."""
    known = methods()
    listed = [entry for entry in method_catalogue() if entry.group != SOURCE_FREE]
    assert len(listed) == len(known)
    assert {entry.name for entry in listed} == set(known)
    for entry in listed:
        method = known[entry.name]
        assert (entry.title, entry.paper) == (method.title, method.paper)
        assert entry.group == (TARGET if method.sees_target else STATISTICS if method.estimates_statistics else SOURCE)
        assert entry.about
        assert len(entry.about) < 110


def test_methods_without_a_source_set_are_listed_with_what_they_need() -> None:
    known = source_free_methods()
    listed = {entry.name: entry for entry in method_catalogue() if entry.group == SOURCE_FREE}
    assert set(listed) == set(known)
    for name, entry in listed.items():
        assert (entry.title, entry.paper, entry.needs) == (known[name].title, known[name].paper, known[name].needs)
        assert 0 < len(entry.about) < 110


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
    text = capsys.readouterr().out
    assert "DCD-DAN: " in text
    assert "needs weights; neutral faces" in text
    assert dcdan(["methods", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    entries = {entry["name"]: entry for entry in found if entry["group"] != SOURCE_FREE}
    free = {entry["name"]: entry for entry in found if entry["group"] == SOURCE_FREE}
    assert (free["tent"]["year"], free["adabn"]["needs"], entries["adabn"]["needs"]) == (
        2021,
        "weights",
        "",
    )
    assert (entries["dann"]["year"], entries["dann"]["group"]) == (2016, TARGET)
    assert (entries["adabn"]["year"], entries["adabn"]["group"]) == (2016, STATISTICS)
    assert (entries["scn"]["year"], entries["scn"]["group"]) == (2020, SOURCE)


@pytest.mark.parametrize("arguments", [["methods"], ["models"], ["cache"], ["adapt", "--help"]])
def test_lists_need_no_torch(arguments: list[str]) -> None:
    code, names = imported_by(arguments)
    assert code == 0
    assert names.isdisjoint(HEAVY)
