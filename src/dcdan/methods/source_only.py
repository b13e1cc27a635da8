"""Source-only: cross-entropy on the source without adaptation, the baseline of every table."""

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
        """Return the classification loss.

        Args:
            batch: source faces.
            progress: not used.

        Returns:
            ``cls``.
        """
        return {"cls": self.classify(batch)}
