"""What is logged, through whole journeys with faults: never a token, an address, a name, a number or a word of anybody.

In process with both log formats at once, and from real `durchwahl serve` and `durchwahl worker` processes. ASVS 16.2.5,
16.4.1, 16.5.1 to 16.5.3.
"""

import io
import json
import logging
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine, func, insert, select

from portal import clock, db, logs
from portal.app import create_app
from portal.cases import erasure_wishes
from portal.customers.models import Customer
from portal.links import new_secret
from portal.mail.models import Letter, LetterState
from portal.mail.transport import Relay
from tests.conftest import PASSWORD, SECRET_KEY
from tests.map.conftest import House, database_gone, let_go
from tests.support.processes import Web, Worker, wait_until
from tests.support.smtp_sink import SmtpSink
from worker import __main__ as working
from worker.delivery import Delivery
from worker.loop import Loop

NAME, COMPANY = "Zacharias Xylophon", "Quittenbrand Werke"
EMAIL = "zacharias.xylophon@kunde.example"
CORRECTED = "ypsilanti.quitte@kunde.example"
REFUSED = "niemals.zugestellt@kunde.example"
COLLEAGUE = "j.weidner@beispielwerke.example"
GUESSED, GUESS = "rateversuch.birne@kunde.example", "falsches Passwort Mirabelle"
PHONE = "0171 3920042"
MESSAGE, ANSWER, NOTE = "Geheimrezept Wacholder", "Antwortwort Holunder", "Notizwort Sanddorn"
TYPED = {
    "name": NAME,
    "first name": NAME.partition(" ")[0],
    "company": COMPANY,
    "mailbox": EMAIL.partition("@")[0],
    "corrected mailbox": CORRECTED.partition("@")[0],
    "refused mailbox": REFUSED.partition("@")[0],
    "colleague's mailbox": COLLEAGUE.partition("@")[0],
    "guessed mailbox": GUESSED.partition("@")[0],
    "guessed password": GUESS,
    "password": PASSWORD,
    "number as typed": PHONE,
    "number as dialled": "1713920042",
    "message": MESSAGE,
    "answer": ANSWER,
    "note": NOTE,
    "secret key": SECRET_KEY,
    "words of the relay": "somebody@secret.example",
}
FORGED = "\x1b[31m2026-01-01T00:00:00Z [error    ] forged\x1b[0m"
RECORD = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[\w+ *\] \S.*|\[\d{4}-\d\d-\d\d [\d:]+ [+-]\d{4}\] \[\d+\] \[\w+\] .*")
"""A line of ours as text, or one of gunicorn's own."""


@dataclass(frozen=True)
class Page:
    """What a browser got."""

    code: int
    text: str
    location: str


class InProcess:
    """A browser in front of the application itself."""

    def __init__(self, client: FlaskClient) -> None:
        self._client = client

    def get(self, path: str) -> Page:
        """Open a page."""
        answer = self._client.get(path)
        return Page(answer.status_code, answer.text, answer.location or "")

    def post(self, path: str, data: dict[str, str]) -> Page:
        """Send a form."""
        answer = self._client.post(path, data=data)
        return Page(answer.status_code, answer.text, answer.location or "")

    def cookie(self) -> str:
        """What the browser keeps for the colleague."""
        kept = self._client.get_cookie("durchwahl")
        return kept.value if kept else "no cookie"


class OverTheWire:
    """A browser in front of a real server."""

    def __init__(self, address: str) -> None:
        self._address, self._session = address, requests.Session()
        self._session.headers["Connection"] = "close"  # after a body too long to be read the server hangs up anyway

    def get(self, path: str) -> Page:
        """Open a page."""
        return self._page(self._session.get(self._address + path, allow_redirects=False, timeout=20))

    def post(self, path: str, data: dict[str, str]) -> Page:
        """Send a form."""
        return self._page(self._session.post(self._address + path, data=data, allow_redirects=False, timeout=20))

    def cookie(self) -> str:
        """What the browser keeps for the colleague."""
        return str(self._session.cookies.get("durchwahl") or "no cookie")

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _page(self, answer: requests.Response) -> Page:
        return Page(answer.status_code, answer.text, answer.headers.get("Location", ""))


class Journey:
    """What a customer and a colleague do, rightly and wrongly; ``secrets`` is what must be in no log."""

    def __init__(self, house: House, browser: InProcess | OverTheWire) -> None:
        self.house, self.browser = house, browser
        self.secrets = dict(TYPED)

    def write(self, email: str, **changes: str) -> Page:
        """Send the contact form."""
        ticket = self.house.ticket(at=clock.utc_now(), key=new_secret())
        self.secrets["ticket"] = ticket
        typed = {"topic": "lieferung", "name": NAME, "email": email, "message": f"{MESSAGE}\n{FORGED}"}
        more = {"phone": PHONE, "company": f"{COMPANY} {'x' * 9}", "customer_number": "K-10042", "csrf_token": ticket}
        return self.browser.post("/contact", data={**typed, **more, **changes})

    def of_customer(self) -> None:
        """From the form to the status page, with mistakes on the way."""
        assert [self.write(email, **more).code for email, more in ((REFUSED, {}), (EMAIL, {"website": "x"}))] == [
            303
        ] * 2
        mistakes = [{"name": f"{NAME}\n{FORGED}"}, {"name": f"{NAME} www.x.de"}, {"phone": "1"}, {"csrf_token": EMAIL}]
        assert [self.write(EMAIL, **mistake).code for mistake in mistakes] == [422] * 4
        thanks = self.write(EMAIL).location
        self.secrets["thank-you page"] = thanks.rpartition("/")[2]
        for address in (CORRECTED, CORRECTED, f"{CORRECTED}@"):
            self.browser.post(f"{thanks}/address", data={"email": address})
        self.browser.get(thanks)
        self.browser.post("/link", data={"email": CORRECTED})

    def of_link(self) -> None:
        """What can be done with a link, and with one that is none."""
        token = self.house.token(CORRECTED)
        self.secrets |= {"token": token, "nonce": self.house.case(CORRECTED).link_nonce}
        for page in (
            "",
            "/close",
            "/not-me",
            "/nothing",
            "?before=3",
            "/message",
            f"{quote(FORGED)}%0A{quote(FORGED)}",
        ):
            self.browser.get(f"/s/{token}{page}")
        self.browser.post(f"/s/{token}/erase", data={"key": new_secret()})
        with self.house.app.app_context():
            proof = self.secrets["proof"] = erasure_wishes.proof(self.house.case(CORRECTED))
        for page in ("/export", "/erase", f"/erase/{proof}", f"/erase/{proof[:-1]}"):
            self.browser.get(f"/s/{token}{page}")
        for step in ("message", "close", "message", "close", f"erase/{proof}", "keep-details", "replace-link"):
            words = {"message": f"{MESSAGE}\r\n{FORGED}", "key": new_secret()}
            self.browser.post(f"/s/{token}/{step}", data=words)
        self.browser.post(f"/s/{token}/message", data={"message": MESSAGE * 5000})
        self.browser.post(f"/s/{token}/not-me", data={})
        self.browser.get(f"/{EMAIL}%0A{quote(FORGED)}?{EMAIL}={MESSAGE}")

    def of_colleague(self) -> None:
        """Signing in, wrongly and rightly, and working on a case."""
        self.browser.post("/staff/login", data={"email": GUESSED, "password": GUESS})
        for email, password in ((GUESSED, GUESS), (f"{COLLEAGUE}\n{FORGED}", GUESS), (COLLEAGUE, PASSWORD)):
            form = {"email": email, "password": password, "csrf_token": self.csrf()}
            answer = self.browser.post("/staff/login", data=form)
        assert answer.code == 303
        self.secrets["cookie"] = self.browser.cookie()
        where = f"/staff/cases/{self.house.case(REFUSED).reference}"
        for step, words in (("reply", ANSWER), ("mail", NOTE), ("note", NOTE), ("call", ""), ("note", "")):
            self.work(where, step, words)
        self.browser.post(f"{where}/note", data={"note-text": NOTE})
        self.browser.post("/staff/logout", data={"csrf_token": self.csrf()})
        self.work(where, "note", NOTE)

    def work(self, where: str, step: str, words: str) -> None:
        """Send one form of the case page."""
        typed = {"text": f"{words}\n{FORGED}" if words else "", "then": "keep", "contact": "mail_in"}
        typed |= {"version": str(self.house.case(REFUSED).version), "key": new_secret()}
        form = {f"{step}-{name}": value for name, value in typed.items()}
        self.browser.post(f"{where}/{step}", data={**form, "csrf_token": self.csrf()})

    def csrf(self) -> str:
        """The token of the present session."""
        pages = "".join(self.browser.get(path).text for path in ("/staff/login", "/staff/doubtful"))
        found = re.search(r'name="csrf_token" value="([^"]+)"', pages)
        assert found is not None
        self.secrets["forgery token"] = found[1]
        return found[1]


def leaks(log: str, secrets: dict[str, str]) -> dict[str, str]:
    """The secrets that stand in a log, each with its line."""
    return {
        name: next(line for line in log.splitlines() if secret in line)
        for name, secret in secrets.items()
        if secret in log
    }


def false_records(log: str) -> list[str]:
    """Lines of a text log that are no record of ours: what a line break in an input would make."""
    return [line for line in log.splitlines() if not RECORD.fullmatch(line) or "forged" in line or "\x1b" in line]


def false_json(log: str) -> list[str]:
    """The same for a JSON log."""
    return [line for line in log.splitlines() if not line.startswith('{"') or "event" not in json.loads(line)]


# In process


@dataclass(frozen=True)
class Books:
    """What was logged, in both formats."""

    text: io.StringIO
    as_json: io.StringIO


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    """A relay that refuses one mailbox for good, another once, and at first everybody."""
    with SmtpSink(
        rule=lambda to, attempt: {REFUSED: "rcpt_550", CORRECTED: "data_451"}.get(to, "ok") if attempt < 2 else "ok"
    ) as sink:
        sink.script("mail_530")
        yield sink


@pytest.fixture
def environment(environment: dict[str, str], sink: SmtpSink) -> dict[str, str]:
    """With that relay."""
    return {**environment, "PORTAL_MAIL_SERVER": "127.0.0.1", "PORTAL_MAIL_PORT": str(sink.port)}


@pytest.fixture
def books() -> Iterator[Books]:
    """Both formats, written at once for everything that any logger of this process is told."""
    root = logging.getLogger()
    before, level, books = root.handlers, root.level, Books(io.StringIO(), io.StringIO())
    made = []
    for form, book in (("text", books.text), ("json", books.as_json)):
        logs.set_up(form)
        (handler,) = root.handlers
        handler.setStream(book)  # type: ignore[attr-defined]  # it is a StreamHandler
        made.append(handler)
    root.handlers = made
    yield books
    root.handlers = before
    root.setLevel(level)


@pytest.fixture
def own_house(environment: dict[str, str], books: Books, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """An application of this test's own, that leaves the loggers as they are."""
    monkeypatch.setattr("portal.core.logs.set_up", lambda form: None)
    application = create_app(environment)
    yield House(application)
    let_go(application)


def deliver(house: House) -> None:
    """Work as the worker does until every letter has left or has died."""
    with house.app.app_context():
        delivery = Delivery(Relay(house.app.extensions["portal.post"]))
        loop = Loop(working.steps_of(delivery))
        wait_until(lambda: not loop.run_until_idle() or not waiting(), 60, "letters are still waiting")
        delivery.close()


def waiting() -> int:
    """How many letters have neither left nor died."""
    with db.reading() as session:
        states = (LetterState.QUEUED, LetterState.SENDING)
        return session.scalars(select(func.count()).select_from(Letter).where(Letter.state.in_(states))).one()


@pytest.mark.speaks_of_people
def test_no_secret_is_logged_in_a_journey_with_faults(own_house: House, books: Books, sink: SmtpSink) -> None:
    plant_faults(own_house.app)
    journey = Journey(own_house, InProcess(own_house.visitor()))

    journey.of_customer()
    journey.of_link()
    journey.of_colleague()
    deliver(own_house)
    metrics = journey.browser.get("/metrics")
    assert (metrics.code, leaks(metrics.text, journey.secrets)) == (200, {})
    with customers_gone(own_house.app):
        assert journey.write(EMAIL).code >= 500
    with database_gone(own_house.app):
        assert journey.write(EMAIL).code == 503
    codes = {path: journey.browser.get(f"{path}?name={NAME}").code for path in ("/planted/word", "/planted/row")}
    fail_as_a_worker(own_house.app)

    text, as_json = books.text.getvalue(), books.as_json.getvalue()
    assert set(codes.values()) == {500}
    told = ("a page broke", "the database is out of reach", "letter refused", "will be tried again", "channel paused")
    told += ("sign_in_refused", "signed_in", "signed_out", "step failed", "too late to be corrected")
    assert [event for event in told if event not in text or event not in as_json] == []
    assert (leaks(text, journey.secrets), leaks(as_json, journey.secrets)) == ({}, {})
    assert (false_records(text), false_json(as_json)) == ([], [])


@pytest.mark.speaks_of_people
def test_a_secret_in_a_log_would_be_found(own_house: House, books: Books) -> None:
    own_house.app.logger.warning("a letter to %s\n%s", EMAIL, FORGED)

    text, as_json = books.text.getvalue(), books.as_json.getvalue()
    assert set(leaks(text, TYPED)) == set(leaks(as_json, TYPED)) == {"mailbox"}
    assert len(false_records(text)) == 1


def plant_faults(app: Flask) -> None:
    """Pages that break with other people's data in their mouths."""

    def say_a_word() -> str:
        raise RuntimeError(f"{NAME} <{EMAIL}> says {MESSAGE}\n{FORGED}")

    def write_a_row_twice() -> str:
        with db.writing() as session:
            session.execute(insert(Customer).values(id=1, name=NAME, email=EMAIL, company=MESSAGE))
        return "written"

    app.add_url_rule("/planted/word", "word", say_a_word)
    app.add_url_rule("/planted/row", "row", write_a_row_twice)


def fail_as_a_worker(app: Flask) -> None:
    """One turn of the worker's loop with steps that break."""

    def break_down() -> bool:
        loop.stop()
        raise RuntimeError(f"{NAME} <{EMAIL}>\n{FORGED}")

    loop = Loop({"break_down": break_down})
    with app.app_context():
        loop.run()


@contextmanager
def customers_gone(app: Flask) -> Iterator[None]:
    """A fault of the database in the middle of a statement that holds what was typed."""
    with app.app_context():
        engine = create_engine(db.db.engine.url)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE customer RENAME TO customer_gone")
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE customer_gone RENAME TO customer")
        engine.dispose()


# Real processes


def test_real_processes_log_no_secret_either(house: House, environment: dict[str, str], tmp_path: Path) -> None:
    web_log, worker_log = tmp_path / "web.log", tmp_path / "worker.log"
    with Worker({**environment, "PORTAL_LOG_FORMAT": "json"}, worker_log), Web(environment, web_log, workers=2) as web:
        browser = OverTheWire(web.address)
        journey = Journey(house, browser)
        journey.of_customer()
        journey.of_link()
        journey.of_colleague()
        for request in mumbled(journey.secrets["token"]):
            shout(web.port, request)
        metrics = browser.get("/metrics")
        assert (metrics.code, leaks(metrics.text, journey.secrets)) == (200, {})
        with customers_gone(house.app):
            assert journey.write(EMAIL).code >= 500
        with house.app.app_context():
            wait_until(lambda: not waiting(), 60, "letters are still waiting")
        browser.close()

    said, worked = web_log.read_text(encoding="utf-8"), worker_log.read_text(encoding="utf-8")
    assert "sign_in_refused" in said and "A request was refused or failed." in said
    assert "letter refused" in worked and "channel paused" in worked
    assert (leaks(said, journey.secrets), leaks(worked, journey.secrets)) == ({}, {})
    assert (false_records(said), false_json(worked)) == ([], [])


def mumbled(token: str) -> list[bytes]:
    """Requests that no server can read, each with a secret in it."""
    line = f"GET /s/{token}".encode()
    host = b" HTTP/1.1\r\nHost: x\r\n"
    typed = f"name={NAME}&message={MESSAGE}".encode()
    return [
        line + b"?" + b"x" * 5000 + host + b"\r\n",
        line + b" HTTP/9.9\r\n\r\n",
        line + b" \x1b[31m HTTP/1.1\r\n\r\n",
        line + host + b"X-" + EMAIL.encode() + b": 1\r\n\r\n",
        line + host + b"X: " + EMAIL.encode() + b"\x00\r\n\r\n",
        line + host + b"Referer: http://localhost/s/" + token.encode() + b"\r\nBad Header\r\n\r\n",
        b"POST /contact" + host + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + typed,
        b"POST /contact" + host + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + typed,
        b"POST /contact" + host + b"Content-Length: 5000\r\n\r\n" + typed,
        typed + b"\r\n\r\n",
    ]


def shout(port: int, request: bytes) -> None:
    """Send bytes and hang up once the server has said what it has to say."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        connection.makefile("rb").read()
