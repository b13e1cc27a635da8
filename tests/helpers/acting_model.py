"""The tiny model of ``tiny_model`` with facial actions: its first probabilities, under the names of actions."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dcdan.core.atomic_io import sha256
from dcdan.explanation.action_map import MAP_NAME, ActionMap, write_action_map
from dcdan.expressions import EXPRESSIONS
from tiny_model import write_run

ACTIONS = ("browDownLeft", "browDownRight", "mouthSmileLeft", "mouthSmileRight", "jawOpen")
CORRELATIONS = (0.9, 0.8, 0.7, 0.6, 0.2)
"""The last action is not shown."""


def action_map(**changes: Any) -> ActionMap:
    """Return a map by which a smile speaks for happiness, and a lowered brow for anger and against happiness."""
    weights: dict[str, dict[str, float]] = {name: {} for name in EXPRESSIONS}
    weights["happiness"] = {"mouthSmile": 4.0, "browDown": -1.0}
    weights["anger"] = {"browDown": 5.0}
    content: dict[str, Any] = {
        "classes": EXPRESSIONS,
        "means": {"browDown": 0.2, "mouthSmile": 0.3},
        "weights": weights,
        "intercepts": (0.0,) * len(EXPRESSIONS),
        "agreement": 0.75,
        "faces": 10,
        "on": "colours",
    }
    return ActionMap.model_validate(content | changes)


def with_actions(run: Path, count: int) -> bytes:
    """Return the run's graph with an output ``actions`` (N, count), the first probabilities of each face."""
    model = onnx.load(run / "model.onnx")
    ends = [("from", [0]), ("to", [count]), ("axis", [1])]
    model.graph.initializer.extend(numpy_helper.from_array(np.array(value, np.int64), name) for name, value in ends)
    model.graph.node.append(helper.make_node("Slice", ["probabilities", "from", "to", "axis"], ["actions"]))
    model.graph.output.append(helper.make_tensor_value_info("actions", TensorProto.FLOAT, ["B", count]))
    return bytes(model.SerializeToString())


def write_acting(folder: Path, *, mapped: bool = True, **changes: Any) -> Path:
    """Write a run with facial actions, and its ``actions.json`` if ``mapped``; return the folder."""
    write_run(folder)
    graph = with_actions(folder, len(ACTIONS))
    (folder / "model.onnx").write_bytes(graph)
    content = json.loads((folder / "model.json").read_text())
    content |= {"actions": list(ACTIONS), "action_correlations": list(CORRELATIONS)}
    content["files"]["model.onnx"] = hashlib.sha256(graph).hexdigest()
    if mapped:
        content["files"][MAP_NAME] = sha256(write_action_map(folder, action_map()))
    (folder / "model.json").write_text(json.dumps(content | changes))
    return folder
