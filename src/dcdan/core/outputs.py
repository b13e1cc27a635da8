"""Output names of an exported graph, names of the deciding heads and names of the face regions, in fixed order."""

from __future__ import annotations

OUTPUTS: tuple[str, ...] = ("probabilities", "expression", "confidence", "decided_by", "region_weights")
"""Names of the outputs of an exported graph."""

DECIDERS: tuple[str, ...] = ("fused", "global", "sum")
"""Heads that can decide the class; ``decided_by`` is an index into this tuple."""

REGIONS: tuple[str, ...] = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
"""Regions of the local branch and columns of ``region_weights``; left means left in the image."""

ACTIONS_OUTPUT = "actions"
"""Optional output of a graph: ``(N, A) float32``, activation (0..1) of the facial actions listed in ``model.json``."""
