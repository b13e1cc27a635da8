"""A table of text for a terminal, Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcdan.core.sanitize import inert, no_formula, printable

if TYPE_CHECKING:
    from rich.table import Table as RichTable

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
    **{letter: f"\\{letter}" for letter in "&%#_${}"},
}


@dataclass(frozen=True)
class Table:
    """A table whose cells are text.

    Attributes:
        title: title.
        header: names of the columns.
        rows: the rows, each as long as the header; the first cell names the row.
        note: remark below the table.

    Example:
        >>> print(Table("Accuracy", ("method", "LFW"), (("AdaBN", "73.5"),), "In per cent.").markdown())
        ### Accuracy
        <BLANKLINE>
        | method | LFW |
        |---|---|
        | AdaBN | 73.5 |
        <BLANKLINE>
        In per cent.
        <BLANKLINE>
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """Return the table as Markdown, the title as a heading of the third level and the note below."""
        lines = [f"### {printable(self.title)}", "", _piped(self.header), "|---" * len(self.header) + "|"]
        lines += [_piped(row) for row in self.rows]
        return "\n".join([*lines, "", *([inert(self.note), ""] if self.note else [])])

    def csv(self) -> str:
        """Return the table as CSV. A cell that a spreadsheet would take for a formula gets an apostrophe before it."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.header)
        writer.writerows(map(no_formula, row) for row in self.rows)
        return text.getvalue()

    def latex(self) -> str:
        """Return the table as a LaTeX ``table`` in the style of booktabs."""
        body = [" & ".join(map(_escaped, row)) + r" \\" for row in self.rows]
        caption = _escaped(f"{self.title}. {self.note}".strip())
        return "\n".join(
            [
                r"\begin{table}",
                rf"\caption{{{caption}}}",
                rf"\begin{{tabular}}{{l{'r' * (len(self.header) - 1)}}}",
                r"\toprule",
                " & ".join(map(_escaped, self.header)) + r" \\",
                r"\midrule",
                *body,
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
                "",
            ]
        )

    def rich(self) -> RichTable:
        """Return the table as an object that a rich console prints."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(box=SIMPLE_HEAD, title=Text(self.title, style="bold"), title_justify="left")
        table.caption = Text(self.note) if self.note else None
        table.caption_justify = "left"
        for number, name in enumerate(self.header):
            table.add_column(Text(name), justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*map(Text, row))
        return table


def _piped(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(printable(cell).replace("|", r"\|").replace("<", "&lt;") for cell in cells) + " |"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
