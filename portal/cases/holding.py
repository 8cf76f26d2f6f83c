"""Held letters: above a mailbox's cap the case is stored and shown, and its letter waits for staff (``limiting``).

Meanwhile law 1 holds by the page and by people: the promise of the case is on its owner's worklist with its date, and
the letter is on everybody's, with a date by which somebody decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.cases import directory as directories
from portal.cases import scheduling
from portal.cases.errors import NotHeld
from portal.cases.models import Case
from portal.cases.settling import hold
from portal.customers.models import Customer
from portal.db import wake_worker
from portal.journal import service as journal
from portal.journal.models import Actor, Channel, Kind
from portal.languages import Voice
from portal.mail import outbox
from portal.mail.models import HoldReason, Letter, LetterState

MOST_LETTERS = 200


@dataclass(frozen=True)
class Held:
    """A case whose letters wait for staff; the reason and the dates are those of the oldest."""

    reference: str
    customer_name: str
    kind: str
    reason: HoldReason
    decide_by_at: datetime
    decide_by: str
    late: bool


def held(session: Session, *, voice: Voice, now: datetime) -> list[Held]:
    """Cases with letters that wait for staff, the longest first."""
    rows = session.execute(
        select(Letter, Case, Customer.name)
        .join(Case, Case.id == Letter.case_id)
        .join(Customer, Customer.id == Case.customer_id)
        .where(Letter.state == LetterState.HELD)
        .order_by(Letter.queued_at, Letter.id)
        .limit(MOST_LETTERS)
    ).all()
    if not rows:
        return []
    directory = directories.load(session, now=now)
    found: dict[int, Held] = {}
    for letter, case, customer_name in rows:
        if case.id in found or letter.hold_reason is None:
            continue
        by = scheduling.check_by(directory, directory.team_of(case), now=letter.queued_at)
        due, late = voice.short_moment(by, now=now), by <= now
        found[case.id] = Held(case.reference, customer_name, letter.kind, letter.hold_reason, by, due, late)
    return list(found.values())


def release(session: Session, case: Case, *, by_id: int, now: datetime) -> None:
    """Staff let the letters of a case go: they are queued, and written anew with the truth of then before they leave.

    Raises NotHeld.
    """
    for letter in _held(session, case):
        outbox.release(letter, now=now)
    wake_worker(session)
    _note(session, case, Kind.LETTER_RELEASED, by_id=by_id, now=now)


def drop(session: Session, case: Case, *, by_id: int, now: datetime) -> None:
    """Staff do not want the letters sent; what the case promised stands, and the page says it. Raises NotHeld."""
    for letter in _held(session, case):
        outbox.drop_untrue(letter, now=now)
    _note(session, case, Kind.LETTER_DROPPED, by_id=by_id, now=now)


def _held(session: Session, case: Case) -> Sequence[Letter]:
    """The letters of a case that wait for staff; the case is held first, as everywhere."""
    hold(session, case)
    query = select(Letter).where(Letter.case_id == case.id, Letter.state == LetterState.HELD).order_by(Letter.id)
    letters = session.scalars(query.with_for_update().execution_options(populate_existing=True)).all()
    if not letters:
        raise NotHeld
    return letters


def _note(session: Session, case: Case, kind: Kind, *, by_id: int, now: datetime) -> None:
    journal.record(
        session,
        case_id=case.id,
        kind=kind,
        channel=Channel.SYSTEM,
        actor=Actor.PERSON,
        person_id=by_id,
        visible=False,
        now=now,
    )
    case.version += 1
