"""Batch norm with domains equals two plain batch norms, one for each part of the batch."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from dcdan.models.domain_norm import (
    DomainBatchNorm2d,
    domain_norm,
    fold,
    norms,
    sources_first,
    start_target_from_source,
    with_domains,
)

LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def layers(dtype: torch.dtype = torch.float64) -> tuple[DomainBatchNorm2d, nn.BatchNorm2d, nn.BatchNorm2d]:
    """Return a norm with domains and the plain ones of source and target that it stands for."""
    torch.manual_seed(0)
    ours = DomainBatchNorm2d(5).to(dtype)
    with torch.no_grad():
        ours.weight.uniform_(0.5, 2)
        ours.bias.normal_()
    plain = nn.BatchNorm2d(5).to(dtype), nn.BatchNorm2d(5).to(dtype)
    for layer, mean, var in zip(
        plain, (ours.source_mean, ours.running_mean), (ours.source_var, ours.running_var), strict=True
    ):
        mean.normal_()
        var.uniform_(0.5, 2)
        layer.load_state_dict({"running_mean": mean, "running_var": var}, strict=False)
        with torch.no_grad():
            layer.weight.copy_(ours.weight)
            layer.bias.copy_(ours.bias)
    return ours, *plain


def assert_same_statistics(ours: DomainBatchNorm2d, of_source: nn.BatchNorm2d, of_target: nn.BatchNorm2d) -> None:
    torch.testing.assert_close(ours.source_mean, of_source.running_mean)
    torch.testing.assert_close(ours.source_var, of_source.running_var)
    torch.testing.assert_close(ours.running_mean, of_target.running_mean)
    torch.testing.assert_close(ours.running_var, of_target.running_var)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("sources", [2, 3])
def test_training_equals_two_plain_norms(layout: str, sources: int) -> None:
    ours, of_source, of_target = layers()
    for step in range(3):
        generator = torch.Generator().manual_seed(step)
        base = torch.randn(6, 5, 4, 3, dtype=torch.float64, generator=generator)
        weight = torch.randn(6, 5, 4, 3, dtype=torch.float64, generator=generator)
        x = base.contiguous(memory_format=LAYOUTS[layout]).requires_grad_()
        y = base.clone().requires_grad_()
        with sources_first(ours, sources):
            out = ours(x)
        wanted = torch.cat([of_source(y[:sources]), of_target(y[sources:])])
        torch.testing.assert_close(out, wanted)
        assert out.is_contiguous(memory_format=LAYOUTS[layout])
        grads = torch.autograd.grad((out * weight).sum(), (x, ours.weight, ours.bias))
        parameters = (of_source.weight, of_target.weight, of_source.bias, of_target.bias)
        plain = torch.autograd.grad((wanted * weight).sum(), (y, *parameters))
        summed = (plain[0], plain[1] + plain[2], plain[3] + plain[4])
        for one, other in zip(grads, summed, strict=True):
            torch.testing.assert_close(one, other)
    assert_same_statistics(ours, of_source, of_target)


def test_gradient_by_finite_differences() -> None:
    ours, _, _ = layers()

    def forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(ours, {"weight": weight, "bias": bias}, (x,))

    x = torch.randn(5, 5, 2, 2, dtype=torch.float64, requires_grad=True)
    with sources_first(ours, 2):
        assert torch.autograd.gradcheck(forward, (x, ours.weight, ours.bias))


@pytest.mark.parametrize("layout", ["contiguous", "sliced", "expanded", "single places"])
def test_gradients_and_maps_of_any_strides(layout: str) -> None:
    ours, of_source, of_target = layers()
    base = torch.randn(6, 5, 4, 4, dtype=torch.float64)
    x = {
        "contiguous": base,
        "sliced": base.transpose(2, 3)[:, :, ::2],
        "expanded": base[:, :1].expand(6, 5, 4, 4),
        "single places": base[:, :, :1, :1].contiguous(),
    }[layout]
    x = x.detach().requires_grad_()
    with sources_first(ours, 3):
        (grad,) = torch.autograd.grad(ours(x).mean((2, 3)).square().sum(), x)
    wanted = torch.cat([of_source(x[:3]), of_target(x[3:])])
    torch.testing.assert_close(grad, torch.autograd.grad(wanted.mean((2, 3)).square().sum(), x)[0])


@pytest.mark.parametrize(("sources", "which"), [(-1, 0), (0, 1), (6, 0), (9, 0)])
@pytest.mark.parametrize("training", [True, False])
def test_a_batch_of_one_domain(sources: int, which: int, training: bool) -> None:
    ours, *plain = layers()
    for layer in (ours, *plain):
        layer.train(training)
    x = torch.randn(6, 5, 4, 4, dtype=torch.float64)
    with sources_first(ours, sources):
        torch.testing.assert_close(ours(x), plain[which](x))
    assert_same_statistics(ours, *plain)


def test_evaluation_uses_each_domains_statistics_and_keeps_them() -> None:
    ours, of_source, of_target = layers()
    for layer in (ours, of_source, of_target):
        layer.eval()
    x = torch.randn(6, 5, 4, 4, dtype=torch.float64)
    with sources_first(ours, 2):
        torch.testing.assert_close(ours(x), torch.cat([of_source(x[:2]), of_target(x[2:])]))
    assert_same_statistics(ours, of_source, of_target)


def test_training_without_gradient_updates_the_same_statistics() -> None:
    ours, of_source, of_target = layers()
    x = torch.randn(6, 5, 4, 4, dtype=torch.float64)
    with sources_first(ours, 2), torch.no_grad():
        torch.testing.assert_close(ours(x), torch.cat([of_source(x[:2]), of_target(x[2:])]))
    assert_same_statistics(ours, of_source, of_target)


def test_half_precision_maps_with_full_precision_weights() -> None:
    ours, of_source, of_target = layers(torch.float32)
    x = torch.randn(6, 5, 4, 4).bfloat16().contiguous(memory_format=torch.channels_last).requires_grad_()
    with sources_first(ours, 2):
        out = ours(x)
    (grad, of_weight) = torch.autograd.grad(out.float().square().sum(), (x, ours.weight))
    assert (out.dtype, grad.dtype, of_weight.dtype) == (torch.bfloat16, torch.bfloat16, torch.float32)
    wanted = torch.cat([of_source(x[:2].float()), of_target(x[2:].float())])
    torch.testing.assert_close(out.float(), wanted, rtol=0.02, atol=0.02)
    assert_same_statistics(ours, of_source, of_target)


@pytest.mark.parametrize("sources", [2, -1, 0])
def test_regions_folded_into_the_batch_stay_with_their_face(sources: int) -> None:
    ours, _, _ = layers()
    folded, _, _ = layers()
    fold(folded, 3)
    x = torch.randn(5, 5, 3, 4, 2, dtype=torch.float64)
    with sources_first(folded, sources), sources_first(ours, sources):
        by_batch = folded(x.transpose(1, 2).flatten(0, 1))
        by_map = ours(x.flatten(2, 3))
    torch.testing.assert_close(by_batch.unflatten(0, (5, 3)).transpose(1, 2).flatten(2, 3), by_map)
    torch.testing.assert_close(folded.source_mean, ours.source_mean)
    torch.testing.assert_close(folded.running_mean, ours.running_mean)
    n = 4 * 3 * 2 * {2: 2, -1: 5, 0: 0}[sources]
    if n:
        torch.testing.assert_close(folded.source_var, ours.source_var)


def test_domains_are_set_within_the_context_only() -> None:
    ours, _, _ = layers()
    with sources_first(ours, 4):
        assert ours.sources == 4
        with pytest.raises(RuntimeError, match="running_mean"), sources_first(ours, -1):
            ours(torch.zeros(2, 3, 1, 1))
        assert ours.sources == 4
    assert ours.sources == 0


def test_made_from_a_plain_norm_with_its_statistics_for_both_domains() -> None:
    _, of_source, _ = layers()
    made = domain_norm(of_source).double()
    assert (made.eps, made.momentum) == (of_source.eps, of_source.momentum)
    assert_same_statistics(made, of_source, of_source)
    made.source_mean.add_(1)
    start_target_from_source(made)
    torch.testing.assert_close(made.running_mean, made.source_mean)
    assert made.running_mean.data_ptr() != made.source_mean.data_ptr()


def test_state_keeps_the_plain_layers_names() -> None:
    names = set(nn.BatchNorm2d(3).state_dict())
    assert set(DomainBatchNorm2d(3).state_dict()) == names | {"source_mean", "source_var"}


@pytest.mark.parametrize("name", ["test_efficientnet", "mobilenetv2_100", "test_resnet"])
def test_conversion_of_timm_trunks_keeps_what_they_compute(name: str) -> None:
    torch.manual_seed(0)
    body = timm.create_model(name, features_only=True, output_stride=16).eval()
    count = 0
    for layer in body.modules():
        if isinstance(layer, nn.BatchNorm2d):
            count += 1
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.1)
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        before = body(x)
        with_domains(body)
        assert len(list(norms(body))) == count
        for sources in (0, -1):
            with sources_first(body, sources):
                for one, other in zip(body(x), before, strict=True):
                    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_conversion_leaves_converted_norms_alone() -> None:
    body = with_domains(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)))
    first = body[1]
    with_domains(body)
    assert body[1] is first
