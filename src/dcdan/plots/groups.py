"""Accuracy of groups of faces as a picture: a dot with its interval for each group, a panel for each column."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import NamedTuple

_INK, _FAINT, _FEW = "#1d3557", "#555555", "#b8bec6"
_WIDE = 86


class GroupBar(NamedTuple):
    """The accuracy of one group.

    Attributes:
        name: name of the group.
        faces: number of faces.
        accuracy: 0..1.
        interval: its 95 % interval, 0..1.
        few: whether the group is too small to be compared; it is drawn in grey.
    """

    name: str
    faces: int
    accuracy: float
    interval: tuple[float, float]
    few: bool


def groups_png(panels: Mapping[str, Sequence[GroupBar]], *, overall: float, title: str = "") -> bytes:
    """Draw a panel for each column of groups, with a dot for each group and a line for its interval.

    Args:
        panels: heading of a panel -> its groups, from above.
        overall: accuracy of all faces, 0..1; drawn as a dashed line.
        title: line above the picture.

    Returns:
        The bytes of a PNG file.

    Raises:
        ValueError: there is no group.
    """
    if not any(panels.values()):
        raise ValueError("no group to draw")
    # A figure of its own canvas, because pyplot would keep global state and ask for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sizes = [len(groups) for groups in panels.values()]
    figure = Figure(figsize=(7.2, 0.7 + sum(0.75 + 0.3 * size for size in sizes)), dpi=140, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    grid = figure.subplots(len(sizes), 1, sharex=True, squeeze=False, height_ratios=[0.8 + size for size in sizes])
    for axes, (heading, groups) in zip(grid.flat, panels.items(), strict=True):
        axes.axvline(100 * overall, color=_FAINT, linestyle="--", linewidth=1)
        for line, group in enumerate(groups):
            colour = _FEW if group.few else _INK
            axes.plot([100 * end for end in group.interval], [line, line], color=colour, linewidth=2)
            axes.plot([100 * group.accuracy], [line], "o", color=colour, markersize=6)
        names = [f"{group.name}  ({group.faces:,})" for group in groups]
        axes.set_yticks(range(len(groups)), [textwrap.shorten(name, 40, placeholder="…") for name in names])
        axes.set_ylim(len(groups) - 0.4, -0.6)
        axes.tick_params(length=0, colors=_FAINT, labelsize=9)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.grid(axis="x", alpha=0.3)
        axes.set_title(textwrap.fill(heading, _WIDE), loc="left", fontsize=9, color=_INK)
    grid.flat[-1].set_xlabel("accuracy with its 95 % interval, %; in brackets the number of faces", color=_FAINT)
    if title:
        figure.suptitle(title, x=0.02, ha="left", fontsize=11, weight="bold", wrap=True)
    buffer = BytesIO()
    canvas.print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()
