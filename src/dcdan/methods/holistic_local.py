"""What methods of parts (AGRA, AGLRLS) share: the whole face and each of its five regions, before they are merged."""

from __future__ import annotations

import torch
from torch import Tensor

from dcdan.core.errors import UsageError
from dcdan.methods.base import Method
from dcdan.models.network import Network, NetworkOutputs, NetworkSettings


class PartsMethod(Method):
    """A method that needs the regions of the local branch."""

    @classmethod
    def build_network(cls, settings: NetworkSettings, classes: int, size: int) -> Network:
        """Return the standard network. Raises UsageError when it has no local branch."""
        if not settings.local_branch:
            raise UsageError(f"{cls.title} looks at regions of the face; leave network.local_branch at true.")
        return super().build_network(settings, classes, size)


def parts_of(outputs: NetworkOutputs) -> Tensor:
    """Return ``(B, 6, width)``: the global features, then those of the five regions."""
    assert outputs.regions is not None
    return torch.cat([outputs.of_global[:, None], outputs.regions.to(outputs.of_global.dtype)], 1)
