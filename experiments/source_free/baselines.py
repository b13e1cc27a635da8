"""All source-free methods on the same faces: accuracy and unweighted average recall against the model they start from.

    python experiments/source_free/baselines.py MODEL --lfw PACK --ferplus PACK --work WORK --out OUT

Cells are a set of faces x a seed, which draws the faces and their order. Sets: LFW test, and FERPlus validation under
mixed known shifts (each face has one of seven corruptions), at two sizes. Target labels are read only to score. A cell
that is done is not computed again, so that a stopped comparison goes on. Writes ``cells.parquet`` with the answers of
each face, ``table.csv`` and ``table.md``. ``--quick`` takes one size of 150 faces, one seed and a third of the passes.
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import torch
from numpy.typing import NDArray

from dcdan.core.atomic_io import atomic_write, sha256, write_text
from dcdan.corruptions.shifts import SHIFT_KINDS, Shift, shifted
from dcdan.datasets.reader import draw
from dcdan.export.source_free import probabilities_of
from dcdan.inference.resolver import resolve_model
from dcdan.methods.source_free.base import Context, source_free_methods
from dcdan.metrics.classification import accuracy, confusion_matrix, unweighted_average_recall
from dcdan.packs.pack import Pack
from dcdan.training.pretrained import network_of_model
from dcdan.training.source_free import AdaptSettings, adapt_network

START = "source model"
SIZES = (300, 1000)
QUICK = 150
SETS = ("LFW test", "FERPlus validation, mixed shifts")
SHORT = ("lfw", "ferplus")
SEVERITY = 4
COLUMNS = ("set", "faces", "seed", "method", "accuracy", "uar", "largest_share", "steps", "seconds", "warning")


def drawn(pack: Pack, split: str, size: int, seed: int) -> NDArray[np.int64]:
    """Return rows of labelled faces of a split in a random order."""
    rows = pack.select(split)
    rows = rows[pack.labels[rows] >= 0]
    chosen = draw(rows, size, seed)
    return np.random.default_rng(seed).permutation(chosen)


def mixed_shifts(pack: Pack, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return faces of which each has one of the known corruptions, chosen by its path."""
    faces = np.array(pack.faces[rows])
    paths, numbers = pack.paths[rows], pack.face_numbers[rows]
    kinds = np.array([zlib.crc32(f"{path} {number}".encode()) for path, number in zip(paths, numbers, strict=True)])
    for number, kind in enumerate(SHIFT_KINDS):
        own = np.flatnonzero(kinds % len(SHIFT_KINDS) == number)
        if len(own):
            faces[own] = shifted(
                faces[own], Shift(kind=kind, severity=SEVERITY), paths[own].tolist(), numbers[own].tolist()
            )
    return faces


def faces_of(name: str, packs: dict[str, Pack], size: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return faces and labels of a cell; the labels index the classes of the pack."""
    pack = packs[name]
    if name == SETS[0]:
        rows = drawn(pack, "test", size, seed)
        return np.array(pack.faces[rows]), pack.labels[rows]
    rows = drawn(pack, "validation", size, seed)
    return mixed_shifts(pack, rows), pack.labels[rows]


def scored(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> dict[str, Any]:
    """Return the scores of answers."""
    classes = probabilities.shape[1]
    answers = probabilities.argmax(1)
    table = confusion_matrix(labels, answers, classes)
    return {
        "accuracy": accuracy(table),
        "uar": unweighted_average_recall(table),
        "largest_share": float(np.bincount(answers, minlength=classes).max() / len(answers)),
        "answers": answers.astype(np.int8).tolist(),
        "labels": labels.astype(np.int8).tolist(),
    }


def one_cell(
    name: str, method: str, start: Any, info: Any, faces: NDArray[np.uint8], labels: NDArray[np.int64], seed: int,
    shorter: float,
) -> dict[str, Any]:  # fmt: skip
    """Adapt and score."""
    begun = time.process_time()
    network = copy.deepcopy(start)
    steps, warning = 0, ""
    if method == START:
        probabilities = probabilities_of(network, info, faces)
    else:
        kind = source_free_methods()[method]
        made = kind(kind.Settings(), network, Context(info.classes, len(faces)))
        passes = max(kind.recipe.passes * shorter, min(kind.recipe.passes, 1.0))
        done = adapt_network(network, faces, made, AdaptSettings(seed=seed, passes=passes, device="cpu"))
        steps, warning = done.steps, done.warning
        probabilities = probabilities_of(network, info, faces) if done.answers is None else np.exp(done.answers)
    cell = {"set": name, "faces": len(faces), "seed": seed, "method": method, "steps": steps, "warning": warning}
    return {**cell, **scored(probabilities, labels), "seconds": round(time.process_time() - begun, 1)}


def summary(cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each set, size and method: means over the seeds, and paired differences to the source model."""
    rows = []
    places = list(dict.fromkeys((cell["set"], cell["faces"]) for cell in cells))
    methods = list(dict.fromkeys(cell["method"] for cell in cells))
    for place in [*places, ("all cells", 0)]:
        inside = [cell for cell in cells if place[1] == 0 or (cell["set"], cell["faces"]) == place]
        start = {(cell["set"], cell["faces"], cell["seed"]): cell for cell in inside if cell["method"] == START}
        for method in methods:
            own = [cell for cell in inside if cell["method"] == method]
            pairs = [(cell, start[cell["set"], cell["faces"], cell["seed"]]) for cell in own]
            row: dict[str, Any] = {"set": place[0], "faces": place[1] or "", "method": method, "cells": len(own)}
            for score in ("accuracy", "uar"):
                gains = np.array([cell[score] - before[score] for cell, before in pairs])
                error = gains.std(ddof=1) / len(gains) ** 0.5 if len(gains) > 1 else np.nan
                row |= {score: np.mean([cell[score] for cell in own]), f"{score}_gain": gains.mean()}
                row[f"{score}_gain_error"] = error
            row["worse_by_a_point"] = np.mean([cell["accuracy"] < before["accuracy"] - 0.01 for cell, before in pairs])
            row["collapsed"] = sum(bool(cell["warning"]) for cell in own)
            row["seconds"] = np.mean([cell["seconds"] for cell in own])
            rows.append(row)
    return rows


def written(value: Any) -> str:
    """Return a cell of the table; shares in per cent."""
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{100 * value:.1f}"
    return str(value)


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of each set, the most accurate method first."""
    lines: list[str] = []
    for place in dict.fromkeys((row["set"], row["faces"]) for row in rows):
        inside = sorted((row for row in rows if (row["set"], row["faces"]) == place), key=lambda row: -row["accuracy"])
        title = f"{place[0]}, {place[1]:,} faces" if place[1] else place[0]
        lines += [f"### {title}", "", "| method | accuracy | gain | UAR | gain | worse by a point | seconds |"]
        lines += ["|---|---|---|---|---|---|---|"]
        for row in inside:
            gains = [
                f"{100 * row[f'{score}_gain']:+.1f}"
                + (f" ± {100 * row[f'{score}_gain_error']:.1f}" if not np.isnan(row[f"{score}_gain_error"]) else "")
                for score in ("accuracy", "uar")
            ]
            lines.append(
                f"| {row['method']} | {written(row['accuracy'])} | {gains[0]} | {written(row['uar'])} | {gains[1]} "
                f"| {written(row['worse_by_a_point'])} % | {row['seconds']:.0f} |"
            )
        lines.append("")
    return "\n".join(lines)


def write_results(out: Path, cells: Sequence[dict[str, Any]], model: Path) -> None:
    """Write the raw cells, the table and its text."""
    out.mkdir(parents=True, exist_ok=True)
    with atomic_write(out / "cells.parquet") as beside:
        table = arrow.Table.from_pylist(list(cells))
        table = table.replace_schema_metadata({"model": sha256(model / "model.safetensors")})
        parquet.write_table(table, beside)
    rows = summary(cells)
    with (out / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            text = {key: f"{value:.4f}" if isinstance(value, float) else value for key, value in row.items()}
            writer.writerow(text)
    write_text(out / "table.md", markdown(rows))
    write_plot(rows, out / "plot.png")


def write_plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the gain in accuracy of each method over the source model, a colour for each set and size."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [row for row in rows if row["faces"]]  # without means over sets
    sets = list(dict.fromkeys((row["set"], int(row["faces"])) for row in rows))
    methods = [name for name in dict.fromkeys(row["method"] for row in rows) if name != "source model"]
    figure = Figure(figsize=(7, 0.3 * len(methods) * len(sets) + 1.2), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for number, key in enumerate(sets):
        gains = {
            row["method"]: 100 * float(row["accuracy_gain"]) for row in rows if (row["set"], int(row["faces"])) == key
        }
        places = [place + number * 0.8 / len(sets) for place in range(len(methods))]
        axes.barh(
            places, [gains.get(name, 0.0) for name in methods], 0.8 / len(sets), label=f"{key[0]}, {key[1]} faces"
        )
    axes.axvline(0, color="#5f6b76", linewidth=0.8)
    axes.set_yticks(range(len(methods)), methods)
    axes.invert_yaxis()
    axes.set_xlabel("accuracy over the source model, points")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    FigureCanvasAgg(figure).print_png(str(path))


def main() -> None:
    """Compute what is missing and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--lfw", type=Path, required=True)
    parser.add_argument("--ferplus", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", choices=SHORT, default=SHORT)
    parser.add_argument("--methods", nargs="*")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    folder = resolve_model(options.model).folder
    start, info = network_of_model(folder)
    packs = {SETS[0]: Pack.open(options.lfw), SETS[1]: Pack.open(options.ferplus)}
    for pack in packs.values():
        assert pack.classes == info.classes, f"{pack.folder} has other classes than the model"
        assert pack.size == info.face.size, f"{pack.folder} has faces of {pack.size} pixels"
    sizes, seeds = ((QUICK,), 1) if options.quick else (options.sizes, options.seeds)
    names = [START, *(options.methods or source_free_methods())]
    key = f"{sha256(folder / 'model.safetensors')[:12]}{'-quick' if options.quick else ''}"
    work = options.work / key
    work.mkdir(parents=True, exist_ok=True)
    torch.use_deterministic_algorithms(True, warn_only=True)
    cells = []
    for name in (SETS[SHORT.index(short)] for short in options.sets):
        for size in sizes:
            for seed in range(seeds):
                faces, labels = faces_of(name, packs, size, seed)
                for method in names:
                    path = work / f"{SETS.index(name)}-{size}-{seed}-{method.replace(' ', '_')}.json"
                    if not path.is_file():
                        shorter = 1 / 3 if options.quick else 1.0
                        cell = one_cell(name, method, start, info, faces, labels, seed, shorter)
                        write_text(path, json.dumps(cell))
                        print(*(cell[column] for column in COLUMNS), flush=True)
                    cells.append(json.loads(path.read_text(encoding="utf-8")))
    write_results(options.out, cells, folder)
    print((options.out / "table.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
