"""What an ONNX file may not hold: weights in another file, which could be any, and loops, which need not end.

The file is read as the few messages of ONNX's protocol buffers that lead there; no ``onnx`` package is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dcdan.errors import ModelError

MOST_BYTES = 1 << 31
"""A protocol buffer cannot be longer."""

# Numbers of fields: onnx/onnx.proto3.
_GRAPH, _FUNCTIONS = 7, 25
_INITIALIZER, _SPARSE = 5, 15
_NODE_ATTRIBUTE = 5
_TENSOR, _ONE_GRAPH, _TENSORS, _GRAPHS, _SPARSE_TENSOR, _SPARSE_TENSORS = 5, 6, 10, 11, 22, 23
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


def read_graph(path: Path) -> bytes:
    """Return the bytes of an ONNX file; raise ModelError when it is too large, or holds what it may not."""
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ModelError(f"'{path}' has {size} bytes, more than any ONNX file: copy the run folder again.")
    content = path.read_bytes()
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
    # A location that is said and zero is this file.
    if any(number == _EXTERNAL_DATA or (number == _DATA_LOCATION and any(value)) for number, value in _fields(tensor)):
        yield "it keeps weights in another file"


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the number of each field of a message, and its content; raise ValueError or IndexError for no message."""
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
