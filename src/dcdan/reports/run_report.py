"""The page ``report.html`` of a run: source and target, how the predictions on the target changed, what to do next.

It is for users whose faces have no labels, so nothing here reads a label of the target.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dcdan.core.atomic_io import atomic_text, write_text
from dcdan.core.errors import ModelError
from dcdan.core.limits import read_log
from dcdan.core.outputs import DECIDERS, REGIONS
from dcdan.inference.recogniser import Recogniser, load, predict_pack
from dcdan.inference.table import csv_sink
from dcdan.metrics.calibration import tempered
from dcdan.plots.contact_sheet import Mark, SheetCell, SheetRow, sheet_png
from dcdan.plots.curves import curves_png, series
from dcdan.plots.reliability import bins_of, reliability_png
from dcdan.reports.page import percent, render
from dcdan.training.run_folder import read_run_metadata

if TYPE_CHECKING:
    from dcdan.packs.pack import Pack


def source_stage_of(run: Path) -> Path | None:
    """Return the checkpoint of the source stage of a run.

    Args:
        run: the run folder.

    Returns:
        Its own checkpoint or that of the run that it started from; None when the file is missing.
    """
    from dcdan.training.run_folder import data_of
    from dcdan.training.source_stage import finished_stage

    if (own := finished_stage(run, None)) is not None:
        return own
    start = data_of(run).get("start")
    return finished_stage(run, Path(start)) if start else None


def predict_before_adaptation(run: Path, faces: np.ndarray) -> np.ndarray | None:
    """Predict target faces by the source stage of a run, as a user would who adapts nothing.

    Args:
        run: the run folder.
        faces: ``(N, S, S, 3)`` RGB or ``(N, S, S)`` grey, uint8, of the size of the run. They are normalised by the
            batch-norm statistics of the source.

    Returns:
        Probabilities ``(N, K) float32``; None without faces, or when the checkpoint is missing.
    """
    checkpoint = source_stage_of(run)
    if checkpoint is None or not len(faces):
        return None
    import torch

    from dcdan.training.checkpoint import load_module, read_checkpoint
    from dcdan.training.forward import predict_features, selected_probabilities
    from dcdan.training.run_folder import read_run_settings

    tensors, metadata = read_checkpoint(checkpoint)
    settings = read_run_settings(run)
    classes = len(metadata["classes"])
    network = settings.build(classes)
    load_module(network, tensors, "network")
    found = predict_features(network, faces, np.arange(len(faces)), torch.device("cpu"), source=True, bf16=False)
    return np.asarray(selected_probabilities(found, torch.zeros(classes)).numpy())


PAGE, PREDICTIONS = "report.html", "predictions.csv"
UNSURE = 0.5
"""Probability below which an answer of a model without a calibration counts as unsure."""
COMPARED = 1000
SHOWN = 3
CHANGED = 12
"""Most faces shown of those whose answer the adaptation changed."""
NOTABLE = 0.02
"""Change of a share that is worth a sentence."""
DOMINANT = 0.8
"""Share of one answer from which on a report advises against the model."""
_DECIDERS = {
    "fused": "global and local features together, sure enough",
    "global": "the global features alone, which were surer",
    "sum": "the sum of all heads, as none was sure enough",
}


@dataclass(frozen=True)
class Answers:
    """Predictions of a model for N faces.

    Attributes:
        classes: ``(N,) int64``, predicted class.
        probabilities: ``(N,) float64``, its probability, 0..1.
        deciders: ``(N,)``, name of the output that decided; None where it is not known.
    """

    classes: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    deciders: NDArray[np.str_] | None = None

    def shares(self, count: int) -> NDArray[np.float64]:
        """Return the share of each class among the predictions.

        Args:
            count: number of classes K.

        Returns:
            ``(K,) float64``, 0..1.

        Example:
            >>> Answers(np.array([0, 0, 2]), np.ones(3)).shares(3).round(2).tolist()
            [0.67, 0.0, 0.33]
        """
        return np.bincount(self.classes, minlength=count) / max(len(self.classes), 1)

    def summary(self, count: int, unsure_below: float = UNSURE) -> dict[str, float]:
        """Return mean probability, share of unsure predictions and share of the most frequent class.

        Args:
            count: number of classes.
            unsure_below: probability below which a prediction is unsure.
        """
        return {
            "confidence": float(self.probabilities.mean()),
            "unsure": float((self.probabilities < unsure_below).mean()),
            "largest": float(self.shares(count).max()),
        }


def write_predictions(run: Path, recogniser: Recogniser, pack: Pack) -> None:
    """Write ``predictions.csv``: a row for every face of a pack, then one for every picture without a face.

    Args:
        run: the run folder.
        recogniser: model of the run.
        pack: the faces.

    Raises:
        OutputError: when the file cannot be written.
    """
    with atomic_text(run / PREDICTIONS, newline="") as file:
        sink = csv_sink(file, recogniser.classes)
        for result in predict_pack(recogniser, pack):
            sink(result)


def read_answers(file: Path, classes: Sequence[str]) -> tuple[Answers, int]:
    """Read the predictions of a ``predictions.csv``.

    Args:
        file: the file.
        classes: names of the classes of the model.

    Returns:
        The predictions in the order of the rows, and the number of rows without one.

    Raises:
        KeyError: when an expression is not one of the classes.
    """
    with file.open(encoding="utf-8", newline="") as handle:
        rows = [(row["expression"], row["probability"], row["decided_by"]) for row in csv.DictReader(handle)]
    given = [row for row in rows if row[0]]
    index = {name: number for number, name in enumerate(classes)}
    answers = Answers(
        np.array([index[name] for name, _, _ in given], np.int64),
        np.array([float(probability) for _, probability, _ in given]),
        np.array([decider for _, _, decider in given], dtype=str),
    )
    return answers, len(rows) - len(given)


def write_run_report(run: Path, target_pack: Pack, *, recogniser: Recogniser | None = None) -> Path:
    """Write ``report.html`` into a finished run, and ``predictions.csv`` where it is missing.

    Args:
        run: the run folder.
        target_pack: the target, opened with ``labelled=False``.
        recogniser: the model of the run where it is loaded already.

    Returns:
        The page.

    Raises:
        ModelError: when the run is not finished, or its predictions are of another pack.
        OutputError: when the page cannot be written.
    """
    from dcdan.methods.base import find_method

    recogniser = recogniser or load(run, align="none")
    classes = recogniser.classes
    if not (run / PREDICTIONS).is_file():
        write_predictions(run, recogniser, target_pack)
    after, failures = read_answers(run / PREDICTIONS, classes)
    if len(after.classes) != len(target_pack):
        raise ModelError(
            f"'{run / PREDICTIONS}' has {len(after.classes)} faces and the target {len(target_pack)}:"
            " remove it and run the same command again."
        )
    metadata = read_run_metadata(run)
    sample = np.unique(np.linspace(0, len(target_pack) - 1, min(COMPARED, len(target_pack))).astype(np.int64))
    faces = np.asarray(target_pack.faces[sample])
    method = find_method(metadata["settings"]["method"])
    earlier = predict_before_adaptation(run, faces) if method.adapts() else None
    # Both sides of the comparison at one temperature: the earlier model has none of its own.
    confidence = None if earlier is None else tempered(earlier, recogniser.info.temperature).max(1)
    before = None if earlier is None or confidence is None else Answers(earlier.argmax(1), confidence)
    calibration = recogniser.info.calibration
    unsure_below = calibration.unsure_below if calibration.faces and calibration.error is not None else UNSURE
    outputs = recogniser.recognise_faces(faces)
    page = render(
        "run.html.j2",
        **_words(run, recogniser, metadata),
        **_shift(classes, metadata, before, after, sample, unsure_below),
        conclusions=conclusions(classes, before, after, sample, unsure_below),
        changed_faces=_changed_faces(classes, before, after, sample, faces),
        **_curves(run, classes),
        faces=len(after.classes),
        failures=failures,
        compared=len(sample),
        unsure_below=unsure_below,
        **_calibration(recogniser, metadata),
        deciders=_deciders(after),
        **_regions(outputs.region_weights),
        sets=_sets(calibration.conformal, outputs.probabilities),
        **_cards(after, target_pack, classes),
    )
    write_text(run / PAGE, page)
    return run / PAGE


def _words(run: Path, recogniser: Recogniser, metadata: Mapping[str, Any]) -> dict[str, Any]:
    from dcdan.methods.base import find_method

    settings, source = metadata["settings"], metadata["source"]
    method = find_method(settings["method"]).title
    preset = f" ({settings['preset']} preset)" if settings["method"] == "dcdan" else ""
    summary = [
        ("method", method + preset),
        ("source", f"{source['spec']}: {source['train']:,} faces to learn from, {source['validation']:,} held out"),
        ("target", f"{metadata['target']['spec']}: {metadata['target']['faces']:,} faces"),
        ("network", f"{settings['network']['trunk']}, faces of {settings['size']} pixels"),
        ("expressions", ", ".join(recogniser.classes)),
        ("passes", f"{settings['source']['epochs']:g} on the source, {settings['adaptation']['epochs']:g} adapting"),
        ("seed", settings["seed"]),
        ("precision", metadata["precision"]),
        ("time", f"{metadata['seconds'] / 60:.1f} minutes"),
    ]
    versions = ", ".join(f"{name} {number}" for name, number in metadata["versions"].items())
    return {
        "name": recogniser.info.name,
        "path": str(run),
        "method": method,
        "source": source,
        "target": metadata["target"],
        "licence": recogniser.info.licence,
        "summary": summary,
        "settings": list(flat(settings)),
        "command": metadata["command"],
        "versions": versions + (f", commit {metadata['commit']}" if metadata["commit"] else ""),
    }


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as dotted names and values.

    Args:
        values: the settings.
        prefix: text before every name.

    Example:
        >>> flat({"seed": 0, "source": {"lr": 0.08}})
        [('seed', '0'), ('source.lr', '0.08')]
    """
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        rows += flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(prefix + key, str(value))]
    return rows


def _shift(
    classes: Sequence[str],
    metadata: Mapping[str, Any],
    before: Answers | None,
    after: Answers,
    sample: NDArray[np.int64],
    unsure_below: float,
) -> dict[str, Any]:
    count = len(classes)
    per_class = metadata["source"].get("per_class", {})
    labels = np.array([per_class.get(name, 0) for name in classes], np.float64)
    columns = {
        "source": labels / labels.sum() if labels.sum() else None,
        "before": None if before is None else before.shares(count),
        "after": after.shares(count),
    }
    shares = [
        {"name": name, **{key: None if column is None else float(column[place]) for key, column in columns.items()}}
        for place, name in enumerate(classes)
    ]
    return {
        "shares": shares,
        "widest": max(float(column.max()) for column in columns.values() if column is not None),
        "before": None if before is None else before.summary(count, unsure_below),
        "after": after.summary(count, unsure_below),
        "changed": None if before is None else float((before.classes != after.classes[sample]).mean()),
    }


def conclusions(
    classes: Sequence[str],
    before: Answers | None,
    after: Answers,
    sample: NDArray[np.int64],
    unsure_below: float = UNSURE,
) -> list[str]:
    """Return what the figures of a report mean, in sentences. No label of the target is used.

    Args:
        classes: the K class names.
        before: predictions for M of the faces by the model before the adaptation; None where there is none.
        after: predictions of the finished model for all N faces.
        sample: ``(M,) int64``, indices of the faces that ``before`` is about.
        unsure_below: probability below which a prediction is unsure.

    Example:
        >>> before = Answers(np.array([0, 0, 1, 1]), np.full(4, 0.6))
        >>> after = Answers(np.array([0, 1, 1, 1]), np.full(4, 0.9))
        >>> conclusions(("fear", "anger"), before, after, np.arange(4))[0]
        'The adaptation changed 25 % of the answers, most often from fear to anger (1 of 1 changes).'
    """
    found = []
    shares = after.shares(len(classes))
    if before is not None and len(sample):
        old, new = before.classes, after.classes[sample]
        changed = old != new
        if changed.any():
            pairs, counts = np.unique(np.stack([old[changed], new[changed]], 1), axis=0, return_counts=True)
            (first, second), most = pairs[counts.argmax()], counts.max()
            found.append(
                f"The adaptation changed {percent(float(changed.mean()))} of the answers, most often from "
                f"{classes[first]} to {classes[second]} ({most:,} of {changed.sum():,} changes)."
            )
        else:
            found.append("The adaptation changed no answer.")
        moves = shares - before.shares(len(classes))
        up, down = int(moves.argmax()), int(moves.argmin())
        if moves[up] >= NOTABLE:
            found.append(
                f"{classes[up].capitalize()} became commoner by {100 * moves[up]:.0f} points, {classes[down]} rarer by "
                f"{-100 * moves[down]:.0f}."
            )
        unsure = [float((each.probabilities < unsure_below).mean()) for each in (before, after)]
        if abs(unsure[1] - unsure[0]) >= NOTABLE:
            word = "Fewer" if unsure[1] < unsure[0] else "More"
            found.append(
                f"{word} answers are unsure: {percent(unsure[1])}, before {percent(unsure[0])}. A surer model is not "
                "always a better one."
            )
    if shares.max() > DOMINANT:
        found.append(
            f"{percent(float(shares.max()))} of the faces are called {classes[int(shares.argmax())]}. Unless your "
            "pictures are like that, do not use this model."
        )
    return found


def _changed_faces(
    classes: Sequence[str],
    before: Answers | None,
    after: Answers,
    sample: NDArray[np.int64],
    faces: NDArray[np.uint8],
) -> dict[str, Any] | None:
    """Draw the changed faces of which the finished model is surest, with both answers; None where none changed."""
    if before is None:
        return None
    changed = np.flatnonzero(before.classes != after.classes[sample])
    if not len(changed):
        return None
    surest = changed[np.argsort(-after.probabilities[sample[changed]], kind="stable")][:CHANGED]
    cells = tuple(
        SheetCell(
            np.asarray(faces[place]),
            (
                Mark(f"{classes[before.classes[place]]} {percent(before.probabilities[place])}"),
                Mark(f"now {classes[after.classes[sample[place]]]} {percent(after.probabilities[sample[place]])}"),
            ),
        )
        for place in surest
    )
    columns = min(CHANGED // 2, len(cells))
    return {
        "png": sheet_png([SheetRow("", cells)], columns=columns),
        "width": columns * 130 + 10,
        "count": len(changed),
    }


def _sets(conformal: Mapping[str, float], probabilities: NDArray[np.float32]) -> dict[str, Any] | None:
    """Return coverage and mean size of the conformal sets of ``(N, K)`` answers, at 90 % where there is that level."""
    if not conformal or not len(probabilities):
        return None
    level = "0.9" if "0.9" in conformal else max(conformal)
    sizes = (probabilities >= conformal[level]).sum(axis=1)
    return {"level": level, "size": float(sizes.mean()), "single": float((sizes <= 1).mean())}


def _curves(run: Path, classes: Sequence[str]) -> dict[str, Any]:
    log = run / "log.jsonl"
    records = read_log(log) if log.is_file() else []
    found = [series(records, f"{stage}-epoch", "source_validation")[1] for stage in ("adaptation", "source")]
    logs = {"this run": log} if records else {}
    return {
        "source_validation": next((values[-1] for values in found if values), None),
        "wide": curves_png(logs, columns=2, classes=classes),
        "narrow": curves_png(logs, columns=1, classes=classes),
    }


def _calibration(recogniser: Recogniser, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Draw the calibration that run.json holds; both values are None where the run was not calibrated."""
    found = metadata.get("calibration") or {}
    if not found.get("after"):
        return {"reliability": None, "calibration": None}
    before, after = (bins_of(found[side]) for side in ("before", "after"))
    told = recogniser.info.calibration
    subtitle = f"calibration error {before.error:.3f}, with the temperature {after.error:.3f} · {told.faces:,} faces"
    calibration = {**found, "error": after.error, "error_before": before.error, "on": told.on}
    return {"reliability": reliability_png(after, before, subtitle=subtitle), "calibration": calibration}


def _regions(weights: NDArray[np.float32]) -> dict[str, Any]:
    means = weights.mean(axis=0).tolist()
    rows = [{"name": name.replace("_", " "), "weight": weight} for name, weight in zip(REGIONS, means, strict=True)]
    return {"regions": rows, "regions_widest": max(means)}


def _deciders(answers: Answers) -> list[dict[str, Any]]:
    deciders = answers.deciders
    assert deciders is not None
    return [{"text": _DECIDERS[name], "share": float((deciders == name).mean())} for name in DECIDERS]


def _cards(answers: Answers, pack: Pack, classes: Sequence[str]) -> dict[str, Any]:
    """Draw for each class its surest and its least sure faces, none of them twice."""
    cards, absent = [], []
    for number, name in enumerate(classes):
        rows = np.flatnonzero(answers.classes == number)
        if not len(rows):
            absent.append(name)
            continue
        ranked = rows[np.argsort(-answers.probabilities[rows], kind="stable")]
        surest = ranked[:SHOWN]
        least = ranked[SHOWN:][-SHOWN:][::-1]
        cells = [
            tuple(SheetCell(np.asarray(pack.faces[row]), (Mark(percent(answers.probabilities[row])),)) for row in part)
            for part in (surest, least)
        ]
        heading = f"{name} · {len(rows):,} faces" if len(rows) > 1 else f"{name} · 1 face"
        picture = sheet_png([SheetRow(heading, cells[0]), SheetRow("least sure", cells[1])], columns=SHOWN)
        cards.append({"name": name, "png": picture, "width": SHOWN * 130 + 10})
    return {"cards": cards, "absent": absent}
