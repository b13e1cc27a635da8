"""What a method is: the modules it adds to the network, and its losses on a batch. The loop knows none by name."""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib import import_module
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from dcdan.core.errors import unknown
from dcdan.methods.classification import ClassificationSettings, classification_loss
from dcdan.models.heads import Logits
from dcdan.models.network import Network, NetworkOutputs, NetworkSettings

Sampling = Literal["even", "source-as-target", "target-as-source"]


class MethodSettings(BaseModel):
    """Settings of a method; each adds its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classification: ClassificationSettings = ClassificationSettings()
    sampling: Sampling = "even"
    """How faces are drawn in the adaptation, so that another balance of classes is not taken for other looks: evenly,
    or the source's so that its classes have the shares that the source stage's model sees in the target, or the
    target's so that the classes which that model sees have the source's shares."""


@dataclass(frozen=True)
class Batch:
    """What a method may see: labels of the source, and of the target only what the teacher says."""

    labels: Tensor
    """``(B, K)`` float, rows sum to 1: the source's labels, one-hot or votes."""
    source: NetworkOutputs
    """The student on B source faces."""
    target: NetworkOutputs | None = None
    """The student on B target faces (strong view); None in the source stage and for methods without target."""
    teacher: Logits | None = None
    """The teacher's logits, without gradient, on the same target faces (weak view); in a source stage that a method
    owns, on the source faces as the student sees them."""
    faces: Tensor | None = None
    """``(B, 3, S, S)`` in [0, 1]: the source faces as the student sees them."""
    rows: Tensor | None = None
    """``(B,)`` int64: the places of the source faces in their pack."""


class Method(nn.Module, ABC):
    """One way to adapt. Its parameters (discriminators) are trained with the network's, its buffers saved with them."""

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    sees_target: ClassVar[bool]
    """Whether training in stage 2 uses target faces."""
    uses_teacher: ClassVar[bool] = False
    estimates_statistics: ClassVar[bool] = False
    """Whether stage 2 ends with batch-norm statistics estimated anew on target faces."""
    owns_source_stage: ClassVar[bool] = False
    """Whether the source stage trains by losses, parameters or a network of its own, so that others cannot share it."""
    Settings: ClassVar[type[MethodSettings]] = MethodSettings
    drawn_counts: Tensor
    """Class counts ``(K,)`` of the source faces as they are drawn."""
    epochs: float
    """Passes over the larger domain that stage 2 takes; the training says how many."""
    revision: ClassVar[int] = 1
    """Goes up when the same settings come to train or decide otherwise, so that a benchmark mixes no two kinds."""

    def __init__(self, settings: MethodSettings, width: int, class_counts: Tensor) -> None:
        """``width`` of the branch features; ``class_counts`` ``(K,)`` float: source faces of each class."""
        super().__init__()
        self.settings = settings
        self.width = width
        self.register_buffer("class_counts", class_counts.float())
        self.register_buffer("drawn_counts", class_counts.float().clone(), persistent=False)

    @classmethod
    def adapts(cls) -> bool:
        """Return whether the model depends on the target, by its images or by their statistics alone."""
        return cls.sees_target or cls.estimates_statistics

    @classmethod
    def build_network(cls, settings: NetworkSettings, classes: int, size: int) -> Network:
        """Return the network that the method trains, for faces of ``size`` pixels."""
        return Network(settings, classes, size)

    def prepare(self, network: Network, faces: int) -> None:
        """Look once at the network before it is trained; the source's pack has so many ``faces``."""

    def classify(self, batch: Batch) -> Tensor:
        """Return the source's classification loss (Eq. 3), which every method has."""
        return classification_loss(batch.source.logits, batch.labels, self.drawn_counts, self.settings.classification)

    def source_losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the losses of the source stage by name; ``progress`` in [0, 1] is the share of its steps done."""
        return {"cls": self.classify(batch)}

    @abstractmethod
    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the stage-2 losses by name, already weighted; ``progress`` in [0, 1] is the share of steps done."""

    def thresholds(self) -> Tensor:
        """Return the classes' confidence thresholds ``(K,)`` for the final choice; 0 lets the fused head decide."""
        return self.get_buffer("class_counts").new_zeros(len(self.get_buffer("class_counts")))

    def first_thresholds(self) -> Tensor:
        """Return the thresholds ``(K,)`` by which the model before the adaptation decides: by its fused head."""
        return Method.thresholds(self)

    def set_drawn_counts(self, counts: Tensor) -> None:
        """Set the class counts ``(K,)`` of the source as a stage draws it; the training calls it before its first step.

        They are what logit adjustment and LDAM must undo: with ``sampling = source-as-target`` the batches do not have
        the shares of the source.
        """
        self.drawn_counts.copy_(counts)

    def report(self) -> dict[str, float | list[float]]:
        """Return figures for the metrics log, none of them from labels of the target; lists in the order of classes."""
        return {}


class SourceMethod(Method):
    """A method of one stage: its losses train on source faces alone, and what they leave is the model."""

    sees_target: ClassVar[bool] = False
    owns_source_stage: ClassVar[bool] = True

    def source_losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the method's losses."""
        return self.losses(batch, progress)


_registry: dict[str, type[Method]] = {}


def register(method: type[Method]) -> type[Method]:
    """Class decorator: make a method known by its name."""
    _registry[method.name] = method
    return method


def methods() -> dict[str, type[Method]]:
    """Return every registered method by name."""
    for module in pkgutil.iter_modules(import_module("dcdan.methods").__path__):
        import_module(f"dcdan.methods.{module.name}")
    return dict(sorted(_registry.items()))


def find_method(name: str) -> type[Method]:
    """Return the named method or raise a :class:`dcdan.core.errors.UsageError` with the nearest spelling."""
    known = methods()
    if name not in known:
        raise unknown("method", name, known)
    return known[name]
