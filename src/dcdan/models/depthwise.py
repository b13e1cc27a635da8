"""Dilated depthwise convolution with fast gradients on the CPU.

A trunk at output stride 16 ends in such layers (three of 960 channels in MobileNet-V2). PyTorch's backward pass for
them takes a hundred times as long as the forward pass. Computed as another convolution (input) and as one product per
tap (weights), it takes about as long as the forward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d


class DilatedDepthwise(nn.Conv2d):
    """A ``Conv2d`` with one group per channel, stride 1, an odd kernel, and padding that preserves the map size."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution; PyTorch's own is used on other devices and without gradients.

        Args:
            x: ``(B, C, H, W)``.

        Returns:
            ``(B, C, H, W)``.
        """
        if x.device.type != "cpu" or not torch.is_grad_enabled() or torch.compiler.is_compiling():
            return super().forward(x)
        kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        out: Tensor = _Convolve.apply(x.to(kind), self.weight.to(kind), self.dilation[0])  # type: ignore[no-untyped-call]
        return out if self.bias is None else out + self.bias.to(kind)[:, None, None]


class _Convolve(torch.autograd.Function):
    """The convolution with explicit gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        return depthwise(x, weight, dilation)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        return (
            depthwise(gradient, weight.flip(2, 3), ctx.dilation),
            weight_gradient(x, gradient, weight.shape[-1], ctx.dilation),
            None,
        )


def depthwise(x: Tensor, weight: Tensor, dilation: int) -> Tensor:
    """Return a dilated depthwise convolution, padded to preserve the size.

    Args:
        x: ``(B, C, H, W)``.
        weight: ``(C, 1, k, k)``.
        dilation: the dilation.

    Returns:
        ``(B, C, H, W)``.
    """
    return conv2d(x, weight, None, 1, weight.shape[-1] // 2 * dilation, dilation, len(weight))


def weight_gradient(x: Tensor, gradient: Tensor, kernel: int, dilation: int) -> Tensor:
    """Return the gradient of the weights: at each tap, the product of the shifted map and the gradient.

    Args:
        x: ``(B, C, H, W)`` input.
        gradient: ``(B, C, H, W)`` gradient of the output.
        kernel: kernel side k.
        dilation: the dilation.

    Returns:
        ``(C, 1, k, k)``.
    """
    height, width = x.shape[2:]
    x, gradient = x.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1)
    out = x.new_zeros(kernel, kernel, x.shape[3])
    for row in range(kernel):
        for column in range(kernel):
            down, right = (row - kernel // 2) * dilation, (column - kernel // 2) * dilation
            if abs(down) < height and abs(right) < width:
                seen = x[:, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)]
                answer = gradient[:, max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)]
                out[row, column] = (seen * answer).sum((0, 1, 2))
    return out.permute(2, 0, 1)[:, None]


def is_dilated_depthwise(layer: nn.Module) -> bool:
    """Return whether a layer is a convolution that :class:`DilatedDepthwise` can compute.

    Args:
        layer: the layer.

    Returns:
        True when it is.

    Example:
        >>> is_dilated_depthwise(nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4))
        True
    """
    if type(layer) is not nn.Conv2d or layer.groups != layer.in_channels or layer.in_channels != layer.out_channels:
        return False
    kernel, dilation = layer.kernel_size[0], layer.dilation[0]
    square = layer.kernel_size == (kernel, kernel) and layer.dilation == (dilation, dilation) and kernel % 2 == 1
    keeps = layer.padding == (kernel // 2 * dilation,) * 2 and layer.padding_mode == "zeros"
    return square and keeps and layer.stride == (1, 1) and dilation > 1


def with_fast_gradients(network: nn.Module) -> None:
    """Turn every dilated depthwise convolution of a network into a :class:`DilatedDepthwise`, in place.

    Args:
        network: the network.
    """
    for layer in network.modules():
        if is_dilated_depthwise(layer):
            layer.__class__ = DilatedDepthwise
