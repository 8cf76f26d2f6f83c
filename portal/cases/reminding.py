"""Reminding: whoever acts hears of a promise while there is time to keep it, or to call and give an interim status.

Where somebody else will act before the customer is told of a delay (a planned absence, a day off, somebody who comes
back), the promise is not reminded of for the last time: it waits, as before, for its next ``remind_at``.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy.orm import Session

from portal.cases import directory as directories
from portal.cases import scheduling, writing
from portal.cases.directory import Directory
from portal.cases.models import Case, CaseState
from portal.cases.settling import first_look, hold
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.people.presence import Acting
from portal.promises import wording
from portal.promises.models import Promise


def remind(session: Session, case: Case, *, now: datetime) -> None:
    """Remind whoever acts of the promises of this case that fall due. Does nothing where nothing is due any more."""
    hold(session, case)
    if case.state != CaseState.OPEN:
        return
    directory = directories.load(session, now=now)
    for promise in first_look(session, case):
        if promise.remind_at is None or promise.remind_at > now or promise.reminded_at is not None:
            continue
        if promise.notice_at <= now:  # then the notice itself tells them
            promise.reminded_at = now
            continue
        acting = directory.acting(promise.person_id, now, topic_id=case.topic_id)
        _remind(session, directory, case, promise, acting, now=now)
        _wait_for_the_next(directory, case, promise, acting, acts_at=now, now=now)


def knows(directory: Directory, case: Case, promise: Promise, *, now: datetime) -> None:
    """Whoever acts now needs no reminder of this promise: the next is for whoever acts later, if anybody does."""
    promise.reminded_at = None
    acting = directory.acting(promise.person_id, now, topic_id=case.topic_id)
    at = max(now, promise.remind_at or now)
    if directory.acting(promise.person_id, at, topic_id=case.topic_id).person_id == acting.person_id:
        _wait_for_the_next(directory, case, promise, acting, acts_at=at, now=now)


def _wait_for_the_next(
    directory: Directory, case: Case, promise: Promise, acting: Acting, *, acts_at: datetime, now: datetime
) -> None:
    """Whoever acts at ``acts_at`` knows: the promise waits for whoever acts after them, before its notice."""
    next_at = _somebody_else_acts_at(directory, case, promise, acting, now=acts_at)
    if next_at is None:
        promise.reminded_at = now
    else:
        promise.remind_at = next_at


def reminded_of(session: Session, promises: Collection[Promise]) -> set[int]:
    """The ids of those of these promises of which somebody has been reminded."""
    ids = [promise.id for promise in promises if promise.remind_at is not None]
    return outbox.told_of(session, ids, LetterKind.STAFF_REMINDER) if ids else set()


def _somebody_else_acts_at(
    directory: Directory, case: Case, promise: Promise, acting: Acting, *, now: datetime
) -> datetime | None:
    """When, before its notice, a promise passes to somebody else than now; None where it does not."""
    changes = {change for absence in directory.absences for change in (absence.starts_at, absence.ends_at) if change}
    day = scheduling.end_of_day(directory, case, now=now)
    while day < promise.notice_at:
        changes.add(day)
        day = scheduling.end_of_day(directory, case, now=day)
    return next(
        (
            at
            for at in sorted(changes)
            if now < at < promise.notice_at
            and directory.acting(promise.person_id, at, topic_id=case.topic_id).person_id != acting.person_id
        ),
        None,
    )


def _remind(
    session: Session, directory: Directory, case: Case, promise: Promise, acting: Acting, *, now: datetime
) -> None:
    key = f"staff_reminder:{promise.id}:{acting.person_id}"
    if outbox.is_written(session, key):
        return  # an absence was entered that changes nothing for this promise
    voice = writing.staff_voice(directory, case, acting.person_id)
    calendar = directory.calendar(directory.team_of(case))
    writing.to_staff(
        session,
        directory,
        case,
        LetterKind.STAFF_REMINDER,
        key=key,
        step=promise,
        reader_id=acting.person_id,
        now=now,
        says={
            "notice": voice.moment(promise.notice_at, now=now),
            "left": wording.time_left(calendar, promise.due_at, voice, now=now),
            "number": case.notices,
            "for_name": None if acting.for_id is None else directory.people[acting.for_id].name,
        },
    )
