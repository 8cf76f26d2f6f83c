"""Steps that watch promises: remind whoever acts, and move what is not kept in time before its date."""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, and_, or_, select
from sqlalchemy.orm import Session

from portal import clock, db
from portal.cases import delaying, reminding
from portal.cases import directory as directories
from portal.cases.directory import Directory
from portal.cases.models import Case, CaseState
from portal.cases.sparing import spared
from portal.people.models import Person
from portal.promises import business_time
from portal.promises.business_time import BeyondHolidayTable, NoBusinessTime
from portal.promises.models import Promise, PromiseState

PUT_OFF = timedelta(hours=1)
"""How long a case waits whose step failed by a fault of ours; it keeps no other waiting."""

Due = Callable[[datetime], ColumnElement[bool]]


def _notice_due(now: datetime) -> ColumnElement[bool]:
    return and_(Promise.state == PromiseState.OPEN, Promise.waiting.is_(None), Promise.notice_at <= now)


def _reminder_due(now: datetime) -> ColumnElement[bool]:
    return and_(Promise.state == PromiseState.OPEN, Promise.reminded_at.is_(None), Promise.remind_at <= now)


class Watch:
    """A step that does what is due for one case at a time, inside the sending hours of its team."""

    def __init__(self, due: Due, do: Callable[..., None], *, failed: str) -> None:
        self._due, self._do, self._failed = due, do, failed
        self._put_off: dict[int, datetime] = {}

    def __call__(self) -> bool:
        """Do one; False where nothing is due, or nothing that may be done at this hour."""
        now = clock.utc_now()
        with db.reading() as session:
            # The look that nearly always finds nothing: one index entry, and nobody else's directory.
            if session.execute(select(Promise.id).where(self._due(now)).limit(1)).first() is None:
                return False
            if session.execute(self._next(session, now)).first() is None:
                return False
        with db.writing() as session:
            case = session.scalars(self._next(session, now).with_for_update(of=Case, skip_locked=True)).first()
            if case is None:
                return False
            if not spared(session, lambda: self._do(session, case, now=now), failed=self._failed, case=case.id):
                self._put_off[case.id] = now + PUT_OFF
        return True

    def _next(self, session: Session, now: datetime) -> Select[Case]:
        self._put_off = {case_id: until for case_id, until in self._put_off.items() if until > now}
        return (
            select(Case)
            .join(Promise, Promise.case_id == Case.id)
            .join(Person, Person.id == Case.owner_id)
            .where(Case.state == CaseState.OPEN, self._due(now), Case.id.not_in(list(self._put_off)))
            .where(_may_write(directories.load(session, now=now), now))
            .order_by(Promise.notice_at, Promise.id)
            .limit(1)
        )


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
