"""How two sets of faces differ, as a picture: effect sizes of the measurements, and shares of the classes."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from io import BytesIO

_INK, _FAINT, _NONE = "#1d3557", "#555555", "#b8bec6"
_FIRST, _SECOND = "#9aa7b4", "#1d4e89"
_WIDE = 88


def shift_png(
    deltas: Mapping[str, tuple[float, bool]],
    classes: Sequence[str],
    shares: tuple[Sequence[float], Sequence[float]],
    *,
    names: tuple[str, str],
    title: str = "",
) -> bytes:
    """Draw the effect size of each measurement, and the shares of the classes in both sets.

    Args:
        deltas: measurement -> Cliff's delta in -1..1, and whether it is beyond chance; others are drawn in grey.
        classes: K names.
        shares: ``(K,)`` shares of each set, 0..1.
        names: names of both sets.
        title: line above the picture.

    Returns:
        The bytes of a PNG file.

    Raises:
        ValueError: the number of shares is not that of the classes.
    """
    if any(len(own) != len(classes) for own in shares):
        raise ValueError(f"{len(classes)} classes, {len(shares[0])} and {len(shares[1])} shares")
    # A figure of its own canvas, because pyplot would keep global state and ask for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2, 4.4), dpi=140, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.1))
    ordered = sorted(deltas, key=lambda name: abs(deltas[name][0]))
    values = [deltas[name][0] for name in ordered]
    left.barh(ordered, values, color=[_INK if deltas[name][1] else _NONE for name in ordered], height=0.6)
    left.axvline(0, color=_FAINT, linewidth=1)
    left.set_xlim(-1.0, 1.0)
    left.set_xlabel("Cliff's delta: lower ← second set → higher\n(grey: within chance)", color=_FAINT, fontsize=9)
    places = range(len(classes))
    for offset, own, name, colour in zip((-0.2, 0.2), shares, names, (_FIRST, _SECOND), strict=True):
        heights = [100 * share for share in own]
        right.barh([place + offset for place in places], heights, 0.38, color=colour, label=_short(name))
    right.set_yticks(places, classes)
    right.invert_yaxis()
    right.set_xlabel("share of the model's answers, %", color=_FAINT, fontsize=9)
    right.legend(frameon=False, fontsize=9, loc="best")
    for axes in (left, right):
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0, colors=_FAINT, labelsize=9)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    if title:
        figure.suptitle(textwrap.fill(title, _WIDE), x=0.02, ha="left", fontsize=11, weight="bold", color=_INK)
    buffer = BytesIO()
    canvas.print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def _short(name: str) -> str:
    return name if len(name) <= 28 else "…" + name[-27:]
