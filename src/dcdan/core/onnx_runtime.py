"""ONNX Runtime, imported in one place: without telemetry, on the device asked for, and alive after a fork.

Every other module gets sessions from here and does not import ``onnxruntime`` itself.
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
"""Devices -> the execution providers of ONNX Runtime that serve them, the best first."""

DEVICES: tuple[str, ...] = ("auto", *PROVIDERS)

_AUTOMATIC = ("cuda", "migraphx", "directml", "cpu")
"""What ``auto`` tries in turn: devices that give the same answers without compiling the graph for minutes."""


def providers_for(device: str, available: Sequence[str] | None = None) -> list[str]:
    """Return the execution providers of a device, with the CPU behind them for what it cannot run.

    Args:
        device: one of ``DEVICES``; ``auto`` takes a GPU where this build of ONNX Runtime has one, else the CPU.
        available: the providers of this build; by default those that ONNX Runtime names.

    Raises:
        UsageError: when there is no such device, or this build of ONNX Runtime does not serve it.

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
    """Return the name of the device that an execution provider serves.

    >>> device_of("CUDAExecutionProvider")
    'cuda'
    """
    return next((name for name, own in PROVIDERS.items() if own[0] == provider or provider in own[1:]), provider)


class OnnxSession:
    """An ``onnxruntime.InferenceSession`` that is made anew in a process that was forked.

    The threads of a session do not exist in a forked process: a run would wait for them for ever. The first run there
    makes another session of the same graph. Safe to share between threads.

    Args:
        graph: the bytes of an ONNX file, or its path.
        threads: threads within one operator; None leaves the choice to ONNX Runtime (all cores).
        device: see :func:`providers_for`.
        spin: whether idle threads of the session wait actively.
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
        """The device that the graph really runs on."""
        return device_of(self._session.get_providers()[0])

    def get_inputs(self) -> list[Any]:
        """Return the inputs of the graph: ``name``, ``shape``, ``type``."""
        return list(self._session.get_inputs())

    def get_outputs(self) -> list[Any]:
        """Return the outputs of the graph: ``name``, ``shape``, ``type``."""
        return list(self._session.get_outputs())

    def run(
        self, outputs: Sequence[str] | None, feeds: Mapping[str, NDArray[Any]], *, seconds: float | None = None
    ) -> list[NDArray[Any]]:
        """Run the graph.

        Args:
            outputs: names of the outputs wanted; None for all.
            feeds: name -> array of each input.
            seconds: stop the run after so long; None for no limit.

        Returns:
            One array an output.

        Raises:
            Exception: what ONNX Runtime raises, also when the time is over.
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
        # The runtime would take a file of its own format by its first bytes, which our checks do not read.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        if not self._spin:
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph = self._graph if isinstance(self._graph, bytes) else str(self._graph)
        return ort.InferenceSession(graph, options, providers=providers_for(self._device))

    def _make_again(self) -> None:
        with self._lock:
            if self._forked:
                # Its destructor would wait for threads that are not here, so it must never run.
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))
                self._session = self._make()
                self._forked = False

    def mark_forked(self) -> None:
        """Let the next run make the session anew; called in a process that was forked."""
        self._lock = threading.Lock()  # Another thread may have held it at the fork.
        self._forked = True


_SESSIONS: weakref.WeakSet[OnnxSession] = weakref.WeakSet()


def _after_fork() -> None:
    for session in list(_SESSIONS):
        session.mark_forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
