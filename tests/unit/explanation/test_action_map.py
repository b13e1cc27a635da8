"""The map from actions to expressions, against loops of its formula, and its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from acting_model import ACTIONS, action_map, write_acting
from dcdan.core.atomic_io import sha256
from dcdan.core.errors import ModelError
from dcdan.explanation.action_map import MAP_NAME, Reason, paired, read_action_map, reasons
from dcdan.expressions import EXPRESSIONS
from dcdan.inference.model_card import read_model_info

ANGER, HAPPINESS = EXPRESSIONS.index("anger"), EXPRESSIONS.index("happiness")


def test_logits_are_those_of_the_weights_up_to_a_constant() -> None:
    """W x + b of the file, class by class; centring the weights must not change a difference of two classes."""
    found = action_map(intercepts=tuple(0.1 * k for k in range(len(EXPRESSIONS))))
    x = np.random.default_rng(0).random((5, 2))
    naive = np.zeros((5, len(EXPRESSIONS)))
    for k, name in enumerate(EXPRESSIONS):
        naive[:, k] = found.intercepts[k] + sum(
            w * x[:, found.actions.index(action)] for action, w in found.weights[name].items()
        )
    own = found.logits(x)
    np.testing.assert_allclose(own - own[:, :1], naive - naive[:, :1], atol=1e-12)


def test_contributions_compare_with_usual_faces_and_other_classes() -> None:
    """A smile of .9 where .3 is usual, weight 4 less the mean of 8 classes (.5): (4 - .5) * .6 = 2.1."""
    found = action_map().contributions(np.array([[0.2, 0.9]]))
    assert found.shape == (1, 8, 2)
    assert found[0, HAPPINESS].tolist() == pytest.approx([0.0, 2.1])
    assert found[0, ANGER].tolist() == pytest.approx([0.0, -0.3])
    np.testing.assert_allclose(found.sum(1), 0, atol=1e-12)


def test_sides_are_averaged() -> None:
    values = np.array([[0.1, 0.5, 0.2, 0.8, 1.0]], np.float32)
    np.testing.assert_allclose(paired(values, ACTIONS, ("mouthSmile", "browDown")), [[0.5, 0.3]], atol=1e-6)
    assert paired(values, ACTIONS, ()).shape == (1, 0)


def said(brow: float, smile: float, chosen: int, rival: int) -> Any:
    probabilities = np.full((1, 8), 0.01)
    probabilities[0, chosen], probabilities[0, rival] = 0.6, 0.34
    activations = np.array([[brow, brow, smile, smile, 0.0]])
    (found,) = reasons(action_map(), activations, ACTIONS, probabilities, np.array([chosen]))
    return found


def test_reasons_for_and_against_the_answer() -> None:
    found = said(0.9, 0.8, HAPPINESS, ANGER)
    assert [each.action for each in found.supporting] == ["mouthSmile"]
    assert [each.action for each in found.opposing] == ["browDown"]
    assert found.supporting[0] == Reason("mouthSmile", pytest.approx(0.8), 0.3, pytest.approx(3.5 * 0.5))
    # browDown: -1 for happiness, 5 for anger, mean of the 8 classes .5.
    assert found.opposing[0].contribution == pytest.approx(-1.5 * 0.7)
    assert (found.answer, found.rival) == ("happiness", "anger")
    assert (found.by_actions, found.agrees) == ("anger", False)
    assert found.activations == {"browDown": pytest.approx(0.9), "mouthSmile": pytest.approx(0.8)}


def test_the_rival_is_the_second_answer_also_of_a_chosen_class_that_is_not_the_likeliest() -> None:
    probabilities = np.full((1, 8), 0.01)
    probabilities[0, [HAPPINESS, ANGER]] = 0.6, 0.3
    activations = np.array([[0.0, 0.0, 1.0, 1.0, 0.0]])
    (found,) = reasons(action_map(), activations, ACTIONS, probabilities, np.array([ANGER]))
    assert (found.answer, found.rival) == ("anger", "happiness")
    assert found.against_rival is None, "both actions speak for happiness"
    (other,) = reasons(action_map(), activations, ACTIONS, probabilities, np.array([HAPPINESS]))
    assert other.against_rival is not None
    assert (other.rival, other.against_rival.action) == ("anger", "browDown")
    assert other.agrees


def test_small_contributions_are_no_reasons() -> None:
    found = said(0.2, 0.3, HAPPINESS, ANGER)
    assert (found.supporting, found.opposing, found.against_rival) == ((), (), None)


def test_the_strongest_comes_first_and_three_are_shown() -> None:
    names = ("a", "b", "c", "d")
    weights: dict[str, dict[str, float]] = {name: {} for name in EXPRESSIONS}
    weights["anger"] = {"a": 2.0, "b": 6.0, "c": 4.0, "d": 8.0}
    wide = action_map(means=dict.fromkeys(names, 0.1), weights=weights)
    probabilities = np.full((2, 8), 0.125)
    x = np.array([[1.0, 1, 1, 1], [0, 0, 0, 0]])
    strong, weak = reasons(wide, x, names, probabilities, np.array([ANGER, ANGER]))
    assert [each.action for each in strong.supporting] == ["d", "b", "c"]
    assert strong.opposing == ()
    assert [each.action for each in weak.opposing] == ["d", "b", "c"]
    assert [each.contribution for each in weak.opposing] == sorted(each.contribution for each in weak.opposing)


def test_the_file_comes_back(tmp_path: Path) -> None:
    run = write_acting(tmp_path / "run")
    assert read_action_map(run, read_model_info(run)) == action_map()
    bare = write_acting(tmp_path / "bare", mapped=False)
    assert read_action_map(bare, read_model_info(bare)) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema": 2}, "newer version"),
        ({"classes": ["fear", "anger"]}, "damaged"),
        ({"intercepts": [0.0]}, "damaged"),
        ({"agreement": 2.0}, "damaged"),
        ({"means": {"browDown": 0.2}}, "damaged"),
        ({"means": {"browDown": 0.2, "mouthSmile": 0.3, "jawOpen": 0.1}}, "another model"),
        ({"more": 1}, "damaged"),
    ],
)
def test_a_wrong_file_is_a_sentence(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    run = write_acting(tmp_path / "run")
    path = run / MAP_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match="checksum differs"):
        read_action_map(run, read_model_info(run))
    info = json.loads((run / "model.json").read_text())
    info["files"][MAP_NAME] = sha256(path)
    (run / "model.json").write_text(json.dumps(info))
    with pytest.raises(ModelError, match=told):
        read_action_map(run, read_model_info(run))


def test_a_weight_of_an_action_without_a_mean_is_refused() -> None:
    with pytest.raises(ValidationError, match="'mouthSmile' has a weight and no mean"):
        action_map(means={"browDown": 0.2})


def test_a_map_that_is_listed_and_missing_is_a_sentence(tmp_path: Path) -> None:
    run = write_acting(tmp_path / "run")
    (run / MAP_NAME).unlink()
    with pytest.raises(ModelError, match=r"has no actions\.json"):
        read_action_map(run, read_model_info(run))
