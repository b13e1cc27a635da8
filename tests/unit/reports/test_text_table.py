"""Tables as Markdown, CSV, LaTeX and on a terminal: nothing lost, nothing let through as a command."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from dcdan.reports.text_table import Table

TABLE = Table("A & B", ("row", "x_1 %"), (("a|b", "83.8 ± 1.4"), ("=SUM(A1)", "-3.1")), "A note.")


def test_markdown_escapes_pipes() -> None:
    lines = TABLE.markdown().splitlines()
    assert lines[:4] == ["### A & B", "", "| row | x_1 % |", "|---|---|"]
    assert lines[4] == r"| a\|b | 83.8 ± 1.4 |"
    assert lines[-1] == "A note."


def test_latex_escapes_what_latex_would_read() -> None:
    text = TABLE.latex()
    assert r"\caption{A \& B. A note.}" in text
    assert r"row & x\_1 \% \\" in text
    assert r"83.8 $\pm$ 1.4" in text
    assert text.count(r"\begin") == text.count(r"\end") == 2


def test_csv_has_no_formulas_and_keeps_numbers() -> None:
    rows = list(csv.reader(io.StringIO(TABLE.csv())))
    assert rows == [["row", "x_1 %"], ["a|b", "83.8 ± 1.4"], ["'=SUM(A1)", "-3.1"]]


@given(st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), min_size=1, max_size=4))
def test_csv_reads_back(rows: list[tuple[str, str]]) -> None:
    text = Table("t", ("a", "b"), tuple(rows)).csv()
    back = list(csv.reader(io.StringIO(text, newline="")))[1:]
    kept = [cell.removeprefix("'") if cell[1:2] and cell[1] in "=+-@\t\r" else cell for row in back for cell in row]
    flat = [cell for row in rows for cell in row]
    if not any(letter in cell for cell in flat for letter in "'\r\n\0"):
        assert [cell.lstrip("'") for cell in kept] == flat


def test_a_terminal_shows_all_cells() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(TABLE.rich())
    text = console.export_text()
    assert "83.8 ± 1.4" in text
    assert "a|b" in text
