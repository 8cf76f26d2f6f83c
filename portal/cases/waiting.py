"""Waiting for the customer: a ladder of its own, each rung with a date, that ends with an announced closing.

We asked (``answering.ask``); at its time the customer is reminded, then the closing is announced, and on the date named
the case is closed for want of an answer. Anything heard from the customer ends it and promises a reply, and so does one
button on the status page. A case in which we owe something too is never closed: its customer is only reminded, until
the question is all that is open; an announced closing falls back to that (``settling.settle``).

Whoever has no address cannot be told of any of this: a person calls them instead, and only that leads to a closing.

These promises move by no delay notice, count as none, and remind no colleague.
"""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BindParameter, ColumnElement, and_, select
from sqlalchemy.orm import Session

from portal.appointments import service as appointments
from portal.cases import answering, closing, promising, scheduling, undelivered, writing
from portal.cases import directory as directories
from portal.cases.directory import Directory
from portal.cases.errors import NotOpen
from portal.cases.models import Case, CaseState, Outcome
from portal.cases.settling import booked_of, first_look, hold, settle
from portal.journal import service as journal
from portal.journal.models import Actor, Channel, Direction, Entry, Kind
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, Letter, LetterState
from portal.promises import business_time, service_level
from portal.promises import service as promises
from portal.promises.models import IS_CLOSING, IS_OPEN, Promise, Waiting
from portal.promises.service_level import Schedule


class _Rung(NamedTuple):
    """What is done when the time of the rung below has come."""

    kind: Kind
    letter: LetterKind
    waiting: Waiting
    times: int
    """How often the level's time between updates passes until the next date."""


_REMIND = _Rung(Kind.REMINDED, LetterKind.WAITING_REMINDER, Waiting.REMINDED, 2)
_ANNOUNCE = _Rung(Kind.CLOSING_ANNOUNCED, LetterKind.CLOSING_ANNOUNCED, Waiting.CLOSING, 3)


def reminder_due(now: BindParameter[datetime]) -> ColumnElement[bool]:
    """Promises whose customer is to be reminded, or told of the closing."""
    on_the_way = Promise.waiting.in_((Waiting.ASKED, Waiting.REMINDED))
    return and_(IS_OPEN, on_the_way, Promise.notice_at <= now)


def closing_due(now: BindParameter[datetime]) -> ColumnElement[bool]:
    """Promises whose announced closing has come."""
    return and_(IS_OPEN, IS_CLOSING, Promise.due_at <= now)


def go_on(session: Session, case: Case, *, now: datetime) -> None:
    """Take the next rung if its time has come: remind the customer, announce the closing, or close the case.

    Does nothing where nothing is due any more: the customer may have answered a moment ago. The caller sees to it that
    it is within the sending hours. Raises NothingToPromise.
    """
    hold(session, case)
    if case.state != CaseState.OPEN:
        return
    steps = first_look(session, case)
    promise = promises.waits(steps)
    if promise is None or now < (promise.due_at if promise.waiting == Waiting.CLOSING else promise.notice_at):
        return
    booked = booked_of(session, case)
    owes = len(steps) > 1 or (booked is not None and appointments.is_ahead(booked, now=now))
    if not case.customer.email:
        _leave_to_a_person(session, case, promise, now=now)
    elif len(steps) > 1 and _is_day_of_a_notice(session, case, steps, now=now):
        _put_off(session, case, promise, now=now)
    elif owes or promise.waiting == Waiting.ASKED:
        _climb(session, case, promise, _REMIND, now=now)
    elif promise.waiting == Waiting.REMINDED or not _told_in_time(session, promise):
        _climb(session, case, promise, _ANNOUNCE, now=now)
    else:
        closing.close_unanswered(session, case, now=now)


def keep_open(session: Session, case: Case, *, now: datetime) -> None:
    """The customer wants the case to stay open although they cannot answer yet: we promise to come back to it.

    Nothing is to be done where no closing is announced any more; a case closed a moment ago is opened again. Raises
    NotOpen, NotReopenable.
    """
    hold(session, case)
    if case.state == CaseState.CLOSED and case.outcome == Outcome.NO_ANSWER:
        closing.reopen(session, case, by_id=None, text="", now=now)
        return
    if case.state != CaseState.OPEN:
        raise NotOpen
    if not closes(promises.open_of(session, case.id)):
        return
    entry_id = journal.record(
        session,
        case_id=case.id,
        kind=Kind.KEPT_OPEN,
        channel=Channel.PAGE,
        direction=Direction.IN,
        actor=Actor.CUSTOMER,
        now=now,
    )
    directory = directories.load(session, now=now)
    answering.await_reply(session, directory, case, entry_id, now=now, kept_open=True)


def closes(steps: list[Promise]) -> bool:
    """Whether the next thing to happen is the announced closing."""
    return any(promise.waiting == Waiting.CLOSING for promise in steps)


def question(session: Session, case: Case) -> Entry | None:
    """What we last asked the customer."""
    asked = select(Entry).where(Entry.case_id == case.id, Entry.kind == Kind.QUESTION)
    return session.scalars(asked.order_by(Entry.id.desc()).limit(1)).first()


def _is_day_of_a_notice(session: Session, case: Case, steps: list[Promise], *, now: datetime) -> bool:
    """Whether this is a day on which we tell the customer that we are late: none to remind them of what they owe us."""
    directory = directories.load(session, now=now)
    tomorrow = scheduling.end_of_day(directory, case, now=now)
    noticed = scheduling.quiet_until(directory, case, now=now) is not None
    return noticed or any(step.waiting is None and step.notice_at < tomorrow for step in steps)


def _leave_to_a_person(session: Session, case: Case, promise: Promise, *, now: datetime) -> None:
    """No letter can go on with the waiting: it ends, and a call takes its place."""
    directory = directories.load(session, now=now)
    rung = _REMIND if promise.waiting == Waiting.ASKED else _ANNOUNCE
    promising.end_waiting(session, directory, case, now=now)
    undelivered.leave_to_a_person(session, directory, case, rung.letter, now=now)


def _put_off(session: Session, case: Case, promise: Promise, *, now: datetime) -> None:
    """The same rung, later; what the customer waits for next is what we owe."""
    directory = directories.load(session, now=now)
    later = promises.move(session, promise, scheduling.next_update(directory, case, now=now), now=now)
    later.waiting, later.remind_at = promise.waiting, None
    journal.record(
        session,
        case_id=case.id,
        kind=Kind.PROMISE_MOVED,
        channel=Channel.SYSTEM,
        actor=Actor.SYSTEM,
        now=now,
        facts={**promising.promise_facts(directory, later), "before": promise.due_at.isoformat()},
    )
    session.flush()
    settle(session, case, now=now)


def _climb(session: Session, case: Case, promise: Promise, rung: _Rung, *, now: datetime) -> None:
    """The letter we promised goes out and keeps the promise; the next one follows it."""
    directory = directories.load(session, now=now)
    follow_up = promises.new(
        case_id=case.id,
        person_id=promise.person_id,
        kind=promise.kind,
        medium=promise.medium,
        what=promise.what,
        schedule=_next_date(directory, case, rung, now=now),
        waiting=rung.waiting,
        now=now,
    )
    entry_id = journal.record(
        session,
        case_id=case.id,
        kind=rung.kind,
        channel=Channel.MAIL,
        direction=Direction.OUT,
        actor=Actor.SYSTEM,
        now=now,
        facts=promising.promise_facts(directory, follow_up),
    )
    promises.keep(promise, entry_id=entry_id, now=now)
    outbox.take_back(session, case.id, promise.id, now=now)
    session.flush()  # of each kind one promise may be open
    follow_up = promises.give(session, follow_up)
    settle(session, case, now=now)
    _tell(session, directory, case, follow_up, rung.letter, old_due_at=promise.due_at, now=now)


def _next_date(directory: Directory, case: Case, rung: _Rung, *, now: datetime) -> Schedule:
    """The date of the rung; a closing happens in hours in which its letter may leave."""
    schedule = scheduling.next_update(directory, case, now=now, times=rung.times)
    team = directory.team_of(case)
    calendar, sending = directory.calendar(team), directory.sending(team)
    if rung is not _ANNOUNCE or business_time.is_open(sending, schedule.due_at):
        return schedule
    due_at = business_time.next_open(calendar, business_time.next_open(sending, schedule.due_at))
    level = scheduling.level_of(directory, case)
    return service_level.schedule(level, calendar, sending, given_at=now, due_at=due_at)


def _tell(
    session: Session,
    directory: Directory,
    case: Case,
    promise: Promise,
    letter: LetterKind,
    *,
    old_due_at: datetime,
    now: datetime,
) -> None:
    asked, voice = question(session, case), directory.voice_of(case)
    writing.to_customer(
        session,
        directory,
        case,
        letter,
        key=f"{letter}:{promise.id}",
        step=promise,
        now=now,
        unasked=True,
        old_due_at=old_due_at,
        says={
            "question": "" if asked is None else asked.text,
            "asked": voice.moment(promise.given_at if asked is None else asked.at, now=now),
        },
    )


def _told_in_time(session: Session, promise: Promise) -> bool:
    """Whether the relay took the letter that names the closing while there was time to keep the case open.

    No case is closed whose customer does not know of it: the closing is then announced once more.
    """
    told = select(Letter.id).where(
        Letter.promise_id == promise.id,
        Letter.audience == Audience.CUSTOMER,
        Letter.state == LetterState.SENT,
        Letter.ended_at <= promise.notice_at,
    )
    return session.execute(told.limit(1)).first() is not None
