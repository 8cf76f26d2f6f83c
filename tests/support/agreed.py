"""Agreed times for the domain's tests: topics that offer calls, a case with one, and the times around it.

The clock of these tests begins on a Tuesday at 9:12 in Germany.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from portal.appointments import service as appointments
from portal.appointments.models import Appointment
from portal.cases import agreeing, settling
from portal.cases.models import Case
from portal.promises.models import Medium
from tests.support.cast import TUESDAY, berlin, deliver, open_case, step, topic

THURSDAY_TEN = berlin("2026-11-26 10:00")
THURSDAY_ELEVEN = berlin("2026-11-26 11:00")
FRIDAY_TEN = berlin("2026-11-27 10:00")


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
