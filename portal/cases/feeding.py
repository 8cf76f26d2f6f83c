"""Feeding: a colleague's appointments as one file for a calendar program, at a private address that can be revoked.

Programs fetch it when they like, some only once a day. So what it says does no harm when it is old: no number and no
word of the request, only where the case stands. Binding is the call list.
"""

import hashlib
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import config
from portal.appointments import ics
from portal.appointments import service as appointments
from portal.appointments.models import Appointment, AppointmentState
from portal.cases import directory as directories
from portal.cases.directory import Directory
from portal.cases.models import Case
from portal.customers.models import Customer
from portal.languages import Voice
from portal.links import Purpose, new_secret
from portal.people.models import Login, Person
from portal.promises.models import Medium

BACK = timedelta(days=14)
"""How long an appointment stays in the feed after its day."""


def address(nonce: str) -> str:
    """Where the feed of this nonce is fetched."""
    return f"{config.current().base_url}/calendar/{config.links().sign(Purpose.FEED, nonce)}.ics"


def address_of(session: Session, person_id: int) -> str | None:
    """Where a person's feed is fetched; None while there is no address."""
    nonce = session.scalars(select(Person.feed_nonce).where(Person.id == person_id)).one()
    return None if nonce is None else address(nonce)


def mark(address: str | None) -> str:
    """What a form says of the address it was shown with, without telling it."""
    return "" if address is None else hashlib.sha256(address.encode()).hexdigest()


def renew(session: Session, person_id: int, *, seen: str) -> bool:
    """A new address for a person's feed; the one before opens nothing from now on.

    ``seen`` is the mark of the address the form was shown with: pressed twice it makes one. Returns whether it did.
    """
    person = session.get_one(Person, person_id, with_for_update={"key_share": True})
    if seen != mark(None if person.feed_nonce is None else address(person.feed_nonce)):
        return False
    person.feed_nonce = new_secret()
    return True


def reader(session: Session, token: str, *, now: datetime) -> int | None:
    """Whose feed is at this address; None where that address was revoked, or its person may not sign in any more.

    Raises InvalidLink for what was never an address of a feed.
    """
    nonce = config.links().read(Purpose.FEED, token)
    wanted = select(Person.id).join(Login, Login.person_id == Person.id)
    person_id = session.scalars(wanted.where(Person.feed_nonce == nonce, Login.active)).one_or_none()
    if person_id is None:
        return None
    directory = directories.load(session, now=now)
    person = directory.people[person_id]
    today = directory.voice(directory.teams[person.team_id], "de").local(now).date()
    return None if person.left_on is not None and person.left_on <= today else person_id


def feed(session: Session, person_id: int, *, now: datetime) -> bytes:
    """What this person keeps, from two weeks ago to the horizon, as it stands; what was called off is left out."""
    directory = directories.load(session, now=now)
    person = directory.people[person_id]
    voice = directory.voice(directory.teams[person.team_id], person.language)
    today = voice.local(now).date()
    rows = session.execute(
        select(Appointment, Case.reference, Case.topic_id, Customer.name)
        .join(Case, Case.id == Appointment.case_id)
        .join(Customer, Customer.id == Case.customer_id)
        .where(
            Appointment.person_id == person_id,
            Appointment.starts_at >= voice.midnight(today - BACK),
            Appointment.starts_at < voice.midnight(today + timedelta(days=config.current().slot_horizon + 1)),
            Appointment.state != AppointmentState.CANCELLED,
        )
    )
    return ics.feed(
        voice.say("Appointments of %(name)s", name=person.name),
        [_event(directory, voice, *row) for row in rows],
        url=address(person.feed_nonce or ""),
    )


def _event(
    directory: Directory, voice: Voice, appointment: Appointment, reference: str, topic_id: int, customer: str
) -> ics.Event:
    who = ", ".join(part for part in (reference, customer) if part)
    is_visit = appointment.medium == Medium.VISIT
    summary = voice.say("Visit: %(who)s", who=who) if is_visit else voice.say("Call: %(who)s", who=who)
    if appointments.is_on_hold(appointment):
        summary = voice.say("On hold: %(what)s", what=summary)
    topic = directory.topics[topic_id].name(voice.language)
    warning = voice.say("What stands here may be hours old. Binding is the call list.")
    return ics.Event(
        uid=appointment.uid,
        sequence=appointment.sequence,
        starts_at=appointment.starts_at,
        ends_at=appointment.ends_at,
        created_at=appointment.created_at,
        changed_at=appointment.changed_at,
        summary=summary,
        description=f"{topic}. {warning}",
        url=f"{config.current().base_url}/staff/cases/{reference}",
    )
