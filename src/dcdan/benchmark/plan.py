"""The plan of a benchmark: a TOML file, expanded into source stages and cells with a folder each."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dcdan.benchmark.revision import PlanContext, start_weights
from dcdan.core.errors import UsageError
from dcdan.core.limits import read_toml
from dcdan.expressions import common_classes
from dcdan.methods.base import find_method
from dcdan.training.pretrained import check_pretrained
from dcdan.training.settings import RunSettings, check, check_config_schema

_CAUSES = {"network", "source", "augment", "size", "seed", "pretrained", "precision", "align"}
_CAUSES |= {"fuse_activation", "on_trouble", "minutes"}
"""Settings that decide a source stage of any method."""

MOST_CELLS = 10_000
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
# Of a name that becomes a part of a folder's.
_LONGEST = 60


class PlanModel(BaseModel):
    """Base of the tables of a plan: frozen, and unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PlanDomain(PlanModel):
    """A data set as source, target or test set."""

    name: str = Field(max_length=_LONGEST)
    data: str
    """The spec that training sees; of a target, its training split without labels."""
    test: str = ""
    """The spec that is scored; the same as ``data`` when empty. Its labels are read for the score alone."""
    split: str = ""
    """The split that is scored: ``test`` where there is one, else all images."""
    faces: int = Field(0, ge=0)
    """Training faces as published, from which the time is estimated where the data are not there."""
    targets: tuple[str, ...] = ()
    """Of a source: names of the targets that are adapted to from it; all of them when empty."""

    @property
    def unset(self) -> tuple[str, ...]:
        """Names of the variables in the specs that neither the environment nor ``--roots`` gives a value."""
        found = [a or b for a, b in _VARIABLE.findall(f"{self.data} {self.test}")]
        return tuple(dict.fromkeys(found))

    @property
    def scored(self) -> str:
        """The spec of the test set."""
        return self.test or self.data

    def is_transductive(self, split: str) -> bool:
        """Return whether the scored images are among those of the adaptation (protocol, rule 3).

        Args:
            split: the split that was scored, as its report states it; ``all`` for every image.

        Example:
            >>> jaffe = PlanDomain(name="JAFFE", data="packs/jaffe")
            >>> jaffe.is_transductive("all"), jaffe.is_transductive("test")
            (True, False)
        """
        same = self.scored.rpartition("?")[0] or self.scored, self.data.rpartition("?")[0] or self.data
        return same[0] == same[1] and split in ("all", "train")


class PlanSource(PlanDomain):
    """A labelled data set with the targets that are adapted to from it."""

    targets: tuple[str, ...] = ()
    """Names of the targets of this source; all of them when empty. A target of the source's own name or data is left
    out in any case: nothing would be adapted."""


class PlanEntry(PlanModel):
    """A row of the tables: a method or an ablation with its settings."""

    key: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=_LONGEST)
    name: str
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the run, above the plan's own."""
    targets: tuple[str, ...] = ()
    """Names of the targets that the row is run on; all of them when empty."""


class Plan(PlanModel):
    """The plan of a benchmark: methods x sources x targets x trunks x seeds."""

    title: str
    caption: str = ""
    commands: tuple[str, ...] = ()
    """What to type before, to have the packs."""
    sources: tuple[PlanSource, ...] = Field(min_length=1)
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
        for source in self.sources:
            unknown = set(source.targets) - set(names[1])
            if unknown:
                raise ValueError(f"the source '{source.name}' names a target '{min(unknown)}' that is not there")
            if not self.targets_of(source):
                raise ValueError(f"the source '{source.name}' has no target beside itself")
        printed: dict[str, str] = {}
        for entry in (*self.methods, *self.ablations):
            if printed.setdefault(entry.name, entry.key) != entry.key:
                raise ValueError(f"the rows '{printed[entry.name]}' and '{entry.key}' have the same name")
        if self.reference and self.reference not in keys:
            raise ValueError(f"the reference '{self.reference}' is no key of a row")
        return self

    def targets_of(self, source: PlanDomain) -> tuple[PlanDomain, ...]:
        """Return the targets of a source, in the order of the plan.

        A target of the name or data of the source is left out.

        Args:
            source: one of the sources.
        """
        named = getattr(source, "targets", ())
        return tuple(
            target
            for target in self.targets
            if (target.name in named or not named) and target.name != source.name and target.data != source.data
        )

    @property
    def against(self) -> str:
        """Key of the reference row."""
        return self.reference or self.methods[-1].key


@dataclass(frozen=True)
class PlanStage:
    """A source stage. All cells with the same source data and source settings share it.

    Attributes:
        folder: its folder in that of the benchmark; the name holds a checksum of everything that decides the stage.
        source: the labelled data.
        target: one of the targets with these classes. Only the names of its classes are used.
        settings: settings of the training.
    """

    folder: str
    source: PlanDomain
    target: PlanDomain
    settings: RunSettings


@dataclass(frozen=True)
class Cell:
    """One method on one pair of data sets with one trunk and one seed.

    Attributes:
        folder: its folder in that of the benchmark.
        source: the labelled data.
        target: the data of the adaptation and of the test.
        trunk: name of the trunk.
        entry: the row of the tables.
        seed: seed of the training.
        settings: settings of the training.
        stage: the source stage that the training starts from.
        context: data and code of the training.
    """

    folder: str
    source: PlanDomain
    target: PlanDomain
    trunk: str
    entry: PlanEntry
    seed: int
    settings: RunSettings
    stage: PlanStage
    context: PlanContext

    @property
    def digest(self) -> str:
        """A checksum of everything that decides the figures of the cell, except the code (see ``context.code``).

        It covers the settings that differ from their defaults, the revision of the method, options, splits and
        checksums of the data, and the checksum of the weights that the trunk starts from. Paths are not part of it,
        so that a benchmark can continue where folders have other names.
        """
        causes = _changed(self.settings.model_dump(mode="json", exclude_defaults=True, exclude={"device", "options"}))
        causes["revision"] = find_method(self.settings.method).revision
        causes["options"] = self.settings.method_settings().model_dump(mode="json", exclude_defaults=True)
        specs = (self.source.data, self.target.data, self.target.scored)
        causes["data"] = [*(spec.partition("?")[2] for spec in specs), self.target.split]
        if checksums := [self.context.checksums.get(spec, "") for spec in specs if self.context.checksums]:
            causes["checksums"] = checksums
        if weights := start_weights(self.settings):
            causes["weights"] = weights
        return digest_of(causes)

    @property
    def title(self) -> str:
        """A short description of the cell."""
        return f"{self.source.name} to {self.target.name}, {self.entry.name}, seed {self.seed}"


def read_plan(file: Path, roots: Path | None = None) -> Plan:
    """Read a plan from a TOML file.

    ``$NAME`` in a text of it is replaced by the folder that ``roots`` gives this name, else by the variable of the
    environment. A variable without a value stays; the data that need it count as missing.

    Args:
        file: the file.
        roots: a TOML file of ``NAME = "folder"``; relative folders are relative to it. None for none.

    Returns:
        The plan, with the settings of all its cells checked.

    Raises:
        UsageError: when a file cannot be read, or something in it is not valid.
    """
    try:
        values = read_toml(file)
    except (OSError, ValueError) as error:
        raise UsageError(f"The plan '{file}' cannot be read: {error}.") from error
    variables = {**os.environ, **(read_roots(roots) if roots else {})}
    values = {name: expanded(value, variables) for name, value in values.items()}
    check_config_schema(values, file)
    plan = check(Plan, values)
    for _ in cells_of(plan):
        pass
    return plan


def read_roots(file: Path) -> dict[str, str]:
    """Read where data sets are on this machine.

    Args:
        file: a TOML file of ``NAME = "folder"``.

    Returns:
        Name -> folder, ``~`` and relative folders resolved.

    Raises:
        UsageError: when it cannot be read, or a value is no text.
    """
    try:
        values = read_toml(file)
    except (OSError, ValueError) as error:
        raise UsageError(f"The roots '{file}' cannot be read: {error}.") from error
    for name, value in values.items():
        if not isinstance(value, str) or not value:
            raise UsageError(f"'{name}' in '{file}' is no folder: write {name} = \"/path/to/the/data\".")
    return {name: str(file.absolute().parent / Path(value).expanduser()) for name, value in values.items()}


def expanded(value: Any, variables: Mapping[str, str]) -> Any:
    """Replace ``$NAME`` and ``${NAME}`` in every text of a value.

    Args:
        value: a TOML value.
        variables: name -> value; a name that is not in it is left as it stands.

    Returns:
        The value with the texts replaced.

    Example:
        >>> expanded({"data": ["rafdb:$RAFDB", "$OTHER", 3]}, {"RAFDB": "/data/RAF"})
        {'data': ['rafdb:/data/RAF', '$OTHER', 3]}
    """
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: variables.get(found[1] or found[2], found[0]), value)
    if isinstance(value, dict):
        return {name: expanded(each, variables) for name, each in value.items()}
    return [expanded(each, variables) for each in value] if isinstance(value, list) else value


def available_plan(plan: Plan, missing: Mapping[str, str]) -> Plan | None:
    """Return the part of a plan whose data are there.

    Args:
        plan: the plan.
        missing: spec of data that are not there -> the reason.

    Returns:
        The plan without the sources, targets, tests and rows that need them; None when no pair is left.
    """
    if not missing:
        return plan
    here = [domain for domain in (*plan.targets, *plan.also) if not {domain.data, domain.scored} & set(missing)]
    targets = tuple(domain for domain in plan.targets if domain in here)
    names = {domain.name for domain in targets}

    def kept(rows: tuple[PlanEntry, ...]) -> tuple[PlanEntry, ...]:
        chosen = ((row, tuple(name for name in row.targets if name in names)) for row in rows)
        return tuple(row.model_copy(update={"targets": own}) for row, own in chosen if own or not row.targets)

    sources = []
    for source in plan.sources:
        own = tuple(target.name for target in plan.targets_of(source) if target.name in names)
        if own and source.data not in missing:
            sources.append(source.model_copy(update={"targets": own}))
    methods, ablations = kept(plan.methods), kept(plan.ablations)
    if not sources or not methods:
        return None
    also = tuple(domain for domain in plan.also if domain in here)
    keys = {row.key for row in (*methods, *ablations)}
    reference = plan.reference if plan.reference in keys else ""
    update = {"sources": tuple(sources), "targets": targets, "also": also, "methods": methods}
    return plan.model_copy(update={**update, "ablations": ablations, "reference": reference})


def cells_of(plan: Plan, context: PlanContext | None = None) -> Iterator[Cell]:
    """Yield every cell of a plan. Cells that share a source stage follow closely on each other.

    Args:
        plan: the plan.
        context: data and code of the training; None where only names and settings matter.

    Yields:
        The cells.

    Raises:
        UsageError: when a setting is not valid.
    """
    context = context or PlanContext()
    for source in plan.sources:
        for trunk in plan.trunks:
            for seed in plan.seeds:
                for target in plan.targets_of(source):
                    for entry in (*plan.methods, *plan.ablations):
                        if entry.targets and target.name not in entry.targets:
                            continue
                        settings = settings_of(plan, entry, trunk, seed)
                        name = "-".join(map(slug, (source.name, target.name, trunk, entry.key, str(seed))))
                        stage = stage_of(source, target, settings, context)
                        yield Cell(name, source, target, trunk, entry, seed, settings, stage, context)


def settings_of(plan: Plan, entry: PlanEntry, trunk: str, seed: int) -> RunSettings:
    """Return the settings of the run of a row.

    A precision of ``auto`` becomes fp32. Chosen by a timing, as in a single run, it could differ between two cells of a
    table.

    Args:
        plan: the plan, with the settings of all rows.
        entry: the row, whose settings have priority.
        trunk: name of the trunk.
        seed: seed of the run.

    Raises:
        UsageError: when a setting is not valid.
    """
    values = merged(merged(plan.settings, {"network": {"trunk": trunk}}), entry.settings)
    if values.get("precision", "auto") == "auto":
        values["precision"] = "fp32"
    settings = check(RunSettings, {**values, "seed": seed}, f"{entry.key}: ")
    settings.method_settings()
    check_pretrained(settings.pretrained, settings.network.init)
    return settings.model_copy(update={"precision": "fp32"}) if settings.precision == "auto" else settings


def stage_of(source: PlanDomain, target: PlanDomain, settings: RunSettings, context: PlanContext) -> PlanStage:
    """Return the source stage that a run starts from.

    Its name holds a checksum of everything that decides it: the settings that differ from their defaults, so that the
    name stays the same when a setting is added, the source data, and the classes that source and target share.

    Args:
        source: the labelled data.
        target: the data of the adaptation.
        settings: settings of the run.
        context: data and code of the training.
    """
    causes = _changed(settings.model_dump(mode="json", include=_CAUSES, exclude_defaults=True))
    causes["data"] = source.data
    classes, own_classes = (context.classes.get(domain.data, ()) for domain in (target, source))
    causes["classes"] = list(common_classes(own_classes, classes) if own_classes and classes else classes)
    if context.checksums.get(source.data):
        causes["checksum"] = context.checksums[source.data]
    if context.code:
        causes["code"] = context.code
    if weights := start_weights(settings):
        causes["weights"] = weights
    method = find_method(settings.method)
    own = settings.method_settings()
    if method.owns_source_stage:
        causes["method"] = [settings.method, own.model_dump(mode="json", exclude_defaults=True)]
        if method.uses_teacher:
            causes |= settings.model_dump(mode="json", include={"teacher"}, exclude_defaults=True)
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


def _changed(causes: dict[str, Any]) -> dict[str, Any]:
    """Leave out the precision where it is fp32, the default of a benchmark."""
    return {name: value for name, value in causes.items() if (name, value) != ("precision", "fp32")}


def digest_of(causes: dict[str, Any]) -> str:
    """Return ten hexadecimal digits of a SHA-256.

    Args:
        causes: values that JSON can hold; their order does not matter.

    Example:
        >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(causes, sort_keys=True).encode()).hexdigest()[:10]


def merged(common: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return nested settings merged.

    Args:
        common: settings.
        own: settings that have priority.

    Example:
        >>> merged({"source": {"lr": 0.1, "epochs": 3}}, {"source": {"lr": 0.2}})
        {'source': {'lr': 0.2, 'epochs': 3}}
    """
    out = dict(common)
    for key, value in own.items():
        below = out.get(key)
        out[key] = merged(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return out


def slug(name: str) -> str:
    """Return a name in lower-case letters, digits and hyphens, as a part of a file name.

    Args:
        name: the name.

    Example:
        >>> slug("LFW expressions (test)")
        'lfw-expressions-test'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "x"
