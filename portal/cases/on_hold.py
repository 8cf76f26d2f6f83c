"""On hold: the customer wishes another time, or we cannot keep the agreed one. Nobody calls until a new time stands.

The time is not given to anybody else, and it can be taken up again; at its start it is called off. Meanwhile the
customer waits for a date by which we are in touch, and can choose a time at any moment.
"""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.appointments import service as appointments
from portal.appointments.models import Appointment, AppointmentState
from portal.cases import agreeing, contacts, inviting, promising, scheduling
from portal.cases import directory as directories
from portal.cases import steps as stepping
from portal.cases.contacts import Contact
from portal.cases.directory import Directory
from portal.cases.errors import HasCome, StaleAppointment
from portal.cases.models import Case, Step
from portal.cases.settling import hold_booked, settle
from portal.journal.models import Entry, Kind
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.promises import service as promises
from portal.promises.models import PromiseKind


def wish(session: Session, case: Case, *, by_id: int, contact: Contact, text: str, version: int, now: datetime) -> None:
    """The customer wishes another time, by phone, letter or mail: a colleague notes it, and nobody calls at the old.

    On hold already, what they said this time is kept, and nothing else changes. Raises NotOpen, NoAppointment,
    StaleAppointment, HasCome, NothingToPromise.
    """
    directory, booked = agreeing.to_change(session, case, now=now)
    if appointments.is_on_hold(booked):
        contacts.record_contact(session, case, by_id=by_id, contact=contact, text=text, at=now, visible=True, now=now)
        return
    if booked.version != version:
        raise StaleAppointment
    if appointments.has_come(booked, now=now):
        raise HasCome
    contacts.record_contact(session, case, by_id=by_id, contact=contact, text=text, at=now, visible=True, now=now)
    promising.end_waiting(session, directory, case, now=now)
    put(session, directory, case, booked, by_id=by_id, ours=False, now=now)


def put(
    session: Session,
    directory: Directory,
    case: Case,
    booked: Appointment,
    *,
    by_id: int | None,
    ours: bool,
    now: datetime,
) -> None:
    """The whole step of it. ``ours``: it is we who cannot keep the time. Raises NothingToPromise."""
    appointments.hold(booked, now=now)
    unasked = not inviting.take_back(session, case, booked, now=now) and ours
    inviting.note(session, directory, case, booked, Kind.APPOINTMENT_FROZEN, by_id=by_id, now=now)
    _be_in_touch(session, directory, case, ours=ours, now=now)
    settle(session, case, now=now)
    follow_up = step_to_agree(session, case.id, now=now)
    inviting.tell_customer(
        session,
        directory,
        case,
        booked,
        LetterKind.APPOINTMENT_FROZEN,
        step=follow_up,
        says={
            "before": directory.voice_of(case).agreed(booked.starts_at, now=now),
            "ours": ours,
            "times": agreeing.first_times(session, directory, case, but=booked.starts_at, now=now),
        },
        unasked=unasked,
        old_due_at=booked.starts_at if unasked else None,
        now=now,
    )
    readers, ahead = [booked.person_id], stepping.ahead(session, case.id, now=now)
    inviting.tell_colleagues(session, directory, case, booked, "frozen", readers, by_id=by_id, step=ahead, now=now)


def end(session: Session, case: Case, *, now: datetime) -> None:
    """Its time has come and no other was found: it is called off, and the date by which we are in touch stands.

    Does nothing where a new time stands by now. Raises NothingToPromise.
    """
    booked = hold_booked(session, case)
    if booked is None or not appointments.is_on_hold(booked) or now < booked.starts_at:
        return
    directory, ours = directories.load(session, now=now), _is_ours(session, case)
    appointments.end(booked, AppointmentState.CANCELLED, now=now)
    outbox.take_back_appointment(session, case.id, booked.id, now=now)
    kind, also = Kind.APPOINTMENT_CANCELLED, {"lapsed": "ours" if ours else "wished"}
    inviting.note(session, directory, case, booked, kind, by_id=None, now=now, also=also)
    agreeing.leave_a_step(session, directory, case, now=now)
    settle(session, case, now=now)
    inviting.tell_customer(
        session,
        directory,
        case,
        booked,
        LetterKind.APPOINTMENT_CANCELLED,
        step=step_to_agree(session, case.id, now=now),
        says={
            "before": directory.voice_of(case).agreed(booked.starts_at, now=now),
            "by_customer": False,
            "reason": None,
            **also,
            "times": agreeing.first_times(session, directory, case, but=booked.starts_at, now=now),
        },
        unasked=True,
        now=now,
    )


def _be_in_touch(session: Session, directory: Directory, case: Case, *, ours: bool, now: datetime) -> None:
    """A date by which we are in touch, until the new time stands; we wait for no answer meanwhile.

    Where we could not keep the old time it comes soon; a wish is answered as whatever else a customer writes.
    """
    promising.end_waiting(session, directory, case, now=now)
    session.flush()  # of each kind one promise may be open
    due_by = scheduling.soon if ours else scheduling.answer_to_message
    agreeing.be_in_touch(session, directory, case, due_by(directory, case, now=now), now=now)


def step_to_agree(session: Session, case_id: int, *, now: datetime) -> Step | None:
    """The date by which the new time is agreed on; where it has just passed, what else comes next."""
    follow_up = promises.of_kind(promises.open_of(session, case_id), PromiseKind.FOLLOW_UP)
    is_ahead = follow_up is not None and stepping.is_ahead(follow_up, now=now)
    return follow_up if is_ahead else stepping.to_name(session, case_id, now=now)


def _is_ours(session: Session, case: Case) -> bool:
    """Whether it was we who could not keep the time that is on hold: a wish is noted by a colleague."""
    frozen = select(Entry.person_id).where(Entry.case_id == case.id, Entry.kind == Kind.APPOINTMENT_FROZEN)
    return session.scalars(frozen.order_by(Entry.id.desc()).limit(1)).one_or_none() is None
