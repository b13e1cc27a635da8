"""The whole of `dcdan adapt` without a source set: from a folder of faces, or from labels, to a verdict."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from dcdan.adaptation.ask import ask
from dcdan.adaptation.decision import FEWEST, Decision, candidates, decide_without_labels
from dcdan.adaptation.extraction import (
    ANSWERS,
    FACES,
    Answers,
    extract_answers,
    nothing_found,
    open_faces,
    pictures,
    read_answers,
)
from dcdan.adaptation.folder import (
    OutputRun,
    check_free,
    read_run,
    verdict_of,
    write_model,
    write_predictions,
    write_run,
)
from dcdan.adaptation.groups import Grouping, GroupOf, group_finder
from dcdan.adaptation.labelling import accuracies_json, decide_with_labels
from dcdan.adaptation.rungs import ANSWERS as RUNG_ANSWERS
from dcdan.adaptation.rungs import (
    FOLDER,
    NETWORK_RUNGS,
    Rung,
    RungMaker,
    RungTask,
    decide_with_networks,
    is_finished,
    make_rung,
    network_candidates,
    parse_rungs,
    unavailable,
)
from dcdan.adaptation.sheet import (
    COUNT,
    LABEL,
    SHEET,
    add_labels,
    given_labels,
    labelled,
    read_sample,
    read_table,
    write_sample,
    write_sheet,
    write_table,
)
from dcdan.core.console import progress_bar
from dcdan.core.errors import DataError, OutputError, UsageError
from dcdan.core.locks import folder_lock
from dcdan.core.signals import interruptible
from dcdan.correction.arrays import checked_shares
from dcdan.correction.fitted_rule import Considered
from dcdan.correction.labels import UNANSWERED
from dcdan.correction.output import OutputCorrection
from dcdan.correction.shares import parse_shares
from dcdan.correction.verdict import Verdict
from dcdan.images.inputs import Input, find_inputs
from dcdan.inference.recogniser import Recogniser, load
from dcdan.inference.resolver import resolve_model
from dcdan.packs.data_inputs import data_inputs, framing

TIMED = 4
"""Pictures that are recognised to say how long all will take."""

EXTRACTION_PART = 0.6
"""Part of --minutes after which no more pictures are looked at where the network is changed too."""

Say = Callable[[str], None]
Asker = tuple[Callable[[str], str], Say]
Advanced = Callable[[int, int], None]


@dataclass(frozen=True)
class Outcome:
    """What an adaptation has come to.

    Attributes:
        verdict: the verdict.
        lines: what a person should read, a line each.
        labelled: number of labelled faces.
        left_out: what was not looked at, in a sentence; empty for nothing.
    """

    verdict: Verdict
    lines: list[str] = field(default_factory=list)
    labelled: int = 0
    left_out: str = ""


@dataclass(frozen=True)
class _Work:
    """A run that is opened: its settings, its start model, and where its faces come from."""

    settings: OutputRun
    start: Path
    recogniser: Recogniser

    def inputs(self) -> Iterator[Input]:
        return pictures(iter(find_inputs([self.settings.target], resolvers=[data_inputs], limit=self.settings.limit)))

    def group_of(self) -> GroupOf:
        return group_finder(self.settings.target, self.settings.groups)

    @property
    def rungs(self) -> tuple[Rung, ...]:
        return parse_rungs(self.settings.rungs)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.recogniser.classes


def adapt_to_faces(
    settings: OutputRun,
    out: Path,
    *,
    count: int = COUNT,
    minutes: float | None = None,
    threads: int | None = None,
    force: bool = False,
    progress: bool = False,
    command: str = "dcdan.adapt(...)",
    say: Say = lambda _: None,
    maker: RungMaker | None = None,
    advanced: Advanced | None = None,
) -> Outcome:
    """Adapt the output of a model to the faces of a target, without labels or with those that were given before.

    Args:
        settings: what is asked.
        out: the run folder; the same call goes on with one that was stopped.
        count: how many faces are drawn to be labelled.
        minutes: look at no more pictures and make no more steps of training after so long; None for all.
        threads: of ONNX Runtime and OpenCV.
        force: replace another run.
        progress: show a bar on stderr when that is a terminal.
        command: recorded in ``run.json``.
        say: told a line before the work starts.
        maker: makes the rungs that change the network; None where torch is not installed.
        advanced: told the number of pictures that are done now, and of all.

    Raises:
        DataError: when there is no face.
        UsageError: when shares or other settings are impossible.
        OutputError: when the folder holds something else or cannot be written.
        Interrupted: by Ctrl-C or SIGTERM; the same call goes on.
    """
    begun = time.monotonic()
    work = _open(settings, threads)
    shares = _shares(work)
    missing = unavailable(work.recogniser.info, work.rungs, maker)
    rungs = [rung for rung in work.rungs if rung in NETWORK_RUNGS and rung not in missing]
    for why in dict.fromkeys(missing.values()):
        say(why)
    with interruptible(out), folder_lock(out):
        check_free(out, settings, force=force)
        mark, total, groups = _look(work)
        state = _state(work, mark, minutes)
        more_seconds = {
            rung: maker.seconds(work.start, rung, total)
            for rung in rungs
            if maker is not None and not _rungs_made(out, rungs, shares)
        }
        seconds = _extract(
            work, out, state, total, groups, minutes, progress, say, count=count, force=force, rungs=more_seconds,
            keep=bool(rungs), made=_rungs_made(out, rungs, shares), advanced=advanced,
        )  # fmt: skip
        answers = read_answers(out / ANSWERS, work.classes)
        if len(answers) == 0:
            (out / ANSWERS).unlink()
            raise nothing_found(answers)
        sample = write_sample(out, answers, work.classes, _count(out, count))
        if not (out / LABEL / SHEET).is_file() or seconds is not None:
            write_sheet(out, work.recogniser, work.inputs, answers, sample)
        more = {"pictures": total, "groups": groups, "state": state, "extraction_seconds": seconds}
        outcome = _conclude(work, out, answers, shares, command, time.monotonic() - begun, more)
        if maker is not None and not _rungs_made(out, rungs, shares):
            ends = None if minutes is None else begun + 60 * minutes
            _make_rungs(work, out, answers, shares, rungs, maker, ends, progress, threads, say)
            outcome = _conclude(work, out, answers, shares, command, time.monotonic() - begun, more)
    looked = len(set(answers.inputs.tolist())) + len(answers.without)
    left = f"{total - looked} pictures were left out, as --minutes was over." if looked < total else ""
    return replace(outcome, left_out=left)


def continue_with_labels(
    out: Path,
    table: Path | None = None,
    asker: Asker | None = None,
    *,
    count: int | None = None,
    threads: int | None = None,
    command: str = "dcdan.adapt(...)",
) -> Outcome:
    """Go on with a run: labels of a table are added to those given before, and the verdict is made anew.

    Args:
        out: the run folder.
        table: a ``labels.csv`` that was filled in; None for the labels that are there.
        asker: asks a person one by one and shows lines to them; None asks nobody.
        count: draw so many faces to be labelled, those drawn before among them; None to leave the sheet as it is.
        threads: of ONNX Runtime and OpenCV.
        command: recorded in ``run.json``.

    Raises:
        UsageError: when the folder holds no finished run.
        DataError: when the table or the run's files are damaged, or name other faces.
    """
    begun = time.monotonic()
    settings, content = read_run(out)
    work = _open(settings, threads)
    with interruptible(out), folder_lock(out):
        answers = read_answers(out / ANSWERS, work.classes)
        sample = read_sample(out, answers, work.classes)
        if table is not None:
            labels = read_table(table, answers, sample, work.classes)
            known = given_labels(out, answers, work.classes)
            add_labels(
                out, {row: label for row, label in labels.items() if known.get(row) != label}, answers, work.classes
            )
        if count is not None and count > len(sample):
            sample = write_sample(out, answers, work.classes, count)
            write_sheet(out, work.recogniser, work.inputs, answers, sample)
        if asker is not None:
            ask(out, answers, sample, work.classes, *asker)
        more = {key: content.get(key) for key in ("pictures", "groups", "state", "extraction_seconds")}
        outcome = _conclude(work, out, answers, _shares(work), command, time.monotonic() - begun, more)
        write_table(out, answers, read_sample(out, answers, work.classes), work.classes)
    return outcome


def start_model(settings: OutputRun, threads: int | None = None) -> tuple[Recogniser, Callable[[], Iterator[Input]]]:
    """Return the model that a run starts from, framed as its target needs, and what yields the target's pictures."""
    work = _open(settings, threads)
    return work.recogniser, work.inputs


def adapted(out: Path, threads: int | None = None) -> Recogniser:
    """Return the recogniser of a finished run, with its verdict."""
    recogniser = load(out, threads=threads)
    recogniser.verdict = verdict_of(read_run(out)[1])
    return recogniser


def _open(settings: OutputRun, threads: int | None) -> _Work:
    start = resolve_model(settings.model or None).folder
    found = framing([settings.target])
    align: Any = settings.align or ("none" if found == "aligned" else None)
    recogniser = load(settings.model or None, threads=threads, align=align, cropped=found == "cropped")
    if recogniser.info.correction is not None:
        raise UsageError(f"The model '{settings.model}' was corrected already: give the model that it started from.")
    parse_rungs(settings.rungs)
    return _Work(settings, start, recogniser)


def _shares(work: _Work) -> Any:
    prior = work.recogniser.info.class_prior
    return parse_shares(work.settings.shares, work.classes, prior or None) if work.settings.shares else None


def _look(work: _Work) -> tuple[str, int, int]:
    """Return a digest of the pictures' names, sizes and times, their number, and the number of groups."""
    digest, total, groups = hashlib.sha256(), 0, set()
    find = work.group_of()
    for each in work.inputs():
        digest.update(each.mark())
        groups.add(find(each))
        total += 1
    if total == 0:
        raise DataError(f"There are no pictures in '{work.settings.target}': give a folder of photographs.")
    return digest.hexdigest(), total, len(groups - {""})


def _state(work: _Work, mark: str, minutes: float | None) -> dict[str, Any]:
    asked = work.settings.model_dump(mode="json", exclude={"shares", "model", "rungs"})
    return {"settings": asked, "model": dict(work.recogniser.info.files), "pictures": mark, "minutes": minutes}


def _extract(
    work: _Work,
    out: Path,
    state: dict[str, Any],
    total: int,
    groups: int,
    minutes: float | None,
    progress: bool,
    say: Say,
    *,
    count: int,
    force: bool,
    rungs: dict[Rung, float],
    keep: bool,
    made: bool,
    advanced: Advanced | None = None,
) -> float | None:
    """Write the answers where they are not there yet; return the seconds, None where nothing was to do."""
    path = out / ANSWERS
    if path.is_file():
        try:
            same = read_run(out)[1].get("state") == state
        except UsageError:
            same = False
        if same and (not keep or made or _kept_faces(work, out) is not None):
            say("The faces are known from the last run of this command.")
            return None
        if (out / LABEL).exists() and not force and not same:
            raise OutputError(
                f"The pictures or settings have changed since '{out}' was made: choose another --out, or --force."
            )
        path.unlink()
    for rung in NETWORK_RUNGS:
        (out / FOLDER / rung.value / RUNG_ANSWERS).unlink(missing_ok=True)
    say(_plan(work, total, groups, minutes, count, rungs))
    begun = time.monotonic()
    ends = None if minutes is None else begun + 60 * minutes * (EXTRACTION_PART if rungs else 1)
    state = dict(state)
    if keep:
        (out / FACES).touch()
        state["faces_file"] = (out / FACES).stat().st_ino
    with progress_bar("faces", total, shown=progress) as advance:
        faces = out / FACES if keep else None

        def both(count: int) -> None:
            advance(count)
            if advanced is not None:
                advanced(count, total)

        extract_answers(work.recogniser, work.inputs, work.group_of(), path, state, both, ends, faces)
    return round(time.monotonic() - begun, 1)


def _kept_faces(work: _Work, out: Path) -> Any:
    return open_faces(out / FACES, len(read_answers(out / ANSWERS, work.classes)), work.recogniser.info.face.size)


def _rungs_made(out: Path, rungs: list[Rung], shares: Any) -> bool:
    known = None if shares is None else checked_shares(shares, len(shares))
    return all(is_finished(out / FOLDER / rung.value, known) for rung in rungs)


def _make_rungs(
    work: _Work,
    out: Path,
    answers: Answers,
    shares: Any,
    rungs: list[Rung],
    maker: RungMaker,
    ends: float | None,
    progress: bool,
    threads: int | None,
    say: Say,
) -> None:
    """Make the networks of the rungs, and write what each answers; the faces themselves are removed afterwards."""
    if answers.different < FEWEST:
        say(f"{answers.different} different faces are too few to change the network: {FEWEST} are needed.")
        (out / FACES).unlink(missing_ok=True)
        return
    faces = _kept_faces(work, out)
    if faces is None:
        raise DataError(f"'{out / FACES}' does not hold the faces of this run: delete the file, and run again.")
    known = None if shares is None else tuple(float(value) for value in checked_shares(shares, len(work.classes)))
    finished = True
    for rung in rungs:
        folder = out / FOLDER / rung.value
        task = RungTask(rung, work.start, faces, known, folder, ends=ends, shown=progress, run=out)
        notes = make_rung(task, maker, threads)
        finished &= bool(notes.get("finished"))
        if notes.get("warning"):
            say(str(notes["warning"]))
        if not notes.get("finished"):
            say(
                f"The rung '{rung}' stopped after {notes.get('steps')} of {notes.get('planned')} steps, as --minutes "
                "was over; the same command goes on."
            )
    del faces
    if finished:
        (out / FACES).unlink(missing_ok=True)


def _networks(work: _Work, out: Path, count: int) -> dict[Rung, Any]:
    """Return the answers of the rungs that are there for these faces."""
    found = {}
    for rung in work.rungs:
        path = out / FOLDER / rung.value / RUNG_ANSWERS
        if rung in NETWORK_RUNGS and path.is_file():
            z = np.load(path, allow_pickle=False)
            if z.shape == (count, len(work.classes)):
                found[rung] = z
    return found


def _plan(work: _Work, total: int, groups: int, minutes: float | None, count: int, rungs: dict[Rung, float]) -> str:
    seconds = _seconds_each(work, total) * total + sum(rungs.values())
    if minutes is not None:
        seconds = min(seconds, 60 * minutes)
    long = "under a minute" if seconds < 60 else f"about {max(1, round(seconds / 60))} min"
    tried = "declared shares" if work.settings.shares else "nothing without --shares or labels"
    if groups > 1 and work.settings.groups is not Grouping.NONE:
        tried += f", offsets of {groups} groups" if work.settings.groups is Grouping.ALIKE else ""
    tried += "".join(f", {rung.value} of the network" for rung in rungs)
    return f"{total} pictures, {groups or 'no'} groups; tried: {tried}; {count} faces to label; {long}."


def _seconds_each(work: _Work, total: int) -> float:
    step = max(1, total // TIMED)
    some = list(islice(work.inputs(), 0, step * TIMED, step))
    next(iter(work.recogniser.stream([some[0].source])))
    begun = time.monotonic()
    for _ in work.recogniser.stream(each.source for each in some):
        pass
    return (time.monotonic() - begun) / len(some)


def _count(out: Path, count: int) -> int:
    """Return how many faces to draw: never fewer than were drawn before, so that no label is lost."""
    from dcdan.core.limits import read_json

    try:
        return max(count, int(read_json(out / LABEL / "sample.json")["count"]))
    except (OSError, ValueError, KeyError, TypeError):
        return count


def _conclude(
    work: _Work, out: Path, answers: Answers, shares: Any, command: str, seconds: float, more: dict[str, Any]
) -> Outcome:
    """Decide by all that is known, and write the model, the predictions and ``run.json``."""
    z, classes, grouping = answers.log_probabilities, work.classes, work.settings.groups
    prior = np.array(work.recogniser.info.class_prior) if work.recogniser.info.class_prior else None
    found = candidates(z, classes, answers.groups, grouping, shares, prior)
    networks = network_candidates(_networks(work, out, len(answers)), classes, shares, prior)
    sample = read_sample(out, answers, classes)
    given = given_labels(out, answers, classes)
    labels = labelled(sample, given)
    decision: Decision
    measured: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    if len(labels.labels):
        by_labels = decide_with_labels(z, classes, found | networks, labels)
        decision, measured = by_labels.decision, accuracies_json(by_labels.accuracy)
    else:
        decision = decide_without_labels(z, classes, found, grouping, answers.different)
        decision, reasons = decide_with_networks(decision, networks)
    verdict, kept, considered = decision
    correction = None if kept.correction == OutputCorrection.identity(classes) else kept.correction
    write_model(out, out / FOLDER / kept.network if kept.network else work.start, correction)
    write_predictions(out, answers, kept.log_probabilities, classes)
    changed = int((z.argmax(1) != kept.log_probabilities.argmax(1)).sum())
    more |= {
        "faces": len(answers),
        "different_faces": answers.different,
        "changed_faces": changed,
        "labels": len(labels.labels),
        "skipped": sum(label == UNANSWERED for label in given.values()),
        "measured_accuracy": measured,
        "tried": sorted(found | networks),
        "considered": [
            *(_considered(each) for each in considered),
            *({"name": name, "reason": reason} for name, reason in reasons.items()),
        ],
        "shares_before": _by_class(np.exp(z).mean(0), classes),
        "shares_after": _by_class(np.exp(kept.log_probabilities).mean(0), classes),
    }
    write_run(out, work.settings, verdict, command, seconds, more)
    return Outcome(verdict, _lines(verdict, measured, len(answers), changed), len(labels.labels))


def _considered(each: Considered) -> dict[str, Any]:
    numbers = {"gain": each.gain, "error": each.error}
    return {"name": each.name, "reason": each.reason} | {
        key: round(value, 4) for key, value in numbers.items() if np.isfinite(value)
    }


def _by_class(values: Any, classes: tuple[str, ...]) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in zip(classes, values, strict=True)}


def _lines(verdict: Verdict, measured: dict[str, Any], faces: int, changed: int) -> list[str]:
    estimate = verdict.estimate
    lines = [f"Verdict: {verdict.answer.value}. {verdict.reason}"]
    lines.append(
        f"Accuracy of the model that predicts now: {100 * estimate.value:.0f} % "
        f"({100 * estimate.low:.0f} to {100 * estimate.high:.0f} %, by {estimate.name}); "
        f"{changed} of {faces} answers changed."
    )
    for name, each in measured.items():
        lines.append(f"  {name}: {100 * each['value']:.0f} % ({100 * each['low']:.0f} to {100 * each['high']:.0f} %)")
    return lines
