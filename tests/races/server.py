"""The web server in these tests: the site on a database of its own, and browsers that press a button all at once."""

import html
import http.client
import re
import shutil
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask
from sqlalchemy import delete, select
from werkzeug.serving import WSGIRequestHandler, make_server

from portal import clock, db, demo
from portal.app import create_app
from portal.cases import directory as directories
from portal.cases import finding
from portal.cases.models import Case
from portal.cases.offering import Asked, Finder
from portal.core import create_core
from portal.links import Links, Purpose, new_secret
from portal.people.models import Competence, Person
from tests.conftest import SECRET_KEY
from tests.races.racing import agree, an_hour_each, cases_of, stage
from tests.support.cast import NUMBER_SHOWN, topic
from tests.support.processes import Web

SLOTS = re.compile(r'name="slot"[^>]*value="([^"]+)"')
OF_TOPIC = re.compile(r'data-times="rueckruf".*?</fieldset>', re.DOTALL)
KEEPER = "Miriam Albrecht"
HALF_AN_HOUR = timedelta(minutes=30)
PATIENCE = 60.0


@dataclass(frozen=True)
class Answer:
    """What one browser got."""

    code: int
    location: str
    page: str
    seconds: float

    @property
    def offered(self) -> set[datetime]:
        """The times to choose on the page that came back; on the form those of the topic that was chosen."""
        of_topic = OF_TOPIC.search(self.page)
        shown = SLOTS.findall(of_topic[0] if of_topic else self.page)
        return {datetime.fromisoformat(html.unescape(found)) for found in shown}


@dataclass(frozen=True)
class Post:
    """A button that is about to be pressed."""

    path: str
    fields: Mapping[str, str]


@dataclass(frozen=True)
class Site:
    """A site at an address, and the application on the same database for what happens before and is seen after."""

    address: str
    core: Flask

    def cases(self, count: int) -> list[int]:
        """Open cases of one person, who is to call back."""
        with stage() as session:
            keeper_id = session.scalars(select(Person.id).where(Person.name == KEEPER)).one()
            return cases_of(session, keeper_id, count, at=clock.utc_now())

    def agreed(self, case_ids: Sequence[int]) -> list[datetime]:
        """Have each of them a time, none near another; the times."""
        found = []
        for case_id in case_ids:
            [starts_at] = self.free(1, in_days=9)
            with stage() as session:
                agree(session, case_id, starts_at, now=clock.utc_now())
            found.append(starts_at)
        return found

    def free(self, in_a_row: int, *, in_days: int = 2) -> list[datetime]:
        """So many starts half an hour apart, all free as long as none of them is taken."""
        with db.reading() as session:
            now = clock.utc_now()
            directory = directories.load(session, now=now)
            keeper = next(one for one in directory.people.values() if one.name == KEEPER)
            calls = next(one for one in directory.topics.values() if one.slug == "rueckruf")
            finder = Finder(session, directory, Asked(calls, directory.teams[keeper.team_id], (keeper.id,)), now=now)
            for _, times in finder.days((now + timedelta(days=in_days)).date()):
                starts = [one.starts_at for one in times if one.person_id == keeper.id]
                for first in starts:
                    row = [first + number * HALF_AN_HOUR for number in range(in_a_row)]
                    if set(row) <= set(starts):
                        return row
        raise AssertionError("nothing is free")

    def choose(self, case_id: int, starts_at: datetime, *, version: int | None = None, key: str = "") -> Post:
        """The button that books a time, or moves to it what the page showed as ``version``."""
        fields = {
            "slot": starts_at.isoformat(),
            "version": "" if version is None else str(version),
            "key": key or new_secret(),
        }
        return Post(f"{self._status(case_id)}/appointment", fields)

    def call_off(self, case_id: int, *, version: int, key: str) -> Post:
        """The button that calls an appointment off."""
        return Post(f"{self._status(case_id)}/appointment/cancel", {"version": str(version), "key": key, "reason": ""})

    def form(self, starts_at: datetime, number: int, *, ticket: str = "") -> Post:
        """The contact form with a time, of one customer; with its own ticket unless one is given."""
        fields = {
            "topic": "rueckruf",
            "name": "Erika Muster",
            "email": f"formular{number}@rennen.example",
            "phone": NUMBER_SHOWN,
            "message": f"Bitte rufen Sie wegen Angebot {number} an.",
            "slot": starts_at.isoformat(),
            "csrf_token": ticket or new_ticket(),
        }
        return Post("/contact?lang=de", fields)

    def press(self, *posts: Post) -> list[Answer]:
        """All buttons at the same moment; what each got. None got an error of ours, and none waited long."""
        answers: list[Answer | None] = [None] * len(posts)
        together = threading.Barrier(len(posts))

        def go(number: int, post: Post) -> None:
            connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=PATIENCE)
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            body = urllib.parse.urlencode(post.fields)
            together.wait(PATIENCE)
            began = time.perf_counter()
            connection.request("POST", post.path, body, headers)
            answer = connection.getresponse()
            page = answer.read().decode()
            answers[number] = Answer(
                answer.status, answer.headers.get("Location", ""), page, time.perf_counter() - began
            )
            connection.close()

        threads = [threading.Thread(target=go, args=given) for given in enumerate(posts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        found = [answer for answer in answers if answer is not None]
        assert len(found) == len(posts)
        assert [answer.code for answer in found if answer.code >= 500] == []
        return found

    def _status(self, case_id: int) -> str:
        with db.reading() as session:
            return f"/s/{finding.status_token(session.get_one(Case, case_id))}"


def new_ticket() -> str:
    """The hidden field of a form that was just opened."""
    return Links([SECRET_KEY]).sign_with_time(Purpose.CONTACT_FORM, new_secret(), now=clock.utc_now())


def settings(url: str) -> dict[str, str]:
    """Settings of a site that these tests do not run into the limits of."""
    return {
        "PORTAL_DATABASE_URL": url,
        "PORTAL_SECRET_KEY": SECRET_KEY,
        "PORTAL_BASE_URL": "http://localhost",
        "PORTAL_MAIL_DEFAULT_SENDER": "service@beispielwerke.example",
        "PORTAL_FORM_MIN_SECONDS": "0",
        "PORTAL_FORM_LIMIT": "10000 per hour",
        "PORTAL_FALLBACK_CONTACT": "Petra Lindner, 089 99998-100",
    }


@contextmanager
def through_processes(url: str, folder: Path, *, workers: int) -> Iterator[Site]:
    """`durchwahl serve` as the project starts it."""
    core = create_core(settings(url))
    with core.app_context():
        _furnish()
        with Web(settings(url), folder / "web.log", workers=workers) as web:
            yield Site(web.address, core)
        db.db.engine.dispose()


@contextmanager
def through_threads(url: str) -> Iterator[Site]:
    """The same application in threads of this process, where guards can be taken away from it."""
    app = create_app(settings(url))
    with app.app_context():
        _furnish()
        server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Silent)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Site(f"http://127.0.0.1:{server.server_port}", app)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
            db.db.engine.dispose()


class _Silent(WSGIRequestHandler):
    """Says nothing of what is asked for: an address is a secret."""

    def log_request(self, *_: object) -> None:
        """Nothing."""


def copy_of(template: Path, folder: Path) -> str:
    """The address of a copy of a SQLite file."""
    return f"sqlite:///{shutil.copy(template, folder / 'durchwahl.sqlite3')}"


def _furnish() -> None:
    """The demo company, in which one person alone calls back, an hour each."""
    with stage() as session:
        if session.scalars(select(Person.id).limit(1)).first() is None:
            demo.company(session, password_hash="nobody signs in here")
        an_hour_each(session)
        keeper_id = session.scalars(select(Person.id).where(Person.name == KEEPER)).one()
        others = Competence.topic_id == topic(session, "rueckruf").id, Competence.person_id != keeper_id
        session.execute(delete(Competence).where(*others))
