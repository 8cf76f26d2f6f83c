"""Steps that watch promises: remind whoever acts, and move what is not kept in time before its date."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import BindParameter, ColumnElement, Select, and_, bindparam, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, selectinload

from portal import clock, db
from portal.appointments.models import Appointment
from portal.cases import delaying, reminding, settling, sparing
from portal.cases import directory as directories
from portal.cases.directory import Directory
from portal.cases.models import Case, CaseState
from portal.db import UtcDateTime
from portal.people.models import Person
from portal.promises import business_time
from portal.promises.business_time import BeyondHolidayTable, NoBusinessTime
from portal.promises.models import IS_OPEN, Promise
from worker.loop import GOES_ON

FIRST_PUT_OFF, PUT_OFF = timedelta(minutes=1), timedelta(hours=1)
"""How long a case waits whose step failed by a fault of ours: at first, and at most; it keeps no other waiting.

Twice as long each time. Most faults pass, and the customer is to hear of a delay before the date all the same.
"""
AT_ONCE = 20
"""Cases done in one transaction at most: beginning, finding and committing cost as much as a case."""
LONGEST = 0.04
"""Seconds after which such a transaction takes no further case: on SQLite nobody else writes meanwhile."""
AT_LEAST = 5
"""Cases done however slow the machine is: one by one they would take twice as much of what it lacks."""

Due = Callable[[BindParameter[datetime]], ColumnElement[bool]]


def _notice_due(now: BindParameter[datetime]) -> ColumnElement[bool]:
    return and_(IS_OPEN, Promise.waiting.is_(None), Promise.notice_at <= now)


def _reminder_due(now: BindParameter[datetime]) -> ColumnElement[bool]:
    return and_(IS_OPEN, Promise.reminded_at.is_(None), Promise.remind_at <= now)


class Watch:
    """A step that does what is due, a few cases at a time, inside the sending hours of their teams or at any hour."""

    of: type[Promise] | type[Appointment] = Promise
    """What falls due."""
    in_turn = (Promise.notice_at, Promise.id)
    """By what the cases have their turns."""

    def __init__(self, due: Due, do: Callable[..., None], *, failed: str, any_hour: bool = False) -> None:
        self._do, self._failed, self._any_hour = do, failed, any_hour
        self._due = due(bindparam("now", type_=UtcDateTime))
        self.look = select(self.of.id).where(self._due).limit(1)
        """Whether anything is due: it nearly always finds nothing, by one entry of one index."""
        self._put_off: dict[int, datetime] = {}
        self._faults: dict[int, int] = {}
        self._at_once = AT_ONCE

    def __call__(self) -> int:
        """Do some; how many, or 0 where nothing is due, or nothing that may be done at this hour."""
        now = clock.utc_now()
        if not self._is_due(now):
            self._at_once = AT_ONCE
            return 0
        done: list[int] = []
        try:
            with db.writing() as session:
                count = self._some(session, done, now)
        except IntegrityError as fault:
            self._refused(done, fault, now)
            return GOES_ON
        for case_id in done:  # only now is it sure that nothing was wrong with them
            self._faults.pop(case_id, None)
        return count

    def _is_due(self, now: datetime) -> bool:
        with db.looking() as connection:
            if connection.execute(self.look, self._values(now)).first() is None:
                return False
        with db.reading() as session:
            return session.execute(self._next(session, now).limit(1), self._values(now)).first() is not None

    def _some(self, session: Session, done: list[int], now: datetime) -> int:
        """Do some cases in this transaction, and say which are ``done``.

        One that breaks is put off, and those before it are done again without it.
        """
        end, is_late = time.monotonic() + LONGEST, False
        for case in self._take(session, now):
            case_id = case.id
            try:
                self._do(session, case, now=now)
                session.flush()  # what the database refuses is this case's fault, and no later one's
            except sparing.AWAY:
                raise
            except Exception as fault:
                session.rollback()
                self._broke(case_id, fault, now)
                return GOES_ON
            done.append(case_id)
            is_late = time.monotonic() > end
            if is_late and len(done) >= AT_LEAST:
                break
        if self._at_once > 1:  # what is taken in vain is read in vain
            self._at_once = max(AT_LEAST, len(done)) if is_late else min(2 * self._at_once, AT_ONCE)
        return len(done)

    def _refused(self, done: list[int], fault: IntegrityError, now: datetime) -> None:
        """One of these broke a key that the database looks at last, at the commit: from now on each has its own.

        So it is until that case is found, or nothing is due any more.
        """
        self._at_once = 1
        if len(done) == 1:
            self._broke(done[0], fault, now)
            self._at_once = AT_ONCE

    def _broke(self, case_id: int, fault: Exception, now: datetime) -> None:
        sparing.tell(fault, failed=self._failed, case=case_id)
        times = self._faults[case_id] = self._faults.get(case_id, 0) + 1
        self._put_off[case_id] = now + min(FIRST_PUT_OFF * 2 ** min(times - 1, 9), PUT_OFF)

    def _take(self, session: Session, now: datetime) -> Sequence[Case]:
        query = self._next(session, now).options(selectinload(Case.customer)).limit(self._at_once)
        cases = settling.take(session, query, self._values(now))
        directories.keep(session, now=now)
        return cases

    def _next(self, session: Session, now: datetime) -> Select[Case]:
        # Not for longer than that either, should the clock be set back.
        self._put_off = {case: until for case, until in self._put_off.items() if now < until <= now + PUT_OFF}
        due = (
            select(Case)
            .join(self.of, self.of.case_id == Case.id)
            .join(Person, Person.id == Case.owner_id)
            .where(Case.state == CaseState.OPEN, self._due, Case.id.not_in(list(self._put_off)))
            .order_by(*self.in_turn)
        )
        return due if self._any_hour else due.where(_may_write(directories.load(session, now=now), now))

    def _values(self, now: datetime) -> dict[str, object]:
        """What fills the places of ``due``."""
        return {"now": now}


def give_notice() -> Watch:
    """Moves what is not kept in time; the customer is told before the date."""
    return Watch(_notice_due, delaying.give_notice, failed="no notice given")


def remind() -> Watch:
    """Reminds whoever acts."""
    return Watch(_reminder_due, reminding.remind, failed="not reminded")


def _may_write(directory: Directory, now: datetime) -> ColumnElement[bool]:
    """Teams in whose sending hours it is, and promises that would pass before their team's next ones begin."""
    sending, urgent = [], []
    for team in directory.teams.values():
        opens = _next_sending(directory, team.id, now)
        if opens is None or opens <= now:  # where no hour is known, silence would be worse
            sending.append(team.id)
        else:
            urgent.append(and_(Person.team_id == team.id, Promise.due_at > now, Promise.due_at <= opens))
    return or_(Person.team_id.in_(sending), *urgent)


def _next_sending(directory: Directory, team_id: int, now: datetime) -> datetime | None:
    try:
        return business_time.next_open(directory.sending(directory.teams[team_id]), now)
    except (NoBusinessTime, BeyondHolidayTable):
        return None
