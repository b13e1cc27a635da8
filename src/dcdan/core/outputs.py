"""What a recogniser answers: outputs of its graph, deciding heads and regions of the face, each in fixed order."""

from __future__ import annotations

OUTPUTS: tuple[str, ...] = ("probabilities", "expression", "confidence", "decided_by", "region_weights")
"""Names of the outputs of an exported graph."""

DECIDERS: tuple[str, ...] = ("fused", "global", "sum")
"""Which heads may decide; ``decided_by`` is an index into them."""

REGIONS: tuple[str, ...] = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
"""The regions of the local branch, the columns of ``region_weights``; left is left in the picture."""
