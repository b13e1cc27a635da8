"""Specs: the text that names a data set on the command line, in settings and in Python.

ferplus:/data/FERPlus?split=train&votes=majority   a reader, a path and options
s3://bucket/faces?faces=crops                      pictures at a URL that fsspec knows, the same as folder:s3://...
synthetic:street?n=2000                            a domain in place of a path
./my_photos                                        a folder, pack or manifest, whose reader is detected
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, unquote

from pydantic import ValidationError

from dcdan.core.errors import DataError, UsageError, nearest, unknown
from dcdan.datasets.class_folders import holds_classes
from dcdan.datasets.reader import Reader, ReaderOptions
from dcdan.datasets.registry import readers
from dcdan.images.remote import is_url

_PREFIX = re.compile(r"([A-Za-z][A-Za-z0-9_+-]+):(.*)", re.DOTALL)
_MANIFESTS = (".csv", ".parquet")
_Options = TypeVar("_Options", bound=ReaderOptions)


@dataclass(frozen=True)
class Spec:
    """A parsed spec.

    Attributes:
        reader: the name of the reader, None where it is to be detected.
        path: the path, URL or domain, as written.
        options: name -> text.
    """

    reader: str | None
    path: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The spec as text; `parse_spec(spec.text) == spec`."""
        head = self.path if self.reader is None else f"{self.reader}:{self.path}"
        query = "&".join(f"{_escape(key)}={_escape(value)}" for key, value in self.options.items())
        return f"{head}?{query}" if query or "?" in self.path else head


def parse_spec(text: str) -> Spec:
    """Parse `[reader:]path[?option=value&option=value]`.

    Args:
        text: the spec. The last question mark starts the options. Option values may be percent-encoded, paths not.

    Returns:
        The parsed spec.

    Raises:
        UsageError: an option has no name or value or is given twice, or the spec names no data.

    Example:
        >>> parse_spec("ferplus:/data/FERPlus?split=train")
        Spec(reader='ferplus', path='/data/FERPlus', options={'split': 'train'})
    """
    head, mark, query = text.rpartition("?")
    if not mark:
        head, query = text, ""
    options: dict[str, str] = {}
    for item in query.split("&") if query else []:
        key, equals, value = item.partition("=")
        if not key or not equals:
            raise UsageError(f"'{item}' in '{text}' is no option: write ?name=value, with & between two options.")
        if unquote(key) in options:
            raise UsageError(f"The option '{unquote(key)}' is given twice in '{text}': keep one of them.")
        options[unquote(key)] = unquote(value)
    match = None if is_url(head) else _PREFIX.fullmatch(head)
    reader, path = (match[1], match[2]) if match else (None, head)
    if not path and reader is None:
        raise UsageError(f"The spec '{text}' names no data: write reader:path, or a folder.")
    return Spec(reader, path, options)


def is_pack(path: Path) -> bool:
    """Return whether a folder is a pack.

    Args:
        path: the folder.

    Returns:
        True when it contains a pack.json.
    """
    return (path / "pack.json").is_file()


def open_reader(spec: Spec) -> Reader:
    """Open the reader of a spec, with its options checked.

    Args:
        spec: the spec.

    Returns:
        The reader.

    Raises:
        UsageError: the reader or an option is unknown (the nearest name is suggested), or a value is not valid.
        DataError: there is nothing at the path, it cannot be read, or its layout is another.
    """
    known = readers()
    remote = is_url(spec.path)
    name = spec.reader or ("folder" if remote else _reader_for(spec.path, known))
    if name not in known:
        if Path(f"{spec.reader}:{spec.path}").exists():
            return open_reader(Spec(None, f"./{spec.reader}:{spec.path}", spec.options))
        raise unknown("reader", name, known)
    kind = known[name]
    options = _options(kind, spec.options)
    if remote:
        return kind.at_url(spec.path, options)
    if not kind.needs_path:
        return kind(Path(spec.path) if spec.path else None, options)
    if not spec.path:
        raise UsageError(f"The reader '{name}' needs a path: write {name}:PATH.")
    path = Path(spec.path).expanduser()
    try:
        if not path.exists():
            raise DataError(f"There is nothing at '{path}': give {kind.title} a path that exists.")
        return kind(path, options)
    except OSError as error:
        raise DataError(f"'{path}' cannot be read ({error.strerror or error}): check its permissions.") from error


def _reader_for(path: str, known: Mapping[str, type[Reader]]) -> str:
    """Detect the reader of a path without a reader's name."""
    place = Path(path).expanduser()
    if is_pack(place):
        raise UsageError(f"'{path}' is a pack already: use it as it is, or name the data it was made from.")
    if place.is_file():
        if place.suffix.lower() in _MANIFESTS:
            return "manifest"
        raise DataError(f"'{path}' is a file and no manifest (.csv, .parquet): give the folder of the pictures.")
    if not place.is_dir():
        if path in known:
            what = "PATH, with the folder of the data" if known[path].needs_path else "and what it should make"
            raise UsageError(f"'{path}' is the name of a reader: write {path}:{what}.")
        hint = nearest(path, known) if "/" not in path else ""
        raise DataError(f"There is no folder '{path}': check the path, or write reader:path.{hint}")
    found = recognised(place, known)
    if len(found) > 1:
        names = " or ".join(f"{name}:{path}" for name in found)
        raise UsageError(f"'{path}' looks like more than one data set: write {names}.")
    return next(iter(found), "class_folders" if holds_classes(place) else "folder")


def recognised(folder: Path, known: Mapping[str, type[Reader]] | None = None) -> dict[str, str]:
    """Detect the published data set in a folder.

    Args:
        folder: any folder.
        known: name -> reader; None for all.

    Returns:
        reader -> layout, with one entry or none.
    """
    layouts = {name: kind.recognise(folder) for name, kind in (known or readers()).items()}
    return {name: layout for name, layout in layouts.items() if layout is not None}


def _options(kind: type[Reader], given: Mapping[str, str]) -> ReaderOptions:
    """Validate the options of a spec against the reader's own model."""
    fields = kind.Options.model_fields
    for key in given:
        if key not in fields:
            raise unknown(f"option of {kind.name}", key, fields)
    return _validated(kind.Options, given, kind.name)


class ViewOptions(ReaderOptions):
    """Options of a pack in a spec: `pack?split=test&limit=100&seed=1`, or `pack?shift=blur&severity=2`."""


def view_options(given: Mapping[str, str]) -> ViewOptions:
    """Validate the options of a pack's spec.

    Args:
        given: name -> text.

    Returns:
        The options.

    Raises:
        UsageError: an option is unknown or a value is not valid.
    """
    for key in given:
        if key not in ViewOptions.model_fields:
            raise unknown("option of a pack", key, ViewOptions.model_fields)
    return _validated(ViewOptions, given, "a pack")


def _validated(model: type[_Options], given: Mapping[str, str], owner: str) -> _Options:
    """Validate options and report the first error in one sentence."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        text = first["msg"].removeprefix("Value error, ").rstrip(".")
        message = text[:1].lower() + text[1:]
        if not first["loc"]:
            raise UsageError(f"The options of {owner} do not go together: {message}.") from None
        key = str(first["loc"][0])
        expected = str(first.get("ctx", {}).get("expected", ""))
        close = nearest(given[key], re.findall(r"'(\w+)'", expected))
        raise UsageError(f"The option {key}={given[key]} of {owner} is not valid: {message}.{close}") from None


def _escape(text: str) -> str:
    """Percent-encode a part of a spec."""
    return quote(text, safe="/:., @+-_")
