"""Run an exported network in ONNX Runtime: uint8 faces in, probabilities out, in batches of bounded size.

The file is checked first: it may not refer to weights in another file, which could be any file, and may not contain
loops, which may not terminate. The check parses only the protocol buffer messages involved and needs no ``onnx``
package.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcdan.core.errors import DcdanError, ModelError, first_line
from dcdan.core.onnx_runtime import OnnxSession
from dcdan.core.outputs import ACTIONS_OUTPUT, DECIDERS, OUTPUTS, REGIONS
from dcdan.inference.model_card import ModelInfo

__all__ = ["DECIDERS", "OUTPUTS", "REGIONS", "Session", "SessionOutputs", "in_rgb", "read_graph"]

MOST_GRAPH_BYTES = 1 << 31
"""Maximum size of a protocol buffer in bytes."""

# Numbers of fields: onnx/onnx.proto3.
_GRAPH, _FUNCTIONS = 7, 25
_INITIALIZER, _SPARSE = 5, 15
_NODE_ATTRIBUTE = 5
_TENSOR, _ONE_GRAPH, _TENSORS, _GRAPHS, _SPARSE_TENSOR, _SPARSE_TENSORS = 5, 6, 10, 11, 22, 23
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


def read_graph(path: Path) -> bytes:
    """Return the content of an ONNX file after checking it.

    Args:
        path: The file.

    Returns:
        The bytes of the file.

    Raises:
        ModelError: The file is too large, is not ONNX, or contains a forbidden element.
    """
    size = path.stat().st_size
    if size > MOST_GRAPH_BYTES:
        raise ModelError(f"'{path}' has {size} bytes, more than any ONNX file: copy the run folder again.")
    content = path.read_bytes()
    if content[4:8] == b"ORTM":
        raise ModelError(f"'{path}' is refused: it is in the format of ONNX Runtime, not plain ONNX.")
    try:
        reason = next(_forbidden(memoryview(content)), None)
    except (ValueError, IndexError):
        raise ModelError(f"'{path}' cannot be loaded: it is no ONNX file, copy the run folder again.") from None
    if reason is not None:
        raise ModelError(f"'{path}' is refused: {reason}, which no model of dcdan does.")
    return content


def _forbidden(model: memoryview) -> Iterator[str]:
    for number, part in _fields(model):
        if number == _GRAPH:
            yield from _in_graph(part)
        elif number == _FUNCTIONS:
            yield from _in_nodes(part, 7)


def _in_graph(graph: memoryview) -> Iterator[str]:
    yield from _in_nodes(graph, 1)
    for number, part in _fields(graph):
        if number == _INITIALIZER:
            yield from _in_tensor(part)
        elif number == _SPARSE:
            yield from _in_sparse(part)


def _in_nodes(owner: memoryview, node: int) -> Iterator[str]:
    for number, part in _fields(owner):
        if number == node:
            for place, attribute in _fields(part):
                if place == _NODE_ATTRIBUTE:
                    yield from _in_attribute(attribute)


def _in_attribute(attribute: memoryview) -> Iterator[str]:
    for number, part in _fields(attribute):
        if number in (_ONE_GRAPH, _GRAPHS):
            yield "it holds a loop or a branch"
        elif number in (_TENSOR, _TENSORS):
            yield from _in_tensor(part)
        elif number in (_SPARSE_TENSOR, _SPARSE_TENSORS):
            yield from _in_sparse(part)


def _in_sparse(sparse: memoryview) -> Iterator[str]:
    for number, part in _fields(sparse):
        if number in (1, 2):
            yield from _in_tensor(part)


def _in_tensor(tensor: memoryview) -> Iterator[str]:
    # An explicit location of zero means this file.
    if any(number == _EXTERNAL_DATA or (number == _DATA_LOCATION and any(value)) for number, value in _fields(tensor)):
        yield "it keeps weights in another file"


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of each field of a message; raise ValueError or IndexError if it is malformed."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 2:
            length, at = _varint(message, at)
            end = at + length
        elif kind == 0:
            _, end = _varint(message, at)
        elif kind in (1, 5):
            end = at + (8 if kind == 1 else 4)
        else:
            raise ValueError("no wire type of a file")
        if end > len(message):
            raise ValueError("it ends early")
        yield tag >> 3, message[at:end]
        at = end


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number is too long")


MAX_BATCH = 64

SELF_TEST_SECONDS = 60.0
"""Time limit of the self-test on two faces; an untrusted graph may never terminate."""


@dataclass(frozen=True, slots=True)
class SessionOutputs:
    """Outputs for N faces, K classes and, if the model has them, A facial actions.

    Attributes:
        probabilities: ``(N, K) float32``, rows sum to 1.
        expression: ``(N,) int64``, index of the chosen class.
        confidence: ``(N,) float32``, calibrated probability of the chosen class, 0..1.
        decided_by: ``(N,) int64``, index into ``DECIDERS``.
        region_weights: ``(N, 5) float32`` in the order of ``REGIONS``, rows sum to 1.
        actions: ``(N, A) float32``, activation of each facial action, 0..1; None without this output.
    """

    probabilities: NDArray[np.float32]
    expression: NDArray[np.int64]
    confidence: NDArray[np.float32]
    decided_by: NDArray[np.int64]
    region_weights: NDArray[np.float32]
    actions: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.expression)


def in_rgb(faces: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return faces in RGB: ``(N, S, S, 3)`` unchanged, grey ``(N, S, S)`` with three equal channels.

    Example:
        >>> in_rgb(np.zeros((2, 8, 8), np.uint8)).shape
        (2, 8, 8, 3)
    """
    return np.repeat(faces[..., None], 3, axis=3) if faces.ndim == 3 else faces


class Session:
    """A network that is loaded and tested.

    Args:
        graph: Path of ``model.onnx``, or its content.
        info: The description of the model.
        threads: Threads within one operator; None lets ONNX Runtime decide (all cores).
        device: See :func:`dcdan.core.onnx_runtime.providers_for`.

    Raises:
        ModelError: The graph cannot be loaded or does not match its description.
    """

    def __init__(self, graph: Path | bytes, info: ModelInfo, threads: int | None = None, device: str = "cpu") -> None:
        name = graph if isinstance(graph, Path) else "model.onnx"
        content = read_graph(graph) if isinstance(graph, Path) else graph
        self._made_of = (content, info, threads, device)
        try:
            self._session = OnnxSession(content, threads=threads, device=device)
        except DcdanError:
            raise
        except Exception as error:  # ONNX Runtime raises a class of its own per kind of damage
            raise ModelError(f"'{name}' cannot be loaded by ONNX Runtime: {first_line(error)}") from error
        self.size = info.face.size
        self.classes = len(info.classes)
        self.actions = len(info.actions)
        self._outputs = (*OUTPUTS, *((ACTIONS_OUTPUT,) if info.actions else ()))
        self._check(name)
        # Finite outputs for a black and a white face show that no weight is NaN or infinite.
        greys = np.stack([np.full((self.size, self.size, 3), grey, np.uint8) for grey in (0, 255)])
        try:
            self._run(greys, seconds=SELF_TEST_SECONDS)
        except Exception as error:
            reason = first_line(error)
            raise ModelError(f"'{name}' does not answer a face as a model of dcdan does: {reason}") from error

    def __reduce__(self) -> tuple[type[Session], tuple[object, ...]]:
        # The graph is pickled as well, because another machine may not have the file.
        return Session, self._made_of

    def run(self, faces: NDArray[np.uint8]) -> SessionOutputs:
        """Recognise aligned faces.

        Args:
            faces: ``(N, S, S, 3) uint8`` RGB or ``(N, S, S) uint8`` grey; N may be 0. At most ``MAX_BATCH`` faces are
                copied at a time, so a memory-mapped array is not loaded completely.

        Returns:
            The outputs of the network.

        Raises:
            ModelError: The faces have another size or type than the network takes, or its outputs are invalid.
        """
        if faces.dtype != np.uint8 or faces.ndim not in (3, 4) or (faces.ndim == 4 and faces.shape[3] != 3):
            raise ModelError(f"Faces must be uint8 (N, S, S, 3) or (N, S, S), not {faces.dtype} {faces.shape}.")
        if faces.shape[1:3] != (self.size, self.size):
            raise ModelError(
                f"The faces are {faces.shape[1]} x {faces.shape[2]} pixels and the model reads {self.size} x"
                f" {self.size}: build the pack again with `--size {self.size}`."
            )
        pieces = [self._run(faces[start : start + MAX_BATCH]) for start in range(0, len(faces), MAX_BATCH)]
        if not pieces:
            empty = SessionOutputs(
                np.zeros((0, self.classes), np.float32),
                np.zeros(0, np.int64),
                np.zeros(0, np.float32),
                np.zeros(0, np.int64),
                np.zeros((0, len(REGIONS)), np.float32),
            )
            return replace(empty, actions=np.zeros((0, self.actions), np.float32)) if self.actions else empty
        return SessionOutputs(*(np.concatenate(parts) for parts in zip(*pieces, strict=True)))

    @property
    def device(self) -> str:
        """The device that the graph runs on."""
        return self._session.device

    def _run(self, faces: NDArray[np.uint8], seconds: float | None = None) -> list[NDArray[Any]]:
        feeds = {"faces": np.ascontiguousarray(in_rgb(faces))}
        results = self._session.run(self._outputs, feeds, seconds=seconds)
        self._check_answers(SessionOutputs(*results), len(faces))
        return results

    def _check_answers(self, found: SessionOutputs, count: int) -> None:
        shapes = [np.shape(found.probabilities), np.shape(found.region_weights), np.shape(found.expression)]
        shapes += [np.shape(found.confidence), np.shape(found.decided_by)]
        if shapes != [(count, self.classes), (count, len(REGIONS)), (count,), (count,), (count,)]:
            raise ModelError(f"The model's answers to {count} faces have the shapes {shapes}: use another model.")
        if found.actions is not None and found.actions.shape != (count, self.actions):
            raise ModelError(
                f"The model gives actions of the shape {found.actions.shape} for {count} faces and names"
                f" {self.actions} actions: use another model."
            )
        parts = [found.probabilities, found.confidence, found.region_weights]
        parts += [found.actions] if found.actions is not None else []
        if not all(np.isfinite(part).all() for part in parts):
            raise ModelError("The model's answers are no finite numbers: use another model.")
        for indices, names in ((found.expression, self.classes), (found.decided_by, len(DECIDERS))):
            if count and not 0 <= int(indices.min()) <= int(indices.max()) < names:
                raise ModelError("The model chooses a class or a head that there is not: use another model.")

    def _check(self, graph: Path | str) -> None:
        inputs = {node.name: node for node in self._session.get_inputs()}
        outputs = {node.name: node for node in self._session.get_outputs()}
        missing = [name for name in ("faces",) if name not in inputs] + [n for n in self._outputs if n not in outputs]
        if missing:
            raise ModelError(f"'{graph}' is no recogniser of dcdan: it lacks {', '.join(missing)}.")
        shape, kind = inputs["faces"].shape, inputs["faces"].type
        if len(shape) != 4 or list(shape[1:]) != [self.size, self.size, 3] or kind != "tensor(uint8)":
            raise ModelError(
                f"'{graph}' reads {kind} {shape}, not uint8 faces of {self.size} pixels as model.json says."
            )
        width = outputs["probabilities"].shape[-1]
        if width != self.classes:
            raise ModelError(f"'{graph}' has {width} classes, its description names {self.classes}.")
