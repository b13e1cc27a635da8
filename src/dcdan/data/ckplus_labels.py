"""CK+'s labels: a file for each labelled sequence, with a code that is written as a float."""

from __future__ import annotations

from pathlib import Path

from dcdan.bounded import read_text
from dcdan.data.layout import folders_in, names_in
from dcdan.data.reader import Reader

_CODES = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
_ENDING = "_emotion.txt"


def read_labels(folder: Path, reader: Reader) -> dict[tuple[str, str], str]:
    """Return (subject, sequence) -> expression of `S###/###/*_emotion.txt` below a folder.

    Rows that cannot be read are given to `reader.damaged`; sequences with two different labels are counted.
    """
    labels: dict[tuple[str, str], str] = {}
    for subject in folders_in(folder):
        for sequence in folders_in(subject):
            files = [name for name in names_in(sequence) if name.lower().endswith(_ENDING)]
            found = {label for name in files for label in _read(sequence / name, reader)}
            if len(found) == 1:
                labels[subject.name.upper(), sequence.name] = found.pop()
            elif found:
                reader.skip("sequence with two different labels")
    return labels


def code(text: str) -> str:
    """Return the expression of a code such as `3.0000000e+00`; raise ValueError when it is none of 0..7.

    >>> code("  3.0000000e+00")
    'disgust'
    """
    number = float(text)
    if not number.is_integer() or not 0 <= number < len(_CODES):
        raise ValueError(f"'{text.strip()}' is none of the codes 0 to {len(_CODES) - 1}")
    return _CODES[int(number)]


def _read(file: Path, reader: Reader) -> set[str]:
    labels: set[str] = set()
    try:
        lines = read_text(file).removeprefix("\ufeff").splitlines()
    except (OSError, ValueError) as error:
        reader.damaged(file, None, error)
        return labels
    rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    for number, line in rows:
        try:
            labels.add(code(line))
        except ValueError as reason:
            reader.damaged(file, number, reason)
    if not rows:
        reader.damaged(file, None, "it is empty")
    return labels
