"""The cast of the domain's tests: the demo company on both databases, and small factories for what happens to it.

The clock of these tests begins on a Tuesday at 9:12 in Germany. A case for an offer that comes in then belongs to
Miriam Albrecht, who answers by Wednesday, 16:30.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import create_engine, event, select, text, update
from sqlalchemy.orm import Session

from portal import db, demo, tables
from portal.cases import drafting, opening
from portal.cases.models import Case, Doubt, Submission, Topic
from portal.core import create_core
from portal.journal.models import Entry, Kind
from portal.links import new_secret
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, Letter, LetterState
from portal.people.models import Absence, Competence, Hours, Person, Team
from portal.promises import service as promises
from portal.promises.models import Promise, PromiseKind

NUMBER, NUMBER_SHOWN = "+491713920042", "0171 3920042"
"""The customer's number, from the block kept free for the media; its last digits are nobody else's."""


def berlin(wall_clock: str) -> datetime:
    """The instant of a wall-clock time in Germany such as "2026-11-24 09:12"."""
    return datetime.fromisoformat(wall_clock).replace(tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)


TUESDAY = berlin("2026-11-24 09:12")


# --- the stage -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def furnished_sqlite(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the demo company in it, to copy."""
    path = tmp_path_factory.mktemp("furnished") / "template.sqlite3"
    shutil.copy(migrated_sqlite, path)
    _furnish(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def furnished_postgresql(postgresql: str, migrated_postgresql: str) -> Iterator[str]:
    """A PostgreSQL database with the demo company in it, and a copy of every row of it in the schema ``kept``."""
    name = f"furnished_{os.urandom(4).hex()}"
    _run(postgresql % "postgres", f"CREATE DATABASE {name} TEMPLATE {migrated_postgresql}")
    _furnish(postgresql % name)
    copies = [f'CREATE TABLE kept."{table}" AS TABLE public."{table}"' for table in tables.metadata.tables]
    _run(postgresql % name, "CREATE SCHEMA kept", *copies)
    yield postgresql % name
    _run(postgresql % "postgres", f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a database with the demo company and nothing else in it; once for each kind.

    To make a PostgreSQL database takes longer than most of these tests, so there is one and it is put back. Its
    sequences run on: rows of different tables do not share their ids by chance.
    """
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("furnished_sqlite")
        path = template.with_name("durchwahl.sqlite3")
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        shutil.copy(template, path)
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("furnished_postgresql")
    names = [f'"{table}"' for table in tables.metadata.tables]
    _run(
        url,
        "SET session_replication_role = replica",  # neither keys nor guards stand in the way of putting it back
        *[f"DELETE FROM {name}" for name in names],
        *[f"INSERT INTO {name} SELECT * FROM kept.{name}" for name in names],
    )
    return url


@pytest.fixture(scope="session")
def applications() -> dict[str, Flask]:
    """The applications of this process by the address of their database.

    Kept from test to test, because each begins with no statement compiled and would compile all of them again.
    """
    return {}


@pytest.fixture
def core(environment: dict[str, str], applications: dict[str, Flask]) -> Iterator[Flask]:
    """The application without pages, its context open."""
    url = environment["PORTAL_DATABASE_URL"]
    application = applications.setdefault(url, applications.get(url) or create_core(environment))
    application.extensions.pop("portal.directory", None)
    with application.app_context():
        yield application
        db.db.engine.dispose()


@pytest.fixture
def people(core: Flask) -> dict[str, int]:
    """The ids of the demo people by name."""
    with db.reading() as session:
        return {colleague.name: colleague.id for colleague in session.scalars(select(Person))}


@pytest.fixture
def session(core: Flask, people: dict[str, int]) -> Iterator[Session]:
    """A writing transaction. What a test leaves is committed, so that the schema has the last word."""
    with db.db.sessionmaker() as session:
        yield session
        session.commit()


@contextmanager
def statements() -> Iterator[list[str]]:
    """Every statement that reaches the database within the block."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(db.db.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(db.db.engine, "before_cursor_execute", note)


def planned_for_any_values(session: Session, statement: str) -> str:
    """How the database would run it without a look at the values that are bound, as it does once it is prepared.

    PostgreSQL reads a whole table only where no index serves: a table of three rows it would always read whole.
    """
    if session.get_bind().dialect.name == "sqlite":
        found = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", (None,) * statement.count("?"))
        return " ".join(str(row[-1]) for row in found)
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    for number, name in enumerate(names, 1):
        statement = statement.replace(f"%({name})s", f"${number}")
    session.connection().exec_driver_sql("SET LOCAL enable_seqscan = off")
    found = session.connection().exec_driver_sql(f"EXPLAIN (GENERIC_PLAN) {statement}")
    return " ".join(str(row[0]) for row in found)


def step(session: Session) -> None:
    """End a step as a page does: commit, and forget what was read."""
    session.commit()
    session.expire_all()


@contextmanager
def refused(session: Session, error: type[Exception]) -> Iterator[None]:
    """The block raises ``error``, and its changes are taken back as a page takes them back."""
    with pytest.raises(error), session.begin_nested():
        yield


def _furnish(url: str) -> None:
    settings = {"PORTAL_DATABASE_URL": url, "PORTAL_SECRET_KEY": "a-key-for-tests-0123456789-abcdefghij"}
    application = create_core(settings)
    with application.app_context():
        with db.writing() as session:
            demo.company(session, password_hash="nobody signs in here")
        db.db.engine.dispose()


def _run(url: str, *statements: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("; ".join(statements)))
    engine.dispose()


# --- who is there ----------------------------------------------------------------------------------------------------


def person(session: Session, name: str, *, team: str, topics: tuple[str, ...] = (), **changes: Any) -> int:
    """A new colleague with office hours; their id."""
    team_row = session.scalars(select(Team).where(Team.name == team)).one()
    colleague = Person(
        **{
            "team_id": team_row.id,
            "name": name,
            "role": team,
            "line_e164": "+498999998777",
            "line_shown": "089 99998-777",
            "email": f"{new_secret().lower()}@beispielwerke.example",
            "place": team_row.place,
            **changes,
        }
    )
    session.add(colleague)
    session.flush()
    session.add_all(Hours(person_id=colleague.id, weekday=day, from_minute=480, until_minute=1020) for day in range(5))
    session.add_all(Competence(person_id=colleague.id, topic_id=topic(session, slug).id) for slug in topics)
    session.flush()
    return colleague.id


def away(
    session: Session, person_id: int, *, since: datetime, until: datetime | None = None, deputy_id: int | None = None
) -> Absence:
    """An absence, entered by the person."""
    absence = Absence(person_id=person_id, starts_at=since, ends_at=until, deputy_id=deputy_id, entered_by_id=person_id)
    session.add(absence)
    session.flush()
    return absence


def topic(session: Session, slug: str) -> Topic:
    """A topic by its short name."""
    return session.scalars(select(Topic).where(Topic.slug == slug)).one()


# --- what happens ----------------------------------------------------------------------------------------------------


def wish(session: Session, slug: str = "angebot", **changes: Any) -> drafting.Wish:
    """What Sabine Krüger typed into the form."""
    return drafting.Wish(
        **{
            "topic_id": topic(session, slug).id,
            "name": "Sabine Krüger",
            "email": "s.krueger@haustechnik.example",
            "message": "Wir brauchen 40 Umwälzpumpen.",
            "language": "de",
            "phone_e164": NUMBER,
            "phone_shown": NUMBER_SHOWN,
            **changes,
        }
    )


def send_form(
    session: Session,
    slug: str = "angebot",
    *,
    at: datetime = TUESDAY,
    key: str | None = None,
    body: str = "",
    doubt: Doubt | None = None,
    **changes: Any,
) -> Submission:
    """The form, sent; with a key of its own unless one is given."""
    return opening.accept(
        session, wish(session, slug, **changes), key=key or new_secret(), body_hash=body, doubt=doubt, now=at
    )


def open_case(
    session: Session, slug: str = "angebot", *, at: datetime = TUESDAY, doubt: Doubt | None = None, **changes: Any
) -> Case:
    """A case (in doubt: an entry) that came in by the form, committed."""
    submission = send_form(session, slug, at=at, doubt=doubt, **changes)
    step(session)
    return session.get_one(Case, submission.case_id)


def deliver(session: Session, *, at: datetime = TUESDAY) -> None:
    """The relay has taken every letter that waits."""
    session.execute(
        update(Letter).where(Letter.state == LetterState.QUEUED).values(state=LetterState.SENT, ended_at=at)
    )
    step(session)


# --- what there is to see --------------------------------------------------------------------------------------------


def open_promises(session: Session, case: Case) -> list[Promise]:
    """The open promises of a case, the next one first."""
    session.flush()
    return promises.open_of(session, case.id)


def all_promises(session: Session, case: Case) -> list[Promise]:
    """Every promise of a case, ended ones too, in the order in which they were given."""
    session.flush()
    return list(session.scalars(select(Promise).where(Promise.case_id == case.id).order_by(Promise.id)))


def promise_of(session: Session, case: Case, kind: PromiseKind) -> Promise:
    """The open promise of a kind."""
    found = promises.of_kind(open_promises(session, case), kind)
    assert found is not None
    return found


def entries(session: Session, case: Case, *kinds: Kind) -> list[Entry]:
    """The journal of a case in the order in which it was written; of the given kinds if any are given."""
    session.flush()
    wanted = Entry.kind.in_(kinds or tuple(Kind))
    return list(session.scalars(select(Entry).where(Entry.case_id == case.id, wanted).order_by(Entry.id)))


def letters(
    session: Session,
    case: Case,
    *kinds: LetterKind,
    audience: Audience | None = None,
    states: tuple[LetterState, ...] = (LetterState.QUEUED, LetterState.SENDING, LetterState.SENT),
) -> list[Letter]:
    """The letters of a case that were not withdrawn and did not fail, oldest first."""
    session.flush()
    found = select(Letter).where(Letter.case_id == case.id, Letter.state.in_(states)).order_by(Letter.id)
    if audience is not None:
        found = found.where(Letter.audience == audience)
    if kinds:
        found = found.where(Letter.kind.in_(kinds))
    return list(session.scalars(found.execution_options(populate_existing=True)))


def kinds_of(found: list[Letter]) -> list[str]:
    """The kinds of letters, in order."""
    return [letter.kind for letter in found]


@dataclass(frozen=True)
class Mail:
    """A letter as its reader sees it: every run of white space is one space."""

    to: str
    sender: str
    reply_to: str
    subject: str
    text: str
    html: str

    @property
    def everything(self) -> str:
        """All of it."""
        return " ".join((self.to, self.sender, self.reply_to, self.subject, self.text, self.html))


def read(letter: Letter) -> Mail:
    """The mail of a letter, decoded."""
    message = message_from_bytes(letter.message, policy=policy.default)
    assert isinstance(message, EmailMessage)
    bodies = [message.get_body((kind,)) for kind in ("plain", "html")]
    text_body, html_body = (_flat(body.get_content()) for body in bodies if body is not None)
    return Mail(
        to=letter.to_address,
        sender=str(message["From"]),
        reply_to=str(message["Reply-To"]),
        subject=_flat(str(message["Subject"])),
        text=text_body,
        html=html_body,
    )


def link_in(letter: Letter) -> str:
    """The token of the status link that a letter holds."""
    found = re.search(r"/s/([^/\s]+)", read(letter).text)
    assert found is not None
    return found[1]


def _flat(words: str) -> str:
    return " ".join(words.split())
