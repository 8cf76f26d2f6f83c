"""Appointments: booked, moved, given away, put on hold, begun, ended. Only rows of this subject change here.

The whole steps are in ``cases``. Each change is one change of the same row: the version counts what pages and letters
must know of, the sequence what a calendar must see.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Integer, bindparam, select
from sqlalchemy.orm import Session

from portal.appointments import changing
from portal.appointments.models import IS_BOOKED, Appointment, AppointmentState
from portal.appointments.slots import Shape
from portal.promises.models import Medium

OUTCOME_WITHIN = timedelta(minutes=30)
"""How long after its end somebody has to say what became of it."""
GRACE = timedelta(minutes=5)
"""And how long the step that takes over has then."""
ALARM_AFTER, TELL_AFTER = timedelta(minutes=5), timedelta(minutes=15)
"""How long after its start nobody has begun until colleagues are alarmed, and until the customer is told."""


def new(
    *,
    case_id: int | None,
    person_id: int,
    medium: Medium,
    shape: Shape,
    starts_at: datetime,
    tz: str,
    uid: str,
    now: datetime,
) -> Appointment:
    """An appointment that no row holds yet."""
    return Appointment(
        case_id=case_id,
        person_id=person_id,
        medium=medium,
        state=AppointmentState.BOOKED,
        version=1,
        uid=uid,
        sequence=0,
        customer_moves=0,
        created_at=now,
        changed_at=now,
        **_times(shape, starts_at, tz),
    )


def move(
    appointment: Appointment,
    *,
    person_id: int,
    shape: Shape,
    starts_at: datetime,
    tz: str,
    by_customer: bool,
    now: datetime,
) -> None:
    """To another time, or back to its own from a hold, with whoever keeps it then.

    A move of the customer's is counted, unless it takes the appointment out of a hold (``changing``).
    """
    if by_customer and changing.is_counted(appointment):
        appointment.customer_moves += 1
    for name, value in _times(shape, starts_at, tz).items():
        setattr(appointment, name, value)
    appointment.person_id = person_id
    appointment.change_wished_at = appointment.alarmed_at = appointment.late_told_at = None
    appointment.started_at = appointment.started_by_id = None
    appointment.asked_at = appointment.asked_again_at = None
    _shown_to_calendars(appointment, now=now)


def give(appointment: Appointment, person_id: int, *, now: datetime) -> None:
    """The time stays; somebody else keeps it."""
    appointment.person_id = person_id
    _shown_to_calendars(appointment, now=now)


def hold(appointment: Appointment, *, now: datetime) -> None:
    """Put it on hold: its time stays firm for nobody else, and nobody calls at it."""
    appointment.change_wished_at = now
    appointment.version += 1
    appointment.changed_at = now


def start(appointment: Appointment, *, by_id: int, now: datetime) -> None:
    """Somebody calls, or has set out. The first start counts."""
    if appointment.started_at is None:
        appointment.started_at, appointment.started_by_id = now, by_id


def end(appointment: Appointment, state: AppointmentState, *, now: datetime) -> None:
    """It is over, or called off; one that is called off leaves every calendar."""
    appointment.state, appointment.ended_at = state, now
    appointment.version += 1
    appointment.changed_at = now
    if state == AppointmentState.CANCELLED:
        appointment.sequence += 1


def is_on_hold(appointment: Appointment) -> bool:
    """Whether nobody calls or comes at its time: another one is wished, or we cannot keep this one."""
    return appointment.state == AppointmentState.BOOKED and appointment.change_wished_at is not None


def counts(appointment: Appointment) -> bool:
    """Whether it can be what a customer waits for: booked, not on hold, and nothing has taken its place."""
    is_booked = appointment.state == AppointmentState.BOOKED
    return is_booked and not is_on_hold(appointment) and appointment.asked_at is None


def is_ahead(appointment: Appointment, *, now: datetime) -> bool:
    """Whether it is still waited for: until its outcome was due, and a moment for the step that then takes over."""
    return counts(appointment) and now < appointment.outcome_due_at + GRACE


def is_to_come(appointment: Appointment, *, now: datetime) -> bool:
    """Whether it is agreed and has not begun: only then a letter may name its time."""
    return counts(appointment) and now < appointment.starts_at


def is_late(appointment: Appointment, after: timedelta, *, now: datetime) -> bool:
    """Whether nobody has begun it, so long after its start; at a time that is on hold nobody is to."""
    is_to_begin = appointment.started_at is None and not is_on_hold(appointment)
    return is_to_begin and now >= appointment.starts_at + after


def has_come(appointment: Appointment, *, now: datetime) -> bool:
    """Whether it has begun, or could have: then nobody moves it, and somebody says how it went."""
    return appointment.started_at is not None or now >= appointment.starts_at


_BOOKED = select(Appointment).where(Appointment.case_id == bindparam("case_id", type_=Integer), IS_BOOKED)
_BOOKED_OF_EACH = select(Appointment).where(Appointment.case_id.in_(bindparam("case_ids", expanding=True)), IS_BOOKED)


def booked_of(session: Session, case_id: int) -> Appointment | None:
    """The booked appointment of a case, on hold or not; there is one at most."""
    return session.scalars(_BOOKED, {"case_id": case_id}).one_or_none()


def booked_of_each(session: Session, case_ids: Collection[int]) -> dict[int, Appointment]:
    """The booked appointments of several cases, of those that have one."""
    return {found.case_id: found for found in session.scalars(_BOOKED_OF_EACH, {"case_ids": list(case_ids)})}


def local_start(starts_at: datetime, tz: str) -> str:
    """The wall clock of an instant, as the row keeps it."""
    return starts_at.astimezone(ZoneInfo(tz)).strftime("%Y-%m-%dT%H:%M")


def _times(shape: Shape, starts_at: datetime, tz: str) -> dict[str, object]:
    ends_at, (busy_from, busy_until) = shape.ends(starts_at), shape.busy(starts_at)
    return {
        "starts_at": starts_at,
        "ends_at": ends_at,
        "busy_from": busy_from,
        "busy_until": busy_until,
        "outcome_due_at": ends_at + OUTCOME_WITHIN,
        "tz": tz,
        "local_start": local_start(starts_at, tz),
    }


def _shown_to_calendars(appointment: Appointment, *, now: datetime) -> None:
    appointment.version += 1
    appointment.sequence += 1
    appointment.changed_at = now
