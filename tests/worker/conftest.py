"""A worker's surroundings: a relay that fails as it is told, the demo company, and cases with letters that wait."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from portal import clock, db
from portal.cases import drafting, opening
from portal.cases.models import Topic
from portal.core import create_core
from portal.links import new_secret
from portal.mail.transport import Relay
from tests.support.processes import Running, Worker
from tests.support.smtp_sink import SmtpSink
from worker.delivery import Delivery

CUSTOMER = "s.krueger@haustechnik.example"


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    """The relay."""
    with SmtpSink() as server:
        yield server


@pytest.fixture
def settings() -> dict[str, str]:
    """What a test sets otherwise, by parametrising this."""
    return {}


@pytest.fixture
def environment(environment: dict[str, str], sink: SmtpSink, settings: dict[str, str]) -> dict[str, str]:
    """The settings of the application under test, with this relay."""
    return {**environment, "PORTAL_MAIL_PORT": str(sink.port), **settings}


@pytest.fixture
def core(company: dict[str, int], environment: dict[str, str]) -> Iterator[Flask]:
    """The application without pages, its context open, with the demo company in the database."""
    application = create_core(environment)
    with application.app_context():
        yield application
        db.db.engine.dispose()


@pytest.fixture
def deliver(core: Flask) -> Iterator[Delivery]:
    """The step that sends one letter."""
    step = Delivery(Relay(core.extensions["portal.post"]))
    yield step
    step.close()


@pytest.fixture
def start_worker(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts `durchwahl worker` with the settings, or some of them changed."""
    started: list[Running] = []

    def start(**changes: str) -> Running:
        settings = environment | {f"PORTAL_{name.upper()}": value for name, value in changes.items()}
        started.append(Worker(settings, tmp_path / f"worker-{len(started)}.log"))
        return started[-1]

    yield start
    for worker in started:
        worker.stop()


@pytest.fixture
def open_case(core: Flask) -> Callable[..., int]:
    """Takes a form: a case with two letters that wait, the customer's first. Returns its id."""

    def take(email: str = CUSTOMER, *, topic: str = "angebot", phone: str | None = None) -> int:
        with db.writing() as session:
            wish = drafting.Wish(
                topic_id=session.scalars(select(Topic.id).where(Topic.slug == topic)).one(),
                name="Sabine Krüger",
                email=email,
                message="Wir brauchen 40 Umwälzpumpen.",
                language="de",
                phone_e164=phone,
                phone_shown=phone,
            )
            submission = opening.accept(session, wish, key=new_secret(), body_hash="", doubt=None, now=clock.utc_now())
            assert submission.case_id is not None
            return submission.case_id

    return take
