"""AdaBN: the source-only model with the target's batch-norm statistics (Li et al., 2016, arXiv 1603.04779).

Only the mean and variance of each channel come from the target.
"""

from __future__ import annotations

from typing import ClassVar

from dcdan.methods.base import register
from dcdan.methods.source_only import SourceOnly


@register
class AdaBN(SourceOnly):
    """Source-only training, followed by new batch-norm statistics estimated on target faces."""

    name: ClassVar[str] = "adabn"
    title: ClassVar[str] = "AdaBN"
    paper: ClassVar[str] = "Li et al., Revisiting Batch Normalization For Practical Domain Adaptation, 2016"
    estimates_statistics: ClassVar[bool] = True
