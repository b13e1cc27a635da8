"""Export of a run: the fp32 graph, an int8 graph beside it, and ``export.json`` with the differences between them.

Compared are size, speed, agreement on target faces and accuracy on held-out source faces.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dcdan.core.atomic_io import atomic_write, check_target, sha256, write_bytes, write_text
from dcdan.core.errors import DcdanError, UsageError, unknown
from dcdan.export.quantise import ACTIVATIONS, Activations, Parts, quantise
from dcdan.inference.model_card import (
    GRAPH_NAME,
    INFO_NAME,
    INT8_NAME,
    ModelInfo,
    read_model_info,
    verified,
    write_model_info,
)
from dcdan.inference.resolver import WEIGHTS, hub_folder, resolve_model
from dcdan.inference.session import Session, in_rgb, read_graph
from dcdan.training.run_folder import data_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dcdan.packs.pack import Pack


@dataclass(frozen=True)
class Exported:
    """The files of an export and what was measured of them. Shares are 0..1, differences are of probabilities.

    Attributes:
        folder: folder of the files.
        megabytes: precision -> size of the graph.
        milliseconds: precision -> faces in a batch -> least processor time for one face, one thread, milliseconds.
        parity: faces in a batch -> largest difference between the fp32 graph and the network in PyTorch.
        rounding: faces in a batch -> largest difference between int8 and fp32.
        accuracy: precision -> accuracy on held-out source faces; empty where there are none.
        source_faces: number of these faces.
        agreement: share of target faces for which both graphs predict the same; None without int8.
        target_faces: number of these faces.
        notes: warnings, in sentences.
    """

    folder: Path
    megabytes: dict[str, float]
    milliseconds: dict[str, dict[int, float]]
    parity: dict[int, float] = field(default_factory=dict)
    rounding: dict[int, float] = field(default_factory=dict)
    accuracy: dict[str, float] = field(default_factory=dict)
    source_faces: int = 0
    agreement: float | None = None
    target_faces: int = 0
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the folder as plain JSON types, with the versions of dcdan and ONNX Runtime."""
        metadata = {name: value for name, value in asdict(self).items() if name != "folder"}
        return {"schema": 1, **metadata, "versions": {name: version(name) for name in ("dcdan", "onnxruntime")}}

    def table(self) -> RenderableType:
        """Return the figures as an object that a rich console prints."""
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        body = Table(box=SIMPLE_HEAD)
        body.add_column("")
        for name in self.megabytes:
            body.add_column(name, justify="right")
        body.add_row("size, MB", *(f"{size:.2f}" for size in self.megabytes.values()))
        for batch in next(iter(self.milliseconds.values())):
            body.add_row(
                f"ms a face, batch {batch}, one thread",
                *(f"{found[batch]:.2f}" for found in self.milliseconds.values()),
            )
        if self.accuracy:
            body.add_row(
                f"accuracy on {self.source_faces:,} held-out source faces, %",
                *(f"{100 * share:.2f}" for share in self.accuracy.values()),
            )
        lines = [f"Written to {self.folder}."]
        if self.parity:
            lines.append(f"fp32 graph against torch, largest difference: {_by_batch(self.parity)}.")
        if self.agreement is not None:
            lines.append(f"int8 against fp32, largest difference: {_by_batch(self.rounding)}.")
            lines.append(f"Both give one answer on {100 * self.agreement:.1f} % of {self.target_faces:,} target faces.")
        return Group(body, *map(Text, lines), *(Text(note, style="yellow") for note in self.notes))


def _by_batch(values: dict[int, float]) -> str:
    return ", ".join(f"{value:.1e} at batch {batch}" for batch, value in values.items())


REPORT_NAME = "export.json"
CALIBRATED = 256
"""Target faces by which the ranges of int8 are set."""
COMPARED = 2000
"""Other faces of each domain at most on which both graphs are compared."""
BATCHES = (1, 2, 7)
TIMED = {1: 200, 32: 20}
"""Faces in a batch -> how often it is timed."""
LOST = 0.01
"""Accuracy that int8 may lose without a warning."""
_PIECE = 16


def export(
    run: str | Path,
    out: Path | None = None,
    *,
    int8: bool = True,
    faces: str | None = None,
    force: bool = False,
    progress: bool = True,
    parts: Parts = "convolutions",
    activations: Activations = "unsigned",
) -> Exported:
    """Write the graphs of a run, compare them, and write ``export.json`` beside them.

    A run without a graph, such as a cell of a benchmark, gets one.

    Args:
        run: a finished run, or another model; see :func:`dcdan.inference.resolver.resolve_model`.
        out: folder for ``model.onnx``, ``model.json`` and the rest; None adds to the run.
        int8: whether to make ``model-int8.onnx``.
        faces: a pack, spec or folder of faces like those that the int8 graph will be used on; None for the target of
            the run.
        force: replace files of an earlier export.
        progress: show a bar while a pack is built.
        parts: parts that become int8; see :func:`dcdan.export.quantise.quantise`.
        activations: sign of int8 activations; see there.

    Returns:
        The files and measurements.

    Raises:
        ModelError: when the run has no model, or a damaged one.
        UsageError: when int8 needs faces and the target of the run is missing, or ``activations`` is unknown.
        OutputError: when a file exists already.
    """
    if activations not in ACTIVATIONS:
        raise unknown("kind of activations", activations, ACTIVATIONS)
    run = _writable_run(run, out)
    info = read_model_info(run)
    folder = run if out is None else out
    copied, new = folder.resolve() != run.resolve(), GRAPH_NAME not in info.files
    if not new:
        read_graph(verified(run, info))
    names = {REPORT_NAME: True, INT8_NAME: int8, GRAPH_NAME: copied or new, INFO_NAME: copied}
    for name in (name for name, made in names.items() if made):
        check_target(folder / name, force=force)
    data = data_of(run)
    target = _target(run, info, faces or data.get("target"), progress) if int8 else None
    graph = folder / GRAPH_NAME
    if new:
        _write_graph(run, graph)
    elif copied:
        write_bytes(graph, (run / GRAPH_NAME).read_bytes())
    if target is not None:
        used, rest = _split(target)
        with atomic_write(folder / INT8_NAME) as beside:
            quantise(graph, face_batches(target.faces, used), beside, parts, activations)
    _describe(run, folder, [GRAPH_NAME] * new + [INT8_NAME] * int8)
    sessions = {"fp32": Session(graph, info, 1)}
    if target is not None:
        sessions["int8"] = Session(folder / INT8_NAME, info, 1)
    found = _measured(run, folder, info, sessions, data, (target, rest) if target is not None else None, progress)
    write_text(folder / REPORT_NAME, json.dumps(found.to_dict(), indent=1) + "\n")
    return found


def _writable_run(model: str | Path, out: Path | None) -> Path:
    """Return the folder of a model; one of the package or the hub is not written into."""
    folder = resolve_model(model).folder
    if out is None and any(folder.resolve().is_relative_to(own.resolve()) for own in (WEIGHTS, hub_folder())):
        raise UsageError(f"'{model}' is not a run of yours, so nothing is added to it: give a folder with --out.")
    return folder


def _write_graph(run: Path, graph: Path) -> None:
    """Write the graph of a run that left it out, as the training would have."""
    from dcdan.evaluation.torch_recogniser import deployed_of
    from dcdan.models.deploy import export_onnx

    deployed, info, _ = deployed_of(run)
    with atomic_write(graph) as beside:
        export_onnx(deployed, info.face.size, beside)


def _target(run: Path, info: ModelInfo, spec: str | None, progress: bool) -> Pack:
    from dcdan.packs.build import pack_for

    if not spec:
        raise UsageError(f"'{run}' does not record its target faces: give some with --faces, or --no-int8.")
    try:
        return pack_for(spec, info.face.size, info.face.align, labelled=False, progress=progress)
    except DcdanError as error:
        raise UsageError(
            f"int8 is set by target faces and '{spec}' cannot be used: give others with --faces, or --no-int8 ({error})"
        ) from error


def _split(pack: Pack) -> tuple[np.ndarray, np.ndarray]:
    """Return rows to set the ranges by and, where there are enough, others to compare on; both drawn at random."""
    mixed = np.random.default_rng(0).permutation(pack.select())
    used, rest = mixed[:CALIBRATED], mixed[CALIBRATED : CALIBRATED + COMPARED]
    return np.sort(used), np.sort(rest if len(rest) >= len(used) else mixed)


def face_batches(faces: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield faces in batches, in RGB.

    Args:
        faces: ``(N, S, S, 3)`` RGB or ``(N, S, S)`` grey, uint8.
        rows: ``(M,)`` indices of the faces to yield.

    Yields:
        ``(B, S, S, 3) uint8``, B at most 16.

    Example:
        >>> [batch.shape for batch in face_batches(np.zeros((40, 8, 8), np.uint8), np.arange(20))]
        [(16, 8, 8, 3), (4, 8, 8, 3)]
    """
    for start in range(0, len(rows), _PIECE):
        yield in_rgb(faces[rows[start : start + _PIECE]])


def _describe(run: Path, folder: Path, new: Sequence[str]) -> None:
    """Write ``model.json`` with the checksums of what lies beside it, ``new`` graphs among them."""
    info = read_model_info(run)
    copied = folder.resolve() != run.resolve()
    files = {name: value for name, value in info.files.items() if not copied or name == GRAPH_NAME}
    files |= {name: sha256(folder / name) for name in new}
    write_model_info(folder, info.model_copy(update={"files": files}))


def _measured(
    run: Path,
    folder: Path,
    info: ModelInfo,
    sessions: dict[str, Session],
    data: dict[str, str],
    target: tuple[Pack, np.ndarray] | None,
    progress: bool,
) -> Exported:
    notes: list[str] = []
    shown = np.random.default_rng(0).integers(0, 256, (max(BATCHES), info.face.size, info.face.size, 3), np.uint8)
    rounding: dict[int, float] = {}
    agreement, target_faces = None, 0
    if target is not None:
        pack, rows = target
        answers = {name: session.run(pack.faces[rows]) for name, session in sessions.items()}
        agreement = float((answers["int8"].expression == answers["fp32"].expression).mean())
        target_faces = len(rows)
        shown = in_rgb(np.resize(pack.faces[rows[: max(BATCHES)]], (max(BATCHES), *pack.faces.shape[1:])))
        rounding = {
            batch: _difference(*(session.run(shown[:batch]) for session in sessions.values())) for batch in BATCHES
        }
    parity: dict[int, float] = {}
    try:
        parity = _parity(run, info, sessions["fp32"], shown)
    except DcdanError as error:
        notes.append(f"Not compared with the network in torch: {error}")
    accuracy: dict[str, float] = {}
    source_faces = 0
    try:
        faces, labels = _held_out(data, info, progress)
        source_faces = len(labels)
        accuracy = {name: float((s.run(faces).expression == labels).mean()) for name, s in sessions.items()}
    except DcdanError as error:
        notes.append(f"No accuracy on held-out source faces: {error}")
    milliseconds = measure_latency(list(sessions.values()), shown)
    speeds = dict(zip(sessions, milliseconds, strict=True))
    if accuracy and min(accuracy.values()) < accuracy["fp32"] - LOST:
        notes.append(f"int8 loses more than {100 * LOST:g} point on source faces: keep to fp32, or give more --faces.")
    for batch in TIMED:
        if "int8" in speeds and speeds["int8"][batch] >= speeds["fp32"][batch]:
            notes.append(f"int8 is slower than fp32 here at batch {batch}: use it for its size, or not at all.")
    sizes = {"fp32": GRAPH_NAME, "int8": INT8_NAME}
    return Exported(
        folder,
        {name: (folder / sizes[name]).stat().st_size / 1e6 for name in sessions},
        speeds,
        parity,
        rounding,
        accuracy,
        source_faces,
        agreement,
        target_faces,
        tuple(notes),
    )


def _parity(run: Path, info: ModelInfo, session: Session, faces: np.ndarray) -> dict[int, float]:
    """Return by batch the largest difference of probabilities between the graph and the network in torch."""
    import torch

    from dcdan.models.deploy import Deployed
    from dcdan.training.pretrained import network_of

    network, _, _ = network_of(run)
    deployed = Deployed(network, torch.tensor(info.thresholds), info.temperature, info.mirror).eval()
    found = {}
    with torch.no_grad():
        for batch in BATCHES:
            wanted = deployed(torch.from_numpy(np.ascontiguousarray(faces[:batch])))[0].numpy()
            found[batch] = float(np.abs(wanted - session.run(faces[:batch]).probabilities).max())
    return found


def _difference(one: Any, other: Any) -> float:
    return float(np.abs(one.probabilities - other.probabilities).max())


def _held_out(data: dict[str, str], info: ModelInfo, progress: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return held-out source faces and their classes as the model numbers them."""
    from dcdan.packs.build import pack_for
    from dcdan.training.data import merged, source_specs, sources_of
    from dcdan.training.model_selection.epoch_evaluation import subsample

    if not (specs := source_specs(data)):
        raise UsageError("the run does not record its source data.")
    packs = [pack_for(spec, info.face.size, info.face.align, progress=progress) for spec in specs]
    source = merged(sources_of(packs, info.classes, soft_votes=False))
    rows = subsample(source.validation, COMPARED)
    own = np.array([info.classes.index(name) for name in source.classes])
    return np.asarray(source.faces[rows]), own[source.hard[rows]]


def measure_latency(sessions: Sequence[Session], faces: np.ndarray) -> list[dict[int, float]]:
    """Measure the processor time of sessions that use one thread.

    The least of many interleaved runs is taken, since other work on the machine can only add time.

    Args:
        sessions: the sessions.
        faces: ``(N, S, S, 3) uint8``; they are repeated to fill a batch.

    Returns:
        For each session: faces in a batch -> milliseconds for one face.
    """
    best: list[dict[int, float]] = [{} for _ in sessions]
    for batch, times in TIMED.items():
        shown = np.resize(faces, (batch, *faces.shape[1:]))
        for turn in range(times + 1):
            for session, found in zip(sessions, best, strict=True):
                began = time.thread_time()
                session.run(shown)
                spent = 1000 * (time.thread_time() - began) / batch
                if turn:  # the first run is for warming up
                    found[batch] = min(spent, found.get(batch, spent))
    return best
