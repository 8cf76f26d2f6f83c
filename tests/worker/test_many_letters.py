"""Two thousand letters and four workers: each arrives once, and none before an older one of its case and reader."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from flask import Flask
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from portal import clock, db
from portal.cases.models import Case, CaseState, Topic
from portal.customers.models import Customer
from portal.links import new_secret
from portal.mail.message import Envelope, build, new_message_id
from portal.mail.models import Audience, Letter, LetterState
from portal.people.models import Person
from tests.support.processes import Sink, Worker, wait_until

CASES, READERS, EACH = 250, 2, 4
LETTERS = CASES * READERS * EACH
WORKERS = 4
PATIENCE = 150.0

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Sink]:
    """The relay, in a process of its own: beside it the workers' share of the machine is what it is in real life."""
    with Sink(tmp_path) as running:
        yield running


@pytest.fixture
def environment(environment: dict[str, str], relay: Sink) -> dict[str, str]:
    """The settings of workers that meet no fault; a busy machine must not make one."""
    return {**environment, "PORTAL_MAIL_PORT": str(relay.port), "PORTAL_MAIL_DEADLINE": "60"}


@pytest.mark.nightly_on("sqlite")
def test_two_thousand_letters_arrive_once_and_in_order(
    core: Flask, environment: dict[str, str], relay: Sink, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with db.writing() as session:
        write_letters(session)

    began = time.monotonic()
    with ExitStack() as running:
        workers = [running.enter_context(Worker(environment, tmp_path / f"{number}.log")) for number in range(WORKERS)]
        wait_until(lambda: relay.received() >= LETTERS and waiting() == 0, PATIENCE, "letters still wait")
        seconds = time.monotonic() - began

    with capsys.disabled():
        print(f"\n{LETTERS} letters, {WORKERS} workers, {db.db.engine.dialect.name}: {seconds:.1f} s with the start")
    arrived, written = relay.stored(), all_letters()
    assert len(arrived) == LETTERS
    assert set(arrived) == {letter.message_id for letter in written}
    assert {(letter.state, letter.tries) for letter in written} == {(LetterState.SENT, 0)}
    assert {tuple(order) for order in orders(written, arrived)} == {tuple(range(EACH))}
    assert [worker.said() for worker in workers] == [""] * WORKERS


def orders(written: Sequence[Letter], arrived: Sequence[str]) -> list[list[int]]:
    """For each case and reader: which of its letters arrived first, second, …, counted as they were written."""
    place = {message_id: number for number, message_id in enumerate(arrived)}
    places = defaultdict(list)
    for letter in written:
        places[letter.case_id, letter.to_address].append(place[letter.message_id])
    return [sorted(range(len(found)), key=found.__getitem__) for found in places.values()]


def waiting() -> int:
    """How many letters are not sent yet."""
    with db.reading() as session:
        return session.scalars(select(func.count()).where(Letter.state != LetterState.SENT)).one()


def all_letters() -> list[Letter]:
    """Every letter in the order in which it was written."""
    with db.reading() as session:
        return list(session.scalars(select(Letter).order_by(Letter.id)))


def write_letters(session: Session) -> None:
    """Entries that wait for a look, each with letters to two readers; among neighbours chance decides what is due."""
    now, dice = clock.utc_now(), Random(1)
    topic_id = session.scalars(select(func.min(Topic.id))).one()
    person_id = session.scalars(select(func.min(Person.id))).one()
    numbers = range(1, CASES + 1)
    session.execute(insert(Customer), [{"id": number, "name": "Sabine Krüger"} for number in numbers])
    session.execute(insert(Case), [an_entry(number, topic_id, now) for number in numbers])
    letters = [
        a_letter(f"reader{reader}.{number}@kundin.example", now)
        | {
            "case_id": number,
            "person_id": person_id,
            "due_at": now - timedelta(seconds=LETTERS - number * READERS * EACH + dice.randrange(30)),
        }
        for number in numbers
        for reader in range(READERS)
        for _ in range(EACH)
    ]
    session.execute(insert(Letter), letters)


def an_entry(number: int, topic_id: int, now: datetime) -> dict[str, object]:
    """The row of an entry that nobody has looked at."""
    return {
        "id": number,
        "reference": f"T{number}",
        "link_nonce": new_secret(),
        "topic_id": topic_id,
        "customer_id": number,
        "state": CaseState.RECEIVED,
        "language": "de",
        "check_by_at": now + timedelta(days=1),  # before that nobody writes to the lead
        "received_at": now,
    }


def a_letter(reader: str, now: datetime) -> dict[str, object]:
    """The row of a letter of ordinary size."""
    message_id = new_message_id("beispielwerke.example")
    text = "Guten Tag Frau Krüger,\n" + "Ihre zwölf Umwälzpumpen kommen am Donnerstag, 26. November.\n" * 40
    envelope = Envelope(
        from_name="Miriam Albrecht – Beispielwerke",
        from_address="service@beispielwerke.example",
        to_address=reader,
        reply_to="m.albrecht@beispielwerke.example",
        subject="Ihre Umwälzpumpen",
        text=text,
        html=f"<p>{text}</p>",
        message_id=message_id,
        date=now,
        language="de",
        kind="reply",
    )
    return {
        "key": message_id,
        "kind": "reply",
        "audience": Audience.CUSTOMER,
        "to_address": reader,
        "message": build(envelope),
        "message_id": message_id,
        "automatic": False,
        "queued_at": now,
    }
