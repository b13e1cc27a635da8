"""Accuracy of several methods on several test sets as one picture: one dot for each seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO

COLOURS = {"no": "#7f7f7f", "statistics": "#e08214", "images": "#2166ac"}
"""What the training of a method sees of the target -> colour of its dots."""
_COLUMNS = 4


def accuracies_png(panels: Mapping[str, Mapping[str, Sequence[float]]], sees: Mapping[str, str]) -> bytes:
    """Draw a panel for each test set, a line in it for each method, and a dot on the line for each seed.

    Args:
        panels: name of a test set -> name of a method -> its accuracies, 0..1, one for each seed. Not every method
            has to be on every test set.
        sees: name of a method -> what its training sees of the target, a key of :data:`COLOURS`. Its order is that
            of the lines, from above.

    Returns:
        The bytes of a PNG file.

    Raises:
        ValueError: when there is no panel or no method.
        KeyError: when a method of a panel is not in ``sees``.
    """
    if not panels or not sees:
        raise ValueError("accuracies of no test set or of no method cannot be drawn")
    # A figure of its own canvas, because pyplot would keep global state and ask for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    methods = list(sees)[::-1]
    lines = {method: line for line, method in enumerate(methods)}
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(10, rows * (1.1 + 0.24 * len(methods))), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, (test, accuracies) in zip(grid.flat, panels.items(), strict=False):
        for method, values in accuracies.items():
            height, colour = [lines[method]] * len(values), COLOURS[sees[method]]
            axes.plot([100 * value for value in values], height, "o", ms=4, alpha=0.75, color=colour)
        axes.set_title(test, fontsize=9)
        axes.set_yticks(range(len(methods)), methods, fontsize=8)
        axes.set_ylim(-0.6, len(methods) - 0.4)
        axes.tick_params(axis="x", labelsize=8)
        axes.grid(alpha=0.3)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for label, colour in COLOURS.items():
        grid[0, 0].plot([], [], "o", ms=4, color=colour, label=label)
    figure.supxlabel("accuracy on the test set, %; one dot for each seed", fontsize=9)
    figure.legend(
        *grid[0, 0].get_legend_handles_labels(),
        title="training sees of the target",
        ncols=3,
        loc="outside upper center",
        fontsize=8,
        title_fontsize=8,
    )
    buffer = BytesIO()
    canvas.print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()
