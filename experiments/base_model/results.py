"""Write the table, the plot and the raw values of the base model: ``python experiments/base_model/results.py``.

Reads what ``../bundle.py`` measured of the models of the package
(docs/results/base_model/*.json), and writes the tables of docs/results/base_model/README.md between its marks.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dcdan.reports.text_table import Table

RESULTS = Path(__file__).parents[2] / "docs" / "results" / "base_model"
MODELS = ("base", "small")
SHIFTS = ("blur", "noise", "low light", "occlusion")
BEGIN, END = "<!-- tables -->", "<!-- end of tables -->"


def measured(name: str) -> dict[str, dict[str, dict[str, float]]]:
    """Return test -> precision -> scores of a model."""
    found: dict[str, dict[str, dict[str, float]]] = json.loads((RESULTS / f"{name}.json").read_text())["tests"]
    return found


def mean_over_shifts(tests: dict[str, dict[str, dict[str, float]]], severity: int, key: str) -> float:
    """Return the mean of a score over the four known shifts."""
    return float(np.mean([tests[f"FERPlus, {name} {severity}"]["fp32"][key] for name in SHIFTS]))


def rows(name: str) -> dict[str, tuple[float, float, float]]:
    """Return accuracy, mean recall and calibration error of a model by test, with the means over the shifts."""
    tests = measured(name)
    keys = ("accuracy", "uar", "ece")
    found = {test: tuple(pair["fp32"][key] for key in keys) for test, pair in tests.items()}
    for severity in (3, 5):
        found[f"mean of four shifts, severity {severity}"] = tuple(
            mean_over_shifts(tests, severity, key) for key in keys
        )
    return found  # type: ignore[return-value]


def table() -> Table:
    """Return the table of all models by test."""
    by_model = {name: rows(name) for name in MODELS if (RESULTS / f"{name}.json").is_file()}
    body = [
        (test, *(f"{100 * a:.1f} / {u:.3f} / {e:.3f}" for a, u, e in (found[test] for found in by_model.values())))
        for test in next(iter(by_model.values()))
    ]
    note = "Accuracy in per cent / mean recall / calibration error, fp32, test splits."
    return Table("Models of the package", ("test", *by_model), tuple(body), note)


def plot() -> bytes:
    """Draw accuracy by test, a group of bars for each test."""
    from io import BytesIO

    by_model = {name: rows(name) for name in MODELS if (RESULTS / f"{name}.json").is_file()}
    tests = list(next(iter(by_model.values())))
    figure = Figure(figsize=(9, 4.6), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    height = 0.8 / len(by_model)
    for number, ((name, found), colour) in enumerate(zip(by_model.items(), ("#1d4e89", "#9aa5b1"), strict=False)):
        places = np.arange(len(tests)) + number * height
        axes.barh(places, [100 * found[test][0] for test in tests], height, color=colour, label=name)
    axes.set_yticks(np.arange(len(tests)) + 0.4 - height / 2, tests, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(40, 95)
    axes.set_xlabel("accuracy in per cent")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    buffer = BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def main() -> None:
    """Write table and plot."""
    page = RESULTS / "README.md"
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n{table().markdown()}{END}{after}", encoding="utf-8")
    (RESULTS / "plot.png").write_bytes(plot())


if __name__ == "__main__":
    main()
