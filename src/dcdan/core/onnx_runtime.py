"""The only import of ONNX Runtime: telemetry is disabled, the device is selected, and sessions survive a fork.

Every other module creates its sessions here and never imports ``onnxruntime`` itself.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dcdan.core.errors import UsageError, unknown

# The library reads the variable while it is being imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

ort.disable_telemetry_events()

PROVIDERS: dict[str, tuple[str, ...]] = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider",),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
    "migraphx": ("MIGraphXExecutionProvider", "ROCMExecutionProvider"),
    "directml": ("DmlExecutionProvider",),
    "coreml": ("CoreMLExecutionProvider",),
    "openvino": ("OpenVINOExecutionProvider",),
}
"""Device -> the execution providers of ONNX Runtime that support it, the best first."""

DEVICES: tuple[str, ...] = ("auto", *PROVIDERS)

_AUTOMATIC = ("cuda", "migraphx", "directml", "cpu")
"""Devices that ``auto`` tries in order; all give the same results and none compiles the graph for minutes."""


def providers_for(device: str, available: Sequence[str] | None = None) -> list[str]:
    """Return the execution providers for a device, followed by the CPU as a fallback for unsupported operators.

    Args:
        device: One of ``DEVICES``; ``auto`` selects a GPU if this build of ONNX Runtime supports one, else the CPU.
        available: Providers of this build; None queries ONNX Runtime.

    Returns:
        Names of execution providers in order of preference.

    Raises:
        UsageError: The device is unknown, or this build of ONNX Runtime does not support it.

    Example:
        >>> providers_for("auto", ["CUDAExecutionProvider", "CPUExecutionProvider"])
        ['CUDAExecutionProvider', 'CPUExecutionProvider']
    """
    if device not in DEVICES:
        raise unknown("device", device, DEVICES)
    have = ort.get_available_providers() if available is None else list(available)
    served = [name for name, own in PROVIDERS.items() if any(each in have for each in own)]
    if device == "auto":
        device = next((name for name in _AUTOMATIC if name in served), "cpu")
    if device not in served:
        raise UsageError(
            f"This ONNX Runtime cannot use the device '{device}' (it has {', '.join(served)}): install the build for"
            f" it, such as onnxruntime-gpu for cuda, or give --device auto."
        )
    chosen = [each for each in PROVIDERS[device] if each in have]
    return chosen if device == "cpu" else [*chosen, *PROVIDERS["cpu"]]


def devices_served() -> list[str]:
    """Return the devices that this build of ONNX Runtime serves.

    >>> "cpu" in devices_served()
    True
    """
    have = ort.get_available_providers()
    return [name for name, own in PROVIDERS.items() if any(each in have for each in own)]


def device_of(provider: str) -> str:
    """Return the name of the device that an execution provider belongs to.

    Example:
        >>> device_of("CUDAExecutionProvider")
        'cuda'
    """
    return next((name for name, own in PROVIDERS.items() if own[0] == provider or provider in own[1:]), provider)


class OnnxSession:
    """An ``onnxruntime.InferenceSession`` that is recreated in a forked process.

    The threads of a session do not exist in a forked process, where a run would wait for them forever. The first run
    there creates a new session for the same graph. A session may be shared between threads.

    Args:
        graph: Content of an ONNX file, or its path.
        threads: Threads within one operator; None lets ONNX Runtime decide (all cores).
        device: See :func:`providers_for`.
        spin: Whether idle threads of the session wait actively.

    Raises:
        UsageError: The device is unknown or not supported.
        Exception: ONNX Runtime cannot load the graph.
    """

    def __init__(
        self, graph: bytes | Path, *, threads: int | None = None, device: str = "cpu", spin: bool = True
    ) -> None:
        self._graph = graph
        self._threads = threads
        self._device = device
        self._spin = spin
        self._lock = threading.Lock()
        self._forked = False
        self._session = self._make()
        _SESSIONS.add(self)

    @property
    def device(self) -> str:
        """The device that the graph actually runs on."""
        return device_of(self._session.get_providers()[0])

    def get_inputs(self) -> list[Any]:
        """Return the inputs of the graph, each with ``name``, ``shape`` and ``type``."""
        return list(self._session.get_inputs())

    def get_outputs(self) -> list[Any]:
        """Return the outputs of the graph, each with ``name``, ``shape`` and ``type``."""
        return list(self._session.get_outputs())

    def run(
        self, outputs: Sequence[str] | None, feeds: Mapping[str, NDArray[Any]], *, seconds: float | None = None
    ) -> list[NDArray[Any]]:
        """Run the graph.

        Args:
            outputs: Names of the requested outputs; None for all.
            feeds: Input name -> array.
            seconds: Time limit of the run in seconds; None for no limit.

        Returns:
            One array per output.

        Raises:
            Exception: ONNX Runtime failed or the time limit was exceeded.
        """
        if self._forked:
            self._make_again()
        if seconds is None:
            return list(self._session.run(outputs, dict(feeds)))
        options = ort.RunOptions()
        timer = threading.Timer(seconds, setattr, (options, "terminate", True))
        timer.daemon = True
        timer.start()
        try:
            return list(self._session.run(outputs, dict(feeds), options))
        finally:
            timer.cancel()

    def _make(self) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads or 0
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Otherwise ONNX Runtime also accepts its own file format, which our checks of the graph cannot read.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        if not self._spin:
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph = self._graph if isinstance(self._graph, bytes) else str(self._graph)
        return ort.InferenceSession(graph, options, providers=providers_for(self._device))

    def _make_again(self) -> None:
        with self._lock:
            if self._forked:
                # The destructor would wait for threads that do not exist in this process, so it must never run.
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))
                self._session = self._make()
                self._forked = False

    def mark_forked(self) -> None:
        """Make the next run create a new session; called in a forked process."""
        self._lock = threading.Lock()  # Another thread may have locked the old one at the time of the fork.
        self._forked = True


_SESSIONS: weakref.WeakSet[OnnxSession] = weakref.WeakSet()


def _after_fork() -> None:
    for session in list(_SESSIONS):
        session.mark_forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
