"""The duration of a training, estimated from its first steps, and the number of steps that fit a time budget."""

from __future__ import annotations

from dataclasses import dataclass

MEASURED_STEPS = 20
"""Steps after which the duration is announced."""
WARM_UP_STEPS = 2
"""First steps that are not timed: memory is allocated and kernels are chosen in them."""
ADAPTATION_STEP = 2.6
"""Time of a step of the adaptation over one of the source stage: faces of two domains, and the teacher's pass."""
TOLERANCE = 1.25
"""Ratio of two estimates from which the new one is announced."""
LONG = 1800.0
"""Seconds of training from which the option for a shorter one is named."""
RESERVE = 0.1
"""Share of a budget that is left for calibration, export and report."""


def duration_text(seconds: float) -> str:
    """Return a duration as text.

    Args:
        seconds: 0 or more.

    Returns:
        Seconds below 90 s, minutes below 90 min, else hours and minutes.

    Example:
        >>> duration_text(40), duration_text(400), duration_text(8000)
        ('40 s', '7 min', '2 h 13 min')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def steps_within(seconds: float, per_step: float, left: int, later: float) -> int:
    """Return the number of remaining steps of a stage that fit a time budget.

    Args:
        seconds: the remaining budget.
        per_step: measured seconds per step.
        left: remaining steps of the stage.
        later: the duration of later stages in steps of this stage, for which budget is reserved.

    Returns:
        A number in [0, left].

    Example:
        >>> steps_within(60.0, 0.5, left=200, later=0), steps_within(60.0, 0.5, left=200, later=200)
        (120, 60)
    """
    share = left / (left + later) if left else 0.0
    return min(left, max(0, int(seconds * share / per_step)))


@dataclass
class Estimate:
    """The announced end of a training, announced again when the estimate changes."""

    announced: float | None = None
    """When the training was announced to end, in seconds of the clock that :meth:`sentence` is given."""
    budget: bool = False
    """Whether the training has a time budget."""

    def sentence(self, now: float, per_step: float, left: int, later: float) -> str:
        """Return the sentence to print, or "" while the last announcement is still right.

        Args:
            now: seconds of a clock.
            per_step: measured seconds per step.
            left: remaining steps of the stage.
            later: the duration of later stages in steps of this stage.

        Returns:
            The sentence.

        Example:
            >>> Estimate().sentence(0.0, per_step=0.5, left=200, later=0)
            'About 2 min of training left (0.50 s a step).'
        """
        seconds = per_step * (left + later)
        if self.announced is not None:
            before = max(self.announced - now, 1e-9)
            off = max(seconds, before) - min(seconds, before)
            if max(seconds, before) / min(max(seconds, 1e-9), before) < TOLERANCE or off < 30:
                return ""
        first = self.announced is None
        self.announced = now + seconds
        stages = " in this stage and the next" if later else ""
        lead = "About" if first else "More exactly, about"
        long = first and not self.budget and seconds > LONG
        shorter = " For a shorter one, stop it and start another with --minutes N." if long else ""
        return f"{lead} {duration_text(seconds)} of training left{stages} ({per_step:.2f} s a step).{shorter}"
