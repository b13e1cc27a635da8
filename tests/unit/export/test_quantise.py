"""The int8 graph: which parts it changes, and that it answers nearly as the float one does."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from dcdan.core.outputs import OUTPUTS
from dcdan.export.quantise import ACTIVATIONS, PARTS, Activations, Parts, quantise, trunk_nodes
from dcdan.models.deploy import Deployed, export_onnx
from dcdan.models.network import Network, NetworkSettings

SIZE = 32


def patches(count: int, seed: int) -> np.ndarray:
    """Return coarse coloured patches (count, SIZE, SIZE, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(SIZE // 4, 1).repeat(SIZE // 4, 2)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole network with every part that a graph can have, exported."""
    torch.manual_seed(0)
    network = Network(NetworkSettings(trunk="test_byobnet", width=32, groups=4), 5, SIZE).train()
    with torch.no_grad():
        for _ in range(4):
            network(torch.from_numpy(patches(16, 1)).permute(0, 3, 1, 2).float() / 255)
        for head in (network.semantic.fused, network.semantic.of_global, network.semantic.of_local):
            head.weight.mul_(8)
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    export_onnx(Deployed(network.eval(), torch.full((5,), 0.4), 1.5), SIZE, path)
    return path


@pytest.mark.parametrize("parts", PARTS)
def test_int8_answers_nearly_alike_at_any_batch(graph: Path, tmp_path: Path, parts: Parts) -> None:
    out = tmp_path / "int8.onnx"
    before = logging.root.manager.disable
    quantise(graph, [patches(16, seed) for seed in range(4)], out, parts)
    assert logging.root.manager.disable == before
    sessions = [onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]) for path in (graph, out)]
    assert tuple(output.name for output in sessions[1].get_outputs()) == OUTPUTS
    for batch in (1, 2, 7):
        faces = patches(batch, 9)
        wanted, found = (dict(zip(OUTPUTS, s.run(None, {"faces": faces}), strict=True)) for s in sessions)
        gap = np.abs(wanted["probabilities"] - found["probabilities"]).max()
        assert gap < (0.5 if parts == "everything" else 0.15)
        assert parts == "everything" or gap > 0
        np.testing.assert_allclose(found["probabilities"].sum(1), 1.0, atol=1e-2 if parts == "everything" else 1e-5)


@pytest.mark.parametrize("activations", ACTIVATIONS)
def test_weights_are_signed_bytes_by_channel_and_the_choice_stays_float(
    graph: Path, tmp_path: Path, activations: Activations
) -> None:
    quantise(graph, [patches(8, 0)], tmp_path / "int8.onnx", activations=activations)
    kind = onnx.TensorProto.INT8 if activations == "signed" else onnx.TensorProto.UINT8
    model = onnx.load(tmp_path / "int8.onnx")
    made = {output: node for node in model.graph.node for output in node.output}
    stored = {value.name: value for value in model.graph.initializer}
    kinds: Counter[str] = Counter()
    for node in model.graph.node:
        sources = {made[name].op_type for name in node.input if name in made}
        kinds[f"{node.op_type} {'int8' if 'DequantizeLinear' in sources else 'float'}"] += 1
        if node.op_type == "Conv":
            weight = made[node.input[1]]
            assert stored[weight.input[0]].data_type == onnx.TensorProto.INT8
            assert list(stored[weight.input[1]].dims) == [stored[weight.input[0]].dims[0]]
        if node.op_type == "QuantizeLinear" and node.input[2] in stored:
            assert stored[node.input[2]].data_type == kind
    assert kinds["Conv int8"] > 0
    assert kinds["Conv float"] == kinds["Gemm int8"] == kinds["Where int8"] == kinds["ArgMax int8"] == 0
    float_convolutions = sum(node.op_type == "Conv" for node in onnx.load(graph).graph.node)
    assert kinds["Conv int8"] == float_convolutions


@pytest.mark.parametrize("mirror", [False, True])
def test_bytes_reach_the_first_convolution_as_they_are(tmp_path: Path, mirror: bool) -> None:
    """Even where the faces that set the ranges are dark; signed activations cannot hold bytes."""
    torch.manual_seed(0)
    network = Network(NetworkSettings(trunk="test_byobnet", width=32, groups=4), 5, SIZE).eval()
    export_onnx(Deployed(network, torch.full((5,), 0.4), mirror=mirror), SIZE, tmp_path / "model.onnx")
    for activations in ACTIVATIONS:
        quantise(tmp_path / "model.onnx", [patches(8, 0) // 4], tmp_path / "int8.onnx", activations=activations)
        model = onnx.load(tmp_path / "int8.onnx")
        made = {output: node for node in model.graph.node for output in node.output}
        stored = {value.name: onnx.numpy_helper.to_array(value) for value in model.graph.initializer}
        first = next(node for node in model.graph.node if node.op_type == "Conv")
        back = made[first.input[0]]
        assert back.op_type == "DequantizeLinear"
        assert set(stored) == {name for node in model.graph.node for name in node.input} & set(stored)
        before = {node.op_type for node in model.graph.node[: [*model.graph.node].index(first)]}
        if activations == "unsigned":
            assert stored[back.input[1]] == np.float32(1 / 255)
            assert stored[back.input[2]] == 0
            assert not before & {"Cast", "Div"}
        else:
            assert {"Cast", "Div", "QuantizeLinear"} <= before


def test_the_trunk_ends_where_another_part_begins(graph: Path) -> None:
    model = onnx.load(graph)
    inside = trunk_nodes(model)
    names = {name for node in inside for name in node.input}
    assert any(name.startswith("network.trunk.") for name in names)
    assert not any(name.startswith(("network.squeeze", "network.local", "network.semantic")) for name in names)
    assert 0 < len(inside) < len(model.graph.node)


def test_without_a_face_nothing_is_written(graph: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no face"):
        quantise(graph, [], tmp_path / "int8.onnx")
    assert not (tmp_path / "int8.onnx").exists()
