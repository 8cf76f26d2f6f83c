"""On hold: the customer wishes another time, or we cannot keep the agreed one. Nobody calls until a new time stands.

The time is not given to anybody else, and it can be taken up again; at its start it is called off. Meanwhile the
customer waits for a date by which we are in touch, and can choose a time at any moment.
"""

from datetime import datetime

from sqlalchemy.orm import Session

from portal.appointments import service as appointments
from portal.appointments.models import Appointment, AppointmentState
from portal.cases import agreeing, contacts, inviting, promising, scheduling
from portal.cases import directory as directories
from portal.cases import steps as stepping
from portal.cases.contacts import Contact
from portal.cases.directory import Directory
from portal.cases.errors import HasCome, StaleAppointment
from portal.cases.models import Case
from portal.cases.settling import hold_booked, settle
from portal.journal.models import Kind
from portal.mail import outbox
from portal.mail.letters import LetterKind


def wish(session: Session, case: Case, *, by_id: int, contact: Contact, text: str, version: int, now: datetime) -> None:
    """The customer wishes another time, by phone, letter or mail: a colleague notes it, and nobody calls at the old.

    Pressed again it changes nothing. Raises NotOpen, NoAppointment, StaleAppointment, HasCome, NothingToPromise.
    """
    directory, booked = agreeing.to_change(session, case, now=now)
    if appointments.is_on_hold(booked):
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
    outbox.take_back_appointment(session, case.id, booked.id, now=now)
    inviting.note(session, directory, case, booked, Kind.APPOINTMENT_FROZEN, by_id=by_id, now=now)
    _be_in_touch(session, directory, case, now=now)
    settle(session, case, now=now)
    ahead = stepping.ahead(session, case.id, now=now)
    inviting.tell_customer(
        session,
        directory,
        case,
        booked,
        LetterKind.APPOINTMENT_FROZEN,
        step=ahead,
        says={
            "before": directory.voice_of(case).agreed(booked.starts_at, now=now),
            "ours": ours,
            "times": agreeing.first_times(session, directory, case, now=now),
        },
        unasked=ours,
        old_due_at=booked.starts_at if ours else None,
        now=now,
    )
    readers = [booked.person_id]
    inviting.tell_colleagues(session, directory, case, booked, "frozen", readers, by_id=by_id, step=ahead, now=now)


def end(session: Session, case: Case, *, now: datetime) -> None:
    """Its time has come and no other was found: it is called off, and the date by which we are in touch stands.

    Does nothing where a new time stands by now. Raises NothingToPromise.
    """
    booked = hold_booked(session, case)
    if booked is None or not appointments.is_on_hold(booked) or now < booked.starts_at:
        return
    directory = directories.load(session, now=now)
    appointments.end(booked, AppointmentState.CANCELLED, now=now)
    outbox.take_back_appointment(session, case.id, booked.id, now=now)
    inviting.note(session, directory, case, booked, Kind.APPOINTMENT_CANCELLED, by_id=None, now=now)
    agreeing.leave_a_step(session, directory, case, now=now)
    settle(session, case, now=now)
    inviting.tell_customer(
        session,
        directory,
        case,
        booked,
        LetterKind.APPOINTMENT_CANCELLED,
        step=stepping.to_name(session, case.id, now=now),
        says={
            "before": directory.voice_of(case).agreed(booked.starts_at, now=now),
            "by_customer": False,
            "reason": None,
            "times": agreeing.first_times(session, directory, case, now=now),
        },
        unasked=True,
        now=now,
    )


def _be_in_touch(session: Session, directory: Directory, case: Case, *, now: datetime) -> None:
    """A date by which we are in touch, until the new time stands; we wait for no answer meanwhile."""
    promising.end_waiting(session, directory, case, now=now)
    session.flush()  # of each kind one promise may be open
    schedule = scheduling.answer_to_message(directory, case, now=now)
    agreeing.be_in_touch(session, directory, case, schedule, now=now)
