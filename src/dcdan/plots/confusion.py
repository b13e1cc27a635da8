"""Confusion matrix as a picture: each row in per cent, as colour and number, with the counts below."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np

from dcdan.metrics.classification import ConfusionMatrix


def row_percentages(confusion: ConfusionMatrix) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return a confusion matrix in per cent of each row.

    Args:
        confusion: ``(K, K)`` counts; row = true class, column = predicted class.

    Returns:
        ``(K, K) float64``, 0..100; NaN in rows without samples.

    Example:
        >>> row_percentages(np.array([[3, 1], [0, 4]])).tolist()
        [[75.0, 25.0], [0.0, 100.0]]
    """
    totals = confusion.sum(axis=1, keepdims=True).astype(np.float64)
    return np.where(totals > 0, 100.0 * confusion / np.maximum(totals, 1.0), np.nan)


def confusion_png(confusion: ConfusionMatrix, classes: Sequence[str], *, title: str = "", subtitle: str = "") -> bytes:
    """Draw a confusion matrix.

    Args:
        confusion: ``(K, K)`` counts; row = true class, column = predicted class.
        classes: K names in the order of the rows.
        title: first line above the picture.
        subtitle: second, smaller line.

    Returns:
        The bytes of a PNG file.

    Raises:
        ValueError: the number of names is not that of the rows.
    """
    if confusion.shape != (len(classes), len(classes)):
        raise ValueError(f"{len(classes)} names for a confusion matrix of shape {confusion.shape}")
    # A figure of its own canvas, because pyplot would keep global state and ask for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(classes)
    side = 2.4 + 0.78 * count
    figure = Figure(figsize=(side + 0.9, side), dpi=160, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shares = row_percentages(confusion)
    image = axes.imshow(np.nan_to_num(shares), cmap="Blues", vmin=0.0, vmax=100.0)

    ticks = range(count)
    support = confusion.sum(axis=1)
    axes.set_xticks(ticks, classes, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, [f"{name}\nn = {number:,}" for name, number in zip(classes, support, strict=True)])
    axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2.0)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted", labelpad=10, color="#555555")
    axes.set_ylabel("labelled", labelpad=10, color="#555555")

    for row in ticks:
        for column in ticks:
            share, number = shares[row, column], int(confusion[row, column])
            ink = "white" if share > 55.0 else ("#1d3557" if number else "#b8c2cc")
            if np.isnan(share):
                axes.text(column, row, "–", ha="center", va="center", color="#b8c2cc", fontsize=10)
                continue
            weight = "bold" if row == column else "normal"
            axes.text(
                column, row - 0.1, _percent(share), ha="center", va="center", color=ink, fontsize=11, weight=weight
            )
            axes.text(column, row + 0.24, f"{number:,}", ha="center", va="center", color=ink, fontsize=7.5, alpha=0.85)

    bar = figure.colorbar(image, ax=axes, shrink=0.72, aspect=28, pad=0.02, format="%d%%")
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(length=0, labelsize=8, colors="#555555")
    if title:
        axes.set_title(title, fontsize=13, weight="bold", loc="left", pad=26 if subtitle else 10)
    if subtitle:
        axes.annotate(
            subtitle,
            (0.0, 1.0),
            xytext=(0, 9),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=9,
            color="#555555",
        )
    buffer = BytesIO()
    canvas.print_png(buffer)
    return buffer.getvalue()


def _percent(share: float) -> str:
    """One decimal where it fits in the cell: ``0``, ``4.2``, ``88.1``, ``100`` per cent."""
    text = f"{share:.1f}"
    return text.removesuffix(".0") + "%" if text in ("0.0", "100.0") else text + "%"
