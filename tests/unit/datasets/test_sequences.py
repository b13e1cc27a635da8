"""Frames of sequences: the first as neutral, the last with the expression, none twice."""

from __future__ import annotations

import pytest

from dcdan.datasets.sequences import chosen_frames, without_neutral


@pytest.mark.parametrize(
    ("frames", "last", "neutral", "chosen"),
    [
        ("abcde", 3, True, "a*cde"),
        ("abcde", 3, False, "cde"),
        ("abcd", 3, True, "a*bcd"),
        # The first frame is one of the last three: it shows the expression.
        ("abc", 3, True, "abc"),
        ("ab", 3, True, "ab"),
        ("", 3, True, ""),
    ],
)
def test_the_first_frame_is_neutral_unless_it_is_one_of_the_last(
    frames: str, last: int, neutral: bool, chosen: str
) -> None:
    found = "".join(frame + "*" * first for frame, first in chosen_frames(frames, last, neutral))
    assert found == chosen


def test_without_neutral_keeps_the_order() -> None:
    assert without_neutral(("fear", "neutral", "anger")) == ("fear", "anger")
