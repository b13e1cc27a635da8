"""The settings of a run: read from TOML, overridden on the command line, written in full to ``config.toml``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dcdan.core.errors import UsageError, nearest
from dcdan.core.limits import read_toml
from dcdan.core.schema import check_schema
from dcdan.methods.base import MethodSettings, find_method
from dcdan.methods.dcdan import PRESETS
from dcdan.models.network import Network, NetworkSettings
from dcdan.training.augment import AugmentSettings
from dcdan.training.model_selection.scores import Score

Checked = TypeVar("Checked", bound=BaseModel)
_SHOWN = 80

CONFIG_SCHEMA = 1
"""Of ``config.toml`` and of a benchmark's plan. A field that comes with a default needs no other."""


class StageSettings(BaseModel):
    """Optimisation of one stage."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: float = Field(ge=0)
    """Passes over the larger of the domains in use; fractions are allowed."""
    batch: int = Field(64, ge=2, le=4096)
    """Faces of each domain in a step."""
    optimiser: Literal["sgd", "adamw"] = "sgd"
    """SGD with Nesterov momentum .9, or AdamW."""
    lr: float = Field(gt=0)
    """Highest learning rate of the trunk."""
    head_ratio: float = Field(1.0, gt=0)
    """Learning rate of the branches and heads over the trunk's; 10 suits a pre-trained trunk."""
    discriminator_ratio: float = Field(1.0, gt=0)
    """Learning rate of the discriminators over that of the branches and heads."""
    schedule: Literal["one-cycle", "cosine"] = "one-cycle"
    """One-cycle rises over the first quarter; cosine starts at the top; both end at 0."""
    cycles: int = Field(1, ge=1, le=100)
    """Times that the schedule is run through within the epochs, each time at half the height."""
    weight_decay: float = Field(5e-4, ge=0)
    """Not applied to biases, norms and AFC's scalars."""
    clip: float = Field(5.0, gt=0)
    """Largest norm of the gradient."""


class SourceStage(StageSettings):
    """Settings of the source stage; the defaults suit a trunk with random initial weights."""

    epochs: float = Field(12, ge=0)
    lr: float = Field(0.08, gt=0)


class AdaptationStage(StageSettings):
    """Settings of the adaptation stage."""

    epochs: float = Field(4, ge=0)
    lr: float = Field(0.01, gt=0)
    schedule: Literal["one-cycle", "cosine"] = "cosine"


PAPER_OVERRIDES: dict[str, Any] = {"teacher": 0.0, "final": "student"}
"""What the paper preset changes outside the method's own settings: no moving average."""


class RunSettings(BaseModel):
    """All settings of a run except the specs of its data."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: str = "dcdan"
    """A registered method."""
    preset: Literal["default", "paper"] = "default"
    """Of DCD-DAN: what measures best here, or the paper read literally."""
    size: int = Field(112, ge=32, le=448, multiple_of=16)
    """Face side in pixels."""
    seed: int = Field(0, ge=0)
    pretrained: str = "auto"
    """What the trunk starts from. ``auto`` takes timm's ImageNet weights when they can be had, and starts at random
    with a warning when not; ``yes`` ends there instead; ``no`` starts at random. The folder of a finished run, or the
    name of a model in the package, gives a trunk trained on faces."""
    align: Literal["auto", "mtcnn", "none"] = "auto"
    """How packs made for this run align faces."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """``auto`` measures both for a few steps where the processor has bf16, and takes the faster."""
    fuse_activation: bool = False
    """Compile AFC to one kernel; pays in long trainings, after half a minute of compiling."""
    teacher: float = Field(0.999, ge=0, lt=1)
    """Momentum of the teacher's moving average; 0 makes the student its own teacher."""
    final: Literal["teacher", "student"] = "teacher"
    """Which of the two is written out, for methods that have a teacher."""
    choose: Literal["last", Score] = "last"
    """Which epoch of the adaptation is written out: the last, or the one that a label-free score picks; epoch 0 is the
    source stage's model, so that an adaptation that does harm can be refused."""
    keep_epochs: bool = False
    """Save every epoch of the adaptation with its scores in ``checkpoints/``, each about the size of a model."""
    minutes: float | None = Field(None, gt=0)
    """Budget of the training in minutes, from its start to the finished model. The stages are shortened to fit as soon
    as the first steps have been timed; None trains all epochs."""
    checkpoint_every: int = Field(200, ge=1)
    """Steps between checkpoints."""
    on_trouble: Literal["stop", "back-off"] = "stop"
    """What happens when a loss is not finite, the model collapses or a discriminator dies: the run stops with an error,
    or it restarts from its last good epoch at half the learning rate, at most three times."""
    sure: float = Field(0.9, gt=0, lt=1)
    """Share of right answers among held-out source faces above the probability below which an answer is unsure."""
    mirror: bool = False
    """Whether the model that is written out averages over a face and its mirror image: better, for twice the time."""
    prior_bias: float = Field(0.0, ge=0, le=1)
    """Bias of the written model towards common source classes: the factor on the log prior that is added to its
    logits, for example to restore a part of what logit adjustment subtracts."""
    calibrate_for: Literal["target", "source"] = "target"
    """Whether the temperature is corrected for the target, by an estimate, where a method sees it; ``source`` suits a
    model that will be shown faces of any kind."""
    network: NetworkSettings = NetworkSettings()
    source: SourceStage = SourceStage()
    adaptation: AdaptationStage = AdaptationStage()
    augment: AugmentSettings = AugmentSettings()
    options: dict[str, Any] = Field(default_factory=dict)
    """Settings of the method, checked by the method itself."""

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, values: Any) -> Any:
        """Apply the paper preset and accept settings of version 0.1."""
        if isinstance(values, dict) and "lean" in values:  # the name of the setting until version 0.1
            values = {"prior_bias": values["lean"], **{key: values[key] for key in values if key != "lean"}}
        if isinstance(values, dict) and values.get("preset") == "paper":
            return {**PAPER_OVERRIDES, **values}
        return values

    def method_settings(self) -> MethodSettings:
        """Return the settings of the method; explicit options override its preset.

        Returns:
            The validated settings.
        """
        kind = find_method(self.method).Settings
        preset = PRESETS[self.preset] if self.method == "dcdan" else {}
        return check(kind, {**preset, **self.options}, "options.")

    def build(self, classes: int) -> Network:
        """Build the network of the method with random weights.

        Args:
            classes: number of classes K.

        Returns:
            The network.
        """
        return find_method(self.method).build_network(self.network, classes, self.size)

    def whole(self) -> dict[str, Any]:
        """Return all settings, with the defaults and the preset of the method filled in.

        Returns:
            JSON values.
        """
        options = self.method_settings().model_dump(mode="json", exclude_none=True)
        return {**self.model_dump(mode="json", exclude_none=True), "options": options}


PRETRAINED_STAGES: dict[str, dict[str, Any]] = {
    "source": {"lr": 0.01, "head_ratio": 10.0, "schedule": "cosine"},
    "adaptation": {"lr": 0.003, "head_ratio": 10.0},
}
"""Stages of a pre-trained trunk, where the user sets nothing else."""


def check(kind: type[Checked], values: Mapping[str, Any], prefix: str = "") -> Checked:
    """Validate settings and report the first error in one sentence.

    Args:
        kind: the pydantic model.
        values: field values.
        prefix: path of the model within the settings, such as ``options.``, for the message.

    Returns:
        The validated model.

    Raises:
        UsageError: for an unknown key or a wrong value; the message names the key, what is allowed and the nearest
            spelling.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = [str(part) for part in first["loc"]]
        name = prefix + ".".join(where)
        if first["type"] == "extra_forbidden":
            allowed = fields_at(kind, where[:-1])
            raise UsageError(
                f"There is no setting '{name}'.{nearest(where[-1], allowed)} Known: {', '.join(allowed)}."
            ) from error
        if not name:
            reason = first["msg"].removeprefix("Value error, ")
            raise UsageError(f"{reason[:1].upper()}{reason[1:]}.") from error
        given = first.get("input")
        choices = re.findall("'([^']*)'", str(first.get("ctx", {}).get("expected", "")))
        near = nearest(given, choices) if isinstance(given, str) else ""
        raise UsageError(f"The setting '{name}' cannot be {shortened(given)}: {first['msg']}.{near}") from error


def shortened(value: Any) -> str:
    """Return a value as Python writes it, with its middle left out where it is long.

    Args:
        value: any value.

    Returns:
        At most about 85 characters.

    Example:
        >>> shortened("fear")
        "'fear'"
    """
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]} ... {text[-_SHOWN // 2 :]}"


def fields_at(kind: type[BaseModel], path: list[str]) -> list[str]:
    """Return the field names of a nested settings model.

    Args:
        kind: the outer model.
        path: field names that lead to the nested model.

    Returns:
        Sorted field names of the deepest model on the path.

    Example:
        >>> fields_at(RunSettings, ["source"])[:3]
        ['batch', 'clip', 'cycles']
    """
    for part in path:
        field = kind.model_fields.get(part)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            break
        kind = field.annotation
    return sorted(kind.model_fields)


def parse_value(text: str) -> Any:
    """Parse the value of ``--set key=value`` as TOML; anything else is a string.

    Args:
        text: the value.

    Returns:
        The parsed value.

    Example:
        >>> parse_value("0.5"), parse_value("[1, 2]"), parse_value("adamw")
        (0.5, [1, 2], 'adamw')
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def set_nested(values: dict[str, Any], path: list[str], value: Any) -> None:
    """Set one value of a nested dictionary in place.

    Args:
        values: the dictionary.
        path: keys that lead to the value; missing tables are created.
        value: the value.

    Raises:
        UsageError: when a parent on the path is not a table.
    """
    *parents, last = path
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise UsageError(f"The setting '{'.'.join(path)}' cannot be set, because '{parent}' is a single value.")
    values[last] = value


def assign(values: dict[str, Any], assignments: list[str]) -> None:
    """Apply ``a.b=value`` assignments to a nested dictionary in place.

    Args:
        values: the dictionary.
        assignments: the assignments, applied in order.

    Raises:
        UsageError: when one has no ``=`` or no key, or a parent on its path is not a table.

    Example:
        >>> values = {}
        >>> assign(values, ["source.lr=0.05"])
        >>> values
        {'source': {'lr': 0.05}}
    """
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"'{text}' is no setting: write --set key=value, for example --set source.lr=0.05.")
        set_nested(values, key.strip().split("."), parse_value(value.strip()))


def read_settings(file: Path | None, assignments: list[str], **given: Any) -> RunSettings:
    """Read settings from a file, keyword arguments and assignments; later ones override earlier ones.

    Args:
        file: a TOML file, or None. The ``config.toml`` of a run is accepted; its table ``data`` is ignored.
        assignments: ``key=value`` texts of ``--set``.
        **given: settings by name, where two underscores lead into a table (``source__lr``); None is ignored.

    Returns:
        The validated settings.

    Raises:
        UsageError: when the file cannot be read or a setting is wrong.

    Example:
        >>> read_settings(None, ["source.lr=0.05"], seed=3).seed
        3
    """
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values = read_toml(file)
        except (OSError, ValueError) as error:
            raise UsageError(f"The settings file '{file}' cannot be read: {error}.") from error
        values.pop("data", None)
        check_config_schema(values, file)
    for key, value in given.items():
        if value is not None:
            set_nested(values, key.split("__"), value)
    assign(values, assignments)
    settings = check(RunSettings, values)
    settings.method_settings()
    return settings


def check_config_schema(values: dict[str, Any], file: Path) -> None:
    """Remove ``schema`` from the values of a settings file and check it.

    Args:
        values: the values, changed in place.
        file: their file, for the message.

    Raises:
        UsageError: when this version does not read that schema.
    """
    cure = "write the file anew, as the documents describe it"
    check_schema(UsageError, f"'{file}'", values.pop("schema", CONFIG_SCHEMA), CONFIG_SCHEMA, cure)


def for_pretrained(settings: RunSettings) -> RunSettings:
    """Return settings with the lower learning rates of a pretrained trunk in place of defaults.

    An explicit value is not changed, even when it equals the default.

    Args:
        settings: the settings.

    Returns:
        The changed copy.

    Example:
        >>> for_pretrained(read_settings(None, ["source.lr=0.08"])).source.lr, for_pretrained(RunSettings()).source.lr
        (0.08, 0.01)
    """
    changed: dict[str, Any] = {}
    for name, values in PRETRAINED_STAGES.items():
        stage: StageSettings = getattr(settings, name)
        given = stage.model_fields_set if name in settings.model_fields_set else set()
        changed[name] = stage.model_copy(update={key: value for key, value in values.items() if key not in given})
    return settings.model_copy(update=changed)
