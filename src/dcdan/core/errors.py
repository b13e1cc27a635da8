"""Errors that a user can cause: one sentence that says what is wrong and what to do, and a documented exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DcdanError(Exception):
    """Base of every error that ends a command with a sentence instead of a traceback."""

    exit_code = 1


class UsageError(DcdanError):
    """A wrong option, key, value or name on the command line, in a spec or in a settings file."""

    exit_code = 2


class DataError(DcdanError):
    """A data set that is missing, empty, laid out otherwise, without labels, or without a class in common."""

    exit_code = 3


class Unreachable(DataError):
    """A picture that could not be fetched, though it may well be there: worth another try."""


class PackError(DcdanError):
    """A pack that is damaged, unfinished, of another schema, or of another face size."""

    exit_code = 4


class ModelError(DcdanError):
    """A run or weight file that is missing, damaged, of another schema, or does not fit the data."""

    exit_code = 5


class OutputError(DcdanError):
    """An output that exists already, a folder that cannot be written, a full disk."""

    exit_code = 6


class TrainingError(DcdanError):
    """A training that went wrong: not a number, infinity, collapse to one class."""

    exit_code = 7


class MissingExtraError(DcdanError):
    """A command that needs the packages of an extra, such as `dcdan[train]` or `dcdan[video]`."""

    exit_code = 8


class ClusterError(DcdanError):
    """Ray does not start, cannot be reached, or has ended before the work was done."""

    exit_code = 9


def first_line(error: Exception) -> str:
    """Return the first line of what an error of a library says, or its kind where it says nothing.

    >>> first_line(ValueError("a\\nb")), first_line(KeyError())
    ('a', 'KeyError')
    """
    return (str(error).splitlines() or [type(error).__name__])[0]


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest allowed word, or an empty string when none is close.

    >>> nearest("ferpluss", ["ferplus", "folder"])
    " Did you mean 'ferplus'?"
    """
    close = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def unknown(kind: str, word: str, allowed: Iterable[str]) -> UsageError:
    """Return the error for an unknown name: what it is, the nearest spelling, and what is allowed."""
    names = sorted(allowed)
    return UsageError(f"Unknown {kind} '{word}'.{nearest(word, names)} Known: {', '.join(names)}.")
