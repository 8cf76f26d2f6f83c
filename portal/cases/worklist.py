"""The worklist: what waits for whom, by next step. There is no task table; every list is a question."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from portal.appointments import service as appointments
from portal.appointments.models import IS_BOOKED, Appointment
from portal.cases import agreed_time, appointment_view, sending, writing
from portal.cases import directory as directories
from portal.cases import steps as stepping
from portal.cases.directory import Directory
from portal.cases.models import Case, CaseState, Doubt, Step
from portal.customers.models import Customer
from portal.languages import Voice
from portal.mail.models import Audience, Letter, LetterState, MailChannel
from portal.promises import wording
from portal.promises.models import Medium, Promise, Waiting

TOO_LONG = timedelta(minutes=15)
"""How long the page alone tells a step while its letter is on the way."""
APPOINTMENT = "appointment"
"""The kind of a row whose step is an agreed time."""
MOST_ROWS, MOST_LETTERS = 50, 500


class Scope(StrEnum):
    """Whose steps are listed: one's own (as owner or as deputy), the team's, everybody's."""

    MINE = "mine"
    TEAM = "team"
    ALL = "all"


@dataclass(frozen=True)
class Row:
    """One open case and what its customer waits for."""

    reference: str
    customer_name: str
    topic: str
    kind: str
    """The promise's, or ``APPOINTMENT``."""
    medium: Medium
    sentence: str
    due_at: datetime
    """The instant that is waited for."""
    due: str
    overdue_at: datetime
    """From when on it is overdue."""
    late: bool
    acting_name: str
    owner_name: str
    in_deputy: bool
    waits_for_customer: bool
    letter_failed: bool
    on_hold: bool
    """Whether an agreed time is not to be kept: another one is wished."""
    outcome_missing: bool
    """Whether an agreed time is over and nobody has said what became of it."""


@dataclass(frozen=True)
class Doubtful:
    """An entry that is not a case, or not yet."""

    reference: str
    customer_name: str
    topic: str
    doubt: Doubt | None
    state: CaseState
    received: str
    check_by_at: datetime | None
    check_by: str | None
    late: bool
    escalated: bool
    """Whether its first date has passed unread: it is the lead's."""


def worklist(session: Session, *, person_id: int, scope: Scope, language: str, now: datetime) -> list[Row]:
    """Open cases, the most urgent first."""
    directory = directories.load(session, now=now)
    found = session.execute(
        select(Case, Promise, Appointment, Customer)
        .outerjoin(Promise, Promise.id == Case.promise_id)
        .outerjoin(Appointment, and_(Appointment.case_id == Case.id, IS_BOOKED))
        .join(Customer, Customer.id == Case.customer_id)
        .where(Case.state == CaseState.OPEN)
        .order_by(func.coalesce(Promise.due_at, Appointment.starts_at), Case.id)
    ).all()
    failed = _with_failed_letter(session)
    rows = []
    for case, promise, booked, customer in found:
        step = promise or booked
        acting_id = _acting(directory, case, step, now)
        if _concerns(directory, case, step, acting_id, person_id, scope):
            rows.append(_row(directory, case, step, booked, customer, acting_id, case.id in failed, language, now))
    return rows


def doubtful(session: Session, *, states: Iterable[CaseState], language: str, now: datetime) -> list[Doubtful]:
    """Entries that wait to be released or discarded, the first to check first; or those discarded."""
    directory = directories.load(session, now=now)
    cases = session.scalars(
        select(Case).where(Case.state.in_(tuple(states))).order_by(Case.check_by_at, Case.id.desc())
    )
    return [_doubtful(directory, case, language, now) for case in cases]


@dataclass(frozen=True)
class Undelivered:
    """A letter that will not arrive."""

    reference: str
    customer_name: str
    kind: str
    audience: Audience
    ended_at: datetime


def undelivered(session: Session) -> list[Undelivered]:
    """Letters that died while their case is open, and those to staff about an entry that waits; the newest first."""
    waits = and_(Case.state == CaseState.RECEIVED, Letter.audience == Audience.STAFF)
    rows = session.execute(
        select(Case.reference, Customer.name, Letter.kind, Letter.audience, Letter.ended_at)
        .join(Case, Case.id == Letter.case_id)
        .join(Customer, Customer.id == Case.customer_id)
        .where(Letter.state == LetterState.FAILED, or_(Case.state == CaseState.OPEN, waits))
        .order_by(Letter.ended_at.desc())
        .limit(50)
    )
    return [Undelivered(row.reference, row.name, row.kind, row.audience, row.ended_at) for row in rows]


@dataclass(frozen=True)
class Unsent:
    """A case whose customer is to be phoned: a letter to them has not left."""

    reference: str
    customer_name: str
    acting_name: str
    since: datetime


def unsent(session: Session, *, now: datetime) -> list[Unsent]:
    """Cases with a letter to the customer that should have left more than 15 minutes ago; the longest wait first.

    While a case is open, and of any case while the mail channel is paused: then the page alone tells the step (law 1).
    """
    paused = select(MailChannel.name).where(MailChannel.paused_until > now)
    rows = session.execute(
        select(
            Letter.queued_at, Letter.says, Case, Customer.name, func.coalesce(Promise.person_id, Appointment.person_id)
        )
        .join(Case, Case.id == Letter.case_id)
        .join(Customer, Customer.id == Case.customer_id)
        .outerjoin(Promise, Promise.id == Case.promise_id)
        .outerjoin(Appointment, Appointment.id == Case.appointment_id)
        .where(Letter.audience == Audience.CUSTOMER, Letter.state.in_((LetterState.QUEUED, LetterState.SENDING)))
        .where(Letter.queued_at < now - TOO_LONG, or_(Case.state == CaseState.OPEN, paused.exists()))
        .order_by(Letter.queued_at, Letter.id)
        .limit(MOST_LETTERS)
    ).all()
    if not rows:
        return []
    directory = directories.load(session, now=now)
    found: dict[int, Unsent] = {}
    for queued_at, says, case, customer_name, promised_by in rows:
        since = _since(directory, case, queued_at, says)
        if since < now - TOO_LONG and case.id not in found:
            named = promised_by or case.owner_id or directory.company.front_desk_id
            acting_id = directory.acting(named, now, topic_id=case.topic_id).person_id
            found[case.id] = Unsent(case.reference, customer_name, directory.people[acting_id].name, since)
    return sorted(found.values(), key=lambda row: row.since)[:MOST_ROWS]


def _since(directory: Directory, case: Case, queued_at: datetime, says: dict[str, Any] | None) -> datetime:
    """When a letter should have left: at once, or with the next sending hours."""
    unasked, old_due_at = writing.asked_by_nobody(says)
    if not unasked:
        return queued_at
    hours = directory.sending(directory.team_of(case))
    return sending.unasked([], hours, now=queued_at, old_due_at=old_due_at).due_at


def _acting(directory: Directory, case: Case, step: Step, now: datetime) -> int:
    """Who sees to it: to a promise whoever acts now, to an appointment whoever will be there."""
    if isinstance(step, Appointment):
        return agreed_time.keeper(directory, case, step).id
    return directory.acting(step.person_id, now, topic_id=case.topic_id).person_id


def _concerns(directory: Directory, case: Case, step: Step, acting_id: int, person_id: int, scope: Scope) -> bool:
    if scope is Scope.ALL:
        return True
    if scope is Scope.MINE:
        return person_id in (acting_id, step.person_id, case.owner_id)
    team_id = directory.people[person_id].team_id
    return team_id in (directory.people[acting_id].team_id, directory.team_of(case).id)


def _row(
    directory: Directory,
    case: Case,
    step: Step,
    booked: Appointment | None,
    customer: Customer,
    acting_id: int,
    letter_failed: bool,
    language: str,
    now: datetime,
) -> Row:
    voice = directory.voice(directory.team_of(case), language)
    at, overdue_at = stepping.at(step), _overdue_at(step)
    acting_name, owner_id = directory.people[acting_id].name, case.owner_id or step.person_id
    on_hold = booked is not None and appointments.is_on_hold(booked)
    return Row(
        reference=case.reference,
        customer_name=customer.name,
        topic=directory.topics[case.topic_id].name(language),
        kind=APPOINTMENT if isinstance(step, Appointment) else step.kind,
        medium=step.medium,
        sentence=_sentence(directory, case, step, acting_name, voice, now=now),
        due_at=at,
        due=voice.moment(at, now=now),
        overdue_at=overdue_at,
        late=overdue_at <= now and not _closes(step),
        acting_name=acting_name,
        owner_name=directory.people[owner_id].name,
        in_deputy=acting_id != step.person_id,
        waits_for_customer=isinstance(step, Promise) and step.waiting is not None,
        letter_failed=letter_failed,
        on_hold=on_hold,
        outcome_missing=booked is not None and not on_hold and appointment_view.is_over(booked, now=now),
    )


def _overdue_at(step: Step) -> datetime:
    """From when on it is overdue: an appointment that somebody has begun once it is over."""
    if isinstance(step, Appointment):
        return step.starts_at + appointments.ALARM_AFTER if step.started_at is None else step.ends_at
    return step.due_at


def _closes(step: Step) -> bool:
    return isinstance(step, Promise) and step.waiting == Waiting.CLOSING


def _sentence(directory: Directory, case: Case, step: Step, name: str, voice: Voice, *, now: datetime) -> str:
    if isinstance(step, Appointment):
        return agreed_time.sentence(directory, case, step, voice, now=now)
    due = voice.moment(step.due_at, now=now)
    return wording.sentence(step.kind, step.medium, name, due, voice, closes=_closes(step))


def _doubtful(directory: Directory, case: Case, language: str, now: datetime) -> Doubtful:
    voice = directory.voice(directory.team_of(case), language)
    return Doubtful(
        reference=case.reference,
        customer_name=case.customer.name,
        topic=directory.topics[case.topic_id].name(language),
        doubt=case.doubt,
        state=case.state,
        received=voice.moment(case.received_at, now=now),
        check_by_at=case.check_by_at,
        check_by=None if case.check_by_at is None else voice.moment(case.check_by_at, now=now),
        late=case.check_by_at is not None and case.check_by_at <= now,
        escalated=case.lead_since is not None,
    )


def _with_failed_letter(session: Session) -> frozenset[int]:
    return frozenset(
        session.scalars(
            select(Letter.case_id)
            .join(Case, Case.id == Letter.case_id)
            .where(Letter.state == LetterState.FAILED, Case.state == CaseState.OPEN)
        )
    )
