"""The paper's figures of measured cells, and a paragraph of discussion that is computed from the same numbers.

Figure 3 shows class distributions, Figures 4 and 5 the confusion matrices of the paper's method on FERPlus and RAF-DB.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dcdan.benchmark.plan import slug
from dcdan.paper.measured_tables import PaperCell, overall_ranking
from dcdan.paper.published import CONFUSIONS, OURS, TABLES
from dcdan.plots.class_distribution import shares_png
from dcdan.plots.confusion import confusion_png
from dcdan.plots.critical_difference import critical_difference_png

Figures = dict[str, bytes]
"""File name -> PNG."""


def confusions_of(
    cells: Sequence[PaperCell], row: str = OURS
) -> dict[tuple[str, str, str], tuple[tuple[str, ...], NDArray[np.int64]]]:
    """Return the confusion matrices of a row, summed over its seeds.

    Args:
        cells: the cells.
        row: name of the row.

    Returns:
        (source, target, trunk) -> classes and counts.
    """
    found: dict[tuple[str, str, str], tuple[tuple[str, ...], NDArray[np.int64]]] = {}
    for cell in cells:
        if cell.row == row:
            key = cell.source, cell.target, cell.trunk
            before = found.get(key, (cell.classes, np.zeros_like(cell.confusion)))[1]
            found[key] = cell.classes, before + cell.confusion
    return found


def figures_of(cells: Sequence[PaperCell], row: str = OURS) -> Figures:
    """Draw the figures that the cells allow.

    Args:
        cells: the cells.
        row: name of the row whose confusions are drawn.

    Returns:
        ``figure-3.png``, ``figure-4-SOURCE-TRUNK.png`` and likewise 5 as numbered in the paper; the confusions on other
        targets; ``critical-difference.png``.
    """
    figures: Figures = {}
    labelled = {cell.target: cell.labelled for cell in cells}
    labelled = {name: counts for name, counts in labelled.items() if sum(counts.values())}
    if labelled:
        classes = list(dict.fromkeys(name for counts in labelled.values() for name in counts))
        figures["figure-3.png"] = shares_png(labelled, classes)
    numbers = {figure.data_set: figure.number for figure in CONFUSIONS}
    for (source, target, trunk), (classes_, counts) in confusions_of(cells, row).items():
        kind = f"figure-{numbers[target]}" if target in numbers else f"confusion-{slug(target)}"
        png = confusion_png(counts, classes_, title=f"{row}, {source} to {target}", subtitle=trunk)
        figures[f"{kind}-{slug(source)}-{slug(trunk)}.png"] = png
    ranked = overall_ranking(cells)
    if ranked is not None:
        names, ranking = ranked
        figures["critical-difference.png"] = critical_difference_png(names, ranking, title="All measured columns")
    return figures


def most_confused(counts: NDArray[np.int64]) -> tuple[int, int, float]:
    """Return the pair of classes with the largest share of a row off the diagonal.

    Args:
        counts: ``(K, K)``; row = true class.

    Returns:
        True class, predicted class, and the share of the true class's faces, 0..1.

    Example:
        >>> most_confused(np.array([[8, 2], [5, 5]]))
        (1, 0, 0.5)
    """
    totals = counts.sum(1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    np.fill_diagonal(shares, -1.0)
    true, predicted = np.unravel_index(int(shares.argmax()), shares.shape)
    return int(true), int(predicted), float(max(shares[true, predicted], 0.0))


def discussion(cells: Sequence[PaperCell], row: str = OURS) -> str:
    """Return a paragraph on what the measured cells of a row show: accuracies, confusions, and the paper's claims.

    Args:
        cells: the cells.
        row: name of the row.

    Returns:
        Sentences; empty where the row was not measured.
    """
    found = confusions_of(cells, row)
    if not found:
        return ""
    sentences = []
    for (source, target, trunk), (classes, counts) in found.items():
        accuracy = 100 * np.trace(counts) / max(counts.sum(), 1)
        true, predicted, share = most_confused(counts)
        recalls = np.diag(counts) / np.maximum(counts.sum(1), 1)
        best = int(recalls.argmax())
        text = f"From {source} to {target} ({trunk}) {row} classifies {accuracy:.1f} % of the faces correctly; "
        text += f"{classes[best]} is recognised best ({100 * recalls[best]:.0f} %), and {classes[true]} is most often "
        text += f"taken for {classes[predicted]} ({100 * share:.0f} %)."
        claim = next(
            (
                printed.row(OURS).figures[printed.targets.index(target)]
                for printed in TABLES
                if (printed.source, printed.trunk) == (source, trunk) and target in printed.targets
            ),
            None,
        )
        if claim is not None and row == OURS:
            text += f" The paper prints {claim:.2f} %, a difference of {claim - accuracy:+.1f} points."
        sentences.append(text)
    pairs: dict[tuple[str, str], int] = {}
    for classes, counts in found.values():
        true, predicted, _ = most_confused(counts)
        pairs[classes[true], classes[predicted]] = pairs.get((classes[true], classes[predicted]), 0) + 1
    (true_name, predicted_name), times = max(pairs.items(), key=lambda item: item[1])
    if len(found) > 1:
        sentences.append(
            f"In {times} of {len(found)} columns {true_name} taken for {predicted_name} is the largest confusion."
        )
    eight = [figure for figure in CONFUSIONS for key in found if key[1] == figure.data_set]
    for figure in dict.fromkeys(eight):
        own = {len(classes) for key, (classes, _) in found.items() if key[1] == figure.data_set}
        sentences.append(
            f"The paper's Figure {figure.number} is said to show {figure.categories} categories of {figure.data_set}; "
            f"measured here are {' and '.join(map(str, sorted(own)))}."
        )
    return " ".join(sentences)
