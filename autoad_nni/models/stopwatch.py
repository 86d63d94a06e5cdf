"""The time limit of a trial."""

from __future__ import annotations

import time

from autoad_nni.verdicts import RejectedTrial, Verdict

__all__ = ["Stopwatch"]

# After this share of the limit, work is stopped if at its pace it would take this multiple of the limit.
_PROJECT_AFTER, _PROJECTED_EXCESS = 0.1, 2.0


class Stopwatch:
    """Stops work that takes longer than a limit, or would take longer than twice the limit.

    Args:
        max_seconds: The limit, from now on; None for no limit.
    """

    def __init__(self, max_seconds: float | None) -> None:
        self._limit = max_seconds
        self._started = time.perf_counter()
        self._first: tuple[int, float] | None = None

    def check_limit(self, done: str) -> float:
        """Return the seconds so far; raise if the limit is exceeded. ``done`` follows them in the message.

        Raises:
            RejectedTrial: ``OVER_TIME``.
        """
        elapsed = time.perf_counter() - self._started
        if self._limit is not None and elapsed > self._limit:
            raise RejectedTrial(Verdict.OVER_TIME, f"{elapsed:.1f} s{done}; the limit is {self._limit:g} s.")
        return elapsed

    def check(self, done: int, total: int) -> None:
        """Raise if ``done`` of ``total`` steps took too long; the first step, which warms up, does not count as pace.

        Raises:
            RejectedTrial: ``OVER_TIME``.
        """
        if self._limit is None:
            return
        elapsed = self.check_limit(f" after {done} of {total} steps")
        if self._first is None:
            self._first = (done, elapsed)
            return
        if done < total and elapsed >= _PROJECT_AFTER * self._limit:
            first, first_elapsed = self._first
            projected = elapsed + (elapsed - first_elapsed) / (done - first) * (total - done)
            if projected > _PROJECTED_EXCESS * self._limit:
                raise RejectedTrial(
                    Verdict.OVER_TIME,
                    f"{projected:.0f} s expected after {done} of {total} steps; the limit is {self._limit:g} s.",
                )
