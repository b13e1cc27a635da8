"""Training and scoring of one cell or source stage of a benchmark. What is finished is not trained again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dcdan.benchmark.cells import ANSWERS, EPOCHS, SCORES, read_cell
from dcdan.benchmark.plan import Cell, Plan, PlanDomain, PlanStage
from dcdan.core.atomic_io import atomic_write, write_text
from dcdan.core.errors import UsageError
from dcdan.core.signals import interruptible
from dcdan.evaluation.evaluate import class_indices, evaluate_pack, labels_among, rows_to_score
from dcdan.evaluation.torch_recogniser import TorchRecogniser
from dcdan.expressions import common_classes
from dcdan.packs.build import pack_for
from dcdan.training.device import pick_device
from dcdan.training.forward import predict_features, selected_probabilities
from dcdan.training.model_selection.kept_epochs import drop_epochs, epoch_metadata, load_epoch, read_kept_epochs
from dcdan.training.pretrained import network_of
from dcdan.training.run import train_run
from dcdan.training.run_folder import read_run_metadata
from dcdan.training.source_stage import SOURCE_STAGE

FAILED = "failed.json"
"""File of a cell or source stage that failed: the sentence why."""


def stage_done(stage: PlanStage, out: Path) -> bool:
    """Return whether a source stage has been trained.

    Args:
        stage: the source stage.
        out: folder of the benchmark.
    """
    return (out / stage.folder / "checkpoints" / SOURCE_STAGE).is_file()


def cell_done(cell: Cell, out: Path) -> bool:
    """Return whether a cell has been trained and scored.

    Args:
        cell: the cell.
        out: folder of the benchmark.
    """
    return (out / cell.folder / SCORES).is_file()


def run_stage(stage: PlanStage, out: Path, command: str) -> None:
    """Train a source stage, unless it is finished.

    Args:
        stage: the source stage.
        out: folder of the benchmark.
        command: the command of the user, for ``run.json``.

    Raises:
        Interrupted: when the user stops the training; what was reached is saved.
    """
    if not stage_done(stage, out):
        data = stage.source.data, stage.target.data
        folder = out / stage.folder
        with interruptible(folder):
            train_run(*data, folder, stage.settings, None, True, command, source_stage_only=True)


def run_cell(cell: Cell, plan: Plan, out: Path, command: str) -> None:
    """Train a cell from its finished source stage and score it, unless it is finished.

    Args:
        cell: the cell.
        plan: its plan, for the further test sets.
        out: folder of the benchmark.
        command: the command of the user, for ``run.json``.

    Raises:
        Interrupted: when the user stops the training; what was reached is saved.
    """
    if cell_done(cell, out):
        return
    folder = out / cell.folder
    start = out / cell.stage.folder
    with interruptible(folder):
        train_run(cell.source.data, cell.target.data, folder, cell.settings, start, True, command, graph=False)
        score(cell, plan, folder)


def score(cell: Cell, plan: Plan, folder: Path) -> None:
    """Score a trained cell on the test set of its target and on the further test sets.

    Writes ``answers.npz`` (for each face whether it was classified correctly, and the confidence), ``epochs.json``
    where epochs were kept, and last ``scores.json`` (one report for each test set).

    Args:
        cell: the cell.
        plan: its plan.
        folder: the run folder of the cell.
    """
    recogniser = TorchRecogniser(folder)
    face = recogniser.info.face
    reports: list[dict[str, Any]] = []
    answers: dict[str, np.ndarray] = {}
    tests: list[tuple[str, PlanDomain]] = [("target", cell.target), *(("also", test) for test in plan.also)]
    for kind, test in tests:
        pack = pack_for(test.scored, face.size, face.align, progress=False)
        report = evaluate_pack(recogniser, pack, data=test.scored, split=test.split or None)
        about: dict[str, Any] = {
            "kind": kind,
            "test": test.name,
            "source": cell.source.name,
            "target": cell.target.name,
            "trunk": cell.trunk,
            "key": cell.entry.key,
            "row": cell.entry.name,
            "seed": cell.seed,
            "plan": cell.digest,
            "code": cell.context.code,
            "precision": precision_of(folder),
        }
        if kind == "target":
            about["transductive"] = test.is_transductive(report.split)
        reports.append({**about, **report.to_dict()})
        answers[f"{test.name}/correct"] = report.correct
        answers[f"{test.name}/confidence"] = report.confidence.astype(np.float32)
    if not (folder / EPOCHS).exists() and (epochs := score_epochs(folder, cell.target)):
        write_text(folder / EPOCHS, json.dumps(epochs, indent=1) + "\n")
    drop_epochs(folder)
    with atomic_write(folder / ANSWERS) as beside, beside.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **answers)
    write_text(folder / SCORES, json.dumps(reports, indent=1) + "\n")


def precision_of(folder: Path) -> str:
    """Return the precision of the training of a run, as its ``run.json`` states it; empty where it does not.

    Args:
        folder: the run folder.
    """
    return str(read_run_metadata(folder).get("precision", ""))


def score_epochs(folder: Path, target: PlanDomain) -> list[dict[str, Any]]:
    """Score every epoch that a run kept.

    The accuracies show afterwards how good a choice of epoch would have been. No choice uses them.

    Args:
        folder: the run folder.
        target: the target, whose test set is scored.

    Returns:
        For each epoch its label-free scores and its accuracy on the test set, 0..1; empty where no epochs were kept.
    """
    candidates = read_kept_epochs(folder)
    if not candidates:
        return []
    network, settings, classes = network_of(folder)
    device = pick_device(settings.device)
    network = network.to(device)
    pack = pack_for(target.scored, settings.size, settings.align, progress=False)
    common = common_classes(classes, pack.classes)
    _, rows = rows_to_score(pack, target.split or None, target.scored)
    labels = labels_among(common, pack)[rows]
    rows, labels = rows[labels >= 0], labels[labels >= 0]
    columns = class_indices(common, classes)
    found = []
    for candidate in candidates:
        thresholds = load_epoch(folder, candidate.epoch, network)
        seen = predict_features(network, pack.faces, rows, device, source=False, bf16=False)
        answers = selected_probabilities(seen, thresholds).numpy()[:, columns].argmax(1)
        found.append({**epoch_metadata(candidate), "accuracy": float((answers == labels).mean())})
    return found


def check_cells(cells: Sequence[Cell], out: Path, *, any_revision: bool = False) -> None:
    """Check that the finished cells belong to the plan.

    Args:
        cells: the cells of the plan.
        out: folder of the benchmark.
        any_revision: whether cells of another revision of the code are accepted.

    Raises:
        UsageError: when one was measured with something else; see :func:`check_same`.
        DataError: when the files of one cannot be read.
    """
    for cell in cells:
        if cell_done(cell, out):
            found = read_cell(out, cell.folder, answers=False)
            check_same(cell, found.reports, out / cell.folder / SCORES, any_revision=any_revision)


def check_same(cell: Cell, reports: Sequence[dict[str, Any]], file: Path, *, any_revision: bool = False) -> None:
    """Check that the scores of a cell were measured with what the plan gives it now.

    Args:
        cell: the cell.
        reports: its reports. Where they state no plan, any is accepted.
        file: where they were read from, for the message.
        any_revision: whether another revision of the code is accepted.

    Raises:
        UsageError: when settings, data or start weights were others, or the revision of the code was.
    """
    first = reports[0] if reports else {}
    if first.get("plan", cell.digest) != cell.digest:
        raise UsageError(
            f"'{file}' holds {cell.title}, measured with other settings, data or start weights than the plan gives: "
            "choose another --out and --results, or remove the file and the cell is trained again."
        )
    if not any_revision and first.get("code", "") != cell.context.code:
        raise UsageError(
            f"'{file}' holds {cell.title}, measured by another revision of the code "
            f"({first.get('code') or 'not recorded'}, now {cell.context.code}), so it may not repeat: choose another "
            "--out and --results, remove the file, or accept it with --any-revision."
        )
