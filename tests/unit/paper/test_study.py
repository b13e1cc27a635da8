"""The study of the paper as sections, Markdown, terminal text and JSON."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from dcdan.paper.published import TABLES
from dcdan.paper.sections import Section, markdown_page, sections
from dcdan.paper.study import study
from dcdan.reports.text_table import Table


def test_of_one_table_only_what_touches_it_is_left() -> None:
    found = study(3)
    assert [table.number for table in found.tables] == [3]
    assert {versus.table for versus in found.baselines} == {3}
    assert [pair.tables for pair in found.trunks] == [(3, 4)]
    assert found.findings
    assert all(3 in finding.tables for finding in found.findings)
    assert {f for number in (1, 2, 3, 4) for f in study(number).findings} == {f for f in study().findings if f.tables}


def test_dict_is_plain_and_complete() -> None:
    found = json.loads(json.dumps(study().to_dict(), allow_nan=False))
    assert [table["number"] for table in found["tables"]] == [1, 2, 3, 4]
    ours = found["tables"][3]["rows"][-1]
    assert (ours["method"], ours["mean"]) == ("DCD-DAN", 68.75)
    assert ours["mean_of_last_four"] == pytest.approx(68.4475)
    assert found["recomputed"]["tables"][0]["summary"]["sd"] == pytest.approx(8.97858, abs=1e-5)
    assert found["recomputed"]["trunks"][0]["anova"]["f"] == pytest.approx(1.7778226)
    assert len(found["recomputed"]["baselines"]) == 20
    assert len(found["inconsistencies"]) == len(study().findings)
    assert found["references"]["in_domain"]["RAF-DB"] == 92.5
    assert found["prose"]["abstract"]["FERPlus"] == 92.35
    assert (found["measured"], found["beside"]) == (None, [])


@pytest.mark.parametrize("width", [80, 140])
def test_no_figure_is_cut_on_a_terminal(width: int) -> None:
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        for section in sections(study()):
            console.print(section.rich())
    text = capture.get()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for table in TABLES:
        for row in table.rows:
            line = next(line for line in text.splitlines() if line.startswith(row.method) and f"{row.mean:.2f}" in line)
            assert [f"{figure:.2f}" for figure in row.figures] == line.split()[1:6]


def test_sections_write_themselves_as_markdown() -> None:
    table = Table("Title", ("a", "b"), (("x", "1"),), "A note.")
    page = markdown_page("Page", "Head.", [Section("One", ("Text.",), (table,), ("p", "q")), Section("Two")])
    assert page == (
        "# Page\n\nHead.\n\n## One\n\nText.\n\n### Title\n\n| a | b |\n|---|---|\n| x | 1 |\n\n"
        "A note.\n\n- p\n- q\n\n## Two\n"
    )
