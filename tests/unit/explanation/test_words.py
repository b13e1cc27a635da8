"""Sentences: every form of them, word for word."""

from __future__ import annotations

import numpy as np
import pytest

from dcdan.explanation.action_map import Reason, Reasons
from dcdan.explanation.occlusion import GRID
from dcdan.explanation.words import PARTS, UNTOLD, action_sentences, decimal, place_sentence, region_sentence

BROW = Reason("browDown", 0.84, 0.3, 1.5)
PRESSED = Reason("mouthPress", 0.4, 0.2, 0.6)
SMILE = Reason("mouthSmile", 0.35, 0.5, -0.4)
NOSE = Reason("noseSneer", 0.05, 0.2, -0.5)


def said(**changes: object) -> list[str]:
    content: dict[str, object] = {
        "answer": "anger",
        "rival": "disgust",
        "by_actions": "anger",
        "supporting": (BROW, PRESSED),
        "opposing": (),
        "against_rival": NOSE,
        "activations": {},
    }
    return action_sentences(Reasons(**(content | changes)))  # type: ignore[arg-type]


def test_actions_in_words() -> None:
    assert said() == ["Brow lowered .8, lips pressed .4 speak for anger; no wrinkled nose speaks against disgust."]
    assert said(supporting=(BROW,), opposing=(SMILE,), against_rival=None) == [
        "Brow lowered .8 speaks for anger; mouth corners drawn up only .3 speaks against anger."
    ]
    assert said(supporting=(), against_rival=None) == ["No action speaks for anger."]


def test_a_map_that_disagrees_says_so() -> None:
    assert said(by_actions="sadness")[1:] == [f"By these actions alone it would be sadness: {UNTOLD}."]
    assert UNTOLD == "the network sees something that these actions do not tell"


def test_numbers_lose_their_zero_and_nothing_else() -> None:
    assert [decimal(value) for value in (0.0, 0.05, 0.96, 1.0, -0.5)] == [".0", ".1", "1.0", "1.0", "-.5"]


def test_places_are_named_as_in_the_picture() -> None:
    assert len(PARTS) == GRID
    assert {len(row) for row in PARTS} == {GRID}
    assert (PARTS[1][1], PARTS[1][3], PARTS[2][2]) == ("left eye", "right eye", "nose")
    assert (PARTS[3][1], PARTS[3][3]) == ("left mouth corner", "right mouth corner")
    drops = np.zeros((GRID, GRID))
    drops[1, 3], drops[0, 1], drops[0, 2] = 0.5, 1.5, 1.2
    assert place_sentence(drops, "fear") == (
        "Covering the forehead costs fear most (1.5 of log-odds), then the right eye (0.5)."
    )
    assert "no single place decides fear" in place_sentence(drops * 0.01 - 1, "fear")
    with pytest.raises(ValueError, match="5 x 5"):
        place_sentence(np.zeros((4, 4)), "fear")


def test_even_regions_are_not_worth_a_sentence() -> None:
    names = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
    assert region_sentence(dict.fromkeys(names, 0.2)) == ""
    assert region_sentence({}) == ""
    weights = dict(zip(names, (0.1, 0.1, 0.2, 0.2, 0.4), strict=True))
    assert region_sentence(weights) == "The local branch weighs the right mouth corner most (40 %)."
