"""Steps that watch agreed times: remind of them, alarm, apologise, ask what became of them, replace who will be away.

Each look finds nothing by one entry of one index: of those that are booked few have begun, and of those to come only
what came near since the last look is read.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Integer, and_, bindparam, func, not_, or_, select
from sqlalchemy.orm import Session

from portal import clock, db
from portal.appointments import service as appointments
from portal.appointments.models import IS_AWAITED, IS_BOOKED, Appointment
from portal.cases import directory as directories
from portal.cases import nearing, offering, on_hold, passing, replacing, sparing
from portal.cases.directory import Directory
from portal.cases.models import Case
from portal.db import UtcDateTime
from portal.people.models import Person
from portal.promises import business_time
from portal.promises.business_time import BeyondHolidayTable, NoBusinessTime
from worker.loop import GOES_ON
from worker.promises import PUT_OFF, Watch

LONGEST = 0.5
"""Seconds after which the other steps get their turn, and whoever stops the worker is heard."""
SLICE = 500
"""How many agreed times are looked at together."""
_MINUTE = timedelta(minutes=1)

Due = Callable[[BindParameter[datetime]], ColumnElement[bool]]

_NOT_BEGUN = and_(
    IS_AWAITED,
    Appointment.started_at.is_(None),
    Appointment.change_wished_at.is_(None),
    Appointment.asked_at.is_(None),
)
_SINCE = bindparam("since", type_=UtcDateTime)
"""Of a look: so long ago that it is due."""


class _Watch(Watch):
    """A step that does what is due of agreed times, at any hour: a few cases at a time."""

    of = Appointment
    in_turn = (Appointment.starts_at, Appointment.id)

    def __init__(self, due: Due, do: Callable[..., None], *, failed: str, after: timedelta = timedelta()) -> None:
        super().__init__(due, do, failed=failed, any_hour=True)
        self._after = after

    def _values(self, now: datetime) -> dict[str, object]:
        return {"now": now, "since": now - self._after}


def alarm() -> Watch:
    """Tells colleagues that nobody has begun."""
    return _Watch(_alarm_due, passing.alarm, failed="no alarm", after=appointments.ALARM_AFTER)


def tell_late() -> Watch:
    """Tells the customer."""
    return _Watch(_late_due, passing.tell_late, failed="not told of a late start", after=appointments.TELL_AFTER)


def outcome_due() -> Watch:
    """Puts a promise in the place of what nobody said the outcome of."""
    return _Watch(_outcome_due, passing.outcome_due, failed="outcome not asked for")


def ask_again() -> Watch:
    """Asks the deputy what nobody has said since."""
    return _Watch(_still_asked, passing.ask_again, failed="outcome not asked for again", after=passing.ASK_AGAIN_AFTER)


def end_on_hold() -> Watch:
    """Calls off what is on hold when its time has come."""
    return _Watch(_held_too_long, on_hold.end, failed="not called off")


def _late(now: BindParameter[datetime]) -> ColumnElement[bool]:
    # Behind a function, so that no database begins with the index of what is yet to be over: that is nearly all.
    is_over = func.coalesce(Appointment.outcome_due_at, now) <= now
    return and_(_NOT_BEGUN, Appointment.starts_at <= _SINCE, not_(is_over))


def _alarm_due(now: BindParameter[datetime]) -> ColumnElement[bool]:
    return and_(_late(now), Appointment.alarmed_at.is_(None))


def _late_due(now: BindParameter[datetime]) -> ColumnElement[bool]:
    return and_(_late(now), Appointment.late_told_at.is_(None))


def _outcome_due(now: BindParameter[datetime]) -> ColumnElement[bool]:
    waits = and_(Appointment.asked_at.is_(None), Appointment.change_wished_at.is_(None))
    return and_(IS_AWAITED, Appointment.outcome_due_at <= now, waits)


def _still_asked(_now: BindParameter[datetime]) -> ColumnElement[bool]:
    # Nothing is asked before it is due: so the index serves.
    asked = and_(Appointment.outcome_due_at <= _SINCE, Appointment.asked_at <= _SINCE)
    return and_(IS_AWAITED, asked)


def _held_too_long(now: BindParameter[datetime]) -> ColumnElement[bool]:
    return and_(IS_AWAITED, Appointment.starts_at <= now, Appointment.change_wished_at.is_not(None))


class _OneByOne:
    """Does something to cases that were found, each in a transaction of its own while there is time.

    One that breaks is tried again later, by this worker.
    """

    def __init__(self, do: Callable[..., None], *, failed: str) -> None:
        self._do, self._failed = do, failed
        self._left: list[int] = []
        self._put_off: dict[int, datetime] = {}

    def find(self, case_ids: Iterable[int]) -> None:
        """These are to be done; what was put off keeps its time."""
        new = (one for one in dict.fromkeys(case_ids) if one not in self._put_off and one not in self._left)
        self._left += list(new)

    def some(self, now: datetime) -> int:
        """Do some; how many were tried, 0 where none is left."""
        again = [case_id for case_id, until in self._put_off.items() if not now < until <= now + PUT_OFF]
        for case_id in again:
            del self._put_off[case_id]
        self.find(again)
        end, tried = time.monotonic() + LONGEST, 0
        while self._left and (not tried or time.monotonic() < end):
            self._one(self._left[0], now)
            del self._left[0]
            tried += 1
        return tried

    def _one(self, case_id: int, now: datetime) -> None:
        try:
            with db.writing() as session:
                self._do(session, session.get_one(Case, case_id), now=now)
        except sparing.AWAY:
            raise
        except Exception as fault:
            sparing.tell(fault, failed=self._failed, case=case_id)
            self._put_off[case_id] = now + PUT_OFF


class Remind:
    """Reminds customers of what comes near.

    Whether a reminder was sent is known by its letter alone, so what is looked for is what became due since the last
    look, and after a start of the worker all that can be due. Whoever agrees on a time within that stretch later has
    just been told of it.
    """

    def __init__(self) -> None:
        self._work = _OneByOne(nearing.remind_customer, failed="not reminded of an appointment")
        self._looked_at: datetime | None = None
        self._until: dict[tuple[int, int], datetime] = {}
        """Up to which start the times of each team were looked at for each reminder."""

    def __call__(self) -> int:
        """Remind some; how many were tried, 0 where nothing came near."""
        now = clock.utc_now()
        if self._looked_at is not None and now < self._looked_at:
            self._until = {}  # the clock was set back
        self._looked_at = now
        with db.reading() as session:
            found, until = self._near(session, now)
        self._work.find(found)
        self._until |= until  # only now: a look that broke is to be taken again
        return self._work.some(now)

    def _near(self, session: Session, now: datetime) -> tuple[list[int], dict[tuple[int, int], datetime]]:
        """Those that came near since the last look and whose customer is to be reminded; and how far this look went."""
        directory = directories.load(session, now=now)
        teams = _sent_until(directory, now)
        found: list[int] = []
        reached: dict[tuple[int, int], datetime] = {}
        for hours in nearing.LEADS:
            stretches = [self._stretch(hours, until, team_ids, now) for until, team_ids in teams.items()]
            whole = {"after": min(one["after"] for one in stretches), "until": max(one["until"] for one in stretches)}
            if session.connection().execute(_ANY_NEAR, whole).first() is not None:
                found += (case_id for one in stretches for case_id in _to_be_reminded(session, directory, one, now))
            reached |= {(hours, id_): one["until"] for one in stretches for id_ in one["team_ids"]}
        return found, reached

    def _stretch(self, hours: int, until: datetime, team_ids: list[int], now: datetime) -> dict[str, Any]:
        """The starts that came near to a reminder in these teams."""
        after = min(self._until.get((hours, team_id), now) for team_id in team_ids)
        return {"after": max(now, after), "until": until + timedelta(hours=hours), "team_ids": team_ids}


def _to_be_reminded(
    session: Session, directory: Directory, stretch: Mapping[str, object], now: datetime
) -> Iterator[int]:
    for case, booked in session.execute(_NEAR, stretch):
        if nearing.is_to_be_reminded(session, directory, case, booked, now=now):
            yield case.id


def _sent_until(directory: Directory, now: datetime) -> dict[datetime, list[int]]:
    """Teams by the instant up to which their reminders are sent by now.

    What falls between the sending hours is sent in their last minute.
    """
    found: dict[datetime, list[int]] = {}
    for team in directory.teams.values():
        try:
            opens = business_time.next_open(directory.sending(team), now + _MINUTE)
        except (NoBusinessTime, BeyondHolidayTable):
            opens = now
        found.setdefault(now if opens <= now + _MINUTE else opens, []).append(team.id)
    return found


_ANY_NEAR = (
    select(Appointment.id)
    .where(IS_BOOKED, Appointment.starts_at > bindparam("after", type_=UtcDateTime))
    .where(Appointment.starts_at <= bindparam("until", type_=UtcDateTime))
    .limit(1)
)
"""It nearly always finds nothing, and by one entry of one index."""
_NEAR = (
    select(Case, Appointment)
    .join(Appointment, Appointment.case_id == Case.id)
    .join(Person, Person.id == Case.owner_id)
    .where(IS_BOOKED, Appointment.starts_at > bindparam("after", type_=UtcDateTime))
    .where(Appointment.starts_at <= bindparam("until", type_=UtcDateTime))
    .where(Person.team_id.in_(bindparam("team_ids", expanding=True)))
    .order_by(Appointment.starts_at)
)
_TO_COME = (
    select(Appointment)
    .where(IS_BOOKED, Appointment.change_wished_at.is_(None))
    .where(
        or_(
            Appointment.starts_at > bindparam("after", type_=UtcDateTime),
            and_(
                Appointment.starts_at == bindparam("after", type_=UtcDateTime),
                Appointment.id > bindparam("after_id", type_=Integer),
            ),
        )
    )
    .order_by(Appointment.starts_at, Appointment.id)
    .limit(SLICE)
)


LOOK_AGAIN_AFTER = timedelta(minutes=10)


class ReplaceAbsent:
    """Looks at all that is agreed, a slice at a time, after something changed of who is there; several workers may.

    Whoever agrees on a time while an absence is entered waits for it, or is waited for (``absences.none_meanwhile``):
    what is booked later has seen it, what was booked before is found here. For what nobody waits for, such as hours and
    closures, it looks again after a while.
    """

    def __init__(self) -> None:
        self._work = _OneByOne(replacing.replace, failed="not replaced")
        self._looked_by: Directory | None = None
        self._looked_at = datetime.min.replace(tzinfo=UTC)
        self._going_by: Directory | None = None
        self._after: Mapping[str, object] | None = None

    def __call__(self) -> int:
        """Replace some; how many were tried, GOES_ON between two slices, 0 where all was looked at."""
        now = clock.utc_now()
        done = self._work.some(now)
        return done or self._look(now)

    def _look(self, now: datetime) -> int:
        with db.reading() as session:
            directory = directories.load(session, now=now)
            if directory is self._looked_by and self._looked_at <= now < self._looked_at + LOOK_AGAIN_AFTER:
                return 0
            if directory is not self._going_by or self._after is None:
                self._going_by, self._after = directory, {"after": now, "after_id": 0}
            rows = session.scalars(_TO_COME, self._after).all()
            self._work.find(row.case_id for row in rows if offering.keeper_is_away(directory, row))
        if len(rows) < SLICE:
            self._looked_by, self._looked_at, self._after = directory, now, None
        else:
            self._after = {"after": rows[-1].starts_at, "after_id": rows[-1].id}
        return GOES_ON
