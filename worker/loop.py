"""The loop: do each step until it has nothing left, then wait for a word or the next look."""

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from portal import clock, db, heartbeat, wakeup

log = structlog.get_logger(__name__)

Step = Callable[[], int]
"""Does some of what is due and says how much: 0 or False where there is nothing to do, or GOES_ON."""
GOES_ON = -1
"""Says a step that did nothing, but may have more to do at once: what broke is put off, say."""
TURN = 2.0
"""Seconds one step may go on before the others get their turn."""
PAUSE_AFTER_FAULT = 1.0


class Loop:
    """Runs named steps until it is told to stop."""

    def __init__(self, steps: Mapping[str, Step]) -> None:
        self._steps = steps
        self._stop = threading.Event()
        self._beat_after = 0.0
        self._id = f"{socket.gethostname()}:{os.getpid()}"[:80]

    def stop(self) -> None:
        """Finish the item at hand, then end; safe to call from a signal."""
        self._stop.set()

    def run(self) -> None:
        """Work until stopped. A database that is away is waited for; a fault in one step leaves the others going."""
        ear = wakeup.Ear(db.db.engine)
        try:
            while not self._stop.is_set():
                ear.listen()
                self._beat()
                if not self._round():
                    ear.wait(wakeup.POLL)
        finally:
            ear.close()

    def run_until_idle(self) -> dict[str, int]:
        """Do everything that is due now; how much each step did.

        A step with a fault of ours is logged and left. Raises DBAPIError when the database is out of reach.
        """
        done: Counter[str] = Counter()
        broken: set[str] = set()
        again = True
        while again and not self._stop.is_set():
            again = False
            for name, step in self._steps.items():
                while name not in broken and not self._stop.is_set() and (count := self._did(name, step, broken)):
                    done[name] += max(count, 0)
                    again = True
        return {name: done[name] for name in self._steps}

    @staticmethod
    def _did(name: str, step: Step, broken: set[str]) -> int:
        try:
            return step()
        except DBAPIError:
            raise
        except Exception:
            log.exception("step failed", step=name)
            broken.add(name)
            return 0

    def _round(self) -> bool:
        """One turn for each step; True if any of them did something."""
        did = [self._turn(name, step) for name, step in self._steps.items()]
        return any(did)

    def _turn(self, name: str, step: Step) -> bool:
        did, end = False, time.monotonic() + TURN
        try:
            while not self._stop.is_set() and time.monotonic() < end and step():
                did = True
        except SQLAlchemyError as fault:
            log.error("step failed, database", step=name, fault=type(fault).__name__)
            self._stop.wait(PAUSE_AFTER_FAULT)
        except Exception:
            log.exception("step failed", step=name)
            self._stop.wait(PAUSE_AFTER_FAULT)
        return did

    def _beat(self) -> None:
        if time.monotonic() < self._beat_after:
            return
        self._beat_after = time.monotonic() + heartbeat.EVERY
        try:
            with db.writing() as session:
                heartbeat.beat(session, self._id, now=clock.utc_now())
        except SQLAlchemyError as fault:
            log.error("no heartbeat", fault=type(fault).__name__)
