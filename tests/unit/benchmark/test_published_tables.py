"""Every table under docs/results, computed again from its Parquet file by code of its own, digit for digit.

Nothing of ``dcdan`` is used: the tables are parsed from Markdown and CSV, the figures come from NumPy, SciPy and, for
the scores of a cell, from its confusion matrix and the answers for each face.
"""

from __future__ import annotations

import csv
import html
import itertools
import json
import math
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
from scipy import stats

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "docs" / "results"
BENCHMARKS = ("cross_domain", "weights_means")
MOST_FILES, MOST_BYTES = 60, 9_000_000

SHORT = {"LFW": "LFW expressions"} | {name: f"FERPlus, {name}" for name in ("blur 5", "noise 5", "low light 5")}
PER_CORRUPTION = ("FERPlus, blur 5", "FERPlus, noise 5", "FERPlus, low light 5")
SCORES = ("source_validation", "entropy", "information", "bnm", "snd", "dev")
ABLATIONS = {
    "dual attention off": "no-attention",
    "spatial only": "spatial",
    "channel only": "channel",
    "condensation 1": "condensation-1",
    "condensation 4": "condensation-4",
    "interaction off": "no-interaction",
    "AFC -> GELU": "gelu",
    "AFC -> ReLU": "relu",
    "local branch off": "no-local",
    "shared batch norm": "shared-norm",
    "adversarial off": "no-adversarial",
    "no pseudo-labels": "no-pseudo",
    "pseudo-labels above .95": "fixed-pseudo",
    "source sampled evenly": "even",
}

Row = dict[str, Any]


@cache
def cells(name: str) -> list[Row]:
    """The rows of an experiment, each with its report and, where there are some, the epochs of its cell."""
    rows: list[Row] = parquet.read_table(RESULTS / name / "cells.parquet").to_pylist()
    epochs: dict[str, Any] = {}
    for row in rows:
        row["report"] = json.loads(row["report"])
        if row["epochs"]:
            epochs[row["cell"]] = json.loads(row["epochs"])
    for row in rows:
        row["epochs"] = epochs.get(row["cell"])
    return rows


@cache
def plan(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / "experiments" / f"{name}.toml").read_text(encoding="utf-8"))


def keys_by_name(name: str) -> dict[str, str]:
    return {entry["name"]: entry["key"] for part in ("methods", "ablations") for entry in plan(name).get(part, ())}


def found(name: str, **wanted: object) -> list[Row]:
    """The rows of an experiment with these values, by seed."""
    rows = [row for row in cells(name) if all(row[key] == value for key, value in wanted.items())]
    return sorted(rows, key=lambda row: row["seed"])


def tables(file: Path) -> dict[str, list[list[str]]]:
    """The tables of a Markdown file by the heading above; of several under one heading the later are numbered."""
    out: dict[str, list[list[str]]] = {}
    heading, inside = "", False
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if not line.startswith("|"):
            inside = False
            continue
        row = [html.unescape(part.strip()) for part in re.split(r"(?<!\\)\|", line.strip("|"))]
        if not inside:
            number = sum(key == heading or key.startswith(f"{heading} #") for key in out)
            name = f"{heading} #{number + 1}" if number else heading
            out[name], inside = [], True
        if not set("".join(row)) <= set("-: "):
            out[name].append(row)
    return out


def csv_table(name: str) -> list[list[str]]:
    """The ``table.csv`` of an experiment."""
    with (RESULTS / name / "table.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def with_spread(values: list[float]) -> str:
    return percent(mean(values)) + (f" ± {percent(stdev(values))}" if len(values) > 1 else "")


def signed_spread(values: list[float]) -> str:
    return f"{mean(values):+.1f} ± {stdev(values):.1f}"


def wilson(successes: int, trials: int) -> tuple[float, float]:
    low, high = stats.binomtest(successes, trials).proportion_ci(0.95, "wilson")
    return float(low), float(high)


def ece(row: Row, bins: int = 15) -> float:
    """The expected calibration error of a row, from the answers for each face."""
    confidence, correct = np.asarray(row["confidence"]), np.asarray(row["correct"], float)
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = [abs(confidence[place == b].mean() - correct[place == b].mean()) * (place == b).mean() for b in set(place)]
    return float(sum(gaps))


# --- the raw values agree with themselves


@pytest.mark.parametrize("name", BENCHMARKS)
def test_scores_follow_from_the_confusion_matrix_and_the_answers(name: str) -> None:
    for row in cells(name):
        report = row["report"]
        counts = np.array(report["confusion"], float)
        support, predicted, hits = counts.sum(1), counts.sum(0), counts.diagonal()
        present = support > 0
        recall = hits[present] / support[present]
        f1 = 2 * hits[present] / (support + predicted)[present]
        assert counts.sum() == report["images"] == row["images"] == len(row["correct"]) == len(row["confidence"])
        assert hits.sum() == sum(row["correct"])
        for key, value in {"accuracy": hits.sum() / counts.sum(), "uar": recall.mean(), "macro_f1": f1.mean()}.items():
            assert report[key] == row[key] == pytest.approx(value, abs=6e-7), (row["cell"], key)
        assert report["ece"] == row["ece"] == pytest.approx(ece(row), abs=2e-6), row["cell"]
        assert report["accuracy_95"] == pytest.approx(wilson(int(hits.sum()), row["images"]), abs=6e-7)
        for key in ("source", "target", "trunk", "key", "seed", "kind", "test", "plan"):
            assert report[key] == row[key]
        assert report["provenance"]["model_sha256"] == row["model_sha256"]
        if row["epochs"] and row["kind"] == "target":
            assert row["epochs"][-1]["accuracy"] == pytest.approx(row["accuracy"], abs=1e-3)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_cells_are_those_of_the_plan(name: str) -> None:
    wanted = set()
    for entry in (*plan(name)["methods"], *plan(name).get("ablations", ())):
        for target in plan(name)["targets"]:
            if target["name"] in entry.get("targets", [target["name"]]):
                tests = [target["name"], *(test["name"] for test in plan(name)["also"])]
                wanted |= {(entry["key"], target["name"], seed, test) for seed in plan(name)["seeds"] for test in tests}
    assert {(row["key"], row["target"], row["seed"], row["test"]) for row in cells(name)} == wanted
    assert len(cells(name)) == len(wanted)


# --- table.md of a benchmark


def accuracy_rows(name: str) -> list[list[str]]:
    """The first table: accuracy by method and target."""
    targets = [target["name"] for target in plan(name)["targets"]]
    rows = []
    for entry in plan(name)["methods"]:
        values = [[r["accuracy"] for r in found(name, key=entry["key"], test=t, kind="target")] for t in targets]
        method = entry["settings"].get("method")
        unseen = ("source_only", "scn", "ran", "efficientface", "csg", "cf_dan")
        sees = "no" if method in unseen else "statistics" if method == "adabn" else "images"
        overall = [percent(mean(map(mean, values)))] if len(targets) > 1 else []
        rows.append([entry["name"], sees, *map(with_spread, values), *overall])
    return rows


def figure_rows(name: str, title: str) -> list[list[str]]:
    """All figures of one test set, for models adapted to one target."""
    test, _, target = title.partition(", models adapted to ")
    rows = []
    for entry in (*plan(name)["methods"], *plan(name).get("ablations", ())):
        own = found(name, key=entry["key"], test=test, target=target or test)
        if not own:
            continue
        accuracy = [row["accuracy"] for row in own]
        low, high = wilson(round(mean(accuracy) * own[0]["images"]), own[0]["images"])
        spread = percent(stdev(accuracy)) if len(own) > 1 else "one seed"
        rest = [f"{mean(row[key] for row in own):.3f}" for key in ("macro_f1", "uar", "ece")]
        interval = f"{percent(low)} to {percent(high)}"
        rows.append([entry["name"], str(len(own)), percent(mean(accuracy)), spread, interval, *rest])
    return rows


def mcnemar_rows(name: str) -> list[list[str]]:
    """McNemar's exact test of the reference against every other row."""
    rows = []
    for entry in (*plan(name)["methods"], *plan(name).get("ablations", ())):
        if entry["key"] == plan(name)["reference"]:
            continue
        line = [entry["name"]]
        for target in (target["name"] for target in plan(name)["targets"]):
            theirs = found(name, key=entry["key"], test=target, kind="target")
            probabilities, better, worse = [], 0, 0
            for other in theirs:
                (own,) = found(name, key=plan(name)["reference"], test=target, kind="target", seed=other["seed"])
                a, b = np.array(own["correct"]), np.array(other["correct"])
                only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
                # Twice the smaller tail of a fair coin, which is symmetric.
                p = min(1.0, 2 * float(stats.binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)))
                probabilities.append(p)
                better += p < 0.05 and only_a > only_b
                worse += p < 0.05 and only_b > only_a
            if not theirs:
                line.append("–")
                continue
            p = median(probabilities)
            line.append(f"{better} / {worse} of {len(theirs)}, p " + ("< .001" if p < 0.001 else f"= {p:.3f}"))
        rows.append(line)
    return rows


def target_means(name: str, key: str) -> np.ndarray:
    targets = [target["name"] for target in plan(name)["targets"]]
    return np.array([mean(r["accuracy"] for r in found(name, key=key, test=t, kind="target")) for t in targets])


def paired_rows(name: str) -> list[list[str]]:
    """Paired tests of the reference against every method over the targets."""
    rows = []
    own = target_means(name, plan(name)["reference"])
    for entry in plan(name)["methods"]:
        if entry["key"] == plan(name)["reference"]:
            continue
        gaps = np.round(own - target_means(name, entry["key"]), 9)
        t = gaps.mean() / (gaps.std(ddof=1) / np.sqrt(len(gaps)))
        p = 2 * stats.t.sf(abs(t), len(gaps) - 1)
        # All signs of the ranks: the exact distribution of Wilcoxon's statistic.
        ranks = stats.rankdata(abs(gaps))
        signs = np.array(np.meshgrid(*[(0, 1)] * len(gaps))).reshape(len(gaps), -1).T
        sums, seen = signs @ ranks, ranks[gaps > 0].sum()
        exact = min(1.0, 2 * min((sums <= seen).mean(), (sums >= seen).mean()))
        rows.append([entry["name"], f"{100 * gaps.mean():+.1f}", f"{t:.2f}", f"{p:.3f}", f"{exact:.3f}"])
    return rows


def gaps_to_reference(name: str, key: str, target: str) -> list[float]:
    """Accuracy less that of the reference at the same seed, in points."""
    whole = {row["seed"]: row["accuracy"] for row in found(name, key=plan(name)["reference"], test=target)}
    return [100 * (r["accuracy"] - whole[r["seed"]]) for r in found(name, key=key, test=target, kind="target")]


def ablation_rows(name: str) -> list[list[str]]:
    """Changes of accuracy when a part is taken away."""
    rows = []
    for entry in plan(name)["ablations"]:
        line = [entry["name"]]
        for target in (target["name"] for target in plan(name)["targets"]):
            gaps = gaps_to_reference(name, entry["key"], target)
            line.append(f"{signed_spread(gaps)} ({len(gaps)})" if gaps else "–")
        rows.append(line)
    return rows


def picked(epochs: list[Row], score: str) -> float:
    """The accuracy of the epoch with the highest score, the latest of equal ones, collapsed epochs left out."""
    sound = [epoch for epoch in epochs if epoch["largest_share"] <= 0.95 and epoch["scores"][score] is not None]
    best = max(sound, key=lambda epoch: (epoch["scores"][score], epoch["epoch"]))
    return float(best["accuracy"])


def choices(name: str, key: str, target: str) -> list[list[float]]:
    """For every cell the accuracy of the last epoch, of the one that each score picks, and of the best."""
    kept = [row["epochs"] for row in found(name, key=key, test=target, kind="target") if row["epochs"]]
    return [
        [e[-1]["accuracy"], *(picked(e, score) for score in SCORES), max(epoch["accuracy"] for epoch in e)]
        for e in kept
    ]


def choice_rows(name: str) -> list[list[str]]:
    """What each label-free score would have picked."""
    rows = []
    for entry in (*plan(name)["methods"], *plan(name).get("ablations", ())):
        for target in (target["name"] for target in plan(name)["targets"]):
            values = choices(name, entry["key"], target)
            if values:
                figures = [percent(mean(column)) for column in zip(*values, strict=True)]
                rows.append([entry["name"], target, str(len(values)), *figures])
    return rows


def expected_rows(name: str, title: str) -> list[list[str]]:
    """The rows of a table of ``table.md`` by its heading."""
    head, _, rest = title.partition(": ")
    assert head == "FERPlus, mobilenetv2_100"
    makers: dict[str, Callable[[str], list[list[str]]]] = {
        "": accuracy_rows,
        "over the targets": paired_rows,
        "ablations": ablation_rows,
        "choosing an epoch without labels": choice_rows,
    }
    if rest.startswith("McNemar's test of "):
        return mcnemar_rows(name)
    return makers[rest](name) if rest in makers else figure_rows(name, rest)


TABLE_MD = [(name, title) for name in BENCHMARKS for title in tables(RESULTS / name / "table.md")]


@pytest.mark.parametrize(("name", "title"), TABLE_MD)
def test_a_table_of_a_benchmark(name: str, title: str) -> None:
    _, *rows = tables(RESULTS / name / "table.md")[title]
    assert rows == expected_rows(name, title)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_table_is_there(name: str) -> None:
    targets, also = ([entry["name"] for entry in plan(name)[part]] for part in ("targets", "also"))
    rest = {"", *targets, *(f"{test}, models adapted to {target}" for test in also for target in targets)}
    titles = {title.partition(": ")[2] for name_, title in TABLE_MD if name_ == name}
    assert rest <= titles
    assert any(title.startswith("McNemar") for title in titles)


# --- README.md of cross_domain

CROSS = tables(RESULTS / "cross_domain" / "README.md")
ALL_TARGETS = tuple(SHORT.values())
METHODS_ON_IMAGES = ("dann", "cdan-e", "mcd", "mcc", "afn", "agra", "dgl", "aglrls", "dcdan")


def on_target(key: str, target: str) -> list[Row]:
    return found("cross_domain", key=key, test=target, kind="target")


def test_cross_domain_accuracy() -> None:
    _, *rows = CROSS["Accuracy"]
    assert len(rows) == len(plan("cross_domain")["methods"])
    for name, *figures in rows:
        key = keys_by_name("cross_domain")[name]
        own = [on_target(key, target) for target in ALL_TARGETS]
        expected = [with_spread([row["accuracy"] for row in rows_]) for rows_ in own]
        expected.append(percent(mean(mean(row["accuracy"] for row in rows_) for rows_ in own)))
        expected.append(f"{mean(mean(row['uar'] for row in rows_) for rows_ in own):.3f}".lstrip("0"))
        assert figures == expected


def test_cross_domain_differences() -> None:
    keys = {"CF-DAN": "cf-dan", "AdaBN": "adabn", "AGRA": "agra", "AGLRLS": "aglrls"}
    _, *rows = CROSS["DCD-DAN against others, seed by seed"]
    assert [row[0] for row in rows] == list(keys)
    for name, *figures in rows:
        for target, printed in zip(ALL_TARGETS, figures, strict=True):
            gaps = [0 - gap for gap in gaps_to_reference("cross_domain", keys[name], target)]
            assert printed == ", ".join(f"{gap:+.1f}" for gap in gaps) + f"; {mean(gaps):+.1f}"
    starts = [
        100 * (row["epochs"][-1]["accuracy"] - row["epochs"][0]["accuracy"])
        for row in on_target("dcdan", "LFW expressions")
    ]
    assert [f"{gain:+.1f}" for gain in np.array(starts) + 1e-9] == ["+1.5", "+1.9", "-0.2"]


def test_cross_domain_falls_of_the_source() -> None:
    _, *rows = CROSS["Is a fall of accuracy on held-out source faces a warning?"]
    assert [row[0] for row in rows] == list(SHORT)
    for name, *figures in rows:
        changes = []
        for key in METHODS_ON_IMAGES:
            for row in on_target(key, SHORT[name]):
                first, last = row["epochs"][0], row["epochs"][-1]
                source = last["scores"]["source_validation"] - first["scores"]["source_validation"]
                changes.append((100 * source, 100 * (last["accuracy"] - first["accuracy"])))
        harmed = {i for i, (_, target) in enumerate(changes) if target < -1}
        fell = [{i for i, (source, _) in enumerate(changes) if source < -limit} for limit in (1, 2)]
        expected = [len(changes), len(harmed), len(fell[0]), len(fell[0] & harmed), len(fell[1]), len(fell[1] & harmed)]
        assert list(map(int, figures)) == expected


def test_cross_domain_choice_of_an_epoch() -> None:
    _, *rows = CROSS["Choosing an epoch without labels"]
    for (name, *figures), targets in zip(rows, (("LFW expressions",), PER_CORRUPTION), strict=True):
        assert name in ("LFW", "three corruptions")
        values = [v for t in targets for key in METHODS_ON_IMAGES for v in choices("cross_domain", key, t)]
        assert figures == [percent(mean(column)) for column in zip(*values, strict=True)]


def test_cross_domain_ablations() -> None:
    seen = []
    for number in ("", " #2", " #3"):
        header, figures = CROSS[f"Ablations{number}"]
        for name, printed in zip(header, figures, strict=True):
            seen.append(name)
            gaps = gaps_to_reference("cross_domain", ABLATIONS[name], "FERPlus, low light 5")
            assert printed == signed_spread(gaps)
    assert seen == list(ABLATIONS)


def test_cross_domain_checksum_of_the_start() -> None:
    """The start weights are no longer in the tree; what is stated of them must at least be one checksum."""
    (row,) = [row for row in CROSS["Command"] if row[0] == "their SHA-256"]
    assert re.fullmatch(r"`[0-9a-f]{64}`", row[1])


# --- README.md of weights_means


def test_recipe() -> None:
    _, *rows = tables(RESULTS / "weights_means" / "README.md")["Accuracy"]
    tests = ("FERPlus test", "FERPlus test, blur 3", "FERPlus test, low light 4", "LFW expressions")
    keys = keys_by_name("weights_means")
    assert [row[0] for row in rows] == list(keys)
    for name, *figures in rows:
        for test, printed in zip(tests, figures, strict=True):
            (row,) = found("weights_means", key=keys[name], test=test)
            assert printed == f"{percent(row['accuracy'])} / " + f"{row['uar']:.3f}".lstrip("0")


# --- duplicates

KINDS = ("listed twice", "exact", "near", "mirrored")


@cache
def pairs(check: str) -> list[Row]:
    rows: list[Row] = parquet.read_table(RESULTS / "doubles" / "cells.parquet").to_pylist()
    return [row for row in rows if row["check"] == check]


def place_of(row: Row) -> str:
    order = ("train", "validation", "test")
    splits = sorted((row["split"], row["other_split"]), key=order.index)
    return f"within {splits[0]}" if splits[0] == splits[1] else " - ".join(splits)


def test_pairs_of_duplicates() -> None:
    table = csv_table("doubles")
    assert tables(RESULTS / "doubles" / "README.md")["Pairs"] == table
    rows = pairs("ferplus, arg-max")
    for place, *figures in table[1:]:
        here = [row for row in rows if place in (place_of(row), "all")]
        kinds = Counter(row["kind"] for row in here)
        assert list(map(int, figures)) == [
            *(kinds[kind] for kind in KINDS),
            sum(row["label"] != row["other_label"] for row in here),
        ]
    assert {place_of(row) for row in rows} == {row[0] for row in table[1:-1]}
    twice = {Path(row["path"]).name for row in rows if row["path"] == row["other_path"]}
    text = (RESULTS / "doubles" / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in twice)
    assert len(twice) == 3


def groups(check: str) -> list[set[tuple[str, str]]]:
    """Images (path, split) that are connected by pairs, by breadth-first search."""
    near: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
    for row in pairs(check):
        a, b = (row["path"], row["split"]), (row["other_path"], row["other_split"])
        near[a].add(b)
        near[b].add(a)
    out, left = [], set(near)
    while left:
        group, new = set(), {left.pop()}
        while new:
            group |= new
            new = {other for image in new for other in near[image]} - group
        left -= group
        out.append(group)
    return out


def leaked(check: str, split: str, other: str) -> int:
    """Images of one split with a duplicate in another."""
    return sum(
        1
        for group in groups(check)
        for path, own in group
        if own == split and {o for p, o in group if p != path} & {other}
    )


def test_images_with_duplicates() -> None:
    header, *rows = tables(RESULTS / "doubles" / "README.md")["Pairs #2"]
    for (name, *figures), split in zip(rows, ("train", "validation", "test"), strict=True):
        assert name == f"of {split}"
        assert list(map(int, figures)) == [leaked("ferplus, arg-max", split, other) for other in header[1:]]
    text = " ".join((RESULTS / "doubles" / "README.md").read_text(encoding="utf-8").split())
    found_groups = groups("ferplus, arg-max")
    assert f"{len(found_groups):,} groups, the largest of {max(map(len, found_groups))} images" in text
    sets = json.loads(parquet.read_schema(RESULTS / "doubles" / "cells.parquet").metadata[b"sets"])
    for check, told in (
        ("ferplus, arg-max", "{} of {:,} test images ({:.1f} %)"),
        ("ferplus, majority", "{} of {:,} ({:.1f} %)"),
    ):
        images = sets[check]["images"]["test"]
        count = leaked(check, "test", "train")
        assert told.format(count, images, 100 * count / images) in text
        assert f"{sum(sets[check]['images'].values()):,} rows" in text
    near = [row for row in pairs("ferplus, arg-max") if row["kind"] == "near"]
    differing = sum(row["label"] != row["other_label"] for row in near)
    assert f"{100 * differing / len(near):.1f} % have" in text
    assert not any(row["label"] != row["other_label"] for row in pairs("ferplus, arg-max") if row["kind"] == "exact")
    lfw = Counter(row["kind"] for row in pairs("lfw"))
    across = sum(row["split"] != row["other_split"] for row in pairs("lfw"))
    assert f"{lfw['exact']} exact and {lfw['near']} near pairs, {across} of these {lfw.total()}" in text
    between = Counter(row["kind"] for row in pairs("ferplus against lfw"))
    assert between == Counter(row["kind"] for row in pairs("lfw against ferplus")) == {"near": 3, "mirrored": 1}
    assert "no exact pair, 3 near and 1 mirrored" in text


# --- damaged files


def test_damaged_files() -> None:
    rows: list[Row] = parquet.read_table(RESULTS / "hostile" / "cells.parquet").to_pylist()
    table = csv_table("hostile")
    text = (RESULTS / "hostile" / "README.md").read_text(encoding="utf-8")
    assert tables(RESULTS / "hostile" / "README.md")["Damaged and malicious files"] == table
    assert [row[0] for row in table[1:]] == list(dict.fromkeys(row["kind"] for row in rows))
    for kind, *figures in table[1:]:
        own = [row for row in rows if row["kind"] == kind]
        words = Counter(row["outcome"] for row in own)
        codes = sorted(Counter(row["exit_code"] for row in own).items())
        assert figures == [
            str(len(own)),
            *(str(words[word]) for word in ("refused", "accepted", "FAULT")),
            "; ".join(f"{code}: {count}" for code, count in codes),
            f"{max(row['seconds'] for row in own):.1f}",
            f"{max(row['mebibytes'] for row in own):.0f}",
        ]
    assert all(bool(row["exit_code"]) == (row["outcome"] == "refused") and not row["fault"] for row in rows)
    assert f"{len(rows)} files are passed" in text
    assert f"{sum(row['made'] == 'by hand' for row in rows)} made by hand" in text


# --- tracks and smoothing in videos

WAYS = ("every frame", "every frame, searched every 0.2 s", "every 5th")
FRAMES_A_SECOND = 25


def changes(values: list[Any]) -> int:
    return sum(a != b for a, b in itertools.pairwise(values))


def by(rows: list[Row], *keys: str) -> dict[tuple[Any, ...], list[Row]]:
    """Rows in groups of equal values, in their order."""
    out: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        out[tuple(row[key] for key in keys)].append(row)
    return out


def test_tracks_in_videos() -> None:
    table = parquet.read_table(RESULTS / "video" / "cells.parquet")
    counts = json.loads(table.schema.metadata[b"counts"])
    rows: list[Row] = table.to_pylist()
    page = tables(RESULTS / "video" / "README.md")
    assert page["Tracks"] == tables(RESULTS / "video" / "table.md")["Tracks"]
    _, *printed = page["Tracks"]
    assert [row[0] for row in printed] == list(WAYS)
    for way, *figures in printed:
        own = [row for row in rows if row["frames"] == way]
        swaps = sum(changes([row["face"] for row in track]) for track in by(own, "video", "track").values())
        fragments = sum(len({row["track"] for row in face}) - 1 for face in by(own, "video", "face").values())
        visible, wrong = (
            sum(count[name] for count in counts if count["frames"] == way) for name in ("visible", "no face")
        )
        share = f"{len(own)} of {visible} ({100 * len(own) / visible:.1f}%)"
        assert figures == [str(swaps), str(fragments), share, str(wrong)]


def test_smoothing_in_videos() -> None:
    table = parquet.read_table(RESULTS / "video" / "cells.parquet")
    facts = {name: json.loads(table.schema.metadata[name.encode()]) for name in ("seconds", "fade")}
    rows = [row for row in table.to_pylist() if row["frames"] == "every frame"]
    page = tables(RESULTS / "video" / "README.md")
    assert page["Smoothing"] == tables(RESULTS / "video" / "table.md")["Smoothing"]
    _, *printed = page["Smoothing"]
    assert len(printed) == 5
    for constant, *figures in printed:
        answer = "expression" if constant == "single frames" else f"smoothed {constant}"
        right, flips = [], []
        for own in by(rows, "video").values():
            known = [r for r in own if abs(r["frame"] / FRAMES_A_SECOND - facts["seconds"] / 2) > facts["fade"] / 2]
            right.append(mean(row[answer] == row["label"] for row in known))
            turned = sum(changes([row[answer] for row in face]) for face in by(own, "face").values())
            flips.append(turned / (len(own) / FRAMES_A_SECOND))
        each = ", ".join(f"{100 * value:.0f}" for value in right)
        assert figures == [f"{100 * mean(right):.1f}%", each, f"{mean(flips):.2f}"]


# --- groups of faces


def fairness(kind: str) -> list[Row]:
    rows: list[Row] = parquet.read_table(RESULTS / "fairness" / "cells.parquet").to_pylist()
    return [row for row in rows if row["kind"] == kind]


def test_planted_bias() -> None:
    page = tables(RESULTS / "fairness" / "README.md")["Planted bias"]
    assert page == tables(RESULTS / "fairness" / "table.md")["Planted bias"]
    rows = fairness("planted")
    assert all(len(own) == 100 for own in by(rows, "groups", "base", "gap").values())
    for name, found, alarms in page[1:-1]:
        groups, base = name.removesuffix(" %").split(", ")
        own = [row for row in rows if row["groups"] == int(groups) and round(100 * row["base"]) == int(base)]
        assert found == f"{sum(row['p'] < 0.05 for row in own if row['gap'])} of 100"
        assert alarms == f"{sum(row['p'] < 0.05 for row in own if not row['gap'])} of 100"
    silent = [row["p"] for row in rows if not row["gap"]]
    assert page[-1][2] == f"{sum(p < 0.05 for p in silent)} of {len(silent)}"


def test_accuracy_by_quality() -> None:
    page = tables(RESULTS / "fairness" / "README.md")["By quality"]
    assert page == tables(RESULTS / "fairness" / "table.md")["By quality"]
    rows = fairness("quality")
    assert len(page) == 1 + len(rows)
    for line, row in zip(page[1:], rows, strict=True):
        matrix = np.reshape(row["confusion"], (math.isqrt(len(row["confusion"])),) * 2)
        assert row["faces"] == matrix.sum()
        accuracy = f"{100 * np.trace(matrix) / matrix.sum():.1f}"
        cells = [f"{row['data']}, {row['column']}", row["group"], f"{matrix.sum()}", accuracy]
        assert line == [*cells, f"{row['ece']:.3f}", f"{row['p_holm']:.4f}"]
    for data, own in by(rows, "data").items():
        p_values = {row["column"]: row["p"] for row in own}
        highest = 0.0
        for rank, column in enumerate(sorted(p_values, key=p_values.__getitem__)):
            highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[column]))
            of_column = [row for row in own if row["column"] == column]
            assert of_column[0]["p_holm"] == pytest.approx(highest), data
            counts = [[row["correct"], row["faces"] - row["correct"]] for row in of_column]
            exact = stats.chi2_contingency(counts, correction=False).pvalue
            assert of_column[0]["p"] == pytest.approx(exact, abs=0.03)


def test_corrections_by_group() -> None:
    page = tables(RESULTS / "fairness" / "README.md")["Corrections by group"]
    assert page == tables(RESULTS / "fairness" / "table.md")["Corrections by group"]
    first = {key: own[0] for key, own in by(fairness("quality"), "data", "column").items()}
    assert len(page) == 1 + len(first)
    for line, ((data, column), row) in zip(page[1:], first.items(), strict=True):
        names = ("offsets_gap", "offsets_accuracy", "thresholds_gap", "thresholds_answered")
        cells = [f"{100 * row[f'{name}_before']:.1f} -> {100 * row[f'{name}_after']:.1f}" for name in names]
        assert line == [f"{data}, {column}", *cells]


# --- the folder as a whole


def test_each_experiment_is_one_folder_of_page_cells_plot_and_table() -> None:
    folders = {path.name for path in RESULTS.iterdir() if path.is_dir()}
    listed = {re.sub(r"\[(.*)\].*", r"\1", row[0]) for row in tables(RESULTS / "README.md")["Results"][1:]}
    assert folders == listed
    for folder in folders - {"base_model"}:  # its raw values are the reports that the cards are made from
        names = {path.name for path in (RESULTS / folder).iterdir()}
        assert names - {"table.md", "table.csv"} == {"README.md", "cells.parquet", "plot.png"}
    files = [path for path in RESULTS.rglob("*") if path.is_file()]
    assert len(files) <= MOST_FILES
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES


def test_lines_of_the_pages_are_short() -> None:
    for page in RESULTS.rglob("README.md"):
        for line in page.read_text(encoding="utf-8").splitlines():
            assert len(line) <= 100 or line.startswith("|"), (page.parent.name, line)


def test_figures_in_the_readme_of_the_repository() -> None:
    """The README at the top prints some rows of the accuracy table."""
    _, *printed = tables(ROOT / "README.md")["What adaptation gains, and where it harms"]
    here = {row[0]: row for row in CROSS["Accuracy"]}
    assert len(printed) >= 4
    for row in printed:
        assert row == here[row[0]]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_cell_has_weights_of_its_own(name: str) -> None:
    """Models that see a target differ for each target and seed; equal checksums would mean that one is a copy."""
    by_cell = {row["cell"]: row["model_sha256"] for row in cells(name)}
    assert all(re.fullmatch(r"[0-9a-f]{64}", checksum) for checksum in by_cell.values())
    own = {row["cell"] for row in cells(name) if row["key"] in (*METHODS_ON_IMAGES, "adabn", *ABLATIONS.values())}
    assert len({by_cell[cell] for cell in own}) == len(own)
