"""The semantic-aware module: what its heads see, and how they lean."""

from __future__ import annotations

import torch

from dcdan.models.semantic import SemanticModule


def test_the_fused_head_sees_the_sum_and_the_others_their_own() -> None:
    torch.manual_seed(0)
    module = SemanticModule(8, 3)
    f_g, f_l = torch.randn(4, 8), torch.randn(4, 8)
    logits = module(f_g, f_l)
    torch.testing.assert_close(logits.fused, (f_g + f_l) @ module.fused.weight.T + module.fused.bias)
    torch.testing.assert_close(logits.of_global, f_g @ module.of_global.weight.T + module.of_global.bias)
    torch.testing.assert_close(logits.of_local, f_l @ module.of_local.weight.T + module.of_local.bias)


def test_leaning_adds_the_logarithms_of_the_shares_to_all_heads() -> None:
    torch.manual_seed(0)
    module = SemanticModule(8, 3)
    f_g, f_l = torch.randn(4, 8), torch.randn(4, 8)
    before = module(f_g, f_l)
    module.lean(torch.tensor([6.0, 3.0, 0.0]), 0.5)
    shares = torch.tensor([0.6, 0.3, 0.1])
    for one, other in zip(module(f_g, f_l), before, strict=True):
        torch.testing.assert_close(one - other, (0.5 * shares.log()).expand(4, 3))
