"""A running site: web, two workers and a local mailbox as `durchwahl run` has them, with the demo company in it.

The processes are real ones. Beside them the test itself holds the core on the same database, to arrange what a case
looks like before a browser comes, and to see what is stored afterwards.
"""

import asyncio
import re
import signal
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from portal import clock, db, demo
from portal.cases import drafting, finding, opening
from portal.cases.models import Case, Doubt, LinkWish, Topic
from portal.core import create_core
from portal.customers.models import Customer
from portal.links import new_secret
from portal.mail.models import Letter as Row
from portal.mail.models import LetterState, WorkerBeat
from portal.mail.transport import Relay
from portal.pages.mailbox import receiver
from portal.people.models import Person
from tests.support.dump import dump
from tests.support.processes import PROGRAM, START_TIME, Running, Worker, free_port, wait_until
from worker import __main__ as working
from worker.delivery import Delivery
from worker.loop import Loop

SECRET_KEY = "a-key-for-the-browser-0123456789-abcdefg"
WEB_PROCESSES = 2
WORKERS = 2
QUIET_TIME = 30.0
"""Seconds in which a queue of some fifty letters is certainly empty."""


@dataclass(frozen=True)
class Letter:
    """A letter that arrived in the mailbox."""

    at: datetime
    raw: bytes

    @cached_property
    def message(self) -> EmailMessage:
        """The letter, parsed."""
        return message_from_bytes(self.raw, policy=policy.default)

    @property
    def kind(self) -> str:
        """What kind of letter it is, for example "confirmation"."""
        return str(self.message["X-Portal-Letter"])

    @property
    def reference(self) -> str:
        """The case it is about."""
        return str(self.message["X-Portal-Case"])

    @property
    def to(self) -> str:
        """The address it went to."""
        return str(self.message["To"])

    @cached_property
    def text(self) -> str:
        """The text part; every run of white space is one space."""
        return " ".join(self._part("plain").split())

    @cached_property
    def html(self) -> str:
        """The HTML part, as it was sent."""
        return self._part("html")

    @cached_property
    def links(self) -> set[str]:
        """Every web address in either part."""
        return set(re.findall(r"https?://[^\s<>\"']+", self._part("plain") + self.html))

    @property
    def status_link(self) -> str:
        """The address of the customer's page."""
        found = re.search(r"https?://\S+/s/[^\s/]+", self._part("plain"))
        assert found is not None, f"no status link in the letter {self.kind}"
        return found[0]

    def _part(self, kind: str) -> str:
        body = self.message.get_body((kind,))
        assert body is not None, f"the letter {self.kind} has no {kind} part"
        return str(body.get_content())


class Mailbox:
    """What the local mailbox has received."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, Letter] = {}

    def letters(self, reference: str, *kinds: str) -> list[Letter]:
        """The letters about a case, oldest first; of the given kinds if any are given."""
        return [
            letter for letter in self._all() if letter.reference == reference and (not kinds or letter.kind in kinds)
        ]

    def wait_for(self, reference: str, kind: str, *, count: int = 1, seconds: float = 10.0) -> Letter:
        """The newest letter of a kind about a case, once there are ``count`` of them. Raises TimeoutError."""
        wait_until(
            lambda: len(self.letters(reference, kind)) >= count,
            seconds,
            f"{len(self.letters(reference, kind))} of {count} letters {kind} about {reference} after {seconds} s",
        )
        return self.letters(reference, kind)[-1]

    def newest(self) -> str:
        """The name by which the mailbox's own page knows the newest letter."""
        return receiver.names(self._folder)[0]

    def _all(self) -> list[Letter]:
        for name in reversed(receiver.names(self._folder)):
            if name not in self._read:
                self._read[name] = Letter(receiver.received_at(name), (self._folder / name).read_bytes())
        return [self._read[name] for name in sorted(self._read)]


@dataclass(frozen=True)
class Known:
    """A case made beforehand: its reference, its status page and its thank-you page, as paths."""

    reference: str
    status: str
    thanks: str


class Site:
    """The running site; ``address`` is where it answers. ``settings`` are those that differ here."""

    def __init__(
        self,
        folder: Path,
        database_url: str,
        *,
        password_hash: str,
        program: Sequence[str] = PROGRAM,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._folder, self._password_hash, self._program = folder, password_hash, program
        self._running, self._processes = ExitStack(), list[Running]()
        self._port = free_port()
        self.address = f"http://127.0.0.1:{self._port}"
        self.mailbox = Mailbox(folder / "mailbox")
        self.signed_in: dict[str, Any] = {}
        """What the browsers of signed-in colleagues have stored, by name: attempts to sign in are counted."""
        self._environment = {
            "PORTAL_DATABASE_URL": database_url,
            "PORTAL_SECRET_KEY": SECRET_KEY,
            "PORTAL_BASE_URL": self.address,
            "PORTAL_MAIL_SERVER": "127.0.0.1",
            "PORTAL_MAIL_DEFAULT_SENDER": "service@beispielwerke.example",
            "PORTAL_MAIL_CAP": "1000 per hour",
            "PORTAL_FORM_LIMIT": "1000 per hour",
            "PORTAL_MAILBOX_DIR": str(folder / "mailbox"),
            "PORTAL_FORM_MIN_SECONDS": "0",
            "PORTAL_FALLBACK_CONTACT": "Petra Lindner, 089 99998-100",
            **(settings or {}),
        }

    def __enter__(self) -> Self:
        with self._running:
            local_mail = receiver.start(self._folder / "mailbox")
            self._running.callback(local_mail.stop)
            self._environment["PORTAL_MAIL_PORT"] = str(local_mail.port)
            with _without_event_loop():
                self._core = create_core(self._environment)
            self._running.callback(self._let_go)
            with self.writing() as session:
                demo.load(session, password_hash=self._password_hash, now=clock.utc_now())
            self._start_web(self._port, self._environment, WEB_PROCESSES)
            for number in range(WORKERS):
                log = self._folder / f"worker-{number}.log"
                self._start(Worker(self._environment, log, program=self._program))
            wait_until(self._all_work, START_TIME, "not all workers give a sign of life")
            self.wait_until_quiet()
            self._running = self._running.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.send(signal.SIGTERM)  # all at once; each is waited for below
        self._running.close()

    def another_web(self, **settings: str) -> str:
        """A second web server on the same database with other settings, until the site stops; its address."""
        port = free_port()
        self._start_web(port, {**self._environment, **settings}, 1)
        return f"http://127.0.0.1:{port}"

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A writing transaction, as a page has it."""
        with _without_event_loop(), self._core.app_context(), db.writing() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A reading transaction."""
        with _without_event_loop(), self._core.app_context(), db.reading() as session:
            yield session

    def wait_until_quiet(self) -> None:
        """Wait until no letter that may leave now is waiting or on its way, and nobody waits for a link."""
        wishes = select(func.count()).select_from(LinkWish)

        def is_quiet() -> bool:
            # Who is due is asked anew each time: the letter of a wish is written only while we wait, and due then.
            due = or_(Row.state == LetterState.SENDING, Row.due_at <= clock.utc_now())
            letters = select(func.count()).where(Row.state.in_((LetterState.QUEUED, LetterState.SENDING)), due)
            with self.reading() as session:
                return (session.scalar(wishes), session.scalar(letters)) == (0, 0)

        wait_until(is_quiet, QUIET_TIME, "letters are still waiting")

    def work(self) -> None:
        """Do everything that is due now, as one more worker would, and wait for what the others are doing."""
        with _without_event_loop(), self._core.app_context():
            delivery = Delivery(Relay(self._core.extensions["portal.post"]))
            Loop(working.steps_of(delivery)).run_until_idle()
            delivery.close()
        self.wait_until_quiet()

    def status_page(self, customer: str) -> str:
        """The path of a customer's status page."""
        with self.reading() as session:
            return f"/s/{finding.status_token(case_of(session, customer))}"

    def staff_page(self, customer: str) -> str:
        """The path of the staff's page of a customer's case."""
        with self.reading() as session:
            return f"/staff/cases/{case_of(session, customer).reference}"

    @cached_property
    def lines(self) -> dict[str, str | None]:
        """The direct line of everybody, by name."""
        with self.reading() as session:
            return dict(session.execute(select(Person.name, Person.line_shown)).all())

    def cases(self) -> int:
        """How many cases and entries there are."""
        with self.reading() as session:
            return session.scalar(select(func.count()).select_from(Case)) or 0

    def open_case(
        self,
        customer: str,
        *,
        topic: str = "angebot",
        doubt: Doubt | None = None,
        ago: timedelta | None = None,
        **typed: Any,
    ) -> Known:
        """A case that came in by the form just now, or ``ago``."""
        now = clock.utc_now() - (ago or timedelta())
        with self.writing() as session:
            wish = drafting.Wish(
                **{
                    "topic_id": session.scalars(select(Topic.id).where(Topic.slug == topic)).one(),
                    "name": customer,
                    "email": f"{new_secret().lower()}@kundschaft.example",
                    "message": "Wann kommt die zweite Palette?",
                    "language": "de",
                    **typed,
                }
            )
            submission = opening.accept(session, wish, key=new_secret(), body_hash="", doubt=doubt, now=now)
            case = session.get_one(Case, submission.case_id)
            return Known(case.reference, f"/s/{finding.status_token(case)}", f"/thanks/{submission.answer}")

    def dump(self) -> str:
        """Every row of every table as text. Left out: the workers' signs of life, which go on."""
        with _without_event_loop(), self._core.app_context():
            lines = dump(db.db.engine).splitlines()
        return "\n".join(line for line in lines if not line.startswith(f"{WorkerBeat.__tablename__}: "))

    def _start_web(self, port: int, environment: dict[str, str], processes: int) -> None:
        module = [*self._program, "serve", "--port", str(port), "--workers", str(processes)]
        web = self._start(Running(module, environment, self._folder / f"web-{port}.log"))

        def answers() -> bool:
            assert not web.has_ended(), web.said()
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2):
                return True
            return False

        wait_until(answers, START_TIME, "the web server does not answer")

    def _all_work(self) -> bool:
        with self.reading() as session:
            return session.scalar(select(func.count()).select_from(WorkerBeat)) == WORKERS

    def _start(self, process: Running) -> Running:
        self._processes.append(process)
        return self._running.enter_context(process)

    def _let_go(self) -> None:
        with _without_event_loop(), self._core.app_context():
            db.db.engine.dispose()


@contextmanager
def _without_event_loop() -> Iterator[None]:
    """Hide Playwright's event loop, which counts as running here while a browser is open.

    Flask ends an application context with an asynchronous callback, and that refuses to begin where a loop runs.
    """
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)


def case_of(session: Session, customer: str) -> Case:
    """The newest case of a customer whose name begins like this."""
    found = select(Case).join(Customer, Customer.id == Case.customer_id).where(Customer.name.startswith(customer))
    return session.scalars(found.order_by(Case.id.desc()).limit(1)).one()
