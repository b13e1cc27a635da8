"""A contact sheet of drawn faces, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from dcdan.data.synthetic.domains import DOMAINS, draw_face
from dcdan.data.synthetic.drawing import Image
from dcdan.expressions import EXPRESSIONS

_PAPER = 250
_GAP = 6


def contact_sheet(
    domain_rows: Sequence[str] = DOMAINS,
    *,
    expressions: Sequence[str] = EXPRESSIONS,
    columns: int = 6,
    size: int = 112,
    seed: int = 0,
) -> Image:
    """Return a sheet (H, W, 3) uint8 RGB: a row an expression, the domains side by side, `columns` faces of each.

    Every face is of another person; the same arguments give the same sheet.
    """
    margin = size
    bands = []
    for expression in expressions:
        cells = [_label(expression, margin, size)]
        for place, domain in enumerate(domain_rows):
            if place:
                cells.append(np.full((size, _GAP, 3), _PAPER, np.uint8))
            for column in range(columns):
                entropy = [seed, DOMAINS.index(domain), EXPRESSIONS.index(expression), column]
                cells.append(draw_face(np.random.default_rng(entropy), expression, domain, size)[0])
        bands.append(np.concatenate(cells, axis=1))
    return np.concatenate(bands, axis=0)


def _label(text: str, width: int, height: int) -> Image:
    paper = np.full((height, width, 3), _PAPER, np.uint8)
    scale = width / 112 * 0.5
    cv2.putText(paper, text, (width // 16, height // 2), cv2.FONT_HERSHEY_SIMPLEX, scale, (40, 40, 40), 1, cv2.LINE_AA)
    return paper
