"""CDAN-E, DGL and CF-DAN: rows that are another method with settings of their own."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError

from dcdan.core.errors import UsageError
from dcdan.methods.base import Batch
from dcdan.methods.cdan_e import CDANE, CDANESettings
from dcdan.methods.cf_dan import CFDAN
from dcdan.methods.dcdan import DCDAN
from dcdan.methods.dgl import DGL, DGLSettings
from dcdan.methods.source_only import SourceOnly
from dcdan.models.network import NetworkSettings
from dcdan.training.settings import read_settings
from toy_batch import CLASSES, COUNTS, SIZE, WIDTH, made_up, toy


def test_cdan_e_equals_a_naive_loop() -> None:
    torch.manual_seed(0)
    method = CDANE(CDANESettings(weight=0.5), WIDTH, COUNTS).double().eval()
    labels = torch.eye(CLASSES, dtype=torch.float64)
    batch = Batch(labels, made_up(CLASSES, 0), made_up(3, 1))
    assert batch.target is not None
    total = 0.0
    for domain, source in ((batch.source, True), (batch.target, False)):
        weighed, mass = 0.0, 0.0
        for face in range(len(domain.of_global)):
            feature = (domain.of_global[face] + domain.of_local[face]).tolist()
            p = domain.logits.fused[face].softmax(0).tolist()
            product = torch.tensor([q * value for q in p for value in feature], dtype=torch.float64)
            chance = 1 / (1 + math.exp(-method.discriminator(product).item()))
            weight = 1 + math.exp(sum(q * math.log(q) for q in p))
            weighed -= weight * math.log(chance if source else 1 - chance)
            mass += weight
        total += weighed / mass
    losses = method.losses(batch, 0.4)
    assert losses["adv"].item() == pytest.approx(0.5 * total)
    assert set(losses) == {"cls", "adv"}


def test_cdan_e_cannot_be_made_plain() -> None:
    with pytest.raises(ValidationError):
        CDANESettings(conditional="none")  # type: ignore[arg-type]


def test_dgl_is_dcdan_with_a_fixed_threshold() -> None:
    one, other = toy(DGL), toy(DCDAN, pseudo_labels="fixed")
    one.method.eval()
    other.method.eval()
    found, wanted = one.method.losses(one.batch(), 0.5), other.method.losses(other.batch(), 0.5)
    assert {k: v.item() for k, v in found.items()} == {k: v.item() for k, v in wanted.items()}
    assert DGLSettings().fixed_threshold == 0.95
    assert not one.method.thresholds().any()
    assert one.method.report()["threshold_min"] == one.method.report()["threshold_max"]
    with pytest.raises(ValidationError):
        DGLSettings(pseudo_labels="dynamic")  # type: ignore[arg-type]


def test_dgl_trains_on_a_network_without_attention_and_afc() -> None:
    settings = NetworkSettings(trunk="test_resnet", width=WIDTH, groups=4, attention="off", activation="gelu")
    names = {type(part).__name__ for part in DGL.build_network(settings, CLASSES, SIZE).modules()}
    assert not {"AFC", "DualAttention"} & names


def test_cf_dan_is_source_only_with_its_attention() -> None:
    one, other = toy(CFDAN), toy(SourceOnly)
    found, wanted = one.method.losses(one.batch(), 0.5), other.method.losses(other.batch(), 0.5)
    assert {k: v.item() for k, v in found.items()} == {k: v.item() for k, v in wanted.items()}
    with pytest.raises(UsageError, match=r"network\.attention"):
        read_settings(None, ["network.attention=off"], method="cf_dan").build(CLASSES)
    small = ["network.attention=channel", "network.trunk=test_resnet", "network.width=32", "network.groups=4"]
    assert read_settings(None, small, method="cf_dan", size=SIZE).build(CLASSES)
