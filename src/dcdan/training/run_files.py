"""What the files of a run folder say, whoever wrote them: `run.json`, and the data that `config.toml` names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dcdan.bounded import read_json, read_toml
from dcdan.errors import ModelError
from dcdan.training.settings import RunSettings, check

RUN_NAME = "run.json"


def read_facts(run: Path) -> dict[str, Any]:
    """Return what `run.json` of a finished run says; raise ModelError where there is none, or another file."""
    try:
        facts = read_json(run / RUN_NAME)
    except (OSError, ValueError) as error:
        raise ModelError(f"'{run / RUN_NAME}' cannot be read ({error}): copy the run folder again.") from error
    if not isinstance(facts, dict) or not isinstance(facts.get("settings"), dict):
        raise ModelError(f"'{run / RUN_NAME}' does not describe a run of dcdan: copy the run folder again.")
    return facts


def read_run_settings(run: Path) -> RunSettings:
    """Return the settings of a finished run; raises as `read_facts`, and UsageError for settings that are none."""
    return check(RunSettings, read_facts(run)["settings"])


def data_of(run: Path) -> dict[str, str]:
    """Return what `config.toml` says of a run's data: source, target, start; {} where there is no such file."""
    config = run / "config.toml"
    if not config.is_file():
        return {}
    try:
        data = read_toml(config).get("data", {})
    except (OSError, ValueError) as error:
        raise ModelError(f"'{config}' cannot be read ({error}): copy the run folder again.") from error
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise ModelError(f"'{config}' names no data: copy the run folder again.")
    return data
