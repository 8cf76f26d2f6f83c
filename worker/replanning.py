"""The step that plans running promises anew after working hours, holidays, closures or service levels changed."""

import time
from dataclasses import dataclass
from datetime import datetime

from portal import clock, db
from portal.cases import directory as directories
from portal.cases import replanning, sparing
from portal.cases.directory import Directory
from portal.cases.models import Case
from worker.loop import GOES_ON
from worker.promises import PUT_OFF

LONGEST = 0.5
"""Seconds after which the other steps get their turn, and whoever stops the worker is heard."""


@dataclass(frozen=True)
class _Batch:
    """Cases whose promises differ from their plan, each planned in a transaction of its own."""

    mark: str
    left: list[int]
    after_id: int | None
    """The promise this batch ends with; None where it is the last."""


class Replan:
    """Looks at all open promises, a batch at a time, once after each such change; several workers may share it.

    How far it came is noted at the end of a batch: what a worker leaves that ends before is looked at again.
    """

    def __init__(self) -> None:
        self._planned_by: Directory | None = None
        self._batch: _Batch | None = None
        self._put_off: dict[int, datetime] = {}

    def __call__(self) -> int:
        """Plan some cases; how many, GOES_ON where they were none, 0 where all is planned by the present calendars."""
        now = clock.utc_now()
        batch = self._batch = self._batch or self._next(now)
        if batch is None:
            due = [case_id for case_id, until in self._put_off.items() if not now < until <= now + PUT_OFF]
            return self._some(due, now) if due else 0
        done = self._some(batch.left, now)
        if not batch.left:
            with db.writing() as session:
                replanning.note_done(session, batch.mark, batch.after_id)
            self._batch = None
        return done

    def _next(self, now: datetime) -> _Batch | None:
        with db.reading() as session:
            directory = directories.load(session, now=now)
            if directory is self._planned_by:
                return None
            present = replanning.mark(directory)
            if replanning.is_done(session, present):
                self._planned_by = directory
                return None
            case_ids, after_id = replanning.cases_to_replan(session, directory, now=now)
        return _Batch(present, [case_id for case_id in case_ids if case_id not in self._put_off], after_id)

    def _some(self, case_ids: list[int], now: datetime) -> int:
        """Plan these one by one while there is time, and strike out what was tried."""
        end, done = time.monotonic() + LONGEST, 0
        while case_ids:
            done += self._planned(case_ids[0], now)
            del case_ids[0]
            if time.monotonic() > end:
                break
        return done or GOES_ON

    def _planned(self, case_id: int, now: datetime) -> bool:
        """Plan one case; one that breaks is tried again later, by this worker."""
        try:
            with db.writing() as session:
                replanning.replan(session, session.get_one(Case, case_id), now=now)
        except sparing.AWAY:
            raise
        except Exception as fault:
            sparing.tell(fault, failed="not replanned", case=case_id)
            self._put_off[case_id] = now + PUT_OFF
            return False
        self._put_off.pop(case_id, None)
        return True
