"""The run folder: claimed before anything is done, and left as it was found when nothing can be done."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dcdan.errors import OutputError


def claim_folder(out: Path, config_text: str) -> bool:
    """Make the run's folder, or accept one that holds the same run; return whether that one has been trained already.

    Raises OutputError when the folder holds anything else, or the same run complete with its report.
    """
    config = out / "config.toml"
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            same = config.is_file() and config.read_text(encoding="utf-8") == config_text
            if not same or (out / "report.html").exists():
                what = "this very run, finished" if same else "something else"
                raise OutputError(f"'{out}' exists and holds {what}; choose another --out or remove it.")
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The run folder '{out}' cannot be made: {error.strerror or error}.") from error
    return (out / "model.json").exists()


@contextmanager
def left_as_found(out: Path, *made: str) -> Iterator[None]:
    """When the block fails and the folder ``out`` was empty before, remove it, so that it can be named again.

    Nothing but what the block makes, by the names ``made``, is removed from it.
    """
    fresh = not any(out.iterdir())
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


@contextmanager
def untouched(out: Path, *made: str) -> Iterator[None]:  # noqa: ARG001
    """Do nothing: the folder is another process's to tidy."""
    yield
