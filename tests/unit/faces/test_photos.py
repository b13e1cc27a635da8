"""Real photographs, which the repository does not hold: set DCDAN_TEST_PHOTOS to a folder with one face a picture."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from dcdan.faces.align import TEMPLATE
from dcdan.faces.extract import Extractor
from dcdan.images.decode import decode
from dcdan.images.discover import find_pictures

FOLDER = os.environ.get("DCDAN_TEST_PHOTOS", "")

pytestmark = pytest.mark.skipif(not FOLDER, reason="DCDAN_TEST_PHOTOS names no folder")


def test_faces_are_found_and_framed() -> None:
    pictures = [decode(path) for path in islice(find_pictures(Path(FOLDER)), 150)]
    found = Extractor(112, max_faces=1, threads=1).extract(pictures)
    faces = [face for own in found for face in own]
    assert len(faces) >= 0.95 * len(pictures)
    landmarks = np.stack([face.landmarks for face in faces])
    assert np.abs(landmarks.mean(axis=0) - TEMPLATE).max() < 0.04
    assert np.abs(landmarks - TEMPLATE).mean() < 0.03
