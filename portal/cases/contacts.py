"""Contacts: what happened outside the status page, as staff log it, and what only colleagues read.

Every step ends with settle(): whoever ends a step leaves another (law 1).
"""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy.orm import Session

from portal.appointments.models import Appointment
from portal.cases import answering, promising, reaching, scheduling, writing
from portal.cases import directory as directories
from portal.cases import steps as stepping
from portal.cases.directory import Directory
from portal.cases.errors import NotOpen
from portal.cases.models import Case, CaseState
from portal.cases.promising import NewPromise
from portal.cases.settling import hold, hold_open, settle
from portal.journal import service as journal
from portal.journal.models import Actor, Channel, Direction, Kind
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.promises import service as promises
from portal.promises.models import Medium, Promise


class Contact(StrEnum):
    """A contact outside the status page, as staff log it."""

    MAIL_IN = "mail_in"
    CALL_IN = "call_in"
    CALL_REACHED = "call_reached"
    CALL_NOT_REACHED = "call_not_reached"
    CALL_MAILBOX = "call_mailbox"
    VISIT = "visit"
    LETTER_IN = "letter_in"
    LETTER_OUT = "letter_out"


_ENTRY = {
    Contact.MAIL_IN: (Kind.MAIL, Channel.MAIL, Direction.IN),
    Contact.CALL_IN: (Kind.CALL, Channel.PHONE, Direction.IN),
    Contact.CALL_REACHED: (Kind.CALL, Channel.PHONE, Direction.OUT),
    Contact.CALL_NOT_REACHED: (Kind.CALL, Channel.PHONE, Direction.OUT),
    Contact.CALL_MAILBOX: (Kind.CALL, Channel.PHONE, Direction.OUT),
    Contact.VISIT: (Kind.VISIT, Channel.VISIT, Direction.OUT),
    Contact.LETTER_IN: (Kind.LETTER, Channel.POST, Direction.IN),
    Contact.LETTER_OUT: (Kind.LETTER, Channel.POST, Direction.OUT),
}
_WRITTEN_TO_US = {Contact.MAIL_IN, Contact.LETTER_IN}
_TALKED = {Contact.CALL_IN, Contact.CALL_REACHED}
_NOBODY_REACHED = {Contact.CALL_NOT_REACHED, Contact.CALL_MAILBOX}
_HEARD = _WRITTEN_TO_US | _TALKED | {Contact.VISIT}
"""The customer was heard from: whoever has been asked something need not be reminded of it."""
_SPOKEN = _TALKED | _NOBODY_REACHED | {Contact.VISIT}
_KEPT_BY: dict[Contact, set[Medium]] = {
    Contact.CALL_IN: {Medium.CALL},
    Contact.CALL_REACHED: {Medium.CALL},
    Contact.VISIT: {Medium.VISIT},
    Contact.LETTER_OUT: {Medium.LETTER},
}
"""Which medium a contact makes good. A call that reached nobody, and anything the customer sent, keep nothing."""


def log_contact(
    session: Session,
    case: Case,
    *,
    by_id: int,
    contact: Contact,
    text: str,
    at: datetime,
    keeps: Collection[int],
    step: NewPromise | None,
    visible: bool,
    now: datetime,
    version: int | None = None,
) -> None:
    """Log a call, a visit, a letter or a mail that came in.

    A mail or letter from the customer awaits an answer, as a message on the status page does. A talk ends the waiting
    for the customer; where it leaves no step and none is named, it awaits an answer too. Of a call that reached nobody
    the customer is told. Raises as ``answering.reply`` does.
    """
    hold_open(session, case, version=version)
    directory = directories.load(session, now=now)
    entry_id = record_contact(session, case, by_id=by_id, contact=contact, text=text, at=at, visible=visible, now=now)
    ended = contact in _HEARD and promises.waits(promises.open_of(session, case.id)) is not None
    if ended:
        # Before keep: no medium keeps it, the answer itself ends it.
        promising.end_waiting(session, directory, case, now=now)
    media = _KEPT_BY.get(contact, set())
    promising.keep(session, case, entry_id, keeps, media, contact in _TALKED, by_id=by_id, now=now)
    if contact in _WRITTEN_TO_US and step is None:
        answering.await_reply(session, directory, case, entry_id, now=now, came_at=at)
        return
    if contact in _WRITTEN_TO_US:
        promising.end_waiting(session, directory, case, now=now)
    promise = None if step is None else promising.take_on(session, directory, case, step, by_id=by_id, now=now)
    if promise is None and ended and not stepping.open_of(session, case.id):
        schedule = scheduling.answer_to_message(directory, case, now=now)
        promise = answering.promise_reply(session, directory, case, schedule, now=now)
    settle(session, case, now=now)
    if promise is None and keeps:
        ahead = answering.step_ahead(session, case, now=now)
        promise = ahead if isinstance(ahead, Promise) and not outbox.is_told(session, ahead.id) else None
    if contact in _SPOKEN and reaching.out_of_reach_since(session, case) is not None:
        return  # they heard it, or will: a letter would die as the last one did, and leave one more call
    if contact in _NOBODY_REACHED and _tell_attempt(
        session, directory, case, entry_id, promise, at=at, mailbox=contact == Contact.CALL_MAILBOX, now=now
    ):
        return
    if promise is not None:
        promising.tell_step(session, directory, case, promise, now=now)


def record_contact(
    session: Session, case: Case, *, by_id: int, contact: Contact, text: str, at: datetime, visible: bool, now: datetime
) -> int:
    """The journal's entry of a contact, and nothing else; returns its id."""
    kind, channel, direction = _ENTRY[contact]
    return journal.record(
        session,
        case_id=case.id,
        kind=kind,
        channel=channel,
        direction=direction,
        actor=Actor.PERSON,
        person_id=by_id,
        visible=visible,
        text=text,
        at=at,
        now=now,
        facts={"contact": contact},
    )


def note(session: Session, case: Case, *, by_id: int, text: str, now: datetime) -> None:
    """Write down something that only colleagues read. Allowed in every state but erased."""
    hold(session, case)
    if case.state == CaseState.ERASED:
        raise NotOpen
    journal.record(
        session,
        case_id=case.id,
        kind=Kind.NOTE,
        channel=Channel.SYSTEM,
        actor=Actor.PERSON,
        person_id=by_id,
        visible=False,
        text=text,
        now=now,
    )


def _tell_attempt(
    session: Session,
    directory: Directory,
    case: Case,
    entry_id: int,
    given: Promise | None,
    *,
    at: datetime,
    mailbox: bool,
    now: datetime,
) -> bool:
    """Write the customer when we called, and what comes next until when: what was ``given``, or what stands.

    Once a day at most, and not where nothing lies ahead: the notice that is due then says the new date. False where
    nothing was written.
    """
    step = given or stepping.to_name(session, case.id, now=now)
    before = outbox.last_written(session, case.id, LetterKind.CALL_ATTEMPTED)
    if step is None or (before is not None and scheduling.is_same_day(directory, case, before, now)):
        return False
    called = directory.voice_of(case).moment(at, now=now)
    also: dict[str, Any] = {"called": called, "mailbox": mailbox, "given": given is not None, "stands": False}
    if isinstance(step, Appointment):
        stands = {**also, "what": "", "moved": False, "before": None, "reason": None, "stands": True}
        key = f"call_attempted:{entry_id}"
        writing.to_customer(
            session, directory, case, LetterKind.CALL_ATTEMPTED, key=key, step=step, says=stands, now=now
        )
        return True
    writing.tell_promise(
        session,
        directory,
        case,
        step,
        key=f"call_attempted:{entry_id}",
        now=now,
        kind=LetterKind.CALL_ATTEMPTED,
        also=also if given is not None else {**also, "moved": False, "before": None},
    )
    return True
