"""A folder of faces, a model and a source-free method: the adapted model, written as a run that `predict` reads.

This is `dcdan adapt --target FACES --method NAME` without a source set, for the published methods. It gives no verdict:
without labels nobody knows whether such a method helped.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dcdan.core.atomic_io import atomic_text, atomic_write, sha256, write_text
from dcdan.core.console import progress_bar
from dcdan.core.errors import DataError, OutputError, UsageError
from dcdan.core.limits import read_json
from dcdan.core.locks import LOCK, folder_lock
from dcdan.core.signals import finish_or_stop, interruptible, stoppable
from dcdan.correction.shares import parse_shares
from dcdan.inference.model_card import GRAPH_NAME, INFO_NAME, WEIGHTS_NAME, ModelInfo, read_model_info, write_model_info
from dcdan.inference.resolver import resolve_model
from dcdan.inference.session import in_rgb
from dcdan.methods.source_free.base import Context, SourceFreeMethod, find_source_free
from dcdan.models.deploy import Deployed, export_onnx
from dcdan.models.network import Network
from dcdan.packs.build import pack_for
from dcdan.packs.pack import Pack
from dcdan.training.checkpoint import save_tensors
from dcdan.training.forward import CHUNK
from dcdan.training.pretrained import network_of_model
from dcdan.training.settings import assign, check, set_nested
from dcdan.training.source_free import Adaptation, AdaptSettings, adapt_network
from dcdan.training.source_memory import memory_of_model

RUN = "run.json"
PREDICTIONS = "predictions.csv"
CHECKPOINT = "adaptation.safetensors"
KIND = "source-free"
OPTIONS = "options"


@dataclass(frozen=True)
class MethodRun:
    """A finished adaptation by a published method.

    Attributes:
        folder: the run folder.
        faces: number of target faces.
        steps: number of optimiser steps.
        changed: share of the faces whose answer changed.
        seconds: time that it took.
        warning: a sentence when the answers collapsed to one class, else empty.
        joint: whether only ``predictions.csv`` holds the method's answers, because it leaves the model as it is.
    """

    folder: Path
    faces: int
    steps: int
    changed: float
    seconds: float
    warning: str
    joint: bool

    def lines(self) -> list[str]:
        """Return what a person should read, a line each.

        Returns:
            Sentences.
        """
        told = [
            f"{self.faces:,} faces, {self.steps:,} step{'s' if self.steps != 1 else ''}, {self.seconds:.0f} seconds; "
            f"{100 * self.changed:.0f} % of the answers changed."
        ]
        if self.joint:
            told.append(f"The method answers these faces only, in {self.folder / PREDICTIONS}; the model is unchanged.")
        told.append(self.warning or "Whether they are better cannot be told without labels.")
        return told


def parse_settings(
    method: type[SourceFreeMethod], assignments: Sequence[str], **given: Any
) -> tuple[AdaptSettings, dict[str, Any]]:
    """Return the settings of the loop and of the method from texts such as ``lr=.01`` and ``options.margin=.3``.

    Args:
        method: the method.
        assignments: ``key=value`` texts.
        **given: settings by name, where two underscores lead into a table; None is ignored.

    Returns:
        Settings of the loop, and those of the method that differ from its own.

    Raises:
        UsageError: when a setting is unknown or wrong.

    Example:
        >>> settings, options = parse_settings(find_source_free("eata"), ["lr=.01", "options.margin=.3"])
        >>> settings.lr, options
        (0.01, {'margin': 0.3})
    """
    values: dict[str, Any] = {}
    for name, value in given.items():
        if value is not None:
            set_nested(values, name.split("__"), value)
    assign(values, list(assignments))
    options = values.pop(OPTIONS, {})
    own = check(method.Settings, options, f"{OPTIONS}.")
    return check(AdaptSettings, values), own.model_dump(mode="json", exclude_unset=True)


def adapt_by_method(
    target: str | Path,
    out: str | Path,
    method: str,
    *,
    model: str | Path | None = None,
    settings: AdaptSettings | None = None,
    options: Mapping[str, Any] | None = None,
    neutral: Sequence[int] = (),
    shares: str | Mapping[str, float] | None = None,
    limit: int | None = None,
    force: bool = False,
    progress: bool = False,
    command: str = "adapt_by_method(...)",
) -> MethodRun:
    """Adapt a model to unlabelled faces by a published method, and write the result as a run.

    Args:
        target: a pack, spec or folder of pictures; labels are never read.
        out: the run folder; the same call resumes one that was stopped.
        method: a name that :func:`source_free_methods` lists.
        model: the model to start from; None for the package's.
        settings: values that differ from the method's recipe, seed and device.
        options: settings of the method itself.
        neutral: rows of faces that are known to be neutral, for methods that need some.
        shares: class shares that you know the target to have, for methods that use them: ``balanced``, ``source``, or
            class -> share.
        limit: use so many faces at most, the first ones.
        force: replace another run.
        progress: show a bar on stderr when that is a terminal.
        command: recorded in ``run.json``.

    Returns:
        What was done.

    Raises:
        UsageError: when the method or a setting is unknown, or the model was corrected already.
        DataError: when there are fewer than two faces.
        ModelError: when the model is damaged.
        OutputError: when the folder holds something else or cannot be written.
        TrainingError: when a loss is not finite.
        Interrupted: by Ctrl-C or SIGTERM; the same call resumes.

    Example:
        >>> adapt_by_method("photos/", "runs/tent", "tent").lines()  # doctest: +SKIP
    """
    begun = time.monotonic()
    kind = find_source_free(method)
    own = check(kind.Settings, options or {}, f"{OPTIONS}.")
    chosen = settings or AdaptSettings()
    start = resolve_model(model).folder
    network, info = network_of_model(start)
    if info.correction is not None:
        raise UsageError(f"The model '{model}' was corrected already: give the model that it started from.")
    out = Path(out)
    known = None
    if shares is not None:
        text = shares if isinstance(shares, str) else ",".join(f"{name}={value}" for name, value in shares.items())
        known = tuple(parse_shares(text, info.classes, info.class_prior or None).tolist())
    asked = {
        "target": str(target),
        "model": dict(info.files),
        "method": method,
        "options": own.model_dump(mode="json"),
        "loop": chosen.model_dump(mode="json", exclude={"device", "save_seconds"}),
        "neutral": list(neutral),
        "shares": known,
        "limit": limit,
    }
    with interruptible(out), folder_lock(out):
        _check_free(out, asked, force=force)
        pack = pack_for(str(target), info.face.size, info.face.align, labelled=False, progress=progress)
        rows = pack.select()[:limit]
        if len(rows) == 0:
            raise DataError(f"There is no face in '{target}': give pictures that show faces.")
        faces = np.asarray(pack.faces if len(rows) == len(pack) else pack.faces[rows])
        before = probabilities_of(network, info, faces)
        memory = memory_of_model(start, info)
        made = kind(own, network, Context(info.classes, len(faces), tuple(neutral), known, memory))
        write_text(out / RUN, json.dumps({"kind": KIND, "schema": 1, "finished": False, "settings": asked}) + "\n")
        done = _run(network, faces, made, chosen, out, progress)
        finish_or_stop(done.finished, out)
        network.cpu()
        after = probabilities_of(network, info, faces) if done.answers is None else np.exp(done.answers)
        changed = float((after.argmax(1) != before.argmax(1)).mean())
        write_adapted_model(out, network, info, method)
        _write_predictions(out, pack, rows, after, info.classes)
        result = MethodRun(
            out, len(faces), done.steps, changed, time.monotonic() - begun, done.warning, done.answers is not None
        )
        _write_run(out, asked, result, done, command)
    return result


@torch.no_grad()
def probabilities_of(network: Network, info: ModelInfo, faces: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the answers of a network as its exported graph gives them: choice of heads, temperature, mirror images.

    Args:
        network: the network, on the CPU.
        info: the description of the model.
        faces: ``(N, S, S)`` or ``(N, S, S, 3)`` uint8.

    Returns:
        ``(N, K)`` probabilities.
    """
    deployed = Deployed(network, torch.tensor(info.thresholds), info.temperature, info.mirror).eval()
    parts = []
    for begin in range(0, len(faces), CHUNK):
        batch = in_rgb(np.array(faces[begin : begin + CHUNK]))  # a copy, since a pack may not be written to
        parts.append(deployed(torch.from_numpy(batch))[0])
    return torch.cat(parts).double().numpy()


def _check_free(out: Path, asked: dict[str, Any], *, force: bool) -> None:
    """Refuse a folder that holds something else; drop the state of another run where it may be replaced."""
    present = [path for path in out.iterdir() if path.name != LOCK]
    try:
        content = read_json(out / RUN) if present else {"settings": asked, "kind": KIND}
        same = content.get("kind") == KIND and content.get("settings") == asked
    except (OSError, ValueError, AttributeError):
        same = False
    if same:
        return
    if not force:
        raise OutputError(f"'{out}' holds another run: choose another --out, or --force to replace it.")
    for name in (INFO_NAME, CHECKPOINT, f"previous-{CHECKPOINT}", PREDICTIONS):
        (out / name).unlink(missing_ok=True)


def _run(
    network: Network, faces: NDArray[np.uint8], made: SourceFreeMethod, chosen: AdaptSettings, out: Path, shown: bool
) -> Adaptation:
    steps = chosen.applied_to(made.recipe).steps(len(faces)) if chosen.steps is None else chosen.steps
    with stoppable() as stop, progress_bar(made.title, steps, shown=shown and steps > 0) as advance:
        seen = 0

        def tell(step: int, steps: int, losses: dict[str, float]) -> None:  # noqa: ARG001
            nonlocal seen
            advance(step - seen)
            seen = step

        try:
            return adapt_network(network, faces, made, chosen, tell, stop.is_set, checkpoint=out / CHECKPOINT)
        except OSError as error:
            raise OutputError(f"'{out / CHECKPOINT}' cannot be written ({error.strerror or error}).") from error


def write_adapted_model(out: Path, network: Network, info: ModelInfo, method: str) -> None:
    """Write weights, ONNX graph and description of an adapted network.

    Args:
        out: the folder.
        network: the network, on the CPU.
        info: the description of the model that it started from.
        method: what changed it, for the description.
    """
    with atomic_write(out / WEIGHTS_NAME) as beside:
        save_tensors({name: value.contiguous() for name, value in network.state_dict().items()}, beside)
    with atomic_write(out / GRAPH_NAME) as beside:
        deployed = Deployed(network, torch.tensor(info.thresholds), info.temperature, info.mirror)
        export_onnx(deployed, info.face.size, beside)
    files = {name: sha256(out / name) for name in (GRAPH_NAME, WEIGHTS_NAME)}
    training = {**info.training, "source_free_method": method}
    write_model_info(out, info.model_copy(update={"files": files, "training": training}))
    read_model_info(out)


def _write_predictions(
    out: Path, pack: Pack, rows: NDArray[np.int64], probabilities: NDArray[np.float64], classes: Sequence[str]
) -> None:
    paths, numbers = pack.paths, pack.face_numbers
    with atomic_text(out / PREDICTIONS, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "face", "status", "expression", "probability", *(f"p_{name}" for name in classes)])
        for row, each in zip(rows.tolist(), probabilities, strict=True):
            best = int(each.argmax())
            cells = [paths[row], numbers[row], "ok", classes[best], f"{each[best]:.6f}"]
            writer.writerow([*cells, *(f"{value:.6f}" for value in each)])
        for path, status in pack.failures():
            writer.writerow([path, "", status, *[""] * (2 + len(classes))])


def _write_run(out: Path, asked: dict[str, Any], result: MethodRun, done: Adaptation, command: str) -> None:
    content = {
        "schema": 1,
        "kind": KIND,
        "finished": True,
        "command": command,
        "settings": asked,
        "faces": result.faces,
        "steps": result.steps,
        "losses": done.losses,
        "class_shares": {"before": done.before.tolist(), "after": done.class_shares.tolist()},
        "changed": result.changed,
        "warning": result.warning,
        "versions": {name: version(name) for name in ("dcdan", "torch", "onnxruntime")},
        "seconds": round(result.seconds, 1),
    }
    write_text(out / RUN, json.dumps(content, indent=1) + "\n")
