"""Keeping: what becomes of an agreed time as it comes near, begins, and passes.

The customer is reminded; whoever is to call is alarmed where nobody has begun, and soon the customer is told; once it
is over somebody says what became of it, and each outcome leaves a next step. What nobody says is asked for, and
meanwhile the customer has a date by which we are in touch.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy.orm import Session

from portal.appointments import service as appointments
from portal.appointments.models import Appointment, AppointmentState
from portal.cases import agreed_time, agreeing, answering, inviting, reaching, scheduling, writing
from portal.cases import directory as directories
from portal.cases import steps as stepping
from portal.cases.answering import Contact, Step
from portal.cases.directory import Directory
from portal.cases.errors import NoNextStep, NotYet, OnHold, StaleAppointment
from portal.cases.models import Case, CaseState
from portal.cases.settling import booked_of, hold, settle
from portal.journal.models import Kind
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.promises import service as promises
from portal.promises.business_time import BeyondHolidayTable, Calendar, NoBusinessTime
from portal.promises.models import Medium, Promise, PromiseKind
from portal.promises.service_level import Schedule, latest_sending

LEADS = (24, 1)
"""So many hours before its time the customer is reminded of it; elapsed hours, whatever the clocks do."""
ALARM_AFTER, TELL_AFTER = timedelta(minutes=5), timedelta(minutes=15)
"""How long after its start nobody has begun until colleagues are alarmed, and until the customer is told."""
ASK_AGAIN_AFTER = timedelta(hours=1)
"""How long whoever kept it has to say what became of it, before the deputy is asked."""


class Outcome(StrEnum):
    """What became of an agreed time."""

    ANSWERED = "answered"
    """Held, with an answer."""
    INTERIM = "interim"
    """Held, to say how it stands."""
    NOT_REACHED = "not_reached"
    MISSED = "missed"
    """By us."""


_HELD = {Outcome.ANSWERED, Outcome.INTERIM}
_STATES = {
    Outcome.ANSWERED: AppointmentState.HELD,
    Outcome.INTERIM: AppointmentState.HELD,
    Outcome.NOT_REACHED: AppointmentState.NOT_REACHED,
    Outcome.MISSED: AppointmentState.MISSED,
}
_KINDS = {
    AppointmentState.HELD: Kind.APPOINTMENT_HELD,
    AppointmentState.NOT_REACHED: Kind.APPOINTMENT_NOT_REACHED,
    AppointmentState.MISSED: Kind.APPOINTMENT_MISSED,
}


# --- before its time -------------------------------------------------------------------------------------------------


def remind_customer(session: Session, case: Case, *, now: datetime) -> None:
    """Remind the customer of the agreed time where that is due; each time it is agreed on, each reminder once.

    That it was done is known by the letter alone. The case stays as it is.
    """
    booked = _booked(session, case)
    if booked is None:
        return
    directory = directories.load(session, now=now)
    key = _reminder(session, directory, case, booked, now=now)
    if key is not None:
        kind = LetterKind.APPOINTMENT_REMINDER
        writing.to_customer(session, directory, case, kind, key=key, step=booked, unasked=True, now=now)


def is_to_be_reminded(
    session: Session, directory: Directory, case: Case, booked: Appointment, *, now: datetime
) -> bool:
    """Whether ``remind_customer`` would write."""
    return _reminder(session, directory, case, booked, now=now) is not None


def _reminder(session: Session, directory: Directory, case: Case, booked: Appointment, *, now: datetime) -> str | None:
    """The key of the reminder that is to be written now; None where none is."""
    hours = _hours_before(directory, case, booked, now=now) if appointments.is_to_come(booked, now=now) else None
    key = f"{LetterKind.APPOINTMENT_REMINDER}:{booked.id}:{booked.version}:{hours}"
    return None if hours is None or outbox.is_written(session, key) else key


def _hours_before(directory: Directory, case: Case, booked: Appointment, *, now: datetime) -> int | None:
    """The reminder whose time has come, as hours before the start; None where none has.

    One that lies outside the sending hours comes with the latest instant inside them, and two that meet there are one.
    Where the customer has been told of this time since, there is none; nor once a later one has come.
    """
    sending = directory.sending(directory.team_of(case))
    times: dict[datetime, int] = {}
    for hours in LEADS:
        times.setdefault(_sent_at(sending, booked.starts_at - timedelta(hours=hours)), hours)
    at = max((at for at in times if at <= now), default=None)
    return times[at] if at is not None and at > booked.changed_at else None


def _sent_at(sending: Calendar, at: datetime) -> datetime:
    try:
        return latest_sending(sending, at)
    except (NoBusinessTime, BeyondHolidayTable):  # where no hour is known, silence would be worse
        return at


# --- when nobody has begun -------------------------------------------------------------------------------------------


def alarm(session: Session, case: Case, *, now: datetime) -> None:
    """Nobody has begun: whoever is to, their deputy and the lead hear of it.

    The case stays as it is, so that no page that calls is refused at this very moment.
    """
    booked = _booked(session, case)
    if booked is None or booked.alarmed_at is not None or not _is_late(booked, ALARM_AFTER, now=now):
        return
    directory = directories.load(session, now=now)
    booked.alarmed_at = now
    keeper = agreed_time.keeper(directory, case, booked)
    others = [one for one in (_deputy(directory, case, keeper.id, now), _lead(directory, case, now)) if one is not None]
    _tell_once(session, directory, case, booked, "late", [keeper.id], now=now)
    _tell_once(session, directory, case, booked, "late", others, other=keeper.name, now=now)


def tell_late(session: Session, case: Case, *, now: datetime) -> None:
    """Still nobody has begun: the customer hears it from us, at any hour, with the direct line."""
    booked = _booked(session, case)
    if booked is None or booked.late_told_at is not None or not _is_late(booked, TELL_AFTER, now=now):
        return
    directory = directories.load(session, now=now)
    booked.late_told_at = now
    inviting.note(session, directory, case, booked, Kind.APPOINTMENT_LATE, by_id=None, now=now)
    inviting.tell_late(session, directory, case, booked, now=now)


def _is_late(booked: Appointment, after: timedelta, *, now: datetime) -> bool:
    begun = booked.started_at is not None or not appointments.counts(booked)
    return not begun and booked.starts_at + after <= now < booked.outcome_due_at


# --- when nobody has said what became of it --------------------------------------------------------------------------


def outcome_due(session: Session, case: Case, *, now: datetime) -> None:
    """It is over, and nobody has said what became of it: a promise takes its place, and the customer is told.

    A call that nobody began did not take place: missed, with an apology. Of any other it is asked; that nobody
    says so when setting out for a visit, it was not made. Raises NothingToPromise.
    """
    booked = _booked(session, case)
    if booked is None or not appointments.counts(booked) or now < booked.outcome_due_at:
        return
    directory = directories.load(session, now=now)
    booked.asked_at = now
    if booked.started_at is None and booked.medium == Medium.CALL:
        _miss(session, directory, case, booked, now=now)
    else:
        _ask(session, directory, case, booked, now=now)


def ask_again(session: Session, case: Case, *, now: datetime) -> None:
    """Whoever kept it has not answered: the deputy is asked, once. The case stays as it is."""
    booked = _booked(session, case)
    if booked is None or booked.asked_at is None or booked.asked_again_at is not None:
        return
    if now < booked.asked_at + ASK_AGAIN_AFTER:
        return
    directory = directories.load(session, now=now)
    booked.asked_again_at = now
    deputy_id = _deputy(directory, case, agreed_time.keeper(directory, case, booked).id, now)
    if deputy_id is not None:
        inviting.note(session, directory, case, booked, Kind.OUTCOME_ASKED, by_id=None, visible=False, now=now)
        _tell_once(session, directory, case, booked, "outcome", [deputy_id], now=now)


def _miss(session: Session, directory: Directory, case: Case, booked: Appointment, *, now: datetime) -> None:
    keeper_id = agreed_time.keeper(directory, case, booked).id
    _end(session, directory, case, booked, AppointmentState.MISSED, by_id=None, now=now)
    promise = _call_again(session, directory, case, now=now)
    settle(session, case, now=now)
    _apologise(session, directory, case, booked, promise, now=now)
    lead_id = _lead(directory, case, now)
    readers = [keeper_id] if lead_id is None else [keeper_id, lead_id]
    _tell_once(session, directory, case, booked, "missed", readers, now=now)


def _ask(session: Session, directory: Directory, case: Case, booked: Appointment, *, now: datetime) -> None:
    inviting.note(session, directory, case, booked, Kind.OUTCOME_ASKED, by_id=None, visible=False, now=now)
    promise = _be_in_touch(session, directory, case, now=now)
    settle(session, case, now=now)
    if not outbox.is_told(session, promise.id):
        answering.tell_step(session, directory, case, promise, now=now)
    keeper_id = agreed_time.keeper(directory, case, booked).id
    _tell_once(session, directory, case, booked, "outcome", [keeper_id], now=now)


def _be_in_touch(session: Session, directory: Directory, case: Case, *, now: datetime) -> Promise:
    """A date soon by which we are in touch; one that a colleague gave stands, if it lies ahead."""
    follow_up = promises.of_kind(promises.open_of(session, case.id), PromiseKind.FOLLOW_UP)
    if follow_up is not None:
        by_hand = follow_up.given_by_id is not None and follow_up.waiting is None
        if by_hand and follow_up.due_at > now:
            return follow_up
        answering.withdraw(session, directory, case, follow_up, now=now)
        session.flush()  # of each kind one promise may be open
    schedule = scheduling.soon(directory, case, now=now)
    step = Step(PromiseKind.FOLLOW_UP, Medium.MAIL, schedule.due_at)
    return answering.give(session, directory, case, step, schedule, now=now)


# --- what became of it -----------------------------------------------------------------------------------------------


def say_outcome(
    session: Session,
    case: Case,
    *,
    by_id: int,
    outcome: Outcome,
    text: str,
    keeps: Collection[int],
    step: Step | None,
    visible: bool,
    version: int,
    now: datetime,
    recap: bool = False,
    closes: bool = False,
) -> None:
    """Somebody says what became of the agreed time; ``version`` is the appointment's, as the page showed it.

    ``keeps`` are the promises the person says this contact kept, ``step`` is what comes next; where none is named and
    none is left, one is given by the service level, unless there was an answer. ``recap`` sends the customer ``text``,
    in the words of whoever spoke. ``closes``: the caller closes the case in the same transaction, and tells.

    A talk before its time was the agreed one. A call before its time that reached nobody is an attempt: the time
    stands. Raises NotOpen, NoAppointment, StaleAppointment, OnHold, NotYet, WrongMedium, NoNextStep, NoRoom,
    DateOutOfReach, NothingToPromise, AuthorAbsent, AuthorDoesNotAnswer.
    """
    directory, booked = agreeing.to_change(session, case, now=now)
    if booked.version != version:
        raise StaleAppointment
    if booked.change_wished_at is not None:
        raise OnHold
    if outcome in _HELD and now < booked.starts_at and booked.started_at is None:
        raise NotYet
    if outcome not in _HELD and now < booked.starts_at:
        entry_id = _note_attempt(session, directory, case, booked, by_id=by_id, text=text, visible=visible, now=now)
        _keep(session, case, booked, outcome, entry_id, keeps, by_id=by_id, now=now)
        return
    _end_what_bridged(session, directory, case, booked, now=now)
    if outcome in _HELD:
        answering.end_waiting(session, directory, case, now=now)
    recaps = recap and outcome in _HELD and bool(text.strip())
    entry_id = _log(
        session, directory, case, booked, outcome, by_id=by_id, text=text, visible=visible or recaps, now=now
    )
    _keep(session, case, booked, outcome, entry_id, keeps, by_id=by_id, now=now)
    if closes:
        return
    promise = _what_comes(session, directory, case, outcome, step, by_id=by_id, now=now)
    settle(session, case, now=now)
    if recaps:
        _recap(session, directory, case, entry_id, promise, by_id=by_id, text=text, now=now)
    else:
        _tell(session, directory, case, booked, outcome, entry_id, promise, now=now)


def _note_attempt(
    session: Session,
    directory: Directory,
    case: Case,
    booked: Appointment,
    *,
    by_id: int,
    text: str,
    visible: bool,
    now: datetime,
) -> int:
    """Somebody called early and reached nobody: the time stands, and is to be begun once more."""
    entry_id = answering.record_contact(
        session, case, by_id=by_id, contact=Contact.CALL_NOT_REACHED, text=text, at=now, visible=visible, now=now
    )
    booked.started_at = booked.started_by_id = None
    settle(session, case, now=now)
    if reaching.out_of_reach_since(session, case) is not None:
        return entry_id
    writing.to_customer(
        session,
        directory,
        case,
        LetterKind.CALL_ATTEMPTED,
        key=f"{LetterKind.CALL_ATTEMPTED}:{entry_id}",
        step=booked,
        says={
            "called": directory.voice_of(case).moment(now, now=now),
            "mailbox": False,
            "given": False,
            "stands": True,
            "what": "",
            "moved": False,
            "before": None,
            "reason": None,
        },
        now=now,
    )
    return entry_id


def _log(
    session: Session,
    directory: Directory,
    case: Case,
    booked: Appointment,
    outcome: Outcome,
    *,
    by_id: int,
    text: str,
    visible: bool,
    now: datetime,
) -> int:
    """End it, with the contact as any other is logged and the outcome beside it; returns the entry that may keep.

    The customer reads of one contact once.
    """
    contact = _contact(booked, outcome)
    entry_id = None
    if contact is not None:
        entry_id = answering.record_contact(
            session, case, by_id=by_id, contact=contact, text=text, at=now, visible=visible, now=now
        )
    elif text and not visible:
        answering.note(session, case, by_id=by_id, text=text, now=now)
    ended_id = _end(
        session,
        directory,
        case,
        booked,
        _STATES[outcome],
        by_id=by_id,
        text=text if contact is None and visible else "",
        visible=contact is None or not visible,
        also={"interim": "yes"} if outcome == Outcome.INTERIM else None,
        now=now,
    )
    return entry_id or ended_id


def _contact(booked: Appointment, outcome: Outcome) -> Contact | None:
    """The contact it was, if it was one: at a visit that met nobody there was none, and at one we missed."""
    is_call = booked.medium == Medium.CALL
    if outcome in _HELD:
        return Contact.CALL_REACHED if is_call else Contact.VISIT
    return Contact.CALL_NOT_REACHED if outcome == Outcome.NOT_REACHED and is_call else None


def _end(
    session: Session,
    directory: Directory,
    case: Case,
    booked: Appointment,
    state: AppointmentState,
    *,
    by_id: int | None,
    now: datetime,
    text: str = "",
    visible: bool = True,
    also: dict[str, str] | None = None,
) -> int:
    appointments.end(booked, state, now=now)
    outbox.take_back_appointment(session, case.id, booked.id, now=now)
    return inviting.note(
        session,
        directory,
        case,
        booked,
        _KINDS[state],
        by_id=by_id,
        text=text,
        visible=visible,
        also=also,
        now=now,
    )


def _end_what_bridged(
    session: Session, directory: Directory, case: Case, booked: Appointment, *, now: datetime
) -> None:
    """The date that was given because nobody had said what became of it has done its work."""
    follow_up = promises.of_kind(promises.open_of(session, case.id), PromiseKind.FOLLOW_UP)
    if booked.asked_at is None or follow_up is None:
        return
    by_system = follow_up.given_by_id is None and follow_up.waiting is None
    if by_system and follow_up.given_at >= booked.asked_at:
        answering.withdraw(session, directory, case, follow_up, now=now)
        session.flush()


def _keep(
    session: Session,
    case: Case,
    booked: Appointment,
    outcome: Outcome,
    entry_id: int,
    keeps: Collection[int],
    *,
    by_id: int,
    now: datetime,
) -> None:
    media = {booked.medium} if outcome in _HELD else set[Medium]()
    talked = outcome in _HELD and booked.medium == Medium.CALL
    answering.keep(session, case, entry_id, keeps, media, talked, by_id=by_id, now=now)


def _what_comes(
    session: Session,
    directory: Directory,
    case: Case,
    outcome: Outcome,
    step: Step | None,
    *,
    by_id: int,
    now: datetime,
) -> Promise | None:
    """What was named, or what this outcome leaves by itself; None where something we owe lies ahead anyway."""
    if step is not None:
        return answering.take_on(session, directory, case, step, by_id=by_id, now=now)
    if outcome not in _HELD:
        return _call_again(session, directory, case, now=now)
    owed = [one for one in promises.open_of(session, case.id) if one.waiting is None]
    if promises.ahead(owed, now=now) is not None:
        return None
    if outcome == Outcome.ANSWERED:
        raise NoNextStep
    schedule = scheduling.answer_to_message(directory, case, now=now)
    return _by_itself(session, directory, case, PromiseKind.REPLY, schedule, now=now)


def _call_again(session: Session, directory: Directory, case: Case, *, now: datetime) -> Promise:
    """The call that did not take place is promised anew; an answer by mail where there is no number."""
    kind = PromiseKind.REPLY if case.customer.phone_e164 is None else PromiseKind.CALL
    return _by_itself(session, directory, case, kind, scheduling.next_update(directory, case, now=now), now=now)


def _by_itself(
    session: Session, directory: Directory, case: Case, kind: PromiseKind, schedule: Schedule, *, now: datetime
) -> Promise:
    """A promise of this kind by then at the latest: what is open of it is brought forward."""
    open_one = promises.of_kind(promises.open_of(session, case.id), kind)
    if open_one is None:
        medium = Medium.CALL if kind == PromiseKind.CALL else Medium.MAIL
        return answering.give(session, directory, case, Step(kind, medium, schedule.due_at), schedule, now=now)
    if now < open_one.due_at <= schedule.due_at:
        return open_one
    return answering.bring_forward(session, directory, case, open_one, schedule, now=now)


# --- who hears of it -------------------------------------------------------------------------------------------------


def _tell(
    session: Session,
    directory: Directory,
    case: Case,
    booked: Appointment,
    outcome: Outcome,
    entry_id: int,
    promise: Promise | None,
    *,
    now: datetime,
) -> None:
    """Write the customer what comes next, and what became of the time where nobody has talked to them."""
    if outcome == Outcome.MISSED:
        assert promise is not None
        _apologise(session, directory, case, booked, promise, now=now)
    elif reaching.out_of_reach_since(session, case) is not None:
        return  # they heard it, or will: a letter would die as the last one did, and leave one more call
    elif outcome == Outcome.NOT_REACHED and booked.medium == Medium.CALL:
        assert promise is not None
        _tell_attempt(session, directory, case, entry_id, promise, now=now)
    else:
        _tell_step(session, directory, case, promise, now=now)


def _tell_step(session: Session, directory: Directory, case: Case, promise: Promise | None, *, now: datetime) -> None:
    """What was given; where that was nothing, what now comes first, unless they know it."""
    if promise is None:
        ahead = stepping.to_name(session, case.id, now=now)
        promise = ahead if isinstance(ahead, Promise) and not outbox.is_told(session, ahead.id) else None
    if promise is not None:
        answering.tell_step(session, directory, case, promise, now=now)


def _tell_attempt(
    session: Session, directory: Directory, case: Case, entry_id: int, promise: Promise, *, now: datetime
) -> None:
    """When we called, the direct line, and times to choose: always, because this call was agreed."""
    given = promise.given_at == now
    unmoved = {} if given else {"moved": False, "before": None}
    writing.tell_promise(
        session,
        directory,
        case,
        promise,
        key=f"{LetterKind.CALL_ATTEMPTED}:{entry_id}",
        kind=LetterKind.CALL_ATTEMPTED,
        also={
            "called": directory.voice_of(case).moment(now, now=now),
            "mailbox": False,
            "given": given,
            "stands": False,
            "times": agreeing.first_times(session, directory, case, now=now),
            **unmoved,
        },
        now=now,
    )


def _apologise(
    session: Session, directory: Directory, case: Case, booked: Appointment, promise: Promise, *, now: datetime
) -> None:
    """At any hour: they may still be waiting."""
    inviting.tell_customer(
        session,
        directory,
        case,
        booked,
        LetterKind.APPOINTMENT_MISSED,
        step=promise,
        says={
            "before": directory.voice_of(case).agreed(booked.starts_at, now=now),
            "times": agreeing.first_times(session, directory, case, now=now),
        },
        now=now,
    )


def _recap(
    session: Session,
    directory: Directory,
    case: Case,
    entry_id: int,
    promise: Promise | None,
    *,
    by_id: int,
    text: str,
    now: datetime,
) -> None:
    step = promise or stepping.to_name(session, case.id, now=now)
    if step is None:
        raise NoNextStep
    writing.to_customer(
        session,
        directory,
        case,
        LetterKind.RECAP,
        key=f"{LetterKind.RECAP}:{entry_id}",
        step=step,
        by_id=by_id,
        says={"text": text},
        now=now,
    )


def _tell_once(
    session: Session,
    directory: Directory,
    case: Case,
    booked: Appointment,
    what: str,
    reader_ids: Collection[int],
    *,
    now: datetime,
    other: str | None = None,
) -> None:
    """Write those of these colleagues who have not been told."""
    inviting.tell_colleagues(
        session,
        directory,
        case,
        booked,
        what,
        [one for one in reader_ids if not outbox.is_written(session, inviting.colleague_key(booked, what, one))],
        other=other,
        now=now,
    )


def _deputy(directory: Directory, case: Case, person_id: int, now: datetime) -> int | None:
    """Who is there in this person's place: the standing deputy, or whoever acts for that one now."""
    deputy_id = directory.people[person_id].deputy_id
    return None if deputy_id is None else directory.acting(deputy_id, now, topic_id=case.topic_id).person_id


def _lead(directory: Directory, case: Case, now: datetime) -> int | None:
    """The lead of the case's team, or whoever acts for them now."""
    lead_id = directory.team_of(case).lead_id
    return None if lead_id is None else directory.acting(lead_id, now).person_id


def _booked(session: Session, case: Case) -> Appointment | None:
    """Hold the case and read its booked appointment; None where the case is not open."""
    hold(session, case)
    return booked_of(session, case) if case.state == CaseState.OPEN else None
