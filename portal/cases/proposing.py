"""Proposing: what a colleague chooses from when a time is agreed, moved or given away; and how it stood before.

The times are those of ``offering``, which is the check of every choice, too. Reads only.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import config
from portal.appointments import service as appointments
from portal.appointments.models import IS_BOOKED, Appointment
from portal.cases import directory as directories
from portal.cases import offering, replacing
from portal.cases.models import Case
from portal.cases.offering import Finder, Offered
from portal.languages import Voice

MOST = 5
"""So many times are proposed."""


@dataclass(frozen=True)
class Time:
    """A free time in words, with whoever would be there where that is not the owner."""

    starts_at: datetime
    label: str


@dataclass(frozen=True)
class Colleague:
    """Somebody who answers customers."""

    id: int
    name: str
    free: bool
    """Whether they could keep the agreed time."""


@dataclass(frozen=True)
class Stand:
    """How an agreed time stands: what tells two moments of it apart."""

    starts_at: datetime
    person_id: int
    on_hold: bool
    version: int


def times(session: Session, case: Case, voice: Voice, *, now: datetime, wanted: datetime | None = None) -> list[Time]:
    """Free times of an open case, the first ones or those nearest to a time that does not hold.

    The time of an appointment that is on hold comes first: it can stand again.
    """
    directory = directories.load(session, now=now)
    booked = appointments.booked_of(session, case.id)
    asked = offering.of_case(directory, case, moving=booked)
    finder = Finder(session, directory, asked, now=now, by_colleague=True)
    if wanted is None:
        found = finder.first(MOST)
    else:
        found = finder.nearest(min(max(wanted, now), now + timedelta(days=config.current().slot_horizon)), MOST)
    shown = [one for one in found if booked is None or one.starts_at != booked.starts_at]
    if booked is not None and appointments.is_on_hold(booked) and now < booked.starts_at:
        shown.insert(0, Offered(booked.starts_at, booked.person_id, booked.person_id, wanted=False))
    moments = [voice.moment(one.starts_at, now=now) for one in shown]
    labels = [
        voice.agreed(one.starts_at, now=now) if moments.count(moment) > 1 else moment
        for one, moment in zip(shown, moments, strict=True)
    ]
    return [
        Time(
            one.starts_at,
            label
            if one.person_id == case.owner_id
            else voice.say("%(moment)s, with %(name)s", moment=label, name=directory.people[one.person_id].name),
        )
        for one, label in zip(shown, labels, strict=True)
    ]


def colleagues(session: Session, case: Case, *, now: datetime) -> list[Colleague]:
    """Who could be given the booked appointment; those who are free then come first, of them those of the team."""
    directory = directories.load(session, now=now)
    booked = appointments.booked_of(session, case.id)
    if booked is None:
        return []
    free, team_id = set(replacing.free_then(session, directory, case, booked, now=now)), directory.team_of(case).id
    found = [
        person
        for person in directory.people.values()
        if person.id != booked.person_id and replacing.answers(directory, person.id) and person.left_on is None
    ]
    found.sort(key=lambda person: (person.id not in free, person.team_id != team_id, person.name))
    return [Colleague(person.id, person.name, person.id in free) for person in found]


def stand_of(session: Session, case: Case) -> Stand | None:
    """How the booked appointment of a case stands. Its row is not kept: the step that follows reads it anew."""
    columns = (Appointment.starts_at, Appointment.person_id, Appointment.change_wished_at, Appointment.version)
    row = session.execute(select(*columns).where(Appointment.case_id == case.id, IS_BOOKED)).one_or_none()
    return None if row is None else Stand(row.starts_at, row.person_id, row.change_wished_at is not None, row.version)
