"""Replanning: running promises after a holiday, a closure, working hours or a service level changed.

What was promised stands wherever it can be kept: only the instants of the reminder and of the notice are worked out
anew. A date on which nobody works any more moves to the next one with room, and the customer is told in time.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.cases import directory as directories
from portal.cases import reminding, scheduling
from portal.cases.directory import Directory
from portal.cases.models import Case, CaseState
from portal.cases.settling import hold, settle
from portal.db import upsert
from portal.people.models import Team
from portal.promises import business_time, service_level
from portal.promises import service as promises
from portal.promises.business_time import BeyondHolidayTable, NoBusinessTime
from portal.promises.models import Promise, PromiseState, Replanning, Waiting

BATCH = 500
"""Promises looked at in one reading transaction."""
A_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Rescheduled:
    """When the worker acts on a promise, and the date it then moves to if the promised one cannot be kept."""

    remind_at: datetime | None
    notice_at: datetime
    moves_to: datetime | None


def mark(directory: Directory) -> str:
    """What the dates of promises depend on, as one word: hours, closures, levels, and who is in which team."""
    company = directory.company
    parts = (
        sorted((team.id, team.place, team.tz, sorted(directory.team_weeks.get(team.id, {}).items()))
               for team in directory.teams.values()),
        sorted(
            (str(row.place), row.team_id or 0, row.first_on, row.last_on, row.kind) for row in directory.closures
        ),
        sorted((level_id, str(row.level)) for level_id, row in directory.levels.items()),
        sorted((topic.id, topic.level_id) for topic in directory.topics.values()),
        sorted((person.id, person.team_id) for person in directory.people.values()),
        (company.sends_from_minute, company.sends_until_minute),
    )  # fmt: skip
    return sha256(repr(parts).encode()).hexdigest()


def is_done(session: Session, present: str) -> bool:
    """Whether all promises have the instants of the present calendars."""
    row = session.get(Replanning, 1)
    return row is not None and row.mark == present and row.after_id is None


def cases_to_replan(session: Session, directory: Directory, *, now: datetime) -> tuple[Sequence[int], int | None]:
    """The cases of the next batch whose promises the present calendars reschedule, and the promise the batch ends with.

    None when there is nothing after it: every promise has been looked at.
    """
    row = session.get(Replanning, 1)
    after = 0 if row is None or row.mark != mark(directory) or row.after_id is None else row.after_id
    batch = session.execute(
        select(Promise, Case)
        .join(Case, Case.id == Promise.case_id)
        .where(Promise.state == PromiseState.OPEN, Promise.id > after)
        .order_by(Promise.id)
        .limit(BATCH)
    ).all()
    reminded = reminding.reminded_of(session, [promise for promise, _ in batch])
    changed = dict.fromkeys(case.id for promise, case in batch if _differs(directory, case, promise, reminded, now=now))
    return list(changed), batch[-1][0].id if len(batch) == BATCH else None


def note_done(session: Session, present: str, after_id: int | None) -> None:
    """Note how far the promises have been looked at by these calendars; several workers may come to the first note."""
    seen = {"mark": present, "after_id": after_id}
    session.execute(
        upsert(session, Replanning)
        .values(id=1, **seen)
        .on_conflict_do_update(index_elements=[Replanning.id], set_=seen)
    )


def replan(session: Session, case: Case, *, now: datetime) -> None:
    """Reschedule a case's open promises by the present calendars. The worker moves, and tells, what has to move."""
    hold(session, case)
    if case.state != CaseState.OPEN:
        return
    directory = directories.load(session, now=now)
    steps = promises.open_of(session, case.id)
    reminded = reminding.reminded_of(session, steps)
    changed = [reschedule(directory, case, promise, reminded, now=now) for promise in steps]
    if any(changed):
        settle(session, case, now=now)


def reschedule(directory: Directory, case: Case, promise: Promise, reminded: Collection[int], *, now: datetime) -> bool:
    """Give a promise the instants of the present calendars; False where it has them.

    ``reminded`` holds the ids of promises of which somebody has been reminded: such a one waits for whoever acts next.
    """
    new = rescheduled(directory, case, promise, reminded, now=now)
    if new is None or new == _present(promise):
        return False
    promise.remind_at, promise.notice_at = new.remind_at, new.notice_at
    if new.moves_to != promise.moves_to:
        promise.moves_to, promise.planned_at, promise.planned_by_id = new.moves_to, now, None
    return True


def rescheduled(
    directory: Directory, case: Case, promise: Promise, reminded: Collection[int], *, now: datetime
) -> Rescheduled | None:
    """The instants of this promise by the present calendars; None where they leave it alone.

    Left alone is what has passed or is about to move, an announced closing, and what no calendar can date.
    """
    if min(promise.due_at, promise.notice_at) <= now or promise.waiting == Waiting.CLOSING:
        return None
    try:
        for team in _teams(directory, case, promise):
            if business_time.latest_open(directory.calendar(team), promise.due_at) == promise.due_at:
                return _kept_date(directory, case, promise, team, reminded, now=now)
    except service_level.NoRoom:
        pass  # it could be kept, but no notice could be given before it
    except (NoBusinessTime, BeyondHolidayTable):
        return None
    return _moved_date(directory, case, promise, now=now)


def _teams(directory: Directory, case: Case, promise: Promise) -> tuple[Team, ...]:
    """Whose hours the date may be counted in: a first answer in those of the topic's team, the rest in the owner's."""
    owners, topics = directory.team_of(case), directory.teams[directory.topics[case.topic_id].team_id]
    is_first = promise.given_by_id is None and promise.replaces_id is None
    return (topics, owners) if is_first else (owners, topics)


def _kept_date(
    directory: Directory, case: Case, promise: Promise, team: Team, reminded: Collection[int], *, now: datetime
) -> Rescheduled:
    """The instants of a date that stands.

    A notice that would have been due by now stays where it was, if letters leave then: there is still time to keep the
    date, and nobody is told of a delay only because a level changed.
    """
    sending = directory.sending(team)
    schedule = service_level.schedule(
        scheduling.level_of(directory, case),
        directory.calendar(team),
        sending,
        given_at=promise.given_at,
        due_at=promise.due_at,
    )
    if promise.moves_by_hand:  # what a person planned goes out when they said
        return Rescheduled(promise.remind_at, min(schedule.notice_at, promise.notice_at), promise.moves_to)
    if promise.waiting is not None:
        return Rescheduled(None, schedule.notice_at, None)
    if schedule.notice_at <= now and business_time.is_open(sending, promise.notice_at):
        return Rescheduled(promise.remind_at, promise.notice_at, None)
    # A level under which a promise is too short for a reminder takes none away: it may be for whoever stands in.
    goes_on = promise.id in reminded or schedule.remind_at is None
    return Rescheduled(promise.remind_at if goes_on else schedule.remind_at, schedule.notice_at, None)


def _moved_date(directory: Directory, case: Case, promise: Promise, *, now: datetime) -> Rescheduled | None:
    """A date that cannot be kept: the next one with room, told at the next hour at which letters leave."""
    team, level = directory.team_of(case), scheduling.level_of(directory, case)
    calendar, sending = directory.calendar(team), directory.sending(team)
    try:
        later = service_level.due_after(
            0, calendar, sending, level=level, given_at=now, counted_from=promise.due_at + A_SECOND
        ).due_at
        opens = business_time.next_open(sending, now)
    except (service_level.NoRoom, NoBusinessTime, BeyondHolidayTable):
        return None
    told_at = min(promise.notice_at, opens if opens < promise.due_at else now)
    notice_at = max(promise.given_at + A_SECOND, told_at)
    if promise.waiting is not None:  # then the ladder of waiting goes on that much earlier
        return Rescheduled(None, notice_at, None)
    planned = promise.moves_to if promise.moves_by_hand else None
    return Rescheduled(promise.remind_at, notice_at, max(later, planned or later))


def _differs(directory: Directory, case: Case, promise: Promise, reminded: Collection[int], *, now: datetime) -> bool:
    new = rescheduled(directory, case, promise, reminded, now=now)
    return new is not None and new != _present(promise)


def _present(promise: Promise) -> Rescheduled:
    return Rescheduled(promise.remind_at, promise.notice_at, promise.moves_to)
