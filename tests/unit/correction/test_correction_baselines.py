"""T3A and LAME against one face at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from correction_data import answers, naive_log_softmax
from dcdan.core.errors import DataError
from dcdan.correction.baselines import BaselineSettings, lame, t3a


def naive_t3a(features: np.ndarray, weights: np.ndarray, bias: np.ndarray, supports: int, batch: int) -> np.ndarray:
    def entropy(logits: np.ndarray) -> float:
        z = naive_log_softmax(logits[None])[0]
        return -math.fsum(math.exp(value) * value for value in z)

    def unit(vector: np.ndarray) -> np.ndarray:
        return vector / math.sqrt(math.fsum(vector**2))

    sets: list[list[tuple[float, int, np.ndarray]]] = [[] for _ in weights]
    order = 0
    for vector in weights:
        logits = weights @ vector + bias
        sets[int(logits.argmax())].append((entropy(logits), order, vector))
        order += 1
    out = []
    for start in range(0, len(features), batch):
        for vector in features[start : start + batch]:
            logits = weights @ vector + bias
            sets[int(logits.argmax())].append((entropy(logits), order, vector))
            order += 1
        sets = [sorted(each, key=lambda item: item[:2])[: supports or None] for each in sets]
        centroids = [sum((unit(item[2]) for item in each), np.zeros(features.shape[1])) for each in sets]
        centroids = [unit(each) if each.any() else each for each in centroids]
        out += [
            naive_log_softmax(np.array([[each @ vector for each in centroids]]))[0]
            for vector in features[start : start + batch]
        ]
    return np.array(out)


def naive_lame(z: np.ndarray, features: np.ndarray, neighbours: int, batch: int, iterations: int) -> np.ndarray:
    out = []
    for start in range(0, len(z), batch):
        own, rows = z[start : start + batch], features[start : start + batch]
        near = []
        for i, row in enumerate(rows):
            like = [
                (-(row @ each) / np.linalg.norm(row) / np.linalg.norm(each), j) for j, each in enumerate(rows) if j != i
            ]
            near.append([j for _, j in sorted(like)[:neighbours]])
        answer = np.array(own)
        for _ in range(iterations):
            p = np.exp(answer)
            answer = naive_log_softmax(np.array([own[i] + sum(p[j] for j in near[i]) for i in range(len(own))]))
        out.append(answer)
    return np.concatenate(out)


@pytest.mark.parametrize("supports", [0, 3, 100])
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_t3a_is_one_face_at_a_time(supports: int, batch: int) -> None:
    rng = np.random.default_rng(0)
    features, weights, bias = rng.normal(size=(40, 5)), rng.normal(size=(3, 5)), rng.normal(size=3)
    found = t3a(features, weights, bias, BaselineSettings(supports=supports, batch=batch))
    assert found == pytest.approx(naive_t3a(features, weights, bias, supports, batch))


@pytest.mark.parametrize("batch", [1, 6, 20, 64])
def test_lame_is_the_loop_over_neighbours(batch: int) -> None:
    z, _ = answers(50, 4)
    features = np.random.default_rng(0).normal(size=(50, 3))
    found = lame(z, features, BaselineSettings(batch=batch, neighbours=4, tolerance=1e-15, iterations=60))
    slow = naive_lame(z, features, 4, batch, 60)
    if batch == 1:
        slow = z
    assert found == pytest.approx(slow, abs=1e-6)


def test_batches_do_not_see_each_other() -> None:
    z, _ = answers(130, 4)
    features = np.random.default_rng(0).normal(size=(130, 3))
    apart = [lame(z[start : start + 64], features[start : start + 64]) for start in (0, 64, 128)]
    assert lame(z, features) == pytest.approx(np.concatenate(apart))


@pytest.mark.parametrize("count", [0, 1, 31])
def test_few_faces_and_faces_all_alike(count: int) -> None:
    z, _ = answers(count, 4)
    found = lame(z, np.ones((count, 3)))
    assert found.shape == (count, 4)
    assert np.exp(found).sum(1) == pytest.approx(np.ones(count))
    assert t3a(np.ones((count, 3)), np.eye(3), np.zeros(3)).shape == (count, 3)
    assert np.isfinite(t3a(np.zeros((count, 3)), np.zeros((2, 3)), np.zeros(2))).all()


def test_wrong_arrays_are_one_sentence() -> None:
    for call in (
        lambda: t3a(np.zeros((3, 2)), np.zeros((2, 3)), np.zeros(2)),
        lambda: t3a(np.full((3, 2), np.nan), np.zeros((2, 2)), np.zeros(2)),
        lambda: lame(np.zeros((3, 2)), np.zeros((2, 2))),
        lambda: lame(np.zeros((3, 2)), np.full((3, 2), np.inf)),
    ):
        with pytest.raises(DataError) as caught:
            call()
        assert "\n" not in str(caught.value)
