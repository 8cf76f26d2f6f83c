"""Absences: somebody is away from now on, or from a day ahead, and no waiting letter names them any more."""

from datetime import datetime

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from portal.cases.models import Case, CaseState
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Letter, LetterState
from portal.people.models import Absence
from portal.promises.models import Promise, PromiseState


def enter(
    session: Session,
    *,
    person_id: int,
    starts_at: datetime,
    ends_at: datetime | None,
    deputy_id: int | None,
    by_id: int,
    now: datetime,
) -> int:
    """Enter an absence; ``ends_at`` is None while the end is not known. Returns its id.

    Letters that wait and would be true beyond its beginning are written anew before they leave: any may name this
    person, who signs it, reads it, is promised in it, or stands in for somebody. One that does not says the same again.
    The schema refuses an end before the start, and a deputy who is the person.
    """
    concerns_letters = ends_at is None or ends_at > now
    if concerns_letters:
        _hold_cases(session, now=now)
    absence = Absence(
        person_id=person_id, starts_at=starts_at, ends_at=ends_at, deputy_id=deputy_id, entered_by_id=by_id
    )
    session.add(absence)
    session.flush()
    if concerns_letters:
        outbox.outdate(session, true_after=starts_at, now=now)
        _remind_anew(session, from_at=max(starts_at, now))
    return absence.id


def _remind_anew(session: Session, *, from_at: datetime) -> None:
    """Whoever acts from then on has not been reminded of what others were reminded of, and is at that time.

    The person may act for others too: whoever has been reminded already is not reminded again (``reminding``).
    """
    sent = select(Letter.id).where(Letter.promise_id == Promise.id, Letter.kind == LetterKind.STAFF_REMINDER)
    goes_on = and_(Promise.remind_at > from_at, sent.exists())  # waits for a later change already
    session.execute(
        update(Promise)
        .where(Promise.state == PromiseState.OPEN, or_(Promise.reminded_at.is_not(None), goes_on))
        .where(Promise.notice_at > from_at, Promise.planned_at.is_(None))
        .values(reminded_at=None, remind_at=from_at)
    )


def _hold_cases(session: Session, *, now: datetime) -> None:
    """Hold every case of which a letter waits or may be in the making, before anything is looked for.

    Who holds one has read who is there, and may be about to write a letter: it waits for them, or they for the absence.
    In the order of their ids, so that no two who hold several wait for each other.
    """
    waiting = select(Letter.case_id).where(Letter.state.in_((LetterState.QUEUED, LetterState.SENDING)))
    may_write = or_(Case.state == CaseState.OPEN, Case.reopen_until >= now, Case.id.in_(waiting))
    session.execute(select(Case.id).where(may_write).order_by(Case.id).with_for_update()).all()
