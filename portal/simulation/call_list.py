"""The colleagues' list of calls: looked at now and then, written on paper by some, kept by most, forgotten by a few."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from portal import db
from portal.appointments.models import IS_BOOKED, Appointment
from portal.cases.contacts import Contact
from portal.cases.models import Case
from portal.simulation.deeds import Done
from portal.simulation.desk import Desk
from portal.simulation.meetings import Meetings

AHEAD = timedelta(days=3)
"""So far ahead a list is looked at, and copied by those who like paper."""
PAPER = 0.3
"""How often somebody goes by what they once wrote down, and does not look whether it still holds."""
CHANGED = 0.1
"""How often a colleague gives a time to somebody else, moves it or calls it off."""
FORGOTTEN, NOTED_LATER, NEVER_NOTED = 0.07, 0.1, 0.1

Item = Row[*tuple[Any, ...]]
Deed = Callable[[Meetings], Done]
_LISTED = select(
    Appointment.id,
    Appointment.version,
    Appointment.starts_at,
    Appointment.ends_at,
    Appointment.started_at,
    Appointment.case_id,
    Appointment.person_id,
    Case.version.label("case_version"),
    Case.reference,
    Case.topic_id,
).join(Case, Case.id == Appointment.case_id)


@dataclass(frozen=True)
class Noted:
    """An appointment as a list once showed it."""

    id: int
    version: int
    """The appointment's."""
    case_version: int
    starts_at: datetime
    case_id: int
    reference: str


class Office(Protocol):
    """What the list needs of the office."""

    def instant(self) -> datetime: ...
    def at(self, instant: datetime, act: Callable[[], None]) -> None: ...
    def works(self, desk: Desk) -> bool: ...
    def do(self, desk: Desk, case_id: int, reference: str, deed: Deed) -> Done | None: ...
    def beside(self, desk: Desk) -> int: ...
    def whoever_works(self, first_id: int) -> Desk | None: ...


class CallList:
    """The calls and visits of everybody."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def look(self, session: Session, desk: Desk, mine: Collection[tuple[int, int]]) -> list[Noted]:
        """What is new on somebody's list: of the people and topics they act in."""
        now = self._office.instant()
        rows = session.execute(
            _LISTED.where(IS_BOOKED, Appointment.change_wished_at.is_(None), Appointment.starts_at > now,
                   Appointment.starts_at <= now + AHEAD)
            .order_by(Appointment.starts_at, Appointment.id)
        ).all()  # fmt: skip
        listed = [_noted(row) for row in rows if (row.person_id, row.topic_id) in mine]
        return [one for one in listed if desk.agreed.get(one.id) != one.version]

    def note(self, desk: Desk, new: Collection[Noted]) -> None:
        """Remember what is new, and settle when it will be thought of."""
        for one in new:
            first = one.id not in desk.agreed
            desk.agreed[one.id] = one.version
            draw = desk.random.random()
            if first and draw < CHANGED:
                self._change(desk, one, draw)
            elif draw < 1 - FORGOTTEN:
                self._office.at(self._when(desk, one), partial(self._ring, desk, one))

    def alarmed(self, desk: Desk, reference: str) -> None:
        """A letter says that a call was not begun, or that nobody knows what became of it; some look at once."""
        if desk.random.random() < 0.6:
            then = self._office.instant() + timedelta(minutes=desk.random.randint(1, 6))
            self._office.at(then, partial(self._look_into, desk, reference))

    def wished(self, case_id: int, reference: str, keeper_id: int, tries: int = 0) -> None:
        """A customer rings up, or a mail of theirs is read when somebody is there."""
        desk = self._office.whoever_works(keeper_id)
        if desk is not None:
            contact = Contact.CALL_IN if desk.random.random() < 0.6 else Contact.MAIL_IN
            self._office.do(desk, case_id, reference, lambda deeds: deeds.wish(contact))
        elif tries < 100:
            then = self._office.instant() + timedelta(minutes=40)
            self._office.at(then, partial(self.wished, case_id, reference, keeper_id, tries + 1))

    def _change(self, desk: Desk, one: Noted, draw: float) -> None:
        other = self._office.beside(desk)
        deeds: tuple[Deed, ...] = (lambda deeds: deeds.give(other), lambda deeds: deeds.give(other),
                                   lambda deeds: deeds.move(), lambda deeds: deeds.cancel())  # fmt: skip
        self._office.do(desk, one.case_id, one.reference, deeds[int(draw * 1000) % len(deeds)])

    def _when(self, desk: Desk, one: Noted) -> datetime:
        """When this colleague begins it: mostly on time, some early, some late, a few far too late."""
        draw = desk.random.random()
        early, late, far = (-25, -4), (6, 13), (16, 28)
        least, most = early if draw < 0.08 else late if draw > 0.93 else far if draw > 0.9 else (0, 3)
        return one.starts_at + timedelta(minutes=desk.random.randint(least, most), seconds=20)

    def _ring(self, desk: Desk, one: Noted) -> None:
        """Its hour has come, by what this colleague once saw of it: of paper, or looked at once more."""
        if not self._office.works(desk):
            return
        if desk.random.random() < PAPER and self._start(desk, one):
            return
        # Whoever was refused reads what has changed.
        present = _present(one)
        if present is not None:
            self._start(desk, present)

    def _start(self, desk: Desk, one: Noted) -> bool:
        done = self._office.do(
            desk, one.case_id, one.reference, lambda deeds: deeds.start(one.case_version, one.starts_at)
        )
        if done is None or not done.ok:
            return False
        self._talk(desk, one.case_id, one.reference)
        return True

    def _talk(self, desk: Desk, case_id: int, reference: str) -> None:
        """What became of it is noted at once by most, later by some, by a few not at all."""
        draw, minutes = desk.random.random(), desk.random.randint(3, 22)
        if draw < NEVER_NOTED:
            return
        if draw < NEVER_NOTED + NOTED_LATER:
            minutes += desk.random.choice((60, 120, 1440))
        self._office.at(
            self._office.instant() + timedelta(minutes=minutes), partial(self._say, desk, case_id, reference)
        )

    def _say(self, desk: Desk, case_id: int, reference: str) -> None:
        if self._office.works(desk):
            self._office.do(desk, case_id, reference, lambda deeds: deeds.outcome())

    def _look_into(self, desk: Desk, reference: str) -> None:
        """Open the case that a letter spoke of, and do what is still to be done."""
        if not self._office.works(desk):
            return
        with db.reading() as session:
            query = _LISTED.where(IS_BOOKED, Case.reference == reference, Appointment.change_wished_at.is_(None))
            row = session.execute(query).one_or_none()
        now = self._office.instant()
        if row is None or row.starts_at > now:
            return
        if row.started_at is None and now < row.ends_at:
            self._start(desk, _noted(row))
        elif now >= row.ends_at:
            self._say(desk, row.case_id, reference)


def _noted(row: Item) -> Noted:
    return Noted(row.id, row.version, row.case_version, row.starts_at, row.case_id, row.reference)


def _present(one: Noted) -> Noted | None:
    """The same time as the list shows it now, if it still does and nobody has begun it."""
    with db.reading() as session:
        query = _LISTED.where(IS_BOOKED, Appointment.id == one.id, Appointment.change_wished_at.is_(None))
        row = session.execute(query).one_or_none()
    holds = row is not None and row.starts_at == one.starts_at and row.started_at is None
    return _noted(row) if row is not None and holds else None
