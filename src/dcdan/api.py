"""The package's two long jobs from Python: adapt to a target, and evaluate where labels exist.

Adapting without a source set needs the core install alone, so what trains is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from dcdan.core.errors import UsageError
from dcdan.core.locks import folder_lock
from dcdan.core.signals import interruptible
from dcdan.inference.recogniser import Recogniser, load
from dcdan.inference.resolver import resolve_model

if TYPE_CHECKING:
    from dcdan.adaptation.rungs import RungMaker
    from dcdan.training.settings import RunSettings

__all__ = ["adapt"]


def adapt(
    source: str | Path | Sequence[str | Path] | None = None,
    target: str | Path | None = None,
    out: str | Path | None = None,
    *,
    shares: str | Mapping[str, float] | None = None,
    groups: str = "auto",
    rungs: str = "",
    labels: str | Path | None = None,
    model: str | Path | None = None,
    settings: RunSettings | None = None,
    start: str | Path | None = None,
    progress: bool = True,
    command: str = "dcdan.adapt(...)",
    **values: Any,
) -> Recogniser:
    """Adapt a recogniser to unlabelled target faces, with or without labelled source faces, and return it.

    Without ``source`` the output of a finished model is corrected, which needs no torch; ``.verdict`` of the recogniser
    says whether that is used, and why. With it, a network is trained.

    Args:
        source: a labelled pack, spec (``reader:path?option=value``) or folder with one sub-folder per expression; None
            where there are no labelled faces. A list trains on several sets, each drawn equally often.
        target: a pack, spec or plain folder of pictures. Its labels, where it has any, are never read.
        out: the run folder; one that holds the same run unfinished is resumed. Without a source it may be left out:
            then nothing is kept on the disk.
        shares: without a source, the class shares that you know the target to have: ``balanced``, ``source``, or
            class -> share; classes that are not named divide what is left.
        groups: without a source, ``auto`` (sub-folders are persons or cameras), ``alike`` (and each shows the same mix
            of expressions) or ``none``.
        rungs: without a source, what is adapted, for example ``output,statistics,training``; the last two need torch,
            and only the output is adapted where nothing is given.
        labels: a ``labels.csv`` of the run in ``out`` that was filled in; then without ``target``.
        model: without a source, the model to start from; None for the package's.
        settings: all settings of the run; or give single ones as ``values``, for example ``method="dann"``,
            ``size=64``, ``adaptation={"epochs": 5}``, or ``source__lr=0.05``, where two underscores lead into a table.
            Without a source ``method="tent"`` runs a published method, whose values are those of
            :class:`dcdan.training.source_free.AdaptSettings` and ``options={...}``.
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
        >>> recogniser = dcdan.adapt(target="photos/", shares="balanced")  # doctest: +SKIP
        >>> recogniser.verdict.answer  # doctest: +SKIP
        <Answer.USE: 'use it'>
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
    if source is None and "method" in values:
        if target is None or out is None:
            raise UsageError("A method without a source needs target and out: adapt(target=..., out=..., method=...).")
        if labels is not None or groups != "auto" or settings is not None or start is not None:
            raise UsageError("groups, labels, settings and start have no meaning for a method without a source.")
        return _by_method(target, Path(out), model, shares, values, progress=progress, command=command)
    if source is None:
        minutes = values.pop("minutes", None)
        foreign = sorted({**values, **({"settings": 0} if settings else {}), **({"start": 0} if start else {})})
        if foreign:
            raise UsageError(f"'{foreign[0]}' needs a source: give labelled faces, or leave it out.")
        return _without_source(
            target, out, shares, groups, labels, model, rungs=rungs, minutes=minutes, progress=progress, command=command
        )
    if target is None or out is None:
        raise UsageError("With a source, give the target and the run folder too: adapt(source, target, out).")
    if shares is not None or labels is not None or model is not None or groups != "auto" or rungs:
        raise UsageError("shares, groups, rungs, labels and model are for adapting without a source: leave them out.")
    try:
        from dcdan.training.distributed import processes
        from dcdan.training.run import train_run
        from dcdan.training.settings import read_settings
    except ModuleNotFoundError as error:
        from dcdan.core.extras import missing_extra

        raise missing_extra(error) or error from error
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
        sources = [str(source)] if isinstance(source, str | Path) else [str(each) for each in source]
        train_run(
            sources if len(sources) > 1 else sources[0], str(target), folder, chosen, start, quiet, command, group=group
        )
        with group.main_process_first():
            return answered(folder, str(target), chosen, quiet) if group.is_main_process else load(folder)


def _by_method(
    target: str | Path,
    out: Path,
    model: str | Path | None,
    shares: str | Mapping[str, float] | None,
    values: dict[str, Any],
    *,
    progress: bool,
    command: str,
) -> Recogniser:
    """Run a published method that needs no source set."""
    try:
        from dcdan.export.source_free import adapt_by_method, parse_settings
        from dcdan.methods.source_free.base import find_source_free
    except ModuleNotFoundError as error:
        from dcdan.core.extras import missing_extra

        raise missing_extra(error) or error from error
    method = str(values["method"])
    loop, options = parse_settings(
        find_source_free(method), [], **{name: value for name, value in flat(values).items() if name != "method"}
    )
    adapt_by_method(
        target,
        out,
        method,
        model=model,
        settings=loop,
        options=options,
        shares=shares,
        progress=progress,
        command=command,
    )
    return load(out)


def _without_source(
    target: str | Path | None,
    out: str | Path | None,
    shares: str | Mapping[str, float] | None,
    groups: str,
    labels: str | Path | None,
    model: str | Path | None,
    *,
    rungs: str,
    minutes: float | None,
    progress: bool,
    command: str,
) -> Recogniser:
    from dcdan.adaptation.folder import OutputRun
    from dcdan.adaptation.groups import Grouping
    from dcdan.adaptation.job import adapt_to_faces, adapted, continue_with_labels
    from dcdan.core.errors import unknown
    from dcdan.reports.adaptation_report import write_adaptation_report

    if groups not in list(Grouping):
        raise unknown("grouping", groups, list(Grouping))
    if (target is None) == (labels is None):
        raise UsageError("Without a source, give target, or labels and out of a run that exists.")
    if labels is not None:
        if out is None:
            raise UsageError("labels belong to a run: give its folder as out.")
        continue_with_labels(Path(out), Path(labels), command=command)
        write_adaptation_report(Path(out))
        return adapted(Path(out))
    if isinstance(shares, Mapping):
        shares = ",".join(f"{name}={share}" for name, share in shares.items())
    asked = OutputRun(target=str(target), model=str(model or ""), shares=shares or "", groups=Grouping(groups))
    asked = asked.model_copy(update={"rungs": rungs})
    with nullcontext(str(out)) if out is not None else TemporaryDirectory(prefix="dcdan-") as folder:
        adapt_to_faces(
            asked,
            Path(folder),
            minutes=minutes,
            progress=progress,
            command=command,
            maker=rung_maker() if rungs else None,
        )
        if out is not None:
            write_adaptation_report(Path(folder))
        return adapted(Path(folder))


def rung_maker() -> RungMaker | None:
    """Return what makes the rungs that change the network; None where torch is not installed."""
    try:
        from dcdan.export.rungs import TorchRungs
    except ModuleNotFoundError as error:
        from dcdan.core.extras import missing_extra

        if missing_extra(error) is None:
            raise
        return None
    return TorchRungs()


def answered(run: Path, target: str, settings: RunSettings, quiet: bool) -> Recogniser:
    """Write what a trained run says of its target, and its report; return the recogniser."""
    from dcdan.packs.build import pack_for
    from dcdan.reports.run_report import write_predictions, write_run_report

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
