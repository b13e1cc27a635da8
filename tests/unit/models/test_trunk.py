"""The trunk: its maps, the sentences for models that do not fit, and the taking over of pre-trained weights."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from dcdan.core.errors import UsageError
from dcdan.models.domain_norm import norms, sources_first, with_domains
from dcdan.models.trunk import Shape, Trunk, take_weights


@pytest.mark.parametrize(
    ("name", "size", "middle", "last"),
    [
        ("mobilenetv2_100", 112, (32, 14), (320, 7)),
        ("test_resnet", 64, (48, 8), (96, 4)),
        ("test_resnet", 96, (48, 12), (96, 6)),
    ],
)
def test_maps_at_strides_8_and_16(name: str, size: int, middle: tuple[int, int], last: tuple[int, int]) -> None:
    trunk = Trunk(name).eval()
    with torch.no_grad():
        maps = trunk(torch.rand(1, 3, size, size))
    assert trunk.shape == Shape(middle[0], last[0])
    assert [tuple(part.shape[1:]) for part in maps] == [(c, side, side) for c, side in (middle, last)]


def test_an_unknown_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no model 'resnett50'\. Did you mean 'resnet50'\?"):
        Trunk("resnett50")


def test_a_model_without_such_maps_is_refused() -> None:
    with pytest.raises(UsageError, match="'vgg11' offers no feature maps at output stride 16; take resnet50"):
        Trunk("vgg11")


class Strides(nn.Module):
    """A body that says which strides it has."""

    def __init__(self, strides: list[int]) -> None:
        super().__init__()
        self.strides = strides

    @property
    def feature_info(self) -> Strides:
        return self

    def reduction(self) -> list[int]:
        return self.strides

    def channels(self) -> list[int]:
        return [8] * len(self.strides)


@pytest.mark.parametrize("strides", [[2, 4, 16], [2, 4, 8], [4, 8, 16, 32]])
def test_wrong_strides_are_named(strides: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: Strides(strides))
    with pytest.raises(UsageError) as caught:
        Trunk("resnet18")
    assert (
        str(caught.value) == f"The timm model 'resnet18' has maps at strides {strides}; it needs 8, and 16 at its end."
    )


@pytest.mark.parametrize("domains", [False, True])
@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet"])
def test_pretrained_weights_arrive_whole(name: str, domains: bool) -> None:
    torch.manual_seed(0)
    body = timm.create_model(name, features_only=True, output_stride=16).eval()
    for layer in body.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        wanted = body(x)
    trunk = Trunk(name).eval()
    if domains:
        with_domains(trunk)
    take_weights(trunk, body)
    assert bool(list(norms(trunk))) == domains
    for sources in (0, -1):
        with torch.no_grad(), sources_first(trunk, sources):
            last = trunk(x)[1]
        torch.testing.assert_close(last, wanted[-1], rtol=1e-4, atol=1e-5)
