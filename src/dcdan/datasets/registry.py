"""The registry of readers: name -> reader. It imports every module of `dcdan.datasets.readers`.

A new data set is one new file there with one `@register` class in it.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TypeVar

from dcdan.datasets.reader import Reader

_GENERAL = ("class_folders", "folder", "manifest", "synthetic.reader")
"""Modules of `dcdan.datasets` that register the readers of a user's own data and of drawn faces."""

_REGISTRY: dict[str, type[Reader]] = {}
_R = TypeVar("_R", bound=type[Reader])


def register(reader: _R) -> _R:
    """Register a reader under its `name`, as a class decorator.

    Args:
        reader: the class.

    Returns:
        The same class.
    """
    _REGISTRY[reader.name] = reader
    return reader


def readers() -> dict[str, type[Reader]]:
    """Return all registered readers.

    Returns:
        Classes by name, sorted.

    Example:
        >>> readers()["jaffe"].title
        'JAFFE'
    """
    package = importlib.import_module("dcdan.datasets.readers")
    published = (f"readers.{module.name}" for module in pkgutil.iter_modules(package.__path__))
    for name in (*_GENERAL, *published):
        importlib.import_module(f"dcdan.datasets.{name}")
    return dict(sorted(_REGISTRY.items()))
