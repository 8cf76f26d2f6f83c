"""Keeping: what became of an agreed time, and the next step that each outcome leaves.

Somebody says it; of a call that nobody began it is known without a word.
"""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum

from sqlalchemy.orm import Session

from portal.appointments import service as appointments
from portal.appointments.models import Appointment, AppointmentState
from portal.cases import agreeing, contacts, inviting, promising, reaching, scheduling, writing
from portal.cases import steps as stepping
from portal.cases.contacts import Contact
from portal.cases.directory import Directory
from portal.cases.errors import HasCome, NoNextStep, NotYet, OnHold, Refused, StaleAppointment, StillStands
from portal.cases.models import Case
from portal.cases.promising import NewPromise
from portal.cases.settling import settle
from portal.journal.models import Kind
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.promises import service as promises
from portal.promises.models import Medium, Promise, PromiseKind
from portal.promises.service_level import Schedule


class AppointmentOutcome(StrEnum):
    """What became of an agreed time."""

    ANSWERED = "answered"
    """Held, with an answer."""
    INTERIM = "interim"
    """Held, to say how it stands."""
    NOT_REACHED = "not_reached"
    MISSED = "missed"
    """By us."""
    NOT_BEGUN = "not_begun"
    """It was begun by mistake: nobody has called or come yet, and the time stands."""


HELD = frozenset({AppointmentOutcome.ANSWERED, AppointmentOutcome.INTERIM})
"""It took place: somebody talked to the customer."""
_STATES = {
    AppointmentOutcome.ANSWERED: AppointmentState.HELD,
    AppointmentOutcome.INTERIM: AppointmentState.HELD,
    AppointmentOutcome.NOT_REACHED: AppointmentState.NOT_REACHED,
    AppointmentOutcome.MISSED: AppointmentState.MISSED,
}
_KINDS = {
    AppointmentState.HELD: Kind.APPOINTMENT_HELD,
    AppointmentState.NOT_REACHED: Kind.APPOINTMENT_NOT_REACHED,
    AppointmentState.MISSED: Kind.APPOINTMENT_MISSED,
}


def sayable(medium: Medium, *, begun: bool, started: bool, over: bool) -> frozenset[AppointmentOutcome]:
    """What can have become of an agreed call or visit: ``begun`` once its time has come, ``over`` once its end has.

    Before its time there is none to miss, and nobody to be met: an early call that reaches nobody is an attempt, and a
    talk needs that somebody has ``started``. What was started by mistake is taken back while it is not over.
    """
    found = set(AppointmentOutcome)
    if not (begun or started):
        found -= HELD
    if not begun:
        found -= {AppointmentOutcome.MISSED}
    if not begun and medium != Medium.CALL:
        found -= {AppointmentOutcome.NOT_REACHED}
    if over or not started:
        found -= {AppointmentOutcome.NOT_BEGUN}
    return frozenset(found)


def say_outcome(
    session: Session,
    case: Case,
    *,
    by_id: int,
    outcome: AppointmentOutcome,
    text: str,
    keeps: Collection[int],
    step: NewPromise | None,
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
    stands. So it does where nobody has begun after all. Raises NotOpen, NoAppointment, StaleAppointment, OnHold,
    NotYet, StillStands, HasCome, WrongMedium, NoNextStep, NoRoom, DateOutOfReach, NothingToPromise, AuthorAbsent,
    AuthorDoesNotAnswer.
    """
    directory, booked = agreeing.to_change(session, case, now=now)
    if booked.version != version:
        raise StaleAppointment
    if appointments.is_on_hold(booked):
        raise OnHold
    refusal = _refusal(booked, outcome, now=now)
    if refusal is not None:
        raise refusal
    if outcome == AppointmentOutcome.NOT_BEGUN:
        entry_id = _take_back(session, directory, case, booked, by_id=by_id, text=text, now=now)
        _keep(session, case, booked, outcome, entry_id, keeps, by_id=by_id, now=now)
        return
    if outcome == AppointmentOutcome.NOT_REACHED and now < booked.starts_at:
        entry_id = _note_attempt(session, directory, case, booked, by_id=by_id, text=text, visible=visible, now=now)
        _keep(session, case, booked, outcome, entry_id, keeps, by_id=by_id, now=now)
        return
    _end_what_bridged(session, directory, case, booked, now=now)
    if outcome in HELD:
        promising.end_waiting(session, directory, case, now=now)
    recaps = recap and outcome in HELD and bool(text.strip())
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


def miss(session: Session, directory: Directory, case: Case, booked: Appointment, *, now: datetime) -> Promise:
    """Nobody began the agreed call: it did not take place, and the customer reads an apology and when we call instead.

    That is what is returned. Raises NothingToPromise.
    """
    _end(session, directory, case, booked, AppointmentState.MISSED, by_id=None, now=now)
    promise = _call_again(session, directory, case, scheduling.soon(directory, case, now=now), now=now)
    settle(session, case, now=now)
    _apologise(session, directory, case, booked, promise, now=now)
    return promise


def _refusal(booked: Appointment, outcome: AppointmentOutcome, *, now: datetime) -> type[Refused] | None:
    """Why this cannot have become of it, if it cannot."""
    over, started = now >= booked.ends_at, booked.started_at is not None
    if outcome in sayable(booked.medium, begun=now >= booked.starts_at, started=started, over=over):
        return None
    if over:
        return HasCome
    return NotYet if outcome in HELD else StillStands


def _take_back(
    session: Session,
    directory: Directory,
    case: Case,
    booked: Appointment,
    *,
    by_id: int,
    text: str,
    now: datetime,
) -> int:
    """It was begun by mistake: it is to be begun once more, and is late if nobody does. Only colleagues read of it."""
    booked.started_at = booked.started_by_id = None
    entry_id = inviting.note(
        session,
        directory,
        case,
        booked,
        Kind.APPOINTMENT_STARTED,
        by_id=by_id,
        visible=False,
        text=text,
        also={"taken_back": "yes"},
        now=now,
    )
    settle(session, case, now=now)
    return entry_id


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
    entry_id = contacts.record_contact(
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
            "visit": False,
            "late": False,
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
    outcome: AppointmentOutcome,
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
        entry_id = contacts.record_contact(
            session, case, by_id=by_id, contact=contact, text=text, at=now, visible=visible, now=now
        )
    elif text and not visible:
        contacts.note(session, case, by_id=by_id, text=text, now=now)
    ended_id = _end(
        session,
        directory,
        case,
        booked,
        _STATES[outcome],
        by_id=by_id,
        text=text if contact is None and visible else "",
        visible=contact is None or not visible,
        also={"interim": "yes"} if outcome == AppointmentOutcome.INTERIM else None,
        now=now,
    )
    return entry_id or ended_id


def _contact(booked: Appointment, outcome: AppointmentOutcome) -> Contact | None:
    """The contact it was, if it was one: at a visit that met nobody there was none, and at one we missed."""
    is_call = booked.medium == Medium.CALL
    if outcome in HELD:
        return Contact.CALL_REACHED if is_call else Contact.VISIT
    return Contact.CALL_NOT_REACHED if outcome == AppointmentOutcome.NOT_REACHED and is_call else None


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
        promising.withdraw(session, directory, case, follow_up, now=now)
        session.flush()


def _keep(
    session: Session,
    case: Case,
    booked: Appointment,
    outcome: AppointmentOutcome,
    entry_id: int,
    keeps: Collection[int],
    *,
    by_id: int,
    now: datetime,
) -> None:
    media = {booked.medium} if outcome in HELD else set[Medium]()
    talked = outcome in HELD and booked.medium == Medium.CALL
    promising.keep(session, case, entry_id, keeps, media, talked, by_id=by_id, now=now)


def _what_comes(
    session: Session,
    directory: Directory,
    case: Case,
    outcome: AppointmentOutcome,
    step: NewPromise | None,
    *,
    by_id: int,
    now: datetime,
) -> Promise | None:
    """What was named, or what this outcome leaves by itself; None where something we owe lies ahead anyway."""
    if step is not None:
        return promising.take_on(session, directory, case, step, by_id=by_id, now=now)
    if outcome not in HELD:
        when = scheduling.soon if outcome == AppointmentOutcome.MISSED else scheduling.next_update
        return _call_again(session, directory, case, when(directory, case, now=now), now=now)
    owed = [one for one in promises.open_of(session, case.id) if one.waiting is None]
    if promises.ahead(owed, now=now) is not None:
        return None
    if outcome == AppointmentOutcome.ANSWERED:
        raise NoNextStep
    schedule = scheduling.answer_to_message(directory, case, now=now)
    return _by_itself(session, directory, case, PromiseKind.REPLY, schedule, now=now)


def _call_again(session: Session, directory: Directory, case: Case, schedule: Schedule, *, now: datetime) -> Promise:
    """What did not take place is promised anew, as a call; an answer by mail where there is no number."""
    kind = PromiseKind.REPLY if case.customer.phone_e164 is None else PromiseKind.CALL
    return _by_itself(session, directory, case, kind, schedule, now=now)


def _by_itself(
    session: Session, directory: Directory, case: Case, kind: PromiseKind, schedule: Schedule, *, now: datetime
) -> Promise:
    """A promise of this kind by then at the latest: what is open of it is brought forward."""
    open_one = promises.of_kind(promises.open_of(session, case.id), kind)
    if open_one is None:
        medium = Medium.CALL if kind == PromiseKind.CALL else Medium.MAIL
        return promising.give(session, directory, case, NewPromise(kind, medium, schedule.due_at), schedule, now=now)
    if now < open_one.due_at <= schedule.due_at:
        return open_one
    return promising.bring_forward(session, directory, case, open_one, schedule, now=now)


# --- who hears of it -------------------------------------------------------------------------------------------------


def _tell(
    session: Session,
    directory: Directory,
    case: Case,
    booked: Appointment,
    outcome: AppointmentOutcome,
    entry_id: int,
    promise: Promise | None,
    *,
    now: datetime,
) -> None:
    """Write the customer what comes next, and what became of the time where nobody has talked to them."""
    if outcome == AppointmentOutcome.MISSED:
        assert promise is not None
        _apologise(session, directory, case, booked, promise, now=now)
    elif reaching.out_of_reach_since(session, case) is not None:
        return  # they heard it, or will: a letter would die as the last one did, and leave one more call
    elif outcome == AppointmentOutcome.NOT_REACHED:
        assert promise is not None
        _tell_attempt(session, directory, case, booked, entry_id, promise, now=now)
    else:
        _tell_step(session, directory, case, promise, now=now)


def _tell_step(session: Session, directory: Directory, case: Case, promise: Promise | None, *, now: datetime) -> None:
    """What was given; where that was nothing, what now comes first, unless they know it."""
    if promise is None:
        ahead = stepping.to_name(session, case.id, now=now)
        promise = ahead if isinstance(ahead, Promise) and not outbox.is_told(session, ahead.id) else None
    if promise is not None:
        promising.tell_step(session, directory, case, promise, now=now)


def _tell_attempt(
    session: Session,
    directory: Directory,
    case: Case,
    booked: Appointment,
    entry_id: int,
    promise: Promise,
    *,
    now: datetime,
) -> None:
    """When we called or came, the direct line, and times to choose: always, because this was agreed.

    Of a visit, whose outcome may be said long after, the agreed time. We are sorry where we were late: whoever is out
    on a visit may have begun it with no button pressed.
    """
    voice, given, visit = directory.voice_of(case), promise.given_at == now, booked.medium == Medium.VISIT
    late = booked.late_told_at is not None and (booked.started_at is not None or not visit)
    unmoved = {} if given else {"moved": False, "before": None}
    writing.tell_promise(
        session,
        directory,
        case,
        promise,
        key=f"{LetterKind.CALL_ATTEMPTED}:{entry_id}",
        kind=LetterKind.CALL_ATTEMPTED,
        also={
            "called": voice.agreed(booked.starts_at, now=now) if visit else voice.moment(now, now=now),
            "visit": visit,
            "late": late,
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
