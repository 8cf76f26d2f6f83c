"""One run from the first minute to the last: company, people, customers, faults, and the figures at the end."""

import logging
import resource
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import clock, config, db, schema
from portal.appointments.models import IS_BOOKED, Appointment
from portal.cases import absences
from portal.cases.models import Case, CaseState
from portal.links import Purpose
from portal.people.models import Closure, ClosureKind, Team
from portal.simulation import company, figures, scratch
from portal.simulation import plan as plans
from portal.simulation.company import local_instant
from portal.simulation.customers import Customers
from portal.simulation.driver import Driver
from portal.simulation.evidence import Evidence, Listener, moment
from portal.simulation.figures import Figures
from portal.simulation.plan import Away, Closing
from portal.simulation.record import Record
from portal.simulation.sink import Arrived, Moods, Sink, Weather
from portal.simulation.staff import Staff
from portal.simulation.workers import Blow

EVENING = 18 * 60 + 30
LOOK_BY_THEMSELVES = 0.02
"""The part of the open cases whose customers open the page on an evening."""
_OF_THIS_PROCESS = Path("/proc/self/status")

Progress = Callable[[float], None]
"""Told how much of the time is over, from 0 to 1."""


@dataclass(frozen=True)
class Wanted:
    """What whoever runs the simulation asked for."""

    days: int = 14
    seed: int = 1
    cases: int | None = None
    people: int = 20
    faults: bool = True
    out: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    figures: Figures
    noted: dict[str, list[str]]
    """Where figures that should be zero come from."""


class Life:
    """The run itself; needs the context of the application."""

    def __init__(self, app: Flask, wanted: Wanted, sink: Sink, evidence: Evidence) -> None:
        self.house = company.found(wanted.people)
        self.plan = plans.made(self.house, seed=wanted.seed, days=wanted.days, cases=wanted.cases, faults=wanted.faults)
        self._sink, self._evidence = sink, evidence
        self._arrivals: list[tuple[str, datetime]] = []
        self._driver = Driver(app, self.plan, sink, evidence)
        self._faults = _Faults()
        self.people = self._found()
        client = app.test_client()
        self.customers = Customers(client, self.plan, self._driver, evidence)
        colleagues = [(one, self.people[one.name]) for one in self.house.people if one.name != self.house.last_instance]
        boss = [(one, self.people[one.name]) for one in self.house.people if one.name == self.house.last_instance]
        self.staff = Staff(self.plan, [*colleagues, *boss], self._driver, evidence, self._number)

    def run(self, progress: Progress) -> Outcome:
        """Live it, look at every page once more, and count."""
        whole = self.plan.ends_at - self.plan.starts_at
        self._driver.on_letter = self._letter
        self.customers.on_wish = self.staff.wished
        self._driver.on_time = lambda now: progress((now - self.plan.starts_at) / whole)
        self._evidence.company(self.house)
        with self._faults:
            self._befall()
            self.customers.begin()
            self.staff.begin()
            self._driver.run()
            with self._driver.standing():
                return self._end()

    def close(self) -> None:
        """Send the workers home."""
        self._driver.workers.close()

    def _found(self) -> dict[str, int]:
        with self._driver.standing(), db.writing() as session:
            return company.write(session, self.house)

    def _befall(self) -> None:
        """Put into the heap what the plan holds besides the customers."""
        plan, at = self.plan, self._driver.at
        for away in plan.absences:
            at(away.known_at, partial(self._absent, away))
        for closing in plan.closures:
            at(closing.known_at, partial(self._closed, closing))
        for number, span in enumerate(plan.smtp_down):
            weather = (Weather.REFUSES, Weather.SAYS_421)[number % 2]
            at(span.starts_at, partial(self._weather, weather, "smtp_down"))
            at(span.ends_at, lambda: self._weather(Weather.UP, "smtp_up"))
        for number, instant in enumerate(plan.kills):
            at(instant, partial(self._strike, number))
        for instant in plan.restarts:
            at(instant, self._restart)
        for day in range(plan.days):
            last = company.SENDS_UNTIL - 1
            at(local_instant(plan.first + timedelta(days=day), last, "Europe/Berlin"), self._driver.look)
            at(local_instant(plan.first + timedelta(days=day), EVENING, "Europe/Berlin"), self._evening)
        self._sink.moods = Moods(plan.put_off_every, plan.break_off_every)
        self._sink.refuse(plan.refuses)
        for email in sorted(plan.refuses):
            at(plan.starts_at, partial(self._evidence.act, plan.starts_at, "refuses", email=email))

    def _evening(self) -> None:
        """Some look at their page although no letter told them to; those whom no letter reaches do every day."""
        if not self._evidence.written or self._driver.reachable_from() > self._driver.instant():
            return
        with db.reading() as session:
            open_ones = self._tokens(session, only_open=True)
        chosen = Random(f"{self.plan.seed}:evening:{self._driver.instant().isoformat()}")  # noqa: S311  # guards nothing
        for reference, token in open_ones.items():
            life = self.customers.by_reference.get(reference)
            curious = chosen.random() < LOOK_BY_THEMSELVES
            if life is not None and (curious or life.arrival.email in self.plan.refuses):
                self.customers.look(life, reference, token=token)

    def _tokens(self, session: Session, *, only_open: bool = False) -> dict[str, str]:
        """The status link of each case, by its reference, in the order of the cases."""
        which = (CaseState.OPEN,) if only_open else tuple(CaseState)
        rows = session.execute(select(Case.reference, Case.link_nonce).where(Case.state.in_(which)).order_by(Case.id))
        return {reference: config.links().sign(Purpose.STATUS, nonce) for reference, nonce in rows}

    def _absent(self, away: Away) -> None:
        now = self._driver.instant()
        until = None if away.ends_at is None else moment(away.ends_at)
        span = {"from": moment(away.starts_at), "until": until}
        self._evidence.act(now, "absence", person=away.person, **span, entered=away.entered)
        if not away.entered:
            return
        person_id = self.people[away.person]
        before, after = self._who_moves(person_id, away) if self._driver.reachable_from() <= now else ([], [])
        for reference in before:
            self.customers.act_now(reference, "move")
        with db.writing() as session:
            self._driver.failed()
            absences.enter(session, person_id=person_id, starts_at=away.starts_at, ends_at=away.ends_at,
                           deputy_id=None, by_id=person_id, now=now)  # fmt: skip
        for reference in after:
            self.customers.act_now(reference, "move")

    def _who_moves(self, person_id: int, away: Away) -> tuple[list[str], list[str]]:
        """Of the customers who have a time with somebody who will be away, those who move it in the very minute in
        which the absence is entered: right before, and right after."""
        with db.reading() as session:
            query = select(Case.reference).join(Appointment, Appointment.case_id == Case.id).order_by(Case.id)
            ahead = Appointment.starts_at >= max(away.starts_at, self._driver.instant())
            found = session.scalars(query.where(IS_BOOKED, Appointment.person_id == person_id, ahead)).all()
        chosen = Random(f"{self.plan.seed}:{away.person}:{away.known_at.isoformat()}")  # noqa: S311  # guards nothing
        draws = [(reference, chosen.random()) for reference in found]
        return [one for one, draw in draws if draw < 0.2], [one for one, draw in draws if 0.2 <= draw < 0.4]

    def _closed(self, closing: Closing) -> None:
        self._evidence.act(self._driver.instant(), "closure", first=str(closing.first_on), last=str(closing.last_on),
                           place=None, team=closing.team)  # fmt: skip
        self._driver.failed()
        with db.writing() as session:
            team_id = None if closing.team is None else _team_id(session, closing.team)
            session.add(Closure(team_id=team_id, first_on=closing.first_on, last_on=closing.last_on,
                                kind=ClosureKind.CLOSED))  # fmt: skip

    def _weather(self, weather: Weather, kind: str) -> None:
        self._sink.change(weather)
        self._evidence.act(self._driver.instant(), kind)
        self._driver.failed()

    def _strike(self, number: int) -> None:
        blow = (Blow.STATEMENT, Blow.BEFORE_DATA, Blow.STATEMENT, Blow.AFTER_DATA)[number % 4]
        chances = 1 + (number * 7 + self.plan.seed) % (23 if blow is Blow.STATEMENT else 3)
        self._driver.workers.arm(blow, chances)

    def _restart(self) -> None:
        self._evidence.act(self._driver.instant(), "database_restarted")
        self._driver.workers.arm(Blow.RESTART, 1 + self.plan.seed % 11)

    def _letter(self, letter: Arrived) -> None:
        self._arrivals.append((letter.message_id, letter.at))
        if letter.kind.startswith("staff_"):
            if letter.kind in ("staff_reminder", "staff_escalation"):
                self.staff.reminded(letter.to, letter.reference)
            if letter.kind == "staff_appointment":
                self.staff.alarmed(letter.to, letter.reference)
            return
        life = self.customers.by_reference.get(letter.reference)
        if life is None:
            with db.reading() as session:
                life = self.customers.lives[self._number(session, letter.reference)]
            self.customers.by_reference[letter.reference] = life
        self.customers.received(letter, life)

    def _number(self, session: Session, reference: str) -> int:
        """The number of the form a case comes from; of one that goes on with a closed case, that one's."""
        life = self.customers.by_reference.get(reference)
        if life is not None:
            return life.arrival.number
        before = session.scalars(select(Case.continues_id).where(Case.reference == reference)).one()
        return self._number(session, session.scalars(select(Case.reference).where(Case.id == before)).one())

    def _end(self) -> Outcome:
        self._evidence_of_the_end()
        self._evidence.act(self._driver.instant(), "end")
        number_of = {reference: life.arrival.number for reference, life in self.customers.by_reference.items()}
        with db.reading() as session:
            record = Record(session, self.plan, self._evidence.acts, self._arrivals, self.people, number_of,
                            self._evidence.broken_pages)  # fmt: skip
        counted = figures.of(record)
        workers = self._driver.workers
        broken = {**workers_noted(workers.faults, self._faults.seen), "broken_pages": self.customers.broken_pages}
        counted["faults_in_steps"] = len(workers.faults) + len(self._faults.seen)
        counted["broken_pages"] = len(self.customers.broken_pages)
        counted["workers_killed"] = workers.killed
        return Outcome(counted, {**record.noted, **broken})

    def _evidence_of_the_end(self) -> None:
        if not self._evidence.written:
            return
        with db.reading() as session:
            tokens = self._tokens(session)
            numbers = {reference: self._number(session, reference) for reference in tokens}
        for reference, token in tokens.items():
            self.customers.look(self.customers.lives[numbers[reference]], reference, final=True, token=token)


class _Faults(logging.Handler):
    """Keeps the program's log from the terminal, and remembers what steps swallowed although it was ours."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []
        self._before: list[logging.Handler] = []

    def __enter__(self) -> None:
        root = logging.getLogger()
        self._before, root.handlers = root.handlers, [self]

    def __exit__(self, *_: object) -> None:
        logging.getLogger().handlers = self._before

    def emit(self, record: logging.LogRecord) -> None:
        """Of the errors only those that a step caught so that the others could go on."""
        if record.name == "portal.cases.sparing" and isinstance(record.msg, dict):
            self.seen.append(f"{record.msg.get('event')}: {record.msg.get('fault')} at {record.msg.get('where')}")


def workers_noted(*faults: list[str]) -> dict[str, list[str]]:
    """Faults by the name of their figure."""
    return {"faults_in_steps": [fault for some in faults for fault in some]}


def simulate(
    make_app: Callable[[dict[str, str]], Flask],
    url: str,
    wanted: Wanted,
    progress: Progress = lambda _: None,
    *,
    listener: Listener | None = None,
) -> Outcome:
    """Run one simulation on an empty database of its own.

    ``make_app`` makes the whole application from an environment: the pages are its, not ours. ``listener`` hears all
    the evidence. Raises OSError for a folder that cannot be written.
    """
    began = time.perf_counter()
    sink = Sink(clock.utc_now)
    environment = {**scratch.ENVIRONMENT, "PORTAL_DATABASE_URL": url, "PORTAL_SECRET_KEY": secrets.token_urlsafe(48),
                   "PORTAL_MAIL_SERVER": "127.0.0.1", "PORTAL_MAIL_PORT": str(sink.port)}  # fmt: skip
    app = make_app(environment)
    with app.app_context(), Evidence(wanted.out, listener) as evidence:
        scratch.make_quick(db.db.engine)
        schema.migrate(db.db.engine)
        life = Life(app, wanted, sink, evidence)
        try:
            outcome = life.run(progress)
        finally:
            life.close()
            sink.close()
            db.db.engine.dispose()
    outcome.figures["run_seconds"] = round(time.perf_counter() - began, 1)
    outcome.figures["peak_memory_mb"] = _peak_memory_mb()
    return outcome


def _peak_memory_mb() -> int:
    """The most memory this process held; where there is no /proc, or the one that started it, if that held more."""
    if not _OF_THIS_PROCESS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    lines = _OF_THIS_PROCESS.read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM:"))


def _team_id(session: Session, name: str) -> int:
    return session.scalars(select(Team.id).where(Team.name == name)).one()
