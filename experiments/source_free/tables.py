"""Tables and the plot of docs/results/source_free, all from ``cells.parquet``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pyarrow.parquet as parquet

Row = dict
ROLES = {"fit": "fitted shifts", "validate": "left-out shifts", "test": "LFW test"}
POINT = 0.01


def read(out: Path) -> list[Row]:
    """Return all rows of ``cells.parquet``."""
    return parquet.read_table(out / "cells.parquet").to_pylist()


def percent(values: Iterable[bool]) -> float:
    """Return the share of true values in per cent; NaN without any."""
    found = np.array(list(values), np.float64)
    return 100 * float(found.mean()) if len(found) else float("nan")


def mean(values: Iterable[float]) -> float:
    """Return 100 times the mean."""
    found = np.array(list(values), np.float64)
    return 100 * float(found.mean()) if len(found) else float("nan")


def shifted(row: Row) -> bool:
    """Return whether a cell's look or class shares are not the source's."""
    return row["condition"] != "ferplus none" or row["shares"] != "source"


def bars(rows: list[Row]) -> list[Row]:
    """Return the bars of the issue with what was measured: on fitted shifts, left-out shifts, LFW's test part."""
    found: list[Row] = []

    def add(bar: str, asked: str, measure) -> None:
        row: Row = {"bar": bar, "asked": asked}
        for role, title in ROLES.items():
            value = measure([each for each in rows if each["role"] == role])
            row[title] = "-" if np.isnan(value) else f"{value:.1f}"
        found.append(row)

    for mode, least in (("declared", "4"), ("nothing declared", "2.5")):

        def of(own: list[Row], mode: str = mode) -> list[Row]:
            return [row for row in own if row["kind"] == "decision" and row["mode"] == mode]

        add(f"{mode}: mean gain, shifted", f">= {least}", lambda own: mean(r["gain"] for r in of(own) if shifted(r)))
        add(f"{mode}: cells harmed, %", "<= 5", lambda own: percent(r["gain"] < -POINT for r in of(own)))
        add(
            f"{mode}: estimate within 5 points, %",
            ">= 80",
            lambda own: percent(abs(r["estimate"] - r["accuracy"]) <= 0.05 for r in of(own)),
        )
        add(
            f"{mode}: within 5 points, 100 faces or more, %",
            ">= 80",
            lambda own: percent(abs(r["estimate"] - r["accuracy"]) <= 0.05 for r in of(own) if r["faces"] >= 100),
        )
        add(
            f"{mode}: 95 % interval holds the accuracy, %",
            "93 to 97",
            lambda own: percent(r["low"] <= r["accuracy"] <= r["high"] for r in of(own)),
        )
        add(
            f"{mode}: calibration error <= .10, %",
            ">= 90",
            lambda own: percent(r["calibration_error"] <= 0.10 for r in of(own)),
        )
        add(
            f"{mode}: calibration, 100 faces or more, %",
            ">= 90",
            lambda own: percent(r["calibration_error"] <= 0.10 for r in of(own) if r["faces"] >= 100),
        )
        add(
            f"{mode}: unshifted, keep or cannot tell, %",
            ">= 95",
            lambda own: percent(r["answer"] != "use it" for r in of(own) if not shifted(r)),
        )
        add(f"{mode}: use it, %", "", lambda own: percent(r["answer"] == "use it" for r in of(own)))

    def labelled(own: list[Row]) -> list[Row]:
        return [row for row in own if row["kind"] == "labels"]

    add("40 labels: mean gain, shifted", ">= 6", lambda own: mean(r["gain"] for r in labelled(own) if shifted(r)))
    add(
        "40 labels: mean gain, other class shares",
        "",
        lambda own: mean(r["gain"] for r in labelled(own) if r["shares"] != "source"),
    )
    add("40 labels: cells harmed, %", "<= 2", lambda own: percent(r["gain"] < -POINT for r in labelled(own)))
    add("40 labels: draws harmed, %", "<= 6", lambda own: mean(r["harmed_draws"] for r in labelled(own)))
    add(
        "40 labels: interval of the old model holds, %", "93 to 97", lambda own: mean(r["holds"] for r in labelled(own))
    )
    add("40 labels: interval of the new model holds, %", "", lambda own: mean(r["holds_after"] for r in labelled(own)))
    add(
        "40 labels: calibration error <= .10, %",
        ">= 90",
        lambda own: percent(r["calibration_error"] <= 0.10 for r in labelled(own)),
    )
    return found


def corrections(rows: list[Row]) -> list[Row]:
    """Return gain and harm of every correction were it always used, by class shares."""
    found = []
    own = [row for row in rows if row["kind"] == "correction"]
    for groups in ("none", "alike", "own mix"):
        for name in dict.fromkeys(row["correction"] for row in own):
            some = [row for row in own if row["correction"] == name and row["groups"] == groups]
            if not some or name == "source":
                continue
            row: Row = {"groups": groups, "correction": name}
            for mix in ("source", "uniform", "heavy"):
                gains = [each["gain"] for each in some if each["shares"] == mix]
                row[f"gain, {mix} shares"] = f"{mean(gains):+.1f}"
            row["cells harmed, %"] = f"{percent(each['gain'] < -POINT for each in some):.1f}"
            found.append(row)
    return found


def estimators(rows: list[Row]) -> list[Row]:
    """Return the error of a straight line from each score to the accuracy of the source model, on left-out shifts."""
    own = [row for row in rows if row["kind"] == "correction" and row["correction"] == "source"]
    fit = [row for row in own if row["role"] == "fit"]
    names = [name for name in own[0] if name.startswith("score: ") and own[0][name] is not None]
    found = []
    for name in names:
        x, y = (np.array([row[key] for row in fit], np.float64) for key in (name, "accuracy"))
        slope, intercept = np.polyfit(x, y, 1)
        row: Row = {"estimator": name.removeprefix("score: ")}
        for role, title in ROLES.items():
            error = np.array([slope * r[name] + intercept - r["accuracy"] for r in own if r["role"] == role])
            row[f"{title}: root mean square error"] = f"{100 * np.sqrt(np.mean(error**2)):.1f}"
            row[f"{title}: within 5 points, %"] = f"{percent(np.abs(error) <= 0.05):.0f}"
        found.append(row)
    return found


def worst(rows: list[Row], count: int = 8) -> list[Row]:
    """Return the cells that lose most by a decision without labels."""
    own = sorted((row for row in rows if row["kind"] == "decision"), key=lambda row: row["gain"])[:count]
    keys = ("condition", "shares", "faces", "groups", "mode", "model")
    return [{key: row[key] for key in keys} | {"gain": f"{100 * row['gain']:+.1f}"} for row in own]


def markdown(rows: list[Row]) -> str:
    """Return rows as a table of Markdown."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    return "\n".join(lines + ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in rows]) + "\n"


def plot(rows: list[Row], file: Path) -> None:
    """Draw estimated against true accuracy of the model that predicts, on shifts left out of the fit."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained", sharey=True)
    for axis, mode in zip(axes, ("declared", "nothing declared"), strict=True):
        for role, colour in (("validate", "#31688e"), ("test", "#d1495b")):
            own = [row for row in rows if row["kind"] == "decision" and row["mode"] == mode and row["role"] == role]
            x, y = ([100 * row[key] for row in own] for key in ("estimate", "accuracy"))
            axis.plot(x, y, "o", markersize=3, alpha=0.6, color=colour, label=ROLES[role])
        axis.plot([30, 100], [30, 100], color="0.6", linewidth=0.8)
        axis.set(title=mode, xlabel="estimated accuracy, %", xlim=(30, 100), ylim=(30, 100))
    axes[0].set_ylabel("true accuracy, %")
    axes[0].legend()
    figure.savefig(file, dpi=110)
    plt.close(figure)


def text(rows: list[Row]) -> dict[str, str]:
    """Return all tables by name."""
    return {
        "bars": markdown(bars(rows)),
        "corrections": markdown(corrections(rows)),
        "estimators": markdown(estimators(rows)),
        "worst": markdown(worst(rows)),
    }


def write_all(out: Path) -> None:
    """Write the plot, and print the tables; those of README.md are replaced where it has their marks."""
    rows = read(out)
    plot(rows, out / "plot.png")
    readme = out / "README.md"
    page = readme.read_text(encoding="utf-8") if readme.exists() else ""
    for name, table in text(rows).items():
        print(f"\n{name}\n{table}")
        before, start, rest = page.partition(f"<!-- {name} -->\n")
        if start:
            page = before + start + "\n" + table + "\n" + rest[rest.index(f"<!-- end of {name} -->") :]
    if page:
        readme.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder of cells.parquet")
    write_all(parser.parse_args().out)
