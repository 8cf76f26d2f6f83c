"""Erasure: the one path that takes out who it was and what was said. Kinds, states and times stay (law 7).

The register says which columns that concerns. A tombstone stays: the case with its reference and its dates, and the
rows of its journal, promises and letters, empty.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.orm import Session

from portal import config, limits
from portal.cases import closing, register
from portal.cases import directory as directories
from portal.cases.errors import NotOpen
from portal.cases.models import NOT_ERASED, Case, CaseState, LinkWish, Submission, Topic
from portal.cases.settling import hold
from portal.customers.models import Customer
from portal.db import Base, table_of
from portal.journal import files
from portal.journal import service as journal
from portal.journal.models import Actor, Channel, Kind
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Letter, LetterState
from portal.promises.models import Promise

MAILBOX_COUNTERS = ("link", "mail")
"""Kinds of counters that count what reaches a mailbox."""

BUSINESS_LETTERS = frozenset({LetterKind.REPLY, LetterKind.QUESTION, LetterKind.RECAP, LetterKind.CLOSED})
"""The letters in which a person answered: what the duty to keep commercial correspondence is about."""
BUSINESS_ENTRIES = frozenset(
    {
        *(Kind.RECEIVED, Kind.MESSAGE, Kind.REPLY, Kind.QUESTION, Kind.MAIL, Kind.LETTER),
        *(Kind.CLOSED, Kind.REOPENED, Kind.ERASURE_CONFIRMED, Kind.ERASED_PARTLY),
    }
)
"""The same in the journal: what both sides wrote. Calls, visits and notes are none of it."""


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


@dataclass(frozen=True)
class Due:
    """A case to be erased, as whoever runs the program may see it: nobody is named."""

    day: date
    reference: str
    state: CaseState
    topic: str
    """The topic's short name."""


def due_until(session: Session, last_day: date) -> list[Due]:
    """What will be erased up to and with ``last_day`` if nobody opens it again; the earliest first."""
    rows = session.execute(
        select(Case.erase_on, Case.reference, Case.state, Topic.slug)
        .join(Topic, Topic.id == Case.topic_id)
        .where(is_due(last_day))
        .order_by(Case.erase_on, Case.reference)
    )
    return [Due(day, reference, state, slug) for day, reference, state, slug in rows if day is not None]


def carry_out(session: Session, case: Case, *, now: datetime) -> None:
    """What the case's date means: everything goes; or, where a customer asked for it before the end of a duty's
    retention, everything but the business letters, which get a date of their own. Raises NotOpen."""
    directory = directories.load(session, now=now)
    ends = closing.retention_ends(directory, case, now=now)
    asked, today = case.erasure_confirmed_at is not None, directory.voice_of(case).local(now).date()
    if asked and case.topic.is_commercial and ends > today:
        erase_but_business_letters(session, case, until=ends, now=now)
    else:
        erase(session, case, now=now)


def erase_but_business_letters(session: Session, case: Case, *, until: date, now: datetime) -> None:
    """Blank everything but what belongs to business letters; that goes on the day ``until``. Raises NotOpen."""
    hold(session, case)
    if case.state != CaseState.CLOSED:
        raise NotOpen
    outbox.withdraw(session, case.id, now=now)
    _forget_mailbox(session, case.customer)
    for name, value in _empty(Customer, register.blanked("customer", kept_on_duty=True)).items():
        setattr(case.customer, name, value)
    case.erasure_asked_at, case.erasure_confirmed_at, case.partly_erased_at = None, None, now
    case.erase_on, case.reopen_until = until, min(case.reopen_until or now, now)
    journal.record(
        session, case_id=case.id, kind=Kind.ERASED_PARTLY, channel=Channel.SYSTEM, actor=Actor.SYSTEM, now=now
    )
    session.flush()
    is_kept = Letter.kind.in_(BUSINESS_LETTERS)
    blank = update(Letter).where(Letter.case_id == case.id)
    session.execute(blank.where(is_kept).values(_empty(Letter, register.blanked("letter", kept_on_duty=True))))
    session.execute(blank.where(~is_kept).values(_empty(Letter, register.blanked("letter"))))
    promises = update(Promise).where(Promise.case_id == case.id)
    session.execute(promises.values(_empty(Promise, register.blanked("promise"))))
    session.execute(delete(Submission).where(Submission.case_id == case.id))
    journal.blank(session, case.id, but=BUSINESS_ENTRIES, now=now)
    files.erase(session, case.id)
    case.version += 1


def erase(session: Session, case: Case, *, now: datetime) -> None:
    """Blank everything that says who it was and what was said. Raises NotOpen for a case that still is open."""
    hold(session, case)
    if case.state == CaseState.OPEN:
        raise NotOpen
    outbox.withdraw(session, case.id, now=now)
    case.erasure_asked_at, case.erasure_confirmed_at = None, None
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
    _forget_mailbox(session, customer)
    for name, value in _empty(Customer, register.blanked("customer")).items():
        setattr(customer, name, value)
    customer.account_id, customer.erased_at = None, now


def _forget_mailbox(session: Session, customer: Customer) -> None:
    """What is kept of the mailbox beside the cases, unless another customer has the same one."""
    mailbox = customer.email_key
    if mailbox is None:
        return
    others = select(Customer.id).where(Customer.email_key == mailbox, Customer.id != customer.id)
    if session.execute(others.limit(1)).first() is not None:
        return
    session.execute(delete(LinkWish).where(LinkWish.email_key == mailbox))
    key = config.current().counter_key
    limits.drop(session, [limits.name_for(kind, mailbox, key=key) for kind in MAILBOX_COUNTERS])


def _empty(model: type[Base], names: Collection[str]) -> dict[str, Any]:
    """The columns with nothing in them: NULL where the schema allows it, else an empty text or no bytes."""
    columns = table_of(model).c
    return {name: None if columns[name].nullable else columns[name].type.python_type() for name in sorted(names)}
