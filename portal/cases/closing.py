"""Closing, reopening, and the customer's other rights: the link, the address, "Das war ich nicht"."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from portal.appointments import service as appointments
from portal.appointments.models import Appointment, AppointmentState
from portal.cases import directory as directories
from portal.cases import inviting, opening, promising, reaching, routing, scheduling, writing
from portal.cases import steps as stepping
from portal.cases.directory import Directory
from portal.cases.errors import AlreadyCorrected, ErasureConfirmed, NotOpen, NotReopenable
from portal.cases.models import Case, CaseState, Doubt, Outcome, RoutedBy, Submission
from portal.cases.routing import Routed
from portal.cases.settling import booked_of, end_steps, hold, hold_open, settle
from portal.customers.mailboxes import mailbox_key
from portal.customers.models import Customer
from portal.journal import files
from portal.journal import service as journal
from portal.journal.files import File
from portal.journal.models import Actor, Channel, Direction, Entry, Kind
from portal.languages import Voice
from portal.links import new_secret
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, Letter, LetterState
from portal.promises import service as promises
from portal.promises.models import Medium, Promise

REOPEN_DAYS = 14
LINK_DAYS = 90
"""How long after closing the status link works."""
NOT_ME_DAYS = 7
"""How long staff can undo a "that was not me" before the data is erased."""
CORRECTION_TIME = timedelta(minutes=15)


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


def link_until(case: Case, voice: Voice) -> date | None:
    """The last day on which the status link of a closed case works; None while it is open."""
    return None if case.closed_at is None else voice.local(case.closed_at).date() + timedelta(days=LINK_DAYS)


def link_day(directory: Directory, case: Case, *, now: datetime) -> dict[str, str]:
    """What the letter about a closing says of that day."""
    voice = directory.voice_of(case)
    last_day = link_until(case, voice)
    assert last_day is not None
    return {"link_until": voice.day(last_day, now=now)}


def link_works(case: Case, voice: Voice, *, now: datetime) -> bool:
    """Whether the status link still opens the case: until the end of that day in the team's place."""
    last_day = link_until(case, voice)
    return last_day is None or voice.local(now).date() <= last_day


def replace_link(session: Session, case: Case, *, now: datetime) -> None:
    """Kill every link given out so far and mail a new one to the stored address. Raises NotOpen.

    Unsent automatic letters hold the old link and are taken back or written anew; a promise or a closing that only
    they told is written once more, and a deletion is to be asked for anew. What a person wrote, a reply or a question,
    is never taken back: the old link in it opens nothing any more, the letter with the new one is on its way too.
    """
    hold(session, case)
    if case.state not in (CaseState.OPEN, CaseState.CLOSED):
        raise NotOpen
    directory = directories.load(session, now=now)
    case.link_nonce, case.erasure_asked_at = new_secret(), None  # the letter that asks to confirm holds the old one
    outbox.change_link(session, case.id, now=now)
    entry_id = journal.record(
        session, case_id=case.id, kind=Kind.LINK_REPLACED, channel=Channel.PAGE, actor=Actor.CUSTOMER, now=now
    )
    send_link(session, directory, case, key=f"link_replaced:{entry_id}", replaced=True, now=now)
    for promise in promises.open_of(session, case.id):
        if promise.due_at > now and not outbox.is_told(session, promise.id):
            key = f"promise_given:{promise.id}:link_replaced:{entry_id}"
            writing.tell_promise(session, directory, case, promise, key=key, now=now)
    booked = booked_of(session, case) if case.state == CaseState.OPEN else None
    is_to_come = booked is not None and appointments.is_to_come(booked, now=now)
    if booked is not None and is_to_come and not outbox.is_told(session, appointment_id=booked.id):
        key = f"appointment_confirmed:{booked.id}:{booked.version}:link_replaced:{entry_id}"
        says, kind = {"by_customer": False, "stays": False}, LetterKind.APPOINTMENT_CONFIRMED
        writing.to_customer(session, directory, case, kind, key=key, step=booked, says=says, now=now)
    closing = closing_entry(session, case) if case.state == CaseState.CLOSED else None
    if closing is not None and case.erasure_confirmed_at is None and not _is_told_of(session, closing):
        key = f"closed:{closing.id}:link_replaced:{entry_id}"
        # Signed by whoever acts now: who closed it may be away today.
        _tell_closed(session, directory, case, key=key, actor=closing.actor, by_id=None, called_off=None, now=now)


def send_link(session: Session, directory: Directory, case: Case, *, key: str, replaced: bool, now: datetime) -> None:
    """Mail the current link to the stored address."""
    writing.to_customer(
        session,
        directory,
        case,
        LetterKind.LINK,
        key=key,
        step=stepping.to_name(session, case.id, now=now),
        now=now,
        says=link_says(directory, case, replaced=replaced, now=now),
    )


def link_says(directory: Directory, case: Case, *, replaced: bool, now: datetime) -> dict[str, str | bool | None]:
    """What the letter with the link says of its own: ``replaced`` if earlier links no longer work."""
    until = case.reopen_until
    return {
        "replaced": replaced,
        "is_open": case.state == CaseState.OPEN,  # without a step: then every promised date has passed
        "reopen_until": None if until is None or until <= now else _day(directory, case, until, now=now),
    }


def correct_address(session: Session, submission: Submission, email: str, *, now: datetime) -> None:
    """Replace a mistyped address: a new link, the queued letters withdrawn, the confirmation to the new mailbox.

    Whoever was named because the mailbox knows them is named for the corrected mailbox instead. Once, within 15 minutes
    of the form, and before anybody acted on the case. Raises AlreadyCorrected.
    """
    case = session.get_one(Case, submission.case_id)
    hold(session, case)
    if now > submission.at + CORRECTION_TIME or case.state not in (CaseState.OPEN, CaseState.RECEIVED):
        raise AlreadyCorrected
    if case.doubt == Doubt.NOT_ME or _somebody_acted(session, case):
        raise AlreadyCorrected
    directory = directories.load(session, now=now)
    routed = _routed_again(session, directory, case, mailbox_key(email), now=now)
    case.customer.email, case.customer.email_key = email, mailbox_key(email)
    case.link_nonce = new_secret()
    outbox.withdraw(session, case.id, audience=Audience.CUSTOMER, now=now)
    journal.record(
        session,
        case_id=case.id,
        kind=Kind.ADDRESS_CORRECTED,
        channel=Channel.FORM,
        actor=Actor.CUSTOMER,
        now=now,
    )
    moved = routed is not None and routed.owner_id != case.owner_id
    if routed is not None:
        case.owner_id, case.routed_by = routed.owner_id, routed.by
    if moved:
        _name_the_owner(session, directory, case, now=now)
    settle(session, case, now=now)
    if case.step is not None:
        key = f"confirmation:{case.id}:corrected"
        opening.confirm(session, directory, case, case.step, key=key, now=now, by_stranger=True)
    if moved:
        key = f"staff_new_case:{case.id}:corrected"
        writing.to_staff(session, directory, case, LetterKind.STAFF_NEW_CASE, key=key, step=case.step, now=now)


def not_me(session: Session, case: Case, *, now: datetime) -> None:
    """Whoever reads the mailbox did not write to us: letters stop, staff look, and on a date everything is erased.

    The case becomes an entry in doubt again; release() undoes it. Raises NotOpen when there is nothing to stop.
    """
    hold(session, case)
    if case.state not in (CaseState.OPEN, CaseState.CLOSED):
        raise NotOpen
    directory = directories.load(session, now=now)
    team, voice = directory.team_of(case), directory.voice_of(case)
    called_off = end_steps(session, case, now=now)
    case.state, case.doubt = CaseState.RECEIVED, Doubt.NOT_ME
    case.check_by_at = scheduling.check_by(directory, team, now=now)
    case.erase_on = voice.local(now).date() + timedelta(days=NOT_ME_DAYS)
    case.closed_at, case.outcome, case.outcome_text, case.reopen_until = None, None, "", None
    case.erasure_asked_at, case.erasure_confirmed_at = None, None
    case.lead_since = None  # from now on it says that the date of an entry in doubt passed unread
    settle(session, case, now=now)
    outbox.withdraw(session, case.id, now=now)
    if called_off is not None:
        inviting.note_and_tell_keeper(session, directory, case, called_off, by_id=None, now=now)
    entry_id = journal.record(
        session,
        case_id=case.id,
        kind=Kind.NOT_ME,
        channel=Channel.PAGE,
        direction=Direction.IN,
        actor=Actor.CUSTOMER,
        now=now,
    )
    reader_id = directory.acting_person(case, now).person_id
    staff_voice = writing.staff_voice(directory, case, reader_id)
    writing.to_staff(
        session,
        directory,
        case,
        LetterKind.STAFF_NOT_ME,
        key=f"staff_not_me:{entry_id}",
        reader_id=reader_id,
        now=now,
        says={
            "erase_on": staff_voice.day(case.erase_on, now=now),
            "check_by": staff_voice.moment(case.check_by_at, now=now),
        },
    )


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
            **link_day(directory, case, now=now),
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


def _routed_again(
    session: Session, directory: Directory, case: Case, email_key: str, *, now: datetime
) -> Routed | None:
    """Who owns an open case of this mailbox instead; None where the owner stays.

    Asked before the case has the mailbox, or it would find itself there. An account's number names its manager whatever
    the mailbox; and whom the topic named stays, although somebody else may have fewer cases by now.
    """
    old = case.customer
    if case.state != CaseState.OPEN or case.routed_by == RoutedBy.ACCOUNT or email_key == old.email_key:
        return None
    if booked_of(session, case) is not None:  # whoever keeps the agreed time stays
        return None
    corrected = Customer(email_key=email_key, number_typed=old.number_typed, postcode=old.postcode)
    routed = routing.route(session, directory, directory.topics[case.topic_id], corrected, now=now)
    return None if routed.by == case.routed_by == RoutedBy.TOPIC else routed


def _name_the_owner(session: Session, directory: Directory, case: Case, *, now: datetime) -> None:
    """Give everything that named the former owner of a fresh case to the new one; the dates stay."""
    assert case.owner_id is not None
    outbox.withdraw(session, case.id, audience=Audience.STAFF, now=now)
    for promise in promises.open_of(session, case.id):
        promise.person_id = case.owner_id
    first = promises.open_of(session, case.id)[0]
    journal.record(
        session,
        case_id=case.id,
        kind=Kind.OPENED,
        channel=Channel.SYSTEM,
        actor=Actor.SYSTEM,
        person_id=case.owner_id,
        now=now,
        facts=promising.promise_facts(directory, first),
        corrects_id=_opening_entry_id(session, case),
    )


def _opening_entry_id(session: Session, case: Case) -> int | None:
    opened = select(Entry.id).where(Entry.case_id == case.id, Entry.kind == Kind.OPENED)
    return session.scalars(opened.order_by(Entry.id.desc()).limit(1)).first()


def _somebody_acted(session: Session, case: Case) -> bool:
    """Whether anything happened since the form, other than what the system wrote itself."""
    return (
        session.scalars(
            select(Entry.id)
            .where(Entry.case_id == case.id, Entry.actor != Actor.SYSTEM, Entry.kind != Kind.RECEIVED)
            # A time chosen with the form is noted at its instant; later ones are acts of their own.
            .where(or_(Entry.kind != Kind.APPOINTMENT_BOOKED, Entry.at > case.received_at))
            .limit(1)
        ).first()
        is not None
    )
