"""Draw the plot of a benchmark from its cells.

    python experiments/publish.py experiments/cross_domain.toml docs/results/cross_domain

Reads the plan and ``cells.parquet`` of the folder and writes ``plot.png`` beside it: one panel for each target (with a
single target one for each further test set too), one line for each method, one dot for each seed. The colour says what
the training of the method sees of the target.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pyarrow.parquet as parquet

mpl.use("Agg")
import matplotlib.pyplot as plt

COLOURS = {"nothing": "#7f7f7f", "statistics": "#e08214", "images": "#2166ac"}
NO_TARGET = ("source_only", "cf_dan", "scn", "ran", "efficientface", "csg")


def sees(run: dict[str, Any]) -> str:
    """Return what the training of a run sees of the target."""
    method = run["settings"]["method"]
    return "nothing" if method in NO_TARGET else "statistics" if method == "adabn" else "images"


def draw(plan: dict[str, Any], folder: Path) -> None:
    """Draw the accuracy of every method of a plan on its test sets."""
    columns = ["cell", "test", "key", "accuracy", "run"]
    rows = parquet.read_table(folder / "cells.parquet", columns=columns).to_pylist()
    seen = {row["key"]: sees(json.loads(row["run"])) for row in rows if row["run"]}
    methods = {entry["key"]: entry["name"] for entry in plan["methods"]}
    tests = [target["name"] for target in plan["targets"]]
    tests += [test["name"] for test in plan.get("also", ())] if len(tests) == 1 else []
    order = list(methods)[::-1]
    figure, axes = plt.subplots(
        1, len(tests), figsize=(10, 1.1 + 0.24 * len(order)), sharey=True, squeeze=False, layout="constrained"
    )
    for axis, test in zip(axes[0], tests, strict=True):
        for row in rows:
            if row["test"] == test and row["key"] in methods:
                colour = COLOURS[seen[row["key"]]]
                axis.plot(100 * row["accuracy"], order.index(row["key"]), "o", ms=4, alpha=0.75, color=colour)
        axis.set_title(test, fontsize=9)
        axis.set_yticks(range(len(order)), [methods[key] for key in order], fontsize=8)
        axis.tick_params(axis="x", labelsize=8)
        axis.grid(alpha=0.3)
    for label, colour in COLOURS.items():
        axes[0, 0].plot([], [], "o", ms=4, color=colour, label=label)
    figure.supxlabel("accuracy on the test set, %; one dot for each seed", fontsize=9)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        title="training sees of the target",
        ncols=3,
        loc="outside upper center",
        fontsize=8,
        title_fontsize=8,
    )
    figure.savefig(folder / "plot.png", dpi=110, metadata={"Software": None})


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", type=Path, help="the plan of the benchmark, TOML")
    parser.add_argument("folder", type=Path, help="folder of cells.parquet")
    given = parser.parse_args()
    draw(tomllib.loads(given.plan.read_text(encoding="utf-8")), given.folder)


if __name__ == "__main__":
    main()
