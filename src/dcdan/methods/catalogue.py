"""The list of all methods with a line on each, parsed from the source files, so that listing needs no torch."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

TARGET = "adapt to target faces"
STATISTICS = "adapt to statistics of target faces"
SOURCE = "train on source faces alone"
SOURCE_FREE = "adapt a finished model without a source set"
GROUPS = (TARGET, STATISTICS, SOURCE, SOURCE_FREE)


@dataclass(frozen=True, slots=True)
class MethodEntry:
    """A method, as ``dcdan methods`` lists it.

    Attributes:
        name: the value of ``--method``.
        title: its printed name.
        group: one of ``GROUPS``: what it uses of the target.
        about: one line.
        paper: the publication that describes it.
        year: the year of that publication; None where it names none.
        needs: what it needs beside target faces: of the data, or of the model; empty for nothing.
        reading: what of the publication it is built from, where that is not the paper with its formulas.
    """

    name: str
    title: str
    group: str
    about: str
    paper: str
    year: int | None
    needs: str = ""
    reading: str = ""

    def to_dict(self) -> dict[str, str | int | None]:
        """Return the entry as JSON values.

        Returns:
            Its attributes by name.
        """
        return asdict(self)


@cache
def method_catalogue() -> tuple[MethodEntry, ...]:
    """List all methods; a name may stand in two groups, with and without a source set.

    Returns:
        Entries by group, then by name.

    Example:
        >>> [entry.name for entry in method_catalogue() if entry.group == SOURCE][:3]
        ['amp_net', 'cf_dan', 'cse_gresnet']
        >>> next(entry.year for entry in method_catalogue() if entry.name == "dcdan")
        2025
    """
    folder = Path(__file__).parent
    entries = [*_entries(folder), *_entries(folder / "source_free", source_free=True)]
    return tuple(sorted(entries, key=lambda entry: (GROUPS.index(entry.group), entry.name)))


def _entries(folder: Path, *, source_free: bool = False) -> list[MethodEntry]:
    """Return the entries of the classes with a name in the files of a folder."""
    classes: dict[str, tuple[list[str], dict[str, object], str]] = {}
    for path in sorted(folder.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
                classes[node.name] = bases, _constants(node), ast.get_docstring(node) or ""
    return [
        _entry(name, classes, source_free) for name, (_, own, _) in classes.items() if isinstance(own.get("name"), str)
    ]


def _constants(node: ast.ClassDef) -> dict[str, object]:
    """Return the class attributes with constant values."""
    found: dict[str, object] = {}
    for each in node.body:
        if (
            isinstance(each, ast.AnnAssign)
            and isinstance(each.target, ast.Name)
            and isinstance(each.value, ast.Constant)
        ):
            found[each.target.id] = each.value.value
    return found


def _entry(
    name: str, classes: Mapping[str, tuple[list[str], dict[str, object], str]], source_free: bool
) -> MethodEntry:
    """Return the entry of a class, with attributes inherited from its bases."""

    def value(attribute: str, owner: str = name) -> object:
        bases, own, _ = classes.get(owner, ([], {}, ""))
        if attribute in own:
            return own[attribute]
        return next((found for base in bases if (found := value(attribute, base)) is not None), None)

    group = TARGET if value("sees_target") else STATISTICS if value("estimates_statistics") else SOURCE
    if source_free:
        group = SOURCE_FREE
    paper = str(value("paper") or "")
    year = re.search(r"\b(?:19|20)\d\d\b", paper)
    about = classes[name][2].partition("\n\n")[0].replace("\n", " ").strip()
    about = re.sub(r"(?<=\.)\s.*", "", about).rstrip(".")
    return MethodEntry(
        str(value("name")),
        str(value("title")),
        group,
        about,
        paper,
        int(year.group()) if year else None,
        str(value("needs") or ""),
        str(value("reading") or ""),
    )
