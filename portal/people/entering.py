"""Entering people: the first of them brings the company along."""

import re
from dataclasses import dataclass

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.db import Base, table_of
from portal.mail.message import UnsafeHeader, ascii_address
from portal.people import places
from portal.people.models import Company, Hours, Login, Person, Role, Team

OFFICE_HOURS = [(day, 8 * 60, 17 * 60) for day in range(5)]
"""What a new team and a new person start with, until somebody says otherwise."""
WEB_ADDRESS = re.compile(r"https?://[\w-][^\s\"'<>\\`{}|^]*")
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
    _check_words(newcomer, particulars)
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


def _check_words(newcomer: Newcomer, particulars: Particulars | None) -> None:
    """Every text in one line and no longer than its column; the particulars alone have several lines."""
    _one_line("The name", newcomer.name, Person, "name")
    _one_line("The role", newcomer.title, Person, "role")
    _one_line("The direct line", newcomer.line, Person, "line_shown")
    _one_line("The team's name", newcomer.team, Team, "name")
    if particulars is None:
        return
    _one_line("The company's name", particulars.name, Company, "name")
    if not all(line.isprintable() for line in particulars.legal_block.splitlines()):
        raise Refused("The company particulars hold control characters.")
    for said, url, column in (
        ("The address of the legal notice", particulars.imprint_url, "imprint_url"),
        ("The address of the privacy notice", particulars.privacy_url, "privacy_url"),
    ):
        _one_line(said, url, Company, column)
        if not WEB_ADDRESS.fullmatch(url):
            raise Refused(f"{said} must begin with https:// or http://, such as https://www.firma.de/impressum.")


def _one_line(said: str, text: str, model: type[Base], column: str) -> None:
    if not text.strip():
        raise Refused(f"{said} is missing.")
    if not text.isprintable():
        raise Refused(f"{said} must be one line without control characters.")
    most = table_of(model).c[column].type.length  # type: ignore[attr-defined]  # these columns are strings
    if len(text) > most:
        raise Refused(f"{said} has at most {most} characters.")


def _checked_email(session: Session, typed: str) -> str:
    try:
        email = validate_email(typed, check_deliverability=False).normalized
    except EmailNotValidError as error:
        raise Refused("This is not an e-mail address, such as name@firma.de.") from error
    try:
        ascii_address(email)
    except UnsafeHeader as error:
        raise Refused("No letter can go to an e-mail address with umlauts or signs before the @.") from error
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
