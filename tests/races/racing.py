"""Running: many steps at the same moment, each in a transaction of its own, and what is true whoever came first."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, aliased

from portal import db
from portal.appointments.models import NO_OVERLAP, POSTGRESQL_GUARD, SQLITE_GUARDS, Appointment, AppointmentState
from portal.cases import agreeing, inviting, offering, steps
from portal.cases.errors import Refused
from portal.cases.models import Case, CaseState
from portal.cases.offering import Finder
from portal.db import LOCK_WAIT
from portal.journal.models import Entry, Kind
from portal.mail.letters import LetterKind
from portal.mail.models import Letter, LetterState
from tests.support.agreed import THURSDAY_TEN
from tests.support.cast import TUESDAY, berlin, deliver, open_case, step, topic

CHANGES = (
    Kind.APPOINTMENT_BOOKED,
    Kind.APPOINTMENT_MOVED,
    Kind.APPOINTMENT_STAYS,
    Kind.APPOINTMENT_GIVEN,
    Kind.APPOINTMENT_FROZEN,
    Kind.APPOINTMENT_CANCELLED,
)
"""Each of these changes of an appointment is one entry, and counts its version up by one."""
FOUR_A_DAY = ("08:30", "10:30", "13:00", "14:30")
MOMENT = 0.2
"""How long whoever comes first waits for a second where two are to meet; where a lock keeps them apart, in vain."""

Step = Callable[[Session], object]


@dataclass(frozen=True)
class End:
    """How one step of a race ended: done, refused by a rule, or with a fault that a visitor would see as 5xx."""

    refused: Refused | None
    fault: Exception | None
    seconds: float

    @property
    def won(self) -> bool:
        """Whether it was done."""
        return self.refused is None and self.fault is None


def run(app: Flask, *racing: Step) -> list[End]:
    """All at the same moment; how they ended, in the order given. No fault, and nobody waits as long as for a lock."""
    ends = loosely(app, *racing)
    assert [repr(end.fault) for end in ends if end.fault is not None] == []
    assert max(end.seconds for end in ends) < LOCK_WAIT
    return ends


def loosely(app: Flask, *racing: Step) -> list[End]:
    """The same, whatever comes of it."""
    ends: list[End | None] = [None] * len(racing)
    together = threading.Barrier(len(racing))

    def go(number: int, one: Step) -> None:
        refused, fault = None, None
        with app.app_context():
            together.wait(30)
            began = time.perf_counter()
            try:
                with db.writing() as session:
                    one(session)
            except Refused as why:
                refused = why
            except (SQLAlchemyError, AssertionError) as why:
                fault = why
            ends[number] = End(refused, fault, time.perf_counter() - began)

    threads = [threading.Thread(target=go, args=given) for given in enumerate(racing)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert None not in ends, "one of them broke off"
    return [end for end in ends if end is not None]


class Meeting:
    """A place where the first waits a moment for a second, once: what they found out before is then the same.

    It makes sure that a race takes place where nothing prevents it, and costs a moment where something does.
    """

    def __init__(self) -> None:
        self._lock, self._met, self._came = threading.Lock(), threading.Event(), 0

    def __call__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            return  # prepares the race, and runs in none
        with self._lock:
            self._came += 1
            if self._came > 1:
                self._met.set()
        self._met.wait(MOMENT)
        self._met.set()


def meet_after_check(patch: pytest.MonkeyPatch, meeting: Meeting) -> None:
    """Between looking whether a time is free and taking it."""
    check = Finder.check

    def checked(self: Finder, starts_at: datetime) -> offering.Offered:
        found = check(self, starts_at)
        meeting()
        return found

    patch.setattr(Finder, "check", checked)


# --- what can be taken away ------------------------------------------------------------------------------------------


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Take guards away: ``guard`` of the schema, ``lock`` of the people, the ``check`` whether somebody has the time,
    the ``version`` of the form."""
    with pytest.MonkeyPatch.context() as patch:
        if "lock" in names:
            patch.setattr(inviting, "lock_people", lambda *_: None)
        if "check" in names:
            patch.setattr(offering, "_TAKEN", offering._TAKEN.where(text("1 = 0")))
        if "version" in names:
            patch.setattr(agreeing, "_refuse_change", lambda *_, **__: None)
        if "guard" not in names:
            yield
            return
        _drop_guard()
        try:
            yield
        finally:
            _put_guard_back()


def _drop_guard() -> None:
    if db.db.engine.dialect.name == "sqlite":
        _as_owner(*(f"DROP TRIGGER {guard.split()[2]}" for guard in SQLITE_GUARDS))
    else:
        _as_owner(f"ALTER TABLE appointment DROP CONSTRAINT {NO_OVERLAP}")


def _put_guard_back() -> None:
    """The PostgreSQL database is there for the next test too; what overlaps has to go first."""
    if db.db.engine.dialect.name == "sqlite":
        _as_owner(*SQLITE_GUARDS)
    else:
        _as_owner("SET LOCAL session_replication_role = replica", "DELETE FROM appointment", POSTGRESQL_GUARD)


def _as_owner(*statements: str) -> None:
    with db.db.engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


# --- the stage -------------------------------------------------------------------------------------------------------


@contextmanager
def stage() -> Iterator[Session]:
    """A session for what happens before a race; it holds nothing once the block ends."""
    with db.db.sessionmaker() as session:
        yield session
        session.commit()


def an_hour_each(session: Session) -> None:
    """Calls of an hour on the half hour, ten minutes after them kept free: three starts in a row overlap."""
    row = topic(session, "rueckruf")
    row.slot_minutes, row.slot_grid, row.slot_before, row.slot_after = 60, 30, 0, 10
    step(session)


def cases_of(session: Session, owner_id: int, count: int, *, at: datetime = TUESDAY) -> list[int]:
    """Open cases of one person who is to call back, every letter of theirs delivered; their ids."""
    found = []
    for number in range(count):
        case = open_case(session, "rueckruf", at=at, email=f"kunde{number}@rennen.example", message=f"Bitte {number}.")
        case.owner_id = owner_id
        found.append(case.id)
    step(session)
    deliver(session, at=at)
    return found


def agree(session: Session, case_id: int, starts_at: datetime = THURSDAY_TEN, *, now: datetime) -> Appointment:
    """The customer of a case has chosen a time, and the letters about it have left."""
    booked = agreeing.book(session, session.get_one(Case, case_id), starts_at=starts_at, by_id=None, now=now)
    step(session)
    deliver(session, at=now)
    return booked


def free_starts(count: int, *, since: str = "2026-11-30") -> list[datetime]:
    """So many times that do not touch each other, at which everybody in sales is there: four a day from a Monday on."""
    monday = datetime.fromisoformat(since)
    days = [monday + timedelta(days=day + 3 * (day // 4)) for day in range(count // 4 + 1)]  # Monday to Thursday
    return [berlin(f"{day:%Y-%m-%d} {clock}") for day in days for clock in FOUR_A_DAY][:count]


# --- what is true whoever came first ---------------------------------------------------------------------------------


def nothing_is_double(session: Session) -> None:
    """No two at one time with one person; each change has one entry; each letter was written once, and names what is.

    Read from the database, not from what anybody was answered.
    """
    assert overlapping(session) == []
    assert doubled_letters(session) == []
    for booked in session.scalars(select(Appointment)):
        _is_one_truth(session, booked)


def overlapping(session: Session) -> list[tuple[int, int]]:
    """Pairs of booked appointments for which one person would have to be in two places."""
    one, other = aliased(Appointment), aliased(Appointment)
    pairs = select(one.id, other.id).where(
        one.id < other.id,
        one.person_id == other.person_id,
        one.state == AppointmentState.BOOKED,
        other.state == AppointmentState.BOOKED,
        one.busy_from < other.busy_until,
        other.busy_from < one.busy_until,
    )
    return [(first, second) for first, second in session.execute(pairs)]


def doubled_letters(session: Session) -> list[Any]:
    """Letters of one kind about one version of an appointment that went to one recipient more than once."""
    what = (Letter.appointment_id, Letter.appointment_version, Letter.kind, Letter.to_address)
    standing = Letter.appointment_id.is_not(None), Letter.state != LetterState.WITHDRAWN
    return list(session.execute(select(*what).where(*standing).group_by(*what).having(func.count() > 1)))


def _is_one_truth(session: Session, booked: Appointment) -> None:
    """The row, the journal, the case and the letters say the same of it."""
    case = session.get_one(Case, booked.case_id)
    changes = session.scalars(
        select(Entry).where(Entry.case_id == case.id, Entry.kind.in_(CHANGES)).order_by(Entry.id)
    ).all()
    assert len(changes) == booked.version, "a change without an entry, or an entry without a change"
    for earlier, later in pairwise(changes):
        if later.kind == Kind.APPOINTMENT_MOVED:
            assert later.facts["before"] == earlier.facts["starts_at"]
    assert datetime.fromisoformat(changes[-1].facts["starts_at"]) == booked.starts_at
    assert case.state != CaseState.OPEN or steps.open_of(session, case.id)[0] == case.step
    waiting = session.scalars(
        select(Letter.appointment_version).where(
            Letter.appointment_id == booked.id, Letter.state == LetterState.QUEUED, Letter.kind != LetterKind.CLOSED
        )
    )
    assert set(waiting) <= {booked.version}, "a letter that waits names an older state"


def kinds(ends: Sequence[End]) -> list[str]:
    """What those that were refused were told, in words, sorted."""
    return sorted(type(end.refused).__name__ for end in ends if end.refused is not None)
