"""Maps from inside the network, which need its weights and torch.

``grad-cam``: Selvaraju et al., ICCV 2017, on the output of the dual attention block. ``integrated-gradients``:
Sundararajan et al., ICML 2017, from a face of its own mean colour. ``spatial-attention``: how much attention each place
receives in the spatial group self-attention, times the gate of that place where the block has one.
``channel-attention``: length of what the channel group self-attention adds at each place. The last two know nothing of
the class.

All look at the fused head and at the face as it is, without its mirror image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import interpolate

from dcdan.core.errors import ModelError, first_line
from dcdan.inference.model_card import WEIGHTS_NAME, read_model_info, verified
from dcdan.models.afc import gate
from dcdan.models.attention import ChannelGroupAttention, DualAttention, SpatialGroupAttention, to_windows, window_side
from dcdan.models.attention import from_windows as joined
from dcdan.models.network import Network, NetworkSettings

FACES_AT_A_TIME = 16
PATH_POINTS = 16
"""Points along the path of the integrated gradients."""

Maker = Callable[[NDArray[np.uint8], NDArray[np.int64]], NDArray[np.float32]]


def makers(folder: Path, names: Sequence[str], threads: int | None = None) -> dict[str, Maker]:
    """Return what makes the named maps for a model.

    Args:
        folder: folder of the model, with its weights.
        names: keys of ``KINDS``.
        threads: threads of torch in this process; None leaves them.

    Returns:
        Name -> function of faces ``(N, S, S, 3) uint8`` and classes ``(N,)`` to maps ``(N, S, S) float32``.

    Raises:
        ModelError: the weights are missing or do not fit, or the network lacks the part that a map shows.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    network = network_from(folder)
    for name in names:
        block = network.attention
        part = {"spatial-attention": "spatial", "channel-attention": "channel"}.get(name)
        if part is not None and (not isinstance(block, DualAttention) or getattr(block, part) is None):
            raise ModelError(f"The model in '{folder}' has no {part} attention: leave out --maps {name}.")
    return {name: partial(in_batches, KINDS[name], network) for name in names}


def network_from(folder: Path) -> Network:
    """Build the network of a model from its ``model.json`` and weights, in evaluation mode, without gradients.

    Raises:
        ModelError: the weights are missing, were modified, or are those of another network, such as a baseline's.
    """
    info = read_model_info(folder)
    weights = verified(folder, info, WEIGHTS_NAME)
    try:
        network = Network(NetworkSettings.model_validate(info.architecture), len(info.classes), info.face.size)
        network.load_state_dict(load_file(weights))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"The network of '{folder}' cannot be opened ({first_line(error)}): --maps occlusion needs its graph alone."
        ) from error
    return network.eval().requires_grad_(False)


def in_batches(
    kind: Callable[[Network, Tensor, Tensor], Tensor],
    network: Network,
    faces: NDArray[np.uint8],
    classes: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Make a kind of map for N faces, a few at a time, in the size of the face."""
    side = faces.shape[1]
    maps = np.zeros((len(faces), side, side), np.float32)
    for start in range(0, len(faces), FACES_AT_A_TIME):
        rows = slice(start, start + FACES_AT_A_TIME)
        batch = torch.from_numpy(np.ascontiguousarray(faces[rows])).permute(0, 3, 1, 2).float() / 255
        found = kind(network, batch, torch.from_numpy(classes[rows]))
        if found.shape[-1] != side:
            found = interpolate(found[:, None], size=(side, side), mode="bilinear", align_corners=False)[:, 0]
        maps[rows] = found.detach().numpy()
    return maps


def grad_cam(network: Network, faces: Tensor, classes: Tensor) -> Tensor:
    """Return ``relu(sum_c mean(d score / d A_c) A_c)`` of the last map A before the global pooling.

    Args:
        network: the network in evaluation mode.
        faces: ``(B, 3, S, S)`` float in [0, 1].
        classes: ``(B,)``.

    Returns:
        ``(B, h, w)``, at least 0.
    """
    last: list[Tensor] = []

    def keep(_module: object, _inputs: object, output: Tensor) -> Tensor:
        last.append(output.detach().requires_grad_())
        return last[-1]

    handle = network.attention.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            score = network(faces).logits.fused.gather(1, classes[:, None]).sum()
            (gradient,) = torch.autograd.grad(score, last[-1])
    finally:
        handle.remove()
    return (gradient.mean((2, 3), keepdim=True) * last[-1].detach()).sum(1).relu()


def integrated_gradients(network: Network, faces: Tensor, classes: Tensor, points: int = PATH_POINTS) -> Tensor:
    """Return the gradients along the straight path from the mean colour to the face, times the way, over channels.

    Args:
        network: the network in evaluation mode.
        faces: ``(B, 3, S, S)`` float in [0, 1].
        classes: ``(B,)``.
        points: midpoints of the path at which the gradient is taken.

    Returns:
        ``(B, S, S)``; a map sums to about what the score gains along the path.
    """
    start = faces.mean((2, 3), keepdim=True).expand_as(faces)
    total = torch.zeros_like(faces)
    for point in range(points):
        at = (start + (point + 0.5) / points * (faces - start)).requires_grad_()
        with torch.enable_grad():
            score = network(at).logits.fused.gather(1, classes[:, None]).sum()
            total += torch.autograd.grad(score, at)[0]
    return (total / points * (faces - start)).sum(1)


def spatial_attention(network: Network, faces: Tensor, classes: Tensor) -> Tensor:  # noqa: ARG001
    """Return how much attention each place receives, mean over queries and heads, times its gate.

    Args:
        network: the network in evaluation mode.
        faces: ``(B, 3, S, S)`` float in [0, 1].
        classes: not used.

    Returns:
        ``(B, h, w)`` of the last map.
    """
    block = _block(network)
    part = block.spatial
    assert isinstance(part, SpatialGroupAttention)
    with torch.no_grad():
        x = _input_of(network, faces)
        h, w = x.shape[-2:]
        rows, columns = h // window_side(h), w // window_side(w)
        windows = to_windows(x, rows, columns)
        condensed = part.condense(windows)
        n, channels = windows.shape[:2]
        depth = channels // part.heads
        q = part.query(windows).flatten(2).reshape(n, part.heads, depth, -1)
        k = part.key_value(condensed).permute(0, 2, 3, 1).reshape(n, -1, part.heads, 2 * depth)[..., :depth]
        weights = (torch.einsum("nhdq,nkhd->nhqk", q, k) * depth**-0.5).softmax(-1)
        received = weights.mean((1, 2)).reshape(n, 1, *condensed.shape[-2:])
        received = interpolate(received, size=windows.shape[-2:], mode="bilinear", align_corners=False)
        found = joined(received, rows, columns)
        if block.interaction:
            found = found * gate(block.place_gate(x + part(x)))
    return found[:, 0]


def channel_attention(network: Network, faces: Tensor, classes: Tensor) -> Tensor:  # noqa: ARG001
    """Return the length of what the channel group self-attention adds at each place.

    Args:
        network: the network in evaluation mode.
        faces: ``(B, 3, S, S)`` float in [0, 1].
        classes: not used.

    Returns:
        ``(B, h, w)`` of the last map.
    """
    part = _block(network).channel
    assert isinstance(part, ChannelGroupAttention)
    with torch.no_grad():
        added: Tensor = part(_input_of(network, faces))
    length: Tensor = added.norm(dim=1)
    return length


def _block(network: Network) -> DualAttention:
    assert isinstance(network.attention, DualAttention)
    return network.attention


def _input_of(network: Network, faces: Tensor) -> Tensor:
    """Return what the dual attention block reads."""
    squeezed: Tensor = network.squeeze(network.trunk(network.normalised(faces))[1])
    return squeezed


KINDS: dict[str, Callable[[Network, Tensor, Tensor], Tensor]] = {
    "grad-cam": grad_cam,
    "integrated-gradients": integrated_gradients,
    "spatial-attention": spatial_attention,
    "channel-attention": channel_attention,
}
