"""Results as objects of other libraries that need more than a table: ``supervision.Detections``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from dcdan.core.errors import MissingExtraError
from dcdan.inference.table import FaceResult


def to_supervision(faces: Iterable[FaceResult], classes: Iterable[str] | None = None) -> Any:
    """Return the faces of one picture or frame as ``supervision.Detections``, for its annotators, zones and sinks.

    Args:
        faces: the results of one picture or frame; rows without a face are left out.
        classes: names of the expressions, which ``class_id`` indexes; None for those of the faces, in the model's
            order.

    Returns:
        Detections with ``xyxy`` in pixels, ``confidence`` (the probability of the expression), ``class_id``,
        ``tracker_id`` of videos, and in ``data`` the arrays ``class_name``, ``unsure`` and ``score`` of the detector.

    Raises:
        MissingExtraError: supervision is not installed.
        ValueError: an expression is not among ``classes``.

    Example:
        >>> import dcdan
        >>> detections = dcdan.to_supervision(dcdan.load().recognise("photo.jpg"))  # doctest: +SKIP
    """
    try:
        import supervision
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"This needs the package '{error.name}': pip install supervision.") from None
    rows = [face for face in faces if face.recognised and face.box is not None]
    if not rows:
        return supervision.Detections.empty()
    names = list(rows[0].probabilities) if classes is None else list(classes)
    tracked = all(row.track is not None for row in rows)
    return supervision.Detections(
        xyxy=np.array([row.box for row in rows], np.float32),
        confidence=np.array([row.probability for row in rows], np.float32),
        class_id=np.array([names.index(row.expression or "") for row in rows], np.int64),
        tracker_id=np.array([row.track for row in rows], np.int64) if tracked else None,
        data={
            "class_name": np.array([row.expression for row in rows]),
            "unsure": np.array([row.unsure for row in rows]),
            "score": np.array([np.nan if row.quality is None else row.quality.score for row in rows]),
        },
    )
