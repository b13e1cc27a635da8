"""The vocabulary: order, spellings, common classes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcdan.expressions import EXPRESSIONS, SPELLINGS, canonical, common_classes, ordered

NAMES = st.lists(st.sampled_from(EXPRESSIONS))


def test_the_order_is_that_of_the_protocol() -> None:
    seven = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
    assert tuple(EXPRESSIONS) == (*seven, "contempt")


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("happy", "happiness"),
        (" Angry\n", "anger"),
        ("SUPRISE", "surprise"),
        ("none expressed", "neutral"),
        ("SA", "sadness"),
        ("contemptuous", "contempt"),
        ("kiss", None),
        ("", None),
        ("happyy", None),
    ],
)
def test_spellings(spelling: str, name: str | None) -> None:
    assert canonical(spelling) == name


def test_no_spelling_stands_for_two_expressions() -> None:
    assert all(canonical(spelling) == name for spelling, name in SPELLINGS.items())
    assert all(canonical(name) == name for name in EXPRESSIONS)
    # JAFFE's and KDEF's two-letter codes are all there, each for another expression.
    assert len({canonical(code) for code in ("su", "fe", "di", "ha", "sa", "an", "ne")}) == 7


@given(NAMES)
def test_ordering_keeps_each_name_once_in_canonical_order(names: list[str]) -> None:
    result = ordered(names)
    assert set(result) == set(names)
    assert list(result) == sorted(set(names), key=EXPRESSIONS.index)


@given(NAMES, NAMES)
def test_common_classes_are_those_of_both(source: list[str], target: list[str]) -> None:
    assert common_classes(source, target) == common_classes(target, source)
    assert common_classes(source, target) == ordered(list(set(source) & set(target)))
