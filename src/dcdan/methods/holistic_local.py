"""The common parts of AGRA and AGLRLS, which use the whole face and each of its five regions before they are merged."""

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
        """Build the standard network.

        Args:
            settings: the architecture.
            classes: number of classes K.
            size: face side in pixels.

        Returns:
            The network.

        Raises:
            UsageError: when the network has no local branch.
        """
        if not settings.local_branch:
            raise UsageError(f"{cls.title} needs the regions of the face: set network.local_branch=true.")
        return super().build_network(settings, classes, size)


def parts_of(outputs: NetworkOutputs) -> Tensor:
    """Return the features of the whole face and of the five regions.

    Args:
        outputs: outputs of the network on B faces.

    Returns:
        ``(B, 6, width)``, the whole face first.
    """
    assert outputs.regions is not None
    return torch.cat([outputs.of_global[:, None], outputs.regions.to(outputs.of_global.dtype)], 1)
