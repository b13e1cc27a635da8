"""Source-only: cross-entropy on the source, and nothing else. The floor of every table; its row says so."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from dcdan.methods.base import Batch, Method, register


@register
class SourceOnly(Method):
    """Training on labelled source faces alone."""

    name: ClassVar[str] = "source_only"
    title: ClassVar[str] = "Source-only"
    paper: ClassVar[str] = "the baseline without adaptation"
    sees_target: ClassVar[bool] = False

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the classification loss."""
        return {"cls": self.classify(batch)}
