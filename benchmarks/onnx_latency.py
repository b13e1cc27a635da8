"""How long one aligned face takes in ONNX Runtime: our MobileNet-V2 at 112, fp32 and int8, and EfficientNet-B0 at 224.

    python benchmarks/onnx_latency.py [--trunk mobilenetv2_100] [--size 112] [--rounds 10] [--threads 1]

All are exported alike, with random weights: time does not depend on what the weights are. EfficientNet-B0 at 224, fp32,
is what EmotiEffLib runs; its graph starts at floats, ours at bytes. Multiply-adds are counted too, since they say how
far ahead one network can be of another. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import timm
import torch
from machine import machine
from timing import Times, interleaved
from torch.utils.flop_counter import FlopCounterMode

from dcdan.export.quantise import quantise
from dcdan.models.deploy import Deployed, export_onnx
from dcdan.models.network import Network, NetworkSettings

BAR_MILLISECONDS, BAR_TIMES = {"ours": 4.0, "ours_int8": 2.0}, 4.0
CLASSES = 7
SESSIONS = 8


def export_ours(network: Network, size: int, path: Path, int8: Path, faces: np.ndarray) -> None:
    """Write our graph in fp32 and, with ranges set by some ``faces``, in int8."""
    export_onnx(Deployed(network, torch.full((CLASSES,), 0.5)), size, path)
    quantise(path, [faces], int8)


def millions(model: torch.nn.Module, images: torch.Tensor) -> float:
    """Return the multiply-adds of one pass in millions, to one place."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(images)
    return round(counter.get_total_flops() / 2e6, 1)


def export_efficientnet(model: torch.nn.Module, path: Path) -> None:
    """Write timm's EfficientNet-B0."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            (torch.rand(2, 3, 224, 224),),
            dynamo=True,
            input_names=["faces"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=65536)},),
        )
        assert program is not None
        program.save(str(path), external_data=False)


def runner(path: Path, face: np.ndarray, threads: int) -> Callable[[], object]:
    """Return a run of the graph on one face."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"faces": face})


def measure(trunk: str, size: int, rounds: int, threads: int) -> dict[str, object]:
    """Export all three, count what they do, and time them in turn."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    network = Network(NetworkSettings(trunk=trunk), CLASSES, size).eval()
    efficientnet = timm.create_model("efficientnet_b0", pretrained=False, num_classes=CLASSES).eval()
    faces = rng.integers(0, 256, (16, size, size, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.onnx" for name in ("ours", "ours_int8", "efficientnet_b0_224")}
        export_ours(network, size, files["ours"], files["ours_int8"], faces)
        export_efficientnet(efficientnet, files["efficientnet_b0_224"])
        floats = rng.random((1, 3, 224, 224), dtype=np.float32)
        inputs = {name: floats if name == "efficientnet_b0_224" else faces[:1] for name in files}
        megabytes = {name: path.stat().st_size / 2**20 for name, path in files.items()}
        # Where a session's memory happens to lie changes its time by up to a tenth: each contestant has several.
        parts = []
        for _ in range(SESSIONS):
            contestants = {name: runner(path, inputs[name], threads) for name, path in files.items()}
            parts.append(interleaved(contestants, rounds, warm=10, threads=threads, inner=10))
        times = Times({name: [s for part in parts for s in part.seconds[name]] for name in files}, parts[0].clock)
    multiply_adds = {
        "ours": millions(network, torch.rand(1, 3, size, size)),
        "trunk": millions(network.trunk, torch.rand(1, 3, size, size)),
        "trunk_stride_32": millions(timm.create_model(trunk, features_only=True), torch.rand(1, 3, size, size)),
        "efficientnet_b0_224": millions(efficientnet, torch.rand(1, 3, 224, 224)),
    }
    milliseconds = {name: 1000 * times.least(name) for name in files}
    ahead = times.ratio("efficientnet_b0_224", "ours")
    return {
        "benchmark": "onnx_latency",
        "trunk": trunk,
        "size": size,
        "threads": threads,
        "clock": times.clock,
        "rounds": rounds * SESSIONS,
        "milliseconds": {name: round(value, 2) for name, value in milliseconds.items()},
        "megabytes": {name: round(value, 1) for name, value in megabytes.items()},
        "millions_of_multiply_adds": multiply_adds,
        "times_faster": round(ahead, 2),
        "spread": [round(value, 2) for value in times.spread("efficientnet_b0_224", "ours")],
        "bar": {"milliseconds": BAR_MILLISECONDS, "times_faster": BAR_TIMES},
        "within_bar": ahead >= BAR_TIMES and all(milliseconds[name] <= bar for name, bar in BAR_MILLISECONDS.items()),
        "machine": machine(),
    }


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trunk", default="mobilenetv2_100")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
