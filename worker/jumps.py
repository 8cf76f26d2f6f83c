"""Jumps of the machine's clock. What a worker measures is not touched by them; what is stored as an instant is.

A lease, for one, ends at a stored instant: after a step ahead it seems over while its letter is still being sent, and
after a step back it lasts as much longer as the clock was ahead.
"""

import time

import structlog

from portal import clock

log = structlog.get_logger(__name__)

LEAST = 60.0
"""Seconds by which the clock must have been set at once to count; less is the drift of every day."""


class Jumps:
    """Compares the clock with the one that only measures; each worker process has one."""

    def __init__(self) -> None:
        self._difference = self._now()
        self._since = time.monotonic()
        self._jumped = False

    def look(self) -> bool:
        """Whether the clock was set since the last look."""
        before, self._difference = self._difference, self._now()
        seconds = self._difference - before
        if abs(seconds) < LEAST:
            return False
        self._since, self._jumped = time.monotonic(), True
        log.warning("the clock was set", seconds=round(seconds))
        return True

    def is_settled(self, seconds: float) -> bool:
        """Whether nothing that takes at most so long can have begun before the clock was last set."""
        measured = self.has_measured(seconds)
        return measured or not self._jumped

    def has_measured(self, seconds: float) -> bool:
        """Whether this process has seen so much time pass since it began, or since the clock was last set."""
        self.look()
        return time.monotonic() - self._since > seconds

    @staticmethod
    def _now() -> float:
        return clock.utc_now().timestamp() - time.monotonic()
