"""Answering: what customers write, what staff answer, log, ask and promise while a case is open.

Every step ends with settle(): whoever ends a step leaves another (law 1). Every step is told: where a letter that
stated the old truth is taken back, one that states the new truth takes its place (DESIGN.md section 5, rule 6).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy.orm import Session

from portal.appointments.models import Appointment
from portal.cases import closing, opening, reaching, scheduling, writing
from portal.cases import directory as directories
from portal.cases import steps as stepping
from portal.cases.directory import Directory
from portal.cases.errors import NoNextStep, NotOpen, WrongMedium
from portal.cases.models import Case, CaseState
from portal.cases.models import Step as NextStep
from portal.cases.settling import hold, hold_open, settle
from portal.journal import files
from portal.journal import service as journal
from portal.journal.files import File
from portal.journal.models import Actor, Channel, Direction, Kind
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.promises import service as promises
from portal.promises.models import Medium, Promise, PromiseKind, Waiting
from portal.promises.service_level import Schedule


@dataclass(frozen=True)
class Step:
    """What the customer can wait for: a promise somebody gives."""

    kind: PromiseKind
    medium: Medium
    due_at: datetime
    what: str = ""
    waiting: Waiting | None = None
    """Set where all we wait for is the customer's answer: the step then goes on by itself."""


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


def customer_message(session: Session, case: Case, text: str, *, attached: Sequence[File] = (), now: datetime) -> Case:
    """The customer writes, and may send files along: confirmed at once, with a date for our reply.

    On a closed case it reopens it until the date named, and opens a new, linked case afterwards. Returns the case that
    holds the message. Raises NotOpen for an entry that is not a case, NoLongerHeld.
    """
    hold(session, case)
    if case.state == CaseState.CLOSED:
        return _message_after_closing(session, case, text, attached=attached, now=now)
    if case.state != CaseState.OPEN:
        raise NotOpen
    directory = directories.load(session, now=now)
    entry_id = journal.record(
        session,
        case_id=case.id,
        kind=Kind.MESSAGE,
        channel=Channel.PAGE,
        direction=Direction.IN,
        actor=Actor.CUSTOMER,
        text=text,
        facts=files.facts_of(attached),
        now=now,
    )
    files.attach(session, entry_id, attached, now=now)
    await_reply(session, directory, case, entry_id, attached=files.names_in_letter(attached), now=now)
    return case


def await_reply(
    session: Session,
    directory: Directory,
    case: Case,
    entry_id: int,
    *,
    now: datetime,
    came_at: datetime | None = None,
    kept_open: bool = False,
    attached: Sequence[str] = (),
) -> None:
    """Something came in that awaits an answer: promise a reply within the service level, confirm it, tell the person.

    A reply already promised for later is brought forward; the date after which *we* would have asked again falls away.
    ``came_at`` is when it came, where that was not now. ``kept_open``: nothing was written, the customer only wants the
    case to stay open. ``attached``: names of files.
    """
    end_waiting(session, directory, case, now=now)
    schedule = scheduling.answer_to_message(directory, case, now=now)
    reply = promises.of_kind(promises.open_of(session, case.id), PromiseKind.REPLY)
    if reply is None:
        _promise_reply(session, directory, case, schedule, now=now)
    elif reply.due_at > schedule.due_at or reply.due_at <= now:
        bring_forward(session, directory, case, reply, schedule, now=now)
    settle(session, case, now=now)
    writing.to_customer(
        session,
        directory,
        case,
        LetterKind.MESSAGE_RECEIVED,
        key=f"message_received:{entry_id}",
        step=_step_ahead(session, case, now=now),
        now=now,
        says={
            "received": directory.voice_of(case).moment(came_at or now, now=now),
            "kept_open": kept_open,
            "files": list(attached),
        },
    )
    writing.to_staff(
        session,
        directory,
        case,
        LetterKind.STAFF_MESSAGE,
        key=f"staff_message:{entry_id}",
        step=_step_ahead(session, case, now=now),
        now=now,
        says={"kept_open": kept_open, "files": list(attached)},
    )


def reply(
    session: Session,
    case: Case,
    *,
    by_id: int,
    text: str,
    keeps: Collection[int],
    step: Step | None,
    now: datetime,
    version: int | None = None,
    attached: Sequence[File] = (),
) -> None:
    """Answer by mail. ``keeps`` are the promises the person says this answer keeps.

    The letter names the files ``attached``; they lie on the status page.

    Raises NotOpen, StaleCase, WrongMedium, NoNextStep, NoRoom, DateOutOfReach.
    """
    _write(session, case, Kind.REPLY, LetterKind.REPLY, by_id, text, keeps, step, version, attached, now)


def ask(
    session: Session,
    case: Case,
    *,
    by_id: int,
    text: str,
    keeps: Collection[int],
    follow_up_at: datetime,
    now: datetime,
    version: int | None = None,
    attached: Sequence[File] = (),
) -> None:
    """Ask the customer something; ``follow_up_at`` is when we get in touch again if nothing comes.

    From then on ``waiting`` goes on by itself. Raises as reply does.
    """
    step = Step(PromiseKind.FOLLOW_UP, Medium.MAIL, follow_up_at, waiting=Waiting.ASKED)
    _write(session, case, Kind.QUESTION, LetterKind.QUESTION, by_id, text, keeps, step, version, attached, now)


def log_contact(
    session: Session,
    case: Case,
    *,
    by_id: int,
    contact: Contact,
    text: str,
    at: datetime,
    keeps: Collection[int],
    step: Step | None,
    visible: bool,
    now: datetime,
    version: int | None = None,
) -> None:
    """Log a call, a visit, a letter or a mail that came in.

    A mail or letter from the customer awaits an answer, as a message on the status page does. A talk ends the waiting
    for the customer; where it leaves no step and none is named, it awaits an answer too. Of a call that reached nobody
    the customer is told. Raises as reply does.
    """
    hold_open(session, case, version=version)
    directory = directories.load(session, now=now)
    entry_id = record_contact(session, case, by_id=by_id, contact=contact, text=text, at=at, visible=visible, now=now)
    ended = contact in _HEARD and promises.waits(promises.open_of(session, case.id)) is not None
    if ended:
        end_waiting(session, directory, case, now=now)  # before keep: no medium keeps it, the answer itself ends it
    keep(session, case, entry_id, keeps, _KEPT_BY.get(contact, set()), contact in _TALKED, by_id=by_id, now=now)
    if contact in _WRITTEN_TO_US and step is None:
        await_reply(session, directory, case, entry_id, now=now, came_at=at)
        return
    if contact in _WRITTEN_TO_US:
        end_waiting(session, directory, case, now=now)
    promise = None if step is None else take_on(session, directory, case, step, by_id=by_id, now=now)
    if promise is None and ended and not stepping.open_of(session, case.id):
        promise = _promise_reply(
            session, directory, case, scheduling.answer_to_message(directory, case, now=now), now=now
        )
    settle(session, case, now=now)
    if promise is None and keeps:
        ahead = _step_ahead(session, case, now=now)
        promise = ahead if isinstance(ahead, Promise) and not outbox.is_told(session, ahead.id) else None
    if contact in _SPOKEN and reaching.out_of_reach_since(session, case) is not None:
        return  # they heard it, or will: a letter would die as the last one did, and leave one more call
    if contact in _NOBODY_REACHED and _tell_attempt(
        session, directory, case, entry_id, promise, at=at, mailbox=contact == Contact.CALL_MAILBOX, now=now
    ):
        return
    if promise is not None:
        tell_step(session, directory, case, promise, now=now)


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


def promise_date(
    session: Session, case: Case, *, by_id: int, step: Step, now: datetime, version: int | None = None
) -> None:
    """Promise a date by a medium; moves the open promise of that kind. The customer is written to at once.

    Raises NotOpen, StaleCase, NoRoom, DateOutOfReach.
    """
    hold_open(session, case, version=version)
    directory = directories.load(session, now=now)
    promise = take_on(session, directory, case, step, by_id=by_id, now=now)
    settle(session, case, now=now)
    tell_step(session, directory, case, promise, now=now)


def _message_after_closing(session: Session, case: Case, text: str, *, attached: Sequence[File], now: datetime) -> Case:
    assert case.reopen_until is not None
    if now <= case.reopen_until:
        closing.reopen(session, case, by_id=None, text=text, attached=attached, now=now)
        return case
    return opening.continue_case(session, case, text, attached=attached, now=now)


def _write(
    session: Session,
    case: Case,
    kind: Kind,
    letter: LetterKind,
    by_id: int,
    text: str,
    keeps: Collection[int],
    step: Step | None,
    version: int | None,
    attached: Sequence[File],
    now: datetime,
) -> None:
    hold_open(session, case, version=version)
    directory = directories.load(session, now=now)
    entry_id = journal.record(
        session,
        case_id=case.id,
        kind=kind,
        channel=Channel.MAIL,
        direction=Direction.OUT,
        actor=Actor.PERSON,
        person_id=by_id,
        text=text,
        facts=files.facts_of(attached),
        now=now,
    )
    files.attach(session, entry_id, attached, now=now)
    keep(session, case, entry_id, keeps, {Medium.MAIL}, False, by_id=by_id, now=now)
    promise = None if step is None else take_on(session, directory, case, step, by_id=by_id, now=now)
    settle(session, case, now=now)
    writing.to_customer(
        session,
        directory,
        case,
        letter,
        key=f"{letter}:{entry_id}",
        step=promise or _step_ahead(session, case, now=now),
        by_id=by_id,
        now=now,
        says={"text": text, "files": files.names_in_letter(attached)},
    )


def keep(
    session: Session,
    case: Case,
    entry_id: int,
    keeps: Collection[int],
    media: set[Medium],
    talked: bool,
    *,
    by_id: int,
    now: datetime,
) -> None:
    """End the promises the person says this entry kept; unsent letters that state them are taken back.

    A plain reply may also be made good by a talk: who was promised an answer and got it on the phone has it.
    """
    for promise in [one for one in promises.open_of(session, case.id) if one.id in keeps]:
        if promise.medium not in media and not (talked and promise.kind == PromiseKind.REPLY):
            raise WrongMedium
        promises.keep(promise, entry_id=entry_id, now=now)
        _end_letters_of(session, promise, now=now)
        case.notices, case.lead_since = 0, None
        journal.record(
            session,
            case_id=case.id,
            kind=Kind.PROMISE_KEPT,
            channel=Channel.SYSTEM,
            actor=Actor.PERSON,
            person_id=by_id,
            now=now,
            facts={"kind": promise.kind, "medium": promise.medium, "due_at": promise.due_at.isoformat()},
        )


def take_on(
    session: Session, directory: Directory, case: Case, step: Step, *, by_id: int | None, now: datetime
) -> Promise:
    """Give the step, or move the open promise of its kind. Raises NoRoom, DateOutOfReach.

    Waiting is not moved: a new date begins it anew, unless a person takes it on, by another medium.
    """
    schedule = scheduling.chosen(directory, case, step.due_at, now=now)
    open_one = promises.of_kind(promises.open_of(session, case.id), step.kind)
    if open_one is not None and (open_one.waiting is not None or step.waiting is not None):
        step = replace(step, waiting=Waiting.ASKED if step.medium == Medium.MAIL else None)
        withdraw(session, directory, case, open_one, now=now)
        session.flush()  # of each kind one promise may be open
        open_one = None
    if open_one is None:
        return give(session, directory, case, step, schedule, by_id=by_id, now=now)
    _end_letters_of(session, open_one, now=now)
    moved = promises.move(session, open_one, schedule, medium=step.medium, what=step.what, given_by_id=by_id, now=now)
    _note_promise(session, directory, case, moved, Kind.PROMISE_MOVED, by_id=by_id, before=open_one.due_at, now=now)
    return moved


def _promise_reply(session: Session, directory: Directory, case: Case, schedule: Schedule, *, now: datetime) -> Promise:
    return give(session, directory, case, Step(PromiseKind.REPLY, Medium.MAIL, schedule.due_at), schedule, now=now)


def give(
    session: Session,
    directory: Directory,
    case: Case,
    step: Step,
    schedule: Schedule,
    *,
    now: datetime,
    by_id: int | None = None,
) -> Promise:
    """Give a promise that the schedule is made for, and note it; of its kind none may be open."""
    assert case.owner_id is not None
    promise = promises.give(
        session,
        promises.new(
            case_id=case.id,
            person_id=case.owner_id,
            kind=step.kind,
            medium=step.medium,
            what=step.what,
            schedule=schedule,
            given_by_id=by_id,
            waiting=step.waiting,
            now=now,
        ),
    )
    _note_promise(session, directory, case, promise, Kind.PROMISE_GIVEN, by_id=by_id, now=now)
    return promise


def _note_promise(
    session: Session,
    directory: Directory,
    case: Case,
    promise: Promise,
    kind: Kind,
    *,
    by_id: int | None,
    now: datetime,
    before: datetime | None = None,
) -> None:
    facts = opening.promise_facts(directory, promise)
    journal.record(
        session,
        case_id=case.id,
        kind=kind,
        channel=Channel.SYSTEM,
        actor=Actor.SYSTEM if by_id is None else Actor.PERSON,
        person_id=by_id,
        now=now,
        facts=facts if before is None else {**facts, "before": before.isoformat()},
    )


def bring_forward(
    session: Session, directory: Directory, case: Case, promise: Promise, schedule: Schedule, *, now: datetime
) -> Promise:
    """A promise gets an earlier date by itself, which counts as no delay."""
    _end_letters_of(session, promise, now=now)
    moved = promises.move(session, promise, schedule, now=now)
    _note_promise(session, directory, case, moved, Kind.PROMISE_MOVED, by_id=None, before=promise.due_at, now=now)
    return moved


def tell_step(session: Session, directory: Directory, case: Case, promise: Promise, *, now: datetime) -> None:
    """Write the customer what comes next and until when; it comes from whoever acts, whoever noted it."""
    key = f"promise_given:{promise.id}:{case.version}"
    writing.tell_promise(session, directory, case, promise, key=key, now=now)


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


def _step_ahead(session: Session, case: Case, *, now: datetime) -> NextStep:
    """The earliest open step that lies ahead: no letter may name one that has passed (law 1, law 6).

    Raises NoNextStep when there is none: whoever writes then says what comes next.
    """
    ahead = stepping.to_name(session, case.id, now=now)
    if ahead is None:
        raise NoNextStep
    return ahead


def end_waiting(session: Session, directory: Directory, case: Case, *, now: datetime) -> None:
    """The customer was heard from: the date after which we would have asked again falls away.

    What a person promised to come back to stands: a word of thanks takes no call from anybody.
    """
    waiting = promises.waits(promises.open_of(session, case.id))
    if waiting is not None:
        withdraw(session, directory, case, waiting, now=now)


def withdraw(session: Session, directory: Directory, case: Case, promise: Promise, *, now: datetime) -> None:
    """Something else has taken its place; no letter leaves that states it."""
    _end_letters_of(session, promise, now=now)
    promises.withdraw(promise, now=now)
    _note_promise(session, directory, case, promise, Kind.PROMISE_WITHDRAWN, by_id=None, now=now)


def _end_letters_of(session: Session, promise: Promise, *, now: datetime) -> None:
    """Take back unsent automatic letters that state this promise.

    Letters in a person's own words are never taken back: the one that states the new date follows them in order.
    """
    outbox.take_back(session, promise.case_id, promise.id, now=now)
