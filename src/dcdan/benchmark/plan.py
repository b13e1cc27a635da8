"""What a benchmark trains: read from TOML, spread out into source stages and cells, each with a folder of its own."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dcdan.core.errors import UsageError
from dcdan.core.limits import read_toml
from dcdan.methods.base import find_method
from dcdan.training.pretrained import check_pretrained
from dcdan.training.settings import RunSettings, check, check_config_schema

_CAUSES = {"network", "source", "augment", "size", "seed", "pretrained", "precision", "align"}

MOST_CELLS = 10_000
# Of a name that becomes a part of a folder's.
_LONGEST = 60


class PlanModel(BaseModel):
    """Base of the tables in a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PlanDomain(PlanModel):
    """A source, or a target with what it is scored on."""

    name: str = Field(max_length=_LONGEST)
    data: str
    """The spec that training sees; of a target, its training split without labels."""
    test: str = ""
    """The spec that is scored; the same as ``data`` when empty. Its labels are read for the score alone."""
    split: str = ""
    """The split that is scored: ``test`` where there is one, else all images."""

    @property
    def scored(self) -> str:
        """The spec that is scored."""
        return self.test or self.data


class PlanEntry(PlanModel):
    """A row of the tables."""

    key: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=_LONGEST)
    name: str
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the run, above the plan's own."""
    targets: tuple[str, ...] = ()
    """Names of the targets that the row is run on; all of them when empty."""


class Plan(PlanModel):
    """A whole benchmark."""

    title: str
    caption: str = ""
    commands: tuple[str, ...] = ()
    """What to type before, to have the packs."""
    sources: tuple[PlanDomain, ...] = Field(min_length=1)
    targets: tuple[PlanDomain, ...] = Field(min_length=1)
    also: tuple[PlanDomain, ...] = ()
    """Further tests of every model, such as the source's own test split."""
    trunks: tuple[str, ...] = ("mobilenetv2_100",)
    seeds: tuple[int, ...] = (0, 1, 2)
    settings: dict[str, Any] = Field(default_factory=dict)
    methods: tuple[PlanEntry, ...] = Field(min_length=1)
    ablations: tuple[PlanEntry, ...] = ()
    """Rows of a table of their own, each against the reference."""
    reference: str = ""
    """Key of the row that the others are tested against; the last method when empty."""

    @model_validator(mode="after")
    def _sound(self) -> Plan:
        keys = [entry.key for entry in (*self.methods, *self.ablations)]
        names = [domain.name for domain in self.sources], [domain.name for domain in (*self.targets, *self.also)]
        cells = len(keys) * math.prod(map(len, (self.sources, self.targets, self.trunks, self.seeds)))
        if cells > MOST_CELLS:
            raise ValueError(f"the plan has up to {cells} cells, and at most {MOST_CELLS} are trained")
        for what, found in (("key", keys), ("source", names[0]), ("target or test", names[1])):
            twice = {name for name, count in Counter(found).items() if count > 1}
            if twice:
                raise ValueError(f"the {what} '{min(twice)}' stands twice")
        for entry in (*self.methods, *self.ablations):
            unknown = set(entry.targets) - {domain.name for domain in self.targets}
            if unknown:
                raise ValueError(f"the row '{entry.key}' names a target '{min(unknown)}' that the plan does not have")
        if self.reference and self.reference not in keys:
            raise ValueError(f"the reference '{self.reference}' is no key of a row")
        return self

    @property
    def against(self) -> str:
        """Key of the reference row."""
        return self.reference or self.methods[-1].key


@dataclass(frozen=True)
class PlanStage:
    """A source stage, shared by all cells whose settings lead to the same one."""

    folder: str
    source: PlanDomain
    target: PlanDomain
    """One of the targets with these classes; nothing of it but the names of its classes is used."""
    settings: RunSettings


@dataclass(frozen=True)
class Cell:
    """One method on one pair of data sets with one trunk and one seed."""

    folder: str
    source: PlanDomain
    target: PlanDomain
    trunk: str
    entry: PlanEntry
    seed: int
    settings: RunSettings
    stage: PlanStage

    @property
    def digest(self) -> str:
        """A checksum of what decides the cell's figures: settings that differ from their defaults, options of the data.

        Where the data lie is no part of it: a benchmark may go on where the folders are others.
        """
        causes = self.settings.model_dump(mode="json", exclude_defaults=True, exclude={"device", "options"})
        causes["revision"] = find_method(self.settings.method).revision
        causes["options"] = self.settings.method_settings().model_dump(mode="json", exclude_defaults=True)
        specs = (self.source.data, self.target.data, self.target.scored)
        causes["data"] = [*(spec.partition("?")[2] for spec in specs), self.target.split]
        return digest_of(causes)

    @property
    def title(self) -> str:
        """The cell in a few words."""
        return f"{self.source.name} to {self.target.name}, {self.entry.name}, seed {self.seed}"


def read_plan(file: Path) -> Plan:
    """Read a plan; ``$NAME`` in it stands for a variable of the environment. Raises UsageError."""
    try:
        values = read_toml(file, expand=True)
    except (OSError, ValueError) as error:
        raise UsageError(f"The plan '{file}' cannot be read: {error}.") from error
    check_config_schema(values, file)
    plan = check(Plan, values)
    for _ in cells_of(plan, {}):
        pass
    return plan


def cells_of(plan: Plan, classes: dict[str, tuple[str, ...]]) -> Iterator[Cell]:
    """Yield every cell, those that share a source stage close together.

    ``classes``: names of the classes of each target's data, which a source stage depends on; targets without an entry
    count as of the same classes. Raises UsageError for settings that are none.
    """
    for source in plan.sources:
        for trunk in plan.trunks:
            for seed in plan.seeds:
                for target in plan.targets:
                    for entry in (*plan.methods, *plan.ablations):
                        if entry.targets and target.name not in entry.targets:
                            continue
                        settings = settings_of(plan, entry, trunk, seed)
                        name = "-".join(map(slug, (source.name, target.name, trunk, entry.key, str(seed))))
                        stage = stage_of(source, target, settings, classes.get(target.data, ()))
                        yield Cell(name, source, target, trunk, entry, seed, settings, stage)


def settings_of(plan: Plan, entry: PlanEntry, trunk: str, seed: int) -> RunSettings:
    """Return the settings of a row's run."""
    values = merged(merged(plan.settings, {"network": {"trunk": trunk}}), entry.settings)
    settings = check(RunSettings, {**values, "seed": seed}, f"{entry.key}: ")
    settings.method_settings()
    check_pretrained(settings.pretrained)
    return settings


def stage_of(source: PlanDomain, target: PlanDomain, settings: RunSettings, classes: tuple[str, ...]) -> PlanStage:
    """Return the source stage that a run starts from, under a name that all its causes decide.

    Of the settings those count that differ from their defaults, so that the name stays when a field comes.
    """
    causes = settings.model_dump(mode="json", include=_CAUSES, exclude_defaults=True)
    causes["data"] = source.data
    causes["classes"] = list(classes)
    method = find_method(settings.method)
    own = settings.method_settings()
    if method.owns_source_stage:
        causes["method"] = [settings.method, own.model_dump(mode="json", exclude_defaults=True)]
    else:
        settings = settings.model_copy(
            update={
                "method": "source_only",
                "preset": "default",
                "options": {"classification": own.classification.model_dump(mode="json")},
            }
        )
        causes["classification"] = own.classification.model_dump(mode="json", exclude_defaults=True)
    name = f"source-{slug(source.name)}-{settings.seed}-{digest_of(causes)}"
    return PlanStage(name, source, target, settings)


def digest_of(causes: dict[str, Any]) -> str:
    """Return ten hexadecimal digits that change with any of the JSON-able ``causes``."""
    return hashlib.sha256(json.dumps(causes, sort_keys=True).encode()).hexdigest()[:10]


def merged(common: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return nested settings, the second above the first."""
    out = dict(common)
    for key, value in own.items():
        held = out.get(key)
        out[key] = merged(held, value) if isinstance(value, dict) and isinstance(held, dict) else value
    return out


def slug(name: str) -> str:
    """Return a name as part of a folder's.

    >>> slug("LFW expressions (test)")
    'lfw-expressions-test'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "x"
