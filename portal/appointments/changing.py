"""Changing: until when customers move or cancel an agreed time by themselves, and how often they move it.

One rule for the page, the letters and every check. Pure but for the settings: no database, no clock.
"""

from datetime import datetime, timedelta

from portal import config
from portal.appointments.models import Appointment, AppointmentState


def until(starts_at: datetime) -> datetime:
    """Until when a customer changes what is agreed for that instant."""
    return starts_at - timedelta(hours=config.current().slot_change)


def is_open_until(appointment: Appointment) -> datetime:
    """Until when the customer changes it: nobody comes at a time that is on hold, so until that time itself."""
    return until(appointment.starts_at) if is_counted(appointment) else appointment.starts_at


def may_cancel(appointment: Appointment, *, now: datetime) -> bool:
    """Whether the customer cancels it: in time, and while nobody has begun; no move need be left."""
    is_firm = appointment.state == AppointmentState.BOOKED and appointment.started_at is None
    return is_firm and now < is_open_until(appointment)


def may_move(appointment: Appointment, *, now: datetime) -> bool:
    """Whether the customer moves it: as long as they cancel it, with a move left where it would count."""
    return may_cancel(appointment, now=now) and (moves_left(appointment) > 0 or not is_counted(appointment))


def moves_left(appointment: Appointment | None) -> int:
    """How often the customer can still move it, or one that is yet to be agreed on."""
    moved = 0 if appointment is None else appointment.customer_moves
    return max(0, config.current().slot_moves - moved)


def is_counted(appointment: Appointment) -> bool:
    """Whether a move of the customer's would count: out of a hold it does not, for that was ours to settle."""
    return appointment.change_wished_at is None
