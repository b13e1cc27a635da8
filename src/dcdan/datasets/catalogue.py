"""The catalogue of readers: what each one reads, its extent, its licence, and how to obtain the data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dcdan.datasets.reader import Reader
from dcdan.datasets.registry import readers

if TYPE_CHECKING:
    from rich.console import RenderableType

# Narrower, six columns would break every word.
_TABLE_WIDTH = 130


@dataclass(frozen=True)
class CatalogueEntry:
    """One reader in the catalogue.

    Attributes:
        reader: its name in specs.
        title: the name of the data set.
        classes: names of the classes; empty where they depend on the data.
        extent: how much there is, in a few words.
        licence: what may be done with the data.
        obtain: how to get it.
        options: option -> its description.
    """

    reader: str
    title: str
    classes: tuple[str, ...]
    extent: str
    licence: str
    obtain: str
    options: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as JSON values.

        Returns:
            Its attributes by name.
        """
        return asdict(self)

    def rows(self) -> list[tuple[str, str]]:
        """Return the fields that are not empty.

        Returns:
            Name and text of each.
        """
        fields = (("classes", _classes(self.classes)), ("size", self.extent), ("licence", self.licence))
        return [(name, text) for name, text in (*fields, ("get it", self.obtain)) if text]


def catalogue() -> list[CatalogueEntry]:
    """Return an entry for every reader.

    Returns:
        Entries, sorted by name.
    """
    return [_entry(kind) for kind in readers().values()]


def catalogue_table(entries: list[CatalogueEntry], width: int) -> RenderableType:
    """Return the entries for a rich console: a table where it fits, else a paragraph for each.

    Args:
        entries: the entries.
        width: width of the console in columns.

    Returns:
        The renderable.
    """
    return _table(entries) if width >= _TABLE_WIDTH else _paragraphs(entries)


def _entry(kind: type[Reader]) -> CatalogueEntry:
    """Return the entry of a reader."""
    options = {name: field.description or "" for name, field in kind.Options.model_fields.items()}
    return CatalogueEntry(kind.name, kind.title, tuple(kind.classes), kind.extent, kind.licence, kind.obtain, options)


def _classes(names: tuple[str, ...]) -> str:
    """Format class names."""
    return f"{len(names)}: {', '.join(names)}" if names else "as in the data"


def _table(entries: list[CatalogueEntry]) -> RenderableType:
    """Return the entries as a table."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_lines=False, leading=1)
    table.add_column("reader", style="bold", no_wrap=True)
    for name, ratio in (("title", 2), ("classes", 3), ("size", 4), ("licence", 4), ("how to get it", 5)):
        table.add_column(name, ratio=ratio, overflow="fold")
    for entry in entries:
        texts = (entry.title, _classes(entry.classes), entry.extent, entry.licence, entry.obtain)
        table.add_row(entry.reader, *(Text(text) for text in texts))
    return table


def _paragraphs(entries: list[CatalogueEntry]) -> RenderableType:
    """Return the entries as paragraphs."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = []
    for entry in entries:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, text in entry.rows():
            grid.add_row(name, Text(text))
        parts.append(Text.assemble((entry.reader, "bold"), f"  {entry.title}" if entry.title != entry.reader else ""))
        parts.append(Padding(grid, (0, 0, 1, 2)))
    return Group(*parts)
