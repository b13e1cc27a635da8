"""The page of errata: made by code, complete, and the same as the file in docs/."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scipy import stats

from dcdan.cli.main import run as dcdan
from dcdan.paper.errata import REMEDIES, errata_page
from dcdan.paper.inconsistencies import find_inconsistencies
from dcdan.paper.published import TABLES

FILE = Path(__file__).parents[3] / "docs" / "paper-errata.md"


def test_the_file_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert dcdan(["paper", "--errata"]) == 0
    assert capsys.readouterr().out == errata_page() == FILE.read_text(encoding="utf-8")


def test_every_finding_stands_on_it_with_a_remedy() -> None:
    page = " ".join(errata_page().split())
    findings = find_inconsistencies(TABLES)
    assert {each.rule for each in findings} == set(REMEDIES)
    for each in findings:
        assert each.sentence in page
    for remedy in REMEDIES.values():
        assert f"## {remedy.heading} " in page
        assert f"What dcdan does: {remedy.done}" in page


def test_lines_are_short_but_for_tables() -> None:
    assert all(len(line) <= 100 for line in errata_page().splitlines() if not line.startswith("|"))


def test_statistics_are_those_of_scipy_on_the_printed_figures() -> None:
    """Protocol, section 5, row by row."""
    rows = re.findall(
        r"^\| (\d) \| .+ \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) to ([\d.]+) \| ([\d.]+) \|", errata_page(), re.M
    )
    assert len(rows) == 4
    for number, *printed in rows:
        figures = TABLES[int(number) - 1].ours.figures
        low, high = stats.t.interval(0.95, 4, stats.tmean(figures), stats.sem(figures))
        expected = stats.tmean(figures), stats.tstd(figures), low, high, stats.tmean(figures[1:])
        assert [float(value) for value in printed] == pytest.approx(expected, abs=0.0051)


@pytest.mark.parametrize(
    "words",
    [
        "F(1,8) = 1.778, p = 0.219",
        "t(4) = 3.085, p = 0.037",
        "t(3) = 2.670, p = 0.076",
        "the printed mean is 68.75, that of the last four targets 68.448",
        "the printed mean is 43.75, that of the last four targets 43.458",
        "the printed mean is 48.25, that of the last four targets 48.013",
        "the text claims +19.7 over DGL; the figures give +19.38",
        "AffectNet 74.13 (82.13), ExpW 75.37 (78.37), SFEW 2.0 61.47 (72.47), JAFFE 65.68 (70.68), mean 69.16",
        "The ablation without dual attention is -9.3",
        "The abstract gives FERPlus 92.35, table 3 92.37",
        "said to show 8 categories of RAF-DB, which has 7",
        "these are the figures of table 2, which is MobileNet-V2",
    ],
)
def test_what_the_protocol_lists_is_on_the_page(words: str) -> None:
    """Protocol, section 5."""
    assert words in " ".join(errata_page().split())
