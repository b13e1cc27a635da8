"""Write table.csv and plot.png of docs/results/explain from its raw values.

python experiments/explain/report.py docs/results/explain
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import matplotlib as mpl
import numpy as np
from cells import ACTION, MAP, read_rows

mpl.use("Agg")
import matplotlib.pyplot as plt

from dcdan.explanation.faithfulness import scores
from dcdan.facial_actions import facial_action
from dcdan.inference.model_card import LEAST_CORRELATION

COLUMNS = ("kind", "name", "unit", "faces", "correlation", "deletion", "insertion", "largest_p")


def rows_of(folder: Path) -> list[dict[str, str]]:
    """Return the rows of the table: actions by falling correlation, then maps as they were measured."""
    empty = dict.fromkeys(COLUMNS, "")
    actions = []
    for name, (estimate, teacher) in read_rows(folder, ACTION).items():
        correlation = float(np.corrcoef(estimate, teacher)[0, 1])
        unit = facial_action(name).unit
        actions.append(
            empty
            | {
                "kind": ACTION,
                "name": name,
                "unit": unit,
                "faces": str(len(estimate)),
                "correlation": f"{correlation:.3f}",
            }
        )
    actions.sort(key=lambda row: -float(row["correlation"]))
    maps = []
    for name, score in scores(read_rows(folder, MAP)).items():
        worst = max(score.p_values.values(), default=None)
        maps.append(
            empty
            | {"kind": MAP, "name": name, "faces": str(score.faces), "deletion": f"{score.deletion:.4f}"}
            | {"insertion": f"{score.insertion:.4f}", "largest_p": "" if worst is None else f"{worst:.5f}"}
        )
    return actions + maps


def plot(rows: list[dict[str, str]], path: Path) -> None:
    """Draw the correlations as bars, and the maps as points of deletion and insertion."""
    actions = [row for row in rows if row["kind"] == ACTION]
    maps = [row for row in rows if row["kind"] == MAP]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 6), width_ratios=(1.2, 1), layout="constrained")
    values = [float(row["correlation"]) for row in actions]
    left.barh(
        [f"{row['name']} {row['unit']}".strip() for row in actions],
        values,
        color=["#1d4e89" if value >= LEAST_CORRELATION else "#b9c2cc" for value in values],
    )
    left.axvline(LEAST_CORRELATION, color="#e0a030")
    left.invert_yaxis()
    left.tick_params(axis="y", labelsize=7)
    left.set_xlabel("correlation with the teacher on held-out faces")
    for row in maps:
        x, y = float(row["deletion"]), float(row["insertion"])
        beaten = row["largest_p"] and float(row["largest_p"]) < 0.05
        right.scatter(x, y, color="#1d4e89" if beaten else "#b9c2cc")
        right.annotate(row["name"], (x, y), textcoords="offset points", xytext=(5, 4), fontsize=8)
    right.set_xlabel("area under the deletion curve (less is better)")
    right.set_ylabel("area under the insertion curve (more is better)")
    right.margins(0.2)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    rows = rows_of(folder)
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    plot(rows, folder / "plot.png")


if __name__ == "__main__":
    main()
