"""A part of a document: a heading, paragraphs, tables and points, for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcdan.evaluation.benchmark.table import Table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table as RichTable


@dataclass(frozen=True)
class Section:
    """A heading of the second level and what stands below it, in this order."""

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    points: tuple[str, ...] = ()

    def markdown(self) -> str:
        """Return the section as Markdown, ending in an empty line."""
        parts = [f"## {self.title}\n", *(f"{paragraph}\n" for paragraph in self.text)]
        parts += [table.markdown() for table in self.tables]
        if self.points:
            parts.append("".join(f"- {point}\n" for point in self.points))
        return "\n".join(part.rstrip("\n") + "\n" for part in parts) + "\n"

    def rich(self) -> RenderableType:
        """Return the section for a rich console."""
        from rich.console import Group
        from rich.padding import Padding
        from rich.text import Text

        points = (Padding(Text(f"• {point}"), (0, 0, 0, 2)) for point in self.points)
        tables = (_narrow(table) for table in self.tables)
        return Group(Text(self.title, style="bold underline"), *map(Text, self.text), *tables, *points, Text())


def _narrow(table: Table) -> RichTable:
    """Return a table that breaks cells where a terminal is narrow, as shortened figures are worth nothing."""
    narrow = table.rich()
    narrow.padding = (0, 1, 0, 0)
    narrow.pad_edge = narrow.show_edge = False
    for index, column in enumerate(narrow.columns):
        column.overflow = "fold"
        column.no_wrap = not index
        if any(any(letter.isalpha() for letter in row[index][:1]) for row in table.rows):
            column.justify = "left"
    return narrow


def markdown_page(title: str, head: str, sections: Sequence[Section]) -> str:
    """Return a whole page: the title, a paragraph below it, and the sections."""
    return f"# {title}\n\n{head}\n\n" + "".join(section.markdown() for section in sections).rstrip("\n") + "\n"
