"""DGL: dual global and local adversarial learning, our reading of a row of the paper's tables. Uses target images.

    L = L_cls + lambda_g L_adv^g + lambda_l L_adv^l + lambda_p L_pl,   a label counts above .95

The paper's "DGL" cites a work on remote sensing, without a formula or code for expressions. Read by its name, it is
DCD-DAN without the parts that DCD-DAN adds: no dual attention, no activation construction, and a fixed threshold of .95
for all classes instead of dynamic ones. The source is sampled uniformly and only the fused head predicts, as for the
other methods. Loss weights, teacher and views are those of DCD-DAN. Attention and activation belong to the network:
without ``network.attention=off`` and ``network.activation=gelu`` the method is DCD-DAN with a fixed threshold.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from dcdan.methods.base import MethodSettings, Sampling, register
from dcdan.methods.dcdan import DCDAN, DCDANSettings


class DGLSettings(DCDANSettings):
    """Settings of DGL: DCD-DAN's, with the fixed threshold."""

    sampling: Sampling = "even"
    pseudo_labels: Literal["fixed"] = "fixed"
    """Labels above ``fixed_threshold`` count."""
    certain: Literal[0] = 0  # type: ignore[assignment]
    """The fused head decides every face."""


@register
class DGL(DCDAN):
    """Global and local adversarial alignment with pseudo-labels above a fixed threshold."""

    name: ClassVar[str] = "dgl"
    title: ClassVar[str] = "DGL"
    paper: ClassVar[str] = (
        "our reading of dual global and local adversarial learning; the work cited is on remote sensing"
    )
    reading: ClassVar[str] = "the words of the paper of this project alone"
    sees_target: ClassVar[bool] = True
    uses_teacher: ClassVar[bool] = True
    Settings: ClassVar[type[MethodSettings]] = DGLSettings
