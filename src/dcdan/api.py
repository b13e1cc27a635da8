"""The package's two long jobs from Python: adapt to a target, and evaluate where labels exist."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from dcdan.core.errors import UsageError
from dcdan.core.locks import folder_lock
from dcdan.core.signals import interruptible
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
    progress: bool = True,
    command: str = "dcdan.adapt(...)",
    **values: Any,
) -> Recogniser:
    """Train on labelled source faces and unlabelled target faces, and return the recogniser that results.

    Args:
        source: a labelled pack, spec (``reader:path?option=value``) or folder with one sub-folder per expression.
        target: a pack, spec or plain folder of pictures. Its labels, where it has any, are never read.
        out: the run folder; one that holds the same run unfinished is resumed.
        settings: all settings of the run; or give single ones as ``values``, for example ``method="dann"``,
            ``size=64``, ``adaptation={"epochs": 5}``, or ``source__lr=0.05``, where two underscores lead into a table.
        start: a finished run whose source stage is taken over.
        progress: print a progress bar, a line an epoch and the expected duration on stderr.
        command: recorded in ``run.json``.

    Returns:
        The recogniser of the finished run, as :func:`dcdan.load` loads it.

    Raises:
        DcdanError: of a kind for each cause (``UsageError``, ``DataError``, ``PackError``, ``ModelError``,
            ``OutputError``, ``TrainingError``, ``Interrupted``), with one sentence.

    Example:
        >>> import dcdan
        >>> recogniser = dcdan.adapt("ferplus:/data/FERPlus", "photos/", "runs/mine", minutes=10)  # doctest: +SKIP
        >>> recogniser.recognise("photo.jpg")[0].expression  # doctest: +SKIP
        'happiness'
    """
    for name, given in (("source", source), ("target", target)):
        if isinstance(given, Mapping):
            raise UsageError(
                f"'{name}' of dcdan.adapt names the data, and here it holds settings: write {name}='...' for the data, "
                "and settings of the source stage as source__lr=0.05."
            )
    if settings is not None and values:
        raise UsageError(f"Give settings as a whole or one by one, not both (here: {', '.join(sorted(values))}).")
    chosen = settings or read_settings(None, [], **flat(values))
    folder = Path(out)
    quiet = not progress
    with (
        interruptible(folder),
        processes() as group,
        folder_lock(folder) if group.is_main_process else nullcontext(),
    ):
        start = resolve_model(start).folder if start else None
        train_run(str(source), str(target), folder, chosen, start, quiet, command, group=group)
        with group.main_process_first():
            return answered(folder, str(target), chosen, quiet) if group.is_main_process else load(folder)


def answered(run: Path, target: str, settings: RunSettings, quiet: bool) -> Recogniser:
    """Write what a trained run says of its target, and its report; return the recogniser."""
    pack = pack_for(target, settings.size, settings.align, labelled=False, progress=not quiet)
    recogniser = load(run)
    write_predictions(run, recogniser, pack)
    write_run_report(run, pack)
    return recogniser


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings with keys joined by two underscores.

    Raises:
        UsageError: when a setting is given twice.

    Example:
        >>> flat({"adaptation": {"lr": 1}, "seed": 2})
        {'adaptation__lr': 1, 'seed': 2}
    """
    out: dict[str, Any] = {}
    for key, value in values.items():
        found = flat(value, f"{prefix}{key}__") if isinstance(value, Mapping) else {prefix + key: value}
        if twice := sorted(out.keys() & found.keys()):
            dotted = twice[0].replace("__", ".")
            raise UsageError(
                f"The setting '{dotted}' is given twice, as {twice[0]}={out[twice[0]]!r} and as "
                f"{found[twice[0]]!r} in '{key}': give it once."
            )
        out |= found
    return out
