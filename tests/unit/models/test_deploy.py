"""The exported graph answers as the network does, at any batch size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from dcdan.core.outputs import OUTPUTS
from dcdan.models.deploy import Deployed, export_onnx
from dcdan.models.network import Network, NetworkSettings
from dcdan.models.selection import select


def lively(trunk: str, size: int, groups: int, width: int, **switches: Any) -> Deployed:
    """Return a network whose heads are far enough from even that all three ways of deciding occur."""
    torch.manual_seed(0)
    network = Network(NetworkSettings(trunk=trunk, width=width, groups=groups, **switches), 7, size)
    network.train()
    with torch.no_grad():
        for _ in range(4):
            network(torch.rand(8, 3, size, size))
        for head in (network.semantic.fused, network.semantic.of_global, network.semantic.of_local):
            head.weight.mul_(12)
        for name, parameter in network.named_parameters():
            if name.endswith(".alpha"):
                parameter.fill_(0.05)
    return Deployed(network.eval(), torch.linspace(0.3, 0.7, 7), 1.3)


def check(deployed: Deployed, size: int, path: Path) -> set[int]:
    """Export, compare at several batch sizes, and return which heads decided."""
    export_onnx(deployed, size, path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [given.name for given in session.get_inputs()] == ["faces"]
    assert tuple(output.name for output in session.get_outputs()) == OUTPUTS
    assert [path.name] == [beside.name for beside in path.parent.iterdir()]
    assert str(Path(torch.__file__).parent).encode() not in path.read_bytes(), "the graph names this machine's folders"
    generator = np.random.default_rng(0)
    deciders: set[int] = set()
    for batch in (1, 2, 7, 31):
        coarse = generator.integers(0, 256, (batch, 4, 4, 3), dtype=np.uint8)
        faces = coarse.repeat(size // 4, 1).repeat(size // 4, 2)
        with torch.no_grad():
            wanted = deployed(torch.from_numpy(faces))
        found = session.run(None, {"faces": faces})
        for name, one, other in zip(OUTPUTS, found, wanted, strict=True):
            assert one.dtype == other.numpy().dtype, name
            np.testing.assert_allclose(one, other.numpy(), rtol=1e-3, atol=1e-4, err_msg=f"{name} at batch {batch}")
        deciders |= set(found[3].tolist())
    return deciders


def test_deployed_network_normalises_and_chooses() -> None:
    deployed = lively("test_resnet", 32, 4, 32)
    faces = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    with torch.no_grad():
        found = deployed(faces)
        outputs = deployed.network(faces.permute(0, 3, 1, 2).float() / 255)
    choice = select(outputs.logits, deployed.thresholds, 1.3)
    for one, other in zip(found, (*choice, outputs.region_weights), strict=True):
        torch.testing.assert_close(one, other)


def test_graph_equals_mobilenet(tmp_path: Path) -> None:
    assert check(lively("mobilenetv2_100", 64, 8, 64), 64, tmp_path / "model.onnx") == {0, 1, 2}


def test_graph_equals_a_network_with_several_windows(tmp_path: Path) -> None:
    check(lively("test_resnet", 128, 4, 32), 128, tmp_path / "model.onnx")


def test_graph_equals_a_network_without_attention_and_local_branch(tmp_path: Path) -> None:
    check(lively("test_resnet", 32, 4, 32, attention="off", local_branch=False), 32, tmp_path / "model.onnx")


@pytest.mark.parametrize("grey", [False, True])
def test_graph_equals_a_network_of_either_colours_and_normalises_in_one_convolution(tmp_path: Path, grey: bool) -> None:
    check(lively("test_resnet", 32, 4, 32, attention="off", grey=grey), 32, tmp_path / "model.onnx")
    work = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node if node.op_type != "Shape"]
    assert work[: work.index("Conv") + 2] == ["Transpose", "Cast", "Div", "Conv", "Conv"]


@pytest.mark.slow
def test_graph_equals_resnet50(tmp_path: Path) -> None:
    check(lively("resnet50", 64, 8, 64), 64, tmp_path / "model.onnx")


def test_a_mirroring_graph_averages_over_a_face_and_its_image(tmp_path: Path) -> None:
    plain = lively("test_resnet", 32, 4, 32)
    both = Deployed(plain.network, torch.zeros(7), 1.0, mirror=True).eval()
    check(both, 32, tmp_path / "both.onnx")
    faces = torch.randint(0, 256, (5, 32, 32, 3), dtype=torch.uint8)
    single = Deployed(plain.network, torch.zeros(7)).eval()
    with torch.no_grad():
        wanted = (single(faces)[0] + single(faces.flip(2))[0]) / 2
        found = both(faces)
        turned = both(faces.flip(2))
        weights = single(faces)[4]
    torch.testing.assert_close(found[0], wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(turned[0], found[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[4], weights, rtol=1e-4, atol=1e-5)
