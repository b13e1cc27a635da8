"""How long one aligned face takes in ONNX Runtime: our MobileNet-V2 network at 112 against EfficientNet-B0 at 224.

    python benchmarks/onnx_latency.py [--trunk mobilenetv2_100] [--size 112] [--rounds 20] [--threads 1]

Both are exported alike, with random weights, in fp32: time does not depend on what the weights are. EfficientNet-B0 at
224 is what EmotiEffLib runs; its graph starts at floats, ours at bytes. Prints one JSON object.
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
from timing import interleaved

from dcdan.models.deploy import Deployed, export_onnx
from dcdan.models.network import Network, NetworkSettings

BAR_MILLISECONDS, BAR_TIMES = 4.0, 4.0
CLASSES = 7


def export_ours(trunk: str, size: int, path: Path) -> None:
    """Write our graph."""
    network = Network(NetworkSettings(trunk=trunk), CLASSES, size).eval()
    export_onnx(Deployed(network, torch.full((CLASSES,), 0.5)), size, path)


def export_efficientnet(path: Path) -> None:
    """Write timm's EfficientNet-B0 for as many classes at 224."""
    model = timm.create_model("efficientnet_b0", pretrained=False, num_classes=CLASSES).eval()
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
    """Export both, time both."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours.onnx", Path(folder) / "efficientnet.onnx"
        export_ours(trunk, size, ours)
        export_efficientnet(theirs)
        contestants = {
            "ours": runner(ours, rng.integers(0, 256, (1, size, size, 3), dtype=np.uint8), threads),
            "efficientnet_b0_224": runner(theirs, rng.random((1, 3, 224, 224), dtype=np.float32), threads),
        }
        megabytes = {"ours": ours.stat().st_size / 2**20, "efficientnet_b0_224": theirs.stat().st_size / 2**20}
        times = interleaved(contestants, rounds, warm=10, threads=threads, inner=10)
    milliseconds = {name: 1000 * times.least(name) for name in contestants}
    ahead = times.ratio("efficientnet_b0_224", "ours")
    return {
        "benchmark": "onnx_latency",
        "trunk": trunk,
        "size": size,
        "precision": "fp32",
        "threads": threads,
        "clock": times.clock,
        "rounds": rounds,
        "milliseconds": {name: round(value, 2) for name, value in milliseconds.items()},
        "megabytes": {name: round(value, 1) for name, value in megabytes.items()},
        "times_faster": round(ahead, 2),
        "spread": [round(value, 2) for value in times.spread("efficientnet_b0_224", "ours")],
        "bar": {"milliseconds": BAR_MILLISECONDS, "times_faster": BAR_TIMES},
        "within_bar": milliseconds["ours"] <= BAR_MILLISECONDS and ahead >= BAR_TIMES,
        "machine": machine(),
    }


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trunk", default="mobilenetv2_100")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
