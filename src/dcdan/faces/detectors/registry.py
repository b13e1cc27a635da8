"""The registry of face detectors."""

from __future__ import annotations

from dcdan.core.errors import unknown
from dcdan.faces.detectors.base import FaceDetector, Framing

DETECTORS = ("mtcnn",)


def create_detector(name: str = "mtcnn", *, threads: int | None = None, framing: Framing = "photo") -> FaceDetector:
    """Return a detector by its name.

    Args:
        name: one of ``DETECTORS``.
        threads: threads within one network run; None leaves it to ONNX Runtime (all cores).
        framing: ``photo`` looks for faces of every size, ``crop`` only for one that fills the picture.

    Raises:
        UsageError: there is no detector of that name.
    """
    if name not in DETECTORS:
        raise unknown("detector", name, DETECTORS)
    from dcdan.faces.detectors.mtcnn import CROPS, CROPS_AGAIN, PHOTOS, Mtcnn

    rounds = (CROPS, CROPS_AGAIN) if framing == "crop" else (PHOTOS,)
    return Mtcnn(*rounds, threads=threads)
