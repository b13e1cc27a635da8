"""The source memory: privacy, k-means against a loop, and what a damaged file gives."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from correction_data import CLASSES, answers, naive_log_softmax
from dcdan.core.errors import DataError, ModelError
from dcdan.correction.memory import (
    FEWEST_FACES,
    MAX_BYTES,
    MEMORY,
    MemorySettings,
    SourceMemory,
    build_memory,
    confidence_curve,
    k_means,
    read_memory,
    write_memory,
)


def source(count: int = 900, width: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.choice(8, count, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.04, 0.01])
    return rng.normal(size=(count, 2, width)) + labels[:, None, None], labels


def memory(**changes: object) -> SourceMemory:
    return build_memory(CLASSES, *source(), *answers(200), **changes)  # type: ignore[arg-type]


@given(st.integers(0, 80), st.integers(1, 12), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_no_centre_is_of_fewer_than_five_faces(count: int, clusters: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Far outliers, which k-means likes to give centres of their own.
    points = rng.normal(size=(count, 3)) * rng.choice([1, 1000], (count, 1), p=[0.9, 0.1])
    found = k_means(points, clusters, MemorySettings(seed=seed))
    if count < FEWEST_FACES:
        assert len(found.centres) == 0
        return
    sizes = np.bincount(found.members)
    assert sizes.min() >= FEWEST_FACES
    assert len(sizes) == len(found.centres) <= clusters
    for number, centre in enumerate(found.centres):
        assert centre == pytest.approx(points[found.members == number].mean(0), rel=1e-4, abs=1e-4)


def test_k_means_is_lloyds_loop_and_seeded() -> None:
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(30, 2)) + centre for centre in ([0, 0], [20, 0], [0, 20])])
    found = k_means(points, 3)
    centres = [points[found.members == number].mean(0) for number in range(3)]
    for point, member in zip(points, found.members, strict=True):
        assert np.argmin([((point - centre) ** 2).sum() for centre in centres]) == member
    assert sorted(np.bincount(found.members)) == [30, 30, 30]
    assert (k_means(points, 3).members == found.members).all()


def test_a_memory_describes_its_source() -> None:
    features, labels = source()
    found = memory()
    flat = features.reshape(900, -1)
    assert found.counts.sum() == 900
    assert found.counts.min() >= FEWEST_FACES
    assert found.weights.sum() == pytest.approx(1)
    for label in range(8):
        own = found.soft_labels.argmax(1) == label
        assert own.sum() <= 64
        assert found.counts[own].sum() == (labels == label).sum()
        assert found.means[label].reshape(-1) == pytest.approx(flat[labels == label].mean(0), abs=5e-3)
        assert found.variances[label].reshape(-1) == pytest.approx(flat[labels == label].var(0), rel=1e-3)
        weighted = np.average(found.centres[own].reshape(own.sum(), -1), 0, found.counts[own])
        assert weighted == pytest.approx(flat[labels == label].mean(0), abs=1e-2)
    z, truth = answers(200)
    assert found.prior == pytest.approx(np.exp(z).mean(0), abs=1e-6)
    assert found.mean_log == pytest.approx(z.mean(0), abs=1e-5)
    assert found.source_accuracy == pytest.approx((z.argmax(1) == truth).mean())
    assert found.source_confidence == pytest.approx(np.exp(z.max(1)).mean(), abs=0.01)
    below = (np.exp(z.max(1)) < found.confidence_threshold).mean()
    assert below == pytest.approx(1 - found.source_accuracy, abs=0.02)


def test_a_class_of_few_faces_shows_none_of_them() -> None:
    features, labels = source(200)
    labels[:] = labels % 3
    labels[:4] = 7
    features[:4] = 500.0
    found = build_memory(CLASSES, features, labels, *answers(50))
    assert not (found.soft_labels[:, 7] > 0).any()
    assert found.means[7].reshape(-1) == pytest.approx(features.reshape(200, -1).mean(0), rel=1e-3)
    assert found.counts.sum() == 196


def test_the_curve_is_the_loop_over_quantiles() -> None:
    z, labels = answers(333)
    confidence, accuracy = confidence_curve(z, labels)
    certain, right = np.exp(z.max(1)), z.argmax(1) == labels
    for level in range(0, 50, 7):
        assert confidence[level] == pytest.approx(np.quantile(certain, level / 50))
        rest = np.sort(certain)[int(level / 50 * 333)]
        assert accuracy[level] == pytest.approx(right[certain >= rest].mean())


def test_writing_and_reading(tmp_path: Path) -> None:
    found = memory()
    write_memory(found, tmp_path / MEMORY)
    again = read_memory(tmp_path / MEMORY, CLASSES)
    assert again.classes == CLASSES
    for name in safetensors.numpy.load_file(tmp_path / MEMORY):
        assert (getattr(again, name) == getattr(found, name)).all()
    assert [path.name for path in tmp_path.iterdir()] == [MEMORY]
    with pytest.raises(ModelError, match="other classes"):
        read_memory(tmp_path / MEMORY, CLASSES[::-1])


def test_the_largest_memory_is_small_enough(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    found = memory()
    count = 8 * 64
    full = replace(
        found,
        centres=rng.normal(size=(count, 2, 256)).astype(np.float16),
        soft_labels=np.full((count, 8), 1 / 8, np.float16),
        weights=np.full(count, 1 / count, np.float32),
        counts=np.full(count, 5, np.int32),
        means=np.zeros((8, 2, 256), np.float16),
        variances=np.ones((8, 2, 256), np.float32),
    )
    write_memory(full, tmp_path / MEMORY)
    assert (tmp_path / MEMORY).stat().st_size <= MAX_BYTES
    with pytest.raises(ModelError, match="use fewer centres"):
        write_memory(
            replace(
                full,
                **{
                    name: np.concatenate([getattr(full, name)] * 3) / scale
                    for name, scale in (
                        ("centres", np.float16(1)),
                        ("soft_labels", np.float16(1)),
                        ("weights", np.float32(3)),
                    )
                },
                counts=np.full(3 * count, 5, np.int32),
            ),
            tmp_path / "large",
        )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t["counts"].__setitem__(0, 4), "fewer than 5 faces"),
        (lambda t: t["centres"].__setitem__((0, 0, 0), np.nan), "centres are not all finite"),
        (lambda t: t["variances"].__setitem__((0, 0, 0), -1), "variance is negative"),
        (lambda t: t["shares"].__imul__(2), "shares do not add up"),
        (lambda t: t["soft_labels"].__setitem__((0, 0), 2), "soft_labels lie outside"),
        (lambda t: t.update(means=t["means"][:, :1]), "its means are"),
        (lambda t: t.update(centres=t["centres"].astype(np.float32)), "its centres are float32"),
        (lambda t: t.update(centres=t["centres"][:0]), "holds no centre"),
        (lambda t: t.update(centres=t["centres"][0, 0]), "holds no centre"),
        (lambda t: t.pop("prior"), "is no source memory"),
    ],
)
def test_a_damaged_memory_is_one_sentence(tmp_path: Path, change: object, sentence: str) -> None:
    write_memory(memory(), tmp_path / MEMORY)
    tensors = {name: value.copy() for name, value in safetensors.numpy.load_file(tmp_path / MEMORY).items()}
    change(tensors)  # type: ignore[operator]
    header = {"schema": "1", "classes": json.dumps(CLASSES)}
    safetensors.numpy.save_file(tensors, tmp_path / MEMORY, header)
    with pytest.raises(ModelError, match=sentence) as caught:
        read_memory(tmp_path / MEMORY)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_memory(tmp_path: Path) -> None:
    path = tmp_path / MEMORY
    with pytest.raises(ModelError, match="cannot be read"):
        read_memory(path)
    for content in (b"", b"{}", b"\xff" * 100, (10**6).to_bytes(8, "little") + b"{}"):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="is no source memory"):
            read_memory(path)
    path.write_bytes(bytes(MAX_BYTES + 1))
    with pytest.raises(ModelError, match="at most"):
        read_memory(path)
    safetensors.numpy.save_file({"x": np.zeros(3)}, path, {"schema": "1", "classes": "[]"})
    with pytest.raises(ModelError, match="is no source memory"):
        read_memory(path)
    write_memory(memory(), path)
    tensors = safetensors.numpy.load_file(path)
    safetensors.numpy.save_file(tensors, path, {"schema": "2", "classes": json.dumps(CLASSES)})
    with pytest.raises(ModelError, match="of schema 2"):
        read_memory(path)


def test_impossible_sources_are_one_sentence() -> None:
    z, truth = answers(50)
    features, labels = source(100)
    for features_, labels_, z_, truth_ in (
        (features[:3], labels[:3], z, truth),
        (features, labels[:50], z, truth),
        (features.reshape(100, -1), labels, z, truth),
        (np.full_like(features, np.nan), labels, z, truth),
        (features * 1e6, labels, z, truth),
        (features[:8], np.arange(8), z, truth),
        (features, labels, z[:0], truth[:0]),
        (features, labels, z[:, :3], truth % 3),
        (features, labels, naive_log_softmax(z), truth + 8),
    ):
        with pytest.raises(DataError) as caught:
            build_memory(CLASSES, features_, labels_, z_, truth_)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="faces"):
        MemorySettings(faces=4)


def test_faces_all_alike_have_one_centre_a_class() -> None:
    found = build_memory(["a", "b"], np.ones((40, 2, 3)), np.arange(40) % 2, np.log(np.full((9, 2), 0.5)), [0] * 9)
    assert len(found.centres) == 2
    assert found.counts.tolist() == [20, 20]


def test_votes_are_soft_labels() -> None:
    features, labels = source(100)
    votes = 0.8 * np.eye(8)[labels] + 0.2 / 8
    found = build_memory(CLASSES, features, labels, *answers(50), votes=votes)
    assert found.soft_labels.max() == pytest.approx(0.825, abs=1e-3)
    with pytest.raises(DataError, match="Votes"):
        build_memory(CLASSES, features, labels, *answers(50), votes=votes[:, :2])
