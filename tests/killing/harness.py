"""A house of real processes in which one dies at a named point, and the checks of what must be true afterwards."""

import json
import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

import requests
from flask import Flask
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from portal import clock, db
from portal.cases.models import Case, CaseState, Submission
from portal.customers.models import Customer
from portal.journal.models import Entry, Kind
from portal.mail.letters import LetterKind
from portal.mail.models import Letter, LetterState
from portal.promises.models import Promise, PromiseState
from tests.killing import points
from tests.killing.points import Point
from tests.support.processes import ROOT, Running, Sink, Web, Worker, wait_until

INSIDE = Path(__file__).parent / "inside"
LETTERS = 2
"""A new case writes two: the customer's confirmation and the colleague's letter."""
ENDED = (LetterState.SENT, LetterState.FAILED, LetterState.WITHDRAWN)
PATIENCE = 30.0
"""Seconds until something that should happen counts as not happening."""
OUTCOME = re.compile("lease lost|letter will be tried again|step failed")
"""What a worker says of a letter that it could not send."""
TIME_FOR_A_LETTER = 1.0
"""Seconds in which a worker that wrongly has a letter sends it."""


@dataclass(frozen=True)
class Posted:
    """A form the driver sent until it was answered; ``email`` is what it is found by."""

    email: str
    key: str
    answer: str


class House:
    """Web, worker and relay on one database, with a driver that is never killed.

    Every run uses a customer of its own, so nothing has to be cleared between two.
    """

    def __init__(
        self, app: Flask, environment: Mapping[str, str], folder: Path, *, bug: str = "", relay: str = "ok"
    ) -> None:
        self._app = app
        self._folder = folder
        self._bug = bug
        self._relay = relay
        self._environment = dict(environment)
        self._numbers = count(1)
        self._workers: list[Running] = []

    def __enter__(self) -> Self:
        self._folder.mkdir()
        self.relay = Sink(self._folder, mode=self._relay)
        self._environment |= {
            "PORTAL_MAIL_PORT": str(self.relay.port),
            # The harness lets leases run out itself; a busy machine must not.
            "PORTAL_MAIL_DEADLINE": "60",
            "PORTAL_MAIL_LEASE": "90",
            "PORTAL_MAIL_CAP": "10000 per hour",  # all the forms are of one mailbox
            "PYTHONPATH": os.pathsep.join((str(INSIDE), str(ROOT))),
            "DURCHWAHL_KILL": str(self._folder),
            "DURCHWAHL_BUG": self._bug,
        }
        self.web = Web(self._environment, self._folder / "web.log")
        self.worker = self.another_worker()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for running in (self.web, *self._workers, self.relay):
            running.stop()

    def another_worker(self) -> Worker:
        """Start a worker, as an operator does with one that died."""
        worker = Worker(self._environment, self._folder / f"worker-{len(self._workers)}.log")
        self._workers.append(worker)
        return worker

    def restart_relay(self) -> None:
        """Everybody's connection breaks; the relay comes back at the same port."""
        self.relay.stop()
        self.relay = Sink(self._folder, mode=self._relay, port=self.relay.port)

    # --- walks ---

    def points_of_accepting(self) -> list[Point]:
        """Take one form and list the points on the way."""
        self.post()  # the first of an hour opens the counters that the later ones read
        self._tell(None)
        self.post()
        return points.of_accepting(self._recorded())

    def points_of_delivering(self) -> list[Point]:
        """Deliver the letters of one case and list the points on the way."""
        # A worker notes after its first letter that the channel works; it does so before the walk.
        self.wait_for_letters(self.post())
        self._shut()
        posted = self.post()
        self._tell(None)
        self._open()
        self.wait_for_letters(posted)
        wait_until(lambda: f"letter {LETTERS + 1}" in self._points(), PATIENCE, "the worker took no empty look")
        return points.of_delivering(self._recorded(), letters=LETTERS)

    def die_accepting(self, point: Point) -> list[str]:
        """Kill the web worker at the point; the visitor tries again. What is wrong afterwards."""
        self._tell(point)
        posted = self.post()
        taken = self._taken()
        self.wait_for_letters(posted)
        return ([] if taken else [f"nobody came to “{point}”"]) + self.wrong(posted)

    def die_delivering(self, point: Point) -> list[str]:
        """Kill the worker at the point and start another one. What is wrong afterwards."""
        return self.wrong(self._die(point), twice=point.letter if point.may_double else 0)

    def die_refused(self, point: Point) -> list[str]:
        """The same with a relay that refuses every letter."""
        # Otherwise the first refusal of a worker also reads who works here, and its points have other numbers.
        self.wait_for_letters(self.post())
        return self.wrong_refusal(self._die(point))

    def _die(self, point: Point) -> Posted:
        posted = self.stop_delivering(point, signal.SIGKILL)
        self.expire_leases()
        self.worker = self.another_worker()
        self.wait_for_letters(posted)
        return posted

    def stop_delivering(self, point: Point, number: signal.Signals) -> Posted:
        """Send a form and let the signal strike the worker at the point of the walk that follows."""
        self._shut()
        posted = self.post()
        self._strike(point, number)
        return posted

    def lose_lease(self, walk: Sequence[Point], *, patience: float = TIME_FOR_A_LETTER) -> list[str]:
        """Hold a worker in the middle of the last letter until its lease is over and another worker is in the middle
        of the same letter; then let the late one go on first, on a connection that is broken. What is wrong at the end.

        ``patience`` is how many seconds the late one gets to send a letter that it must not send.
        """
        middle = [point for point in walk if "in the middle of the letter" in point.name]
        posted = self.stop_delivering(middle[-1], signal.SIGSTOP)
        late = self.worker
        self.restart_relay()
        self._shut()
        self.expire_leases()
        self.worker = self.another_worker()
        wait_until(self._a_letter_is_due, PATIENCE, "the lease did not run out")
        # For the second worker it is the first letter of its walk.
        self._strike(middle[0], signal.SIGSTOP)
        late.send(signal.SIGCONT)
        wait_until(lambda: bool(OUTCOME.search(late.said())), PATIENCE, "the late worker said nothing")
        before, end = len(self.relay.stored()), time.monotonic() + patience
        while len(self.relay.stored()) == before and time.monotonic() < end:
            time.sleep(0.03)
        self.worker.send(signal.SIGCONT)
        self.wait_for_letters(posted)
        return self.wrong(posted)

    def _strike(self, point: Point, number: signal.Signals) -> None:
        self._tell(point, number)
        self._open()
        self._wake()
        struck = self.worker.has_ended if number == signal.SIGKILL else self.worker.is_stopped
        wait_until(struck, PATIENCE, f"nobody came to “{point}”")

    # --- the driver ---

    def post(self) -> Posted:
        """Fill in the form and send it until it is answered, as a visitor does with a page that did not come."""
        email = f"kundin{next(self._numbers)}@kundin.example"
        page = requests.get(f"{self.web.address}/contact", timeout=PATIENCE).text
        found = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', page)
        assert found is not None, page
        form = {"csrf_token": found[1], "topic": "angebot", "name": "Erika Muster", "email": email}
        form["message"] = "Bitte ein Angebot über zwölf Umwälzpumpen."
        answer = self._send_until_answered(form)
        again = self._send_until_answered(form)
        assert again == answer, "a second press of the button was answered differently"
        return Posted(email, found[1].partition(".")[0], answer)

    def _send_until_answered(self, form: Mapping[str, str]) -> str:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                answer = requests.post(
                    f"{self.web.address}/contact", data=form, allow_redirects=False, timeout=PATIENCE
                )
            except requests.RequestException:
                continue
            if answer.status_code == 303:
                return answer.headers["Location"]
        raise TimeoutError("the form was not answered")

    def wait_for_letters(self, posted: Posted) -> None:
        """Until the worker is done with this case, or until patience ends: the checks say what is missing."""
        end = time.monotonic() + PATIENCE
        while self._waiting(posted) and time.monotonic() < end:
            self._wake()
            time.sleep(0.03)

    def expire_leases(self) -> None:
        """The time a lease takes to run out, at once."""
        with self._app.app_context(), db.writing() as session:
            past = clock.utc_now() - timedelta(hours=1)
            session.execute(update(Letter).where(Letter.state == LetterState.SENDING).values(lease_until=past))

    def _waiting(self, posted: Posted) -> bool:
        with self._app.app_context(), db.reading() as session:
            return any(letter.state not in ENDED for letter in _letters(session, posted))

    def _wake(self) -> None:
        with self._app.app_context(), db.writing() as session:
            db.wake_worker(session)

    def _a_letter_is_due(self) -> bool:
        due = (Letter.state == LetterState.QUEUED, Letter.due_at <= clock.utc_now())
        with self._app.app_context(), db.reading() as session:
            return _count(session, Letter, *due) > 0

    # --- the checks ---

    def wrong(self, posted: Posted, *, twice: int = 0) -> list[str]:
        """What is not as it must be for this form; letter number ``twice`` may have gone out twice."""
        with self._app.app_context(), db.reading() as session:
            cases, letters = _cases(session, posted), _letters(session, posted)
            case = cases[0].id if cases else 0
            found = {
                "cases": len(cases),
                "open cases": sum(case.state == CaseState.OPEN for case in cases),
                "submissions of the key": _count(session, Submission, Submission.key == posted.key),
                "promises": _count(session, Promise, Promise.case_id == case),
                "open promises": _count(session, Promise, Promise.case_id == case, Promise.state == PromiseState.OPEN),
                "entries “received”": _count(session, Entry, Entry.case_id == case, Entry.kind == Kind.RECEIVED),
                "entries “opened”": _count(session, Entry, Entry.case_id == case, Entry.kind == Kind.OPENED),
                "letters": len(letters),
                "letters sent": sum(letter.state == LetterState.SENT for letter in letters),
            }
        wanted = {what: LETTERS if what.startswith("letters") else 1 for what in found}
        return _differences(found, wanted) + self._wrong_deliveries(letters, twice)

    def wrong_refusal(self, posted: Posted) -> list[str]:
        """What is not as it must be for this form when the relay refuses every letter."""
        with self._app.app_context(), db.reading() as session:
            cases, letters = _cases(session, posted), _letters(session, posted)
            case = cases[0].id if cases else 0
            found = {
                "cases": len(cases),
                "open promises": _count(session, Promise, Promise.case_id == case, Promise.state == PromiseState.OPEN),
                "entries “letter failed”": _count(
                    session, Entry, Entry.case_id == case, Entry.kind == Kind.LETTER_FAILED
                ),
                "letters that tell of it": sum(letter.kind == LetterKind.STAFF_UNDELIVERABLE for letter in letters),
                "letters not failed": sum(letter.state != LetterState.FAILED for letter in letters),
            }
        wanted = {what: 0 if what == "letters not failed" else 1 for what in found}
        return _differences(found, wanted)

    def _wrong_deliveries(self, letters: list[Letter], twice: int) -> list[str]:
        counts = self.relay.counts()
        return [
            f"{letter.kind}: delivered {counts[letter.message_id]} times, tries {letter.tries}"
            for number, letter in enumerate(letters, 1)
            if not 1 <= counts[letter.message_id] <= (2 if number == twice else 1)
        ]

    def wrong_at_the_end(self) -> list[str]:
        """What is not as it must be in the whole house: letters of nobody, letters that still wait, loose keys."""
        with self._app.app_context(), db.reading() as session:
            written = set(session.scalars(select(Letter.message_id)))
            waiting = _count(session, Letter, Letter.state.not_in(ENDED))
            cases, keys = _count(session, Case), _count(session, Submission)
        strangers = set(self.relay.counts()) - written
        found = [f"{len(strangers)} letters that nobody wrote"] if strangers else []
        found += [f"{waiting} letters still wait"] if waiting else []
        return found + ([f"{cases} cases of {keys} forms"] if cases != keys else [])

    def doubled(self) -> int:
        """How many letters the relay took more than once."""
        return sum(times > 1 for times in self.relay.counts().values())

    # --- what the processes are told (see inside/sitecustomize.py) ---

    def _tell(self, point: Point | None, number: signal.Signals = signal.SIGKILL) -> None:
        for name in ("points", "done"):
            (self._folder / name).unlink(missing_ok=True)
        draft = self._folder / "draft"
        # The time makes each plan a new one, so that a walk of the last plan is not continued.
        plan = {"at": None if point is None else point.name, "signal": number, "told": time.monotonic_ns()}
        draft.write_text(json.dumps(plan), encoding="utf-8")
        draft.rename(self._folder / "plan")

    def _taken(self) -> bool:
        return (self._folder / "done").exists()

    def _points(self) -> str:
        path = self._folder / "points"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def _recorded(self) -> list[str]:
        (self._folder / "plan").unlink()
        recorded = self._points().splitlines()
        assert recorded, "no process said where it was: is tests/killing/inside imported?"
        return recorded

    def _shut(self) -> None:
        (self._folder / "shut").touch()

    def _open(self) -> None:
        (self._folder / "shut").unlink()


def _differences(found: Mapping[str, int], wanted: Mapping[str, int]) -> list[str]:
    return [f"{what}: {found[what]} and not {wanted[what]}" for what in found if found[what] != wanted[what]]


def _cases(session: Session, posted: Posted) -> list[Case]:
    """The cases of this form: one, if all is well."""
    return list(session.scalars(select(Case).join(Customer).where(Customer.email == posted.email)))


def _letters(session: Session, posted: Posted) -> list[Letter]:
    """The letters of the cases of this form, oldest first."""
    query = select(Letter).join(Case).join(Customer).where(Customer.email == posted.email).order_by(Letter.id)
    return list(session.scalars(query))


def _count(session: Session, model: type[db.Base], *conditions: ColumnElement[bool]) -> int:
    return session.execute(select(func.count()).select_from(model).where(*conditions)).scalar_one()
