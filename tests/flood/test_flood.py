"""A flood over two web processes: as many are taken as the limit says, and all of those are delivered.

The short runs are of every change, the long ones (500 POSTs in ten seconds, fifty spellings) of the night.
"""

import html
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select

from portal import clock, db
from portal.cases.models import Case, CaseState
from portal.links import Links, Purpose, new_secret
from portal.mail.models import Audience, Letter, LetterState
from tests.conftest import SECRET_KEY
from tests.support.processes import Sink, Web, Worker, wait_until
from tests.support.spellings import spellings

WEB_PROCESSES = 2
AT_ONCE = 12
DELIVERED_WITHIN = 60.0
NO_TURN = 0.05
"""The share that may hear of a busy database instead of the limit, where this machine is slower than the flood."""
MESSAGE = "Wir brauchen vierzig Umwälzpumpen bis Ende des Monats."

Flood = Callable[..., list["Answer"]]


@dataclass(frozen=True)
class Answer:
    """What one POST got."""

    code: int
    retry_after: str | None
    page: str


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    """The relay."""
    with Sink(tmp_path) as relay:
        yield relay


@pytest.fixture
def flood(core: Flask, environment: dict[str, str], sink: Sink, tmp_path: Path) -> Iterator[Flood]:
    """Sends one form for each address, many at once, to a running site with these settings."""
    links, started = Links([SECRET_KEY]), list[Web | Worker]()

    def run(addresses: list[str], **settings: str) -> list[Answer]:
        changed = {f"PORTAL_{name.upper()}": value for name, value in settings.items()}
        site = {**environment, "PORTAL_MAIL_PORT": str(sink.port), **changed}
        web = Web(site, tmp_path / "web.log", workers=WEB_PROCESSES)
        started.extend([web, Worker(site, tmp_path / "worker.log")])
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return list(threads.map(lambda address: _post(web.address, links, address), addresses))

    yield run
    for process in started:
        process.stop()


def _post(address: str, links: Links, email: str) -> Answer:
    ticket = links.sign_with_time(Purpose.CONTACT_FORM, new_secret(), now=clock.utc_now())
    typed = {"topic": "angebot", "name": "Erika Muster", "email": email, "message": MESSAGE, "csrf_token": ticket}
    request = urllib.request.Request(f"{address}/contact?lang=de", urllib.parse.urlencode(typed).encode())
    try:
        with _opener().open(request, timeout=60) as answer:
            return Answer(answer.status, None, "")
    except urllib.error.HTTPError as answer:
        page = "" if answer.code == 303 else html.unescape(answer.read().decode())
        return Answer(answer.code, answer.headers.get("Retry-After"), page)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing: the answer itself is what counts."""

    def redirect_request(self, *_: object) -> None:
        """No."""


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_Stay)


def strangers(number: int) -> list[str]:
    return [f"kunde{one}@flut.example" for one in range(number)]


def confirmations(*states: LetterState) -> int:
    with db.reading() as session:
        found = select(func.count()).where(Letter.audience == Audience.CUSTOMER, Letter.state.in_(states))
        return session.scalar(found) or 0


def open_cases() -> int:
    with db.reading() as session:
        return session.scalar(select(func.count()).where(Case.state == CaseState.OPEN)) or 0


def is_taken_as_the_limit_says(flood: Flood, sink: Sink, posts: int, limit: int) -> float:
    """Send the flood and check everything; the seconds it took."""
    began = time.monotonic()
    answers = flood(strangers(posts), form_limit=f"{limit} per day")
    took = time.monotonic() - began
    codes = Counter(answer.code for answer in answers)

    assert codes[303] == open_cases() == limit
    assert codes[429] + codes[503] == posts - limit, codes
    assert codes[503] <= posts * NO_TURN, codes
    wait_until(
        lambda: confirmations(LetterState.SENT) == limit, DELIVERED_WITHIN, "not all that was taken is delivered"
    )
    assert max(sink.counts().values()) == 1
    for answer in answers:
        if answer.code != 303:
            assert 0 < int(answer.retry_after or 0) <= 86400
            assert MESSAGE in answer.page and "089 99998-100" in answer.page
    return took


def one_victim_gets_at_most_the_cap(flood: Flood, sink: Sink, number: int) -> None:
    answers = flood(spellings(number), form_limit="1000 per day", mail_cap="3 per day")

    assert {answer.code for answer in answers} == {303}
    assert open_cases() == number
    wait_until(lambda: confirmations(LetterState.QUEUED, LetterState.SENDING) == 0, DELIVERED_WITHIN, "letters wait")
    assert (confirmations(LetterState.SENT), confirmations(LetterState.HELD)) == (3, number - 3)


def test_a_small_flood(flood: Flood, sink: Sink) -> None:
    is_taken_as_the_limit_says(flood, sink, posts=60, limit=20)


def test_one_victim_under_some_spellings(flood: Flood, sink: Sink) -> None:
    one_victim_gets_at_most_the_cap(flood, sink, 12)


@pytest.mark.nightly
def test_500_posts_in_ten_seconds(flood: Flood, sink: Sink, record_property: Callable[[str, object], None]) -> None:
    took = is_taken_as_the_limit_says(flood, sink, posts=500, limit=100)

    record_property("seconds", took)
    print(f"500 POSTs over {WEB_PROCESSES} web processes in {took:.1f} s: 100 taken, 100 delivered")


@pytest.mark.nightly
def test_one_victim_under_fifty_spellings(flood: Flood, sink: Sink) -> None:
    one_victim_gets_at_most_the_cap(flood, sink, 50)
