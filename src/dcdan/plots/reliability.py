"""Reliability diagram: accuracy over confidence, and the number of faces in each bin of confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from dcdan.metrics.calibration import Bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _FAINT = "#1d3557", "#555555"
_RIGHT, _MORE, _LESS, _BEFORE = "#1d4e89", "#9dc0e6", "#e5a3ac", "#e0a030"


def reliability_png(after: Bins, before: Bins | None = None, *, title: str = "", subtitle: str = "") -> bytes:
    """Draw accuracy over confidence, the gap between both in every bin, and the number of faces below.

    Args:
        after: bins of the answers as they are given.
        before: bins of the same answers at temperature 1, drawn as a line; None for no line.
        title: first line above the picture.
        subtitle: second, smaller line.

    Returns:
        The bytes of a PNG file.

    Raises:
        ValueError: there is no answer to draw.
    """
    if not after.faces.sum():
        raise ValueError("no answer to draw")
    # A figure of its own canvas, because pyplot would keep global state and ask for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 6.4), dpi=160, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.0, 1.0))
    _accuracies(upper, after, before)
    _counts(lower, after)
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(length=0, colors=_FAINT, labelsize=9)
    if title:
        figure.suptitle(title, x=0.02, ha="left", fontsize=11, weight="bold", wrap=True)
    if subtitle:
        upper.set_title(subtitle, loc="left", fontsize=9, color=_FAINT, pad=8)
    buffer = BytesIO()
    canvas.print_png(buffer)
    return buffer.getvalue()


def bins_of(columns: Mapping[str, Sequence[float | None]]) -> Bins:
    """Return bins of confidence from lists, as ``run.json`` holds them.

    Args:
        columns: ``faces``, ``confidence`` and ``accuracy`` of each bin. None stands for the mean of an empty bin.

    Example:
        >>> bins_of({"faces": [0, 2], "confidence": [None, 0.75], "accuracy": [None, 0.5]}).faces.tolist()
        [0, 2]
    """
    count = np.asarray(columns["faces"], np.int64)
    confidence, accuracy = (np.asarray(columns[name], np.float64) for name in ("confidence", "accuracy"))
    return Bins(count, confidence, accuracy)


def _edges(bins: Bins) -> tuple[np.ndarray, float]:
    """Return the left ends of the bins and their width."""
    width = 1.0 / len(bins.faces)
    return width * np.arange(len(bins.faces)), width


def _accuracies(axes: Axes, after: Bins, before: Bins | None) -> None:
    left, width = _edges(after)
    filled = after.faces > 0
    left, width = left[filled], 0.92 * width
    right, said = after.accuracy[filled], after.confidence[filled]
    both = np.minimum(right, said)
    axes.bar(left, both, width, align="edge", color=_RIGHT, label="correct, as predicted")
    axes.bar(left, right - both, width, both, align="edge", color=_MORE, label="correct, beyond the confidence")
    axes.bar(
        left,
        said - both,
        width,
        both,
        align="edge",
        color=_LESS,
        hatch="////",
        edgecolor="w",
        label="predicted, and wrong",
    )
    axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1, linestyle="--")
    if before is not None:
        known = before.faces > 0
        label = "before the temperature"
        axes.plot(before.confidence[known], before.accuracy[known], "o-", color=_BEFORE, ms=4, lw=1.5, label=label)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_ylabel("share of correct answers", color=_FAINT)
    axes.legend(loc="upper left", frameon=False, fontsize=9)


def _counts(axes: Axes, bins: Bins) -> None:
    left, width = _edges(bins)
    axes.bar(left, bins.faces, width=0.92 * width, align="edge", color="#9aa7b4")
    highest = int(bins.faces.max())
    for start, count in zip(left, bins.faces.tolist(), strict=True):
        if count:
            axes.text(start + 0.46 * width, count, f"{count:,}", ha="center", va="bottom", fontsize=6.5, color=_INK)
    axes.set_ylim(0, 1.22 * highest)
    axes.set_yticks([])
    axes.set_xlabel("confidence", color=_FAINT)
    axes.set_ylabel("faces", color=_FAINT)
