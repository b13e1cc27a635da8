"""The correction that a model carries in ``model.json``, applied to what its graph answers."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import PurePath

import numpy as np

from dcdan.correction.output import OutputCorrection
from dcdan.inference.session import SessionOutputs


def corrected_outputs(
    outputs: SessionOutputs, correction: OutputCorrection | None, paths: Sequence[str] | None = None
) -> SessionOutputs:
    """Return a graph's answers with a correction: probabilities, and the class and confidence that follow from them.

    Args:
        outputs: N answers.
        correction: of the model; None leaves the answers as they are.
        paths: (N,) pictures of the faces, whose folders say the group where the correction knows it; None for no group.

    Returns:
        N answers; which head decided, regions and actions stay.
    """
    if correction is None or len(outputs) == 0:
        return outputs
    groups = [group_of(path, correction.offsets) for path in paths] if paths is not None else None
    with np.errstate(divide="ignore"):
        z = correction.apply(np.log(outputs.probabilities.astype(np.float64)), groups)
    probabilities = np.exp(z).astype(np.float32)
    return replace(
        outputs,
        probabilities=probabilities,
        expression=probabilities.argmax(1).astype(np.int64),
        confidence=probabilities.max(1),
    )


def group_of(path: str, known: Container[str]) -> str:
    """Return the known group whose folder a picture lies in; the longest name wins, and the empty one is for none.

    Example:
        >>> group_of("new/anna/1.jpg", {"anna", "new"}), group_of("1.jpg", {"anna"})
        ('anna', '')
    """
    parts = PurePath(path).parts[:-1]
    ends = [parts[first:last] for last in range(len(parts), 0, -1) for first in range(last)]
    return next((name for end in ends if (name := "/".join(end)) in known), "")
