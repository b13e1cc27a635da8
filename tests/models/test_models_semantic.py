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
