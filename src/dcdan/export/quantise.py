"""Static int8 quantisation of an exported graph: QDQ, signed weights by channel, activations unsigned or signed.

Convolutions, which are nearly all of the work, become int8 in all parts of the network. In the trunk so do the
activations and sums between them, so that maps stay int8 from one convolution to the next. Normalisation, the
activation of the branches, the products of both attentions, the linear heads and the choice of the prediction stay in
float: they are small, and their quantisation costs accuracy (docs/export.md).

Signed and unsigned activations give the same answers. ONNX Runtime has no kernels for signed ones on x86. It makes them
unsigned where it can, but not where a map goes two ways, as in every residual block. On ARM, signed ones suit best.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    import onnx

Parts = Literal["trunk", "convolutions", "everything"]
PARTS: tuple[Parts, ...] = get_args(Parts)
Activations = Literal["unsigned", "signed"]
ACTIVATIONS: tuple[Activations, ...] = get_args(Activations)
INPUT = "faces"
LARGEST = 255
_TRUNK = "network.trunk."
_BETWEEN = ("Clip", "Relu", "Add")


def quantise(
    graph: Path,
    batches: Iterable[np.ndarray],
    out: Path,
    parts: Parts = "convolutions",
    activations: Activations = "unsigned",
) -> None:
    """Write an int8 version of an exported graph.

    Args:
        graph: file of :func:`dcdan.models.deploy.export_onnx`.
        batches: faces ``(B, S, S, 3) uint8`` RGB, like those that the graph will be used on. They set the ranges of all
            activations.
        out: the file to write.
        parts: ``trunk`` alone, the ``convolutions`` of all parts, or ``everything`` that ONNX Runtime can quantise (for
            comparison).
        activations: ``unsigned`` for x86, ``signed`` for ARM.

    Raises:
        ValueError: when there is no face.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    import dcdan.core.onnx_runtime  # noqa: F401  (switches the telemetry off first)

    model = onnx.load(graph)
    types, left = _choice(model, parts)
    unsigned = activations == "unsigned"
    to_floats = _to_floats(model) if unsigned else None
    steps_of_bytes = {"rmin": np.float32(0), "rmax": np.float32(1)}
    given = {to_floats[1].output[0]: [steps_of_bytes]} if to_floats else {}
    with _quiet():
        quantize_static(
            graph,
            out,
            _Batches(batches),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=types,
            nodes_to_exclude=left,
            per_channel=True,
            activation_type=QuantType.QUInt8 if unsigned else QuantType.QInt8,
            weight_type=QuantType.QInt8,
            extra_options={"TensorQuantOverrides": given},
        )
    if to_floats:
        quantised = onnx.load(out)
        _feed_bytes(quantised, *to_floats)
        onnx.save(quantised, out)


def trunk_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the nodes of the trunk: those before the first that uses a weight of another part.

    Args:
        model: an exported graph.
    """
    weights = {weight.name for weight in model.graph.initializer if weight.name.startswith("network.")}
    others = {name for name in weights if not name.startswith(_TRUNK)}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if others.intersection(node.input):
            break
        nodes.append(node)
    return nodes


def _to_floats(model: onnx.ModelProto) -> tuple[onnx.NodeProto, onnx.NodeProto] | None:
    """Return the cast of bytes to floats and the division by 255 that follows; None where a graph starts otherwise."""
    from onnx import numpy_helper

    arrays = ((weight.name, numpy_helper.to_array(weight)) for weight in model.graph.initializer)
    divisors = {name for name, value in arrays if value.size == 1 and value.item() == LARGEST}
    casts = {node.output[0]: node for node in model.graph.node if node.op_type == "Cast"}
    for node in model.graph.node:
        if node.op_type == "Div" and node.input[0] in casts and node.input[1] in divisors:
            return casts[node.input[0]], node
    return None


def _feed_bytes(model: onnx.ModelProto, cast: onnx.NodeProto, division: onnx.NodeProto) -> None:
    """Connect the bytes of the input to the first convolution, without cast, division and quantisation between."""
    nodes = model.graph.node
    (back,) = (node for node in nodes if node.op_type == "QuantizeLinear" and node.input[0] == division.output[0])
    for node in nodes:
        node.input[:] = [cast.input[0] if name == back.output[0] else name for name in node.input]
    for node in (cast, division, back):
        nodes.remove(node)
    used = {name for node in nodes for name in node.input}
    for weight in [weight for weight in model.graph.initializer if weight.name not in used]:
        model.graph.initializer.remove(weight)


def _choice(model: onnx.ModelProto, parts: Parts) -> tuple[list[str] | None, list[str]]:
    """Return the types of operators that become int8 (None for all), and the names of nodes that do not."""
    if parts == "everything":
        return None, []
    of_trunk = {node.name for node in trunk_nodes(model)}
    kept = ("Conv",) if parts == "convolutions" else ()
    outside = [node.name for node in model.graph.node if node.name not in of_trunk and node.op_type not in kept]
    return ["Conv", *_BETWEEN], outside


class _Batches:
    """A data reader of ONNX Runtime over batches of faces."""

    def __init__(self, batches: Iterable[np.ndarray]) -> None:
        self._rest = iter(batches)
        self._first = next(self._rest, None)
        if self._first is None or not len(self._first):
            raise ValueError("no face to quantise by")

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next batch by the name of the graph's input, None after the last."""
        batch = next(self._rest, None) if self._first is None else self._first
        self._first = None
        return None if batch is None else {INPUT: np.ascontiguousarray(batch)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the root logger, to which ONNX Runtime writes advice on pre-processing that the exporter has done."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
