"""Answers of one model to faces under known shifts, one ``.npz`` for each; ``grid.py`` calls this.

FERPlus faces are of the validation split, LFW faces of the training part; only the two conditions whose name begins
with ``lfw-test`` read LFW's test part, and no parameter is chosen by them. Each file holds, for N faces, the
log-probabilities of the chosen output, of the global and local heads and of the picture and its mirror image
(N, K) float32, and the labels (N,).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort

from dcdan.corruptions.keyed_random import face_keys, uniforms
from dcdan.corruptions.shifts import Shift, ShiftKind, shifted
from dcdan.packs.pack import Pack

BATCH = 64
ViewOf = Callable[[np.ndarray, list[str]], np.ndarray]


@dataclass(frozen=True)
class Condition:
    """A set of faces under one shift.

    Attributes:
        name: of the condition.
        data: ``ferplus`` or ``lfw``.
        split: of the pack.
        shift: names of the parts that are applied in turn.
        most: at most so many faces; all faces of the rare classes are among them.
        role: ``fit``, ``validate`` (left out of every fit), or ``test`` (LFW's test part).
    """

    name: str
    data: str
    split: str
    shift: tuple[str, ...]
    most: int
    role: str


FACES = 1100
CONDITIONS = (
    Condition("ferplus none", "ferplus", "validation", (), 2 * FACES, "fit"),
    Condition("ferplus blur 3", "ferplus", "validation", ("blur 3",), FACES, "fit"),
    Condition("ferplus blur 5", "ferplus", "validation", ("blur 5",), FACES, "fit"),
    Condition("ferplus noise 3", "ferplus", "validation", ("noise 3",), FACES, "validate"),
    Condition("ferplus noise 5", "ferplus", "validation", ("noise 5",), FACES, "validate"),
    Condition("ferplus lowlight 3", "ferplus", "validation", ("lowlight 3",), FACES, "fit"),
    Condition("ferplus lowlight 5", "ferplus", "validation", ("lowlight 5",), FACES, "fit"),
    Condition("ferplus pose 3", "ferplus", "validation", ("pose 3",), FACES, "validate"),
    Condition("ferplus pose 5", "ferplus", "validation", ("pose 5",), FACES, "validate"),
    Condition("ferplus night", "ferplus", "validation", ("lowlight 3", "noise 2", "half"), FACES, "fit"),
    Condition("ferplus film", "ferplus", "validation", ("film", "blur 3", "crop"), FACES, "validate"),
    Condition("ferplus call", "ferplus", "validation", ("jpeg 5", "contrast 4"), FACES, "fit"),
    Condition("ferplus ward", "ferplus", "validation", ("pose 3", "occlusion 2", "jpeg 3"), FACES, "validate"),
    Condition("lfw none", "lfw", "train", (), 1800, "fit"),
    Condition("lfw film", "lfw", "train", ("film", "blur 3", "crop"), FACES, "fit"),
    Condition("lfw-test none", "lfw", "test", (), 2260, "test"),
    Condition("lfw-test ward", "lfw", "test", ("pose 3", "occlusion 2", "jpeg 3"), FACES, "test"),
)
"""Half of the shifts fit the rule; noise, pose, film look on FERPlus and the ward are left out of every fit."""


def half(faces: np.ndarray, _: list[str]) -> np.ndarray:
    """Return faces at half their resolution, enlarged again."""
    side = faces.shape[1]
    small = [cv2.resize(face, (side // 2, side // 2), interpolation=cv2.INTER_AREA) for face in faces]
    return np.stack([cv2.resize(face, (side, side), interpolation=cv2.INTER_LINEAR) for face in small])


def film(faces: np.ndarray, _: list[str]) -> np.ndarray:
    """Return grey faces with lifted shadows and rolled-off lights, as on old film."""
    grey = faces.mean(-1) if faces.ndim == 4 else faces.astype(np.float64)
    toned = 255 * (0.12 + 0.7 * (grey / 255) ** 1.3)
    byte = np.rint(np.clip(toned, 0, 255)).astype(np.uint8)
    return np.repeat(byte[..., None], 3, axis=3) if faces.ndim == 4 else byte


def crop(faces: np.ndarray, paths: list[str]) -> np.ndarray:
    """Return faces off the centre by up to 8 % of the side and larger or smaller by up to 10 %."""
    side = faces.shape[1]
    across, down, size = uniforms(face_keys(paths, [0] * len(paths), 0, "crop"), 3).T * 2 - 1
    found = []
    for face, x, y, scale in zip(faces, across, down, 1 + 0.1 * size, strict=True):
        middle = side / 2
        corner = middle - scale * middle
        matrix = np.array([[scale, 0, corner + 0.08 * side * x], [0, scale, corner + 0.08 * side * y]])
        found.append(cv2.warpAffine(face, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE))
    return np.stack(found)


PARTS: dict[str, ViewOf] = {"half": half, "film": film, "crop": crop}


def looked(faces: np.ndarray, parts: tuple[str, ...], paths: list[str]) -> np.ndarray:
    """Return faces (N, S, S[, 3]) uint8 after all parts of a mixed shift."""
    for part in parts:
        if part in PARTS:
            faces = PARTS[part](faces, paths)
        else:
            kind, severity = part.split()
            known: ShiftKind = kind  # type: ignore[assignment]
            faces = shifted(faces, Shift(kind=known, severity=int(severity)), paths, [0] * len(paths))
    return faces


def chosen_rows(labels: np.ndarray, rows: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many rows: of each class 60 or all, the rest drawn from all classes."""
    rows = np.random.default_rng(0).permutation(rows[labels[rows] >= 0])
    place = np.empty(len(rows), np.int64)
    for label in np.unique(labels[rows]):
        own = labels[rows] == label
        place[own] = np.arange(own.sum())
    order = np.argsort(np.where(place < 60, 0, 1), kind="stable")
    return np.sort(rows[order[:most]])


class Network:
    """A model whose heads, and the two views of a mirrored model, are read from inside its graph.

    Args:
        folder: the model.
        threads: of ONNX Runtime.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        model = onnx.load(folder / "model.onnx")
        self.views, self.heads = inner_names(model.graph)
        names = [*([self.views] if self.views else []), *self.heads]
        model.graph.output.extend([onnx.helper.make_empty_tensor_value_info(name) for name in names])
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.outputs = ["probabilities", *names]

    def answer(self, faces: np.ndarray) -> dict[str, np.ndarray]:
        """Return log-probabilities of N faces (N, S, S, 3) uint8: chosen, heads, views."""
        found: dict[str, list[np.ndarray]] = {}
        for start in range(0, len(faces), BATCH):
            batch = np.ascontiguousarray(faces[start : start + BATCH])
            values = dict(zip(self.outputs, self.session.run(self.outputs, {self.input: batch}), strict=True))
            part = {"chosen": values["probabilities"]}
            for name, output in zip(("global", "local"), self.heads, strict=False):
                part[name] = np.exp(values[output])
            if self.views:
                part["view"], part["mirror"] = values[self.views][: len(batch)], values[self.views][len(batch) :]
            for name, value in part.items():
                found.setdefault(name, []).append(np.log(np.maximum(value, 1e-12)).astype(np.float32))
        return {name: np.concatenate(parts) for name, parts in found.items()}


def inner_names(graph: onnx.GraphProto) -> tuple[str, list[str]]:
    """Return the value of the fused head's probabilities of both views, and of the log-probabilities of both heads.

    The graph of a model of this package ends in three heads, each ``Gemm -> Softmax -> (Reshape, ReduceMean over
    views) -> Clip -> Log``, of the fused, the global and the local features.
    """
    by_output = {node.output[0]: node for node in graph.node}
    heads: list[tuple[str, str]] = []
    for node in graph.node:
        if node.op_type != "Log":
            continue
        passed, at = [], node
        while at is not None and at.op_type in ("Log", "Clip", "ReduceMean", "Reshape", "Softmax"):
            passed.append(at)
            at = by_output.get(at.input[0])
        kinds = [each.op_type for each in passed]
        if at is not None and at.op_type == "Gemm" and kinds[-1] == "Softmax":
            heads.append((passed[-1].output[0] if "ReduceMean" in kinds else "", node.output[0]))
    if len(heads) != 3:
        return "", []
    return heads[0][0], [heads[1][1], heads[2][1]]


def predict_condition(network: Network, pack: Pack, condition: Condition, size: int, file: Path) -> None:
    """Write the answers of a model to one condition."""
    rows = chosen_rows(np.asarray(pack.labels), pack.select(condition.split), condition.most)
    paths = [str(pack.paths[row]) for row in rows]
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(rows), 4 * BATCH):
        part = slice(start, start + 4 * BATCH)
        faces = looked(np.asarray(pack.faces[rows[part]]), condition.shift, paths[part])
        small = np.stack([cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA) for face in faces])
        if small.ndim == 3:
            small = np.repeat(small[..., None], 3, axis=3)
        for name, value in network.answer(small).items():
            found.setdefault(name, []).append(value)
    arrays = {name: np.concatenate(parts) for name, parts in found.items()}
    np.savez(file, **arrays, labels=np.asarray(pack.labels)[rows])
