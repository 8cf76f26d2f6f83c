"""An agreed time in words: who will be there, as a sentence, in a letter, in the customer's calendar.

Only one that is to come is named. Pages say more of it (``appointment_view``).
"""

from datetime import datetime
from typing import Any

from portal import config
from portal.appointments import changing, ics
from portal.appointments import service as appointments
from portal.appointments.models import Appointment, AppointmentState
from portal.cases.directory import Directory
from portal.cases.models import Case
from portal.languages import Voice
from portal.mail import message
from portal.mail.letters import LetterKind
from portal.people.models import Person
from portal.promises import wording

WITH_A_CALENDAR = {
    LetterKind.CONFIRMATION,
    LetterKind.APPOINTMENT_CONFIRMED,
    LetterKind.APPOINTMENT_MOVED,
    LetterKind.APPOINTMENT_GIVEN,
    LetterKind.APPOINTMENT_CANCELLED,
    *(_ONLY_CANCELS := {LetterKind.CLOSED, LetterKind.REOPENED, LetterKind.ERASURE}),
}
"""Kinds that bring a calendar file along where they tell of an appointment (RFC 5546 §3.2.2, §3.2.5)."""


def keeper(directory: Directory, case: Case, appointment: Appointment) -> Person:
    """Who will be there at the agreed time: its person, or whoever stands in for them then."""
    acting = directory.acting(appointment.person_id, appointment.starts_at, topic_id=case.topic_id)
    return directory.people[acting.person_id]


def sentence(directory: Directory, case: Case, appointment: Appointment, voice: Voice, *, now: datetime) -> str:
    """Who calls or comes, and when, without the full stop."""
    name = keeper(directory, case, appointment).name
    return wording.agreed(appointment.medium, name, voice.moment(appointment.starts_at, now=now), voice)


def as_step(
    directory: Directory, case: Case, appointment: Appointment, voice: Voice, *, now: datetime
) -> dict[str, str]:
    """What a letter says of it as what comes next."""
    name, short = keeper(directory, case, appointment).name, voice.short_moment(appointment.starts_at, now=now)
    return {
        "name": name,
        "sentence": f"{sentence(directory, case, appointment, voice, now=now)}.",
        "short": wording.agreed(appointment.medium, name, short, voice, short=True),
        "due": voice.moment(appointment.starts_at, now=now),
        "kind": "appointment",
        "medium": appointment.medium,
    }


def for_colleagues(directory: Directory, case: Case, appointment: Appointment, voice: Voice, *, now: datetime) -> str:
    """Who calls or comes, and when, in a letter to a colleague."""
    name, moment = keeper(directory, case, appointment).name, voice.moment(appointment.starts_at, now=now)
    return wording.agreed_for_colleagues(appointment.medium, name, moment, voice)


def in_letter(
    directory: Directory,
    case: Case,
    appointment: Appointment | None,
    kind: LetterKind,
    voice: Voice,
    *,
    page: str,
    now: datetime,
) -> dict[str, Any] | None:
    """What a letter says of the agreed time; None where there is none to come. ``page`` is the customer's."""
    if appointment is None or not appointments.is_to_come(appointment, now=now):
        return None
    person, number = keeper(directory, case, appointment), case.customer.phone_e164
    may_cancel, may_move = changing.may_cancel(appointment, now=now), changing.may_move(appointment, now=now)
    return {
        "when": voice.agreed(appointment.starts_at, now=now),
        "short": voice.short_moment(appointment.starts_at, now=now),
        "minutes": round((appointment.ends_at - appointment.starts_at).total_seconds() / 60),
        "medium": appointment.medium,
        "name": person.name,
        "line": person.line_shown or person.line_e164,
        "ends_with": None if number is None else number[-2:],
        "change_until": voice.moment(changing.is_open_until(appointment), now=now) if may_cancel else None,
        "times_url": f"{page}/appointment" if may_move else None,
        "calendar": kind in WITH_A_CALENDAR,
    }


def calendar_of(
    directory: Directory,
    case: Case,
    appointment: Appointment | None,
    kind: LetterKind,
    voice: Voice,
    *,
    now: datetime,
) -> message.Calendar | None:
    """The calendar file that goes with a letter: to enter or change the appointment, or to take it out."""
    if appointment is None or kind not in WITH_A_CALENDAR or not case.customer.email:
        return None
    is_off = appointment.state == AppointmentState.CANCELLED
    if not is_off and (kind in _ONLY_CANCELS or not appointments.is_to_come(appointment, now=now)):
        return None
    method = ics.Method.CANCEL if is_off else ics.Method.REQUEST
    data = ics.invitation(
        event(directory, case, appointment, voice),
        method,
        organizer=ics.Mailbox(directory.company.name, config.current().mail_default_sender),
        attendee=ics.Mailbox(case.customer.name, case.customer.email),
        stamp=now,
    )
    return message.Calendar(method=method.value, data=data)


def event(directory: Directory, case: Case, appointment: Appointment, voice: Voice) -> ics.Event:
    """The appointment as the customer's calendar shows it. Without the link: calendars are shared."""
    person, company = keeper(directory, case, appointment), directory.company.name
    title = wording.calendar_title(appointment.medium, person.name, company, voice)
    is_off = appointment.state == AppointmentState.CANCELLED
    return ics.Event(
        uid=appointment.uid,
        sequence=appointment.sequence,
        starts_at=appointment.starts_at,
        ends_at=appointment.ends_at,
        created_at=appointment.created_at,
        changed_at=appointment.changed_at,
        summary=voice.say("Cancelled: %(title)s", title=title) if is_off else title,
        description=voice.say(
            "Request %(reference)s. %(name)s, direct line %(line)s. Our e-mail holds the link to change it.",
            reference=case.reference,
            name=person.name,
            line=person.line_shown,
        ),
    )
