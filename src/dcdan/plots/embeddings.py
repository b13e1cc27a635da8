"""t-SNE of the global and local features of source and target faces, by domain and by class, as in the paper."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_DOMAINS = ("#1d4e89", "#e0752d")
_CLASSES = ("#e6a817", "#7b5ea7", "#3a7d44", "#d1495b", "#1d4e89", "#8c2d04", "#9aa5b1", "#17a2a2")


class Embedded(NamedTuple):
    """Features of N faces embedded in the plane.

    Attributes:
        of_global: ``(N, 2) float64``, positions of the global features.
        of_local: ``(N, 2) float64``, positions of the local features.
        domain: ``(N,) int64``, 0 source, 1 target.
        label: ``(N,) int64``, class; -1 without one.
    """

    of_global: NDArray[np.float64]
    of_local: NDArray[np.float64]
    domain: NDArray[np.int64]
    label: NDArray[np.int64]


def tsne(features: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    """Embed features in the plane by t-SNE (van der Maaten and Hinton, JMLR 2008).

    Features that are all equal, such as those of a branch that is switched off, get the same position.

    Args:
        features: ``(N, D) float32``.
        seed: seed of the optimisation.

    Returns:
        Positions ``(N, 2) float64``.

    Example:
        >>> tsne(np.ones((3, 8), np.float32), seed=0).tolist()
        [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    from sklearn.manifold import TSNE

    if not np.ptp(features, axis=0).any():  # scikit-learn divides by their spread and then crashes
        return np.zeros((len(features), 2))

    perplexity = min(30.0, max(2.0, (len(features) - 1) / 3))
    model = TSNE(2, perplexity=perplexity, init="pca", random_state=seed)
    return np.asarray(model.fit_transform(features.astype(np.float64)), np.float64)


def embedding_png(found: Embedded, classes: Sequence[str], names: tuple[str, str], title: str = "") -> bytes:
    """Draw global and local features side by side, by domain above and by class below.

    Args:
        found: the embedded features.
        classes: names of the classes.
        names: names of source and target.
        title: line above the picture.

    Returns:
        The bytes of a PNG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 9.2), dpi=130, layout="constrained")
    for column, (what, places) in enumerate((("global", found.of_global), ("local", found.of_local))):
        above, below = figure.add_subplot(2, 2, 1 + column), figure.add_subplot(2, 2, 3 + column)
        above.set_title(f"{what} features, by domain", loc="left", fontsize=11, weight="bold")
        below.set_title(f"{what} features, by class (triangles: {names[1]})", loc="left", fontsize=11, weight="bold")
        for domain, (name, colour) in enumerate(zip(names, _DOMAINS, strict=True)):
            own = found.domain == domain
            above.scatter(places[own, 0], places[own, 1], s=9, c=colour, alpha=0.6, linewidths=0, label=name)
            for label, kind in enumerate(classes):
                chosen = own & (found.label == label)
                marker = "o" if domain == 0 else "^"
                shown = kind if domain == 0 else None
                style: dict[str, Any] = {"s": 10, "alpha": 0.65, "linewidths": 0, "label": shown}
                below.scatter(places[chosen, 0], places[chosen, 1], c=_CLASSES[label], marker=marker, **style)
        for axes in (above, below):
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_color("#d5dae0")
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    buffer = BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
