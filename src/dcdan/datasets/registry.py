"""The registry of readers: which data sets can be read, by name.

A new data set is one new file in :mod:`dcdan.datasets.readers` with one ``@register`` class in it.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TypeVar

from dcdan.datasets.reader import Reader

_GENERAL = ("class_folders", "folder", "manifest", "synthetic.reader")
"""Modules of :mod:`dcdan.datasets` that register a reader of no one data set."""

_REGISTRY: dict[str, type[Reader]] = {}
_R = TypeVar("_R", bound=type[Reader])


def register(reader: _R) -> _R:
    """Class decorator: make a reader known by its `name`."""
    _REGISTRY[reader.name] = reader
    return reader


def readers() -> dict[str, type[Reader]]:
    """Return every known reader by name, sorted: the general ones, and one a module of ``dcdan.datasets.readers``."""
    package = importlib.import_module("dcdan.datasets.readers")
    published = (f"readers.{module.name}" for module in pkgutil.iter_modules(package.__path__))
    for name in (*_GENERAL, *published):
        importlib.import_module(f"dcdan.datasets.{name}")
    return dict(sorted(_REGISTRY.items()))
