"""Rungs 2 and 3 of an adaptation, which change the network: what they store, and how they join the decision.

They need torch, which rooms above bring (:mod:`dcdan.export.rungs`); here are only folders, answers and the choice.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dcdan.adaptation.decision import SHARES, Candidate, Decision, shares_bias
from dcdan.core.atomic_io import atomic_write, write_text
from dcdan.core.errors import UsageError, unknown
from dcdan.core.limits import read_json
from dcdan.correction.arrays import Floats, checked_log, checked_shares
from dcdan.correction.memory import MEMORY
from dcdan.correction.output import OutputCorrection
from dcdan.correction.verdict import Answer
from dcdan.inference.model_card import GRAPH_NAME, WEIGHTS_NAME, ModelInfo, read_model_info, verified
from dcdan.inference.session import Session

FOLDER = "rungs"
STATE = "rung.json"
ANSWERS = "answers.npy"
"""What the network of a rung answers to each face, beside its model."""

FACES_AT_A_TIME = 256

LEAST_AGREEMENT = 0.7
"""Share of answers in which a changed network must agree with rung 1 to be used without labels."""

LARGEST_SHARE = 0.98
"""Share of one class among the answers from which on a network is called collapsed."""

Say = Callable[[str], None]


class Rung(StrEnum):
    """The rungs, the least risky first."""

    OUTPUT = "output"
    STATISTICS = "statistics"
    TRAINING = "training"


NETWORK_RUNGS = (Rung.STATISTICS, Rung.TRAINING)


def parse_rungs(text: str) -> tuple[Rung, ...]:
    """Return the rungs that a text names.

    Args:
        text: names separated by commas; empty for the output alone.

    Raises:
        UsageError: when a name is unknown, or the output is left out.

    Example:
        >>> [str(rung) for rung in parse_rungs("training,output")]
        ['output', 'training']
    """
    names = [name.strip().lower() for name in text.split(",") if name.strip()] or [Rung.OUTPUT.value]
    for name in names:
        if name not in list(Rung):
            raise unknown("rung", name, [rung.value for rung in Rung])
    if Rung.OUTPUT.value not in names:
        raise UsageError("--rungs must name 'output': the other rungs are compared with it.")
    return tuple(rung for rung in Rung if rung.value in names)


@dataclass(frozen=True)
class RungTask:
    """What one rung is made from.

    Attributes:
        rung: statistics or training.
        start: folder of the start model.
        faces: (N, S, S, 3) uint8, aligned; may be memory-mapped.
        shares: (K,) declared class shares, or None.
        folder: where model, weights and state go.
        seed: of the training.
        ends: time of the monotonic clock at which it stops with what it has; None for never.
        shown: whether to show a bar.
        run: the run folder, for messages.
    """

    rung: Rung
    start: Path
    faces: NDArray[np.uint8]
    shares: tuple[float, ...] | None
    folder: Path
    seed: int = 0
    ends: float | None = None
    shown: bool = False
    run: Path = Path()

    def state(self) -> dict[str, Any]:
        """Return what the result depends on, as JSON values."""
        sample = np.ascontiguousarray(self.faces[:: max(len(self.faces) // 64, 1)])
        return {
            "rung": self.rung.value,
            "model": dict(read_model_info(self.start).files),
            "faces": [*self.faces.shape, hashlib.blake2b(sample.tobytes()).hexdigest()[:16]],
            "shares": rounded(self.shares),
            "seed": self.seed,
        }


class RungMaker(Protocol):
    """What makes a network rung; :mod:`dcdan.export.rungs` has it."""

    def make(self, task: RungTask) -> dict[str, Any]:
        """Write the model of a rung into its folder; return notes as JSON values, ``finished`` among them."""
        ...

    def seconds(self, start: Path, rung: Rung, faces: int) -> float:
        """Return how long a rung is expected to take."""
        ...


def unavailable(info: ModelInfo, rungs: tuple[Rung, ...], maker: RungMaker | None) -> dict[Rung, str]:
    """Return why rungs cannot be tried, a sentence each; rungs that can be are left out.

    Args:
        info: the start model.
        rungs: those that are asked for.
        maker: None where torch is not installed.
    """
    asked = [rung for rung in rungs if rung in NETWORK_RUNGS]
    if maker is None:
        why = "needs torch: pip install 'dcdan[train]'. The output alone is adapted."
        return {rung: f"The rung '{rung}' {why}" for rung in asked}
    if WEIGHTS_NAME not in info.files:
        return {rung: f"The rung '{rung}' needs weights, and this model has none." for rung in asked}
    if MEMORY not in info.files and Rung.TRAINING in asked:
        return {Rung.TRAINING: "The rung 'training' needs a source memory, and this model has none."}
    return {}


def rounded(shares: Any) -> list[float] | None:
    """Return shares as they are recorded."""
    return None if shares is None else [round(float(value), 6) for value in shares]


def is_finished(folder: Path, shares: Any) -> bool:
    """Return whether a folder holds a finished rung, with its answers, for these declared shares.

    Args:
        folder: of the rung.
        shares: (K,) declared, adding up to 1; None for none.
    """
    try:
        content = read_json(folder / STATE)
        known = content["state"]["shares"]
        return bool(content["notes"].get("finished")) and known == rounded(shares) and (folder / ANSWERS).is_file()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def make_rung(task: RungTask, maker: RungMaker, threads: int | None = None) -> dict[str, Any]:
    """Make a rung where it is not finished, and write what its graph answers; a training that was stopped goes on.

    Args:
        task: what it is made from; the result of another task in its folder is removed.
        maker: makes it.
        threads: of ONNX Runtime.

    Returns:
        The maker's notes.
    """
    state, path = task.state(), task.folder / STATE
    try:
        content = read_json(path)
        same = content["state"] == state
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    if same and is_finished(task.folder, task.shares):
        return dict(content["notes"])
    if not same:
        shutil.rmtree(task.folder, ignore_errors=True)
        task.folder.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps({"state": state, "notes": {}}, indent=1) + "\n")
    notes = maker.make(task)
    z = answers_of(task.folder, task.faces, threads)
    with atomic_write(task.folder / ANSWERS) as beside, beside.open("wb") as file:
        np.save(file, z)
    write_text(path, json.dumps({"state": state, "notes": notes}, indent=1) + "\n")
    return notes


def answers_of(folder: Path, faces: NDArray[np.uint8], threads: int | None = None) -> Floats:
    """Return the answers of the ONNX graph of a rung, read in batches.

    Args:
        folder: of the rung's model.
        faces: (N, S, S, 3) uint8.
        threads: of ONNX Runtime.

    Returns:
        (N, K) float64 log-probabilities.
    """
    info = read_model_info(folder)
    session = Session(verified(folder, info, GRAPH_NAME), info, threads)
    parts = [
        np.asarray(session.run(np.asarray(faces[begin : begin + FACES_AT_A_TIME])).probabilities, np.float64)
        for begin in range(0, len(faces), FACES_AT_A_TIME)
    ]
    with np.errstate(divide="ignore"):
        return checked_log(np.log(np.concatenate(parts)))


def network_candidates(
    answers: dict[Rung, Floats], classes: tuple[str, ...], shares: Floats | None, prior: Floats | None
) -> dict[str, Candidate]:
    """Return the changed networks as candidates, alone and moved to declared shares.

    Args:
        answers: (N, K) log-probabilities of each rung's network.
        classes: K names.
        shares: (K,) declared; None where none were.
        prior: (K,) class shares of the source, or None.
    """
    found: dict[str, Candidate] = {}
    for rung, z in answers.items():
        found[rung.value] = Candidate(OutputCorrection.identity(classes), z, rung.value)
        if shares is not None:
            # Training has moved the answers to the shares already, so Bayes' rule would count the change twice.
            bias = shares_bias(z, shares, None if rung is Rung.TRAINING else prior)
            correction = OutputCorrection.of(classes, bias, prior=checked_shares(shares, len(classes)))
            found[f"{rung.value} and {SHARES}"] = Candidate(correction, correction.apply(z), rung.value)
    return found


def decide_with_networks(decision: Decision, networks: dict[str, Candidate]) -> tuple[Decision, dict[str, str]]:
    """Take a changed network in place of rung 1 where shares are declared and trusted and it passes two guards.

    Without labels nothing tells whether a changed network is better than the corrected output. So it is used only where
    it was asked for, the rule trusts the declared shares, it answers like rung 1 on most faces, and has not collapsed.

    Args:
        decision: that of rung 1, without labels.
        networks: from :func:`network_candidates`.

    Returns:
        The decision, and for each network why it is used or not.
    """
    reasons: dict[str, str] = {}
    taken: str | None = None
    agreed = 0.0
    first = decision.candidate.log_probabilities.argmax(1)
    for name, each in networks.items():
        answers = each.log_probabilities.argmax(1)
        agreement = float((answers == first).mean())
        largest = float(np.bincount(answers).max() / len(answers))
        if decision.verdict.answer is not Answer.USE or not name.endswith(SHARES):
            reasons[name] = "Without labels nothing tells whether it is better."
        elif largest >= LARGEST_SHARE:
            reasons[name] = "Its answers collapsed to one class."
        elif agreement < LEAST_AGREEMENT:
            reasons[name] = f"It agrees with the corrected output on {100 * agreement:.0f} % of the faces only."
        else:
            if taken is not None:
                reasons[taken] = "A later rung passes its guards too."
            taken, agreed = name, agreement
            reasons[name] = "Used: shares are declared, and it passes its guards."
    if taken is None:
        return decision, reasons
    verdict = decision.verdict._replace(
        model=taken,
        reason=f"{decision.verdict.reason} The network was changed too ({taken}); it agrees with the corrected "
        f"output on {100 * agreed:.0f} % of the faces.",
    )
    kept = networks[taken].tempered(verdict.estimate.value)
    return decision._replace(verdict=verdict, candidate=kept), reasons
