"""Agreeing on a time: booked, moved, called off, by the customer on the page or by a colleague (law 3).

Each is one change of one row, one journal entry, and a letter to each side that needs it. Whoever keeps the
appointment is whoever will be there; the old time stays firm until the new one stands.
"""

from datetime import datetime
from functools import partial

from sqlalchemy.orm import Session

from portal.appointments import changing
from portal.appointments import service as appointments
from portal.appointments.models import Appointment, AppointmentState
from portal.cases import agreed_time, inviting, offering, promising, scheduling
from portal.cases import directory as directories
from portal.cases import steps as stepping
from portal.cases.directory import Directory
from portal.cases.errors import (
    HasCome,
    MovedTooOften,
    NoAppointment,
    NothingOffered,
    NumberMissing,
    StaleAppointment,
    TooLateToChange,
)
from portal.cases.models import Case
from portal.cases.offering import Asked, Finder, Offered
from portal.cases.promising import NewPromise
from portal.cases.settling import booked_of, hold_open, settle
from portal.journal.models import Kind
from portal.languages import Voice
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.promises import service as promises
from portal.promises.models import Medium, PromiseKind
from portal.promises.service_level import Schedule


def book(
    session: Session,
    case: Case,
    *,
    starts_at: datetime,
    by_id: int | None,
    now: datetime,
    medium: Medium | None = None,
    version: int | None = None,
) -> Appointment:
    """Agree on a time; ``by_id`` is None where the customer chooses one. ``version`` is the case's, of the page.

    It takes the place of a promised call, and of the date by which we wanted to be in touch by ourselves. The same time
    once more is the same appointment. Raises NotOpen, StaleCase, StaleAppointment, NothingOffered, NumberMissing,
    NotOffered, SlotTaken.
    """
    hold_open(session, case, version=version)
    directory = directories.load(session, now=now)
    topic = directory.topics[case.topic_id]
    if by_id is None and not offering.offers(topic):
        raise NothingOffered
    if (medium or topic.slot_medium or Medium.CALL) == Medium.CALL and case.customer.phone_e164 is None:
        raise NumberMissing
    booked = booked_of(session, case)
    if booked is not None:
        if booked.starts_at == starts_at and appointments.counts(booked):
            return booked
        raise StaleAppointment
    offered = _chosen(session, directory, offering.of_case(directory, case), starts_at, by_id=by_id, now=now)
    booked = inviting.appointment(directory, case, offered, medium=medium, now=now)
    with inviting.guarded(session, starts_at):
        session.add(booked)
    inviting.note(
        session, directory, case, booked, Kind.APPOINTMENT_BOOKED, by_id=by_id, by_customer=by_id is None, now=now
    )
    _end_what_it_replaces(session, directory, case, by_customer=by_id is None, now=now)
    settle(session, case, now=now)
    inviting.tell_customer(
        session,
        directory,
        case,
        booked,
        LetterKind.APPOINTMENT_CONFIRMED,
        says={"by_customer": by_id is None, "stays": False},
        now=now,
    )
    inviting.tell_colleagues(
        session, directory, case, booked, "booked", [booked.person_id], by_id=by_id, by_customer=by_id is None, now=now
    )
    return booked


def move(
    session: Session,
    case: Case,
    *,
    starts_at: datetime,
    version: int,
    by_id: int | None,
    now: datetime,
    reason: str | None = None,
) -> Appointment:
    """To another time, or out of a hold to its own; ``version`` is the appointment's, as the page showed it.

    Choosing the time it has changes nothing, however old the page is. Raises NotOpen, NoAppointment, StaleAppointment,
    HasCome, TooLateToChange, MovedTooOften, NotOffered, SlotTaken.
    """
    directory, booked = to_change(session, case, now=now)
    stays = starts_at == booked.starts_at
    if stays and appointments.counts(booked):
        return booked
    _refuse_change(booked, version, by_id=by_id, moves=True, now=now)
    asked = offering.of_case(directory, case, moving=booked)
    # What is agreed already needs no notice; it is to be free, and its keeper there.
    offered = _chosen(session, directory, asked, starts_at, by_id=by_id, now=now, firm=stays, also=booked.person_id)
    before, before_id = booked.starts_at, booked.person_id
    before_name = agreed_time.keeper(directory, case, booked).name
    with inviting.guarded(session, starts_at):
        appointments.move(
            booked,
            person_id=offered.person_id,
            shape=offering.shape_of(directory.topics[case.topic_id]),
            starts_at=starts_at,
            tz=directory.team_of(case).tz,
            by_customer=by_id is None,
            now=now,
        )
    outbox.take_back_appointment(session, case.id, booked.id, now=now)
    _end_what_it_replaces(session, directory, case, by_customer=by_id is None, now=now)
    told = _Moved(before, before_id, before_name, by_id, reason)
    _note_move(session, directory, case, booked, told, now=now)
    settle(session, case, now=now)
    _tell_move(session, directory, case, booked, told, now=now)
    return booked


def cancel(
    session: Session,
    case: Case,
    *,
    version: int,
    by_id: int | None,
    now: datetime,
    reason: str | None = None,
) -> None:
    """Call it off; the customer then waits for what else is promised, or for a date by which we are in touch.

    Raises NotOpen, NoAppointment, StaleAppointment, HasCome, TooLateToChange, NothingToPromise.
    """
    directory, booked = to_change(session, case, now=now)
    _refuse_change(booked, version, by_id=by_id, moves=False, now=now)
    call_off(session, directory, case, booked, by_id=by_id, by_customer=by_id is None, reason=reason, now=now)


def call_off(
    session: Session,
    directory: Directory,
    case: Case,
    booked: Appointment,
    *,
    by_id: int | None,
    by_customer: bool,
    now: datetime,
    reason: str | None = None,
) -> None:
    """The whole step of it, for an appointment that is held and may be called off. Raises NothingToPromise."""
    keeper_id = booked.person_id
    appointments.end(booked, AppointmentState.CANCELLED, now=now)
    outbox.take_back_appointment(session, case.id, booked.id, now=now)
    inviting.note(
        session,
        directory,
        case,
        booked,
        Kind.APPOINTMENT_CANCELLED,
        by_id=by_id,
        by_customer=by_customer,
        text=reason or "",
        now=now,
    )
    leave_a_step(session, directory, case, now=now)
    settle(session, case, now=now)
    voice, ahead = directory.voice_of(case), stepping.ahead(session, case.id, now=now)
    inviting.tell_customer(
        session,
        directory,
        case,
        booked,
        LetterKind.APPOINTMENT_CANCELLED,
        step=ahead,
        says={
            "before": voice.agreed(booked.starts_at, now=now),
            "by_customer": by_customer,
            "reason": None if by_customer else reason,  # what a stranger typed goes to no mailbox
            "lapsed": None,
            "times": [] if by_customer else first_times(session, directory, case, but=booked.starts_at, now=now),
        },
        now=now,
    )
    inviting.tell_colleagues(
        session,
        directory,
        case,
        booked,
        "cancelled",
        [keeper_id],
        by_id=by_id,
        by_customer=by_customer,
        step=ahead,
        now=now,
    )


def customers_refusal(booked: Appointment, *, moves: bool, now: datetime) -> TooLateToChange | MovedTooOften | None:
    """Why the customer cannot move it, or else cancel it, any more."""
    if not changing.may_cancel(booked, now=now):
        return TooLateToChange()
    return MovedTooOften() if moves and not changing.may_move(booked, now=now) else None


def to_change(session: Session, case: Case, *, now: datetime) -> tuple[Directory, Appointment]:
    """Hold a case and read the appointment that is to be changed. Raises NotOpen, NoAppointment."""
    hold_open(session, case)
    booked = booked_of(session, case)
    if booked is None:
        raise NoAppointment
    return directories.load(session, now=now), booked


def leave_a_step(session: Session, directory: Directory, case: Case, *, now: datetime) -> None:
    """Where nothing of ours lies ahead, promise to be in touch. Raises NothingToPromise."""
    given = promises.open_of(session, case.id)
    if promises.ahead([one for one in given if one.waiting is None], now=now) is not None:
        return
    promising.end_waiting(session, directory, case, now=now)
    session.flush()  # of each kind one promise may be open
    be_in_touch(session, directory, case, scheduling.next_update(directory, case, now=now), now=now)


def be_in_touch(session: Session, directory: Directory, case: Case, schedule: Schedule, *, now: datetime) -> None:
    """Promise to be in touch by then; what is promised so already stands where it comes earlier.

    One whose date has passed has a notice of its own, which names the new date.
    """
    follow_up = promises.of_kind(promises.open_of(session, case.id), PromiseKind.FOLLOW_UP)
    if follow_up is None:
        step = NewPromise(PromiseKind.FOLLOW_UP, Medium.MAIL, schedule.due_at)
        promising.give(session, directory, case, step, schedule, now=now)
    elif follow_up.due_at > schedule.due_at:
        promising.bring_forward(session, directory, case, follow_up, schedule, now=now)


def first_times(
    session: Session, directory: Directory, case: Case, *, now: datetime, but: datetime | None = None
) -> list[str]:
    """The first free times as a letter names them, without the one it speaks of; none where nothing is offered."""
    if not offering.offers(directory.topics[case.topic_id]):
        return []
    finder = Finder(session, directory, offering.of_case(directory, case), now=now)
    return offering.labels(finder.first(but=but), directory.voice_of(case), now=now)


def _chosen(
    session: Session,
    directory: Directory,
    asked: Asked,
    starts_at: datetime,
    *,
    by_id: int | None,
    now: datetime,
    firm: bool = False,
    also: int | None = None,
) -> Offered:
    """The time as it is free now, with nobody else agreeing on times of these people. Raises NotOffered, SlotTaken."""
    keepers = (offering.keeper_at(directory, asked, owner_id, starts_at) for owner_id in asked.owner_ids)
    inviting.lock_people(session, [one for one in (*keepers, also) if one is not None])
    finder = Finder(session, directory, asked, now=now, by_colleague=firm or by_id is not None)
    return finder.check(starts_at)


def _refuse_change(booked: Appointment, version: int, *, by_id: int | None, moves: bool, now: datetime) -> None:
    """Why it cannot be moved, or called off, any more."""
    if booked.version != version:
        raise StaleAppointment
    if by_id is not None:
        if appointments.has_come(booked, now=now):
            raise HasCome
        return
    if (refusal := customers_refusal(booked, moves=moves, now=now)) is not None:
        raise refusal


def _end_what_it_replaces(
    session: Session, directory: Directory, case: Case, *, by_customer: bool, now: datetime
) -> None:
    """A promised call, and the date by which we wanted to be in touch by ourselves; a colleague's word stands.

    A customer who chooses a time was heard from: we wait for their answer no longer.
    """
    if by_customer:
        promising.end_waiting(session, directory, case, now=now)
    for promise in promises.open_of(session, case.id):
        by_system = promise.kind == PromiseKind.FOLLOW_UP and promise.given_by_id is None and promise.waiting is None
        if promise.kind == PromiseKind.CALL or by_system:
            promising.withdraw(session, directory, case, promise, now=now)


class _Moved:
    """What a move changed."""

    def __init__(
        self, before: datetime, before_id: int, before_name: str, by_id: int | None, reason: str | None
    ) -> None:
        self.before, self.before_id, self.before_name = before, before_id, before_name
        self.by_id, self.reason = by_id, reason

    def kind(self, booked: Appointment) -> Kind:
        """Another time; the same with somebody else; or the very same, out of a hold."""
        if booked.starts_at != self.before:
            return Kind.APPOINTMENT_MOVED
        return Kind.APPOINTMENT_STAYS if booked.person_id == self.before_id else Kind.APPOINTMENT_GIVEN


def _note_move(
    session: Session, directory: Directory, case: Case, booked: Appointment, told: _Moved, *, now: datetime
) -> None:
    inviting.note(
        session,
        directory,
        case,
        booked,
        told.kind(booked),
        by_id=told.by_id,
        by_customer=told.by_id is None,
        text=told.reason or "",
        also={"before": told.before.isoformat(), "before_name": told.before_name},
        now=now,
    )


def _tell_move(
    session: Session, directory: Directory, case: Case, booked: Appointment, told: _Moved, *, now: datetime
) -> None:
    voice, kind, by_customer = directory.voice_of(case), told.kind(booked), told.by_id is None
    letter, says = _letter(voice, booked, told, kind, now=now)
    if kind == Kind.APPOINTMENT_GIVEN:
        says["times"] = []
    inviting.tell_customer(session, directory, case, booked, letter, says=says, now=now)
    changed_hands = booked.person_id != told.before_id
    tell = partial(
        inviting.tell_colleagues,
        session,
        directory,
        case,
        booked,
        by_id=told.by_id,
        by_customer=by_customer,
        before=told.before if kind == Kind.APPOINTMENT_MOVED else None,
        now=now,
    )
    if changed_hands:
        tell("given", [booked.person_id], other=told.before_name)
        tell("taken", [told.before_id], other=directory.people[booked.person_id].name)
    else:
        tell("moved" if kind == Kind.APPOINTMENT_MOVED else "settled", [booked.person_id])


def _letter(
    voice: Voice, booked: Appointment, told: _Moved, kind: Kind, *, now: datetime
) -> tuple[LetterKind, dict[str, object]]:
    by_customer = told.by_id is None
    if kind == Kind.APPOINTMENT_STAYS:
        return LetterKind.APPOINTMENT_CONFIRMED, {"by_customer": by_customer, "stays": True}
    if kind == Kind.APPOINTMENT_GIVEN:
        return LetterKind.APPOINTMENT_GIVEN, {"before_name": told.before_name}
    return LetterKind.APPOINTMENT_MOVED, {
        "before": voice.agreed(told.before, now=now),
        "by_customer": by_customer,
        "reason": told.reason,
        "times_left": changing.may_move(booked, now=now),
    }
