"""Planning: the person who will not make a date says so in time, with a new date, a reason, or both.

What was planned stands on the open promise until it moves, so that the customer's page and letters say one thing at any
moment; until then it can be changed. A new date goes out after 15 minutes, or with the notice of that day if one comes
first: of this promise or of another.
"""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from portal.cases import directory as directories
from portal.cases import reminding, replanning, scheduling
from portal.cases.directory import Directory
from portal.cases.errors import NoRoom, NothingPlanned, NotLater, NotOpen, StaleCase
from portal.cases.models import Case
from portal.cases.settling import hold_open, settle
from portal.promises import business_time, service_level
from portal.promises import service as promises
from portal.promises.business_time import BeyondHolidayTable, NoBusinessTime
from portal.promises.models import Promise

TIME_TO_EDIT = timedelta(minutes=15)


def plan_move(
    session: Session,
    case: Case,
    *,
    promise_id: int,
    by_id: int,
    to: datetime | None,
    reason: str,
    now: datetime,
    version: int | None = None,
) -> datetime:
    """Plan that a promise moves; returns when the customer is told. Planning again replaces what was planned.

    Without a date the reason waits for the notice, which sets one, or goes with the date that a calendar sets. Raises
    NotOpen where this is no open promise of the case, StaleCase, NothingPlanned without date and reason, NotLater,
    NoRoom, NoticedToday, DateOutOfReach.
    """
    hold_open(session, case, version=version)
    directory = directories.load(session, now=now)
    promise = _open_one(session, case, promise_id)
    if to is None and not reason:
        raise NothingPlanned
    if to is not None:
        if to <= promise.due_at:
            raise NotLater
        scheduling.chosen(directory, case, to, now=now)
    promise.reason = reason or None
    if to is None:
        _without_a_date(session, directory, case, promise, now=now)
        reminding.knows(directory, case, promise, now=now)
    else:
        promise.reminded_at = promise.reminded_at or now
    if to is not None or promise.moves_to is None:
        promise.planned_by_id, promise.planned_at = by_id, now
    if to is not None:
        promise.moves_to = to
        promise.notice_at = _tells_at(directory, case, promise, now=now)
        if scheduling.as_planned(directory, case, promise, now=promise.notice_at) is None:
            raise NoRoom  # by the time the customer hears of it, it would be too near
    settle(session, case, now=now)
    return promise.notice_at


def forget_plan(session: Session, case: Case, *, promise_id: int, now: datetime, version: int | None = None) -> None:
    """Take back what a person planned: the promise stands as it was given, and whoever acts is reminded of it.

    Whoever has been reminded is not reminded again. A date that a calendar moves it to stays. Raises NotOpen,
    StaleCase: also where no person planned anything.
    """
    hold_open(session, case, version=version)
    promise = _open_one(session, case, promise_id)
    if promise.planned_by_id is None and promise.reason is None:
        raise StaleCase
    promise.reason = None
    _without_a_date(session, directories.load(session, now=now), case, promise, now=now)
    promise.reminded_at = None
    settle(session, case, now=now)


def _without_a_date(session: Session, directory: Directory, case: Case, promise: Promise, *, now: datetime) -> None:
    """The date that a person planned falls away; one that a calendar sets stands, or comes back."""
    if promise.moves_to is not None and not promise.moves_by_hand:
        return
    promise.moves_to, promise.planned_by_id, promise.planned_at = None, None, None
    promise.notice_at = _ladders(directory, case, promise)
    replanning.reschedule(directory, case, promise, reminding.reminded_of(session, [promise]), now=now)


def _tells_at(directory: Directory, case: Case, promise: Promise, *, now: datetime) -> datetime:
    """When the customer will hear of the new date: 15 minutes after it was planned, or with the ladder's notice."""
    notice_at = _ladders(directory, case, promise)
    try:
        opens = business_time.next_open(directory.sending(directory.team_of(case)), now + TIME_TO_EDIT)
    except (NoBusinessTime, BeyondHolidayTable):
        return notice_at
    return min(notice_at, opens)


def _ladders(directory: Directory, case: Case, promise: Promise) -> datetime:
    """The instant of the notice as the service level sets it, whatever was planned in between."""
    team = directory.team_of(case)
    try:
        return service_level.schedule(
            scheduling.level_of(directory, case),
            directory.calendar(team),
            directory.sending(team),
            given_at=promise.given_at,
            due_at=promise.due_at,
        ).notice_at
    except (NoBusinessTime, BeyondHolidayTable, service_level.NoRoom):
        return promise.notice_at  # the hours have changed since it was given


def _open_one(session: Session, case: Case, promise_id: int) -> Promise:
    promise = next((one for one in promises.open_of(session, case.id) if one.id == promise_id), None)
    if promise is None or promise.waiting is not None:
        raise NotOpen
    return promise
