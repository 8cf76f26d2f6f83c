"""Erasure: the one path that takes out who it was and what was said. Kinds, states and times stay (law 7).

The register says which columns that concerns. A tombstone stays: the case with its reference and its dates, and the
rows of its journal, promises and letters, empty.
"""

from collections.abc import Collection
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.orm import Session

from portal import config, limits
from portal.cases import register
from portal.cases.errors import NotOpen
from portal.cases.models import NOT_ERASED, Case, CaseState, LinkWish, Submission
from portal.cases.settling import hold
from portal.customers.models import Customer
from portal.db import Base, table_of
from portal.journal import files
from portal.journal import service as journal
from portal.journal.models import Actor, Channel, Kind
from portal.mail import outbox
from portal.mail.models import Letter, LetterState
from portal.promises.models import Promise

MAILBOX_COUNTERS = ("link", "mail")
"""Kinds of counters that count what reaches a mailbox."""


def is_due(today: date) -> ColumnElement[bool]:
    """Whether a case's day has come. Open cases have none."""
    return and_(NOT_ERASED, Case.state != CaseState.OPEN, Case.erase_on <= today)


def next_to_erase(session: Session, *, today: date, but: Collection[int] = ()) -> Case | None:
    """A case whose date has come and of which no letter is on its way, or None; none of ``but``."""
    being_sent = select(Letter.id).where(Letter.case_id == Case.id, Letter.state == LetterState.SENDING)
    return session.scalars(
        select(Case)
        .where(is_due(today), ~being_sent.exists(), Case.id.not_in(but))
        .order_by(Case.erase_on, Case.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).one_or_none()


def erase(session: Session, case: Case, *, now: datetime) -> None:
    """Blank everything that says who it was and what was said. Raises NotOpen for a case that still is open."""
    hold(session, case)
    if case.state == CaseState.OPEN:
        raise NotOpen
    outbox.withdraw(session, case.id, now=now)
    if not _is_held_by_another(session, case):
        _erase_customer(session, case.customer, now=now)
    case.state, case.check_by_at, case.doubt = CaseState.ERASED, None, None
    session.flush()
    for model, owner in ((Case, Case.id), (Promise, Promise.case_id), (Letter, Letter.case_id)):
        values = _empty(model, register.blanked(model.__tablename__))
        session.execute(update(model).where(owner == case.id).values(values))
    session.execute(delete(Submission).where(Submission.case_id == case.id))
    journal.record(
        session,
        case_id=case.id,
        kind=Kind.ERASED,
        channel=Channel.SYSTEM,
        actor=Actor.SYSTEM,
        visible=False,
        now=now,
    )
    session.flush()
    journal.blank(session, case.id, now=now)
    files.erase(session, case.id)
    case.version += 1


def _is_held_by_another(session: Session, case: Case) -> bool:
    """Whether another case that is not erased belongs to the same row of a customer."""
    others = select(Case.id).where(Case.customer_id == case.customer_id, Case.id != case.id, NOT_ERASED)
    return session.execute(others.limit(1)).first() is not None


def _erase_customer(session: Session, customer: Customer, *, now: datetime) -> None:
    if customer.email_key is not None:
        _forget_mailbox(session, customer)
    for name, value in _empty(Customer, register.blanked("customer")).items():
        setattr(customer, name, value)
    customer.account_id, customer.erased_at = None, now


def _forget_mailbox(session: Session, customer: Customer) -> None:
    """What is kept of the mailbox beside the cases, unless another customer has the same one."""
    mailbox = customer.email_key
    assert mailbox is not None
    others = select(Customer.id).where(Customer.email_key == mailbox, Customer.id != customer.id)
    if session.execute(others.limit(1)).first() is not None:
        return
    session.execute(delete(LinkWish).where(LinkWish.email_key == mailbox))
    key = config.current().secret_keys[0]
    limits.drop(session, [limits.name_for(kind, mailbox, key=key) for kind in MAILBOX_COUNTERS])


def _empty(model: type[Base], names: Collection[str]) -> dict[str, Any]:
    """The columns with nothing in them: NULL where the schema allows it, else an empty text or no bytes."""
    columns = table_of(model).c
    return {name: None if columns[name].nullable else columns[name].type.python_type() for name in sorted(names)}
