"""CDAN-E: one conditional domain discriminator with entropy weights (Long et al., NeurIPS 2018). Uses target images.

    L = L_cls + 1/2 ( E_s[w(H_s) log-loss of D(f_s x p_s) as source] + E_t[w(H_t) log-loss of D(f_t x p_t) as target] )

f x p is the outer product of features and class probabilities (the multilinear map). w(H) = 1 + exp(-H), with H the
entropy of p; the weights of each domain are normalised to sum 1. Features and entropies receive the reversed gradient
times the weight of the method. The probabilities in the outer product and the sums of weights receive none, as in the
authors' code.

Differences from the paper: f is the sum of global and local features, the input of the fused head, instead of a
bottleneck, and p comes from that head. The network is trained on the source first. The outer product has at most 2,048
entries (8 classes, width 256) and needs no randomised map.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from dcdan.methods.base import MethodSettings, register
from dcdan.methods.dann import DANN, DANNSettings


class CDANESettings(DANNSettings):
    """Settings of CDAN-E: DANN's, always conditional."""

    conditional: Literal["cdan-e"] = "cdan-e"
    """The outer product with the class probabilities, faces weighted by entropy."""


@register
class CDANE(DANN):
    """Adversarial alignment of the features together with the class probabilities."""

    name: ClassVar[str] = "cdan_e"
    title: ClassVar[str] = "CDAN-E"
    paper: ClassVar[str] = "Long et al., Conditional Adversarial Domain Adaptation, NeurIPS 2018"
    sees_target: ClassVar[bool] = True
    Settings: ClassVar[type[MethodSettings]] = CDANESettings
