"""The vocabulary of facial actions: ARKit's blendshapes, action units of FACS, and plain words.

A model names its actions as ARKit does, a side at a time (``browDownLeft``). Here the sides of an action share one
entry. Action units: Ekman, Friesen & Hager, Facial Action Coding System, 2002; the pairs are the usual ones, and an
action that no single unit describes has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SIDES: tuple[str, ...] = ("Left", "Right")


@dataclass(frozen=True, slots=True)
class FacialAction:
    """One action, both sides of the face together.

    Attributes:
        name: ARKit's name without the side.
        unit: action unit, such as ``AU4``; empty where no single unit describes it.
        active: words for a face that shows it.
        absent: words for a face that does not.
    """

    name: str
    unit: str
    active: str
    absent: str


FACIAL_ACTIONS: tuple[FacialAction, ...] = (
    FacialAction("browDown", "AU4", "brow lowered", "brow not lowered"),
    FacialAction("browInnerUp", "AU1", "inner brow raised", "inner brow not raised"),
    FacialAction("browOuterUp", "AU2", "outer brow raised", "outer brow not raised"),
    FacialAction("eyeWide", "AU5", "eyes wide open", "eyes not widened"),
    FacialAction("cheekSquint", "AU6", "cheeks raised", "cheeks not raised"),
    FacialAction("eyeSquint", "AU7", "eyes narrowed", "eyes not narrowed"),
    FacialAction("noseSneer", "AU9", "nose wrinkled", "no wrinkled nose"),
    FacialAction("mouthUpperUp", "AU10", "upper lip raised", "upper lip not raised"),
    FacialAction("mouthSmile", "AU12", "mouth corners drawn up", "no smile"),
    FacialAction("mouthDimple", "AU14", "mouth corners tightened", "mouth corners not tightened"),
    FacialAction("mouthFrown", "AU15", "mouth corners drawn down", "mouth corners not drawn down"),
    FacialAction("mouthLowerDown", "AU16", "lower lip drawn down", "lower lip not drawn down"),
    FacialAction("mouthShrugLower", "AU17", "chin raised", "chin not raised"),
    FacialAction("mouthShrugUpper", "", "upper lip pushed up", "upper lip not pushed up"),
    FacialAction("mouthPucker", "AU18", "lips puckered", "lips not puckered"),
    FacialAction("mouthStretch", "AU20", "mouth stretched", "mouth not stretched"),
    FacialAction("mouthFunnel", "AU22", "lips funnelled", "lips not funnelled"),
    FacialAction("mouthPress", "AU24", "lips pressed", "lips not pressed"),
    FacialAction("jawOpen", "AU26/27", "jaw dropped", "jaw closed"),
    FacialAction("mouthRollLower", "AU28", "lower lip rolled in", "lower lip not rolled in"),
    FacialAction("mouthRollUpper", "AU28", "upper lip rolled in", "upper lip not rolled in"),
    FacialAction("mouth", "", "mouth drawn to one side", "mouth not drawn to one side"),
)
"""Every action that has words, in the order of the action units."""

_BY_NAME = {action.name: action for action in FACIAL_ACTIONS}


def without_side(name: str) -> str:
    """Return the name of an action without the side of the face.

    Example:
        >>> without_side("browDownLeft"), without_side("jawOpen")
        ('browDown', 'jawOpen')
    """
    return next((name.removesuffix(side) for side in SIDES if name.endswith(side)), name)


def facial_action(name: str) -> FacialAction:
    """Return the entry of an action, with or without a side; one without words of its own is called by its name.

    Example:
        >>> facial_action("browDownLeft").unit, facial_action("tongueOut").active
        ('AU4', 'tongueOut')
    """
    plain = without_side(name)
    return _BY_NAME.get(plain) or FacialAction(plain, "", plain, f"no {plain}")


def with_unit(name: str) -> str:
    """Return a name with its action unit beside it.

    Example:
        >>> with_unit("browDownLeft"), with_unit("mouthLeft")
        ('browDownLeft (AU4)', 'mouthLeft')
    """
    unit = facial_action(name).unit
    return f"{name} ({unit})" if unit else name


def sides(names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return which entries of a list belong to each action, both sides together.

    Args:
        names: ARKit names, such as those of a model.

    Returns:
        Action without side -> indices into ``names``, in the order of their first mention.

    Example:
        >>> sides(["browDownLeft", "browDownRight", "jawOpen"])
        {'browDown': (0, 1), 'jawOpen': (2,)}
    """
    found: dict[str, tuple[int, ...]] = {}
    for index, name in enumerate(names):
        found[without_side(name)] = (*found.get(without_side(name), ()), index)
    return found
