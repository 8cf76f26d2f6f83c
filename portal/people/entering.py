"""Entering people: the first of them brings the company along."""

from dataclasses import dataclass

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.people import places
from portal.people.models import Company, Hours, Login, Person, Role, Team

OFFICE_HOURS = [(day, 8 * 60, 17 * 60) for day in range(5)]
"""What a new team and a new person start with, until somebody says otherwise."""
NO_NUMBER = "This is not a phone number, such as 089 99998-214."


class Refused(Exception):
    """The person cannot be entered like this; the text is one sentence."""


@dataclass(frozen=True)
class Newcomer:
    """Who is to be entered; the password already hashed."""

    name: str
    email: str
    line: str
    title: str
    team: str
    place: str
    role: Role
    password_hash: str


@dataclass(frozen=True)
class Particulars:
    """What a company needs before it may write a letter."""

    name: str
    legal_block: str
    imprint_url: str
    privacy_url: str


def add_person(session: Session, newcomer: Newcomer, particulars: Particulars | None, *, timezone: str) -> Person:
    """Enter a person with a login; makes team and company where there are none. Raises Refused."""
    email, line = _checked_email(session, newcomer.email), _checked_line(newcomer)
    first = session.get(Company, 1) is None
    if first and particulars is None:
        raise Refused("The first person also needs --company, --legal, --imprint-url and --privacy-url.")
    team = session.scalars(select(Team).where(Team.name == newcomer.team)).one_or_none()
    if team is None:
        team = _new_team(session, newcomer, timezone)
    person = Person(
        team_id=team.id,
        name=newcomer.name,
        role=newcomer.title,
        line_e164=line,
        line_shown=newcomer.line,
        email=email,
        place=newcomer.place,
    )
    session.add(person)
    session.flush()
    session.add(Login(person_id=person.id, password=newcomer.password_hash, role=newcomer.role))
    session.add_all(_hours(person_id=person.id))
    team.lead_id = team.lead_id or person.id
    if first and particulars is not None:
        session.add(_company(person, particulars))
    return person


def _checked_email(session: Session, typed: str) -> str:
    try:
        email = validate_email(typed, check_deliverability=False).normalized
    except EmailNotValidError as error:
        raise Refused("This is not an e-mail address, such as name@firma.de.") from error
    if session.scalars(select(Person.id).where(func.lower(Person.email) == email.lower())).first() is not None:
        raise Refused("Somebody with this e-mail address is already entered.")
    return email


def _checked_line(newcomer: Newcomer) -> str:
    try:
        number = phonenumbers.parse(newcomer.line, places.country(newcomer.place))
    except places.UnknownPlace as error:
        raise Refused("This place is not known: use a code such as DE-BY, AT-9 or CH-ZH.") from error
    except phonenumbers.NumberParseException as error:
        raise Refused(NO_NUMBER) from error
    if not phonenumbers.is_valid_number(number):
        raise Refused(NO_NUMBER)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _new_team(session: Session, newcomer: Newcomer, timezone: str) -> Team:
    team = Team(name=newcomer.team, place=newcomer.place, tz=timezone)
    session.add(team)
    session.flush()
    session.add_all(_hours(team_id=team.id))
    return team


def _hours(*, team_id: int | None = None, person_id: int | None = None) -> list[Hours]:
    return [
        Hours(team_id=team_id, person_id=person_id, weekday=day, from_minute=start, until_minute=end)
        for day, start, end in OFFICE_HOURS
    ]


def _company(person: Person, particulars: Particulars) -> Company:
    return Company(
        id=1,
        name=particulars.name,
        legal_block=particulars.legal_block,
        imprint_url=particulars.imprint_url,
        privacy_url=particulars.privacy_url,
        accent="#0b5d66",
        front_desk_id=person.id,
        last_instance_id=person.id,
    )
