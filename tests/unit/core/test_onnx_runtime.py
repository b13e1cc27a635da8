"""ONNX Runtime: no telemetry, devices, sessions after a fork, runs that are stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dcdan.core import onnx_runtime
from dcdan.core.errors import UsageError
from dcdan.core.onnx_runtime import OnnxSession, device_of, providers_for


def adding_graph(loops: int = 0) -> bytes:
    """Return a graph ``y = x + 1``; with ``loops`` it adds 1 so often, in a loop."""
    value = helper.make_tensor_value_info
    one = numpy_helper.from_array(np.array([1.0], np.float32), "one")
    nodes = [helper.make_node("Add", ["x", "one"], ["y"])]
    initial = [one]
    if loops:
        body = helper.make_graph(
            [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["before", "one"], ["after"])],
            "body",
            [
                value("i", TensorProto.INT64, []),
                value("go", TensorProto.BOOL, []),
                value("before", TensorProto.FLOAT, [1]),
            ],
            [value("on", TensorProto.BOOL, []), value("after", TensorProto.FLOAT, [1])],
        )
        nodes = [helper.make_node("Loop", ["count", "always", "x"], ["y"], body=body)]
        initial += [
            numpy_helper.from_array(np.array(loops, np.int64), "count"),
            numpy_helper.from_array(np.array(True), "always"),
        ]
    graph = helper.make_graph(
        nodes, "adding", [value("x", TensorProto.FLOAT, [1])], [value("y", TensorProto.FLOAT, [1])], initial
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


X = {"x": np.array([2.0], np.float32)}


def test_the_telemetry_is_off_before_the_import() -> None:
    """P1: the variable is set before ``onnxruntime`` is imported, and the API is called where it exists."""
    code = (
        "import builtins, os\n"
        "real = builtins.__import__\n"
        "def watched(name, *rest):\n"
        "    if name == 'onnxruntime': assert os.environ.get('ORT_DISABLE_TELEMETRY') == '1'; print('imported')\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = watched\n"
        "import dcdan.inference.session, dcdan.faces.detectors.mtcnn\n"
    )
    environment = {name: text for name, text in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert "imported" in done.stdout


def test_nothing_else_imports_the_runtime_directly() -> None:
    source = Path(onnx_runtime.__file__).parents[1]
    direct = [
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if any(line.lstrip().startswith("import onnxruntime") for line in path.read_text().splitlines())
    ]
    assert direct == ["core/onnx_runtime.py"]


def test_devices_are_those_of_the_build() -> None:
    """P3: providers come from ``get_available_providers()``; what cannot be had is refused in a sentence."""
    cpu, cuda, coreml = "CPUExecutionProvider", "CUDAExecutionProvider", "CoreMLExecutionProvider"
    assert providers_for("auto", [cpu]) == [cpu]
    assert providers_for("auto", [cuda, cpu]) == [cuda, cpu]
    assert providers_for("auto", [coreml, cpu]) == [cpu]
    assert providers_for("coreml", [coreml, cpu]) == [coreml, cpu]
    assert providers_for("cpu", [cuda, cpu]) == [cpu]
    with pytest.raises(UsageError, match=r"cannot use the device 'cuda' \(it has cpu\)"):
        providers_for("cuda", [cpu])
    with pytest.raises(UsageError, match="Did you mean 'cuda'"):
        providers_for("cuba")
    assert device_of("SomeProvider") == "SomeProvider"
    assert OnnxSession(adding_graph(), device="auto").device in onnx_runtime.PROVIDERS


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_runs_its_own_session() -> None:
    """P2: a session with threads that was made before a fork answers after it, in both processes."""
    session = OnnxSession(adding_graph(), threads=2)
    assert session.run(None, X)[0].tolist() == [3.0]
    before = session._session
    child = os.fork()
    if child == 0:
        good = session.run(None, X)[0].tolist() == [3.0] and session._session is not before
        os._exit(0 if good else 1)
    for _ in range(600):
        done, code = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.1)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the forked process hangs")
    assert os.waitstatus_to_exitcode(code) == 0
    assert session.run(None, X)[0].tolist() == [3.0]
    assert session._session is before


def test_a_run_is_stopped_after_its_time() -> None:
    """S16: a graph that would run for days ends with an error."""
    session = OnnxSession(adding_graph(loops=1 << 40), threads=1)
    began = time.monotonic()
    with pytest.raises(Exception, match=r"(?i)terminat"):
        session.run(None, X, seconds=0.2)
    assert time.monotonic() - began < 30
    assert OnnxSession(adding_graph(loops=5), threads=1).run(None, X, seconds=30)[0].tolist() == [7.0]


def test_a_graph_is_read_as_plain_onnx_only() -> None:
    """S16: the runtime's own format is not taken, whatever the first bytes say."""
    with pytest.raises(Exception, match=r"(?i)protobuf|parse|invalid"):
        OnnxSession(b"\x20\x00\x00\x00ORTM" + bytes(64))
