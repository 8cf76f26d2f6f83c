"""Offering: which times a case's customer can choose. One function answers lists, checks, the staff form and the form.

The times are those of whoever will be there: of the owner, and on days on which somebody stands in for them, of that
person. A colleague may choose with less notice than a customer; nobody chooses what is not free.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from sqlalchemy import Integer, bindparam, select
from sqlalchemy.orm import Session

from portal import config
from portal.appointments import slots
from portal.appointments.models import IS_BOOKED, Appointment
from portal.appointments.slots import Diary, Limits, Shape
from portal.cases.directory import Directory
from portal.cases.errors import NotOffered, SlotTaken
from portal.cases.models import Case, Topic
from portal.db import UtcDateTime
from portal.languages import Voice
from portal.people.models import Person, Team
from portal.promises import business_time
from portal.promises.business_time import BeyondHolidayTable, Span

ALTERNATIVES = 3
"""So many times are offered where one does not hold."""
NEXT_WEEKS = 21
"""Days in which the first times of one person are looked for."""
_NO_END = datetime.max.replace(tzinfo=UTC)
_TAKEN = select(Appointment.id, Appointment.busy_from, Appointment.busy_until).where(
    Appointment.person_id == bindparam("person_id", type_=Integer),
    IS_BOOKED,
    Appointment.busy_until > bindparam("after", type_=UtcDateTime),
)


class Part(StrEnum):
    """Parts of a day at which a customer says they can be reached."""

    MORNING = "morning"
    MIDDAY = "midday"
    AFTERNOON = "afternoon"


@dataclass(frozen=True)
class Offered:
    """A time to choose, and who will be there."""

    starts_at: datetime
    person_id: int
    owner_id: int
    """For whom that person is there; themselves as a rule."""
    wanted: bool
    """Whether it lies where the customer says they can be reached."""


@dataclass(frozen=True)
class Asked:
    """For whom times are looked for: a case, or a form that may become one."""

    topic: Topic
    team: Team
    owner_ids: tuple[int, ...]
    """Whoever may become responsible, the first choice first; of a case only its owner."""
    reachable: frozenset[Part] = frozenset()
    moving: Appointment | None = None
    """The appointment that is moved: its own time is free for it."""


def of_case(directory: Directory, case: Case, *, moving: Appointment | None = None) -> Asked:
    """The times of a case that is open."""
    assert case.owner_id is not None
    topic, team = directory.topics[case.topic_id], directory.team_of(case)
    return Asked(topic, team, (case.owner_id,), parts_of(case.reachable or ""), moving)


def parts_of(words: str) -> frozenset[Part]:
    """The parts of the day as a case keeps them."""
    return frozenset(Part(word) for word in words.split(",") if word)


def offers(topic: Topic) -> bool:
    """Whether customers choose a time of their own."""
    return topic.slot_medium is not None


def shape_of(topic: Topic) -> Shape:
    """How long an appointment of this topic is, and what lies around it."""
    return Shape(topic.slot_minutes, topic.slot_grid, topic.slot_before, topic.slot_after)


def part_of(at: datetime, voice: Voice) -> Part:
    """The part of the day of an instant, on the wall clock of the case's team."""
    hour = voice.local(at).hour
    return Part.MORNING if hour < 12 else Part.MIDDAY if hour < 14 else Part.AFTERNOON


def keeper_at(directory: Directory, asked: Asked, owner_id: int, at: datetime) -> int | None:
    """Who will be there for an owner at an instant; None where nobody regular would be."""
    acting = directory.acting(owner_id, at, topic_id=asked.topic.id)
    return None if acting.alarm and acting.person_id != owner_id else acting.person_id


class Finder:
    """Looks for the times of one case or form, as one transaction sees them; reads each person's day once."""

    def __init__(
        self, session: Session, directory: Directory, asked: Asked, *, now: datetime, by_colleague: bool = False
    ) -> None:
        settings = config.current()
        self._session, self._directory, self._asked, self._now = session, directory, asked, now
        self._voice = directory.voice(asked.team, "de")
        notice = timedelta() if by_colleague else timedelta(hours=settings.slot_notice)
        last_on = self._voice.local(now).date() + timedelta(days=settings.slot_horizon)
        self._limits = Limits(now + notice, last_on)
        self._shape = shape_of(asked.topic)
        # In a reading transaction nobody's day changes: several topics of one page read each person's once.
        kept: dict[int, Diary] = session.info.setdefault("diaries", {}) if session.info.get("reads") else {}
        self._diaries = kept if asked.moving is None else {}

    @property
    def first_on(self) -> date:
        """The first day on which something could be free."""
        return self._voice.local(self._limits.earliest).date()

    def day(self, day: date) -> list[Offered]:
        """All free times of one day, the earliest first; of several people the first choice."""
        found: dict[datetime, Offered] = {}
        for owner_id in self._asked.owner_ids:
            keepers, until = self._keepers(owner_id, day)
            for person_id in keepers:
                for start in slots.free(self._shape, self._diary(person_id), self._limits, day):
                    # As a rule one person keeps the whole day: then it need not be asked at each start.
                    is_theirs = start < until or self._keeper_at(owner_id, start) == person_id
                    if start not in found and is_theirs:
                        found[start] = self._offered(start, person_id, owner_id)
        return [found[start] for start in sorted(found)]

    def days(self, first: date | None = None) -> Iterator[tuple[date, list[Offered]]]:
        """The days that have free times, from ``first`` on, lazily."""
        day = max(first or self.first_on, self.first_on)
        while day <= self._limits.last_on:
            times = self.day(day)
            if times:
                yield day, times
            day += timedelta(days=1)

    def nearest(self, wanted: datetime, count: int = ALTERNATIVES) -> list[Offered]:
        """The free times nearest to one that does not hold, in their order; of its own and the days around it."""
        around = self._voice.local(wanted).date()
        before = [one for back in range(1, 4) for one in self.day(around - timedelta(days=back))]
        after = [one for _, times in islice(self.days(around), 3) for one in times]
        found = sorted(before + after, key=lambda one: (abs(one.starts_at - wanted), one.starts_at))
        return sorted(found[:count], key=lambda one: one.starts_at)

    def first(self, count: int = ALTERNATIVES, *, of: int | None = None, but: datetime | None = None) -> list[Offered]:
        """The first free times, two of a day: at another part of it where there is one, at a wanted part before others.

        ``of``: only those of this person, who may be away for long: of the next weeks alone. ``but``: not this time.
        """
        last = date.max if of is None else self.first_on + timedelta(days=NEXT_WEEKS)
        own = (
            [one for one in times if of in (None, one.person_id) and one.starts_at != but]
            for day, times in takewhile(lambda found: found[0] <= last, self.days())
        )
        days = islice((times for times in own if times), (count + 1) // 2)
        pairs = [self._pair(times) for times in days]
        in_turn = [one for rank in range(2) for pair in pairs for one in pair[rank : rank + 1]]
        return sorted(in_turn[:count], key=lambda one: one.starts_at)

    def _pair(self, times: Sequence[Offered]) -> list[Offered]:
        first = min(times, key=lambda one: (not one.wanted, one.starts_at))
        part = part_of(first.starts_at, self._voice)
        others = [one for one in times if one is not first]
        return [first, *sorted(others, key=lambda one: part_of(one.starts_at, self._voice) == part)[:1]]

    def check(self, starts_at: datetime) -> Offered:
        """The same rule for one time. Raises SlotTaken where somebody else has it, NotOffered for any other."""
        held = False
        for owner_id in self._asked.owner_ids:
            person_id = self._keeper_at(owner_id, starts_at)
            if person_id is None:
                continue
            diary = self._diary(person_id)
            if slots.is_free(self._shape, diary, self._limits, starts_at):
                return self._offered(starts_at, person_id, owner_id)
            alone = Diary(diary.calendar, (), diary.away)
            held = held or slots.is_free(self._shape, alone, self._limits, starts_at)
        raise SlotTaken(starts_at) if held else NotOffered(starts_at)

    def _offered(self, start: datetime, person_id: int, owner_id: int) -> Offered:
        return Offered(start, person_id, owner_id, part_of(start, self._voice) in self._asked.reachable)

    def _keeper_at(self, owner_id: int, at: datetime) -> int | None:
        return keeper_at(self._directory, self._asked, owner_id, at)

    def _keepers(self, owner_id: int, day: date) -> tuple[Sequence[int], datetime]:
        """Whoever acts at some time of a day; and until when, where it is one person, they are judged by that day."""
        start = self._voice.midnight(day)
        end = start + timedelta(days=1, hours=2)
        edges = (edge for row in self._directory.absences for edge in (row.starts_at, row.ends_at) if edge)
        marks = [start, *(edge for edge in edges if start < edge < end)]
        found = dict.fromkeys(self._keeper_at(owner_id, mark) for mark in marks)
        keepers = [person_id for person_id in found if person_id is not None]
        team = self._directory.teams[self._directory.people[owner_id].team_id]
        try:
            hours = business_time.spans(self._directory.calendar(team), day)
        except BeyondHolidayTable:
            hours = ()
        return keepers, hours[-1][1] if hours and len(found) == 1 else start

    def _diary(self, person_id: int) -> Diary:
        if person_id not in self._diaries:
            moving = self._asked.moving
            self._diaries[person_id] = diary_of(
                self._session,
                self._directory,
                person_id,
                but_id=None if moving is None else moving.id,
                now=self._now,
            )
        return self._diaries[person_id]


def diary_of(
    session: Session, directory: Directory, person_id: int, *, now: datetime, but_id: int | None = None
) -> Diary:
    """One person's days as they are now, without the appointment ``but_id``."""
    rows = session.execute(_TAKEN, {"person_id": person_id, "after": now})
    taken = tuple((row.busy_from, row.busy_until) for row in rows if row.id != but_id)
    return Diary(directory.person_calendar(person_id), taken, away(directory, person_id))


def shape_as_booked(appointment: Appointment) -> Shape:
    """The shape an appointment was agreed with, at whatever minute it begins."""
    start, end, minute = appointment.starts_at, appointment.ends_at, timedelta(minutes=1)
    before, after = start - appointment.busy_from, appointment.busy_until - end
    return Shape((end - start) // minute, 1, before // minute, after // minute)


def away(directory: Directory, person_id: int) -> tuple[Span, ...]:
    """When the person is absent, and all time after they have left."""
    person = directory.people[person_id]
    spans = [(row.starts_at, row.ends_at or _NO_END) for row in directory.absences if row.person_id == person_id]
    if person.left_on is not None:
        spans.append((_midnight(directory, person, person.left_on), _NO_END))
    return tuple(spans)


def keeper_is_away(directory: Directory, appointment: Appointment) -> bool:
    """Whether whoever keeps an appointment is not there for all of it."""
    person_id, starts_at = appointment.person_id, appointment.starts_at
    if not directory.is_present(person_id, starts_at):
        return True
    calendar = directory.person_calendar(person_id)
    if calendar.is_day_off(starts_at.astimezone(ZoneInfo(calendar.tz)).date()):  # a closure of the team, too
        return True
    spans = away(directory, person_id)
    return any(start < appointment.ends_at and appointment.starts_at < end for start, end in spans)


def labels(offered: Iterable[Offered], voice: Voice, *, now: datetime) -> list[str]:
    """Times as a letter lists them: those at which the customer said they can be reached come first."""
    in_order = sorted(offered, key=lambda one: (not one.wanted, one.starts_at))
    return [voice.moment(one.starts_at, now=now) for one in in_order]


def _midnight(directory: Directory, person: Person, day: date) -> datetime:
    voice = directory.voice(directory.teams[person.team_id], "de")
    return voice.midnight(day)
