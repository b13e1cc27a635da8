"""The interface of a source-free method: its recipe, and its losses on a batch of target faces.

A method starts from a trained network and sees unlabelled target faces only. It says in its :class:`Recipe` which
parameters move, how batch norm normalises and which views it needs; the loop (:mod:`dcdan.training.source_free`) knows
no method by name. Where a paper has one classifier, it is here the fused head, and its features are what that head
receives, see :func:`features_of`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import ClassVar, Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.optim import Optimizer

from dcdan.core.errors import TrainingError, unknown
from dcdan.correction.memory import SourceMemory
from dcdan.models.network import Network, NetworkOutputs, PlainNetwork

View = Literal["plain", "weak", "strong"]
"""A face as it is, mirrored and slightly moved, or strongly changed."""
Moves = Literal["nothing", "trunk norms", "norms", "features", "all"]
"""Which parameters of the network move: none, scale and shift of the norm layers of the trunk or of the whole network,
all but the heads, or all."""

NORM_LAYERS = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)


class Recipe(BaseModel):
    """How a method is trained, as in its paper. The loop reads these values and nothing else of a method.

    Example:
        >>> Recipe(passes=2, batch=64).steps(130)
        6
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    moves: Moves = "all"
    norms: Literal["stored", "batch"] = "stored"
    """Whether batch norm uses the stored statistics, or those of each batch. In the second case the statistics of the
    whole target are stored at the end, because a model that is written out needs some."""
    views: tuple[View, ...] = ("plain",)
    """The views that go through the network with gradients, one after the other."""
    inputs: tuple[View, ...] = ()
    """Further views that the method itself passes through the network."""
    passes: float = Field(default=1.0, ge=0)
    """How often each face is seen; 0 for methods that only prepare and finish."""
    least_steps: int = Field(default=0, ge=0)
    """Steps below which a small set is passed more often."""
    most_passes: float = Field(default=1000.0, gt=0)
    """Passes above which ``least_steps`` does not count."""
    batch: int = Field(default=64, ge=2)
    optimiser: Literal["sgd", "adam"] = "sgd"
    lr: float = Field(default=1e-3, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of SGD, first coefficient of Adam."""
    nesterov: bool = False
    weight_decay: float = Field(default=0.0, ge=0)
    trunk_ratio: float = Field(default=1.0, gt=0)
    """Learning rate of the trunk over that of what is built on it."""
    schedule: Literal["constant", "inverse"] = "constant"
    """``inverse`` is ``(1 + 10 p)^-0.75`` over the progress p (Ganin et al., JMLR 2016)."""

    def steps(self, faces: int) -> int:
        """Return the number of steps for a set of faces.

        Args:
            faces: number of faces, above 0.

        Returns:
            Number of steps.
        """
        each = -(-faces // self.batch)
        return min(max(round(self.passes * each), self.least_steps), int(self.most_passes * each))

    def factor(self, progress: float) -> float:
        """Return the factor on the learning rate.

        Args:
            progress: fraction of the steps that is done, in [0, 1].

        Returns:
            A factor in (0, 1].
        """
        return 1.0 if self.schedule == "constant" else float((1 + 10 * progress) ** -0.75)


@dataclass(frozen=True)
class TargetBatch:
    """What a method sees in a step.

    Attributes:
        rows: ``(B,)`` int64, rows of the faces in the target.
        faces: ``(B, 3, S, S) float32`` in [0, 1] of each view and input of the recipe.
        outputs: the network's outputs, with gradients, on each view that the recipe passes through the network.
        progress: fraction of the steps that is done, in [0, 1).
        step: number of the step, from 0.
        generator: source of randomness of this step.
    """

    rows: Tensor
    faces: Mapping[View, Tensor]
    outputs: Mapping[View, NetworkOutputs]
    progress: float
    step: int
    generator: torch.Generator


class Answers(NamedTuple):
    """What a network says of all N faces of a target, without gradients."""

    logits: Tensor
    """``(N, K) float32`` of the fused head."""
    features: Tensor
    """``(N, D) float32``, see :func:`features_of`."""


class Target(Protocol):
    """All faces of a target, for methods that look at them before and between the steps."""

    def __len__(self) -> int:
        """Return the number of faces."""
        ...

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield rows ``(B,)`` and faces ``(B, 3, S, S)`` in order, as they are."""
        ...

    def answers(self, network: Network) -> Answers:
        """Return the answers of a network in evaluation mode."""
        ...

    def estimate_statistics(self, network: Network) -> None:
        """Replace the batch-norm statistics of a network by those of all faces."""
        ...


@dataclass(frozen=True)
class Context:
    """What a method is made for.

    Attributes:
        classes: names of the K classes.
        faces: number N of target faces.
        neutral: rows of faces that are known to be neutral; empty where nothing is known.
        shares: ``(K,)`` declared class shares of the target; None where none were declared.
        memory: the source memory of the model; None where it has none.
    """

    classes: tuple[str, ...]
    faces: int
    neutral: tuple[int, ...] = ()
    shares: tuple[float, ...] | None = None
    memory: SourceMemory | None = None


class SourceFreeSettings(BaseModel):
    """Settings of a method beside its recipe; each method adds its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceFreeMethod(nn.Module):
    """A method that adapts a network to unlabelled faces.

    It is a module: its parameters are trained with the network, and all its tensors are saved, so that a stopped
    adaptation can be resumed. So every parameter, buffer and sub-module, such as a teacher, must exist after
    ``__init__``. A subclass overrides :meth:`losses`, or :meth:`step` where one pass and one update are
    not enough.

    Args:
        settings: settings of the class ``Settings``.
        network: the trained network, which is not changed here.
        context: classes and number of faces.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    needs: ClassVar[str] = "weights"
    """What the method needs of a model beside its faces, in a word or two."""
    recipe: ClassVar[Recipe] = Recipe()
    Settings: ClassVar[type[SourceFreeSettings]] = SourceFreeSettings

    def __init__(self, settings: SourceFreeSettings, network: Network, context: Context) -> None:  # noqa: ARG002
        super().__init__()
        self.context = context

    def prepare(self, network: Network, target: Target) -> None:
        """Look at the whole target before the first step; not called when an adaptation is resumed.

        Args:
            network: the network in evaluation mode.
            target: all faces.
        """

    def before_step(self, network: Network, target: Target, step: int, steps: int) -> None:
        """Renew what does not come from the batch, such as pseudo-labels, before the views are made.

        Args:
            network: the network.
            target: all faces.
            step: number of the step, from 0.
            steps: number of all steps.
        """

    def losses(self, network: Network, batch: TargetBatch) -> dict[str, Tensor]:
        """Return the losses of a batch.

        Args:
            network: the network that has computed the outputs.
            batch: faces and outputs.

        Returns:
            Weighted losses by name; their sum is minimised.
        """
        raise NotImplementedError

    def step(self, network: Network, batch: TargetBatch, optimiser: Optimizer) -> dict[str, Tensor]:
        """Make one step: by default one backward pass through the losses and one update.

        Args:
            network: the network, changed in place.
            batch: faces and outputs.
            optimiser: over all parameters that move.

        Returns:
            The losses, for the log.

        Raises:
            TrainingError: when a loss is not finite.
        """
        losses = self.losses(network, batch)
        descend(losses, batch, optimiser)
        return losses

    def finish(self, network: Network, target: Target) -> None:
        """Change the network after the last step, for what has no gradient.

        Args:
            network: the network in evaluation mode, changed in place.
            target: all faces.
        """

    def joint_answers(self, network: Network, target: Target) -> NDArray[np.float64] | None:  # noqa: ARG002
        """Answer all faces of the target together, for methods that leave the network as it is.

        Args:
            network: the network in evaluation mode.
            target: all faces.

        Returns:
            ``(N, K)`` log-probabilities; None where the network itself answers.
        """
        return None


def total_loss(losses: Mapping[str, Tensor], step: int) -> Tensor:
    """Return the sum of losses.

    Args:
        losses: scalars by name.
        step: number of the step, for the error.

    Returns:
        A scalar.

    Raises:
        TrainingError: when one of them is not finite.
    """
    broken = next((name for name, value in losses.items() if not bool(torch.isfinite(value))), None)
    if broken is not None:
        raise TrainingError(
            f"The loss '{broken}' is no finite number at step {step + 1}: take a smaller learning rate (lr), "
            "or check the faces."
        )
    return torch.stack(list(losses.values())).sum()


def descend(losses: Mapping[str, Tensor], batch: TargetBatch, optimiser: Optimizer) -> None:
    """Update by the gradient of a sum of losses.

    Args:
        losses: scalars by name.
        batch: the batch, for its number.
        optimiser: the optimiser.

    Raises:
        TrainingError: when a loss is not finite.
    """
    total = total_loss(losses, batch.step)
    optimiser.zero_grad(set_to_none=True)
    if total.requires_grad:
        total.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def features_of(network: Network, outputs: NetworkOutputs) -> Tensor:
    """Return the input of the fused head.

    Args:
        network: the network.
        outputs: its outputs on B faces.

    Returns:
        ``(B, D)``: the sum of global and local features, or the only features of a :class:`PlainNetwork`.
    """
    return outputs.of_global if isinstance(network, PlainNetwork) else outputs.of_global + outputs.of_local


def moved_parameters(network: Network, moves: Moves) -> dict[str, nn.Parameter]:
    """Return the parameters of a network that move.

    Args:
        network: the network.
        moves: which.

    Returns:
        Parameters by name, in the order of the network.
    """
    if moves == "nothing":
        return {}
    if moves in ("norms", "trunk norms"):
        part = "trunk." if moves == "trunk norms" else ""
        layers = {
            name for name, layer in network.named_modules() if isinstance(layer, NORM_LAYERS) and name.startswith(part)
        }
        return {name: each for name, each in network.named_parameters() if name.rpartition(".")[0] in layers}
    heads = {id(each) for head in network.heads() for each in head.parameters()} if moves == "features" else set()
    return {name: each for name, each in network.named_parameters() if id(each) not in heads}


_registry: dict[str, type[SourceFreeMethod]] = {}


def register(method: type[SourceFreeMethod]) -> type[SourceFreeMethod]:
    """Add a method to the registry, as a class decorator.

    Args:
        method: the class.

    Returns:
        The same class.
    """
    _registry[method.name] = method
    return method


def source_free_methods() -> dict[str, type[SourceFreeMethod]]:
    """Return all source-free methods.

    Returns:
        Classes by name, sorted.

    Example:
        >>> "tent" in source_free_methods()
        True
    """
    for module in pkgutil.iter_modules(import_module("dcdan.methods.source_free").__path__):
        import_module(f"dcdan.methods.source_free.{module.name}")
    return dict(sorted(_registry.items()))


def find_source_free(name: str) -> type[SourceFreeMethod]:
    """Return a source-free method by its name.

    Args:
        name: the name.

    Returns:
        The class.

    Raises:
        UsageError: when there is no such method; the message suggests the nearest spelling.

    Example:
        >>> find_source_free("tent").title
        'TENT'
    """
    known = source_free_methods()
    if name not in known:
        raise unknown("method without a source set", name, known)
    return known[name]
