"""A critical-difference diagram: methods on a line by average rank, joined where they cannot be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from dcdan.metrics.several_methods import Ranking, groups_alike

_INK, _QUIET, _BAR = "#1d3557", "#555555", "#c1121f"


def critical_difference_png(names: Sequence[str], ranking: Ranking, *, title: str = "") -> bytes:
    """Draw a critical-difference diagram (Demsar, JMLR 2006), one line for each method, the best above.

    Args:
        names: names of the methods.
        ranking: their ranking.
        title: line above the picture.

    Returns:
        The bytes of a PNG file.

    Raises:
        ValueError: the number of names is not that of the ranks.
    """
    if len(names) != len(ranking.ranks):
        raise ValueError(f"{len(names)} names for {len(ranking.ranks)} ranks")
    # A figure of its own canvas, because pyplot would keep global state and ask for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    order = sorted(range(len(names)), key=ranking.ranks.__getitem__)
    height = {method: line for line, method in enumerate(order)}
    figure = Figure(figsize=(8, 1.4 + 0.27 * len(names)), dpi=130, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot([ranking.ranks[method] for method in order], range(len(order)), "o", color=_INK, ms=5, zorder=3)
    for number, group in enumerate(groups_alike(ranking.ranks, ranking.critical_difference)):
        place = len(names) + 0.3 + 0.45 * number
        ends = ranking.ranks[group[0]], ranking.ranks[group[-1]]
        axes.plot(ends, [place, place], color=_BAR, lw=3, solid_capstyle="round")
        for end, method in zip(ends, (group[0], group[-1]), strict=True):
            axes.plot([end, end], [height[method], place], color=_BAR, lw=0.6, ls=":", zorder=1)
    axes.set_yticks(range(len(order)), [f"{names[method]}  {ranking.ranks[method]:.2f}" for method in order])
    axes.invert_yaxis()
    axes.set_xlabel("average rank, 1 is the best", color=_QUIET)
    axes.grid(axis="x", color="#e8ebee")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0, labelsize=9, colors=_QUIET)
    about = f"{ranking.blocks} columns, Friedman p = {ranking.p_value:.3g}, critical difference "
    about += f"{ranking.critical_difference:.2f} (Nemenyi, 5 %); a red line joins methods that are not told apart"
    axes.set_title(f"{title}\n{about}".strip(), loc="left", fontsize=9, color=_QUIET)
    buffer = BytesIO()
    canvas.print_png(buffer)
    return buffer.getvalue()
