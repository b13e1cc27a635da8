"""Rungs 2 and 3 of an adaptation without a source set: batch-norm statistics, and training against the source memory.

Both are source-free methods (:mod:`dcdan.methods.source_free`) with the settings of the rungs; the result is written as
a model with weights and an ONNX graph.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from dcdan.adaptation.rungs import Rung, RungTask
from dcdan.core.console import progress_bar
from dcdan.core.errors import OutputError
from dcdan.core.signals import stoppable, stopped
from dcdan.export.source_free import CHECKPOINT, write_adapted_model
from dcdan.inference.model_card import ModelInfo
from dcdan.methods.source_free.base import Context, SourceFreeMethod, find_source_free
from dcdan.models.network import Network
from dcdan.training.pretrained import network_of_model
from dcdan.training.source_free import AdaptSettings, adapt_network
from dcdan.training.source_memory import memory_of_model

HALF = 256
"""Number of faces at which statistics of the target would count as much as those of the source."""

MOST = 0.5
"""Largest share of the target's statistics."""

TIMED_STEPS = 3
"""Steps that are timed on faces of noise to tell how long a training takes; the first is not counted."""

TIMED_FACES = 64
LOOK = 1 / 3
"""Time of a pass of a batch without gradients over that of a step."""

LOOKS = 3
"""Passes over all faces beside the steps: before, after, and by the exported graph."""

RENEW_STEPS = 16
"""Least steps between two passes of the teacher over all faces."""

EXPORT_SECONDS = 6.0
"""Time to write a graph and read it back."""


def target_share(faces: int) -> float:
    """Return the share of the target's statistics: ``n / (n + 256)``, at most a half.

    Args:
        faces: number n of target faces.

    Returns:
        A share in [0, .5].

    Example:
        >>> target_share(64), target_share(3000)
        (0.2, 0.5)
    """
    return min(MOST, faces / (faces + HALF))


class TorchRungs:
    """Makes the rungs that change a network."""

    def make(self, task: RungTask) -> dict[str, Any]:
        """Write the model of a rung into its folder; a training that was stopped is resumed.

        Args:
            task: what it is made from.

        Returns:
            Notes as JSON values: ``finished``, ``steps``, ``planned``, ``seconds``, ``warning``.

        Raises:
            Interrupted: by Ctrl-C or SIGTERM; the same task resumes.
            OutputError: when the folder cannot be written.
            TrainingError: when a loss is not finite.
        """
        begun = time.monotonic()
        network, info = network_of_model(task.start)
        method = method_of(task.rung, network, info, task.start, len(task.faces), task.shares)
        settings = AdaptSettings(seed=task.seed)
        steps = method.recipe.steps(len(task.faces)) if method.recipe.passes else 0
        checkpoint = task.folder / CHECKPOINT
        with stoppable() as stop, progress_bar(task.rung.value, steps, shown=task.shown and steps > 0) as advance:
            seen = 0

            def tell(step: int, planned: int, losses: dict[str, float]) -> None:  # noqa: ARG001
                nonlocal seen
                advance(step - seen)
                seen = step

            def over() -> bool:
                return stop.is_set() or (task.ends is not None and time.monotonic() > task.ends)

            try:
                done = adapt_network(network, task.faces, method, settings, tell, over, checkpoint=checkpoint)
            except OSError as error:
                raise OutputError(f"'{checkpoint}' cannot be written ({error.strerror or error}).") from error
            if stop.is_set() and not done.finished:
                raise stopped(task.run)
        network.cpu()
        write_adapted_model(task.folder, network, info, f"rung {task.rung.value}")
        return {
            "finished": done.finished,
            "steps": done.steps,
            "planned": done.planned,
            "seconds": round(time.monotonic() - begun, 1),
            "warning": done.warning,
        }

    def seconds(self, start: Path, rung: Rung, faces: int) -> float:
        """Return how long a rung is expected to take, from a few timed steps on noise.

        Args:
            start: folder of the start model.
            rung: statistics or training.
            faces: number of target faces.

        Returns:
            Seconds.
        """
        network, info = network_of_model(start)
        size = info.face.size
        noise = np.random.default_rng(0).integers(0, 256, (TIMED_FACES, size, size, 3), np.uint8)
        method = method_of(rung, network, info, start, TIMED_FACES, None)
        ends: list[float] = []
        steps = TIMED_STEPS if method.recipe.passes else 0
        begun = time.monotonic()
        adapt_network(
            network, noise, method, AdaptSettings(steps=steps), lambda *_: ends.append(time.monotonic())
        )  # fmt: skip
        if not steps:
            return (time.monotonic() - begun) * faces / TIMED_FACES + EXPORT_SECONDS
        step = (ends[-1] - ends[0]) / (len(ends) - 1)
        batches = -(-faces // method.recipe.batch)
        look = batches * step * LOOK
        planned = method.recipe.steps(faces)
        renewals = planned / max(RENEW_STEPS, batches)
        return planned * step + (renewals + LOOKS) * look + EXPORT_SECONDS


def method_of(
    rung: Rung, network: Network, info: ModelInfo, start: Path, faces: int, shares: tuple[float, ...] | None
) -> SourceFreeMethod:
    """Return the source-free method of a rung with its settings.

    Args:
        rung: statistics or training.
        network: the network to change.
        info: its description.
        start: folder of its model, for the source memory.
        faces: number of target faces.
        shares: declared class shares, or None.

    Returns:
        The method.
    """
    kind = find_source_free("dcdan" if rung is Rung.TRAINING else "alpha_bn")
    own = (
        kind.Settings()
        if rung is Rung.TRAINING
        else kind.Settings.model_validate({"target_share": target_share(faces)})
    )
    memory = memory_of_model(start, info) if rung is Rung.TRAINING else None
    return kind(own, network, Context(info.classes, faces, (), shares, memory))
