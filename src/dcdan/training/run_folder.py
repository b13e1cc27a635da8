"""The run folder: claimed at the start, rolled back on an error, and read afterwards.

What the files of a run folder say, whoever wrote them: `run.json`, and the data that `config.toml` names.

The run folder: claimed before anything is done, and left as it was found when nothing can be done.
"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dcdan.core.atomic_io import is_partial, sweep
from dcdan.core.errors import ModelError, OutputError, UsageError
from dcdan.core.limits import read_json, read_toml
from dcdan.core.locks import LOCK
from dcdan.training.settings import RunSettings, check, check_config_schema

RUN_NAME = "run.json"


def read_run_metadata(run: Path) -> dict[str, Any]:
    """Return what `run.json` of a finished run says; raise ModelError where there is none, or another file."""
    try:
        metadata = read_json(run / RUN_NAME)
    except (OSError, ValueError) as error:
        raise ModelError(f"'{run / RUN_NAME}' cannot be read ({error}): copy the run folder again.") from error
    if not isinstance(metadata, dict) or not isinstance(metadata.get("settings"), dict):
        raise ModelError(f"'{run / RUN_NAME}' does not describe a run of dcdan: copy the run folder again.")
    return metadata


def read_run_settings(run: Path) -> RunSettings:
    """Return the settings of a finished run; raises as `read_run_metadata`, and UsageError for damaged settings."""
    return check(RunSettings, read_run_metadata(run)["settings"])


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


def claim_folder(out: Path, *configs: str) -> bool:
    """Make the run's folder, or accept one that holds the same run; return whether that one has been trained already.

    What a killed process left half written is removed.

    Args:
        out: the folder.
        configs: texts of ``config.toml`` that belong to this run: the settings as given, and as a pretrained trunk
            completes them.

    Returns:
        Whether the folder holds the same run, trained.

    Raises:
        OutputError: when the folder holds anything else, or the same run complete with its report.
    """
    config = out / "config.toml"
    try:
        if out.exists() and (not out.is_dir() or holds_something(out)):
            same = config.is_file() and resolved_config(read_config(config), config) in [
                resolved_config(tomllib.loads(text), config) for text in configs
            ]
            if not same or (out / "report.html").exists():
                what = "this very run, finished" if same else "something else"
                raise OutputError(f"'{out}' exists and holds {what}; choose another --out or remove it.")
        out.mkdir(parents=True, exist_ok=True)
        sweep(out)
    except OSError as error:
        raise OutputError(f"The run folder '{out}' cannot be made: {error.strerror or error}.") from error
    return (out / "model.json").exists()


def holds_something(out: Path) -> bool:
    """Return whether a folder holds more than a lock and what a killed process left half written."""
    return any(path.name != LOCK and not is_partial(path) for path in out.iterdir())


def read_config(config: Path) -> dict[str, Any]:
    """Return what a ``config.toml`` holds; raise OSError, or UsageError when it is damaged."""
    try:
        return read_toml(config)
    except ValueError as error:
        raise UsageError(f"'{config}' cannot be read: {error}.") from error


def resolved_config(values: dict[str, Any], config: Path) -> dict[str, Any]:
    """Return all that a ``config.toml`` decides, with the defaults of what it does not name: fields come with versions.

    Raises UsageError when this version does not know all of it.
    """
    check_config_schema(values, config)
    data = {"source": "", "target": "", "start": "", **values.pop("data", {})}
    return {**check(RunSettings, values).whole(), "data": data}


@contextmanager
def rollback_on_error(out: Path, *made: str) -> Iterator[None]:
    """When the block fails and the folder ``out`` was empty before, remove it, so that it can be named again.

    Nothing but what the block makes, by the names ``made``, is removed from it.
    """
    fresh = not holds_something(out)
    try:
        yield
    except BaseException:
        if fresh:
            for path in (out / name for name in made):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
            with suppress(OSError):
                out.rmdir()
        raise
