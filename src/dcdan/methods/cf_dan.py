"""CF-DAN: the network with its dual attention, trained on the source only (Zhang et al., CVM 2024). Uses no target.

    L = CE of the three heads on source, weights 1 : .5 : .5

Differences from the paper: the formulas of CF-DAN's attention, activation and condensation are not available, so the
network is the one of this project, derived from what the texts state. The method measures the architecture without
adaptation. Without attention it would repeat source-only on a plain trunk, which is an error.
"""

from __future__ import annotations

from typing import ClassVar

from dcdan.core.errors import UsageError
from dcdan.methods.base import register
from dcdan.methods.source_only import SourceOnly
from dcdan.models.network import Network, NetworkSettings


@register
class CFDAN(SourceOnly):
    """The network of this project, trained on the source only."""

    name: ClassVar[str] = "cf_dan"
    title: ClassVar[str] = "CF-DAN"
    paper: ClassVar[str] = "Zhang et al., Computational Visual Media 10(3), 2024, doi 10.1007/s41095-023-0369-x"
    reading: ClassVar[str] = "its abstract; the network is the one of this project"
    sees_target: ClassVar[bool] = False

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
            UsageError: when attention is off.
        """
        if settings.attention == "off":
            raise UsageError("CF-DAN is its attention; leave network.attention on, or set method=source_only.")
        return super().build_network(settings, classes, size)
