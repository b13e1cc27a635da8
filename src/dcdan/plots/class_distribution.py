"""Number of images of each class: one data set by split, or several side by side as in the paper's Figure 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np

_COLOURS = ("#1d4e89", "#e0a030", "#3a7d44", "#d1495b", "#7b5ea7", "#5f6b76", "#2a9d8f", "#b5651d")
_QUIET = "#555555"


def counts_png(counts: Mapping[str, Mapping[str, int]], *, title: str) -> bytes:
    """Draw the number of images of each class of one data set, as bars that stack its splits.

    Args:
        counts: name of a split -> class -> number of images. The class ``""`` (no label) is left out.
        title: first part of the line above the picture.

    Returns:
        The bytes of a PNG file.

    Raises:
        ValueError: when no image has a label.

    Example:
        >>> counts_png({"train": {"anger": 3, "fear": 1}}, title="RAF-DB")[:4]
        b'\\x89PNG'
    """
    classes = [name for name in dict.fromkeys(name for split in counts.values() for name in split) if name]
    table = np.array([[split.get(name, 0) for name in classes] for split in counts.values()], np.int64)
    if not table.size or not table.sum():
        raise ValueError("no image has a label")
    figure, axes = _figure(1.9 + 1.0 * len(classes), 4.2)
    below = np.zeros(len(classes), np.int64)
    for split, row, colour in zip(counts, table, _COLOURS * len(counts), strict=False):
        label = f"{split or 'all'} ({row.sum():,})"
        axes.bar(classes, row, bottom=below, color=colour, width=0.72, label=label)
        below += row
    for place, number in enumerate(below.tolist()):
        share = f"{number:,}\n{100 * number / below.sum():.1f}%"
        axes.annotate(share, (place, number), (0, 3), textcoords="offset points", ha="center", fontsize=8.5)
    axes.set_ylim(0, 1.16 * below.max())
    axes.set_ylabel("images", color=_QUIET)
    return _finished(figure, axes, f"{title}: {below.sum():,} labelled images", len(counts))


def shares_png(sets: Mapping[str, Mapping[str, int]], classes: Sequence[str]) -> bytes:
    """Draw the shares of the classes in several data sets side by side.

    Args:
        sets: name of a data set -> class -> number of images. A data set without a class has no bar there.
        classes: the classes in the order in which they are drawn.

    Returns:
        The bytes of a PNG file.

    Raises:
        ValueError: when a data set has no image of these classes.
    """
    counts = np.array([[images.get(name, 0) for name in classes] for images in sets.values()], np.float64)
    totals = counts.sum(1, keepdims=True)
    if not counts.size or not totals.all():
        raise ValueError("a set without labelled images")
    shares = 100 * counts / totals
    figure, axes = _figure(2.0 + len(classes) * (0.55 + 0.24 * len(sets)), 4.4)
    width = 0.84 / len(sets)
    places = np.arange(len(classes))
    for number, (name, row, colour) in enumerate(zip(sets, shares, _COLOURS * len(sets), strict=False)):
        where = places + (number - (len(sets) - 1) / 2) * width
        axes.bar(where, row, width=0.9 * width, color=colour, label=f"{name} ({int(totals[number, 0]):,})")
        for x, share, class_name in zip(where, row, classes, strict=True):
            if class_name in sets[name]:
                axes.annotate(
                    f"{share:.0f}" if share >= 1 else f"{share:.1f}",
                    (x, share),
                    (0, 2),
                    textcoords="offset points",
                    ha="center",
                    fontsize=7.5,
                    color=_QUIET,
                )
    axes.set_xticks(places, classes)
    axes.set_ylim(0, 1.08 * shares.max())
    axes.set_ylabel("share of the labelled images, %", color=_QUIET)
    return _finished(figure, axes, "Class distribution of the data sets", len(sets))


def _figure(width: float, height: float) -> tuple[Any, Any]:
    # A figure of its own canvas, because pyplot would keep global state and ask for a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(width, 4.5), height), dpi=150, layout="constrained")
    return figure, figure.add_subplot()


def _finished(figure: Any, axes: Any, title: str, kinds: int) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    if kinds > 1:
        axes.legend(fontsize=9, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=min(kinds, 4))
    axes.set_title(title, loc="left", fontsize=12, weight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e8ebee")
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=9.5, colors=_QUIET)
    buffer = BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
