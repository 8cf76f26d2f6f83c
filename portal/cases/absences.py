"""Absences: somebody is away from now on, or from a day ahead, and no waiting letter names them any more."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from portal.cases.models import Case
from portal.mail import outbox
from portal.mail.models import Audience, Letter, LetterState
from portal.people.models import Absence, Person, Team
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

    Letters that wait and may name this person while they are away are written anew before they leave, at once where the
    absence holds now. The schema refuses an end before the start, and a deputy who is the person.
    """
    absence = Absence(
        person_id=person_id, starts_at=starts_at, ends_at=ends_at, deputy_id=deputy_id, entered_by_id=by_id
    )
    session.add(absence)
    session.flush()
    if ends_at is None or ends_at > now:
        waiting = _may_name(session, person_id, starts_at)
        _hold_cases(session, person_id, set(waiting.values()))
        outbox.outdate(session, waiting, now=now)
        if starts_at <= now:
            _remind_anew(session, person_id, now=now)
    return absence.id


def _remind_anew(session: Session, person_id: int, *, now: datetime) -> None:
    """Whoever acts from now on has not been reminded of what the person was reminded of."""
    session.execute(
        update(Promise)
        .where(Promise.person_id == person_id, Promise.state == PromiseState.OPEN)
        .where(Promise.reminded_at.is_not(None), Promise.notice_at > now, Promise.planned_at.is_(None))
        .values(reminded_at=None)
    )


def _hold_cases(session: Session, person_id: int, of_letters: Collection[int | None]) -> None:
    """Hold every case whose letters or promises are changed, as each step does before it touches them.

    In the order of their ids, so that no two who hold several wait for each other.
    """
    promised = select(Promise.case_id).where(Promise.person_id == person_id, Promise.state == PromiseState.OPEN)
    held = select(Case.id).where(or_(Case.id.in_(of_letters), Case.id.in_(promised)))
    session.execute(held.order_by(Case.id).with_for_update()).all()


def _may_name(session: Session, person_id: int, starts_at: datetime) -> dict[int, int | None]:
    """Letters to customers that wait, are still to be sent when the absence has begun, and may name the person.

    Their ids, each with its case.
    """
    led = select(Person.id).join(Team, Team.id == Person.team_id).where(Team.lead_id == person_id)
    promised = select(Promise.case_id).where(Promise.person_id == person_id, Promise.state == PromiseState.OPEN)
    concerned = or_(
        Letter.person_id == person_id,
        Case.owner_id == person_id,
        Case.owner_id.in_(led),  # a second notice names the lead
        Case.id.in_(promised),
    )
    found = (
        select(Letter.id, Letter.case_id)
        .join(Case, Case.id == Letter.case_id)
        .where(Letter.audience == Audience.CUSTOMER, Letter.state.in_((LetterState.QUEUED, LetterState.SENDING)))
        .where(Letter.valid_until > starts_at, concerned)
    )
    return {row.id: row.case_id for row in session.execute(found)}
