"""Labels from the terminal: the faces one by one, a key for each class, each answer on the disk before the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dcdan.adaptation.extraction import Answers
from dcdan.adaptation.sheet import LABEL, SHEET, add_labels, given_labels, label_of, withdraw
from dcdan.core.errors import DataError
from dcdan.correction.labels import UNANSWERED, Sample


def ask(
    folder: Path,
    answers: Answers,
    sample: Sample,
    classes: Sequence[str],
    read: Callable[[str], str],
    say: Callable[[str], None],
) -> int:
    """Ask for the expression of each face of a sample that has no label yet.

    Args:
        folder: the run folder.
        answers: of the start model; what they are is not shown, so that nobody is led by them.
        sample: the faces.
        classes: K names; the number of each is its key.
        read: shows a question and returns the line that was typed; raises EOFError at the end of the input.
        say: shows a line.

    Returns:
        How many faces were answered or skipped now.
    """
    keys = "  ".join(f"{number} {name}" for number, name in enumerate(classes, 1))
    say(f"{keys}  s skip  u undo  q quit")
    say(f"The faces are numbered as in {folder / LABEL / SHEET}.")
    rows = sample.rows.tolist()
    given = given_labels(folder, answers, classes)
    waiting = [number for number, row in enumerate(rows) if row not in given]
    done: list[int] = []
    while waiting:
        number = waiting[0]
        row = rows[number]
        face = f", face {answers.faces[row]}" if answers.faces[row] else ""
        try:
            word = read(f"{number + 1}/{len(rows)}  {answers.paths[row]}{face}: ").strip().lower()
        except EOFError:
            break
        if word in ("q", "quit"):
            break
        if word in ("u", "undo"):
            if done:
                waiting.insert(0, done.pop())
                withdraw(folder, rows[waiting[0]], answers)
            else:
                say("There is nothing to undo.")
            continue
        try:
            label = UNANSWERED if word == "s" else label_of(word, classes)
        except DataError as error:
            say(str(error))
            continue
        if label is None:
            continue
        add_labels(folder, {row: label}, answers, classes)
        done.append(waiting.pop(0))
    return len(done)
