"""What C libraries write to the standard error is dropped, and only that."""

from __future__ import annotations

import os
import threading

import pytest

from dcdan.core.native_stderr import muted_stderr


def test_what_is_written_to_the_descriptor_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    """S14."""
    os.write(2, b"before ")
    with muted_stderr(), muted_stderr():
        os.write(2, b"within ")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_threads_that_overlap_restore_it_once(capfd: pytest.CaptureFixture[str]) -> None:
    inside, leave = threading.Barrier(4), threading.Barrier(4)

    def work() -> None:
        with muted_stderr():
            inside.wait()
            os.write(2, b"x")
            leave.wait()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(2, b"seen")
    assert capfd.readouterr().err == "seen"
