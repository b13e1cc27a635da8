"""A trained network as one graph from uint8 pixels to the selected prediction, and its export to ONNX."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from dcdan.core.outputs import ACTIONS_OUTPUT, OUTPUTS
from dcdan.models.network import Network, NetworkOutputs
from dcdan.models.selection import both_ways, select

__all__ = ["OUTPUTS", "Deployed", "export_onnx"]

STACK_TRACE = "pkg.torch.onnx.stack_trace"


class Deployed(nn.Module):
    """The module of an exported graph, with normalisation, selection and temperature inside.

    Args:
        network: the network.
        thresholds: ``(K,)`` thresholds of the choice between the heads.
        temperature: temperature above 0, applied after the selection, see :func:`select`.
        mirror: whether to average over each face and its mirror image, see :func:`both_ways`.
    """

    thresholds: Tensor

    def __init__(self, network: Network, thresholds: Tensor, temperature: float = 1.0, mirror: bool = False) -> None:
        """``thresholds`` ``(K,)`` of the choice; ``temperature`` > 0 of what was chosen, see :func:`select`.

        ``mirror`` averages over each face and its mirror image, see :func:`both_ways`.
        """
        super().__init__()
        self.network = network
        self.register_buffer("thresholds", thresholds.detach().clone().float())
        self.temperature = temperature
        self.mirror = mirror

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs of :meth:`forward`."""
        return (*OUTPUTS, ACTIONS_OUTPUT) if self.network.actions is not None else OUTPUTS

    def forward(self, faces: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs for faces.

        Args:
            faces: ``(B, S, S, 3)`` uint8 RGB.

        Returns:
            Probabilities ``(B, K)``, class, confidence and deciding head ``(B,)``, region weights ``(B, 5)``, and with
            facial actions their estimates ``(B, A)`` in [0, 1].
        """
        faces = faces.permute(0, 3, 1, 2)
        outputs = both_ways(self.outputs_of, faces) if self.mirror else self.outputs_of(faces)
        choice = select(outputs.logits, self.thresholds, self.temperature)
        actions = () if self.network.actions is None else (outputs.auxiliary["actions"].clamp(0, 1),)
        return (*choice, outputs.region_weights, *actions)

    def outputs_of(self, faces: Tensor) -> NetworkOutputs:
        """Return the outputs of the network.

        Args:
            faces: ``(B, 3, S, S)`` uint8.

        Returns:
            The outputs.
        """
        outputs: NetworkOutputs = self.network(faces.float() / 255)
        return outputs


def export_onnx(deployed: Deployed, size: int, path: Path) -> None:
    """Write the graph to one ONNX file, with weights inside and a dynamic batch dimension.

    Args:
        deployed: the module.
        size: face side in pixels.
        path: the file.
    """
    example = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8)
    for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.onnx._internal.exporter"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            deployed.eval().cpu(),
            (example,),
            dynamo=True,
            input_names=["faces"],
            output_names=list(deployed.outputs),
            dynamic_shapes={"faces": {0: torch.export.Dim("batch", min=1, max=65536)}},
        )
        assert program is not None
        for node in program.model.graph:
            node.metadata_props.pop(STACK_TRACE, None)  # which names folders of this machine
        program.save(str(path), external_data=False)
