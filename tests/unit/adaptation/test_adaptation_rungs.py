"""The choice between rungs without labels, and what a run says where rungs cannot be tried."""

from __future__ import annotations

import numpy as np
import pytest

from dcdan.adaptation.decision import SHARES, Candidate, Decision
from dcdan.adaptation.rungs import Rung, decide_with_networks, network_candidates, parse_rungs, unavailable
from dcdan.core.errors import UsageError
from dcdan.correction.estimators import AccuracyEstimate
from dcdan.correction.output import OutputCorrection
from dcdan.correction.verdict import Answer, Verdict

CLASSES = ("a", "b", "c")
SHARE = np.full(3, 1 / 3)


def answers(labels: list[int]) -> np.ndarray:
    z = np.full((len(labels), 3), 0.1)
    z[np.arange(len(labels)), labels] = 0.8
    return np.log(z)


def decision(labels: list[int], answer: Answer = Answer.USE) -> Decision:
    estimate = AccuracyEstimate(value=0.6, low=0.5, high=0.7, name="declared shares")
    kept = Candidate(OutputCorrection.identity(CLASSES), answers(labels))
    return Decision(Verdict(answer, SHARES, estimate, 0.1, "Because."), kept)


LABELS = [0, 1, 2] * 10


def test_the_last_rung_that_passes_its_guards_is_taken() -> None:
    turned = [*LABELS[:-6], *[(label + 1) % 3 for label in LABELS[-6:]]]
    networks = network_candidates(
        {Rung.STATISTICS: answers(LABELS), Rung.TRAINING: answers(turned)}, CLASSES, SHARE, None
    )
    found, reasons = decide_with_networks(decision(LABELS), networks)
    assert found.verdict.model == "training and shares"
    assert found.candidate.network == "training"
    assert "80 % of the faces" in found.verdict.reason
    np.testing.assert_array_equal(found.candidate.log_probabilities.argmax(1), turned)
    assert found.verdict.estimate == decision(LABELS).verdict.estimate
    assert float(np.exp(found.candidate.log_probabilities.max(1)).mean()) == pytest.approx(0.6, abs=0.01)
    assert "later rung" in reasons["statistics and shares"]
    assert "Without labels" in reasons["training"]


@pytest.mark.parametrize("wrong", [12, 30])
def test_a_network_that_answers_otherwise_is_not_taken(wrong: int) -> None:
    turned = [*LABELS[: 30 - wrong], *[(label + 1) % 3 for label in LABELS[30 - wrong :]]]
    before = decision(LABELS)
    networks = network_candidates({Rung.TRAINING: answers(turned)}, CLASSES, SHARE, None)
    found, reasons = decide_with_networks(before, networks)
    assert found == before
    assert "only" in reasons["training and shares"]


def test_a_collapsed_network_is_not_taken() -> None:
    same = [0] * 30
    collapsed = Candidate(OutputCorrection.identity(CLASSES), answers(same), "training")
    found, reasons = decide_with_networks(decision(same), {"training and shares": collapsed})
    assert found.candidate.network == ""
    assert "collapsed" in reasons["training and shares"]


@pytest.mark.parametrize("answer", [Answer.KEEP, Answer.UNKNOWN])
def test_shares_that_are_not_trusted_change_no_network(answer: Answer) -> None:
    networks = network_candidates({Rung.TRAINING: answers(LABELS)}, CLASSES, SHARE, None)
    before = decision(LABELS, answer)
    assert decide_with_networks(before, networks)[0] == before


def test_without_shares_there_is_only_the_network_itself() -> None:
    assert list(network_candidates({Rung.STATISTICS: answers(LABELS)}, CLASSES, None, SHARE)) == ["statistics"]


def test_rungs_are_parsed_in_order() -> None:
    assert parse_rungs("") == (Rung.OUTPUT,)
    assert parse_rungs(" Training, output ") == (Rung.OUTPUT, Rung.TRAINING)
    for wrong in ("training", "output,best"):
        with pytest.raises(UsageError):
            parse_rungs(wrong)


def test_without_torch_one_line_says_so() -> None:
    said = unavailable(None, (Rung.OUTPUT, Rung.STATISTICS, Rung.TRAINING), None)  # type: ignore[arg-type]
    assert list(said) == [Rung.STATISTICS, Rung.TRAINING]
    assert "dcdan[train]" in said[Rung.TRAINING]
