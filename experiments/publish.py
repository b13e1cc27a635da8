"""Draw the plot of a benchmark from its cells.

    python experiments/publish.py experiments/cross_domain.toml docs/results/cross_domain

``dcdan benchmark`` draws the same plot. This program needs no data and no run: it reads the plan and ``cells.parquet``
of the folder and writes ``plot.png`` beside it. There is one panel for each target (with a single target one for each
further test set too), one line for each method and one dot for each seed. The colour says what the training of the
method sees of the target.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

from dcdan.plots.accuracies import accuracies_png

NO_TARGET = ("source_only", "cf_dan", "scn", "ran", "efficientface", "csg")


def sees(run: dict[str, Any]) -> str:
    """Return what the training of a run sees of the target."""
    method = run["settings"]["method"]
    return "no" if method in NO_TARGET else "statistics" if method == "adabn" else "images"


def draw(plan: dict[str, Any], folder: Path) -> None:
    """Draw the accuracy of every method of a plan on its test sets."""
    columns = ["cell", "test", "key", "accuracy", "run"]
    rows = parquet.read_table(folder / "cells.parquet", columns=columns).to_pylist()
    seen = {row["key"]: sees(json.loads(row["run"])) for row in rows if row["run"]}
    tests = [target["name"] for target in plan["targets"]]
    tests += [test["name"] for test in plan.get("also", ())] if len(tests) == 1 else []
    panels = {
        test: {
            entry["name"]: [row["accuracy"] for row in rows if (row["test"], row["key"]) == (test, entry["key"])]
            for entry in plan["methods"]
        }
        for test in tests
    }
    png = accuracies_png(panels, {entry["name"]: seen[entry["key"]] for entry in plan["methods"]})
    (folder / "plot.png").write_bytes(png)


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", type=Path, help="the plan of the benchmark, TOML")
    parser.add_argument("folder", type=Path, help="folder of cells.parquet")
    given = parser.parse_args()
    draw(tomllib.loads(given.plan.read_text(encoding="utf-8")), given.folder)


if __name__ == "__main__":
    main()
