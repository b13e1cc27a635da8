"""Registry of face detectors."""

from __future__ import annotations

from dcdan.core.errors import unknown
from dcdan.faces.detectors.base import FaceDetector, Framing

DETECTORS = ("mtcnn",)


def create_detector(name: str = "mtcnn", *, threads: int | None = None, framing: Framing = "photo") -> FaceDetector:
    """Create a face detector.

    Args:
        name: One of ``DETECTORS``.
        threads: Threads within one network run; None lets ONNX Runtime decide (all cores).
        framing: ``photo`` searches for faces of every size, ``crop`` only for one that fills the image.

    Returns:
        The detector.

    Raises:
        UsageError: The name is unknown.
        ModelError: The weights are not installed.
    """
    if name not in DETECTORS:
        raise unknown("detector", name, DETECTORS)
    from dcdan.faces.detectors.mtcnn import CROPS, CROPS_AGAIN, PHOTOS, Mtcnn

    rounds = (CROPS, CROPS_AGAIN) if framing == "crop" else (PHOTOS,)
    return Mtcnn(*rounds, threads=threads)
