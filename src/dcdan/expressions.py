"""The vocabulary of expressions: canonical order, spelling variants, and the classes that two data sets share.

The order of the first seven is RAF-DB's and AGRA's; contempt, which few sets have, comes last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

EXPRESSIONS: tuple[str, ...] = (
    "surprise",
    "fear",
    "disgust",
    "happiness",
    "sadness",
    "anger",
    "neutral",
    "contempt",
)

CLASS_NAME = r"^[a-z][a-z0-9_ -]*$"
"""What the name of a class may look like in a pack or a model: nothing that a table or a terminal would run."""

ClassName = Annotated[str, Field(pattern=CLASS_NAME)]

_SYNONYMS: dict[str, tuple[str, ...]] = {
    "surprise": ("surprised", "suprise", "suprised", "sur", "su"),
    "fear": ("fearful", "afraid", "scared", "fea", "fe"),
    "disgust": ("disgusted", "dis", "di"),
    "happiness": ("happy", "joy", "smile", "smiling", "hap", "ha"),
    "sadness": ("sad", "sa"),
    "anger": ("angry", "ang", "an"),
    "neutral": ("neutrality", "neu", "ne", "none expressed"),
    "contempt": ("contemptuous", "con"),
}

SPELLINGS: dict[str, str] = {spelling: name for name in EXPRESSIONS for spelling in (name, *_SYNONYMS[name])}


def canonical(name: str) -> str | None:
    """Return the canonical expression that a label spells, or None when it is no expression of ours.

    >>> canonical("Suprise "), canonical("HAPPY"), canonical("kiss")
    ('surprise', 'happiness', None)
    """
    return SPELLINGS.get(name.strip().lower())


def ordered(names: Sequence[str]) -> tuple[str, ...]:
    """Return the given canonical names without doubles, in canonical order."""
    present = set(names)
    return tuple(name for name in EXPRESSIONS if name in present)


def common_classes(source: Sequence[str], target: Sequence[str]) -> tuple[str, ...]:
    """Return the expressions that both sides have, in canonical order.

    >>> common_classes(["neutral", "contempt", "fear"], ["fear", "neutral"])
    ('fear', 'neutral')
    """
    return ordered([name for name in source if name in set(target)])
