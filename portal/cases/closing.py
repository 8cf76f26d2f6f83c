"""Closing a case, reopening it, and until when that can be done."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from portal.appointments.models import Appointment, AppointmentState
from portal.cases import directory as directories
from portal.cases import inviting, opening, reaching, status_link, writing
from portal.cases.directory import Directory
from portal.cases.errors import ErasureConfirmed, NotOpen, NotReopenable
from portal.cases.models import Case, CaseState, Outcome
from portal.cases.settling import end_steps, hold, hold_open, settle
from portal.journal import files
from portal.journal import service as journal
from portal.journal.files import File
from portal.journal.models import Actor, Channel, Direction, Entry, Kind
from portal.languages import Voice
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, Letter, LetterState
from portal.promises import service as promises
from portal.promises.models import Medium, Promise

REOPEN_DAYS = 14


def close(
    session: Session,
    case: Case,
    *,
    by_id: int | None,
    outcome: Outcome,
    text: str,
    now: datetime,
    version: int | None = None,
) -> None:
    """A person or, where ``by_id`` is None, the customer ends a case with an outcome.

    A written promise is kept by the closing letter when a person says that it is done; the others end unkept.
    Raises NotOpen, StaleCase.
    """
    hold_open(session, case, version=version)
    actor = Actor.CUSTOMER if by_id is None else Actor.PERSON
    _close(session, case, actor=actor, by_id=by_id, outcome=outcome, text=text, now=now)


def close_unanswered(session: Session, case: Case, *, now: datetime) -> None:
    """Nobody ends a case but the calendar: for want of an answer, as it was announced. Raises NotOpen."""
    hold_open(session, case)
    _close(session, case, actor=Actor.SYSTEM, by_id=None, outcome=Outcome.NO_ANSWER, text="", now=now)


def close_to_erase(session: Session, case: Case, *, now: datetime) -> Appointment | None:
    """The customer has confirmed that they want to be forgotten; the letter that names the date says it is closed.

    Returns what was called off by it: that letter takes it out of the customer's calendar.
    """
    hold_open(session, case)
    return _close(
        session, case, actor=Actor.CUSTOMER, by_id=None, outcome=Outcome.WITHDRAWN, text="", tell=False, now=now
    )


def retention_ends(directory: Directory, case: Case, *, now: datetime) -> date:
    """The day on which retention alone erases the case: counted from its closing, or from now where it is open."""
    closed_on = directory.voice_of(case).local(case.closed_at or now).date()
    return closed_on + timedelta(days=directory.topics[case.topic_id].retention_days)


def reopenable_until(directory: Directory, case: Case) -> datetime:
    """Until when the customer can reopen a case that is closed."""
    assert case.closed_at is not None
    voice = directory.voice_of(case)
    return end_of_day(voice, voice.local(case.closed_at).date() + timedelta(days=REOPEN_DAYS))


def _close(
    session: Session,
    case: Case,
    *,
    actor: Actor,
    by_id: int | None,
    outcome: Outcome,
    text: str,
    now: datetime,
    tell: bool = True,
) -> Appointment | None:
    directory = directories.load(session, now=now)
    entry_id = journal.record(
        session,
        case_id=case.id,
        kind=Kind.CLOSED,
        channel=Channel.PAGE if actor == Actor.CUSTOMER else Channel.MAIL,
        direction=Direction.IN if actor == Actor.CUSTOMER else Direction.OUT,
        actor=actor,
        person_id=by_id,
        text=text,
        now=now,
        facts={"outcome": outcome},
    )
    acting_id = directory.acting_person(case, now).person_id
    if actor == Actor.PERSON and outcome == Outcome.DONE:
        _keep_written(session, case, entry_id, now=now)
    called_off = end_steps(session, case, now=now)
    to_tell = called_off or _called_off_untold(session, case)
    case.state, case.closed_at, case.outcome, case.outcome_text = CaseState.CLOSED, now, outcome, text
    case.reopen_until = reopenable_until(directory, case)
    case.erase_on = retention_ends(directory, case, now=now)
    settle(session, case, now=now)
    outbox.withdraw(session, case.id, automatic=True, now=now)
    if tell and (actor != Actor.PERSON or not reaching.knows_by_voice(session, case, now=now)):
        key = f"closed:{entry_id}"
        _tell_closed(session, directory, case, key=key, actor=actor, by_id=by_id, called_off=to_tell, now=now)
    if called_off is not None:
        inviting.note(
            session,
            directory,
            case,
            called_off,
            Kind.APPOINTMENT_CANCELLED,
            by_id=by_id,
            by_customer=actor == Actor.CUSTOMER,
            now=now,
        )
        readers = [called_off.person_id] if actor == Actor.PERSON or called_off.person_id != acting_id else []
        inviting.tell_colleagues(session, directory, case, called_off, "cancelled", readers, by_id=by_id, now=now)
    if actor != Actor.PERSON:
        _tell_staff(session, directory, case, entry_id, actor=actor, reader_id=acting_id, now=now)
    return to_tell


def closing_entry(session: Session, case: Case) -> Entry | None:
    """The journal's entry of the last closing: it says who closed the case."""
    closings = select(Entry).where(Entry.case_id == case.id, Entry.kind == Kind.CLOSED)
    return session.scalars(closings.order_by(Entry.id.desc()).limit(1)).first()


def tell_untold(session: Session, directory: Directory, case: Case, *, cause: str, now: datetime) -> None:
    """Write the letter about a closing that no letter has told yet; not where the one about erasing says it.

    ``cause`` makes its key another one than that of the letter that was taken back.
    """
    entry = closing_entry(session, case) if case.state == CaseState.CLOSED else None
    if entry is not None and case.erasure_confirmed_at is None and not _is_told_of(session, entry):
        key = f"closed:{entry.id}:{cause}"
        # Signed by whoever acts now: who closed it may be away today.
        _tell_closed(session, directory, case, key=key, actor=entry.actor, by_id=None, called_off=None, now=now)


def reopen(
    session: Session, case: Case, *, by_id: int | None, text: str, attached: Sequence[File] = (), now: datetime
) -> None:
    """Open a closed case again, with a new promise; the customer may until the date named, staff always.

    Raises NotReopenable, NotOpen, NoLongerHeld.
    """
    hold(session, case)
    if case.state != CaseState.CLOSED or case.reopen_until is None:
        raise NotOpen
    if case.partly_erased_at is not None:
        raise NotReopenable
    if by_id is not None and case.erasure_confirmed_at is not None:
        raise ErasureConfirmed
    if by_id is None and now > case.reopen_until:
        raise NotReopenable
    directory = directories.load(session, now=now)
    entry_id = journal.record(
        session,
        case_id=case.id,
        kind=Kind.REOPENED,
        channel=Channel.PAGE if by_id is None else Channel.SYSTEM,
        direction=Direction.IN if by_id is None else Direction.NONE,
        actor=Actor.CUSTOMER if by_id is None else Actor.PERSON,
        person_id=by_id,
        text=text,
        facts=files.facts_of(attached),
        now=now,
    )
    files.attach(session, entry_id, attached, now=now)
    promise = reopen_row(session, directory, case, now=now)
    settle(session, case, now=now)
    to_tell = _called_off_untold(session, case)
    outbox.withdraw(session, case.id, automatic=True, now=now)
    writing.to_customer(
        session,
        directory,
        case,
        LetterKind.REOPENED,
        key=f"reopened:{promise.id}",
        step=promise,
        appointment=to_tell,
        now=now,
        says={"by_customer": by_id is None, "reopened_on": _day(directory, case, now, now=now)},
    )
    writing.to_staff(
        session,
        directory,
        case,
        LetterKind.STAFF_REOPENED,
        key=f"staff_reopened:{promise.id}",
        step=promise,
        now=now,
    )


def reopen_row(
    session: Session, directory: Directory, case: Case, *, now: datetime, promise: Promise | None = None
) -> Promise:
    """Turn a closed row into an open one with a first promise; the caller settles and writes."""
    promise = promise or opening.promise_first_answer(session, directory, case, now=now)
    case.state, case.notices, case.lead_since = CaseState.OPEN, 0, None
    case.closed_at, case.outcome, case.outcome_text, case.reopen_until, case.erase_on = (
        None,
        None,
        "",
        None,
        None,
    )
    case.erasure_asked_at, case.erasure_confirmed_at = None, None
    return promise


def outcome_sentence(outcome: Outcome, voice: Voice) -> str:
    """How it ended, in words."""
    return {
        Outcome.DONE: voice.say("Done"),
        Outcome.NO_ANSWER: voice.say("Closed without an answer from you"),
        Outcome.WITHDRAWN: voice.say("No longer needed"),
        Outcome.NOT_POSSIBLE: voice.say("Not possible"),
    }[outcome]


def _called_off_untold(session: Session, case: Case) -> Appointment | None:
    """An appointment that was called off, whose calendar file has not left: the letter that follows brings it."""
    waits = Letter.state.in_((LetterState.QUEUED, LetterState.HELD))
    told_by = select(Letter.appointment_id).where(
        Letter.case_id == case.id, Letter.audience == Audience.CUSTOMER, Letter.appointment_id.is_not(None), waits
    )
    off = select(Appointment).where(Appointment.id.in_(told_by), Appointment.state == AppointmentState.CANCELLED)
    entered = select(Letter.id).where(
        Letter.appointment_id == Appointment.id,
        Letter.audience == Audience.CUSTOMER,
        Letter.state.in_((LetterState.SENT, LetterState.SENDING)),
    )
    return session.scalars(off.where(entered.exists()).order_by(Appointment.id.desc()).limit(1)).first()


def _keep_written(session: Session, case: Case, entry_id: int, *, now: datetime) -> None:
    for promise in promises.open_of(session, case.id):
        if promise.medium == Medium.MAIL:
            promises.keep(promise, entry_id=entry_id, now=now)


def _is_told_of(session: Session, closing: Entry) -> bool:
    """Whether a letter that was not taken back tells the customer of this closing; one that died counts as tried."""
    key = f"closed:{closing.id}"
    query = select(Letter.id).where(
        Letter.case_id == closing.case_id,
        or_(Letter.key == key, Letter.key.startswith(f"{key}:")),
        Letter.state != LetterState.WITHDRAWN,
        or_(Letter.withdraw_wished_at.is_(None), Letter.state == LetterState.SENT),
    )
    return session.execute(query.limit(1)).first() is not None


def _tell_closed(
    session: Session,
    directory: Directory,
    case: Case,
    *,
    key: str,
    actor: Actor,
    by_id: int | None,
    called_off: Appointment | None,
    now: datetime,
) -> None:
    voice = directory.voice_of(case)
    assert case.outcome is not None and case.closed_at is not None
    assert case.reopen_until is not None and case.erase_on is not None
    writing.to_customer(
        session,
        directory,
        case,
        LetterKind.CLOSED,
        key=key,
        by_id=by_id,
        unasked=actor == Actor.SYSTEM,
        appointment=called_off,
        now=now,
        says={
            "called_off": None if called_off is None else voice.agreed(called_off.starts_at, now=now),
            "by_customer": actor == Actor.CUSTOMER,
            "no_answer": actor == Actor.SYSTEM,
            "closed_on": _day(directory, case, case.closed_at, now=now),
            "outcome": outcome_sentence(case.outcome, voice),
            "outcome_text": "" if actor == Actor.CUSTOMER else case.outcome_text,
            "reopen_until": voice.day(voice.local(case.reopen_until).date(), now=now),
            "erase_on": voice.day(case.erase_on, now=now),
            **status_link.link_day(directory, case, now=now),
        },
    )


def _tell_staff(
    session: Session, directory: Directory, case: Case, entry_id: int, *, actor: Actor, reader_id: int, now: datetime
) -> None:
    """Whoever was working on it hears that it is closed: the customer needs it no longer, or did not answer."""
    voice = writing.staff_voice(directory, case, reader_id)
    assert case.reopen_until is not None
    writing.to_staff(
        session,
        directory,
        case,
        LetterKind.STAFF_CLOSED,
        key=f"staff_closed:{entry_id}",
        reader_id=reader_id,
        now=now,
        says={
            "no_answer": actor == Actor.SYSTEM,
            "reopen_until": voice.day(voice.local(case.reopen_until).date(), now=now),
        },
    )


def _day(directory: Directory, case: Case, at: datetime, *, now: datetime) -> str:
    """The day of an instant, as the customer's letters name it."""
    voice = directory.voice_of(case)
    return voice.day(voice.local(at).date(), now=now)


def end_of_day(voice: Voice, day: date) -> datetime:
    """The last second of a local day, as the instant it is."""
    return voice.instant(datetime.combine(day, time(23, 59, 59)))
