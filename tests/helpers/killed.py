"""A training that is killed at a chosen step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dcdan.training.loop import Trainer


class Killed(BaseException):
    """Ends a run where it stands."""


@contextmanager
def killed_at(stage: str, step: int) -> Iterator[None]:
    """Within the context a training dies before that step of the stage, and must."""
    losses = Trainer.losses

    def dying(self: Trainer, now: str, at: int, *rest: Any) -> Any:
        if (now, at) == (stage, step):
            raise Killed
        return losses(self, now, at, *rest)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "losses", dying)
        with pytest.raises(Killed):
            yield
