"""The network of a run in place of its ONNX graph: the same outputs, in torch, on the run's device."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dcdan.core.errors import ModelError
from dcdan.inference.model_card import WEIGHTS_NAME, ModelInfo, read_model_info
from dcdan.inference.session import SessionOutputs, in_rgb
from dcdan.models.deploy import Deployed
from dcdan.training.device import pick_device
from dcdan.training.pretrained import network_of
from dcdan.training.settings import RunSettings

CHUNK = 128


def deployed_of(run: Path) -> tuple[Deployed, ModelInfo, RunSettings]:
    """Build the module from which a run's graph is exported.

    Args:
        run: the run folder.

    Returns:
        The module in evaluation mode, the description of the model and the settings of the run.

    Raises:
        ModelError: when the run is not finished, or its weights are damaged.
    """
    info = read_model_info(run)
    network, settings, _ = network_of(run)
    return Deployed(network, torch.tensor(info.thresholds), info.temperature, info.mirror).eval(), info, settings


class TorchRecogniser:
    """A recogniser of aligned faces that runs the network of a run without its graph.

    Args:
        run: the run folder.

    Raises:
        ModelError: when the run is not finished, or its weights are damaged.
    """

    def __init__(self, run: Path) -> None:
        """Raises ModelError without a finished run."""
        deployed, self.info, settings = deployed_of(run)
        self.device = pick_device(settings.device)
        self.deployed = deployed.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.provenance = {"torch": version("torch"), "device": self.device.type}
        self.provenance["model_sha256"] = self.info.files.get(WEIGHTS_NAME, "")

    @torch.no_grad()
    def recognise_faces(self, faces: NDArray[np.uint8]) -> SessionOutputs:
        """Recognise aligned faces.

        Args:
            faces: ``(N, S, S, 3)`` or ``(N, S, S)`` uint8, N > 0.

        Returns:
            The outputs for N faces.

        Raises:
            ModelError: when an output is not finite.
        """
        parts = []
        # Without TF32, whose ten bits are too few to answer as the graph does.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for start in range(0, len(faces), CHUNK):
                chunk = in_rgb(np.array(faces[start : start + CHUNK]))  # of a pack that may not be written to
                parts.append(self.deployed(torch.from_numpy(chunk).to(self.device)))
        found = SessionOutputs(*(torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)))
        if not np.isfinite(found.probabilities).all():
            raise ModelError("The model's answers are no finite numbers: use another model.")
        return found
