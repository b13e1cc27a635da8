"""Does `dcdan evaluate --by` find a planted bias, and what does it find by quality of the faces?

``python experiments/fairness.py --ferplus PACK --lfw PACK [--model MODEL]``

PACK is a pack of faces of the model's size (``dcdan pack``). Written to docs/results/fairness are ``cells.parquet``
(one row for each draw of the planted bias, and one for each group of faces), ``table.md`` and ``plot.png``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet

import dcdan
from dcdan.core.atomic_io import atomic_write, write_bytes, write_text
from dcdan.evaluation.groups import ALPHA, QUALITIES
from dcdan.evaluation.report import Report
from dcdan.metrics.groups import largest_gap
from dcdan.plots.groups import GroupBar, groups_png

DRAWS, FACES, GAP = 100, 200, 0.15
BASES = (0.95, 0.9, 0.85, 0.8, 0.75)
OUT = Path(__file__).parents[1] / "docs" / "results" / "fairness"


def planted() -> list[dict[str, Any]]:
    """Simulate answers: one of two or four groups is less accurate by 15 points, or none is."""
    rows = []
    for count in (2, 4):
        for base in BASES:
            for gap in (0.0, GAP):
                for draw in range(DRAWS):
                    rng = np.random.default_rng([count, round(100 * base), round(100 * gap), draw])
                    rates = np.full(count, base)
                    rates[-1] -= gap
                    correct = rng.random((count, FACES)) < rates[:, None]
                    names = np.repeat([f"group {number}" for number in range(count)], FACES)
                    found = largest_gap(correct.ravel(), names, seed=draw)
                    assert found is not None
                    rows.append(
                        {"kind": "planted", "groups": count, "base": base, "gap": gap, "draw": draw, "p": found.p_value}
                    )
    return rows


def by_quality(name: str, report: Report) -> list[dict[str, Any]]:
    """Return a row for each group of a report."""
    rows = []
    for column in report.by:
        assert column.gap is not None
        after = {each.name: each for each in column.mitigations}
        for each in column.scores:
            rows.append(
                {
                    "kind": "quality",
                    "data": name,
                    "column": column.column,
                    "group": each.name,
                    "faces": each.faces,
                    "correct": int(np.trace(each.confusion)),
                    "confusion": each.confusion.ravel().tolist(),
                    "ece": each.calibration_error,
                    "p": column.gap.p_value,
                    "p_holm": column.p_corrected,
                    **{
                        f"{kind}_{what}_{when}": getattr(after[kind], what)[place]
                        for kind in after
                        for what in ("gap", "accuracy", "answered")
                        for place, when in enumerate(("before", "after"))
                    },
                }
            )
    return rows


def table(rows: list[tuple[str, ...]]) -> str:
    """Return rows, the first of which is the head, in Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" + "|---:" * (len(rows[0]) - 1) + "|", *lines[1:]])


def planted_table(rows: list[dict[str, Any]]) -> str:
    """Return in how many of the draws a difference was found."""
    lines: list[tuple[str, ...]] = [("groups, accuracy", "found at a gap of 15 points", "false alarms without")]
    for count in (2, 4):
        for base in BASES:
            own = [row for row in rows if row["groups"] == count and row["base"] == base]
            found, alarms = (
                sum(row["p"] < ALPHA for row in own if (row["gap"] > 0) == biased) for biased in (True, False)
            )
            lines.append((f"{count}, {100 * base:.0f} %", f"{found} of {DRAWS}", f"{alarms} of {DRAWS}"))
    alarms = sum(row["p"] < ALPHA for row in rows if not row["gap"])
    lines.append(("all", "", f"{alarms} of {2 * len(BASES) * DRAWS}"))
    return table(lines)


def quality_table(rows: list[dict[str, Any]]) -> str:
    """Return the accuracy of each group."""
    lines: list[tuple[str, ...]] = [("data, column", "group", "faces", "accuracy", "ECE", "p (Holm)")]
    for row in rows:
        lines.append(
            (
                f"{row['data']}, {row['column']}",
                row["group"],
                f"{row['faces']}",
                f"{100 * row['correct'] / row['faces']:.1f}",
                f"{row['ece']:.3f}",
                f"{row['p_holm']:.4f}",
            )
        )
    return table(lines)


def correction_table(rows: list[dict[str, Any]]) -> str:
    """Return what corrections by group change on the half that they were not fitted on."""
    lines: list[tuple[str, ...]] = [
        ("data, column", "gap, offsets", "accuracy, offsets", "gap, thresholds", "answered, thresholds")
    ]
    seen = set()
    for row in rows:
        key = f"{row['data']}, {row['column']}"
        if key in seen or row.get("offsets_gap_before") is None:
            continue
        seen.add(key)
        cells = [
            f"{100 * row[f'{kind}_{what}_before']:.1f} -> {100 * row[f'{kind}_{what}_after']:.1f}"
            for kind, what in (
                ("offsets", "gap"),
                ("offsets", "accuracy"),
                ("thresholds", "gap"),
                ("thresholds", "answered"),
            )
        ]
        lines.append((key, *cells))
    return table(lines)


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ferplus", required=True, help="pack of FERPlus")
    parser.add_argument("--lfw", required=True, help="pack of LFW expressions")
    parser.add_argument("--model", help="a model; the default one without it")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    simulated = planted()
    recogniser = dcdan.load(given.model, threads=given.threads, align="none")
    reports = {
        name: dcdan.evaluate(recogniser, pack, split="test", by=list(QUALITIES))
        for name, pack in (("FERPlus", given.ferplus), ("LFW", given.lfw))
    }
    real = [row for name, report in reports.items() for row in by_quality(name, report)]
    versions = {name: report.provenance for name, report in reports.items()}
    names = list(dict.fromkeys(name for row in (*simulated, *real) for name in row))
    rows = arrow.Table.from_pylist([{name: row.get(name) for name in names} for row in (*simulated, *real)])
    rows = rows.replace_schema_metadata({"provenance": json.dumps(versions)})
    given.out.mkdir(parents=True, exist_ok=True)
    with atomic_write(given.out / "cells.parquet") as beside:
        parquet.write_table(rows, beside, compression="zstd")
    parts = {"Planted bias": planted_table(simulated), "By quality": quality_table(real)}
    parts["Corrections by group"] = correction_table(real)
    write_text(given.out / "table.md", "\n".join(f"## {title}\n\n{text}\n" for title, text in parts.items()))
    panels = {
        f"{name}, by {column.column}": [
            GroupBar(each.name, each.faces, each.accuracy, each.interval, each.few) for each in column.scores
        ]
        for name, report in reports.items()
        for column in report.by
    }
    total = sum(report.images for report in reports.values())
    overall = sum(report.accuracy * report.images for report in reports.values()) / total
    write_bytes(given.out / "plot.png", groups_png(panels, overall=overall, title="Accuracy by quality of the faces"))


if __name__ == "__main__":
    main()
