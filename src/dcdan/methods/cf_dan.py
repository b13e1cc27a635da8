"""CF-DAN: the network with its dual attention, trained on source only (Zhang et al., CVM 2024). Sees no target.

    L = CE of the three heads on source, weights 1 : .5 : .5

Different here: the formulas of CF-DAN's attention, activation and condensation could not be found; the network is this
project's, derived from what the texts state. The row says what the architecture gives without adaptation, so it makes
no sense with the attention switched off, and refuses that: it would be the row of source-only on a plain trunk.
"""

from __future__ import annotations

from typing import ClassVar

from dcdan.core.errors import UsageError
from dcdan.methods.base import register
from dcdan.methods.source_only import SourceOnly
from dcdan.models.network import Network, NetworkSettings


@register
class CFDAN(SourceOnly):
    """Our network on source only."""

    name: ClassVar[str] = "cf_dan"
    title: ClassVar[str] = "CF-DAN"
    paper: ClassVar[str] = "Zhang et al., Computational Visual Media 10(3), 2024, doi 10.1007/s41095-023-0369-x"
    sees_target: ClassVar[bool] = False

    @classmethod
    def build_network(cls, settings: NetworkSettings, classes: int, size: int) -> Network:
        """Return the standard network. Raises UsageError when its attention is off."""
        if settings.attention == "off":
            raise UsageError("CF-DAN is its attention; leave network.attention on, or set method=source_only.")
        return super().build_network(settings, classes, size)
