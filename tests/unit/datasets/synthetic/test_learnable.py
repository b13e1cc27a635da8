"""A simple classifier learns the studio's expressions, and loses much of them in the street."""

from __future__ import annotations

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.faces.align import align


def gradients(picture: np.ndarray, cells: int = 8, bins: int = 8) -> np.ndarray:
    """Histograms of oriented gradients in cells, each divided by the length of its neighbourhood of 2 x 2."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    size = grey.shape[0] // cells
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=1), cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=1)
    strength, angle = cv2.cartToPolar(across, down)
    direction = (angle / np.pi * bins).astype(int) % bins
    row = np.arange(grey.shape[0]) // size
    cell = ((row[:, None] * cells + row[None, :]) * bins + direction).ravel()
    histogram = np.bincount(cell, strength.ravel(), cells * cells * bins).reshape(cells, cells, bins)
    blocks = np.concatenate([histogram[y : cells - 1 + y, x : cells - 1 + x] for y in (0, 1) for x in (0, 1)], axis=-1)
    return (blocks / np.sqrt((blocks**2).sum(axis=-1, keepdims=True) + 100)).ravel()


def features(spec: str) -> tuple[np.ndarray, np.ndarray]:
    reader = open_reader(parse_spec(spec))
    samples = list(reader.selected())
    aligned = [align(reader.load(sample), np.array(sample.landmarks, np.float32), 64) for sample in samples]
    return np.stack([gradients(face) for face in aligned]), np.array([s.label for s in samples])


def test_studio_is_learned_and_the_street_is_another_matter() -> None:
    shares = "test_share=0.25&validation_share=0"
    train, labels = features(f"synthetic:studio?n=1330&size=96&{shares}&split=train")
    assert 980 <= len(train) <= 1020
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=300)).fit(train, labels)
    studio = model.score(*features(f"synthetic:studio?n=1330&size=96&{shares}&split=test"))
    street = model.score(*features("synthetic:street?n=350&size=96"))
    assert studio > 0.9
    assert 0.2 < street < studio - 0.2
