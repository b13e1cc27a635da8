"""The run folder of an adaptation without a source set: what it holds, written whole or not at all."""

from __future__ import annotations

import csv
import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import dcdan
from dcdan.adaptation.extraction import Answers
from dcdan.adaptation.groups import Grouping
from dcdan.core.atomic_io import atomic_text, copy_file, sha256, write_text
from dcdan.core.errors import OutputError, UsageError
from dcdan.core.limits import read_json
from dcdan.correction.arrays import Floats
from dcdan.correction.estimators import AccuracyEstimate
from dcdan.correction.output import OutputCorrection
from dcdan.correction.verdict import Answer, Verdict
from dcdan.inference.model_card import INFO_NAME, ModelInfo, read_model_info, write_model_info

RUN = "run.json"
PREDICTIONS = "predictions.csv"
KIND = "adaptation"


class OutputRun(BaseModel):
    """What was asked of a run: the settings that its answers depend on.

    Attributes:
        target: the text that names the faces.
        model: the start model, as it was named; empty for the package's.
        shares: declared class shares, as they were written; empty for none.
        groups: how groups are taken.
        limit: at most so many pictures.
        align: how faces are framed.
        rungs: what is tried, separated by commas; empty for the output alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    model: str = ""
    shares: str = ""
    groups: Grouping = Grouping.AUTO
    limit: int | None = Field(default=None, ge=1)
    align: str | None = None
    rungs: str = ""


def read_run(folder: Path) -> tuple[OutputRun, dict[str, Any]]:
    """Return the settings of a finished run and the whole content of its ``run.json``.

    Raises:
        UsageError: when the folder holds no run of an adaptation without a source set.
    """
    path = folder / RUN
    try:
        content = read_json(path)
        if content.get("kind") != KIND:
            raise ValueError("another kind of run")
        return OutputRun.model_validate(content["settings"]), content
    except (OSError, ValueError, KeyError, AttributeError, ValidationError) as error:
        raise UsageError(
            f"'{folder}' holds no adaptation without a source set: run `dcdan adapt --target FACES --out"
            f" {folder}` first."
        ) from error


def check_free(folder: Path, settings: OutputRun, *, force: bool) -> None:
    """Refuse a folder that holds another run.

    Raises:
        OutputError: when there is a run with other settings, or another kind of content.
    """
    if force or not folder.exists():
        return
    if (folder / RUN).is_file():
        try:
            before, _ = read_run(folder)
        except UsageError:
            before = None
        if before is None or not _same_faces(before, settings):
            raise OutputError(f"'{folder}' holds another run: choose another --out, or --force to replace it.")
    elif (folder / INFO_NAME).is_file():
        raise OutputError(f"'{folder}' holds a model: choose another --out, or --force to replace it.")


def _same_faces(before: OutputRun, now: OutputRun) -> bool:
    """Return whether two runs differ at most in what the answers of the start model do not depend on."""
    free = {"shares": now.shares, "rungs": now.rungs}
    return before.model_copy(update=free) == now


def write_model(folder: Path, start: Path, correction: OutputCorrection | None) -> ModelInfo:
    """Write the start model with a correction: its files as they are, and a ``model.json`` that stores it.

    Args:
        folder: the run folder.
        start: the folder of the start model.
        correction: None to keep the model as it was.
    """
    info = read_model_info(start)
    for name, digest in info.files.items():
        if (start / name).is_file() and not _is(folder / name, digest):
            copy_file(start / name, folder / name)
    present = {name: digest for name, digest in info.files.items() if (folder / name).is_file()}
    changed = info.model_copy(update={"correction": correction, "files": present})
    write_model_info(folder, changed)
    return changed


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and sha256(path) == digest


def write_run(
    folder: Path, settings: OutputRun, verdict: Verdict, command: str, seconds: float, more: dict[str, Any]
) -> None:
    """Write ``run.json``: settings, versions, the verdict and what it rests on."""
    content = {
        "schema": 1,
        "kind": KIND,
        "command": command,
        "settings": settings.model_dump(mode="json"),
        "verdict": {
            "answer": verdict.answer.value,
            "model": verdict.model,
            "estimate": verdict.estimate.model_dump(),
            "gain": verdict.gain,
            "reason": verdict.reason,
        },
        "versions": {
            "dcdan": dcdan.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "onnxruntime": version("onnxruntime"),
        },
        "seconds": round(seconds, 1),
        **more,
    }
    write_text(folder / RUN, json.dumps(content, indent=1) + "\n")


def verdict_of(content: dict[str, Any]) -> Verdict:
    """Return the verdict that a ``run.json`` holds."""
    found = content["verdict"]
    estimate = AccuracyEstimate.model_validate(found["estimate"])
    return Verdict(Answer(found["answer"]), found["model"], estimate, found["gain"], found["reason"])


def write_predictions(folder: Path, answers: Answers, after: Floats, classes: Sequence[str]) -> None:
    """Write ``predictions.csv``: each face with the answer before and after, then the pictures without a face."""
    before = answers.log_probabilities
    probabilities, names = np.exp(after), np.array(classes)
    old, new = before.argmax(1), after.argmax(1)
    with atomic_text(folder / PREDICTIONS, newline="") as file:
        writer = csv.writer(file)
        head = ["path", "face", "status", "group", "before", "before_probability", "expression", "probability"]
        writer.writerow([*head, *(f"p_{name}" for name in classes)])
        for row in range(len(answers)):
            cells = [answers.paths[row], answers.faces[row], "ok", answers.groups[row]]
            cells += [names[old[row]], f"{np.exp(before[row, old[row]]):.6f}"]
            cells += [names[new[row]], f"{probabilities[row, new[row]]:.6f}"]
            writer.writerow([*cells, *(f"{value:.6f}" for value in probabilities[row])])
        for path, status in answers.without:
            writer.writerow([path, "", status, *[""] * (5 + len(classes))])
