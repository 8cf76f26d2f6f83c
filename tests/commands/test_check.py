"""`durchwahl check`: everything wrong at once, each with its fix; exit code 1 if something is, 0 if nothing is."""

import socket
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import create_engine, delete, select, text, update
from sqlalchemy.orm import Session

from portal import checking, clock, db, demo, heartbeat
from portal.cases.models import Topic
from portal.core import create_core
from portal.people.models import Company, Hours, Person, Team
from tests.commands.test_commands import durchwahl
from tests.support.smtp_sink import SmtpSink

Change = Callable[[Session], object]

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def sound(environment: dict[str, str], password_hash: str) -> Iterator[dict[str, str]]:
    """The environment of a company where nothing is wrong: a mail server that answers, a worker that lives."""
    with SmtpSink() as sink:
        environment |= {"PORTAL_MAIL_PORT": str(sink.port), "PORTAL_MAIL_DEFAULT_SENDER": "service@firma.de"}
        change(environment, lambda session: demo.company(session, password_hash=password_hash))
        change(environment, lambda session: heartbeat.beat(session, "here:1", now=clock.utc_now()))
        yield environment


def change(environment: dict[str, str], step: Change) -> None:
    """Do something to the database behind the program's back."""
    with create_core(environment).app_context():
        with db.writing() as session:
            step(session)
        db.db.engine.dispose()


def test_nothing_wrong_is_said_with_code_0(sound: dict[str, str]) -> None:
    ended = durchwahl("check", **sound)

    assert (ended.code, ended.out, ended.err) == (0, "Nothing is wrong.\n", "")


def test_what_is_wrong_is_said_with_its_fix_and_code_1(sound: dict[str, str]) -> None:
    change(sound, lambda session: session.execute(text("DELETE FROM worker")))

    ended = durchwahl("check", **sound)

    assert (ended.code, ended.err) == (1, "")
    assert ended.out == "No worker has been heard of for a minute: no letter leaves.\n  → Start `durchwahl worker`.\n"


def wrong(environment: dict[str, str]) -> list[str]:
    """What the check finds, without the fixes."""
    found = checking.findings(environment)
    assert all(finding.fix.endswith(".") for finding in found)
    return [finding.wrong for finding in found]


@sqlite_only
def test_checking_changes_nothing(sound: dict[str, str]) -> None:
    before = _everything(sound)

    wrong(sound)

    assert _everything(sound) == before


def _everything(environment: dict[str, str]) -> list[object]:
    engine = create_engine(environment["PORTAL_DATABASE_URL"])
    with engine.connect() as connection:
        rows = [
            connection.execute(text(f"SELECT count(*) FROM {table}")).all() for table in ("person", "worker", "topic")
        ]
        rows.append(connection.execute(text("SELECT id, beat_at, loops FROM worker")).all())
    engine.dispose()
    return [tuple(row) for part in rows for row in part]


def _team(session: Session, name: str) -> int:
    return session.scalars(select(Team.id).where(Team.name == name)).one()


def _person(session: Session, name: str) -> int:
    return session.scalars(select(Person.id).where(Person.name == name)).one()


IN_THE_DATABASE: list[tuple[Change, str]] = [
    (lambda session: session.execute(delete(Company)), "There is no company yet."),
    (lambda session: session.execute(update(Company).values(legal_block=" ")), "The company particulars are empty."),
    (lambda session: session.execute(update(Topic).values(active=False)), "There is no topic to choose in the form."),
    (
        lambda session: session.execute(update(Person).where(Person.name == "Miriam Albrecht").values(deputy_id=None)),
        "Without a deputy: Miriam Albrecht.",
    ),
    (
        lambda session: session.execute(delete(Hours).where(Hours.team_id == _team(session, "Vertrieb Süd"))),
        "A team without hours: Vertrieb Süd.",
    ),
    (
        lambda session: session.execute(delete(Hours).where(Hours.person_id == _person(session, "Miriam Albrecht"))),
        "Without hours: Miriam Albrecht.",
    ),
    (
        lambda session: session.execute(update(Person).where(Person.name == "Miriam Albrecht").values(line_shown=None)),
        "Without a direct line: Miriam Albrecht.",
    ),
    (
        lambda session: session.execute(text("DROP TRIGGER person_revision_update")),
        "Guards are missing: person_revision_update.",
    ),
    (
        lambda session: session.execute(text("DROP TRIGGER entry_is_never_edited")),
        "Guards are missing: entry_is_never_edited.",
    ),
    (lambda session: session.execute(text("DELETE FROM alembic_version")), "The database is not at the newest schema."),
]
IN_THE_SETTINGS = [
    ("PORTAL_BASE_URL", "http://service.firma.de", "PORTAL_BASE_URL is not https."),
    ("PORTAL_BASE_URL", "http://127.0.0.1.firma.de", "PORTAL_BASE_URL is not https."),
    ("PORTAL_MAIL_DEFAULT_SENDER", "service@firma.example", "PORTAL_MAIL_DEFAULT_SENDER is not an address of yours."),
    ("PORTAL_MAIL_PORT", "1", "The mail server does not answer."),
    ("PORTAL_CLAMD", "127.0.0.1:1", "The virus scanner does not answer."),
    ("PORTAL_MAIL_PORT", "smtp", "PORTAL_MAIL_PORT must be a port from 1 to 65535."),
    ("PORTAL_SECRET_KEY", "secret", "PORTAL_SECRET_KEY is too short or too simple: set at least 32 random characters."),
]


@sqlite_only
class TestOneFault:
    @pytest.mark.parametrize(("step", "says"), IN_THE_DATABASE, ids=[says for _, says in IN_THE_DATABASE])
    def test_in_the_database_is_one_finding(self, sound: dict[str, str], step: Change, says: str) -> None:
        change(sound, step)

        assert wrong(sound) == [says]

    @pytest.mark.parametrize(("name", "value", "says"), IN_THE_SETTINGS)
    def test_in_the_settings_is_one_finding(self, sound: dict[str, str], name: str, value: str, says: str) -> None:
        assert wrong({**sound, name: value}) == [says]

    def test_a_proof_of_work_that_no_browser_can_do_is_one_more(self, sound: dict[str, str]) -> None:
        on = {**sound, "PORTAL_PROOF_OF_WORK": "true"}

        assert wrong(on) == []
        assert wrong({**on, "PORTAL_BASE_URL": "http://service.firma.de"}) == [
            "PORTAL_BASE_URL is not https.",
            "Without https no browser solves what PORTAL_PROOF_OF_WORK asks for: every message of the form waits.",
        ]

    @pytest.mark.parametrize("limit", ["9 MB per hour", "100 MB per day; 1 MB per minute"])
    def test_a_limit_that_the_largest_file_is_never_within_is_one(self, sound: dict[str, str], limit: str) -> None:
        assert wrong({**sound, "PORTAL_UPLOAD_LIMIT": "10 MB per hour"}) == []
        assert wrong({**sound, "PORTAL_UPLOAD_LIMIT": limit}) == [
            "PORTAL_UPLOAD_LIMIT is below the 10 MB that one file may have: a large file is never taken."
        ]

    @pytest.mark.parametrize("address", ["https://service.firma.de", "http://127.0.0.1:8000", "http://localhost:8000"])
    def test_an_address_with_tls_or_of_this_machine_is_none(self, sound: dict[str, str], address: str) -> None:
        assert wrong({**sound, "PORTAL_BASE_URL": address}) == []


PLAIN = "The password for the mail server would cross the network in plain text."


@sqlite_only
@pytest.mark.parametrize(
    ("host", "settings", "says"),
    [
        ("127.0.0.1", {}, []),
        ("localhost", {}, []),
        ("192.0.2.25", {}, [PLAIN]),
        ("relay.firma.de", {}, [PLAIN]),
        ("localhost.firma.de", {}, [PLAIN]),
        ("relay.firma.de", {"PORTAL_MAIL_USE_TLS": "true"}, []),
        ("relay.firma.de", {"PORTAL_MAIL_USE_SSL": "true"}, []),
    ],
)
def test_a_password_for_the_relay_that_would_go_in_plain_text_is_a_finding(
    sound: dict[str, str], monkeypatch: pytest.MonkeyPatch, host: str, settings: dict[str, str], says: list[str]
) -> None:
    monkeypatch.setattr(checking.socket, "create_connection", lambda *_, **__: socket.socket())
    login = {"PORTAL_MAIL_SERVER": host, "PORTAL_MAIL_USERNAME": "durchwahl", "PORTAL_MAIL_PASSWORD": "geheim"}

    assert wrong({**sound, **login, **settings}) == says


@sqlite_only
def test_who_has_left_needs_neither_hours_nor_deputy(sound: dict[str, str]) -> None:
    def leave(session: Session) -> None:
        session.execute(delete(Hours).where(Hours.person_id == _person(session, "Miriam Albrecht")))
        values = {"deputy_id": None, "left_on": clock.utc_now().date()}
        session.execute(update(Person).where(Person.name == "Miriam Albrecht").values(**values))

    change(sound, leave)

    assert wrong(sound) == []


@sqlite_only
def test_several_faults_are_all_found(sound: dict[str, str]) -> None:
    change(sound, lambda session: session.execute(text("DELETE FROM worker")))

    assert len(wrong({**sound, "PORTAL_BASE_URL": "http://service.firma.de", "PORTAL_MAIL_PORT": "1"})) == 3


@sqlite_only
def test_a_database_out_of_reach_is_a_finding(sound: dict[str, str]) -> None:
    ended = durchwahl("check", **{**sound, "PORTAL_DATABASE_URL": "postgresql+psycopg://nobody@/no?host=/nowhere"})

    assert (ended.code, ended.err) == (1, "")
    assert "The database does not answer" in ended.out
