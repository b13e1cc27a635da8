"""Duplicate images within and between FERPlus and LFW expressions, as ``dcdan data check`` finds them.

    python experiments/doubles.py --ferplus data/FERPlus --lfw data/facial_expressions

Writes to ``docs/results/doubles``: ``cells.parquet`` (one row for each pair; the counts of images and the checksum of
the label files stand in its metadata), ``table.csv`` (pairs by place and kind) and ``plot.png``. Takes half a minute of
one core. Pairs of a name with itself are rows that a label file holds twice; they are of the kind ``listed twice``.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pyarrow as arrow
import pyarrow.parquet as parquet

mpl.use("Agg")
import matplotlib.pyplot as plt

OUT = Path(__file__).parents[1] / "docs" / "results" / "doubles"
TEXTS = ("kind", "place", "path", "split", "label", "other_path", "other_split", "other_label")
SUM = "all"
KINDS = ("listed twice", "exact", "near", "mirrored")
LABEL_FILES = {"ferplus": "fer2013new.csv", "lfw": "data/legend.csv"}


def checked(spec: str, against: str | None) -> dict[str, Any]:
    """Return what ``dcdan data check --json`` reports of a data set."""
    command = [sys.executable, "-m", "dcdan", "data", "check", spec, "--json", "--quiet", "--workers", "1"]
    command += ["--against", against] if against else []
    found: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return found


def pairs(name: str, report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of one check; of a check against another set, those between the two."""
    rows = report["leaks"] if report["against"] else report["doubles"]
    found = []
    for row in rows:
        twice = row["path"] == row["other_path"] and not report["against"]
        found.append(
            {"check": name, "distance": row["distance"], "group": row["group"]}
            | {text: row[text] for text in TEXTS}
            | ({"kind": "listed twice"} if twice else {})
        )
    return found


def images_of(report: dict[str, Any]) -> dict[str, int]:
    """Return the number of images in each split."""
    counts: Counter[str] = Counter()
    for line in report["counts"]:
        # The report also has a line with the sum of each split, which would count every image twice.
        if line["split"] and line["name"] != SUM:
            counts[line["split"]] += line["read"]
    return dict(counts)


def table_of(rows: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    """Return the pairs of FERPlus by place and kind, with the number that has two different labels."""
    own = [row for row in rows if row["check"] == "ferplus, arg-max"]
    places = sorted({row["place"] for row in own}, key=lambda place: (" - " in place, place))
    lines: list[tuple[object, ...]] = []
    for place in [*places, "all"]:
        here = [row for row in own if place in (row["place"], "all")]
        kinds = Counter(row["kind"] for row in here)
        differing = sum(row["label"] != row["other_label"] for row in here)
        lines.append((place, *(kinds[kind] for kind in KINDS), differing))
    return lines


def main() -> None:
    """Check the data sets and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ferplus", required=True, help="folder of FERPlus")
    parser.add_argument("--lfw", required=True, help="folder of LFW expressions")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    argmax, lfw = f"ferplus:{given.ferplus}?votes=argmax", f"lfw_expressions:{given.lfw}"
    checks = {
        "ferplus, arg-max": (argmax, None),
        "ferplus, majority": (f"ferplus:{given.ferplus}", None),
        "lfw": (lfw, None),
        "lfw against ferplus": (lfw, argmax),
        "ferplus against lfw": (argmax, lfw),
    }
    rows: list[dict[str, Any]] = []
    sets = {}
    for name, (spec, against) in checks.items():
        report = checked(spec, against)
        rows += pairs(name, report)
        sets[name] = {"images": images_of(report), "left out": report["skipped"], "statuses": report["statuses"]}
        print(f"{name}: {report['images']} images, {len(rows)} pairs so far", flush=True)
    label_files = {
        name: hashlib.sha256((Path(folder) / LABEL_FILES[name]).read_bytes()).hexdigest()
        for name, folder in (("ferplus", given.ferplus), ("lfw", given.lfw))
    }
    fields = [("check", arrow.string()), ("distance", arrow.int8()), ("group", arrow.int32())]
    schema = arrow.schema([*fields, *((text, arrow.string()) for text in TEXTS)])
    schema = schema.with_metadata({"sets": json.dumps(sets), "label files": json.dumps(label_files)})
    given.out.mkdir(parents=True, exist_ok=True)
    parquet.write_table(
        arrow.Table.from_pylist(rows, schema=schema), given.out / "cells.parquet", compression="zstd",
        compression_level=19,
    )  # fmt: skip
    lines = table_of(rows)
    with (given.out / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("pairs", *KINDS, "with two labels"))
        writer.writerows(lines)
    figure, axis = plt.subplots(figsize=(7, 2.6), layout="constrained")
    left = [0] * (len(lines) - 1)
    for number, kind in enumerate(KINDS, 1):
        values = [int(str(line[number])) for line in lines[:-1]]
        axis.barh([str(line[0]) for line in lines[:-1]], values, left=left, label=kind)
        left = [a + b for a, b in zip(left, values, strict=True)]
    axis.invert_yaxis()
    axis.set_xlabel("pairs of duplicate images in FERPlus (arg-max of the votes)")
    axis.legend(fontsize=8)
    figure.savefig(given.out / "plot.png", dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
