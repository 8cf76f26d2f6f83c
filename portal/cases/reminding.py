"""Reminding: whoever acts hears of a promise while there is time to keep it, or to call and give an interim status."""

from datetime import datetime

from sqlalchemy.orm import Session

from portal.cases import directory as directories
from portal.cases import writing
from portal.cases.directory import Directory
from portal.cases.models import Case, CaseState
from portal.cases.settling import hold
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.promises import service as promises
from portal.promises import wording
from portal.promises.models import Promise


def remind(session: Session, case: Case, *, now: datetime) -> None:
    """Remind whoever acts of the promises of this case that fall due. Does nothing where nothing is due any more."""
    hold(session, case)
    if case.state != CaseState.OPEN:
        return
    directory = directories.load(session, now=now)
    for promise in promises.open_of(session, case.id):
        if promise.remind_at is None or promise.remind_at > now or promise.reminded_at is not None:
            continue
        promise.reminded_at = now
        if promise.notice_at > now:  # otherwise the notice itself tells them
            _remind(session, directory, case, promise, now=now)


def _remind(session: Session, directory: Directory, case: Case, promise: Promise, *, now: datetime) -> None:
    acting = directory.acting(promise.person_id, now, topic_id=case.topic_id)
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
        promise=promise,
        reader_id=acting.person_id,
        now=now,
        says={
            "notice": voice.moment(promise.notice_at, now=now),
            "left": wording.time_left(calendar, promise.due_at, voice, now=now),
            "number": case.notices,
            "for_name": None if acting.for_id is None else directory.people[acting.for_id].name,
        },
    )
