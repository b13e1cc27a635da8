"""The device of a training, its precision, and how memory is handled on the CPU.

The precision is measured, because bf16 doubles the speed of ResNets and slows MobileNets down.
"""

from __future__ import annotations

import ctypes
import re
import sys
import time

import torch
from torch import Tensor

from dcdan.core.errors import UsageError
from dcdan.models.network import Network


def pick_device(name: str) -> torch.device:
    """Return the device of a setting.

    Args:
        name: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; ``auto`` prefers the first CUDA device.

    Returns:
        The device.

    Raises:
        UsageError: when the name is wrong or there is no such device.

    Example:
        >>> pick_device("cpu")
        device(type='cpu')
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UsageError(f"The setting 'device' cannot be '{name}': choose auto, cpu, cuda or cuda:N.")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"The device '{name}' is not there: this machine has {torch.cuda.device_count()} CUDA devices."
        )
    return device


def has_bf16(device: torch.device) -> bool:
    """Return whether a device multiplies bf16 matrices in hardware.

    Args:
        device: the device.

    Returns:
        True when it does.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def step_time(network: Network, faces: Tensor, bf16: bool, repeats: int = 3) -> float:
    """Return the shortest time of a forward and backward pass.

    Args:
        network: the network; its gradients are dropped afterwards.
        faces: ``(B, 3, S, S) float32``.
        bf16: whether to compute in bf16.
        repeats: number of passes.

    Returns:
        Seconds.
    """
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        with torch.autocast(faces.device.type, torch.bfloat16, enabled=bf16):
            outputs = network(faces)
        sum(head.float().square().mean() for head in outputs.logits).backward()  # type: ignore[union-attr]
        if faces.device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    network.zero_grad(set_to_none=True)
    return best


def choose_bf16(network: Network, wanted: str, size: int, batch: int, device: torch.device) -> tuple[bool, str]:
    """Choose between bf16 and fp32.

    Args:
        network: the network; its state is restored after the measurement.
        wanted: the setting ``precision``; ``auto`` measures where the device has bf16.
        size: face side in pixels.
        batch: batch size.
        device: the device.

    Returns:
        Whether to train in bf16, and a sentence with the reason.
    """
    if wanted != "auto":
        return wanted == "bf16", f"{wanted}, as set"
    if not has_bf16(device):
        return False, "fp32: this device has no bf16"
    state = {name: value.clone() for name, value in network.state_dict().items()}
    faces = torch.rand(min(batch, 32), 3, size, size, device=device).contiguous(memory_format=torch.channels_last)
    network.train()
    plain, half = step_time(network, faces, False), step_time(network, faces, True)
    network.load_state_dict(state)
    return (
        half < 0.95 * plain,
        f"{'bf16' if half < 0.95 * plain else 'fp32'}: bf16 takes {half / plain:.2f} of fp32's time",
    )


TRIM_THRESHOLD, MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Make glibc reuse freed memory instead of returning it to the kernel.

    A step on the CPU frees and allocates every large feature map. By default glibc returns blocks above 32 MB to the
    kernel, which clears each page again: up to a fifth of a MobileNet-V2 step at 112 pixels. Other C libraries are not
    changed.

    Returns:
        Whether the setting was made.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(MMAP_MAX, 0)) and bool(mallopt(TRIM_THRESHOLD, -1))
