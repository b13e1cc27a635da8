"""SIGINT and SIGTERM as wishes, not ends."""

from __future__ import annotations

import signal

import pytest

from dcdan.cli.main import run as dcdan
from dcdan.core.signals import stoppable, terminable


def test_a_second_ctrl_c_interrupts_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), stoppable() as stop:  # noqa: PT012
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()
        signal.raise_signal(signal.SIGINT)


def test_signals_are_left_alone_where_nobody_wants_them() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stoppable(wanted=False):
        assert signal.getsignal(signal.SIGTERM) is before
    with terminable():
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("command", "told"), [("adapt", "the same command resumes the work"), ("data", "stopped.")])
def test_sigterm_outside_of_a_step_ends_with_a_sentence(
    command: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dcdan.cli.main.app", lambda **_: signal.raise_signal(signal.SIGTERM))
    assert dcdan([command]) == 130
    assert told in capsys.readouterr().err
