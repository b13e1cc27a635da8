"""The grid of known shifts: fits the rule by which `dcdan adapt` decides without labels, and measures all decisions.

    python experiments/source_free/grid.py --ferplus packs/ferplus112m --lfw packs/lfw112 \
        --work runs/source_free --out docs/results/source_free [MODEL]

MODEL is a model of the package or a run folder; without it, the package's. Answers are cached in ``--work`` by the
model's checksum, so a second run needs no network. The rule is written to ``--rule`` (that of the package) and all
cells to ``--out``; ``tables.py`` makes the tables from them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet

sys.path.insert(0, str(Path(__file__).parents[2]))

from experiments.source_free import tables
from experiments.source_free.cells import (
    K,
    Reference,
    Target,
    accuracy,
    calibration_error,
    corrections,
    read_answers,
    scores,
    targets,
)
from experiments.source_free.fit import fitted
from experiments.source_free.predictions import CONDITIONS, Network, predict_condition

from dcdan.adaptation.decision import candidates, decide_without_labels
from dcdan.adaptation.groups import Grouping
from dcdan.adaptation.labelling import decide_with_labels
from dcdan.correction.estimators import atc_threshold
from dcdan.correction.fitted_rule import FittedRule, gain_scores
from dcdan.correction.labels import Labelled, draw_faces
from dcdan.inference.model_card import read_model_info
from dcdan.inference.resolver import model_folder
from dcdan.packs.pack import Pack

LABELLED_SIZES = (100, 300, 1000)
LABELS = 40
RULE = Path(__file__).parents[2] / "src" / "dcdan" / "correction" / "verdict_rule.json"
Row = dict


def predict(folder: Path, packs: dict[str, Pack], work: Path, faces: float) -> None:
    """Write the answers to all conditions that are not there yet, and the source's labels."""
    info = read_model_info(folder)
    rows = packs["ferplus"].select("validation")
    np.savez(work / "source_labels.npz", labels=np.asarray(packs["ferplus"].labels)[rows])
    network: Network | None = None
    for condition in CONDITIONS:
        file = work / f"{condition.name.replace(' ', '_')}.npz"
        if not file.exists():
            network = network or Network(folder)
            smaller = replace(condition, most=round(faces * condition.most))
            predict_condition(network, packs[condition.data], smaller, info.face.size, file)
            print(f"{condition.name}: done", flush=True)


def reference(work: Path, prior: np.ndarray) -> Reference:
    """Return what the model knows of its source: unshifted validation faces, weighted to their class shares."""
    answers = read_answers(work, "ferplus none")
    with np.load(work / "source_labels.npz") as file:
        every = file["labels"]
    z, labels = answers["chosen"], answers["labels"]
    weights = (np.bincount(every, minlength=K) / np.maximum(np.bincount(labels, minlength=K), 1))[labels]
    right = float(np.average(z.argmax(1) == labels, weights=weights))
    confidence = float(np.average(np.exp(z.max(1)), weights=weights))
    return Reference(prior, np.average(z, axis=0, weights=weights), confidence, right, atc_threshold(z, right))


def correction_rows(target: Target, known: Reference) -> list[Row]:
    """Return accuracy, gain, calibration and scores of every correction on one cell."""
    before = accuracy(target.z, target.labels)
    return [
        target.key
        | {
            "kind": "correction",
            "correction": name,
            "accuracy": accuracy(way, target.labels),
            "gain": accuracy(way, target.labels) - before,
            "calibration_error": calibration_error(way, target.labels),
            "scores": scores(target, way, known),
            "gain scores": gain_scores(target.z, way, target.shares),
        }
        for name, way in corrections(target, known).items()
    ]


def grouping(target: Target) -> Grouping:
    """Return what a careful user would say of the groups."""
    return {"none": Grouping.NONE, "alike": Grouping.ALIKE}.get(str(target.key["groups"]), Grouping.AUTO)


def decision_rows(target: Target, classes: tuple[str, ...], prior: np.ndarray, rule: FittedRule) -> list[Row]:
    """Return what the package decides on one cell without labels, with shares declared and with nothing declared."""
    rows = []
    before = accuracy(target.z, target.labels)
    for mode, shares in (("declared", target.shares), ("nothing declared", None)):
        found = candidates(target.z, classes, target.groups, grouping(target), shares, prior)
        verdict, kept, _ = decide_without_labels(target.z, classes, found, grouping(target), len(target.labels), rule)
        after = accuracy(kept.log_probabilities, target.labels)
        rows.append(
            target.key
            | {
                "kind": "decision",
                "mode": mode,
                "answer": verdict.answer.value,
                "model": verdict.model,
                "accuracy": after,
                "gain": after - before,
                "estimate": verdict.estimate.value,
                "low": verdict.estimate.low,
                "high": verdict.estimate.high,
                "calibration_error_before": calibration_error(target.z, target.labels),
                "calibration_error": calibration_error(kept.log_probabilities, target.labels),
            }
        )
    return rows


def label_row(target: Target, classes: tuple[str, ...], prior: np.ndarray, rule: FittedRule, draws: int) -> Row:
    """Return what labels of 40 faces lead to on one cell, over so many draws."""
    z, y = target.z, target.labels
    before = accuracy(z, y)
    found = candidates(z, classes, target.groups, grouping(target), None, prior)
    gains, held, held_after, errors, used = [], [], [], [], []
    for draw in range(draws):
        sample = draw_faces(z.argmax(1), K, LABELS, 1000 * int(target.key["seed"]) + draw)
        outcome = decide_with_labels(z, classes, found, Labelled(sample, y[sample.rows]), rule)
        verdict, kept, _ = outcome.decision
        after = accuracy(kept.log_probabilities, y)
        gains.append(after - before)
        measured = outcome.accuracy["source"]
        held.append(measured.low <= before <= measured.high)
        held_after.append(verdict.estimate.low <= after <= verdict.estimate.high)
        errors.append(calibration_error(kept.log_probabilities, y))
        used.append(verdict.model)
    return target.key | {
        "kind": "labels",
        "draws": draws,
        "before": before,
        "accuracy": before + float(np.mean(gains)),
        "gain": float(np.mean(gains)),
        "harmed_draws": float(np.mean(np.array(gains) < -0.01)),
        "holds": float(np.mean(held)),
        "holds_after": float(np.mean(held_after)),
        "calibration_error": float(np.mean(errors)),
        "changed_model": float(np.mean([name != "source" for name in used])),
    }


def flat(row: Row) -> Row:
    """Return a row without dictionaries, for Parquet: real numbers as float32."""
    found: Row = {}
    for key, value in row.items():
        if isinstance(value, dict):
            found |= {f"{key.removesuffix('s')}: {name}": round(float(each), 5) for name, each in value.items()}
        else:
            found[key] = round(value, 5) if isinstance(value, float) else value
    return found


def write(rows: list[Row], out: Path, metadata: dict) -> None:
    """Write all rows to one Parquet file."""
    flattened = [flat(row) for row in rows]
    columns = {}
    for key in dict.fromkeys(key for row in flattened for key in row):
        values = [row.get(key) for row in flattened]
        real = any(isinstance(value, float) for value in values)
        columns[key] = arrow.array(values, arrow.float32()) if real else arrow.array(values)
    table = arrow.table(columns).replace_schema_metadata({"grid": json.dumps(metadata)})
    parquet.write_table(table, out / "cells.parquet", compression="zstd", compression_level=19)


def main() -> None:
    """Read the command line, predict what is missing, measure, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="", help="a model of the package or a run folder")
    parser.add_argument("--ferplus", type=Path, required=True, help="pack of FERPlus (majority labels)")
    parser.add_argument("--lfw", type=Path, required=True, help="pack of LFW expressions")
    parser.add_argument("--work", type=Path, required=True, help="folder for cached answers")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--rule", type=Path, default=RULE, help="where the rule is written")
    parser.add_argument("--faces", type=float, default=0.6, help="share of the faces of each condition")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--draws", type=int, default=51, help="draws of 40 labels for each cell, over all seeds")
    arguments = parser.parse_args()
    begun = time.monotonic()
    folder = model_folder(arguments.model or None)
    info = read_model_info(folder)
    work = arguments.work / info.files["model.onnx"][:16]
    for each in (work, arguments.out):
        each.mkdir(parents=True, exist_ok=True)
    packs = {"ferplus": Pack.open(arguments.ferplus), "lfw": Pack.open(arguments.lfw)}
    predict(folder, packs, work, arguments.faces)
    prior = np.array(info.class_prior)
    known = reference(work, prior)
    rows: list[Row] = []
    for target in targets(work, arguments.seeds):
        rows += correction_rows(target, known)
    print(f"{len(rows)} corrections after {time.monotonic() - begun:.0f} s", flush=True)
    metadata = {
        "model": info.name,
        "graph": info.files["model.onnx"][:16],
        "fitted on": sorted({row["condition"] for row in rows if row["role"] == "fit"}),
        "left out": sorted({row["condition"] for row in rows if row["role"] != "fit"}),
        "seeds": arguments.seeds,
        "command": "python experiments/source_free/grid.py",
        "held-out accuracy": round(known.accuracy, 4),
    }
    rule = fitted(rows, metadata)
    each_seed = max(1, round(arguments.draws / arguments.seeds))
    for target in targets(work, arguments.seeds):
        rows += decision_rows(target, info.classes, prior, rule)
        if target.key["faces"] in LABELLED_SIZES and target.key["groups"] == "none":
            rows.append(label_row(target, info.classes, prior, rule, each_seed))
    write(rows, arguments.out, metadata)
    arguments.rule.write_text(rule.model_dump_json(indent=1) + "\n", encoding="utf-8")
    tables.write_all(arguments.out)
    print(f"done after {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
