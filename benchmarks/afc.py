"""AFC against GELU: forward and backward on the same tensor, eager and compiled, in fp32.

    python benchmarks/afc.py [--rounds 15] [--threads 1]

The tensors are maps that the network has at 112 pixels and a large one, channels last. Prints one JSON object. The bar
is on AFC's compiled kernel over PyTorch's own GELU, for maps of a training batch (a megabyte and more); on the small
map, of a batch of two, both are mostly the cost of a call.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import torch
from machine import machine
from timing import interleaved
from torch import Tensor, nn

from dcdan.models import afc
from dcdan.models.afc import AFC
from dcdan.training.device import keep_freed_memory

BAR = 1.1
SHAPES = ((2, 64, 14, 14), (64, 256, 7, 7), (160, 128, 7, 7), (64, 256, 28, 28))


def both_ways(layer: Callable[[Tensor], Tensor], x: Tensor, grad: Tensor) -> Callable[[], None]:
    """Return a run of forward and backward on ``x``."""

    def run() -> None:
        x.grad = None
        layer(x).backward(grad)  # type: ignore[no-untyped-call]

    return run


def with_kernels(kernels: afc.Kernels, run: Callable[[], None]) -> Callable[[], None]:
    """Return ``run`` with these kernels of AFC."""

    def chosen() -> None:
        afc._chosen = kernels
        run()

    return chosen


def compare(shape: tuple[int, ...], compiled: afc.Kernels, rounds: int, threads: int) -> dict[str, object]:
    """Time one shape."""
    torch.manual_seed(0)
    x = (2 * torch.randn(shape)).contiguous(memory_format=torch.channels_last).requires_grad_()
    grad = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    gelu, layer = nn.GELU(), AFC()
    contestants = {
        "gelu": both_ways(gelu, x, grad),
        "afc_eager": with_kernels(afc.EAGER, both_ways(layer, x, grad)),
        "afc_compiled": with_kernels(compiled, both_ways(layer, x, grad)),
    }
    inner = max(1, 2_000_000 // x.numel())
    times = interleaved(contestants, rounds, warm=2, threads=threads, inner=inner)
    return {
        "shape": list(shape),
        "megabytes": round(x.numel() * 4 / 2**20, 1),
        "milliseconds": {name: round(1000 * times.least(name), 3) for name in contestants},
        "eager_ratio": round(times.ratio("afc_eager", "gelu"), 2),
        "compiled_ratio": round(times.ratio("afc_compiled", "gelu"), 2),
        "compiled_spread": [round(value, 2) for value in times.spread("afc_compiled", "gelu")],
    }


def measure(rounds: int, threads: int) -> dict[str, object]:
    """Time all shapes."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    afc.fuse(True)
    compiled = afc._chosen
    rows = [compare(shape, compiled, rounds, threads) for shape in SHAPES]
    return {
        "benchmark": "afc",
        "threads": threads,
        "rounds": rounds,
        "rows": rows,
        "bar": BAR,
        "within_bar": all(row["compiled_ratio"] <= BAR for row in rows if row["megabytes"] >= 1),  # type: ignore[operator]
        "machine": machine(),
    }


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
