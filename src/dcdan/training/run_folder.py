"""The run folder: claimed before a run starts, rolled back on an error, and read afterwards."""

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
    """Read ``run.json`` of a finished run.

    Args:
        run: the run folder.

    Returns:
        Its contents.

    Raises:
        ModelError: when the file is missing, damaged or does not describe a run.
    """
    try:
        metadata = read_json(run / RUN_NAME)
    except (OSError, ValueError) as error:
        raise ModelError(f"'{run / RUN_NAME}' cannot be read ({error}): copy the run folder again.") from error
    if not isinstance(metadata, dict) or not isinstance(metadata.get("settings"), dict):
        raise ModelError(f"'{run / RUN_NAME}' does not describe a run of dcdan: copy the run folder again.")
    return metadata


def read_run_settings(run: Path) -> RunSettings:
    """Read the settings of a finished run.

    Args:
        run: the run folder.

    Returns:
        The validated settings.

    Raises:
        ModelError: when ``run.json`` cannot be read.
        UsageError: when its settings are damaged.
    """
    return check(RunSettings, read_run_metadata(run)["settings"])


def data_of(run: Path) -> dict[str, str]:
    """Return the data specs that ``config.toml`` of a run names.

    Args:
        run: the run folder.

    Returns:
        ``source``, ``target`` and ``start``; empty where there is no such file.

    Raises:
        ModelError: when the file is damaged.
    """
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
    """Create the run folder, or accept a folder that contains the same run.

    Partial files of a killed process are removed.

    Args:
        out: the folder.
        configs: texts of ``config.toml`` that belong to this run: the settings as given, and as a pretrained trunk
            changes them.

    Returns:
        Whether the folder contains the same run, already trained.

    Raises:
        OutputError: when the folder contains anything else, or the same run complete with its report.
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
    """Return whether a folder contains more than a lock and partial files.

    Args:
        out: the folder.

    Returns:
        True when something else is in it.
    """
    return any(path.name != LOCK and not is_partial(path) for path in out.iterdir())


def read_config(config: Path) -> dict[str, Any]:
    """Read a ``config.toml``.

    Args:
        config: the file.

    Returns:
        Its values.

    Raises:
        OSError: when the file cannot be read.
        UsageError: when it is not valid TOML.
    """
    try:
        return read_toml(config)
    except ValueError as error:
        raise UsageError(f"'{config}' cannot be read: {error}.") from error


def resolved_config(values: dict[str, Any], config: Path) -> dict[str, Any]:
    """Return all settings of a ``config.toml``, with defaults for those that it does not name.

    Files of earlier versions lack newer fields, so that only resolved settings can be compared.

    Args:
        values: the values of the file, changed in place.
        config: the file, for messages.

    Returns:
        JSON values, with the table ``data``.

    Raises:
        UsageError: when this version does not know all of the settings.
    """
    check_config_schema(values, config)
    data = {"source": "", "target": "", "start": "", **values.pop("data", {})}
    return {**check(RunSettings, values).whole(), "data": data}


@contextmanager
def rollback_on_error(out: Path, *made: str) -> Iterator[None]:
    """Remove a folder that was empty before the block when the block fails, so that it can be used again.

    Args:
        out: the folder.
        *made: names of what the block creates in it; nothing else is removed.

    Yields:
        Nothing.

    Raises:
        BaseException: whatever the block raises, unchanged.
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
