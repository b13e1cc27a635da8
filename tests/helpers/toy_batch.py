"""A small network on a few drawn faces, as the training loop hands it to a method."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dcdan.methods.base import Batch, Method
from dcdan.models.domain_norm import sources_first
from dcdan.models.heads import Logits, SemanticModule
from dcdan.models.network import Network, NetworkOutputs, NetworkSettings

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
        rows = torch.arange(len(self.source))
        if not with_target:
            return Batch(labels, source, faces=self.source, rows=rows)
        with torch.no_grad():
            teacher = self.network.eval()(self.target).logits
        self.network.train()
        return Batch(labels, source, target, teacher, self.source, rows, self.target)


def toy(kind: type[Method], seed: int = 0, **settings: object) -> Toy:
    """Return a toy for a method; faces of a class share a colour, and the target is darker than the source."""
    torch.manual_seed(seed)
    network = kind.build_network(NetworkSettings(trunk="test_resnet", width=WIDTH, groups=4), CLASSES, SIZE)
    method = kind(kind.Settings(**settings), WIDTH, COUNTS)
    method.epochs = 4.0
    method.prepare(network, len(LABELS))
    colours = torch.rand(CLASSES, 3, 1, 1)[LABELS]
    faces = (colours + 0.1 * torch.rand(2, 8, 3, SIZE, SIZE)).clamp(0, 1)
    return Toy(network, method, faces[0], 0.5 * faces[1])


def made_up(faces: int, seed: int, classes: int = CLASSES, width: int = WIDTH, sharp: float = 3.0) -> NetworkOutputs:
    """Return made-up outputs in float64 whose features and logits are leaves with gradient, and heads of their own."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, faces, width, generator=generator, dtype=torch.float64)
    logits = sharp * torch.randn(3, faces, classes, generator=generator, dtype=torch.float64)
    regions = torch.randn(faces, 5, width, generator=generator, dtype=torch.float64)
    of_global, of_local, *heads = (part.clone().requires_grad_() for part in (*features, *logits))
    torch.manual_seed(1000)
    module = SemanticModule(width, classes).double()
    weights = torch.full((faces, 5), 0.2, dtype=torch.float64)
    return NetworkOutputs(of_global, of_local, Logits(*heads), weights, regions.requires_grad_(), module)
