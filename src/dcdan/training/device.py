"""The device of a training, its precision, and how its memory is handled.

The device, and fp32 or bf16 by a short measurement: bf16 doubles the speed of ResNets and slows MobileNets.

How the processor's memory is handled while training.
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
    """Return the device; ``auto`` is the first CUDA device, or the processor. Raise UsageError when it is not there."""
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
    """Return whether the device multiplies bf16 matrices in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def step_time(network: Network, faces: Tensor, bf16: bool, repeats: int = 3) -> float:
    """Return the least seconds of a forward and backward pass; gradients are dropped, statistics kept as they were."""
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
    """Return whether to train in bf16, and a sentence that says why."""
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
    """Have the C library keep what tensors free, for the next step's tensors; return whether it can.

    A step on the processor frees and asks anew for every large map. By default glibc hands blocks above 32 MB back to
    the kernel, which clears each page again before it is used: up to a fifth of a MobileNet-V2 step at 112. Other C
    libraries are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(MMAP_MAX, 0)) and bool(mallopt(TRIM_THRESHOLD, -1))
