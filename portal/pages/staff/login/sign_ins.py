"""Sign-ins: one row per device, found by the hash of the secret in its session cookie.

A cookie alone is worth nothing: the row must be alive. So a copied cookie dies when its owner signs out, when the login
is switched off, when the person leaves, after eight hours without a POST and after twelve hours in any case.
"""

import hashlib
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

from sqlalchemy import CursorResult, func, select, update
from sqlalchemy.orm import Session

from portal import limits, links
from portal.config import Rate
from portal.people import places
from portal.people.models import Login, Person, Role, SignIn, Team

IDLE = timedelta(hours=8)
"""How long a sign-in lives without a POST; reading changes nothing, so it cannot count."""
LONGEST = timedelta(hours=12)
ATTEMPTS = (Rate(10, 600),)
"""Per address and network, right ones and wrong ones together."""
NETWORK_ATTEMPTS = (Rate(50, 600),)
"""Per network, whatever the addresses: nobody tries one password on all colleagues."""
ATTEMPTS_WINDOW = 600


@dataclass(frozen=True)
class Known:
    """What checking a password needs of a login that may sign in."""

    person_id: int
    password: str


@dataclass(frozen=True)
class SignedIn:
    """The person at the other end of this request. Flask-Login asks for the three flags and ``get_id``."""

    id: int
    name: str
    role: Role
    team_id: int
    tz: str
    country: str
    """Time zone and country of the person's team."""
    language: str
    secret: str

    is_authenticated = True
    is_active = True
    is_anonymous = False

    def get_id(self) -> str:
        """What the session cookie carries."""
        return self.secret


def too_many_attempts(session: Session, email: str, network: str, *, key: str, now: datetime) -> bool:
    """Count one more attempt for this address from this network, and for the network; say whether it is too many."""
    counts = (
        (limits.name_for("login", f"{email.casefold()}\0{network}", key=key), ATTEMPTS),
        (limits.name_for("login-network", network, key=key), NETWORK_ATTEMPTS),
    )
    exceeded = [limits.count_exceeds(session, name, rates, now=now) for name, rates in counts]
    return any(exceeded)


def seconds_until_next_attempt(now: datetime) -> int:
    """Until the window of the limit ends: at least one second."""
    return ATTEMPTS_WINDOW - int(now.timestamp()) % ATTEMPTS_WINDOW


def known_login(session: Session, email: str, *, now: datetime) -> Known | None:
    """The login with this e-mail address, if it may sign in; no address holds control characters."""
    if not email.isprintable():
        return None
    statement = (
        select(Login.person_id, Login.password, Login.active, Person.left_on, Team.tz)
        .join(Person, Person.id == Login.person_id)
        .join(Team, Team.id == Person.team_id)
        .where(func.lower(Person.email) == email.lower())
    )
    row = session.execute(statement).one_or_none()
    return Known(row.person_id, row.password) if row and _may_sign_in(row.active, row.left_on, row.tz, now) else None


def begin(session: Session, person_id: int, *, now: datetime, new_hash: str | None = None) -> str:
    """A new sign-in; returns its secret, which is stored nowhere here. ``new_hash`` replaces an outdated one."""
    if new_hash is not None:
        session.execute(update(Login).where(Login.person_id == person_id).values(password=new_hash))
    secret = links.new_secret()
    session.add(SignIn(id_hash=_hash(secret), person_id=person_id, created_at=now, seen_at=now))
    return secret


def find(session: Session, secret: str, *, now: datetime) -> SignedIn | None:
    """Who is signed in with this secret; None when the sign-in has ended or its person may not sign in any more."""
    statement = (
        select(
            Person.id,
            Person.name,
            Person.team_id,
            Person.left_on,
            Person.language,
            Login.role,
            Login.active,
            Team.tz,
            Team.place,
        )
        .join(SignIn, SignIn.person_id == Person.id)
        .join(Login, Login.person_id == Person.id)
        .join(Team, Team.id == Person.team_id)
        .where(SignIn.id_hash == _hash(secret), *_alive(now))
    )
    row = session.execute(statement).one_or_none()
    if row is None or not _may_sign_in(row.active, row.left_on, row.tz, now):
        return None
    return SignedIn(
        id=row.id,
        name=row.name,
        role=row.role,
        team_id=row.team_id,
        tz=row.tz,
        country=places.country(row.place),
        language=row.language,
        secret=secret,
    )


def touch(session: Session, secret: str, *, now: datetime) -> bool:
    """Note that the sign-in was used; False when it ended in the meantime."""
    return _update(session, secret, now, seen_at=now)


def end(session: Session, secret: str, *, now: datetime) -> bool:
    """End the sign-in; False when it had ended already."""
    return _update(session, secret, now, ended_at=now)


def _update(session: Session, secret: str, now: datetime, **values: datetime) -> bool:
    statement = update(SignIn).where(SignIn.id_hash == _hash(secret), *_alive(now)).values(**values)
    return cast(CursorResult[Any], session.execute(statement)).rowcount == 1


def _alive(now: datetime) -> tuple[Any, ...]:
    return SignIn.ended_at.is_(None), SignIn.seen_at > now - IDLE, SignIn.created_at > now - LONGEST


def _may_sign_in(active: bool, left_on: date | None, tz: str, now: datetime) -> bool:
    return active and (left_on is None or now.astimezone(ZoneInfo(tz)).date() < left_on)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
