"""Timing that holds on a busy machine: contestants take turns, round by round, and are compared within a round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Run = Callable[[], object]


@dataclass(frozen=True)
class Times:
    """Seconds of each contestant in each round; all lists are of the same length."""

    seconds: Mapping[str, list[float]]
    clock: str

    def least(self, name: str) -> float:
        """Return the least seconds of a contestant."""
        return min(self.seconds[name])

    def ratio(self, name: str, base: str) -> float:
        """Return the median over the rounds of a contestant's time over that of ``base`` in the same round."""
        return statistics.median(a / b for a, b in zip(self.seconds[name], self.seconds[base], strict=True))

    def spread(self, name: str, base: str) -> tuple[float, float]:
        """Return the lowest and the highest of those ratios."""
        ratios = [a / b for a, b in zip(self.seconds[name], self.seconds[base], strict=True)]
        return min(ratios), max(ratios)


def interleaved(contestants: Mapping[str, Run], rounds: int, warm: int = 1, threads: int = 1, inner: int = 1) -> Times:
    """Run every contestant once a round (``inner`` calls in a row), after ``warm`` calls that are not timed.

    With one thread the processor's own time is counted, which other work on the machine does not lengthen; with more,
    the wall's.
    """
    clock = time.process_time if threads == 1 else time.perf_counter
    for run in contestants.values():
        for _ in range(warm):
            run()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            start = clock()
            for _ in range(inner):
                contestants[name]()
            seconds[name].append((clock() - start) / inner)
    return Times(seconds, "processor" if threads == 1 else "wall")
