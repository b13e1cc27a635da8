"""AdaBN, alpha-BN, T3A, LAME and SFDA-PFT, which leave all or nearly all of the network as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from dcdan.core.errors import DataError
from dcdan.correction.baselines import BaselineSettings, lame, t3a
from dcdan.methods.source_free.base import Context, find_source_free
from dcdan.methods.source_free.sfda_pft import SfdaPft, translation_loss
from dcdan.methods.source_free.statistics import statistics
from dcdan.models.network import Network
from dcdan.training.forward import estimate_statistics
from dcdan.training.source_free import TargetFaces
from source_free_batch import CLASSES, WIDTH, batch_of, made, outputs_of, random_faces, tiny_network


def target(count: int = 20) -> TargetFaces:
    return TargetFaces(random_faces(count), torch.device("cpu"))


def norms(network: Network) -> list[nn.BatchNorm2d]:
    return [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]


@pytest.mark.parametrize(("name", "share"), [("adabn", 1.0), ("alpha_bn", 0.3)])
def test_statistics_are_mixed_in_the_share_that_is_set(name: str, share: float) -> None:
    network, other = tiny_network(), tiny_network()
    source = statistics(network)
    options = {"target_share": share} if name == "alpha_bn" else {}
    method = made(name, network, **options)
    with torch.no_grad():
        method.finish(network, target())
    estimate_statistics(other, random_faces(), np.arange(20), torch.device("cpu"))
    changed = 0
    for layer, new, (mean, var) in zip(norms(network), norms(other), source, strict=True):
        torch.testing.assert_close(layer.running_mean, (1 - share) * mean + share * new.running_mean)  # type: ignore[operator]
        torch.testing.assert_close(layer.running_var, (1 - share) * var + share * new.running_var)  # type: ignore[operator]
        changed += not torch.allclose(new.running_mean, mean)  # type: ignore[arg-type]
    assert changed == len(source) > 5


def test_the_default_share_of_alpha_bn_is_a_tenth() -> None:
    assert find_source_free("alpha_bn").Settings().model_dump() == {"target_share": 0.1}


def test_joint_answers_are_those_of_the_corrections() -> None:
    network = tiny_network()
    faces = torch.from_numpy(random_faces()).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        out = network(faces)
    features = (out.of_global + out.of_local).numpy()
    head = network.heads()[0]
    settings = BaselineSettings(supports=3, neighbours=2, batch=8)
    wanted = t3a(features, head.weight.detach().numpy(), head.bias.detach().numpy(), settings)
    found = made("t3a", network, supports=3, batch=8).joint_answers(network, target())
    np.testing.assert_allclose(found, wanted, atol=1e-4)  # type: ignore[arg-type]
    wanted = lame(out.logits.fused.log_softmax(1).double().numpy(), features, settings)
    found = made("lame", network, neighbours=2, batch=8).joint_answers(network, target())
    np.testing.assert_allclose(found, wanted, atol=1e-3)  # type: ignore[arg-type]
    assert made("tent", network).joint_answers(network, target()) is None


def pft(network: Network, neutral: tuple[int, ...] = ()) -> SfdaPft:
    method = made("sfda_pft", network, neutral=neutral)
    assert isinstance(method, SfdaPft)
    return method


def test_pft_trains_on_the_neutral_faces_alone() -> None:
    network = tiny_network()
    method = pft(network, (2, 5))
    method.prepare(network, target())
    with torch.no_grad():
        method.up.normal_()
    batch = batch_of({"plain": outputs_of(torch.zeros(3, 4))}, [5, 0, 2])
    found = method.losses(network, batch)
    logs, lengths = 0.0, 0.0
    for row in (5, 2):
        f = method.features[row]
        moved = f + method.up.detach() @ (method.down.detach() @ f)
        logs -= float(network.heads()[0](moved).detach().log_softmax(0)[CLASSES.index("neutral")]) / 2
        lengths += float(((moved - f) ** 2).sum() / (f**2).sum()) / 2
    assert found["neutral"].item() == pytest.approx(logs, rel=1e-4)
    assert found["identity"].item() == pytest.approx(lengths, rel=1e-4)
    none = method.losses(network, batch_of({"plain": outputs_of(torch.zeros(2, 4))}, [0, 1]))
    assert none["neutral"] == 0
    none["neutral"].backward()  # type: ignore[no-untyped-call]
    assert translation_loss(torch.ones(2, 3), torch.ones(2, 3)) == 0


def test_pft_takes_the_surer_half_where_nothing_is_known() -> None:
    network = tiny_network()
    method = pft(network)
    answers = target().answers(network)
    neutral = CLASSES.index("neutral")
    taken = [i for i in range(20) if answers.logits[i].argmax() == neutral]
    if not taken:
        network.heads()[0].bias.data[neutral] += 5
        answers = target().answers(network)
        taken = [i for i in range(20) if answers.logits[i].argmax() == neutral]
    method.prepare(network, target())
    sure = sorted(taken, key=lambda i: -float(answers.logits[i].softmax(0)[neutral]))
    assert torch.nonzero(method.is_neutral).flatten().tolist() == sorted(sure[: -(-len(taken) // 2)])


def test_pft_becomes_part_of_the_head() -> None:
    network = tiny_network()
    method = pft(network, (0,))
    method.prepare(network, target())
    with torch.no_grad():
        method.up.normal_()
        moved = method.features + method.features @ method.down.T @ method.up.T
        wanted = network.heads()[0](moved)
        method.finish(network, target())
    torch.testing.assert_close(target().answers(network).logits, wanted, rtol=1e-4, atol=1e-3)


def test_pft_needs_neutral_faces() -> None:
    network = tiny_network()
    network.heads()[0].bias.data[CLASSES.index("neutral")] = -1e4
    with pytest.raises(DataError, match="found no neutral face"):
        pft(network).prepare(network, target())
    kind = find_source_free("sfda_pft")
    with pytest.raises(DataError, match="class 'neutral'"):
        kind(kind.Settings(), network, Context(("fear", "anger"), 20))
    assert network.heads()[0].in_features == WIDTH
