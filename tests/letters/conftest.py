"""Letters as they arrive: whole stories played through the pages, delivered by the worker's steps over real SMTP.

Each story is played once for a database and a language; the tests look at what the sink caught.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import html5lib
import pytest
import time_machine
from flask import Flask
from sqlalchemy import create_engine, select, update
from werkzeug.test import TestResponse

from portal import clock, db, demo
from portal.app import create_app
from portal.appointments import service as appointments
from portal.cases.models import Case
from portal.customers.models import Customer
from portal.links import new_secret
from portal.mail.letters import LetterKind
from portal.mail.transport import Relay
from portal.people.models import Absence, Person, Team
from tests.conftest import NOW, SECRET_KEY
from tests.map.conftest import House, csrf_of, let_go
from tests.support.cast import berlin
from tests.support.smtp_sink import SmtpSink
from worker import __main__ as working
from worker.delivery import Delivery
from worker.loop import Loop

SENDER = "service@beispielwerke.example"
CUSTOMER = "Sabine Krüger"
OWNER_AWAY, DEPUTY, COLLEAGUE = "Jonas Weidner", "Miriam Albrecht", "Thomas Brandt"
NUMBER_OF_ACCOUNT = "K-10042"
"""The company whose manager is away: its letters come from the deputy."""
CANARY = "C4nary"
PHONE = "+49 171 3920042"
TYPED = {"message": f"{CANARY} eins\n{CANARY} zwei", "company": f"{CANARY} GmbH", "postcode": CANARY, "phone": PHONE}
DATES = {"friday": ("2026-11-27", "11:00"), "monday": ("2026-11-30", "11:00"), "tuesday": ("2026-12-01", "15:00")}
AS_TIME_PASSES = [berlin(f"2026-11-25 {hour}") for hour in ("09:45", "10:46", "11:30")]
"""Agreed times come near; pass with nobody calling; are over."""
NEXT_TALK = berlin("2026-11-26 10:40")
LINK = re.compile(r"http://localhost(/(?:s|staff)/\S+)")


@dataclass(frozen=True)
class Caught:
    """One letter as it arrived."""

    story: str
    """Whose case it is about: the customer's address."""
    mail_from: str
    rcpt_to: tuple[str, ...]
    message: EmailMessage
    links: Mapping[str, int]
    """The pages it leads to, and what its reader got there when it arrived."""
    at: datetime
    """When that was."""

    @property
    def kind(self) -> LetterKind:
        """What it says it is."""
        return LetterKind(self.message["X-Portal-Letter"])

    @property
    def subject(self) -> str:
        """Its subject, decoded."""
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        """The words of the text part, each run of white space as one space."""
        return _flat(self._part("plain"))

    @property
    def html(self) -> str:
        """The words of the HTML part, in the same way."""
        page = html5lib.parse(self._part("html"), namespaceHTMLElements=False)
        return _flat("".join(page.itertext()))

    @property
    def links_of_html(self) -> list[str]:
        """Our pages that the HTML part links to."""
        page = html5lib.parse(self._part("html"), namespaceHTMLElements=False)
        return [found for link in page.iter("a") for found in LINK.findall(link.get("href", ""))]

    @property
    def source(self) -> str:
        """Everything that can be read in it or out of it."""
        return "\n".join([*map(str, self.message.values()), self._part("plain"), self._part("html")])

    def _part(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        assert part is not None, f"no {kind} part in {self.message['X-Portal-Letter']}"
        return str(part.get_content())


@dataclass(frozen=True)
class Post:
    """All that was caught of one database and language, and who the people are."""

    language: str
    letters: tuple[Caught, ...]
    people: Mapping[str, Person]
    references: Mapping[str, str]
    """Of each customer's case."""

    def and_also(self, other: "Post") -> "Post":
        """The letters of both, whose stories have other names."""
        return replace(self, letters=self.letters + other.letters, references={**self.references, **other.references})

    def of(self, *kinds: LetterKind) -> list[Caught]:
        """The letters of these kinds, in the order in which they arrived."""
        return [letter for letter in self.letters if letter.kind in kinds]

    def to_customers(self) -> list[Caught]:
        """All letters to customers."""
        return [letter for letter in self.letters if not letter.kind.is_for_staff]

    def to_staff(self) -> list[Caught]:
        """All letters to colleagues."""
        return [letter for letter in self.letters if letter.kind.is_for_staff]


@pytest.fixture(
    scope="session",
    params=[
        pytest.param((database, language), id=name, marks=[pytest.mark.xdist_group(f"letters-{name}"), *marks])
        # By day each database and each language once; the letters are the same on both.
        for database, language, marks in (
            ("sqlite", "en", ()),
            ("postgresql", "de", ()),
            ("sqlite", "de", (pytest.mark.nightly,)),
            ("postgresql", "en", (pytest.mark.nightly,)),
        )
        for name in [f"{database}-{language}"]
    ],
)
def post(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Post:
    """Every kind of letter, caught in the sink."""
    database, language = request.param
    with office(request, tmp_path_factory, database, language) as desk:
        for who in ("regular", "account"):
            desk.play(who)
        desk.play_doubtful()
        desk.play_undeliverable()
        without = desk.post()
    with office(request, tmp_path_factory, database, language) as desk:
        desk.play_agreed()
        return without.and_also(desk.post())


@contextmanager
def office(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, database: str, language: str
) -> Iterator["Desk"]:
    """The demo company without cases on a database of its own, at a relay of its own, on a Tuesday morning."""
    with empty_database(request, tmp_path_factory, database) as url, SmtpSink(rule=_refuses) as sink:
        app = create_app(settings(url, sink.port))
        try:
            with time_machine.travel(NOW, tick=False):
                yield Desk(app, sink, language)
        finally:
            let_go(app)


def settings(url: str, port: int) -> dict[str, str]:
    """The environment of an application that delivers to this port."""
    return {
        "PORTAL_DATABASE_URL": url,
        "PORTAL_SECRET_KEY": SECRET_KEY,
        "PORTAL_BASE_URL": "http://localhost",
        "PORTAL_MAIL_DEFAULT_SENDER": SENDER,
        "PORTAL_MAIL_SERVER": "127.0.0.1",
        "PORTAL_MAIL_PORT": str(port),
        "PORTAL_FORM_MIN_SECONDS": "0",
        "PORTAL_FORM_LIMIT": "10000 per hour",
    }


class Desk:
    """Plays what customers and colleagues do, and catches the letters after each step."""

    def __init__(self, app: Flask, sink: SmtpSink, language: str) -> None:
        self.house, self.language = House(app), language
        self._app, self._sink, self._seen = app, sink, 0
        self._caught: list[Caught] = []
        with app.app_context(), db.writing() as session:
            people = demo.company(session, password_hash="nobody signs in with a password here")
            session.execute(update(Person).values(language=language))
            away = Absence(person_id=people[OWNER_AWAY], starts_at=NOW - timedelta(days=1), entered_by_id=1)
            away.ends_at, away.deputy_id = NOW + timedelta(days=20), people[DEPUTY]
            session.add(away)

    def play(self, who: str) -> None:
        """A case from the form to its second close, with every letter a customer can get."""
        story = f"{who}@kunde.example"
        number = {"customer_number": NUMBER_OF_ACCOUNT} if who == "account" else {}
        self.write(story, **number)
        self.on_page(story, "message", message=f"{CANARY} drei")
        for day, hour in (DATES["friday"], DATES["monday"]):
            self.as_colleague(story, "promise", promise="result-mail", what="das Angebot", day=day, hour=hour)
        self.as_colleague(story, "reply", text="Die Preise stehen im Anhang.", then="keep")
        self.as_colleague(story, "contact", contact="call_not_reached", then="keep")
        self.as_colleague(story, "ask", text="Welche Farbe?", day=DATES["tuesday"][0], hour=DATES["tuesday"][1])
        self.on_page(story, "close", outcome="done", version=str(self.house.case(story).version))
        self.on_page(story, "reopen", message=f"{CANARY} vier")
        self.as_colleague(story, "close", text="Das Angebot ist angenommen.", outcome="done")
        self.as_colleague(story, "reopen", text="Die Lieferung fehlt noch.")
        self.post_form("/link", email=story)
        self.on_page(story, "erase")
        self.on_page(story, "replace-link")
        self.on_page(story, "not-me")

    def play_agreed(self) -> None:
        """Agreed calls, with every letter there can be about one; the times of the two stories do not meet."""
        hours = {"agreed.regular@kunde.example": ("10:00", "11:00"), "agreed.account@kunde.example": ("10:30", "11:30")}
        for story, (hour, other) in hours.items():
            number = {"customer_number": NUMBER_OF_ACCOUNT} if "account" in story else {}
            self.write(story, topic="rueckruf", **number)
            self.agree(story, f"2026-11-25T{hour}:00+01:00")
            self.agree(story, f"2026-11-25T{other}:00+01:00")
            self.with_agreed(story, "wish", contact="call_in", text=f"{CANARY} fünf")
            self.with_agreed(story, "move", slot=f"2026-11-25T{hour}:00+01:00")
            self.with_agreed(story, "give", person=str(self.house.person(COLLEAGUE).id))
            self.on_page(story, "appointment/cancel", version=self._version(story), reason=f"{CANARY} sechs")
            self.agree(story, f"2026-11-25T{hour}:00+01:00", version="")
        for at in AS_TIME_PASSES:
            with time_machine.travel(at, tick=False):
                self.deliver()
        with time_machine.travel(AS_TIME_PASSES[-1] + timedelta(minutes=1), tick=False):
            for story, (hour, _) in hours.items():
                self.agree(story, f"2026-11-26T{hour}:00+01:00", version="")
        with time_machine.travel(NEXT_TALK, tick=False):
            for story in hours:
                said = {"outcome": "interim", "text": "Es dauert noch.", "recap": "y", "then": "keep"}
                self.with_agreed(story, "outcome", **said)

    def agree(self, story: str, slot: str, *, version: str | None = None) -> TestResponse:
        """The customer presses the last button for a time."""
        shown = self._version(story) if version is None else version
        return self.on_page(story, "appointment", slot=slot, version=shown)

    def with_agreed(self, story: str, step: str, **typed: str) -> TestResponse:
        """Do something with an agreed time, as a colleague."""
        return self.as_colleague(story, step, path=f"appointment/{step}", appointment=self._version(story), **typed)

    def play_doubtful(self) -> None:
        """An entry in doubt, released by a colleague."""
        self.write("doubtful@kunde.example", website="x")
        self.as_colleague("doubtful@kunde.example", "release", page="doubtful")

    def play_undeliverable(self) -> None:
        """A case whose customer cannot be reached by mail, with a number and without."""
        self.write("gone.with.number@kunde.example")
        self.write("gone.without.number@kunde.example", phone="")
        self.deliver()

    def write(self, story: str, **changes: str) -> TestResponse:
        """Send the contact form."""
        return self.post_form(f"/contact?lang={self.language}", **self.contact_form(story, **changes))

    def contact_form(self, story: str, **changes: str) -> dict[str, str]:
        """The contact form, filled in just now."""
        ticket = self.house.ticket(at=clock.utc_now(), key=new_secret())
        form = {"topic": "angebot", "name": CUSTOMER, "email": story, "customer_number": CANARY, "csrf_token": ticket}
        return {**TYPED, **form, **changes}

    def on_page(self, story: str, step: str, **typed: str) -> TestResponse:
        """Do something on the status page."""
        return self.post_form(f"/s/{self.house.token(story)}/{step}", key=new_secret(), **typed)

    def as_colleague(
        self, story: str, step: str, page: str = "cases", path: str | None = None, **typed: str
    ) -> TestResponse:
        """Do something with a case, as the person who acts in it."""
        case = self.house.case(story)
        client = self.house.colleague(DEPUTY)
        fields = {"version": str(case.version), "key": new_secret(), **typed}
        data = {f"{step}-{name}": value for name, value in fields.items()} | {"csrf_token": csrf_of(client)}
        return self._answered(client.post(f"/staff/{page}/{case.reference}/{path or step}", data=data))

    def post_form(self, path: str, **data: str) -> TestResponse:
        """Send a form as a visitor."""
        return self._answered(self.house.visitor().post(path, data=data))

    def deliver(self) -> None:
        """Let the worker do everything that is due, and look at what the sink caught."""
        with self._app.app_context():
            delivery = Delivery(Relay(self._app.extensions["portal.post"]))
            Loop(working.steps_of(delivery)).run_until_idle()
            delivery.close()
        caught = list(self._sink.messages)
        new, self._seen = caught[self._seen :], len(caught)
        for received in new:
            message = received.parsed()
            story = self._stories()[str(message["X-Portal-Case"])]
            links = self._opened(message, received.rcpt_to[0])
            self._caught.append(Caught(story, received.mail_from, received.rcpt_to, message, links, clock.utc_now()))

    def post(self) -> Post:
        """What was caught so far."""
        with self._app.app_context(), db.reading() as session:
            people = {person.name: person for person in session.scalars(select(Person))}
        references = {story: reference for reference, story in self._stories().items()}
        return Post(self.language, tuple(self._caught), people, references)

    def move_company(self, place: str, tz: str) -> None:
        """Everybody works elsewhere from here on."""
        with self._app.app_context(), db.writing() as session:
            session.execute(update(Team).values(place=place, tz=tz))
            session.execute(update(Person).values(place=place))

    def _answered(self, answer: TestResponse) -> TestResponse:
        assert answer.status_code in (200, 303), f"{answer.request.path}: {answer.status_code}"
        self.deliver()
        return answer

    def _opened(self, message: EmailMessage, reader: str) -> dict[str, int]:
        """What the reader gets behind each of our links in the letter; a colleague is signed in."""
        part = message.get_body(("plain",))
        assert part is not None
        paths = LINK.findall(part.get_content())
        with self._app.app_context(), db.reading() as session:
            names = session.scalars(select(Person.name).where(Person.email == reader)).all()
        client = self.house.colleague(names[0]) if names else self.house.visitor()
        return {path: client.get(path).status_code for path in paths}

    def _version(self, story: str) -> str:
        """The version of the story's agreed time; nothing where there is none yet."""
        with self._app.app_context(), db.reading() as session:
            booked = appointments.booked_of(session, self.house.case(story).id)
        return "" if booked is None else str(booked.version)

    def _stories(self) -> dict[str, str]:
        with self._app.app_context(), db.reading() as session:
            rows = session.execute(
                select(Case.reference, Customer.email).join(Customer, Customer.id == Case.customer_id)
            )
            return {reference: email or "" for reference, email in rows}


def _refuses(recipient: str, attempt: int) -> str:
    return "rcpt_550" if recipient.startswith("gone.") else "ok"


@contextmanager
def empty_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, database: str
) -> Iterator[str]:
    """The address of a migrated database of this story's own."""
    if database == "sqlite":
        path = tmp_path_factory.mktemp("letters") / "durchwahl.sqlite3"
        template: Path = request.getfixturevalue("migrated_sqlite")
        path.write_bytes(template.read_bytes())
        yield f"sqlite:///{path}"
        return
    server, template_name = request.getfixturevalue("postgresql"), request.getfixturevalue("migrated_postgresql")
    name = f"letters_{new_secret()}"
    engine = create_engine(server % "postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{name}" TEMPLATE {template_name}')
        try:
            yield server % name
        finally:
            connection.exec_driver_sql(f'DROP DATABASE "{name}" WITH (FORCE)')
    engine.dispose()


def _flat(words: str) -> str:
    return " ".join(words.split())
