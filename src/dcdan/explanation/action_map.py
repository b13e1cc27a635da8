"""The sparse linear map from facial actions to expressions, and what it says of a face.

The map imitates the network: it is a multinomial logistic regression with an L1 penalty, fitted on training faces to
the network's answers, from the actions that it estimates well. It lies beside the model as ``actions.json``
(``experiments/explain/actions.py`` makes it) and needs NumPy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dcdan.core.atomic_io import write_text
from dcdan.core.errors import ModelError, first_line
from dcdan.core.limits import read_json
from dcdan.core.schema import check_schema
from dcdan.expressions import ClassName
from dcdan.facial_actions import sides
from dcdan.inference.model_card import ActionName, ModelInfo, verified

MAP_NAME = "actions.json"
MAP_SCHEMA: Literal[1] = 1

Weight = Annotated[float, Field(ge=-1e4, le=1e4)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class ActionMap(BaseModel):
    """The contents of ``actions.json``.

    Attributes:
        schema_version: 1; the key in the file is ``schema``.
        classes: K expressions, those of the model in its order.
        means: action, both sides together -> mean activation over the faces of the fit, 0..1.
        weights: expression -> action -> weight; an action that is left out has the weight 0.
        intercepts: K intercepts.
        agreement: share of held-out faces for which the map gives the network's answer.
        faces: number of faces of the fit.
        on: the faces of the fit and the held-out ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    schema_version: Literal[1] = Field(default=MAP_SCHEMA, alias="schema")
    classes: tuple[ClassName, ...] = Field(min_length=2, max_length=1000)
    means: dict[ActionName, Share] = Field(min_length=1, max_length=100)
    weights: dict[ClassName, dict[ActionName, Weight]]
    intercepts: tuple[Weight, ...]
    agreement: Share
    faces: int = Field(ge=1)
    on: str = Field(max_length=1000)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if set(self.weights) != set(self.classes) or len(self.intercepts) != len(self.classes):
            raise ValueError("weights and intercepts must name each class once")
        if unknown := {name for own in self.weights.values() for name in own} - self.means.keys():
            raise ValueError(f"'{min(unknown)}' has a weight and no mean")
        return self

    @property
    def actions(self) -> tuple[str, ...]:
        """The A actions of the map, both sides together."""
        return tuple(self.means)

    def matrix(self) -> NDArray[np.float64]:
        """Return the weights ``(K, A)`` less the mean of all classes, which changes no answer.

        An entry says how much more the action speaks for the class than for the others.
        """
        full = np.array([[self.weights[name].get(action, 0.0) for action in self.actions] for name in self.classes])
        centred: NDArray[np.float64] = full - full.mean(0, keepdims=True)
        return centred

    def contributions(self, activations: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return what each action adds to each class's logit, compared with a face of average activations.

        Args:
            activations: ``(N, A)`` in [0, 1], see :func:`paired`.

        Returns:
            ``(N, K, A) float64``.
        """
        added: NDArray[np.float64] = (activations - np.array(list(self.means.values())))[:, None] * self.matrix()[None]
        return added

    def logits(self, activations: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the logits ``(N, K)`` of the map for activations ``(N, A)``, up to a constant per face."""
        means = np.array(list(self.means.values()))
        average = np.array(self.intercepts) + self.matrix() @ means
        return np.asarray(average + self.contributions(activations).sum(2))


def paired(activations: NDArray[np.floating], names: tuple[str, ...], wanted: tuple[str, ...]) -> NDArray[np.float64]:
    """Return the activation of actions with both sides together: the mean of the sides.

    Args:
        activations: ``(N, B)`` in the order of ``names``.
        names: ARKit names, a side at a time.
        wanted: actions without a side, all of them among the names.

    Returns:
        ``(N, len(wanted)) float64``.

    Example:
        >>> paired(np.array([[0.2, 0.6, 1.0]]), ("browDownLeft", "browDownRight", "jawOpen"), ("jawOpen", "browDown"))
        array([[1. , 0.4]])
    """
    places = sides(names)
    columns = [activations[:, list(places[name])].astype(np.float64).mean(1) for name in wanted]
    return np.stack(columns, axis=1) if columns else np.zeros((len(activations), 0))


@dataclass(frozen=True, slots=True)
class Reason:
    """One action that speaks for or against an expression.

    Attributes:
        action: ARKit's name, both sides together.
        activation: 0..1, the mean of the sides.
        usual: mean activation over the faces that the map was fitted on.
        contribution: what the action adds to the logit of the expression, compared with an average face.
    """

    action: str
    activation: float
    usual: float
    contribution: float


@dataclass(frozen=True, slots=True)
class Reasons:
    """What the facial actions of one face say of its answer.

    Attributes:
        answer: the expression that the network chose.
        rival: the network's second choice.
        by_actions: the expression that the map chooses.
        supporting: at most three actions for the answer, the strongest first.
        opposing: at most three actions against the answer, the strongest first.
        against_rival: the action that speaks most against the rival; None where there is none.
        activations: action, both sides together -> activation, 0..1.
    """

    answer: str
    rival: str
    by_actions: str
    supporting: tuple[Reason, ...]
    opposing: tuple[Reason, ...]
    against_rival: Reason | None
    activations: dict[str, float]

    @property
    def agrees(self) -> bool:
        """Whether the map gives the network's answer."""
        return self.answer == self.by_actions


SHOWN = 3
LEAST_CONTRIBUTION = 0.25
"""A smaller change of the logit, a quarter of the odds, is not shown."""


def reasons(
    action_map: ActionMap,
    activations: NDArray[np.floating],
    names: tuple[str, ...],
    probabilities: NDArray[np.floating],
    chosen: NDArray[np.integer],
) -> list[Reasons]:
    """Return what the actions of N faces say of their answers.

    Args:
        action_map: the map.
        activations: ``(N, B)`` the network's output in the order of ``names``.
        names: ARKit names of the model's actions.
        probabilities: ``(N, K)`` of the network.
        chosen: ``(N,)`` the answers, indices of classes.

    Returns:
        N results.
    """
    own = paired(activations, names, action_map.actions)
    added = action_map.contributions(own)
    by_actions = action_map.logits(own).argmax(1)
    rest = probabilities.astype(np.float64)
    np.put_along_axis(rest, chosen[:, None], -1.0, 1)
    rivals = rest.argmax(1)
    classes, usual = action_map.classes, list(action_map.means.values())
    found = []
    for row in range(len(own)):
        for_answer, for_rival = added[row, chosen[row]], added[row, rivals[row]]

        def reason(index: int, of: NDArray[np.float64], row: int = row) -> Reason:
            return Reason(action_map.actions[index], float(own[row, index]), usual[index], float(of[index]))

        order = np.argsort(-for_answer, kind="stable")
        weakest = int(for_rival.argmin())
        found.append(
            Reasons(
                classes[chosen[row]],
                classes[rivals[row]],
                classes[by_actions[row]],
                tuple(reason(i, for_answer) for i in order[:SHOWN] if for_answer[i] >= LEAST_CONTRIBUTION),
                tuple(reason(i, for_answer) for i in order[::-1][:SHOWN] if for_answer[i] <= -LEAST_CONTRIBUTION),
                reason(weakest, for_rival) if for_rival[weakest] <= -LEAST_CONTRIBUTION else None,
                dict(zip(action_map.actions, own[row].tolist(), strict=True)),
            )
        )
    return found


def read_action_map(folder: Path, info: ModelInfo) -> ActionMap | None:
    """Read the map of a model.

    Args:
        folder: the folder of the model.
        info: its ``model.json``.

    Returns:
        The map, or None for a model without one.

    Raises:
        ModelError: the file is missing, was modified, is damaged, or belongs to another model.
    """
    if MAP_NAME not in info.files:
        return None
    path = verified(folder, info, MAP_NAME)
    try:
        content = read_json(path)
        schema = content.get("schema") if isinstance(content, dict) else None
        check_schema(ModelError, f"'{path}'", schema, MAP_SCHEMA, "make it again (docs/explain.md)")
        found = ActionMap.model_validate(content)
    except (OSError, ValueError, ValidationError) as error:
        raise ModelError(f"'{path}' is damaged ({first_line(error)}): copy the model again.") from error
    if found.classes != info.classes or not set(found.actions) <= set(sides(info.shown_actions)):
        raise ModelError(f"'{path}' belongs to another model: its classes or actions differ; copy the model again.")
    return found


def write_action_map(folder: Path, action_map: ActionMap) -> Path:
    """Write the map beside a model; the caller enters its checksum into ``model.json``.

    Returns:
        The file.

    Raises:
        OutputError: the file cannot be written.
    """
    path = folder / MAP_NAME
    write_text(path, action_map.model_dump_json(by_alias=True, indent=1) + "\n")
    return path
