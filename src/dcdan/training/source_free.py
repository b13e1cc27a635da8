"""The loop of the adaptation to unlabelled faces alone: batches, views, optimiser, resuming.

Every step draws from generators seeded by the seed and the number of the step, and every pass from its own order, so
that a resumed adaptation ends with the same weights as one that was never stopped. The loop knows no method by name.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.optim import Optimizer

from dcdan.core.errors import DataError, ModelError
from dcdan.methods.source_free.base import (
    Answers,
    Recipe,
    SourceFreeMethod,
    TargetBatch,
    View,
    features_of,
    moved_parameters,
)
from dcdan.models.domain_norm import sources_first
from dcdan.models.network import Network
from dcdan.training.augment import AugmentSettings, strong_view, weak_view
from dcdan.training.batches import gather
from dcdan.training.checkpoint import load_module, load_optimiser, newest_checkpoint, previous, save_checkpoint
from dcdan.training.data import in_colour, to_float
from dcdan.training.device import pick_device
from dcdan.training.forward import CHUNK, estimate_statistics

LARGEST_SHARE = 0.98
"""Share of one class among the answers from which on an adaptation is called collapsed."""

Progress = Callable[[int, int, dict[str, float]], None]


class AdaptSettings(BaseModel):
    """Settings of the loop; None leaves a value as the method's recipe has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    passes: float | None = Field(default=None, ge=0)
    steps: int | None = Field(default=None, ge=0)
    """Number of steps, in place of passes."""
    batch: int | None = Field(default=None, ge=2)
    lr: float | None = Field(default=None, gt=0)
    seed: int = Field(default=0, ge=0)
    device: str = "auto"
    augment: AugmentSettings = AugmentSettings()
    save_seconds: float = Field(default=20.0, ge=0)
    """Least time between two checkpoints."""

    def applied_to(self, recipe: Recipe) -> Recipe:
        """Return a recipe with the values that are set here.

        Args:
            recipe: the recipe of a method.

        Returns:
            The changed recipe.

        Example:
            >>> AdaptSettings(lr=0.5).applied_to(Recipe()).lr
            0.5
        """
        given = {name: value for name in ("passes", "batch", "lr") if (value := getattr(self, name)) is not None}
        return recipe.model_copy(update=given)


@dataclass(frozen=True)
class Adaptation:
    """What an adaptation has come to; the network itself was changed in place.

    Attributes:
        steps: number of steps that are done.
        planned: number of steps that were planned.
        losses: mean of each loss over the steps made in this call.
        class_shares: ``(K,)`` share of each class among the answers of the fused head afterwards.
        before: the same before.
        answers: ``(N, K)`` log-probabilities of a method that answers all faces together; None where the network does.
        warning: a sentence when the answers collapsed to one class, else empty.
    """

    steps: int
    planned: int
    losses: dict[str, float]
    class_shares: NDArray[np.float64]
    before: NDArray[np.float64]
    answers: NDArray[np.float64] | None = None
    warning: str = field(default="")

    @property
    def finished(self) -> bool:
        """Whether all planned steps are done."""
        return self.steps >= self.planned


class TargetFaces:
    """All faces of a target, in whole batches (see :class:`dcdan.methods.source_free.base.Target`).

    Args:
        faces: ``(N, S, S)`` or ``(N, S, S, 3)`` uint8; may be memory-mapped.
        device: the device of the network.
    """

    def __init__(self, faces: NDArray[np.uint8], device: torch.device) -> None:
        self.faces, self.device = faces, device

    def __len__(self) -> int:
        return len(self.faces)

    def rows(self, rows: NDArray[np.int64]) -> Tensor:
        """Return faces.

        Args:
            rows: ``(B,)`` rows.

        Returns:
            ``(B, 3, S, S) float32`` in [0, 1].
        """
        batch = in_colour(to_float(gather(self.faces, rows), self.device))
        return batch.contiguous(memory_format=torch.channels_last)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all faces in order.

        Args:
            size: faces in a batch.

        Yields:
            Rows ``(B,)`` and faces ``(B, 3, S, S)``.
        """
        for start in range(0, len(self.faces), size):
            rows = np.arange(start, min(start + size, len(self.faces)))
            yield torch.from_numpy(rows).to(self.device), self.rows(rows)

    @torch.no_grad()
    def answers(self, network: Network) -> Answers:
        """Return the answers of a network in evaluation mode; its modules are left in it.

        Args:
            network: the network.

        Returns:
            Logits and features of all faces, on the device.
        """
        network.eval()
        parts = []
        for _, faces in self.batches(CHUNK):
            outputs = network(faces)
            parts.append((outputs.logits.fused.float(), features_of(network, outputs).float()))
        logits, features = (torch.cat(column) for column in zip(*parts, strict=True))
        return Answers(logits, features)

    def estimate_statistics(self, network: Network) -> None:
        """Replace the batch-norm statistics of a network by those of all faces.

        Args:
            network: the network, changed in place and left in evaluation mode.
        """
        estimate_statistics(network, self.faces, np.arange(len(self.faces)), self.device)


def adapt_network(
    network: Network,
    faces: NDArray[np.uint8],
    method: SourceFreeMethod,
    settings: AdaptSettings | None = None,
    progress: Progress = lambda step, steps, losses: None,  # noqa: ARG005
    stop: Callable[[], bool] = lambda: False,
    *,
    checkpoint: Path | None = None,
) -> Adaptation:
    """Adapt a network to unlabelled faces by a method, in place.

    Args:
        network: the trained network.
        faces: ``(N, S, S)`` or ``(N, S, S, 3)`` uint8 aligned faces of the network's size, N >= 2.
        method: the method, made for this network and this number of faces.
        settings: values that differ from the method's recipe, seed and device.
        progress: called after each step with its number from 1, the number of all steps, and the losses.
        stop: asked before each step; True ends the adaptation there, and the network is left as it is then.
        checkpoint: file to resume from, where it exists, and to save to every ``save_seconds`` and at a stop; it is
            removed at the end. None saves nothing.

    Returns:
        Steps, losses and the shares of the classes before and after.

    Raises:
        DataError: when there are fewer than two faces or the array has another form.
        TrainingError: when a loss is not finite.
        ModelError: when the checkpoint is damaged or belongs to other faces or settings.
        OSError: when the checkpoint cannot be written.
    """
    chosen = settings or AdaptSettings()
    recipe = chosen.applied_to(method.recipe)
    check_faces(faces)
    device = pick_device(chosen.device)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    method.to(device)
    target = TargetFaces(faces, device)
    with sources_first(network, 0), _only_moving(network, recipe) as moved, torch.random.fork_rng(devices=()):
        optimiser = _optimiser(network, moved, method, recipe)
        steps = recipe.steps(len(faces)) if chosen.steps is None else chosen.steps
        torch.manual_seed(chosen.seed)
        work = _Work(network, target, method, recipe, chosen, optimiser, steps)
        done, before = work.resumed(checkpoint) if checkpoint is not None else (0, None)
        if before is None:
            before = _shares(target.answers(network).logits)
            method.prepare(network.eval(), target)
        losses = work.run(done, progress, stop, checkpoint, before)
        network.eval()
        joint = None
        if work.done >= steps:
            if recipe.norms == "batch":
                target.estimate_statistics(network)
            with torch.no_grad():
                method.finish(network, target)
            _forget(checkpoint)
            network.eval()
            joint = method.joint_answers(network, target)
        answered = target.answers(network).logits if joint is None else torch.from_numpy(joint)
        after = _shares(answered)
    return Adaptation(work.done, steps, losses, after, before, joint, _warning(before, after))


@dataclass
class _Work:
    """An adaptation under way."""

    network: Network
    target: TargetFaces
    method: SourceFreeMethod
    recipe: Recipe
    settings: AdaptSettings
    optimiser: Optimizer
    steps: int
    done: int = 0

    def run(
        self,
        start: int,
        progress: Progress,
        stop: Callable[[], bool],
        checkpoint: Path | None,
        before: NDArray[np.float64],
    ) -> dict[str, float]:
        sums: dict[str, float] = {}
        self.done = start
        saved = time.monotonic()
        while self.done < self.steps:
            stopped = stop()
            if checkpoint is not None and (stopped or time.monotonic() - saved >= self.settings.save_seconds):
                self.save(checkpoint, before)
                saved = time.monotonic()
            if stopped:
                break
            losses = {name: float(value) for name, value in self.one_step().items()}
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value
            self.done += 1
            progress(self.done, self.steps, losses)
        made = max(self.done - start, 1)
        return {name: value / made for name, value in sums.items()}

    def one_step(self) -> dict[str, Tensor]:
        self.method.before_step(self.network, self.target, self.done, self.steps)
        share = self.done / self.steps
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.lr * group["ratio"] * self.recipe.factor(share)
        _set_modes(self.network, self.recipe)
        self.method.train()
        seed = self.settings.seed
        rows = step_rows(len(self.target), self.recipe.batch, self.done, seed)
        generator = torch.Generator().manual_seed(_seed_of("views", seed, self.done))
        torch.manual_seed(_seed_of("network", seed, self.done))
        wanted = (*self.recipe.views, *self.recipe.inputs)
        views: dict[View, Tensor] = {}
        if wanted:
            plain = self.target.rows(rows)
            views = {view: self.view(view, plain, generator) for view in wanted}
        outputs = {view: self.network(views[view]) for view in self.recipe.views}
        of_rows = torch.from_numpy(rows).to(self.target.device)
        batch = TargetBatch(of_rows, views, outputs, share, self.done, generator)
        losses = self.method.step(self.network, batch, self.optimiser)
        return {name: value.detach() for name, value in losses.items()}

    def view(self, view: View, plain: Tensor, generator: torch.Generator) -> Tensor:
        if view == "plain":
            return plain
        if view == "weak":
            made = weak_view(plain, self.settings.augment, generator, light=False)
        else:
            made = strong_view(plain, self.settings.augment, generator)
        return made.contiguous(memory_format=torch.channels_last)

    def identity(self) -> dict[str, object]:
        """Return what a checkpoint must agree with."""
        sample = self.target.faces[:: max(len(self.target) // 64, 1)]
        return {
            "method": self.method.name,
            "recipe": self.recipe.model_dump(mode="json"),
            "settings": self.settings.model_dump(mode="json", exclude={"device", "save_seconds"}),
            "steps": self.steps,
            "faces": [*self.target.faces.shape, hashlib.blake2b(sample.tobytes()).hexdigest()[:16]],
        }

    def save(self, path: Path, before: NDArray[np.float64]) -> None:
        modules: dict[str, nn.Module] = {"network": self.network, "method": self.method}
        metadata = {"source_free": self.identity(), "step": self.done, "before": before.tolist()}
        save_checkpoint(path, modules, self.optimiser, metadata)

    def resumed(self, path: Path) -> tuple[int, NDArray[np.float64] | None]:
        found = newest_checkpoint(path)
        if found is None:
            return 0, None
        tensors, metadata = found
        if metadata.get("source_free") != self.identity():
            raise ModelError(f"The checkpoint '{path}' belongs to other faces or settings: remove it.")
        load_module(self.network, tensors, "network")
        load_module(self.method, tensors, "method")
        load_optimiser(self.optimiser, tensors)
        return int(metadata["step"]), np.array(metadata["before"], np.float64)


def check_faces(faces: NDArray[np.uint8]) -> None:
    """Check the array of faces.

    Args:
        faces: ``(N, S, S)`` or ``(N, S, S, 3)`` uint8.

    Raises:
        DataError: when it has another form, or fewer than two faces.
    """
    fits = faces.ndim == 3 or (faces.ndim == 4 and faces.shape[3] == 3)
    if faces.dtype != np.uint8 or not fits or (len(faces) and faces.shape[1] != faces.shape[2]):
        raise DataError(
            f"Faces must be uint8 (N, S, S) or (N, S, S, 3), not {faces.dtype} {faces.shape}: align them first."
        )
    if len(faces) < 2:
        raise DataError(f"{len(faces)} faces are too few to adapt a network to: give at least 2, better 32 or more.")


def step_rows(faces: int, batch: int, step: int, seed: int) -> NDArray[np.int64]:
    """Return the rows of a step: each pass has a random order, cut into batches that differ by one face at most.

    Args:
        faces: number N of faces.
        batch: faces in a batch, at most.
        step: number of the step, from 0.
        seed: seed of the order.

    Returns:
        ``(B,)`` rows.

    Example:
        >>> sorted(np.concatenate([step_rows(5, 2, step, 0) for step in range(3)]).tolist())
        [0, 1, 2, 3, 4]
        >>> [len(step_rows(5, 4, step, 0)) for step in range(2)]
        [3, 2]
    """
    each = -(-faces // batch)
    order = np.random.default_rng([seed, step // each]).permutation(faces)
    return np.array_split(order, each)[step % each].astype(np.int64)


def _seed_of(purpose: str, seed: int, step: int) -> int:
    """Return a seed that depends on all its arguments."""
    key = f"{purpose} {seed} {step}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=7).digest(), "little")


def _set_modes(network: Network, recipe: Recipe) -> None:
    """Put the network into evaluation mode, and its batch norms into training mode where they use the batch."""
    network.eval()
    if recipe.norms == "batch":
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.train()


@contextmanager
def _only_moving(network: Network, recipe: Recipe) -> Iterator[dict[str, nn.Parameter]]:
    """Give gradients only to the parameters that the recipe moves, within the block; yield them by name."""
    before = [each.requires_grad for each in network.parameters()]
    moved = moved_parameters(network, recipe.moves)
    network.requires_grad_(False)
    for each in moved.values():
        each.requires_grad_(True)
    try:
        yield moved
    finally:
        for each, needed in zip(network.parameters(), before, strict=True):
            each.requires_grad_(needed)
            each.grad = None


def _optimiser(network: Network, moved: dict[str, nn.Parameter], method: SourceFreeMethod, recipe: Recipe) -> Optimizer:
    """Return the optimiser over what moves; each group has a ``ratio`` of its learning rate."""
    of_trunk = {id(each) for each in network.parameter_groups()[0]}
    trunk = [each for each in moved.values() if id(each) in of_trunk]
    rest = [each for each in moved.values() if id(each) not in of_trunk]
    rest += [each for each in method.parameters() if each.requires_grad]
    groups = [
        {"params": parameters, "ratio": ratio}
        for parameters, ratio in ((trunk, recipe.trunk_ratio), (rest, 1.0))
        if parameters
    ]
    if not groups:  # an optimiser needs a parameter; this one is nobody's
        groups = [{"params": [nn.Parameter(torch.zeros(1))], "ratio": 1.0}]
    if recipe.optimiser == "adam":
        return torch.optim.Adam(groups, lr=recipe.lr, betas=(recipe.momentum, 0.999), weight_decay=recipe.weight_decay)
    return torch.optim.SGD(
        groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov, weight_decay=recipe.weight_decay
    )


def _shares(logits: Tensor) -> NDArray[np.float64]:
    counts = torch.bincount(logits.argmax(1), minlength=logits.shape[1])
    return (counts / counts.sum()).double().cpu().numpy()


def _warning(before: NDArray[np.float64], after: NDArray[np.float64]) -> str:
    if after.max() < LARGEST_SHARE or before.max() >= LARGEST_SHARE:
        return ""
    return (
        f"After the adaptation {100 * after.max():.0f} % of the faces get one class ({100 * before.max():.0f} % "
        "before): the model has collapsed, keep the one you had."
    )


def _forget(checkpoint: Path | None) -> None:
    if checkpoint is not None:
        for path in (checkpoint, previous(checkpoint)):
            path.unlink(missing_ok=True)
