"""Names and order of a recogniser's outputs: the network, its exported graph and its session share them.

This module imports nothing, so that predicting never needs torch.
"""

from __future__ import annotations

DECIDERS: tuple[str, ...] = ("fused", "global", "sum")
"""The head that chose the expression; ``decided_by`` is an index into this."""

REGIONS: tuple[str, ...] = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
"""Face regions of the local branch in the order of ``region_weights``; left and right are those of the picture."""

OUTPUTS: tuple[str, ...] = ("probabilities", "expression", "confidence", "decided_by", "region_weights")
"""Outputs that every exported graph has, in order."""

ACTIONS_OUTPUT = "actions"
"""Optional output of a graph: ``(N, A) float32``, one activation in 0..1 for each facial action of ``model.json``."""
