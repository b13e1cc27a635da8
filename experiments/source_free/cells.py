"""Cells of the grid: faces of one condition with known class shares, sizes and groups, and what every correction does.

All is numpy on answers that ``predictions.py`` has cached. A cell's "declared" shares are those that its faces were
drawn by; the drawn ones differ by chance, as a person's do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from experiments.source_free.predictions import CONDITIONS, Condition

from dcdan.adaptation.decision import shares_bias
from dcdan.correction.arrays import log_softmax
from dcdan.correction.estimators import all_scores, share_gap_score
from dcdan.correction.fitted_rule import accuracy_scores
from dcdan.correction.output import OutputSettings, centring_bias, group_offsets, prior_bias, sinkhorn
from dcdan.correction.shares import ShareSettings, em_shares
from dcdan.metrics.calibration import expected_calibration_error

K = 8
FEWEST = 20
"""Different faces below which a class has no share: a handful of faces repeated hundreds of times measures nothing."""
SIZES = (32, 100, 300, 1000, 3000)
GROUPED_SIZES = (100, 300, 1000)
HEAVY = (4, 6, 5)
"""Class of which a clinic sees most, by seed: sadness, neutral, anger."""
MIXES = ("source", "uniform", "heavy")
LOOKS = {
    "fit": ("ferplus none", "ferplus lowlight 5", "ferplus blur 5", "ferplus call"),
    "validate": ("ferplus noise 5", "ferplus pose 3", "ferplus film", "ferplus ward"),
}
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Reference:
    """What a model knows of its source.

    Attributes:
        prior: (K,) mean probabilities.
        mean: (K,) mean log-probabilities.
        confidence: mean probability of the predicted class.
        accuracy: share of right answers.
        threshold: of ATC, by negative entropy.
    """

    prior: np.ndarray
    mean: np.ndarray
    confidence: float
    accuracy: float
    threshold: float


@dataclass(frozen=True)
class Target:
    """The faces of one cell.

    Attributes:
        key: condition, role, class shares, size, groups, seed.
        answers: ``chosen`` and, where the graph has them, heads and views, (N, K) each.
        labels: (N,).
        groups: (N,) name of each face's group.
        shares: (K,) shares that the faces were drawn by.
    """

    key: dict[str, str | int | bool]
    answers: Arrays
    labels: np.ndarray
    groups: np.ndarray
    shares: np.ndarray

    @property
    def z(self) -> np.ndarray:
        """(N, K) log-probabilities of the model."""
        return self.answers["chosen"]


def read_answers(work: Path, name: str) -> Arrays:
    """Return the arrays of a condition, log-probabilities as normalised float64."""
    with np.load(work / f"{name.replace(' ', '_')}.npz") as file:
        found = {key: file[key] for key in file.files}
    return {key: value if key == "labels" else log_softmax(value) for key, value in found.items()}


def class_shares(mix: str, source: np.ndarray, counts: np.ndarray, seed: int) -> np.ndarray:
    """Return the shares that a cell's faces are drawn by.

    Args:
        mix: ``source`` for those of FERPlus's validation split, ``uniform`` over the classes, ``heavy`` with .6 of one
            class and the rest like the roots of the source's.
        source: (K,) faces of each class in the validation split.
        counts: (K,) faces of each class in the condition; a class with fewer than ``FEWEST`` gets no share.
        seed: which class is heavy.
    """
    kept = np.where(counts >= FEWEST, source / source.sum(), 0)
    if mix == "source":
        return kept / kept.sum()
    if mix == "uniform":
        return (kept > 0) / np.sum(kept > 0)
    rest = np.sqrt(kept)
    rest[HEAVY[seed % len(HEAVY)]] = 0
    found = 0.4 * rest / rest.sum()
    found[HEAVY[seed % len(HEAVY)]] = 0.6
    return found


def drawn_rows(labels: np.ndarray, shares: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return rows of which each class has its share but for chance; with replacement where a class has too few."""
    counts = rng.multinomial(size, shares)
    parts = []
    for label, count in enumerate(counts):
        own = np.flatnonzero(labels == label)
        if count and len(own):
            parts.append(rng.choice(own, count, replace=count > len(own)))
    return rng.permutation(np.concatenate(parts))


def targets(work: Path, seeds: int, conditions: tuple[Condition, ...] = CONDITIONS) -> Iterator[Target]:
    """Yield the cells, those of one condition first, then those of groups that each have one look."""
    known = {each.name: read_answers(work, each.name) for each in conditions}
    # Shares of the whole validation split, as the faces of a condition hold more of the rare classes.
    with np.load(work / "source_labels.npz") as file:
        source = np.bincount(file["labels"], minlength=K)
    for number, condition in enumerate(conditions):
        arrays = known[condition.name]
        counts = np.bincount(arrays["labels"], minlength=K)
        for mix in MIXES:
            for size in SIZES:
                for seed in range(seeds):
                    rng = np.random.default_rng([number, MIXES.index(mix), size, seed])
                    shares = class_shares(mix, source, counts, seed)
                    rows = drawn_rows(arrays["labels"], shares, size, rng)
                    key = _key(condition.name, condition.role, mix, size, "none", seed)
                    yield _target(key, [(arrays, rows, "")], shares)
    for role, looks in LOOKS.items():
        counts = np.min([np.bincount(known[look]["labels"], minlength=K) for look in looks], axis=0)
        for mix in MIXES:
            for size in GROUPED_SIZES:
                for alike in (True, False):
                    for seed in range(seeds):
                        rng = np.random.default_rng([99, MIXES.index(mix), size, alike, seed])
                        shares = class_shares(mix, source, counts, seed)
                        parts = []
                        for look in looks:
                            own = shares if alike else rng.dirichlet(4 * shares + 0.05)
                            rows = drawn_rows(known[look]["labels"], own, size // len(looks), rng)
                            parts.append((known[look], rows, look))
                        kind = "alike" if alike else "own mix"
                        yield _target(_key(f"looks ({role})", role, mix, size, kind, seed), parts, shares)


def _key(condition: str, role: str, mix: str, size: int, groups: str, seed: int) -> dict[str, str | int | bool]:
    shifted = not condition.endswith("none")
    return {
        "condition": condition,
        "role": role,
        "shares": mix,
        "faces": size,
        "groups": groups,
        "seed": seed,
        "shifted": shifted,
    }


def _target(key: dict, parts: list[tuple[Arrays, np.ndarray, str]], shares: np.ndarray) -> Target:
    names = [name for name in parts[0][0] if name != "labels"]
    answers = {name: np.concatenate([arrays[name][rows] for arrays, rows, _ in parts]) for name in names}
    labels = np.concatenate([arrays["labels"][rows] for arrays, rows, _ in parts])
    groups = np.concatenate([np.full(len(rows), name, dtype=object) for _, rows, name in parts]).astype(np.str_)
    return Target(key, answers, labels, groups, shares)


def corrections(target: Target, reference: Reference) -> Arrays:
    """Return the log-probabilities of every correction that needs no labels, by its name in the package.

    ``estimated shares`` is MAP-EM with as many pseudo-counts as faces; with other numbers, and centring, it is named
    so that tables can compare them.
    """
    z = target.z
    found = {"source": z, "shares": log_softmax(z + shares_bias(z, target.shares, reference.prior))}
    found["shares, Sinkhorn"] = sinkhorn(z, target.shares).log_probabilities
    found["shares, Bayes"] = log_softmax(z + prior_bias(reference.prior, target.shares))
    for name, pseudo in (("estimated shares", 1.0), ("estimated shares, 2 n", 2.0), ("estimated shares, 4 n", 4.0)):
        estimated = em_shares(z, reference.prior, reference.prior, ShareSettings(pseudo_counts=pseudo))
        found[name] = log_softmax(z + np.log(estimated) - np.log(reference.prior))
    found["centred by half"] = log_softmax(z + centring_bias(z, reference.mean, 0.5))
    if target.key["groups"] != "none":
        kind = OutputSettings(offsets="mean" if target.key["groups"] == "alike" else "within-class")
        offsets = group_offsets(z, target.groups, kind)
        none = np.zeros(K)
        moved = log_softmax(z - np.array([offsets.get(str(name), none) for name in target.groups]))
        found["offsets"] = moved
        found["offsets and shares"] = log_softmax(moved + shares_bias(moved, target.shares, reference.prior))
    return found


def scores(target: Target, way: np.ndarray, reference: Reference) -> dict[str, float]:
    """Return all label-free scores of one correction on one cell, those of the rule among them."""
    found = all_scores(way, reference.threshold, reference.confidence, reference.accuracy)
    found |= accuracy_scores(way, target.shares) | {"gap": share_gap_score(way, target.shares)}
    answers = target.answers
    if "global" in answers:
        found["agreement of heads"] = float(np.mean(answers["global"].argmax(1) == answers["local"].argmax(1)))
    if "view" in answers:
        found["agreement of views"] = float(np.mean(answers["view"].argmax(1) == answers["mirror"].argmax(1)))
    return found


def accuracy(z: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of right answers, 0..1."""
    return float(np.mean(z.argmax(1) == labels))


def calibration_error(z: np.ndarray, labels: np.ndarray) -> float:
    """Return the expected calibration error, 15 bins."""
    return expected_calibration_error(np.exp(z.max(1)), z.argmax(1) == labels)
