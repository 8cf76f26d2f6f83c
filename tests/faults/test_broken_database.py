"""What visitors meet while the database is full, cut off or read-only, and that it is over when that is over."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, func, select, text
from sqlalchemy.engine import make_url
from werkzeug.test import TestResponse

from portal import db
from portal.app import create_app
from portal.cases import finding
from portal.cases.models import Case, Submission
from portal.journal.models import Entry, Kind
from portal.mail.models import Letter
from portal.pages import once
from portal.pages.errors import SECONDS_UNTIL_AGAIN

MESSAGE = "Wir brauchen zwölf Umwälzpumpen."
ON_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def filled(client: FlaskClient) -> dict[str, str]:
    """The contact form with everything it needs."""
    found = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', client.get("/contact").text)
    assert found is not None
    typed = {"topic": "angebot", "name": "Erika Muster", "email": "erika@kundin.example", "message": MESSAGE}
    return {"csrf_token": found[1], **typed}


def rows(app: Flask) -> dict[str, int]:
    """How much the database holds of what one form makes."""
    with app.app_context(), db.reading() as session:
        return {
            model.__name__: session.scalar(select(func.count()).select_from(model)) or 0
            for model in (Case, Submission, Letter, Entry)
        }


def is_a_friendly_503(answer: TestResponse) -> bool:
    """With a time to come again, somebody to call and the words that were typed."""
    told = answer.headers.get("Retry-After") == SECONDS_UNTIL_AGAIN and "089 99998-100" in answer.text
    return answer.status_code == 503 and told and MESSAGE in answer.text


@pytest.fixture
def visitor(app: Flask, company: dict[str, int]) -> FlaskClient:
    """A browser; faults come out as pages and not as exceptions."""
    app.testing = False
    return app.test_client()


# --- full, or refusing for another reason that is none of the visitor's ---


@contextmanager
def refusing(app: Flask, code: str) -> Iterator[None]:
    """Every letter is refused with this SQLSTATE in the block, as a full disk or a read-only server does it."""
    with app.app_context(), db.writing() as session:
        raises = f"BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{code}'; END"
        session.execute(text(f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $${raises}$$"))
        session.execute(
            text("CREATE TRIGGER refuse BEFORE INSERT ON letter FOR EACH STATEMENT EXECUTE FUNCTION refuse()")
        )
    yield
    with app.app_context(), db.writing() as session:
        session.execute(text("DROP TRIGGER refuse ON letter"))


@ON_POSTGRESQL
@pytest.mark.parametrize(
    "code",
    [
        pytest.param("53100", id="the disk is full"),
        pytest.param("25006", id="the server only reads"),
        pytest.param("25P03", id="the transaction was ended for its idleness"),
        pytest.param("57P01", id="the server is being stopped"),
        pytest.param("40P01", id="two wait for each other"),
    ],
)
def test_what_the_server_refuses_for_a_while_is_a_503_and_taken_once_afterwards(
    app: Flask, visitor: FlaskClient, code: str
) -> None:
    form, before = filled(visitor), rows(app)

    with refusing(app, code):
        refused = visitor.post("/contact", data=form)

    assert is_a_friendly_503(refused)
    assert rows(app) == before
    assert visitor.post("/contact", data=form).status_code == 303
    assert rows(app)["Case"] == before["Case"] + 1


@contextmanager
def full(app: Flask) -> Iterator[None]:
    """The SQLite file may not grow in this block, and what lies free in it is used up."""
    with app.app_context():
        engine, path = db.db.engine, Path(make_url(db.db.engine.url).database or "")
    state = {"full": True}

    def limit(driver: sqlite3.Connection, *_: object) -> None:
        pages = driver.execute("PRAGMA page_count").fetchone()[0] if state["full"] else 1_000_000
        driver.execute(f"PRAGMA max_page_count={pages}")

    event.listen(engine, "checkout", limit)
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE filler (x)")
        other.execute("INSERT INTO filler VALUES (zeroblob(100))")
    other.close()
    yield
    state["full"] = False


@ON_SQLITE
def test_a_full_disk_is_a_503_and_needs_no_restart(app: Flask, visitor: FlaskClient) -> None:
    form = filled(visitor)

    with full(app):
        answers = [visitor.post("/contact", data={**filled(visitor), "message": MESSAGE * 20}) for _ in range(12)]
        taken, refused = rows(app), [answer for answer in answers if answer.status_code != 303]
        looked_at = visitor.get("/contact").status_code

    assert refused and all(is_a_friendly_503(answer) for answer in refused)
    assert looked_at == 200
    assert taken["Case"] == taken["Submission"] == 12 - len(refused)
    assert visitor.post("/contact", data=form).status_code == 303


@ON_SQLITE
def test_a_turn_that_cannot_be_asked_for_is_a_503(app: Flask, visitor: FlaskClient) -> None:
    form = filled(visitor)
    app.extensions["portal.turn"]._path = "/nowhere/at/all.turn"

    assert is_a_friendly_503(visitor.post("/contact", data=form))


def test_a_program_that_is_not_set_up_says_when_to_come_again(app: Flask) -> None:
    app.testing = False
    answer = app.test_client().get("/contact")

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, SECONDS_UNTIL_AGAIN)


# --- cut off in the middle of COMMIT ---


@contextmanager
def lost_commit(app: Flask, *, carried_out: bool, times: int = 1) -> Iterator[list[str]]:
    """The next COMMITs get no answer: the connection breaks after, or before, the server carries them out."""
    with app.app_context():
        dialect = db.db.engine.dialect
    commit, lost = dialect.do_commit, list[str]()

    def cut(connection: Any) -> None:
        driver = connection.driver_connection
        if driver.info.transaction_status != psycopg.pq.TransactionStatus.INTRANS or len(lost) == times:
            return commit(connection)
        if carried_out:
            commit(connection)
        driver.close()
        lost.append("lost")
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    dialect.do_commit = cut  # type: ignore[method-assign]
    yield lost
    dialect.do_commit = commit  # type: ignore[method-assign]


@ON_POSTGRESQL
@pytest.mark.parametrize("carried_out", [True, False], ids=["carried out", "not carried out"])
def test_a_form_whose_commit_got_no_answer_is_looked_up_by_its_key_and_answered(
    app: Flask, visitor: FlaskClient, carried_out: bool
) -> None:
    form, before = filled(visitor), rows(app)

    with lost_commit(app, carried_out=carried_out) as lost:
        answer = visitor.post("/contact", data=form)

    assert lost == ["lost"]
    assert answer.status_code == 303
    assert visitor.get(answer.headers["Location"]).status_code == 200
    assert rows(app) == {**before, "Case": before["Case"] + 1, "Submission": 1, "Letter": 2, "Entry": 2}


@ON_POSTGRESQL
@pytest.mark.parametrize("carried_out", [True, False], ids=["carried out", "not carried out"])
def test_a_message_whose_commit_got_no_answer_is_kept_once(app: Flask, visitor: FlaskClient, carried_out: bool) -> None:
    path, key = status_path(app, visitor)

    with lost_commit(app, carried_out=carried_out) as lost:
        answer = visitor.post(f"{path}/message", data={"message": "Noch etwas.", "key": key})

    assert (lost, answer.status_code) == (["lost"], 303)
    assert messages(app) == 1


@ON_POSTGRESQL
def test_a_message_without_a_key_is_not_written_again(app: Flask, visitor: FlaskClient) -> None:
    path, _ = status_path(app, visitor)

    with lost_commit(app, carried_out=True):
        answer = visitor.post(f"{path}/message", data={"message": "Noch etwas."})

    assert answer.status_code == 503
    assert messages(app) == 1


@ON_POSTGRESQL
def test_a_database_that_stays_away_is_waited_for_only_so_long(
    app: Flask, visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once, "LOOK_FOR", 0.3)
    form = filled(visitor)

    with lost_commit(app, carried_out=False, times=50) as lost:
        answer = visitor.post("/contact", data=form)

    assert is_a_friendly_503(answer)
    assert 2 <= len(lost) < 10


def status_path(app: Flask, visitor: FlaskClient) -> tuple[str, str]:
    """The status page of a case that came in just now, and a form's key on it."""
    assert visitor.post("/contact", data=filled(visitor)).status_code == 303
    with app.app_context(), db.reading() as session:
        path = f"/s/{finding.status_token(session.scalars(select(Case)).one())}"
    found = re.search(r'name="key"[^>]* value="([^"]+)"', visitor.get(path).text)
    assert found is not None
    return path, found[1]


def messages(app: Flask) -> int:
    """How many messages of customers the journal holds."""
    with app.app_context(), db.reading() as session:
        return len(session.scalars(select(Entry.id).where(Entry.kind == Kind.MESSAGE)).all())


# --- no page asks the database while it says that there is none ---


def test_every_error_page_can_be_made_without_a_database(
    environment: dict[str, str], company: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    application = create_app(environment)
    application.testing = False
    asked: Callable[[], None] = lambda: pytest.fail("the error page asked the database")  # noqa: E731

    @application.get("/breaks")
    def breaks() -> str:
        monkeypatch.setattr(db, "reading", asked)
        monkeypatch.setattr(db, "transaction", asked)
        raise db._locked()

    answer = application.test_client().get("/breaks")
    with application.app_context():
        db.db.engine.dispose()

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, SECONDS_UNTIL_AGAIN)
