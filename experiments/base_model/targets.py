"""What the faces of the base model's training are taught: votes, FER2013's own labels and facial actions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dcdan.packs.pack import Pack

ACTIONS = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "eyeSquintLeft",
    "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawOpen", "mouthDimpleLeft", "mouthDimpleRight",
    "mouthFrownLeft", "mouthFrownRight", "mouthFunnel", "mouthLeft", "mouthRight", "mouthLowerDownLeft",
    "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRollLower", "mouthRollUpper",
    "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft",
    "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
)  # fmt: skip
"""Blendshapes that the teacher of the targets measures on faces of 48 px (blinks, gaze and constants are left out)."""


def mirrored_actions() -> list[int]:
    """Return the index of each action's counterpart on the other side of the face; its own where there is none."""
    swap = {"Left": "Right", "Right": "Left"}
    found = []
    for name in ACTIONS:
        side = next((side for side in swap if name.endswith(side)), None)
        found.append(ACTIONS.index(name[: -len(side)] + swap[side] if side else name))
    return found


@dataclass(frozen=True)
class Targets:
    """One row for each face of a pack."""

    votes: np.ndarray
    """(N, 8) float32, rows sum to 1, or all 0 where a face has no vote for an expression."""
    labels: np.ndarray
    """(N,) int64 FER2013's own label, -1 where it is not known."""
    actions: np.ndarray
    """(N, A) float32 square roots of the actions' scores in [0, 1]."""
    actions_weight: np.ndarray
    """(N,) float32, 0 where the teacher saw no face."""


def rows_by_name(names: np.ndarray, wanted: list[str]) -> np.ndarray:
    """Return the place in sorted ``names`` of each wanted name, -1 where it is missing."""
    place = np.minimum(np.searchsorted(names, wanted), len(names) - 1)
    return np.where(names[place] == wanted, place, -1)


def targets_of(pack: Pack, data: Path, which: str) -> Targets:
    """Collect the targets of a pack's faces; ``which`` is "ferplus" or "lfw"."""
    names = [Path(path).name for path in pack.paths]
    with np.load(data / "actions.npz", allow_pickle=False) as file:
        row = rows_by_name(file[f"{which}_file"], names)
        columns = [list(file["names"]).index(name) for name in ACTIONS]
        scores = file[f"{which}_scores"][row][:, columns].astype(np.float32) / 255
        presence = file[f"{which}_presence"][row].astype(np.float32)
        spread = file[f"{which}_spread"][row].astype(np.float32)
    weight = np.where((row >= 0) & (presence >= 0.5), np.exp(-spread / 0.05), 0).astype(np.float32)
    votes = np.zeros((len(pack), 8), np.float32)
    labels = np.full(len(pack), -1, np.int64)
    if which == "ferplus":
        votes = np.asarray(pack.votes, np.float32)
        with np.load(data / "fer2013_labels.npz", allow_pickle=False) as file:
            order = np.argsort(file["image"])
            row = rows_by_name(file["image"][order], names)
            labels = np.where(row >= 0, file["label"][order][row], -1).astype(np.int64)
    return Targets(votes, labels, np.sqrt(scores), weight)
