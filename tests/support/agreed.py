"""Agreed times for the domain's tests: topics that offer calls, a case with one, and the times around it.

The clock of these tests begins on a Tuesday at 9:12 in Germany.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from portal.appointments import service as appointments
from portal.appointments.models import Appointment
from portal.cases import agreeing, calling, directory, on_hold, promising, settling
from portal.cases.contacts import Contact
from portal.cases.models import Case
from portal.promises.models import Medium
from tests.support.cast import TUESDAY, berlin, deliver, open_case, open_promises, step, topic

THURSDAY_TEN = berlin("2026-11-26 10:00")
THURSDAY_ELEVEN = berlin("2026-11-26 11:00")
FRIDAY_TEN = berlin("2026-11-27 10:00")
ENDED = THURSDAY_TEN + timedelta(minutes=30)
DUE = ENDED + timedelta(minutes=30)
"""When of Thursday's first time somebody has to have said what became of it."""


def offer_calls(session: Session, slug: str = "angebot", *, medium: Medium = Medium.CALL) -> None:
    """Let the customers of a topic choose times: half an hour, on the half hour, ten minutes after it kept free."""
    row = topic(session, slug)
    row.slot_medium, row.slot_minutes, row.slot_grid, row.slot_before, row.slot_after = medium, 30, 30, 0, 10
    step(session)


def agreed_case(
    session: Session, *, starts_at: datetime = THURSDAY_TEN, at: datetime = TUESDAY, **changes: Any
) -> Case:
    """A case whose customer has chosen a time on the page; every letter has left."""
    offer_calls(session)
    case = open_case(session, at=at, **changes)
    deliver(session, at=at)
    agreeing.book(session, case, starts_at=starts_at, by_id=None, now=at + timedelta(minutes=1))
    step(session)
    deliver(session, at=at + timedelta(minutes=1))
    return case


def booked(session: Session, case: Case) -> Appointment:
    """The booked appointment of a case."""
    session.flush()
    found = appointments.booked_of(session, case.id)
    assert found is not None
    return found


def all_held_again(session: Session, case: Case) -> None:
    """Read the case anew, as the next transaction would."""
    session.expire_all()
    settling.hold(session, case)


def call_case(
    session: Session, *, medium: Medium = Medium.CALL, starts_at: datetime = THURSDAY_TEN, **changes: Any
) -> Case:
    """A case in which all that is ahead is the agreed time."""
    offer_calls(session, "rueckruf", medium=medium)
    case = open_case(session, "rueckruf", **changes)
    agreeing.book(session, case, starts_at=starts_at, by_id=None, now=TUESDAY + timedelta(minutes=1))
    seen = directory.load(session, now=TUESDAY)
    for promise in open_promises(session, case):
        promising.withdraw(session, seen, case, promise, now=TUESDAY + timedelta(minutes=1))
    step(session)
    deliver(session)
    assert case.appointment_id == booked(session, case).id
    return case


def begin(session: Session, case: Case, *, at: datetime = THURSDAY_TEN) -> None:
    """Whoever keeps it calls, or sets out."""
    calling.start_call(session, case, by_id=booked(session, case).person_id, version=case.version, now=at)
    step(session)


def hold_on(session: Session, case: Case, *, at: datetime = TUESDAY + timedelta(minutes=5)) -> None:
    """The customer wishes another time, by phone."""
    on_hold.wish(
        session,
        case,
        by_id=booked(session, case).person_id,
        contact=Contact.CALL_IN,
        text="Passt nicht.",
        version=booked(session, case).version,
        now=at,
    )
    step(session)


def done(session: Session, case: Case, act: Callable[..., None], *, at: datetime) -> None:
    """Do it to this case then."""
    act(session, case, now=at)
    step(session)


def put_at(session: Session, case: Case, starts_at: datetime) -> None:
    """At a time that nobody could choose."""
    appointment = booked(session, case)
    appointment.starts_at = appointment.busy_from = starts_at
    appointment.ends_at = appointment.busy_until = starts_at + timedelta(minutes=30)
    appointment.outcome_due_at = starts_at + timedelta(hours=1)
    step(session)
