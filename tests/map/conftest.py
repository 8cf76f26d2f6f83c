"""The whole map of addresses on the demo company: who may ask for what, and with which body it is accepted.

A test that walks the map takes its samples from here, and a route without one fails it: so a new route is covered from
its first day, or the run is red.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine, select, update
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session
from werkzeug.routing import Rule

from portal import clock, db, demo
from portal.app import create_app
from portal.appointments import service as appointments
from portal.appointments.models import Appointment
from portal.cases import agreeing, answering, erasure_wishes, feeding, opening, planning
from portal.cases.drafting import Wish
from portal.cases.finding import status_token
from portal.cases.models import Case, Submission, Topic
from portal.core import create_core
from portal.customers.models import Customer
from portal.journal.files import File, attach
from portal.journal.models import Entry, Kind
from portal.links import Purpose, new_secret
from portal.mail.letters import LetterKind
from portal.mail.models import HoldReason, Letter, LetterState
from portal.pages.mailbox import receiver
from portal.pages.staff.login import sign_ins
from portal.people.models import Person
from portal.promises.models import Promise, PromiseState, Waiting
from tests.conftest import NOW, PASSWORD, SECRET_KEY
from tests.support.dump import Kept, dump

FRESH = "s.krueger@krueger-haustechnik.example"
"""Waits for a reply by Jonas Weidner; has a phone number."""
CALL = "aydin@aydin-sanitaer.example"
LATE = "vogt@vogt-gartenbau.example"
WAITING = "grossmann@stadtwerke-musterstadt.example"
ANNOUNCED = "noch.offen@kunde.example"
"""The customer did not answer; the closing is announced for Friday."""
PLANNED = "neues.datum@kunde.example"
"""A colleague has planned a new date, of which the customer hears in ten minutes."""
TWO_STEPS = "b.sommer@sommerbad.example"
DEPUTY = "baumgartner@hotel-seeblick.example"
CLOSED = "scholz@scholz-werkstatt.example"
"""Can still be reopened."""
CLOSED_BY_CUSTOMER = "lang@lang-immobilien.example"
CLOSED_LONG_AGO = "ostermann@ostermann.example"
"""Can no longer be reopened; the link works until January."""
DOUBTFUL = "muster@post.example"
NOT_ME = "schulte@post.example"
DISCARDED = "offers@werbung.example"
ERASURE_ASKED = "gern.vergessen@kunde.example"
"""The customer asked for deletion; the letter that asks to confirm it was sent."""
ERASURE_CONFIRMED = "bald.vergessen@kunde.example"
"""The customer confirmed it; the details are deleted in a week."""
AGREED = "verabredet@kunde.example"
"""The customer has chosen a time for a call: Friday at 10 by Miriam Albrecht or whoever is there."""
AGREED = "termin@kunde.example"
"""A call is agreed for Thursday, 10:00."""
BEGUN = "begonnen@kunde.example"
"""An agreed call was begun at 9:00, a quarter of an hour ago."""
HELD = "gehalten@kunde.example"
"""The confirmation is held above the mailbox's cap."""
JUST_SENT = "just.sent@kunde.example"
"""Five minutes old: the address can still be corrected."""
STORIES = (
    *(FRESH, CALL, LATE, WAITING, ANNOUNCED, PLANNED, TWO_STEPS, DEPUTY, AGREED),
    *(AGREED, BEGUN),
    *(CLOSED, CLOSED_BY_CUSTOMER, CLOSED_LONG_AGO, DOUBTFUL, HELD, NOT_ME, ERASURE_ASKED, ERASURE_CONFIRMED),
)
FILE = "a-file-of-fresh-22-abc"
"""A file that the customer of FRESH sent along."""
FEED = "the-nonce-of-a-feed-22"
"""In the address of Jonas Weidner's calendar feed."""
JONAS, ADMIN = "Jonas Weidner", "Martina Ebert"
OTHER = "Dr. Katharina Voss"
"""Free when a call is agreed."""
KEY, TICKET_KEY = "a-key-of-one-attempt-x", "the-key-of-a-ticket-22"
FRIDAY_TEN = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
FRIDAY = {"day": "2026-11-27", "hour": "11:00"}
"""A date with room: the third working day after NOW."""
THURSDAY_TEN = datetime(2026, 11, 26, 9, tzinfo=UTC)
FRIDAY_ELEVEN = datetime(2026, 11, 27, 10, tzinfo=UTC)
"""Times that are free."""
ADDRESS = re.compile(r"https?://[^\s\"<>]+")
LETTER = (
    b"From: a@example.com\r\nSubject: eins\r\nContent-Type: text/html\r\n\r\n<html><head></head><p>eins</p></html>\r\n"
)


@pytest.fixture
def tuesday() -> Iterator[Any]:
    """9:12 in Germany, and the clock stands still."""
    with time_machine.travel(NOW, tick=False) as travel:
        yield travel


@pytest.fixture(scope="session")
def kept_sqlite(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory, password_hash: str) -> Iterator[Kept]:
    """A SQLite file with the demo company and its cases."""
    path = tmp_path_factory.mktemp("demo") / "durchwahl.sqlite3"
    path.write_bytes(migrated_sqlite.read_bytes())
    yield from _with_demo(f"sqlite:///{path}", password_hash)


@pytest.fixture(scope="session")
def kept_postgresql(postgresql: str, migrated_postgresql: str, password_hash: str) -> Iterator[Kept]:
    """A PostgreSQL database with the demo company and its cases."""
    name = f"demo_{new_secret()}"
    engine = create_engine(postgresql % "postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{name}" TEMPLATE {migrated_postgresql}')
        yield from _with_demo(postgresql % name, password_hash)
        connection.exec_driver_sql(f'DROP DATABASE "{name}" WITH (FORCE)')
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest) -> Kept:
    """The database of this test, once for each kind, as it stands when the test begins."""
    database: Kept = request.getfixturevalue(f"kept_{request.param}")
    database.put_back()
    return database


@pytest.fixture
def database_url(kept: Kept) -> str:
    """Its address."""
    return kept.url


@pytest.fixture(scope="session")
def mailbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local mailbox with one letter in it, so that its pages are on the map too."""
    folder = tmp_path_factory.mktemp("mailbox")
    receiver.keep(folder, LETTER, now=NOW)
    return folder


@pytest.fixture
def environment(environment: dict[str, str], mailbox: Path) -> dict[str, str]:
    """The settings of all tests, with the local mailbox."""
    return {**environment, "PORTAL_MAILBOX_DIR": str(mailbox)}


@pytest.fixture(scope="session")
def applications() -> Iterator[dict[str, Flask]]:
    """The applications made so far, by their database."""
    made: dict[str, Flask] = {}
    yield made
    for application in made.values():
        let_go(application)


@pytest.fixture
def app(environment: dict[str, str], applications: dict[str, Flask]) -> Flask:
    """The whole application; one for all tests that only send requests, because its templates take long to compile."""
    url = environment["PORTAL_DATABASE_URL"]
    if url not in applications:
        applications[url] = create_app(environment)
        applications[url].testing = True
    return applications[url]


@pytest.fixture
def house(app: Flask) -> "House":
    """The application with the demo company in it."""
    return House(app)


@pytest.fixture
def own_house(environment: dict[str, str]) -> Iterator["House"]:
    """The same for a test that changes the application itself."""
    application = create_app(environment)
    yield House(application)
    let_go(application)


def _with_demo(url: str, password_hash: str) -> Iterator[Kept]:
    core = create_core({"PORTAL_DATABASE_URL": url, "PORTAL_SECRET_KEY": SECRET_KEY})
    with core.app_context():
        with db.writing() as session:
            demo.load(session, password_hash=password_hash, now=NOW)
            _just_sent(session)
            _closing_announced(session)
            _date_planned(session)
            _time_agreed(session)
            _erasure_wished(session, ERASURE_ASKED, confirmed=False)
            _erasure_wished(session, ERASURE_CONFIRMED, confirmed=True)
            _file_sent(session)
            session.execute(update(Letter).values(state=LetterState.SENT, ended_at=Letter.queued_at))
            _letter_held(session)
            _agreed(session, AGREED, THURSDAY_TEN)
            _agreed(session, BEGUN, NOW.replace(minute=0))
            session.execute(update(Person).where(Person.name == JONAS).values(feed_nonce=FEED))
        db.db.engine.dispose()
    database = Kept(url)
    yield database
    database.close()


def _just_sent(session: Session) -> None:
    topic_id = session.scalars(select(Topic.id).where(Topic.slug == "lieferung")).one()
    wish = Wish(topic_id, "Jana Soeben", JUST_SENT, "Wann kommt die Lieferung?", "de")
    now = NOW - timedelta(minutes=5)
    opening.accept(session, wish, key=new_secret(), body_hash="", doubt=None, now=now)


def _file_sent(session: Session) -> None:
    case = select(Case).join(Customer, Customer.id == Case.customer_id).where(Customer.email == FRESH)
    entry = select(Entry.id).where(Entry.case_id == session.scalars(case).one().id, Entry.kind == Kind.RECEIVED)
    file = File(FILE, "Typenschild.txt", "text/plain", 4, "0" * 64, read=lambda: [b"4711"])
    attach(session, session.scalars(entry).one(), [file], now=NOW)


def _letter_held(session: Session) -> None:
    topic_id = session.scalars(select(Topic.id).where(Topic.slug == "lieferung")).one()
    wish = Wish(topic_id, "Hanna Halt", HELD, "Wann kommt die Lieferung?", "de")
    now = NOW - timedelta(minutes=5)
    submission = opening.accept(session, wish, key=new_secret(), body_hash="", doubt=None, now=now)
    of_case = update(Letter).where(Letter.case_id == submission.case_id)
    session.execute(of_case.values(state=LetterState.SENT, ended_at=Letter.queued_at))
    held = {"state": LetterState.HELD, "hold_reason": HoldReason.MAILBOX_CAP, "ended_at": None}
    session.execute(of_case.where(Letter.kind == LetterKind.CONFIRMATION).values(held))


def _agreed(session: Session, email: str, starts_at: datetime) -> None:
    """A call agreed yesterday; one whose time has come is begun."""
    topic_id = session.scalars(select(Topic.id).where(Topic.slug == "angebot")).one()
    phone = {"phone_e164": "+491713920042", "phone_shown": "0171 3920042"}
    wish = Wish(topic_id, "Tina Termin", email, "Was kostet die Wartung?", "de", **phone)
    yesterday = NOW - timedelta(days=1)
    submission = opening.accept(session, wish, key=new_secret(), body_hash="", doubt=None, now=yesterday)
    case = session.get_one(Case, submission.case_id)
    assert case.owner_id is not None
    booked = agreeing.book(session, case, starts_at=starts_at, by_id=case.owner_id, now=yesterday)
    if starts_at < NOW:
        appointments.start(booked, by_id=case.owner_id, now=starts_at)
    session.execute(update(Letter).where(Letter.case_id == case.id).values(state=LetterState.SENT, ended_at=yesterday))


def _closing_announced(session: Session) -> None:
    topic_id = session.scalars(select(Topic.id).where(Topic.slug == "lieferung")).one()
    wish = Wish(topic_id, "Nora Offen", ANNOUNCED, "Wann kommt die Lieferung?", "de")
    now = NOW - timedelta(minutes=20)
    submission = opening.accept(session, wish, key=new_secret(), body_hash="", doubt=None, now=now)
    case = session.get_one(Case, submission.case_id)
    assert case.owner_id is not None and case.promise_id is not None
    keeps, friday = {case.promise_id}, NOW + timedelta(days=3)
    answering.ask(
        session, case, by_id=case.owner_id, text="Welche Bestellung?", keeps=keeps, follow_up_at=friday, now=now
    )
    session.execute(
        update(Promise).where(Promise.case_id == case.id, Promise.waiting.is_not(None)).values(waiting=Waiting.CLOSING)
    )


def _date_planned(session: Session) -> None:
    topic_id = session.scalars(select(Topic.id).where(Topic.slug == "angebot")).one()
    wish = Wish(topic_id, "Nils Neu", PLANNED, "Was kostet die Wartung?", "de")
    now = NOW - timedelta(minutes=5)
    submission = opening.accept(session, wish, key=new_secret(), body_hash="", doubt=None, now=now)
    case = session.get_one(Case, submission.case_id)
    assert case.owner_id is not None and case.promise_id is not None
    planning.plan_move(
        session,
        case,
        promise_id=case.promise_id,
        by_id=case.owner_id,
        to=NOW + timedelta(days=2),
        reason="Das Werk bestätigt morgen.",
        now=now,
    )


def _time_agreed(session: Session) -> None:
    topic_id = session.scalars(select(Topic.id).where(Topic.slug == "angebot")).one()
    wish = Wish(topic_id, "Vera Abrede", AGREED, "Was kostet die Wartung?", "de", "+491713920077", "0171 3920077")
    now = NOW - timedelta(minutes=5)
    submission = opening.accept(session, wish, key=new_secret(), body_hash="", doubt=None, now=now)
    case = session.get_one(Case, submission.case_id)
    agreeing.book(session, case, starts_at=FRIDAY_TEN, by_id=None, now=now)


def _erasure_wished(session: Session, email: str, *, confirmed: bool) -> None:
    topic_id = session.scalars(select(Topic.id).where(Topic.slug == "lieferung")).one()
    wish, now = Wish(topic_id, "Greta Gern", email, "Wann kommt die Lieferung?", "de"), NOW - timedelta(minutes=5)
    submission = opening.accept(session, wish, key=new_secret(), body_hash="", doubt=None, now=now)
    case = session.get_one(Case, submission.case_id)
    erasure_wishes.ask(session, case, now=now)
    if confirmed:
        erasure_wishes.confirm(session, case, erasure_wishes.proof(case), now=now)


@dataclass(frozen=True)
class Form:
    """A body that one POST accepts, the case of whose customer it is about, and where its fields' names begin."""

    story: str = FRESH
    body: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""


FORMS: Mapping[str, Form] = {
    "contact.send": Form(
        body={
            "topic": "angebot",
            "name": "Erika Beispiel",
            "email": "erika@kunde.example",
            "message": "Wir brauchen ein Angebot.",
        }
    ),
    "contact.correct_address": Form(JUST_SENT, {"email": "richtig@kunde.example"}),
    "link.wish": Form(body={"email": FRESH}),
    "status.message": Form(body={"message": "Noch eine Frage dazu."}),
    "status.keep_open": Form(ANNOUNCED),
    "status.close": Form(body={"outcome": "done"}),
    "status.reopen": Form(CLOSED, {"message": "Es fehlt noch etwas."}),
    "status.new_link": Form(),
    "status.not_me": Form(),
    "status.send_erasure_link": Form(),
    "status.confirm_erasure": Form(ERASURE_ASKED),
    "status.keep_details": Form(ERASURE_CONFIRMED),
    "status.agree": Form(body={"slot": "2026-11-27T11:00+01:00", "version": ""}),
    "status.wish": Form(body={"message": "Nur donnerstags."}),
    "status.cancel": Form(AGREED, {"reason": "Passt nicht mehr.", "version": "1"}),
    "status.reachable": Form(body={"parts": "morning"}),
    "staff.reply": Form(body={"text": "Das Angebot folgt.", "then": "keep"}, prefix="reply-"),
    "staff.ask": Form(body={"text": "Welche Größe?", **FRIDAY}, prefix="ask-"),
    "staff.promise": Form(body={"promise": "result-mail", "what": "das Angebot", **FRIDAY}, prefix="promise-"),
    "staff.mail": Form(body={"text": "Er fragt nach.", "contact": "mail_in", "then": "keep"}, prefix="mail-"),
    "staff.contact": Form(
        body={"text": "Besprochen.", "contact": "call_in", "then": "keep", "visible": "y"}, prefix="contact-"
    ),
    "staff.note": Form(body={"text": "Rabatt prüfen."}, prefix="note-"),
    "staff.close": Form(body={"text": "Erledigt.", "outcome": "done"}, prefix="close-"),
    "staff.reopen": Form(CLOSED_BY_CUSTOMER, {"text": "Es geht weiter."}, prefix="reopen-"),
    "staff.call": Form(prefix="call-"),
    "staff.plan": Form(body={"text": "Das Werk bestätigt erst am Freitag.", **FRIDAY}, prefix="plan-"),
    "staff.forget_plan": Form(PLANNED, prefix="forget-"),
    "staff.feed_address": Form(),
    "staff.book_appointment": Form(body={"slot": THURSDAY_TEN.isoformat(), "medium": "call"}, prefix="book-"),
    "staff.move_appointment": Form(AGREED, {"slot": FRIDAY_ELEVEN.isoformat(), "text": "Ein Werk."}, prefix="move-"),
    "staff.give_appointment": Form(AGREED, prefix="give-"),
    "staff.cancel_appointment": Form(AGREED, {"text": "Die Anlage ist verkauft."}, prefix="cancel-"),
    "staff.wish_another_time": Form(AGREED, {"text": "Lieber später.", "contact": "call_in"}, prefix="wish-"),
    "staff.say_outcome": Form(
        BEGUN, {"outcome": "interim", "text": "Wir sprachen.", "then": "keep"}, prefix="outcome-"
    ),
    "staff.release": Form(DOUBTFUL),
    "staff.discard": Form(DOUBTFUL),
    "staff.release_letters": Form(HELD),
    "staff.drop_letters": Form(HELD),
    "login.sign_in": Form(body={"email": "m.albrecht@beispielwerke.example", "password": PASSWORD}),
    "login.sign_out": Form(),
}
"""Every POST of the map by its endpoint."""
OF_STAFF = tuple(name for name in FORMS if name.startswith("staff."))
OF_AN_APPOINTMENT = tuple(
    f"staff.{name}"
    for name in ("move_appointment", "give_appointment", "cancel_appointment", "wish_another_time", "say_outcome")
)
OF_A_PROMISE = ("staff.plan", "staff.forget_plan")
OF_SIGNING = tuple(name for name in FORMS if name.startswith("login."))
OF_A_LINK = tuple(name for name in FORMS if name.startswith("status."))
OPEN_TO_ALL = ("contact.send", "contact.correct_address", "link.wish")


@dataclass(frozen=True)
class Filled:
    """A form ready to be sent."""

    path: str
    data: dict[str, str]


class House:
    """The application, what stands in its database, and who comes to it."""

    def __init__(self, app: Flask) -> None:
        self.app = app

    def dump(self) -> str:
        """All tables as text."""
        with self.app.app_context():
            return dump(db.db.engine)

    def case(self, story: str) -> Case:
        """The newest case of the customer with this address."""
        with self.app.app_context(), db.reading() as session:
            newest = select(Case).join(Customer, Customer.id == Case.customer_id).order_by(Case.id.desc()).limit(1)
            return session.scalars(newest.where(Customer.email == story)).one()

    def customer(self, story: str) -> Customer:
        """The customer with this address, as in the newest case."""
        with self.app.app_context(), db.reading() as session:
            return session.get_one(Customer, self.case(story).customer_id)

    def token(self, story: str) -> str:
        """The secret of the case's status link."""
        with self.app.app_context():
            return status_token(self.case(story))

    def proof(self) -> str:
        """The secret of the letter that asks to confirm deletion."""
        with self.app.app_context():
            return erasure_wishes.proof(self.case(ERASURE_ASKED))

    def feed(self) -> str:
        """The secret of Jonas Weidner's calendar feed."""
        return str(self.app.extensions["portal.links"].sign(Purpose.FEED, FEED))

    def feed_mark(self) -> str:
        """What the form about it says of that address."""
        with self.app.app_context():
            return feeding.mark(feeding.address(FEED))

    def person(self, name: str) -> Person:
        """The colleague of this name."""
        with self.app.app_context(), db.reading() as session:
            return session.scalars(select(Person).where(Person.name == name)).one()

    def booked(self, story: str) -> Appointment:
        """The agreed time of the case."""
        with self.app.app_context(), db.reading() as session:
            wanted = select(Appointment).where(Appointment.case_id == self.case(story).id)
            return session.scalars(wanted.order_by(Appointment.id.desc()).limit(1)).one()

    def answer(self, story: str) -> str:
        """The secret of the case's thank-you page."""
        with self.app.app_context(), db.reading() as session:
            wanted = select(Submission.answer).where(Submission.case_id == self.case(story).id)
            return session.scalars(wanted.where(Submission.purpose == "contact")).one()

    def ticket(self, *, at: datetime = NOW, key: str = TICKET_KEY) -> str:
        """The signed hidden field of a contact form shown at ``at``."""
        return str(self.app.extensions["portal.links"].sign_with_time(Purpose.CONTACT_FORM, key, now=at))

    def visitor(self) -> FlaskClient:
        """A browser without a cookie."""
        return self.app.test_client()

    def colleague(self, name: str = JONAS) -> FlaskClient:
        """A browser that is signed in; without the tenth of a second that checking a password takes."""
        with self.app.app_context(), db.writing() as session:
            person_id = session.scalars(select(Person.id).where(Person.name == name)).one()
            secret = sign_ins.begin(session, person_id, now=clock.utc_now())
        client = self.app.test_client()
        with client.session_transaction() as cookie:
            cookie["_user_id"] = secret
        return client

    def filled(self, endpoint: str, *, csrf: str | None = None, token: str | None = None, **changes: str) -> Filled:
        """The form of an endpoint with everything it needs to be accepted; changes are of its own fields."""
        form = FORMS[endpoint]
        case = self.case(form.story)
        own = {"key": KEY, "version": str(case.version), **form.body, **changes}
        if endpoint in OF_A_PROMISE:
            own.setdefault("promise", str(self.open_promise(form.story).id))
        if endpoint in OF_AN_APPOINTMENT:
            own.setdefault("appointment", str(self.booked(form.story).version))
        if endpoint == "staff.give_appointment":
            own.setdefault("person", str(self.person(OTHER).id))
        if endpoint == "staff.feed_address":
            own.setdefault("seen", self.feed_mark())
        data = {f"{form.prefix}{name}": value for name, value in own.items()}
        if endpoint == "contact.send":
            data["csrf_token"] = self.ticket()
        if csrf is not None:
            data["csrf_token"] = csrf
        rule = self.rule(endpoint)
        known: Mapping[str, Callable[[], str]] = {
            "token": lambda: token or self.token(form.story),
            "reference": lambda: case.reference,
            "answer": lambda: self.answer(form.story),
            "proof": self.proof,
        }
        return Filled(path_of(rule, {name: known[name]() for name in rule.arguments}), data)

    def send(self, client: FlaskClient, endpoint: str, **options: Any) -> Any:
        """Fill a form in and send it; staff with the token against forged requests of their own session."""
        if endpoint in OF_STAFF + OF_SIGNING:
            options.setdefault("csrf", csrf_of(client))
        form = self.filled(endpoint, **options)
        return client.post(form.path, data=form.data)

    def rule(self, endpoint: str) -> Rule:
        """The one rule of an endpoint."""
        return next(self.app.url_map.iter_rules(endpoint))

    def below(self, token: str, endpoint: str) -> str:
        """The address of a form below a status link, whatever that link is worth."""
        return path_of(self.rule(endpoint), {"token": token, "proof": self.proof()})

    def open_promise(self, story: str) -> Promise:
        """The promise the case waits for."""
        with self.app.app_context(), db.reading() as session:
            wanted = select(Promise).where(Promise.case_id == self.case(story).id, Promise.state == PromiseState.OPEN)
            return session.scalars(wanted.order_by(Promise.due_at).limit(1)).one()

    def addresses(self, rule: Rule) -> list[str]:
        """The rule with each of its samples filled in. Raises AssertionError for a parameter that has none."""
        names = sorted(rule.arguments)
        samples = {name: self.parts(rule, name) for name in names}
        many = max((len(values) for values in samples.values()), default=1)
        return [path_of(rule, {name: values[i % len(values)] for name, values in samples.items()}) for i in range(many)]

    def parts(self, rule: Rule, name: str) -> list[str]:
        """Samples of one part of an address. Raises AssertionError where it has none."""
        blueprint = rule.endpoint.rpartition(".")[0]
        known: Mapping[tuple[str, str], Callable[[], list[str]]] = {
            ("status", "token"): lambda: [*map(self.token, STORIES), "not-a-token"],
            ("status", "proof"): lambda: [self.proof(), "not-a-proof"],
            ("contact", "answer"): lambda: [*map(self.answer, STORIES), "x" * 22],
            ("staff", "reference"): lambda: [*(self.case(one).reference for one in (*STORIES, DISCARDED)), "AAA-AAA"],
            ("calendar", "token"): lambda: [self.feed(), "not-a-token"],
            ("mailbox", "name"): lambda: receiver.names(Path(self.app.config["MAILBOX_DIR"])),
            ("", "filename"): lambda: ["app.css", "enhance.js"],
            # The first sample of each token and reference is that of FRESH, whose file it is; the others see none.
            ("status", "file_id"): lambda: [FILE],
            ("staff", "file_id"): lambda: [FILE],
        }
        assert (blueprint, name) in known, f"no sample value for {name!r} of {rule.rule}: add one here"
        return known[blueprint, name]()


def path_of(rule: Rule, values: Mapping[str, str]) -> str:
    """A rule's address with its parameters filled in."""
    path = rule.rule
    for name in rule.arguments:
        path = re.sub(rf"<(?:\w+:)?{name}>", lambda _, name=name: values[name], path)
    return path


def csrf_of(client: FlaskClient) -> str:
    """The token against forged requests of this browser's session."""
    page = client.get("/staff/doubtful", follow_redirects=True).text
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found is not None, "no staff page holds a token"
    return found[1]


def let_go(application: Flask) -> None:
    """Close what an application holds open."""
    with application.app_context():
        db.db.engine.dispose()


@contextmanager
def database_gone(application: Flask) -> Iterator[None]:
    """The application cannot reach its database in this block: the file is none, or the server lets nobody in."""
    with application.app_context():
        url = db.db.engine.url
    let_go(application)
    try:
        with _file_gone(url) if url.get_backend_name() == "sqlite" else _nobody_let_in(url):
            yield
    finally:
        let_go(application)


@contextmanager
def _file_gone(url: URL) -> Iterator[None]:
    path = Path(url.database or "")
    aside = path.with_suffix(".aside")
    path.rename(aside)
    path.mkdir()
    try:
        yield
    finally:
        path.rmdir()
        aside.rename(path)


@contextmanager
def _nobody_let_in(url: URL) -> Iterator[None]:
    name = url.database
    engine = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        connection.exec_driver_sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        try:
            yield
        finally:
            connection.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    engine.dispose()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave SQLite to `make nightly`: PostgreSQL is the stricter one with hostile texts."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.nightly_on("sqlite"))
