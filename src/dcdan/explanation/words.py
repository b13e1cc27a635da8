"""Explanations as sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dcdan.core.outputs import REGIONS
from dcdan.explanation.action_map import Reason, Reasons
from dcdan.explanation.occlusion import GRID
from dcdan.facial_actions import facial_action
from dcdan.inference.table import FaceResult

UNTOLD = "the network sees something that these actions do not tell"
HARDLY = 0.25
"""An action below this activation is called absent where it is weaker than usual."""

PARTS: tuple[tuple[str, ...], ...] = (
    ("upper left edge", "forehead", "forehead", "forehead", "upper right edge"),
    ("left temple", "left eye", "place between the eyes", "right eye", "right temple"),
    ("left cheek", "left cheek", "nose", "right cheek", "right cheek"),
    ("left jaw", "left mouth corner", "mouth", "right mouth corner", "right jaw"),
    ("lower left edge", "chin", "chin", "chin", "lower right edge"),
)
"""What an aligned face shows in each cell of the grid; left and right are those of the picture."""

_LEAST_DROP = 0.1


def title(result: FaceResult) -> str:
    """Return which face it is and its answer.

    Example:
        >>> from dcdan.images.status import Status
        >>> title(FaceResult("a.jpg", 0, Status.OK, "anger", 0.724, unsure=True))
        'a.jpg, face 1: anger 72 %, unsure'
        >>> title(FaceResult("talk.mp4", 1, Status.OK, "fear", 0.9, frame=30, time=1.2))
        'talk.mp4 at 1.20 s, face 2: fear 90 %'
    """
    where = result.path or "picture"
    if result.time is not None:
        where += f" at {result.time:.2f} s"
    sure = ", unsure" if result.unsure else ""
    return f"{where}, face {(result.face or 0) + 1}: {result.expression} {100 * (result.probability or 0):.0f} %{sure}"


def decimal(value: float) -> str:
    """Return a number of [-1, 1] with one digit and without the leading zero.

    Example:
        >>> decimal(0.84), decimal(-0.25), decimal(1.0)
        ('.8', '-.2', '1.0')
    """
    text = f"{value:.1f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def shown(reason: Reason) -> str:
    """Return an action in words without its number: as it is where it is no weaker than usual, else absent or weak."""
    action = facial_action(reason.action)
    if reason.activation >= reason.usual:
        return action.active
    return action.absent if reason.activation < HARDLY else f"{action.active} only"


def described(reason: Reason) -> str:
    """Return an action in words, with its activation unless it is absent.

    Example:
        >>> described(Reason("browDown", 0.8, 0.3, 1.2)), described(Reason("noseSneer", 0.02, 0.2, 0.5))
        ('brow lowered .8', 'no wrinkled nose')
        >>> described(Reason("mouthSmile", 0.4, 0.6, -0.5))
        'mouth corners drawn up only .4'
    """
    words = shown(reason)
    return words if words == facial_action(reason.action).absent else f"{words} {decimal(reason.activation)}"


def action_sentences(reasons: Reasons) -> list[str]:
    """Return what the facial actions of a face say of its answer.

    Args:
        reasons: see :func:`~dcdan.explanation.action_map.reasons`.

    Returns:
        One or two sentences.
    """
    clauses = [_clause(reasons.supporting, f"for {reasons.answer}")]
    if reasons.opposing:
        clauses.append(_clause(reasons.opposing, f"against {reasons.answer}"))
    if reasons.against_rival is not None:
        clauses.append(_clause((reasons.against_rival,), f"against {reasons.rival}"))
    text = "; ".join(clauses)
    sentences = [f"{text[0].upper()}{text[1:]}."]
    if not reasons.agrees:
        sentences.append(f"By these actions alone it would be {reasons.by_actions}: {UNTOLD}.")
    return sentences


def _clause(found: Sequence[Reason], what: str) -> str:
    if not found:
        return f"no action speaks {what}"
    return f"{', '.join(map(described, found))} {'speaks' if len(found) == 1 else 'speak'} {what}"


def place_sentence(drops: NDArray[np.floating], answer: str) -> str:
    """Return in words where covering the face costs the answer most.

    Args:
        drops: ``(G, G)`` of :func:`~dcdan.explanation.occlusion.occlusion_maps`, with the default grid.
        answer: the expression.

    Returns:
        A sentence; left and right are those of the picture.

    Example:
        >>> drops = np.zeros((5, 5)); drops[3, 2] = 1.5
        >>> place_sentence(drops, "happiness")
        'Covering the mouth costs happiness most (1.5 of log-odds).'
    """
    if drops.shape != (GRID, GRID):
        raise ValueError(f"words are known for {GRID} x {GRID} cells, not {drops.shape}")
    best: dict[str, float] = {}
    for part, drop in zip(sum(PARTS, ()), drops.ravel().tolist(), strict=True):
        best[part] = max(best.get(part, drop), drop)
    order = sorted(best, key=lambda part: -best[part])
    if best[order[0]] < _LEAST_DROP:
        return f"Covering any one part of the face changes the answer little: no single place decides {answer}."
    second = f", then the {order[1]} ({best[order[1]]:.1f})" if best[order[1]] >= _LEAST_DROP else ""
    return f"Covering the {order[0]} costs {answer} most ({best[order[0]]:.1f} of log-odds){second}."


def region_sentence(weights: Mapping[str, float]) -> str:
    """Return the region that the local branch weighs most; empty where the weights are even.

    Example:
        >>> region_sentence({"left_eye": 0.1, "right_eye": 0.1, "nose": 0.5, "left_mouth": 0.2, "right_mouth": 0.1})
        'The local branch weighs the nose most (50 %).'
    """
    known = {name: weights[name] for name in REGIONS if name in weights}
    if not known or max(known.values()) - min(known.values()) < 1e-3:
        return ""
    name = max(known, key=lambda each: known[each])
    words = name.replace("_mouth", " mouth corner").replace("_", " ")
    return f"The local branch weighs the {words} most ({100 * known[name]:.0f} %)."
