"""Errors that a user can cause: each has a one-sentence message and a documented exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DcdanError(Exception):
    """Base class of all errors that end a command with a sentence instead of a traceback."""

    exit_code = 1


class UsageError(DcdanError):
    """An invalid option, key, value or name on the command line, in a spec or in a settings file."""

    exit_code = 2


class DataError(DcdanError):
    """A data set that is missing, empty, unlabelled, laid out differently, or without a common class."""

    exit_code = 3


class Unreachable(DataError):
    """An image that could not be downloaded for a reason that may be temporary; the download may be retried."""


class PackError(DcdanError):
    """A pack that is damaged, incomplete, of another schema, or of another face size."""

    exit_code = 4


class ModelError(DcdanError):
    """A run or weight file that is missing, damaged, of another schema, or incompatible with the data."""

    exit_code = 5


class OutputError(DcdanError):
    """An output that already exists, a folder that cannot be written to, or a full disk."""

    exit_code = 6


class TrainingError(DcdanError):
    """A training that failed: NaN, infinity, or collapse to one class."""

    exit_code = 7


class MissingExtraError(DcdanError):
    """A command whose packages are not installed; an extra such as `dcdan[train]` or `dcdan[video]` installs them."""

    exit_code = 8


class ClusterError(DcdanError):
    """Ray does not start, cannot be reached, or stopped before the work was complete."""

    exit_code = 9


def first_line(error: Exception) -> str:
    r"""Return the first line of an error's message, or the name of its class if it has no message.

    Args:
        error: Any exception.

    Returns:
        One line of text.

    Example:
        >>> first_line(ValueError("a\nb")), first_line(KeyError())
        ('a', 'KeyError')
    """
    return (str(error).splitlines() or [type(error).__name__])[0]


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Suggest the allowed word that is spelt most like a given one.

    Args:
        word: The unknown word.
        allowed: The known words.

    Returns:
        ``" Did you mean 'x'?"``, or an empty string if no word is similar.

    Example:
        >>> nearest("ferpluss", ["ferplus", "folder"])
        " Did you mean 'ferplus'?"
    """
    close = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def unknown(kind: str, word: str, allowed: Iterable[str]) -> UsageError:
    """Return the error for an unknown name, with the most similar name and all known names.

    Args:
        kind: What the name stands for, such as ``"method"``.
        word: The unknown name.
        allowed: The known names.

    Returns:
        The error to raise.

    Example:
        >>> str(unknown("method", "dan", ["dann", "mcc"]))
        "Unknown method 'dan'. Did you mean 'dann'? Known: dann, mcc."
    """
    names = sorted(allowed)
    return UsageError(f"Unknown {kind} '{word}'.{nearest(word, names)} Known: {', '.join(names)}.")
