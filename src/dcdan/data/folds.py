"""Splits by rule, for sets that were released without one: always the same, and never a person on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def hashed_percent(name: str) -> int:
    """Return a number in 0..99 that depends on nothing but the name: SHA-256 modulo 100."""
    return int(hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest(), 16) % 100


def subject_folds(subjects: Iterable[str], folds: int) -> dict[str, int]:
    """Deal subjects into ``folds`` groups 0..folds-1 of nearly equal number, in the order of their SHA-256.

    As many folds as subjects leave one subject out at a time.
    """
    ordered = sorted(set(subjects), key=lambda name: (hashlib.sha256(name.encode()).hexdigest(), name))
    return {name: index % folds for index, name in enumerate(ordered)}


def fold_rule(folds: int, fold: int) -> str:
    """Return the rule's name, as a pack keeps it."""
    return f"subject-disjoint fold {fold} of {folds} is test (subjects dealt in the order of their SHA-256)"
