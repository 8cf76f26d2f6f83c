"""Agreed times as a customer knows them: the history of the page says which one stood when, letters which was told."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.judge.dates import moments
from tests.judge.evidence import Act, Story

BOOKED = re.compile(r"^(?:Termin vereinbart|Appointment agreed): ")
MOVED = re.compile(r"^(?:Termin verschoben von|Appointment moved from) ")
GIVEN = re.compile(r"übernimmt den Termin; die Zeit bleibt: |takes over the appointment; its time stays: ")
FROZEN = re.compile(r"^(?:Termin angehalten|Appointment on hold)")
STAYS = re.compile(r"^(?:Termin gilt wieder|Appointment stands again): ")
CANCELLED = re.compile(r"^(?:Termin (?:abgesagt|von Ihnen abgesagt|entfallen)|Appointment (?:cancelled|lapsed))")
MISSED = re.compile(r"^(?:Wir haben den Termin versäumt|We missed the appointment)")
CLOSED = re.compile(r"abgeschlossen|^Closed|^Abgeschlossen")
COUNTED = {
    "appointments": BOOKED,
    "appointments_moved": MOVED,
    "appointments_frozen": FROZEN,
    "appointments_given": GIVEN,
    "appointments_missed": MISSED,
}
STEPS_IN = timedelta(minutes=35)
"""So long after its end the customer still waits for it: half an hour, and a moment for what comes then."""
NO_END = timedelta(days=3650)


@dataclass
class Agreed:
    """A time that stood, from the line that says so to the line that ends it."""

    starts_at: datetime
    ends_at: datetime
    since: datetime
    until: datetime

    @property
    def counts_until(self) -> datetime:
        """Until when the customer waits for it."""
        return min(self.until, self.ends_at + STEPS_IN)


@dataclass(frozen=True)
class Change:
    """A time that was moved, or that somebody else keeps from now on."""

    at: datetime
    old: datetime


def times_of(story: Story) -> tuple[list[Agreed], list[Change]]:
    """All agreed times of a case, in their order, and how they changed."""
    found: list[Agreed] = []
    changes: list[Change] = []
    now: Agreed | None = None
    for at, sentence in _told(story):
        said = moments(sentence, story.team.tz, at)
        if GIVEN.search(sentence) and now is not None:
            changes.append(Change(at, now.starts_at))
            continue
        if MOVED.match(sentence) or GIVEN.search(sentence):
            changes.append(Change(at, said[0]))
        if now is not None:
            now.until, now = at, None
        if any(stands.search(sentence) for stands in (BOOKED, MOVED, GIVEN, STAYS)):
            now = Agreed(said[-1], said[-1] + timedelta(minutes=story.minutes), at, at + NO_END)
            found.append(now)
    return found, changes


def _told(story: Story) -> Iterator[tuple[datetime, str]]:
    """What the history says of agreed times, and when a colleague said what became of one."""
    lines = [(line.at, line.sentence) for line in story.lines if _concerns(line.sentence)]
    outcomes = [(act["at"].replace(microsecond=0), "") for act in story.acts if _is_outcome(act)]
    yield from sorted([*lines, *outcomes], key=lambda one: one[0])


def _concerns(sentence: str) -> bool:
    return any(pattern.search(sentence) for pattern in (BOOKED, MOVED, GIVEN, FROZEN, STAYS, CANCELLED, MISSED, CLOSED))


def _is_outcome(act: Act) -> bool:
    return act["kind"] == "staff" and act["act"] == "outcome" and bool(act.get("ok", True))
