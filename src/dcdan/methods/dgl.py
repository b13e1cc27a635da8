"""DGL: dual global and local adversarial learning, our reading of a row of the paper's tables. Sees target images.

    L = L_cls + lambda_g L_adv^g + lambda_l L_adv^l + lambda_p L_pl,   a label counts above .95

The paper's "DGL" cites a work on remote sensing that trains no expressions, so no formula or code can be followed. Read
as the name says, it is DCD-DAN without what DCD-DAN adds: no dual attention, no activation construction, one fixed
threshold of .95 for all classes instead of dynamic ones. The source is drawn evenly and the fused head decides
alone, as in the other rows. The weights, the teacher and its views stay those of DCD-DAN; attention and activation
belong to the network: set those of :attr:`DGL.network`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, ClassVar, Literal

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
    sees_target: ClassVar[bool] = True
    uses_teacher: ClassVar[bool] = True
    Settings: ClassVar[type[MethodSettings]] = DGLSettings
    network: ClassVar[MappingProxyType[str, Any]] = MappingProxyType({"attention": "off", "activation": "gelu"})
    """Recommended ``network`` settings: without them the row is DCD-DAN with a fixed threshold."""

    def report(self) -> dict[str, float]:
        """Return the share of target faces whose label counts."""
        return {"counted": float(self.get_buffer("counted"))}
