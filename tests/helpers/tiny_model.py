"""A real, tiny recogniser for tests: the class is the corner of the colour cube nearest to a face's mean colour.

It follows the signature of an exported network (``model.onnx`` and ``model.json``), so that everything around the
network runs for real without training one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dcdan.expressions import EXPRESSIONS

# Colour (R, G, B in 0..255) of each class, in the order of the classes of the model.
COLOURS: tuple[tuple[int, int, int], ...] = tuple(
    (255 * (code >> 2 & 1), 255 * (code >> 1 & 1), 255 * (code & 1)) for code in range(8)
)
THRESHOLDS = (0.999, 0.9)
CALIBRATION: dict[str, Any] = {
    "unsure_below": 0.9,
    "conformal": {"0.8": 0.4, "0.9": 0.1, "0.95": 0.0},
    "error": 0.02,
    "faces": 500,
    "on": "synthetic:studio",
    "corrected": "",
}


def colour_graph(size: int, classes: int, sharpness: float = 12.0) -> onnx.ModelProto:
    """Build the graph: mean colour -> linear -> softmax; decided by `fused` when sure, `global`, else `sum`."""
    corners = np.array(COLOURS[:classes], np.float32) / 255.0
    weights = {
        "scale": np.array(255.0, np.float32),
        "half": np.array(0.5, np.float32),
        "matrix": (sharpness * (2.0 * corners - 1.0)).T.astype(np.float32),
        "axes": np.array([1, 2], np.int64),
        "last": np.array([1], np.int64),
        "sure": np.array(THRESHOLDS[0], np.float32),
        "likely": np.array(THRESHOLDS[1], np.float32),
        "five": np.full((1, 5), 0.2, np.float32),
        "zero": np.array([[0.0]], np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["faces"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "scale"], ["unit"]),
        helper.make_node("ReduceMean", ["unit", "axes"], ["mean"], keepdims=0),
        helper.make_node("Sub", ["mean", "half"], ["centred"]),
        helper.make_node("MatMul", ["centred", "matrix"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["expression"], axis=1, keepdims=0),
        helper.make_node("ReduceMax", ["probabilities", "last"], ["confidence"], keepdims=0),
        helper.make_node("Less", ["confidence", "sure"], ["not_sure"]),
        helper.make_node("Less", ["confidence", "likely"], ["not_likely"]),
        helper.make_node("Cast", ["not_sure"], ["one"], to=TensorProto.INT64),
        helper.make_node("Cast", ["not_likely"], ["two"], to=TensorProto.INT64),
        helper.make_node("Add", ["one", "two"], ["decided_by"]),
        helper.make_node("ReduceMax", ["probabilities", "last"], ["column"], keepdims=1),
        helper.make_node("Mul", ["column", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "five"], ["region_weights"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("faces", TensorProto.UINT8, ["B", size, size, 3])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["B", classes]),
            helper.make_tensor_value_info("expression", TensorProto.INT64, ["B"]),
            helper.make_tensor_value_info("confidence", TensorProto.FLOAT, ["B"]),
            helper.make_tensor_value_info("decided_by", TensorProto.INT64, ["B"]),
            helper.make_tensor_value_info("region_weights", TensorProto.FLOAT, ["B", 5]),
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def write_run(
    folder: Path,
    *,
    size: int = 32,
    classes: Sequence[str] = EXPRESSIONS,
    align: str = "none",
    sharpness: float = 12.0,
    **changes: Any,
) -> Path:
    """Write ``model.onnx`` and a ``model.json`` that fits it (with ``changes`` to its keys) and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    graph = colour_graph(size, len(classes), sharpness).SerializeToString()
    (folder / "model.onnx").write_bytes(graph)
    info: dict[str, Any] = {
        "schema": 1,
        "name": "colours",
        "method": "source_only",
        "architecture": {"trunk": "colours"},
        "classes": list(classes),
        "face": {"size": size, "align": align, "channels": "rgb"},
        "thresholds": [0.5] * len(classes),
        "temperature": 1.0,
        "mirror": False,
        "calibration": CALIBRATION,
        "training": {"source": "synthetic:studio", "target": None},
        "licence": "Apache-2.0",
        "files": {"model.onnx": hashlib.sha256(graph).hexdigest()},
    }
    (folder / "model.json").write_text(json.dumps(info | changes))
    return folder


def coloured(index: int, side: int = 40) -> np.ndarray:
    """Return a (side, side, 3) uint8 picture in the colour of class ``index``."""
    return np.broadcast_to(np.array(COLOURS[index], np.uint8), (side, side, 3)).copy()
