"""Nearing: as an agreed time comes near, the customer is reminded of it. What we promised is ``reminding``'s."""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from portal.appointments import service as appointments
from portal.appointments.models import Appointment
from portal.cases import directory as directories
from portal.cases import writing
from portal.cases.directory import Directory
from portal.cases.models import Case
from portal.cases.settling import hold_booked
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.promises.business_time import BeyondHolidayTable, Calendar, NoBusinessTime
from portal.promises.service_level import latest_sending

LEADS = (24, 1)
"""So many hours before its time the customer is reminded of it; elapsed hours, whatever the clocks do."""


def remind_customer(session: Session, case: Case, *, now: datetime) -> None:
    """Remind the customer of the agreed time where that is due; each time it is agreed on, each reminder once.

    That it was done is known by the letter alone. The case stays as it is.
    """
    booked = hold_booked(session, case)
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
