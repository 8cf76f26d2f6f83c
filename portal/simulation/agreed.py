"""Agreed times as the journal tells of them: which one stood from when until when, who was to be there, was it begun.

Read from entries and rows once a run is over; beside them which letter told which time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.appointments.models import Appointment
from portal.journal.models import Entry, Kind

NEVER = datetime.max.replace(tzinfo=UTC)
STEPS_IN = timedelta(minutes=35)
"""So long after its end an agreed time still counts: until its outcome is due, and a moment for the step after it."""
CHANGES = (Kind.APPOINTMENT_MOVED, Kind.APPOINTMENT_GIVEN)
_STANDS = (Kind.APPOINTMENT_BOOKED, Kind.APPOINTMENT_MOVED, Kind.APPOINTMENT_STAYS, Kind.APPOINTMENT_GIVEN)
_ENDS = (
    Kind.APPOINTMENT_CANCELLED,
    Kind.APPOINTMENT_HELD,
    Kind.APPOINTMENT_NOT_REACHED,
    Kind.APPOINTMENT_MISSED,
)
KINDS = (*_STANDS, *_ENDS, Kind.APPOINTMENT_FROZEN, Kind.APPOINTMENT_STARTED)


@dataclass
class Agreed:
    """A time that stood: from when it was agreed until it was moved, put on hold, called off or over."""

    id: int
    """The appointment's."""
    starts_at: datetime
    ends_at: datetime
    since: datetime
    until: datetime = NEVER
    keepers: dict[int, str] = field(default_factory=dict)
    """Who was to be there, by version of the appointment."""
    started_at: datetime = NEVER
    told_at: datetime = NEVER
    told_by: str = ""

    @property
    def counts_until(self) -> datetime:
        """Until when it is what the customer waits for."""
        return min(self.until, self.ends_at + STEPS_IN)


@dataclass(frozen=True)
class Change:
    """A time that was moved, or that somebody else keeps from now on."""

    at: datetime
    old: datetime


class Agreements:
    """All of a run, by case."""

    def __init__(self, session: Session) -> None:
        self.of_case: dict[int, list[Agreed]] = {}
        self.changes: dict[int, list[Change]] = {}
        rows: dict[int, list[Appointment]] = {}
        for row in session.scalars(select(Appointment).order_by(Appointment.id)):
            rows.setdefault(row.case_id, []).append(row)
        entries: dict[int, list[Any]] = {}
        wanted = select(Entry.case_id, Entry.at, Entry.kind, Entry.facts).where(Entry.kind.in_(KINDS))
        for entry in session.execute(wanted.order_by(Entry.id)):
            entries.setdefault(entry.case_id, []).append(entry)
        for case_id, found in entries.items():
            told = _Told(rows.get(case_id, []), found)
            self.of_case[case_id], self.changes[case_id] = list(told), told.changes

    def named(self, case_id: int, appointment_id: int | None, version: int | None) -> Agreed | None:
        """The time that a letter about this version names; None where it names none that stands."""
        if appointment_id is None or version is None:
            return None
        found = self.of_case.get(case_id, ())
        return next((one for one in found if one.id == appointment_id and version in one.keepers), None)


class _Told:
    """The entries of one case, gone through in their order."""

    def __init__(self, rows: Sequence[Appointment], entries: Sequence[Any]) -> None:
        self._rows, self._entries = iter(rows), entries
        self.changes: list[Change] = []

    def __iter__(self) -> Iterator[Agreed]:
        found: list[Agreed] = []
        now: Agreed | None = None
        row: Appointment | None = None
        version = 0
        for entry in self._entries:
            if entry.kind == Kind.APPOINTMENT_STARTED:
                if now is not None:
                    taken_back = "taken_back" in entry.facts
                    now.started_at = NEVER if taken_back else min(now.started_at, entry.at)
                continue
            if entry.kind in _ENDS:
                _end(now, entry.at)
                now = None
                continue
            if entry.kind == Kind.APPOINTMENT_BOOKED:
                row, version = next(self._rows), 0
            assert row is not None
            version += 1
            if entry.kind in CHANGES:
                self.changes.append(Change(entry.at, datetime.fromisoformat(_old(entry.facts))))
            if entry.kind == Kind.APPOINTMENT_GIVEN and now is not None:
                now.keepers[version] = entry.facts["name"]
                continue
            _end(now, entry.at)
            now = None
            if entry.kind in _STANDS:
                starts_at = datetime.fromisoformat(entry.facts["starts_at"])
                length = row.ends_at - row.starts_at
                now = Agreed(row.id, starts_at, starts_at + length, entry.at, keepers={version: entry.facts["name"]})
                found.append(now)
        yield from (_ended_with_its_row(one, row) for one in found)


def _ended_with_its_row(one: Agreed, row: Appointment | None) -> Agreed:
    """What a closing ends says so in its row alone."""
    if row is not None and one.id == row.id and row.ended_at is not None:
        one.until = min(one.until, row.ended_at)
    return one


def _end(now: Agreed | None, at: datetime) -> None:
    if now is not None:
        now.until = at


def _old(facts: Mapping[str, str]) -> str:
    return facts.get("before", facts["starts_at"])
