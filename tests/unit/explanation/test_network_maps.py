"""Maps from inside the network against naive computations, on a network of a few thousand weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dcdan.core.atomic_io import sha256
from dcdan.core.errors import ModelError
from dcdan.explanation.network_maps import (
    KINDS,
    channel_attention,
    grad_cam,
    integrated_gradients,
    makers,
    spatial_attention,
)
from dcdan.inference.model_card import FaceInput, ModelInfo, write_model_info
from dcdan.models.afc import gate
from dcdan.models.attention import DualAttention
from dcdan.models.network import Network, NetworkSettings

SETTINGS = NetworkSettings(trunk="test_resnet", width=32, groups=4)
CLASSES = torch.tensor([1, 4])


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(SETTINGS, 7, 64).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def faces() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def block_of(network: Network) -> DualAttention:
    assert isinstance(network.attention, DualAttention)
    return network.attention


def scores(network: Network, last: torch.Tensor, middle: torch.Tensor) -> torch.Tensor:
    """The fused head, from the map after the attention."""
    assert network.local is not None
    of_local = network.local(middle)[0]
    return network.semantic(last.mean((2, 3)), of_local).fused


def test_grad_cam_is_the_gradient_by_differences(network: Network, faces: torch.Tensor) -> None:
    """The head is linear after the mean, so that a difference of any size gives the gradient of a channel."""
    middle, squeezed = network.trunk(network.normalised(faces))
    last = network.attention(network.squeeze(squeezed))
    base = scores(network, last, middle)
    wanted = torch.zeros(2, *last.shape[2:])
    cells = last.shape[2] * last.shape[3]
    for channel in range(last.shape[1]):
        moved = last.clone()
        moved[:, channel] += 1
        slope = (scores(network, moved, middle) - base).gather(1, CLASSES[:, None])[:, 0] / cells
        wanted += slope[:, None, None] * last[:, channel]
    found = grad_cam(network, faces, CLASSES)
    torch.testing.assert_close(found, wanted.relu(), atol=1e-5, rtol=1e-3)
    assert found.min() >= 0
    assert found.max() > 0


def test_integrated_gradients_add_up_to_the_gain(network: Network, faces: torch.Tensor) -> None:
    start = faces.mean((2, 3), keepdim=True).expand_as(faces)
    gain = [network(each).logits.fused.gather(1, CLASSES[:, None])[:, 0] for each in (start, faces)]
    found = integrated_gradients(network, faces, CLASSES, points=64)
    assert found.shape == (2, 64, 64)
    torch.testing.assert_close(found.sum((1, 2)), gain[1] - gain[0], atol=0.02, rtol=0.02)


def test_spatial_attention_is_what_the_keys_receive(network: Network, faces: torch.Tensor) -> None:
    block = block_of(network)
    part = block.spatial
    assert part is not None
    x = network.squeeze(network.trunk(network.normalised(faces))[1])
    n, c, h, w = x.shape
    condensed = part.condense(x)
    q, kv = part.query(x), part.key_value(condensed)
    depth, keys = c // part.heads, condensed.shape[2] * condensed.shape[3]
    received = torch.zeros(n, keys)
    for face in range(n):
        for head in range(part.heads):
            own_q = q[face, head * depth : (head + 1) * depth].reshape(depth, -1)
            own_k = kv[face, 2 * head * depth : (2 * head + 1) * depth].reshape(depth, -1)
            for query in range(h * w):
                received[face] += torch.softmax(own_q[:, query] @ own_k / depth**0.5, 0) / (h * w * part.heads)
    torch.testing.assert_close(received.sum(1), torch.ones(n))
    grid = torch.nn.functional.interpolate(
        received.reshape(n, 1, *condensed.shape[2:]), size=(h, w), mode="bilinear", align_corners=False
    )
    wanted = (grid * gate(block.place_gate(x + part(x))))[:, 0]
    torch.testing.assert_close(spatial_attention(network, faces, CLASSES), wanted, atol=1e-5, rtol=1e-4)


def test_channel_attention_is_a_length(network: Network, faces: torch.Tensor) -> None:
    part = block_of(network).channel
    assert part is not None
    added = part(network.squeeze(network.trunk(network.normalised(faces))[1]))
    wanted = sum(added[:, channel] ** 2 for channel in range(added.shape[1]))
    assert isinstance(wanted, torch.Tensor)
    torch.testing.assert_close(channel_attention(network, faces, CLASSES) ** 2, wanted, atol=1e-5, rtol=1e-4)


def write_model(folder: Path, network: Network) -> Path:
    folder.mkdir()
    save_file(network.state_dict(), folder / "model.safetensors")
    write_model_info(
        folder,
        ModelInfo(
            name="small",
            method="source_only",
            architecture=network.settings.model_dump(mode="json"),
            classes=("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"),
            face=FaceInput(size=64),
            thresholds=(0.0,) * 7,
            files={"model.safetensors": sha256(folder / "model.safetensors")},
        ),
    )
    return folder


def test_maps_are_made_from_a_model_in_the_size_of_the_face(network: Network, tmp_path: Path) -> None:
    made = makers(write_model(tmp_path / "model", network), tuple(KINDS))
    faces = np.random.default_rng(2).integers(0, 256, (18, 64, 64, 3), dtype=np.uint8)
    classes = np.arange(18) % 7
    for name, make in made.items():
        maps = make(faces, classes)
        assert maps.shape == (18, 64, 64)
        assert np.isfinite(maps).all()
        np.testing.assert_allclose(maps[17:], make(faces[17:], classes[17:]), atol=1e-4, err_msg=name)
    batch = torch.from_numpy(faces[:2]).permute(0, 3, 1, 2) / 255
    whole = integrated_gradients(network, batch, torch.from_numpy(classes[:2]))
    np.testing.assert_allclose(made["integrated-gradients"](faces[:2], classes[:2]), whole.numpy(), atol=1e-4)


def test_a_network_without_the_part_is_a_sentence(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = Network(SETTINGS.model_copy(update={"attention": "channel"}), 7, 64)
    folder = write_model(tmp_path / "model", plain)
    with pytest.raises(ModelError, match="no spatial attention"):
        makers(folder, ("spatial-attention",))
    assert makers(folder, ("channel-attention",)).keys() == {"channel-attention"}
    save_file({"head.weight": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(ModelError, match="checksum differs"):
        makers(folder, ("grad-cam",))
