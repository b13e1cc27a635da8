"""A small network on a few drawn faces, as the training loop hands it to a method."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dcdan.methods.base import Batch, Method
from dcdan.models.domain_norm import sources_first
from dcdan.models.network import Network, NetworkSettings

CLASSES, WIDTH, SIZE = 5, 32, 32
COUNTS = torch.tensor([40.0, 20, 10, 5, 5])
LABELS = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2])


@dataclass
class Toy:
    """A network, a method, and one batch of faces of each domain."""

    network: Network
    method: Method
    source: Tensor
    target: Tensor

    def batch(self, with_target: bool = True) -> Batch:
        """Run both domains through the student as the loop does; the target's weak view is here the target itself."""
        labels = torch.nn.functional.one_hot(LABELS, CLASSES).float()
        faces = torch.cat([self.source, self.target]) if with_target else self.source
        self.network.train()
        with sources_first(self.network, len(self.source)):
            source, target = self.network(faces).split(len(self.source))
        if not with_target:
            return Batch(labels, source)
        with torch.no_grad():
            teacher = self.network.eval()(self.target).logits
        self.network.train()
        return Batch(labels, source, target, teacher)


def toy(kind: type[Method], seed: int = 0, **settings: object) -> Toy:
    """Return a toy for a method; faces of a class share a colour, and the target is darker than the source."""
    torch.manual_seed(seed)
    network = Network(NetworkSettings(trunk="test_resnet", width=WIDTH, groups=4), CLASSES, SIZE)
    method = kind(kind.Settings(**settings), WIDTH, COUNTS)
    colours = torch.rand(CLASSES, 3, 1, 1)[LABELS]
    faces = (colours + 0.1 * torch.rand(2, 8, 3, SIZE, SIZE)).clamp(0, 1)
    return Toy(network, method, faces[0], 0.5 * faces[1])
