"""The driver: the clock, and a heap of what happens when.

Event-driven: the clock jumps to the next thing that happens in the plan, or that the database says is due, and stands
there until the worker has nothing left to do. Deterministic for a seed on one kind of database: whatever is chosen is
chosen by a generator made from the seed, and no order depends on references, links or Message-IDs, which are random.
"""

import heapq
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from flask import Flask
from sqlalchemy import bindparam, text

from portal import clock, db
from portal.appointments.service import ALARM_AFTER, TELL_AFTER
from portal.cases.nearing import LEADS
from portal.db import UtcDateTime
from portal.simulation.evidence import Evidence
from portal.simulation.plan import Plan
from portal.simulation.sink import Arrived, Sink
from portal.simulation.workers import Workers

LOOKS = timedelta(minutes=15)
"""The worker looks so often in any case: what waits for an hour of the day is no row with a date."""
LOOKS_AGAIN = timedelta(minutes=1)
LOOKS_AGAIN_FOR = timedelta(minutes=10)
"""After something failed it looks every minute for a while; leases and retries are rows with a date anyway."""

_LETTERS_DUE = (("letter", "due_at", "state = 'queued'"), ("channel", "paused_until", "paused_until IS NOT NULL"))
_DUE = (
    ("letter", "valid_until", "state = 'queued' AND valid_until IS NOT NULL"),
    ("letter", "lease_until", "state = 'sending'"),
    ("promise", "remind_at", "state = 'open' AND reminded_at IS NULL"),
    ("promise", "notice_at", "state = 'open'"),
    ("promise", "due_at", "state = 'open' AND waiting = 'closing'"),
)
"""Everything a worker step waits for, in words the partial indexes understand; delivering waits for the first two."""
_TIMES = (
    *(("starts_at", timedelta(hours=-hours)) for hours in LEADS),
    ("starts_at", timedelta()),
    ("starts_at", ALARM_AFTER),
    ("starts_at", TELL_AFTER),
    ("outcome_due_at", timedelta()),
)
"""What it does so long before or after an instant of an agreed time."""


def _earliest(dates: tuple[tuple[str, str, str], ...]) -> str:
    ahead = " UNION ALL ".join(
        f"SELECT min({column}) AS at FROM {table} WHERE {where} AND {column} > :now"  # noqa: S608  # our own names
        for table, column, where in dates
    )
    return f"(SELECT min(at) FROM ({ahead}) AS due)"  # noqa: S608  # as above


_AHEAD = (
    text(f"SELECT {_earliest(_LETTERS_DUE)} AS letters_at, {_earliest(_DUE)} AS others_at")  # as above
    .bindparams(bindparam("now", type_=UtcDateTime))
    .columns(letters_at=UtcDateTime, others_at=UtcDateTime)
)


def _next_of(column: str, number: int) -> str:
    booked = f"FROM appointment WHERE state = 'booked' AND {column} > :at_{number}"
    return f"(SELECT min({column}) {booked}) AS at_{number}"


_OF_TIMES = ", ".join(_next_of(column, number) for number, (column, _) in enumerate(_TIMES))
_TIMES_AHEAD = (
    text(f"SELECT {_OF_TIMES}")  # as above
    .bindparams(*(bindparam(f"at_{number}", type_=UtcDateTime) for number in range(len(_TIMES))))
    .columns(**{f"at_{number}": UtcDateTime for number in range(len(_TIMES))})
)


class Driver:
    """Runs one plan."""

    def __init__(self, app: Flask, plan: Plan, sink: Sink, evidence: Evidence) -> None:
        self._plan, self._sink, self._evidence = plan, sink, evidence
        self._now = plan.starts_at
        self._heap: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = 0
        self._looks_until = self._looks_at = plan.starts_at
        self._letters_at: datetime | None = None
        self._others_at: datetime | None = plan.starts_at
        self.workers = Workers(app, lambda: sink.stored)
        self.on_letter: Callable[[Arrived], None] = lambda _: None
        self.on_time: Callable[[datetime], None] = lambda _: None

    def instant(self) -> datetime:
        """The instant it is."""
        return self._now

    def at(self, instant: datetime, act: Callable[[], None]) -> None:
        """Do something then; what lies behind happens now, what lies behind the end never."""
        self._order += 1
        heapq.heappush(self._heap, (max(instant, self._now), self._order, act))

    def reachable_from(self) -> datetime:
        """From when on somebody answers: now, or the end of the machine's night."""
        return next((off.ends_at for off in self._plan.machine_off if off.starts_at <= self._now < off.ends_at),
                    self._now)  # fmt: skip

    def run(self) -> None:
        """From the first minute to the last."""
        self._lay_out()
        with clock.drive(self.instant):
            while True:
                instant = self._next()
                if instant is None or instant >= self._plan.ends_at:
                    break
                self._stand_at(instant)
            self._now = self._plan.ends_at

    @contextmanager
    def standing(self) -> Iterator[None]:
        """The driven clock for what is looked at before and after the run."""
        with clock.drive(self.instant):
            yield

    def look(self) -> None:
        """The worker looks now, whatever the database says: what leaves in the last minute of a day is no row."""
        self._looks_at = self._now

    def failed(self) -> None:
        """Something went wrong or was changed from outside: look now, and every minute for a while."""
        self._looks_at, self._looks_until = self._now, self._now + LOOKS_AGAIN_FOR

    def _lay_out(self) -> None:
        for off in self._plan.machine_off:
            self.at(off.starts_at, lambda: self._evidence.act(self._now, "machine_off"))
            self.at(off.ends_at, self._machine_on)

    def _machine_on(self) -> None:
        self._evidence.act(self._now, "machine_on")
        self.workers.restart()
        self.failed()

    def _next(self) -> datetime | None:
        ahead = [self._heap[0][0]] if self._heap else []
        if not self._plan.is_off(self._now):
            ahead += [at for at in (self._looks_at, self._letters_at, self._others_at) if at is not None]
        return min(ahead, default=None)

    def _ask(self) -> None:
        """When the database wants the worker next: to deliver, and for anything else."""
        with db.looking() as connection:
            self._letters_at, self._others_at = connection.execute(_AHEAD, {"now": self._now}).one()
            before = {f"at_{number}": self._now - after for number, (_, after) in enumerate(_TIMES)}
            found = connection.execute(_TIMES_AHEAD, before).one()
        times = [at + after for at, (_, after) in zip(found, _TIMES, strict=True) if at is not None]
        self._others_at = min([*times, *([] if self._others_at is None else [self._others_at])], default=None)

    def _stand_at(self, instant: datetime) -> None:
        """Everything of one instant: what people do, then what the worker does, then what arrived.

        Where nothing is due and nobody did anything, the worker would find nothing, and is not asked.
        """
        self._now = instant
        # The outbox spreads its retries by chance: the same chance at the same instant, whatever else was drawn.
        random.seed(f"{self._plan.seed}:{instant.isoformat()}")
        acts = len(self._evidence.acts)
        while self._heap and self._heap[0][0] <= instant:
            heapq.heappop(self._heap)[2]()
        due = any(at is not None and at <= instant for at in (self._looks_at, self._others_at))
        letters = (self._letters_at is not None and self._letters_at <= instant) or len(self._evidence.acts) > acts
        if (due or letters) and not self._plan.is_off(instant):
            self._work(letters_only=not due)
            if due or instant < self._looks_until:
                self._looks_at = instant + (LOOKS_AGAIN if instant < self._looks_until else LOOKS)
            self._ask()
        self.on_time(instant)

    def _work(self, *, letters_only: bool) -> None:
        killed, ambiguous = self.workers.killed, self.workers.ambiguous
        whole = self.workers.work(letters_only=letters_only)
        arrived, broken_off = self._sink.take()
        for letter in arrived:
            self._evidence.letter(letter)
        for message_id in broken_off:
            self._evidence.act(self._now, "ambiguous", message_id=message_id)
        if self.workers.killed > killed:
            self._evidence.act(self._now, "worker_killed")
        if self.workers.ambiguous > ambiguous:
            # Its worker died between the relay's 250 and the note of it: as open as a 250 that never came.
            self._evidence.act(self._now, "ambiguous", message_id=arrived[-1].message_id)
        if not whole or broken_off:
            self._looks_until = self._now + LOOKS_AGAIN_FOR
        for letter in arrived:
            self.on_letter(letter)
