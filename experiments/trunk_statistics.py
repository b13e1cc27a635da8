"""Measure what MobileNet-V1's batch norms start from: ``python experiments/trunk_statistics.py FERPLUS PACKAGE.tgz``.

256 faces, evenly spaced over FERPlus's training folder, enlarged to 112 px, go once through the trunk at output stride
16, as it is trained. Mean and deviation of what each convolution gives are written into the package: numbers of
channels, from which no face can be told.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.transforms.functional import pil_to_tensor

from dcdan.models.pretrained_trunks import REGISTRY, STATISTICS, input_scaling, plain_body, unfolded
from dcdan.models.trunk import batch_norms
from dcdan.models.trunk_files import read_checked, read_graph

FACES, SIDE = 256, 112
ENTRY = REGISTRY["mobilenetv1-vggface2"]


def faces_of(folder: Path) -> Tensor:
    """Return faces ``(FACES, 3, SIDE, SIDE)`` as the trunk takes them."""
    files = sorted((folder / "data" / "FER2013Train").glob("*.png"))
    chosen = files[:: len(files) // FACES][:FACES]
    large = [Image.open(file).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC) for file in chosen]
    mean, deviation = (torch.tensor(each)[:, None, None] for each in input_scaling(ENTRY.trunk))
    return (torch.stack([pil_to_tensor(face) for face in large]) / 255 - mean) / deviation


def untouched(package: Path) -> nn.Module:
    """Return the trunk with batch norms that see their input as it is: mean 0, variance 1."""
    manifest, weights = read_checked(package, ENTRY.files).items()
    body = plain_body(ENTRY.trunk)
    sizes = [layer.num_features for layer in batch_norms(body)]
    graph = read_graph(manifest[1], {weights[0]: weights[1]})
    body.load_state_dict(unfolded(graph, zip(map(torch.zeros, sizes), map(torch.ones, sizes), strict=True)))
    return body.eval()


@torch.no_grad()
def measure(body: nn.Module, faces: Tensor) -> dict[str, Tensor]:
    """Return mean and deviation ``(channels of all layers,)`` of what the batch norms are given."""
    layers = batch_norms(body)
    sums = [torch.zeros(3, layer.num_features, dtype=torch.float64) for layer in layers]

    def look(total: Tensor, given: Tensor) -> None:
        given = given.double()
        total += torch.stack([torch.ones_like(given), given, given.square()]).sum((1, 3, 4))

    for layer, total in zip(layers, sums, strict=True):
        layer.register_forward_pre_hook(lambda _layer, given, total=total: look(total, given[0]))
    for part in faces.split(8):
        body(part)
    count, first, second = torch.cat(sums, 1)
    mean = first / count
    deviation = (second / count - mean.square()).clamp_min(0).sqrt()
    return {"mean": mean.bfloat16(), "deviation": deviation.bfloat16()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ferplus", type=Path)
    parser.add_argument("package", type=Path)
    given = parser.parse_args()
    save_file(measure(untouched(given.package), faces_of(given.ferplus)), STATISTICS)
