"""The vocabulary of facial actions: no action of the base model without words, no word for two actions."""

from __future__ import annotations

import ast
from pathlib import Path

from dcdan.facial_actions import FACIAL_ACTIONS, facial_action, sides, without_side

TARGETS = Path(__file__).parents[2] / "experiments" / "base_model" / "targets.py"


def taught() -> tuple[str, ...]:
    """The actions that the base model is taught, read from its script."""
    for node in ast.parse(TARGETS.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ACTIONS":
            found: tuple[str, ...] = ast.literal_eval(node.value)
            return found
    raise AssertionError("no ACTIONS")


def test_every_action_of_the_base_model_has_words() -> None:
    known = {action.name for action in FACIAL_ACTIONS}
    assert {without_side(name) for name in taught()} <= known
    assert len(known) == len(FACIAL_ACTIONS)


def test_words_tell_actions_apart() -> None:
    for words in ([each.active for each in FACIAL_ACTIONS], [each.absent for each in FACIAL_ACTIONS]):
        assert len(set(words)) == len(FACIAL_ACTIONS)
    assert not {each.active for each in FACIAL_ACTIONS} & {each.absent for each in FACIAL_ACTIONS}


def test_units_are_the_usual_ones() -> None:
    usual = {
        **{"browDown": "AU4", "browInnerUp": "AU1", "browOuterUp": "AU2", "eyeWide": "AU5", "cheekSquint": "AU6"},
        **{"eyeSquint": "AU7", "noseSneer": "AU9", "mouthUpperUp": "AU10", "mouthSmile": "AU12", "jawOpen": "AU26/27"},
        **{"mouthDimple": "AU14", "mouthFrown": "AU15", "mouthShrugLower": "AU17", "mouthStretch": "AU20"},
        "mouthPress": "AU24",
    }
    assert {name: facial_action(name).unit for name in usual} == usual
    assert facial_action("mouthPressRight") is facial_action("mouthPressLeft")


def test_sides_are_found_in_any_order() -> None:
    assert sides(("jawOpen", "aRight", "b", "aLeft")) == {"jawOpen": (0,), "a": (1, 3), "b": (2,)}
    covered = sorted(index for own in sides(taught()).values() for index in own)
    assert covered == list(range(len(taught())))
