"""`durchwahl check`: what is wrong with the configuration, each with its fix."""

import ipaddress
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from sqlalchemy import exists, func, or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from portal import clock, config, db, heartbeat, schema
from portal.cases.models import Topic
from portal.config import Settings, SettingsError
from portal.core import create_core
from portal.journal import clamd
from portal.pages.uploads import MEGABYTE, MOST_BYTES
from portal.people.models import Company, Hours, Person, Team

LEAST_PYTHON = (3, 11, 4)
HOURS_OF_A_TEAM = "Enter its hours: dates are counted in them, and without any there is none to name."
HOURS_OF_A_PERSON = "Enter their hours: without any they count as away, and a deputy answers every day."
LINE = "Enter the number that customers read."
DEPUTY = "Name a deputy for everybody who answers."


@dataclass(frozen=True)
class Finding:
    """Something wrong, and what to do about it."""

    wrong: str
    fix: str


def findings(environment: Mapping[str, str]) -> list[Finding]:
    """Everything wrong that can be seen from here; a wrong setting ends the look at once."""
    try:
        settings = config.read(environment)
        app = create_core(environment)
    except SettingsError as error:
        return [Finding(str(error), "Set it in the environment and start again.")]
    with app.app_context():
        return [
            *_python(),
            *_address(settings),
            *_uploads(settings),
            *_mail(settings),
            *_scanner(settings),
            *_database(),
        ]


def _python() -> list[Finding]:
    if sys.version_info[:3] >= LEAST_PYTHON:
        return []
    return [
        Finding(
            f"Python {sys.version.split()[0]} has known faults in its email package.",
            "Use the newest patch level of Python 3.11 or later.",
        )
    ]


def _address(settings: Settings) -> list[Finding]:
    address = urlsplit(settings.base_url)
    if address.scheme == "https" or address.hostname in ("127.0.0.1", "::1", "localhost"):
        return []
    found = [Finding("PORTAL_BASE_URL is not https.", "Put a proxy with a certificate in front and use its address.")]
    if settings.proof_of_work:
        found.append(
            Finding(
                "Without https no browser solves what PORTAL_PROOF_OF_WORK asks for: every message of the form waits.",
                "Use https, or set it to false.",
            )
        )
    return found


def _uploads(settings: Settings) -> list[Finding]:
    """A limit that no file of the largest size is ever within: it is promised, and refused from the first."""
    if all(rate.limit >= MOST_BYTES for rate in settings.upload_limit):
        return []
    least = MOST_BYTES // MEGABYTE
    return [
        Finding(
            f"PORTAL_UPLOAD_LIMIT is below the {least} MB that one file may have: a large file is never taken.",
            f"Set it to {least} MB or more, or leave it out.",
        )
    ]


def _mail(settings: Settings) -> list[Finding]:
    found = []
    if settings.mail_default_sender.endswith(".example"):
        found.append(
            Finding("PORTAL_MAIL_DEFAULT_SENDER is not an address of yours.", "Set it to an address of your domain.")
        )
    encrypted = settings.mail_use_tls or settings.mail_use_ssl
    if settings.mail_password and not encrypted and not _is_this_machine(settings.mail_server):
        found.append(
            Finding(
                "The password for the mail server would cross the network in plain text.",
                "Set PORTAL_MAIL_USE_TLS or PORTAL_MAIL_USE_SSL to true.",
            )
        )
    try:
        socket.create_connection((settings.mail_server, settings.mail_port), timeout=5).close()
    except OSError:
        found.append(
            Finding(
                "The mail server does not answer.",
                "Check PORTAL_MAIL_SERVER and PORTAL_MAIL_PORT; letters wait until it does.",
            )
        )
    return found


def _scanner(settings: Settings) -> list[Finding]:
    if settings.clamd is None or clamd.answers(settings.clamd, deadline=5):
        return []
    return [Finding("The virus scanner does not answer.", "Check PORTAL_CLAMD; nobody opens a file until it does.")]


def _is_this_machine(host: str) -> bool:
    try:
        return host.lower().rstrip(".") == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _database() -> list[Finding]:
    try:
        if schema.present(db.db.engine) != schema.newest():
            return [Finding("The database is not at the newest schema.", "Run `durchwahl migrate`.")]
        missing = schema.guards_missing(db.db.engine)
        if missing:
            return [
                Finding(f"Guards are missing: {', '.join(sorted(missing))}.", "Restore the database or migrate again.")
            ]
        with db.reading() as session:
            return [*_company(session), *_people(session), *_worker(session)]
    except SQLAlchemyError as error:
        return [Finding(f"The database does not answer ({type(error).__name__}).", "Check PORTAL_DATABASE_URL.")]


def _company(session: Session) -> list[Finding]:
    company = session.get(Company, 1)
    if company is None:
        return [Finding("There is no company yet.", "Run `durchwahl person add` or `durchwahl demo`.")]
    found = []
    if not company.legal_block.strip():
        found.append(
            Finding("The company particulars are empty.", "Enter them: every business letter must carry them.")
        )
    if session.scalars(select(Topic.id).where(Topic.active).limit(1)).first() is None:
        found.append(Finding("There is no topic to choose in the form.", "Load the demo, or enter a topic."))
    return found


def _people(session: Session) -> list[Finding]:
    """Teams and people with whom no promise can be kept. Who has left answers nobody any more."""
    answers = Person.answers & or_(Person.left_on.is_(None), Person.left_on > clock.utc_now().date())
    lacking = (
        (Team.name, ~exists().where(Hours.team_id == Team.id), "A team without hours", HOURS_OF_A_TEAM),
        (Person.name, answers & ~exists().where(Hours.person_id == Person.id), "Without hours", HOURS_OF_A_PERSON),
        (Person.name, answers & (func.coalesce(Person.line_shown, "") == ""), "Without a direct line", LINE),
        (Person.name, answers & Person.deputy_id.is_(None), "Without a deputy", DEPUTY),
    )
    found = []
    for name, lacks, said, fix in lacking:
        names = session.scalars(select(name).where(lacks).order_by(name)).all()
        if names:
            found.append(Finding(f"{said}: {', '.join(names)}.", fix))
    return found


def _worker(session: Session) -> list[Finding]:
    if not heartbeat.is_dead(session, now=clock.utc_now()):
        return []
    return [Finding("No worker has been heard of for a minute: no letter leaves.", "Start `durchwahl worker`.")]
