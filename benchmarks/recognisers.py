"""The models of the package beside what a user would pick instead, on one and two threads, in ONNX Runtime.

    python benchmarks/recognisers.py [--model NAME_OR_RUN ...] [--rounds 40]

The others are built to their architectures with random weights, since time does not depend on what the weights are:
EfficientNet-B0 at 224 (what EmotiEffLib runs), the 48 x 48 network of five convolutions (deepface, fer), MobileFaceNet
at 112 (opencv_zoo). Each takes faces that are cut already; ours begins at bytes and ends at the calibrated choice.
Prints one JSON object.
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
from torch import Tensor, nn

from dcdan.inference.model_card import GRAPHS, read_model_info
from dcdan.inference.resolver import bundled_models, model_folder

CLASSES = 7
BATCHES = (1, 32)


def five_convolutions() -> nn.Module:
    """Return the network for 48 x 48 grey faces that deepface and fer run, in Keras's order of layers."""
    return nn.Sequential(
        nn.Conv2d(1, 64, 5), nn.ReLU(), nn.MaxPool2d(5, 2),
        nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.AvgPool2d(3, 2),
        nn.Conv2d(64, 128, 3), nn.ReLU(), nn.Conv2d(128, 128, 3), nn.ReLU(), nn.AvgPool2d(3, 2),
        nn.Flatten(), nn.Linear(128, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, CLASSES),
    )  # fmt: skip


class Bottleneck(nn.Module):
    """Widen, filter each channel, narrow; with a way round where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, factor: int) -> None:
        super().__init__()
        wide = inputs * factor
        self.round = stride == 1 and inputs == outputs
        self.way = nn.Sequential(
            nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.PReLU(wide),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.PReLU(wide),
            nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's map."""
        out: Tensor = self.way(x)
        return x + out if self.round else out


def mobile_face_net() -> nn.Module:
    """Return MobileFaceNet for 112 x 112 faces (Chen et al., 2018, Table 1), its embedding led to the classes."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64),
        nn.Conv2d(64, 64, 3, 1, 1, groups=64, bias=False), nn.BatchNorm2d(64), nn.PReLU(64),
    ]  # fmt: skip
    width = 64
    for factor, outputs, repeats, stride in (
        (2, 64, 5, 2),
        (4, 128, 1, 2),
        (2, 128, 6, 1),
        (4, 128, 1, 2),
        (2, 128, 2, 1),
    ):
        for place in range(repeats):
            layers.append(Bottleneck(width, outputs, stride if place == 0 else 1, factor))
            width = outputs
    layers += [
        nn.Conv2d(128, 512, 1, bias=False), nn.BatchNorm2d(512), nn.PReLU(512),
        nn.Conv2d(512, 512, 7, groups=512, bias=False), nn.BatchNorm2d(512),
        nn.Flatten(), nn.Linear(512, 128), nn.Linear(128, CLASSES),
    ]  # fmt: skip
    return nn.Sequential(*layers)


REFERENCE = "EfficientNet-B0, 224"
OTHERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    REFERENCE: (
        lambda: timm.create_model("efficientnet_b0", pretrained=False, num_classes=CLASSES),
        (3, 224, 224),
    ),
    "five convolutions, 48": (five_convolutions, (1, 48, 48)),
    "MobileFaceNet, 112": (mobile_face_net, (3, 112, 112)),
}


def export(model: nn.Module, shape: tuple[int, int, int], path: Path) -> None:
    """Write a network's graph, its batch dimension free."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model.eval(),
            (torch.rand(2, *shape),),
            dynamo=True,
            input_names=["faces"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=65536)},),
        )
        assert program is not None
        program.save(str(path), external_data=False)


def runner(path: Path, faces: np.ndarray, threads: int) -> Callable[[], object]:
    """Return a run of the graph on a batch."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {session.get_inputs()[0].name: faces})


def measure(models: list[str], rounds: int) -> dict[str, object]:
    """Time all of them in turn; the ratio of each to EfficientNet-B0 is that of their least times."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as work:
        graphs: dict[str, tuple[Path, tuple[int, ...] | int]] = {}
        for model in models:
            folder = model_folder(model)
            info = read_model_info(folder)
            for precision, name in GRAPHS.items():
                if name in info.files:
                    graphs[f"{info.name}, {info.face.size}, {precision}"] = (folder / name, info.face.size)
        for name, (build, shape) in OTHERS.items():
            path = Path(work) / f"{len(graphs)}.onnx"
            export(build(), shape, path)
            graphs[name] = (path, shape)
        for threads in (1, 2):
            for batch in BATCHES:
                contestants = {}
                for name, (path, shape) in graphs.items():
                    faces = (
                        rng.integers(0, 256, (batch, shape, shape, 3), dtype=np.uint8)
                        if isinstance(shape, int)
                        else rng.random((batch, *shape), dtype=np.float32)
                    )
                    contestants[name] = runner(path, faces, threads)
                times = interleaved(contestants, rounds, warm=2, threads=threads, inner=10 if batch == 1 else 1)
                for name in contestants:
                    seconds = times.least(name)
                    own = found.setdefault(name, {"megabytes": round(graphs[name][0].stat().st_size / 2**20, 1)})
                    if batch == 1:
                        own[f"ms a face, {threads} threads"] = round(1000 * seconds, 2)
                    else:
                        own[f"faces a second at {batch}, {threads} threads"] = round(batch / seconds)
    column = "ms a face, 1 threads"
    for row in found.values():
        row["EfficientNet-B0 over it, 1 thread"] = round(found[REFERENCE][column] / row[column], 2)
    return {"benchmark": "recognisers", "rounds": rounds, "rows": found, "machine": machine()}


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="default: all models of the package")
    parser.add_argument("--rounds", type=int, default=40)
    given = parser.parse_args()
    print(json.dumps(measure(given.model or bundled_models(), given.rounds), indent=2))


if __name__ == "__main__":
    main()
