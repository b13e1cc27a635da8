"""The interface of a method: the modules it adds to the network, and its losses on a batch."""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib import import_module
from typing import ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from dcdan.core.errors import unknown
from dcdan.methods.classification import ClassificationSettings, classification_loss
from dcdan.models.heads import Logits
from dcdan.models.network import Network, NetworkOutputs, NetworkSettings

Sampling = Literal["even", "source-as-target", "target-as-source"]
Grouping = Literal["", "subject", "set"]


class MethodSettings(BaseModel):
    """Settings that all methods have; each method adds its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classification: ClassificationSettings = ClassificationSettings()
    sampling: Sampling = "even"
    """How faces are sampled during adaptation, so that a different class balance is not mistaken for a different
    appearance. ``even`` samples uniformly. ``source-as-target`` gives the source the class proportions that the
    source-stage model predicts on the target. ``target-as-source`` gives predicted classes of the target the
    proportions of the source."""


@dataclass(frozen=True)
class Batch:
    """The inputs of a loss: source labels, network outputs on both domains, and the teacher's logits on the target."""

    labels: Tensor
    """``(B, K)`` float, rows sum to 1: the source's labels, one-hot or votes."""
    source: NetworkOutputs
    """Outputs of the student on B source faces."""
    target: NetworkOutputs | None = None
    """The same on B target faces (strong view); None in the source stage and for methods without target."""
    teacher: Logits | None = None
    """Logits of the teacher, without gradient, on the same target faces (weak view). In the source stage of a method
    that owns it, on the views of the source faces that the student receives."""
    faces: Tensor | None = None
    """``(B, 3, S, S)`` in [0, 1]: the views of the source faces that the student receives."""
    rows: Tensor | None = None
    """``(B,)`` int64: the rows of the source faces in their pack."""
    target_faces: Tensor | None = None
    """``(B, 3, S, S)`` in [0, 1]: the strong views of the target faces."""
    sets: Tensor | None = None
    """``(B,)`` int64: the number of the data set of each source face; None with a single source."""


class Method(nn.Module, ABC):
    """A method of domain adaptation.

    Its parameters, such as those of discriminators, are trained with the network, and its buffers are saved with them.

    Args:
        settings: settings of the class ``Settings``.
        width: width of the branch features.
        class_counts: ``(K,)`` source training faces of each class.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    sees_target: ClassVar[bool]
    """Whether the adaptation stage uses target faces."""
    uses_teacher: ClassVar[bool] = False
    estimates_statistics: ClassVar[bool] = False
    """Whether the adaptation stage ends with batch-norm statistics estimated on target faces."""
    needs: ClassVar[str] = ""
    """What the data must record for the method to do more than with one anonymous source set; empty for nothing."""
    reading: ClassVar[str] = ""
    """What of the publication the row is built from, where it is not the paper with its formulas."""
    grouping: ClassVar[Grouping] = ""
    """Which groups of source faces the method distinguishes: persons, or the sets of a source that joins several."""
    owns_source_stage: ClassVar[bool] = False
    """Whether the source stage has its own losses, parameters or network, so that other methods cannot reuse it."""
    Settings: ClassVar[type[MethodSettings]] = MethodSettings
    network_class: ClassVar[type[Network]] = Network
    """The network that :meth:`build_network` builds."""
    groups: Tensor
    """``(N,)`` int64 group of every face of the source pack, from 0; empty where the method needs none."""
    sampled_counts: Tensor
    """Class counts ``(K,)`` of the source faces under the sampling weights."""
    epochs: float
    """Passes over the larger domain in the adaptation stage, set by the training."""
    revision: ClassVar[int] = 1
    """Increased when the same settings train or predict differently, so that a benchmark does not mix revisions."""

    def __init__(self, settings: MethodSettings, width: int, class_counts: Tensor) -> None:
        """``width`` of the branch features; ``class_counts`` ``(K,)`` float: source faces of each class."""
        super().__init__()
        self.settings = settings
        self.width = width
        self.register_buffer("class_counts", class_counts.float())
        self.register_buffer("sampled_counts", class_counts.float().clone(), persistent=False)
        self.register_buffer("groups", torch.empty(0, dtype=torch.int64), persistent=False)

    @classmethod
    def adapts(cls) -> bool:
        """Return whether the model depends on the target, through its images or only their statistics.

        Returns:
            True when it does.
        """
        return cls.sees_target or cls.estimates_statistics

    @classmethod
    def build_network(cls, settings: NetworkSettings, classes: int, size: int) -> Network:
        """Build the network that the method trains.

        Args:
            settings: the architecture.
            classes: number of classes K.
            size: face side in pixels.

        Returns:
            The network, with random weights.
        """
        return cls.network_class(settings, classes, size)

    def set_sources(self, count: int) -> None:
        """Prepare for several source sets before the training starts; the default treats them as one domain.

        Args:
            count: number of source sets, at least 1.
        """

    def prepare(self, network: Network, faces: int) -> None:
        """Prepare for a network before its training starts; the default does nothing.

        Args:
            network: the network with its initial weights.
            faces: number of faces in the source pack.
        """

    def set_groups(self, groups: Tensor) -> None:
        """Set the groups of the source faces, before :meth:`prepare`, for a method with a ``grouping``.

        Args:
            groups: ``(N,) int64`` group of every face of the source pack, from 0.
        """
        self.groups = groups

    def groups_of(self, batch: Batch) -> Tensor:
        """Return the group of each source face.

        Args:
            batch: the batch, with the rows of its source faces.

        Returns:
            ``(B,) int64``; zeros where no groups were set.
        """
        if batch.rows is None or not len(self.groups):
            return torch.zeros(len(batch.labels), dtype=torch.int64, device=batch.labels.device)
        return self.groups[batch.rows]

    def classify(self, batch: Batch) -> Tensor:
        """Return the classification loss on the source (Eq. 3), which every method has.

        Args:
            batch: the batch.

        Returns:
            A scalar.
        """
        return classification_loss(batch.source.logits, batch.labels, self.sampled_counts, self.settings.classification)

    def source_losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the losses of the source stage.

        Args:
            batch: source faces.
            progress: fraction of the stage that is done, in [0, 1].

        Returns:
            Weighted losses by name.
        """
        return {"cls": self.classify(batch)}

    @abstractmethod
    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the losses of the adaptation stage.

        Args:
            batch: source and, where ``sees_target``, target faces.
            progress: fraction of the stage that is done, in [0, 1].

        Returns:
            Weighted losses by name.
        """

    def thresholds(self) -> Tensor:
        """Return the confidence thresholds of the final choice between the heads.

        Returns:
            ``(K,)``; zeros, the default, always choose the fused head.
        """
        return self.get_buffer("class_counts").new_zeros(len(self.get_buffer("class_counts")))

    def first_thresholds(self) -> Tensor:
        """Return the thresholds for the model before the adaptation.

        Returns:
            ``(K,)``; zeros by default.
        """
        return Method.thresholds(self)

    def set_sampled_counts(self, counts: Tensor) -> None:
        """Set the class counts under the sampling weights of a stage, before its first step.

        Logit adjustment and LDAM must correct these counts: with ``sampling = source-as-target`` the batches do not
        have the class proportions of the source.

        Args:
            counts: ``(K,) float32``.
        """
        self.sampled_counts.copy_(counts)

    def report(self) -> dict[str, float | list[float]]:
        """Return the metrics of the method for the metrics log; none may use target labels.

        Returns:
            Number or list of numbers (one per class) by name.
        """
        return {}


class SourceMethod(Method):
    """A method that trains on source faces only, in the source stage."""

    sees_target: ClassVar[bool] = False
    owns_source_stage: ClassVar[bool] = True

    def source_losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the losses of the method.

        Args:
            batch: source faces.
            progress: fraction of the stage that is done, in [0, 1].

        Returns:
            Weighted losses by name.
        """
        return self.losses(batch, progress)


_registry: dict[str, type[Method]] = {}


def register(method: type[Method]) -> type[Method]:
    """Add a method to the registry, as a class decorator.

    Args:
        method: the class.

    Returns:
        The same class.
    """
    _registry[method.name] = method
    return method


def methods() -> dict[str, type[Method]]:
    """Return all registered methods.

    Returns:
        Classes by name, sorted.

    Example:
        >>> "dcdan" in methods()
        True
    """
    for module in pkgutil.iter_modules(import_module("dcdan.methods").__path__):
        import_module(f"dcdan.methods.{module.name}")
    return dict(sorted(_registry.items()))


def find_method(name: str) -> type[Method]:
    """Return a method by its name.

    Args:
        name: the name.

    Returns:
        The class.

    Raises:
        UsageError: when there is no such method; the message suggests the nearest spelling.

    Example:
        >>> find_method("adabn").title
        'AdaBN'
    """
    known = methods()
    if name not in known:
        raise unknown("method", name, known)
    return known[name]
