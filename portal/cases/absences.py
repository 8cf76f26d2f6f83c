"""Absences: somebody is away from now on, or from a day ahead, and no waiting letter names them any more."""

from datetime import datetime

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Letter
from portal.people.models import Absence
from portal.promises.models import Promise, PromiseState

_TURN = 4_051_977
"""The number of PostgreSQL's advisory lock: shared by whoever writes letters, alone for whoever enters an absence."""


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
        _wait_for_letters_in_the_making(session)
    absence = Absence(
        person_id=person_id, starts_at=starts_at, ends_at=ends_at, deputy_id=deputy_id, entered_by_id=by_id
    )
    session.add(absence)
    session.flush()
    if concerns_letters:
        outbox.outdate(session, true_after=starts_at, now=now)
        _remind_anew(session, from_at=max(starts_at, now))
    return absence.id


def none_meanwhile(session: Session) -> None:
    """Until this transaction ends, whoever enters an absence waits for it; first waits for one that is being entered.

    For whoever is about to write letters, before they read who is there and before they hold anything that an absence
    changes: every step on a case begins so (``settling.hold``), and so does a new case.
    """
    if _on_postgresql(session):
        session.connection().exec_driver_sql(f"SELECT pg_advisory_xact_lock_shared({_TURN})")


def _wait_for_letters_in_the_making(session: Session) -> None:
    """Whoever is writing letters has read who is there: their letters are to be found, and no more begin meanwhile.

    PostgreSQL serves those who wait in turn: neither side starves the other. On SQLite one writes at a time anyway.
    """
    if _on_postgresql(session):
        session.connection().exec_driver_sql(f"SELECT pg_advisory_xact_lock({_TURN})")


def _on_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def _remind_anew(session: Session, *, from_at: datetime) -> None:
    """Whoever acts from then on has not been reminded of what others were reminded of, and is at that time.

    The person may act for others too: whoever has been reminded already is not reminded again (``reminding``).
    """
    sent = select(Letter.id).where(Letter.promise_id == Promise.id, Letter.kind == LetterKind.STAFF_REMINDER)
    goes_on = and_(Promise.remind_at > from_at, sent.exists())  # waits for a later change already
    session.execute(
        update(Promise)
        .where(Promise.state == PromiseState.OPEN, or_(Promise.reminded_at.is_not(None), goes_on))
        .where(Promise.notice_at > from_at, or_(Promise.moves_to.is_(None), Promise.planned_by_id.is_(None)))
        .values(reminded_at=None, remind_at=from_at)
    )
