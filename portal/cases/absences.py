"""Absences: somebody is away from now on, or from a day ahead, and no waiting letter names them any more."""

from collections.abc import Collection
from datetime import datetime
from time import sleep

from sqlalchemy import Select, and_, or_, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from portal.cases import directory as directories
from portal.cases.directory import Directory
from portal.cases.models import Case
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Letter
from portal.people.models import Absence
from portal.promises.models import IS_OPEN, Promise

_TURN = 4_051_977
"""The number of PostgreSQL's advisory lock: shared by whoever writes letters, alone for whoever enters an absence."""
_NOT_AVAILABLE = "55P03"
"""What PostgreSQL says when a lock was not free in time."""
_MOMENT_MS, _BETWEEN, _ATTEMPTS = 500, 0.1, 8
"""How long one attempt at the lock waits, the seconds until the next, and how many there are: five seconds in all."""


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
    absence = Absence(
        person_id=person_id, starts_at=starts_at, ends_at=ends_at, deputy_id=deputy_id, entered_by_id=by_id
    )
    if ends_at is not None and ends_at <= now:
        return _added(session, absence)
    _wait_for_letters_in_the_making(session)
    before = directories.load(session, now=now)
    absence_id = _added(session, absence)
    outbox.outdate(session, true_after=starts_at, now=now)
    after = directories.load(session, now=now)
    _remind_anew(session, person_id, before, after, from_at=max(starts_at, now))
    return absence_id


def _added(session: Session, absence: Absence) -> int:
    session.add(absence)
    session.flush()
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

    PostgreSQL serves those who wait in turn, so whoever begins a letter after us waits behind us: we ask for a moment
    only, and again, so that one case that hangs does not hold up every form. Raises OperationalError after some
    seconds. On SQLite one writes at a time anyway.
    """
    if not _on_postgresql(session):
        return
    for left in reversed(range(_ATTEMPTS)):
        try:
            with session.begin_nested():
                connection = session.connection()
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_MOMENT_MS}")
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_TURN})")
                connection.exec_driver_sql("SET LOCAL lock_timeout TO DEFAULT")
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _NOT_AVAILABLE or not left:
                raise
            sleep(_BETWEEN)
        else:
            return


def _on_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def _remind_anew(session: Session, person_id: int, before: Directory, after: Directory, *, from_at: datetime) -> None:
    """Whoever acts from then on has not been reminded of what others were reminded of, and is at that time.

    So is whoever takes over what was too short for a reminder: its person knew of it, they do not. The person may act
    for others too, who are not there. Whoever has been reminded already is not reminded again (``reminding``).
    """
    concerned = [one for one in before.people if one == person_id or not before.is_present(one, from_at)]
    rows = session.execute(_remindable(concerned, from_at=from_at)).all()
    passes_on = {
        (owner_id, topic_id)
        for owner_id, topic_id in {(row.person_id, row.topic_id) for row in rows}
        if before.acting(owner_id, from_at, topic_id=topic_id).person_id
        != after.acting(owner_id, from_at, topic_id=topic_id).person_id
    }
    ids = [row.id for row in rows if (row.person_id, row.topic_id) in passes_on]
    session.execute(update(Promise).where(Promise.id.in_(ids)).values(reminded_at=None, remind_at=from_at))


def _remindable(person_ids: Collection[int], *, from_at: datetime) -> Select[int, int, int]:
    """Open promises of these people of which nobody is going to be reminded before that instant."""
    sent = select(Letter.id).where(Letter.promise_id == Promise.id, Letter.kind == LetterKind.STAFF_REMINDER)
    goes_on = and_(Promise.remind_at > from_at, sent.exists())  # waits for a later change already
    return (
        select(Promise.id, Promise.person_id, Case.topic_id)
        .join(Case, Case.id == Promise.case_id)
        .where(Promise.person_id.in_(person_ids), IS_OPEN, Promise.waiting.is_(None), Promise.notice_at > from_at)
        .where(or_(Promise.moves_to.is_(None), Promise.planned_by_id.is_(None)))  # not moved by hand
        .where(or_(Promise.reminded_at.is_not(None), Promise.remind_at.is_(None), goes_on))
    )
