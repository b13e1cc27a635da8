"""The settings of a run: read from TOML, overridden on the command line, written out whole as ``config.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dcdan.data.augment import AugmentSettings
from dcdan.errors import UsageError, nearest
from dcdan.methods.base import find_method
from dcdan.methods.dcdan import PRESETS
from dcdan.models.network import NetworkSettings


class StageSettings(BaseModel):
    """Optimisation of one stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: float = Field(ge=0)
    """Passes over the larger of the domains in use; fractions are allowed."""
    batch: int = Field(64, ge=2, le=4096)
    """Faces of each domain in a step."""
    optimiser: Literal["sgd", "adamw"] = "sgd"
    """SGD with Nesterov momentum .9, or AdamW."""
    lr: float = Field(gt=0)
    """Highest learning rate of the trunk."""
    head_ratio: float = Field(1.0, gt=0)
    """Learning rate of the branches, heads and discriminators over the trunk's; 10 suits a pre-trained trunk."""
    schedule: Literal["one-cycle", "cosine"] = "one-cycle"
    """One-cycle rises over the first quarter; cosine starts at the top; both end at 0."""
    weight_decay: float = Field(5e-4, ge=0)
    """Not applied to biases, norms and AFC's scalars."""
    clip: float = Field(5.0, gt=0)
    """Largest norm of the gradient."""


class RunSettings(BaseModel):
    """Everything that decides a run, but for the data's own specs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str = "dcdan"
    """A registered method."""
    preset: Literal["default", "paper"] = "default"
    """Of DCD-DAN: what measures best here, or the paper read literally."""
    size: int = Field(112, ge=32, le=448, multiple_of=16)
    """Face side in pixels."""
    seed: int = Field(0, ge=0)
    pretrained: Literal["auto", "no"] = "auto"
    """``auto`` takes timm's ImageNet weights when they can be had, and starts at random with a warning when not."""
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
    checkpoint_every: int = Field(200, ge=1)
    """Steps between checkpoints."""
    network: NetworkSettings = NetworkSettings()
    source: StageSettings = StageSettings(epochs=12, lr=0.08)
    adaptation: StageSettings = StageSettings(epochs=4, lr=0.01, schedule="cosine")
    augment: AugmentSettings = AugmentSettings()
    options: dict[str, Any] = Field(default_factory=dict)
    """Settings of the method, checked by the method itself."""

    def method_settings(self) -> BaseModel:
        """Return the method's settings, its preset applied below what is said explicitly."""
        kind = find_method(self.method).Settings
        preset = PRESETS[self.preset] if self.method == "dcdan" else {}
        return check(kind, {**preset, **self.options}, "options.")


PAPER_OVERRIDES: dict[str, Any] = {"teacher": 0.0, "final": "student"}
"""What the paper preset changes outside the method's own settings: no moving average."""

PRETRAINED_STAGES: dict[str, dict[str, Any]] = {
    "source": {"lr": 0.01, "head_ratio": 10.0, "schedule": "cosine"},
    "adaptation": {"lr": 0.003, "head_ratio": 10.0},
}
"""Stages of a pre-trained trunk, where the user says nothing else."""


def check(kind: type[BaseModel], values: Mapping[str, Any], prefix: str = "") -> BaseModel:
    """Validate ``values``; a wrong key or value becomes one sentence with its name, what is allowed, and the nearest."""
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
        raise UsageError(f"The setting '{name}' cannot be {first.get('input')!r}: {first['msg']}.") from error


def fields_at(kind: type[BaseModel], path: list[str]) -> list[str]:
    """Return the field names of the model that ``path`` leads to."""
    for part in path:
        field = kind.model_fields.get(part)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            break
        kind = field.annotation
    return sorted(kind.model_fields)


def parse_value(text: str) -> Any:
    """Read the value of ``--set key=value`` as TOML; what is no TOML is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def assign(values: dict[str, Any], assignments: list[str]) -> None:
    """Apply ``a.b=value`` assignments to a nested dictionary in place."""
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"'{text}' is no setting: write --set key=value, for example --set source.lr=0.05.")
        place = values
        *parents, last = key.strip().split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise UsageError(f"The setting '{key}' lies under '{parent}', which holds a single value.")
        place[last] = parse_value(value.strip())


def read_settings(file: Path | None, assignments: list[str], **given: Any) -> RunSettings:
    """Return the settings of a TOML file, below those given by name, below ``key=value`` assignments."""
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"The settings file '{file}' cannot be read: {error}.") from error
    for key, value in given.items():
        if value is not None:
            assign(values, [])
            place = values
            *parents, last = key.split("__")
            for parent in parents:
                place = place.setdefault(parent, {})
            place[last] = value
    assign(values, assignments)
    if values.get("preset") == "paper":
        values = {**PAPER_OVERRIDES, **values}
    for stage, default in (("source", {"epochs": 12, "lr": 0.08}), ("adaptation", {"epochs": 4, "lr": 0.01, "schedule": "cosine"})):
        if isinstance(values.get(stage), dict):
            values[stage] = {**default, **values[stage]}
    settings = check(RunSettings, values)
    assert isinstance(settings, RunSettings)
    settings.method_settings()
    return settings


def for_pretrained(settings: RunSettings) -> RunSettings:
    """Return the settings with the gentler stages of a pre-trained trunk, where they still stand at their defaults."""
    default = RunSettings()
    changed: dict[str, Any] = {}
    for name, values in PRETRAINED_STAGES.items():
        stage: StageSettings = getattr(settings, name)
        plain: StageSettings = getattr(default, name)
        fresh = {key: value for key, value in values.items() if getattr(stage, key) == getattr(plain, key)}
        changed[name] = stage.model_copy(update=fresh)
    return settings.model_copy(update=changed)
