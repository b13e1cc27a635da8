"""The package's two long jobs from Python: adapt to a target, and evaluate where labels exist."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from dcdan.core.errors import UsageError
from dcdan.core.locks import folder_lock
from dcdan.evaluation.evaluate import evaluate
from dcdan.inference.recogniser import Recogniser, load
from dcdan.inference.resolver import resolve_model
from dcdan.packs.build import pack_for
from dcdan.reports.run_report import write_predictions, write_run_report
from dcdan.training.distributed import processes
from dcdan.training.run import train_run
from dcdan.training.settings import RunSettings, read_settings

__all__ = ["adapt", "evaluate"]


def adapt(
    source: str | Path,
    target: str | Path,
    out: str | Path,
    *,
    settings: RunSettings | None = None,
    start: str | Path | None = None,
    quiet: bool = True,
    command: str = "dcdan.adapt(...)",
    **values: Any,
) -> Recogniser:
    """Learn from labelled source faces and unlabelled target faces; return the recogniser that comes of it.

    Args:
        source: a labelled pack, spec (``reader:path?option=value``) or folder with one sub-folder per expression.
        target: a pack, spec or plain folder of pictures. Its labels, where it has any, are never read.
        out: the run folder; one that holds the same run unfinished is resumed.
        settings: all settings of the run; or give single ones as ``values``, for example ``method="dann"``,
            ``size=64``, ``adaptation={"epochs": 5}``, or ``source__lr=0.05``, where two underscores lead into a table.
        start: a finished run whose source stage is taken over.
        quiet: no progress on stderr.

    Raises:
        UsageError, DataError, PackError, ModelError, OutputError, TrainingError: each with one sentence.
    """
    if settings is not None and values:
        raise UsageError(f"Give settings as a whole or one by one, not both (here: {', '.join(sorted(values))}).")
    chosen = settings or read_settings(None, [], **flat(values))
    folder = Path(out)
    with processes() as group, folder_lock(folder) if group.is_main_process else nullcontext():
        start = resolve_model(start).folder if start else None
        train_run(str(source), str(target), folder, chosen, start, quiet, command, group=group)
        with group.leader_first():
            return answered(folder, str(target), chosen, quiet) if group.is_main_process else load(folder)


def answered(run: Path, target: str, settings: RunSettings, quiet: bool) -> Recogniser:
    """Write what a trained run says of its target, and its report; return the recogniser."""
    pack = pack_for(target, settings.size, settings.align, labelled=False, progress=not quiet)
    recogniser = load(run)
    write_predictions(run, recogniser, pack)
    write_run_report(run, pack)
    return recogniser


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings, keys joined by two underscores: ``{"source": {"lr": 1}}`` -> ``{"source__lr": 1}``."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            out |= flat(value, f"{prefix}{key}__")
        else:
            out[prefix + key] = value
    return out
