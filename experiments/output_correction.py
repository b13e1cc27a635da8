"""What each correction of the output gains and harms, on faces of known shifts drawn to several class shares.

    python experiments/output_answers.py --ferplus packs/ferplus112 --lfw packs/lfw112 --work runs/output_answers
    python experiments/output_correction.py --work runs/output_answers --out docs/results/output_correction

The validation split of FERPlus is halved: one half says what the model knows of its source (mean probabilities, mean
log-probabilities, confusion matrix, accuracy), the other is the target. A draw takes n faces of a condition, class by
class with replacement, so that they have the wanted class shares; the true ones are what a user declares. No test face
is read. Writes ``cells.parquet``, ``table.csv`` and ``plot.png``, and prints all tables.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet

mpl.use("Agg")
import matplotlib.pyplot as plt

from dcdan.correction.arrays import group_means, log_softmax
from dcdan.correction.baselines import lame
from dcdan.correction.estimators import (
    all_scores,
    atc_threshold,
    confidence_score,
    fit_map,
    memory_distance_score,
    share_gap_score,
)
from dcdan.correction.labels import answered, correct_by_labels, draw_faces, fit_bias
from dcdan.correction.output import OutputSettings, centring_bias, corrected, group_offsets, prior_bias, sinkhorn
from dcdan.correction.shares import confusion_shares, em_shares
from dcdan.correction.verdict import Cell, fit_verdict_rule
from dcdan.expressions import EXPRESSIONS

K = len(EXPRESSIONS)
SIZES = (100, 300, 1000)
LABELS = (40, 80)
CLINIC = {"neutral": 0.4, "sadness": 0.2, "anger": 0.15, "fear": 0.08, "surprise": 0.06, "happiness": 0.05}
ESTIMATED = ("declared, Sinkhorn", "declared, prior", "MAP-EM towards source")


@dataclass(frozen=True)
class Source:
    """What a model knows of its source, from held-out faces."""

    prior: np.ndarray
    mean_log: np.ndarray
    confusion: np.ndarray
    accuracy: float
    confidence: float
    threshold: float
    centres: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, faces: Faces) -> Source:
        """Measure it on held-out source faces."""
        z, labels = faces.z, faces.labels
        means, _ = group_means(faces.features.astype(np.float64), labels, K)
        variance = (faces.features - means[labels]).var(0, dtype=np.float64)
        confusion = np.zeros((K, K))
        np.add.at(confusion, (labels, z.argmax(1)), 1)
        accuracy = float(np.mean(z.argmax(1) == labels))
        return cls(
            prior=np.exp(z).mean(0),
            mean_log=z.mean(0),
            confusion=confusion,
            accuracy=accuracy,
            confidence=confidence_score(z),
            threshold=atc_threshold(z, accuracy),
            centres=means,
            variance=variance,
        )


@dataclass(frozen=True)
class Faces:
    """Answers and labels of the faces of a condition, or of a draw from it."""

    z: np.ndarray
    of_global: np.ndarray
    of_local: np.ndarray
    features: np.ndarray
    labels: np.ndarray

    def take(self, rows: np.ndarray) -> Faces:
        """Return some of the faces."""
        return Faces(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def read(file: Path) -> tuple[Faces, np.ndarray]:
    """Return the faces of a condition and their paths."""
    with np.load(file) as stored:
        z = [log_softmax(stored[name]) for name in ("log_p", "log_global", "log_local")]
        features = stored["features"].reshape(len(z[0]), -1)
        return Faces(*z, features, stored["labels"].astype(np.int64)), stored["paths"]


def wanted_shares(labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return the class shares that are drawn, by name."""
    natural = np.bincount(labels, minlength=K) / len(labels)
    rest = (1 - sum(CLINIC.values())) / (K - len(CLINIC))
    return {
        "natural": natural,
        "square root": np.sqrt(natural) / np.sqrt(natural).sum(),
        "balanced": np.full(K, 1 / K),
        "clinic": np.array([CLINIC.get(name, rest) for name in EXPRESSIONS]),
    }


def drawn(labels: np.ndarray, shares: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return rows of ``count`` faces, drawn with replacement so that classes have their shares in expectation."""
    classes = np.bincount(labels, minlength=K)
    weights = (np.where(classes > 0, shares, 0) / np.maximum(classes, 1))[labels]
    return rng.choice(len(labels), count, p=weights / weights.sum())


def unlabelled(faces: Faces, source: Source, true: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and answers of every correction that needs no label."""
    z, even = faces.z, np.full(K, 1 / K)
    yield "declared, prior", corrected(z, prior_bias(source.prior, true))
    yield "declared, prior, tau .7", corrected(z, prior_bias(source.prior, true, 0.7))
    yield "declared, Sinkhorn", sinkhorn(z, true).log_probabilities
    yield "declared half right, Sinkhorn", sinkhorn(z, (true + even) / 2).log_probabilities
    yield "declared balanced, Sinkhorn", sinkhorn(z, even).log_probabilities
    for name, shares in (
        ("EM", em_shares(z, source.prior)),
        ("MAP-EM towards source", em_shares(z, source.prior, source.prior)),
        ("MAP-EM towards balanced", em_shares(z, source.prior, even)),
        ("BBSE", confusion_shares(z, source.confusion, source.prior, regularised=False)),
        ("RLLS", confusion_shares(z, source.confusion, source.prior)),
    ):
        yield name, corrected(z, prior_bias(source.prior, shares))
    yield "centred", corrected(z, centring_bias(z, source.mean_log))
    yield "LAME", lame(z, faces.features)


def accuracy(z: np.ndarray, labels: np.ndarray) -> float:
    """Return the accuracy in per cent."""
    return 100 * float(np.mean(z.argmax(1) == labels))


def labelled_rows(faces: Faces, count: int, seed: int) -> Iterator[tuple[str, float, float]]:
    """Yield name, accuracy, and whether the interval held the truth (NaN where there is none), with labels."""
    sample = draw_faces(faces.z.argmax(1), K, count, seed)
    found = correct_by_labels(faces.z, answered(sample, faces.labels[sample.rows]), EXPRESSIONS)
    own = fit_bias(faces.z[sample.rows], faces.labels[sample.rows], sample.weights)
    bias = log_softmax(faces.z + own)
    joint = sinkhorn(faces.z, found.shares).log_probabilities
    interval = found.accuracy["source"]
    truth = accuracy(faces.z, faces.labels) / 100
    yield f"{count} labels, bias", accuracy(bias, faces.labels), float("nan")
    yield f"{count} labels, Sinkhorn", accuracy(joint, faces.labels), float("nan")
    chosen = accuracy(found.log_probabilities, faces.labels)
    yield f"{count} labels, chosen", chosen, float(interval.low - 1e-12 <= truth <= interval.high + 1e-12)


def halves(work: Path) -> tuple[Source, np.ndarray]:
    """Return what one half of FERPlus's validation faces says of the source, and which faces are targets."""
    clean, paths = read(work / "ferplus-clean-0.npz")
    half = np.random.default_rng(0).permutation(len(paths)) % 2 == 0
    return Source.of(clean.take(np.flatnonzero(half))), np.flatnonzero(~half)


def draws_of(work: Path, targets: np.ndarray, draws: int) -> Iterator[tuple[dict, Faces, int]]:
    """Yield the description of a cell, the faces of a draw and its number."""
    for file in sorted(work.glob("*.npz")):
        data, kind, severity = file.stem.split("-")
        faces, _ = read(file)
        if data == "ferplus":
            faces = faces.take(targets)
        for name, shares in wanted_shares(faces.labels).items():
            for size in SIZES:
                cell = {"data": data, "shift": kind, "severity": severity, "shares": name, "faces": size}
                for draw in range(draws):
                    rng = np.random.default_rng([draw, size])
                    yield cell, faces.take(drawn(faces.labels, shares, size, rng)), draw
        print(file.stem, flush=True)


def measure(work: Path, draws: int) -> list[dict]:
    """Return one row for each draw and correction."""
    rows: list[dict] = []
    source, targets = halves(work)
    for cell, some, draw in draws_of(work, targets, draws):
        true = np.bincount(some.labels, minlength=K) / len(some.labels)
        before = accuracy(some.z, some.labels)
        results = [("source", before, float("nan"))]
        results += [(each, accuracy(z, some.labels), float("nan")) for each, z in unlabelled(some, source, true)]
        for count in LABELS:
            if count < len(some.labels):
                results += labelled_rows(some, count, draw)
        rows += [
            cell | {"correction": each, "accuracy": value, "gain": value - before, "held": held}
            for each, value, held in results
        ]
    return rows


def scored(work: Path, draws: int) -> list[dict]:
    """Return the scores and the true accuracy of the source model and of some corrected ones, for each draw."""
    cells: list[dict] = []
    source, targets = halves(work)
    for cell, some, draw in draws_of(work, targets, draws):
        true = np.bincount(some.labels, minlength=K) / len(some.labels)
        answers = {
            "source": some.z,
            "declared, Sinkhorn": sinkhorn(some.z, true).log_probabilities,
            "declared, prior": corrected(some.z, prior_bias(source.prior, true)),
        }
        own = em_shares(some.z, source.prior, source.prior)
        answers["MAP-EM towards source"] = corrected(some.z, prior_bias(source.prior, own))
        for name, z in answers.items():
            heads = (some.of_global, some.of_local)
            scores = all_scores(z, source.threshold, source.confidence, source.accuracy, heads)
            scores["memory"] = memory_distance_score(some.features, source.centres, source.variance, z)
            scores["share gap"] = share_gap_score(z, true)
            cells.append(cell | {"draw": draw, "model": name, "true": accuracy(z, some.labels)} | scores)
    return cells


def kind_of(row: dict) -> str:
    """Return which part of the table a row belongs to."""
    if row["data"] == "lfw":
        return "LFW" if row["shift"] == "clean" else "LFW, shifted"
    return "FERPlus" if row["shift"] == "clean" else "FERPlus, shifted"


def summary(rows: list[dict]) -> list[dict]:
    """Return mean gain, harm and worst draws by part, class shares and correction."""
    groups: dict[tuple[str, str, str], list[dict]] = defaultdict(list)
    for row in rows:
        for part in (kind_of(row), "all"):
            for shares in (row["shares"], "all"):
                groups[part, shares, row["correction"]].append(row)
    out = []
    for (part, shares, correction), found in groups.items():
        gains = np.array([row["gain"] for row in found])
        held = np.array([row["held"] for row in found])
        by_cell: dict[tuple, list[float]] = defaultdict(list)
        for row in found:
            by_cell[row["data"], row["shift"], row["severity"], row["shares"], row["faces"]].append(row["gain"])
        means = np.array([np.mean(each) for each in by_cell.values()])
        out.append(
            {
                "faces of": part,
                "class shares": shares,
                "correction": correction,
                "accuracy": round(float(np.mean([row["accuracy"] for row in found])), 2),
                "mean gain": round(float(gains.mean()), 2),
                "worst 5 % of draws": round(float(np.quantile(gains, 0.05)), 1),
                "draws harmed %": round(100 * float(np.mean(gains < -1)), 1),
                "cells harmed %": round(100 * float(np.mean(means < -1)), 1),
                "interval holds %": "" if np.isnan(held).all() else round(100 * float(np.nanmean(held)), 1),
            }
        )
    return out


def estimators(cells: list[dict]) -> tuple[list[dict], list[dict]]:
    """Return the error of each estimator on left-out shifts, and what the verdict does with the best of them."""
    names = ["confidence", "atc", "doc", "mano", "nuclear", "agreement", "memory"]
    shifts = [f"{cell['data']} {cell['shift']}" for cell in cells]
    true = np.array([cell["true"] / 100 for cell in cells])
    ours = np.array([cell["model"] == "source" for cell in cells])
    out, verdicts = [], []
    sets = [
        *((name, [name]) for name in names),
        ("all seven", names),
        ("all seven and share gap", [*names, "share gap"]),
    ]
    for label, used in sets:
        by_name = {name: np.array([cell[name] for cell in cells]) for name in used}
        row: dict = {"estimator": label}
        for which, mask in (("source model", ours), ("corrected too", np.ones(len(cells), bool))):
            error = _left_out_error(by_name, true, shifts, mask)
            row[f"{which}: root mean square error"] = round(100 * float(np.sqrt(np.mean(error**2))), 2)
            row[f"{which}: within 5 points %"] = round(100 * float(np.mean(np.abs(error) <= 0.05)), 1)
        out.append(row)
    for label, used in sets[-2:]:
        by_name = {name: np.array([cell[name] for cell in cells]) for name in used}
        error = _left_out_error(by_name, true, shifts, np.ones(len(cells), bool))
        verdicts += [
            {"judged by": label} | verdict_row(cells, model, true, true + error, shifts) for model in ESTIMATED
        ]
    return out, verdicts


def verdict_row(cells: list[dict], model: str, true: np.ndarray, estimated: np.ndarray, shifts: list[str]) -> dict:
    """Return what a fitted rule does with a corrected model, on shifts that it has not seen."""
    key = [tuple(cell[each] for each in ("data", "shift", "severity", "shares", "faces", "draw")) for cell in cells]
    before = {k: i for i, (k, cell) in enumerate(zip(key, cells, strict=True)) if cell["model"] == "source"}
    found = [
        Cell(
            shifts[i],
            int(cell["faces"]),
            float(estimated[i] - estimated[before[key[i]]]),
            float(true[i] - true[before[key[i]]]),
        )
        for i, cell in enumerate(cells)
        if cell["model"] == model
    ]
    fit = fit_verdict_rule(found)
    truth = np.array([cell.true_gain for cell in found])
    return {
        "model": model,
        "always used: mean gain": round(100 * float(truth.mean()), 2),
        "always used: draws harmed %": round(100 * float(np.mean(truth < -0.01)), 1),
        "by verdict: mean gain": round(100 * fit.mean_gain, 2),
        "by verdict: draws harmed %": round(100 * fit.harm, 1),
        "used %": round(100 * fit.used, 1),
        "use above": round(100 * fit.rule.use_above, 1),
        "caution": fit.rule.caution,
        "error of a gain": round(100 * fit.rule.error, 1),
    }


def _left_out_error(scores: dict[str, np.ndarray], true: np.ndarray, shifts: list[str], mask: np.ndarray) -> np.ndarray:
    names = np.array(shifts)
    error = np.zeros(len(true))
    for shift in np.unique(names):
        kept, out = mask & (names != shift), mask & (names == shift)
        line = fit_map({name: values[kept] for name, values in scores.items()}, true[kept], names[kept].tolist(), 0.01)
        for i in np.flatnonzero(out):
            error[i] = line.estimate({name: float(values[i]) for name, values in scores.items()}).value - true[i]
    return error[mask]


def grouped(work: Path, draws: int) -> list[dict]:
    """Return gains of offsets: sets mixed of six conditions, each a group with its own look, and persons of LFW."""
    _, targets = halves(work)
    kinds = ("clean-0", "blur-5", "lowlight-5", "noise-5", "contrast-5", "occlusion-5")
    parts = [read(work / f"ferplus-{kind}.npz")[0].take(targets) for kind in kinds]
    out: list[dict] = []
    for name, shares in wanted_shares(parts[0].labels).items():
        for alike in (True, False):
            for size in (20, 50):
                for draw in range(draws):
                    rng = np.random.default_rng([draw, size])
                    own = [shares if alike else rng.dirichlet(4 * shares + 0.05) for _ in parts]
                    some = [
                        each.take(drawn(each.labels, share, size, rng)) for each, share in zip(parts, own, strict=True)
                    ]
                    z, labels = np.concatenate([each.z for each in some]), np.concatenate([e.labels for e in some])
                    mix = f"{name}, {'all groups alike' if alike else 'each group its own'}"
                    out += _offset_rows(f"six looks, {size} faces each", mix, z, labels, np.repeat(kinds, size))
    faces, paths = read(work / "lfw-clean-0.npz")
    persons = np.array([Path(path).stem.rsplit("_", 1)[0] for path in paths])
    names, counts = np.unique(persons, return_counts=True)
    rows = np.flatnonzero(np.isin(persons, names[counts >= 15]))
    some = faces.take(rows)
    out += _offset_rows("LFW, persons of 15 faces or more", "natural", some.z, some.labels, persons[rows])
    return out


def _offset_rows(case: str, shares: str, z: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> list[dict]:
    none = np.zeros(K)
    true = np.bincount(labels, minlength=K) / len(labels)
    before = accuracy(z, labels)
    ways = {"declared, Sinkhorn": sinkhorn(z, true).log_probabilities}
    for how in ("mean", "within-class"):
        offsets = group_offsets(z, groups, OutputSettings(offsets=how))
        moved = log_softmax(z - np.array([offsets.get(str(name), none) for name in groups]))
        ways[f"offsets ({how})"] = moved
        ways[f"offsets ({how}), then declared, Sinkhorn"] = sinkhorn(moved, true).log_probabilities
    return [
        {"case": case, "shares": shares, "correction": name, "before": before, "gain": accuracy(way, labels) - before}
        for name, way in ways.items()
    ]


def shown(rows: list[dict]) -> list[dict]:
    """Print a table and return it."""
    print("| " + " | ".join(rows[0]) + " |")
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")
    return rows


def write_results(parts: dict[str, list[dict]], out: Path) -> None:
    """Write the rows of all tables to one Parquet file, the corrections to CSV, and a plot of gain and harm."""
    columns: dict[str, list] = {"table": [name for name, rows in parts.items() for _ in rows]}
    for key in dict.fromkeys(key for rows in parts.values() for row in rows for key in row):
        values = [row.get(key) for rows in parts.values() for row in rows]
        text = any(isinstance(value, str) and value for value in values)
        columns[key] = [None if value in (None, "") else str(value) if text else float(value) for value in values]
    parquet.write_table(arrow.table(columns), out / "cells.parquet", compression="zstd")
    with (out / "table.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, parts["corrections"][0].keys(), lineterminator="\n")
        table.writeheader()
        table.writerows(parts["corrections"])
    every = [
        row for row in parts["corrections"] if (row["faces of"], row["class shares"]) == ("FERPlus, shifted", "all")
    ]
    figure, axes = plt.subplots(figsize=(7, 5), layout="constrained")
    for row in every:
        at = float(row["draws harmed %"]), float(row["mean gain"])
        axes.plot(*at, "o", color="#31688e")
        axes.annotate(row["correction"], at, xytext=(4, 3), textcoords="offset points", fontsize=7)
    axes.axhline(0, color="0.7", linewidth=0.8)
    axes.set(xlabel="draws harmed by more than one point, %", ylabel="mean gain in accuracy, points")
    figure.savefig(out / "plot.png", dpi=110)


def offsets_table(rows: list[dict]) -> list[dict]:
    """Return mean gain and harm of each way with groups."""
    found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for row in rows:
        found[row["case"], row["shares"], row["correction"]].append(row["gain"])
    return [
        {
            "case": case,
            "class shares": shares,
            "correction": correction,
            "mean gain": round(float(np.mean(gains)), 2),
            "draws harmed %": round(100 * float(np.mean(np.array(gains) < -1)), 1),
        }
        for (case, shares, correction), gains in found.items()
    ]


def main() -> None:
    """Read the command line, measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of output_answers.py")
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables")
    parser.add_argument("--draws", type=int, default=50)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    parts = {"corrections": shown(summary(measure(arguments.work, arguments.draws)))}
    parts["estimators"], parts["verdicts"] = map(shown, estimators(scored(arguments.work, min(5, arguments.draws))))
    parts["groups"] = shown(offsets_table(grouped(arguments.work, arguments.draws)))
    write_results(parts, arguments.out)


if __name__ == "__main__":
    main()
