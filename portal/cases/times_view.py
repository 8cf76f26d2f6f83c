"""The free times a customer is shown, and one of them looked at closely: plain values in the reader's words.

The times are those of ``offering``, which is the check of every choice, too. Reads only; the acts are in ``choosing``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy.orm import Session

from portal import config
from portal.appointments import changing
from portal.appointments import service as appointments
from portal.cases import agreed_time, agreeing, offering, scheduling
from portal.cases import directory as directories
from portal.cases.errors import MovedTooOften, NothingToPromise, NotOffered, TooLateToChange
from portal.cases.models import Case, CaseState
from portal.cases.offering import Finder, Offered, Part
from portal.cases.settling import booked_of
from portal.promises import service as promises
from portal.promises import wording
from portal.promises.models import Medium, PromiseKind

MOST, MOST_A_DAY = 12, 6
"""So many times are shown at once, and of one day."""


@dataclass(frozen=True)
class TimeView:
    """A time to choose."""

    starts_at: datetime
    slot: str
    """As forms and addresses carry it: ISO 8601 with offset."""
    label: str
    """In full."""
    wanted: bool
    name: str
    """Who will be there."""


@dataclass(frozen=True)
class DayView:
    """A day with times to choose."""

    on: date
    title: str
    times: tuple[TimeView, ...]
    more: bool
    """Whether it has others than those shown."""


@dataclass(frozen=True)
class Choice:
    """What the page says on which a customer chooses a time."""

    refusal: str | None
    """Why there is nothing to choose; not yet in the reader's words."""
    medium: Medium
    name: str | None
    """Who calls or comes, at the present time and at all of these; None where they are several."""
    minutes: int
    ends_with: str | None
    """The last two digits of the number that is called."""
    change_hours: str
    moves_left: int
    keep: TimeView | None
    """The time on hold, where it can still be kept."""
    nearest: tuple[TimeView, ...]
    """The free times nearest to one that does not hold."""
    days: tuple[DayView, ...]
    only: date | None
    """The one day all times of which are shown."""
    further: date | None
    """From where more days can be shown."""
    reachable: frozenset[Part]


@dataclass(frozen=True)
class Checked:
    """One time looked at closely, before it is agreed on."""

    time: TimeView
    when: str
    stays: bool
    """Whether it is the time that is agreed already."""
    medium: Medium
    minutes: int
    ends_with: str | None
    change_until: str | None
    moves_left: int


class Chooser:
    """The times of one case as one transaction sees them. ``is_possible`` first: else nothing here means anything."""

    def __init__(self, session: Session, case: Case, *, now: datetime) -> None:
        self._session, self._case, self._now = session, case, now
        self._directory = directories.load(session, now=now)
        self._voice = self._directory.voice_of(case)
        self._booked = booked_of(session, case) if case.state == CaseState.OPEN else None

    @property
    def is_possible(self) -> bool:
        """Whether the case is open, and offers times or has one whose hour has not come."""
        if self._case.state != CaseState.OPEN:
            return False
        if self._booked is None:
            return offering.offers(self._directory.topics[self._case.topic_id])
        return self._now < self._booked.starts_at

    @property
    def is_booked(self) -> bool:
        """Whether an appointment is agreed, or on hold, whose hour has not come."""
        return self._booked is not None and self.is_possible

    def taken(self, starts_at: datetime) -> str:
        """That somebody else has this time by now."""
        moment = self._voice.moment(starts_at, now=self._now)
        return self._voice.say("%(moment)s has been taken in the meantime. Please choose another time.", moment=moment)

    def choice(self, *, first: date | None = None, only: date | None = None, near: datetime | None = None) -> Choice:
        """The times from a day on, or all of one day; those nearest to an instant before them."""
        topic, refusal = self._directory.topics[self._case.topic_id], self._refusal()
        finder = self._finder()
        nearest: tuple[TimeView, ...] = ()
        days: tuple[DayView, ...] = ()
        further = None
        if refusal is None:
            nearest = self._nearest(finder, near)
            days = self._all_of(finder, only)
            if not days:
                first, only = self._ahead(only or first), None
                days = self._some(finder, first, but=nearest)
                further = self._further(finder, days)
        keep = self._keep() if refusal is None else None
        shown = [*nearest, *(time for day in days for time in day.times), *([keep] if keep else [])]
        return Choice(
            refusal=refusal,
            medium=self._medium,
            name=self._common_name(shown),
            minutes=topic.slot_minutes,
            ends_with=self._ends_with,
            change_hours=f"{config.current().slot_change:g}",
            moves_left=changing.moves_left(self._booked),
            keep=keep,
            nearest=nearest,
            days=days,
            only=only,
            further=further,
            reachable=offering.parts_of(self._case.reachable),
        )

    def check(self, starts_at: datetime) -> Checked:
        """One time, as it would be agreed on. Raises NotOffered, SlotTaken, TooLateToChange, MovedTooOften."""
        booked = self._booked
        stays = booked is not None and starts_at == booked.starts_at
        if not stays and (refused := self._refused()) is not None:
            raise refused
        offered = self._finder(firm=stays).check(starts_at)
        until = changing.until(starts_at)
        is_move = booked is not None and changing.is_counted(booked) and not stays
        return Checked(
            time=self._time(offered),
            when=self._voice.agreed(starts_at, now=self._now),
            stays=stays,
            medium=self._medium,
            minutes=self._directory.topics[self._case.topic_id].slot_minutes,
            ends_with=self._ends_with,
            change_until=self._voice.moment(until, now=self._now) if self._now < until else None,
            moves_left=changing.moves_left(booked) - is_move,
        )

    def after_cancelling(self) -> str | None:
        """What the customer then waits for, as a sentence; None where no date can be named."""
        given = [one for one in promises.open_of(self._session, self._case.id) if one.waiting is None]
        step = promises.ahead(given, now=self._now)
        if step is not None:
            return self._promised(step.kind, step.medium, step.person_id, step.due_at)
        try:
            due_at = scheduling.next_update(self._directory, self._case, now=self._now).due_at
        except NothingToPromise:
            return None
        return self._promised(PromiseKind.FOLLOW_UP, Medium.MAIL, self._case.owner_id or 0, due_at)

    @property
    def _medium(self) -> Medium:
        if self._booked is not None:
            return self._booked.medium
        return self._directory.topics[self._case.topic_id].slot_medium or Medium.CALL

    @property
    def _ends_with(self) -> str | None:
        number = self._case.customer.phone_e164
        return None if number is None else number[-2:]

    def _refused(self) -> TooLateToChange | MovedTooOften | None:
        return None if self._booked is None else agreeing.customers_refusal(self._booked, moves=True, now=self._now)

    def _refusal(self) -> str | None:
        refused = self._refused()
        return None if refused is None else refused.sentence

    def _finder(self, *, firm: bool = False) -> Finder:
        """``firm``: for a time that is agreed already, which needs no notice."""
        asked = offering.of_case(self._directory, self._case, moving=self._booked)
        return Finder(self._session, self._directory, asked, now=self._now, by_colleague=firm)

    def _keep(self) -> TimeView | None:
        """The time on hold, if it is free for it and somebody is there."""
        if self._booked is None or self._booked.change_wished_at is None:
            return None
        try:
            return self._time(self._finder(firm=True).check(self._booked.starts_at))
        except NotOffered:
            return None

    def _nearest(self, finder: Finder, near: datetime | None) -> tuple[TimeView, ...]:
        if near is None:
            return ()
        found = self._others(finder.nearest(near, offering.ALTERNATIVES + 1))
        by_distance = sorted(found, key=lambda one: (abs(one.starts_at - near), one.starts_at))
        return self._times(sorted(by_distance[: offering.ALTERNATIVES], key=lambda one: one.starts_at))

    def _all_of(self, finder: Finder, only: date | None) -> tuple[DayView, ...]:
        """All times of one day; nothing for a day that has none."""
        if only is None or only != self._ahead(only):
            return ()
        times = self._others(finder.day(only))
        return (self._day(only, times, more=False),) if times else ()

    def _some(self, finder: Finder, first: date | None, *, but: Sequence[TimeView]) -> tuple[DayView, ...]:
        """Some times of the first days that have any."""
        shown, room = list[DayView](), MOST - len(but)
        elsewhere = {time.starts_at for time in but}
        for day, found in self._days(finder, first):
            times = [one for one in found if one.starts_at not in elsewhere]
            picked = _picked(times, min(room, MOST_A_DAY))
            if picked:
                shown.append(self._day(day, picked, more=len(picked) < len(times)))
            room -= len(picked)
            if room <= 0:
                break
        return tuple(shown)

    def _further(self, finder: Finder, days: Sequence[DayView]) -> date | None:
        if not days:
            return None
        return next((day for day, _ in self._days(finder, days[-1].on + timedelta(days=1))), None)

    def _days(self, finder: Finder, first: date | None) -> Iterator[tuple[date, list[Offered]]]:
        for day, times in finder.days(first):
            if others := self._others(times):
                yield day, others

    def _others(self, times: Sequence[Offered]) -> list[Offered]:
        """Without the time that is agreed: it is chosen already, or kept by a button of its own."""
        booked = self._booked
        return [one for one in times if booked is None or one.starts_at != booked.starts_at]

    def _ahead(self, day: date | None) -> date | None:
        """A day somebody typed into the address; None for one that lies behind, or further than anybody looks."""
        today = self._voice.local(self._now).date()
        last = today + timedelta(days=config.current().slot_horizon)
        return day if day is not None and today <= day <= last else None

    def _day(self, day: date, times: Sequence[Offered], *, more: bool) -> DayView:
        return DayView(day, self._voice.day(day, now=self._now), self._times(times), more)

    def _times(self, offered: Sequence[Offered]) -> tuple[TimeView, ...]:
        """With the zone where two of them would read alike: one hour of the year comes twice."""
        labels = [self._voice.moment(one.starts_at, now=self._now) for one in offered]
        twice = {label for label in labels if labels.count(label) > 1}
        return tuple(self._time(one, zoned=label in twice) for one, label in zip(offered, labels, strict=True))

    def _time(self, offered: Offered, *, zoned: bool = False) -> TimeView:
        voice, name = self._voice, self._directory.people[offered.person_id].name
        say = voice.agreed if zoned else voice.moment
        label = say(offered.starts_at, now=self._now)
        slot = voice.local(offered.starts_at).isoformat(timespec="minutes")
        return TimeView(offered.starts_at, slot, label, offered.wanted, name)

    def _promised(self, kind: PromiseKind, medium: Medium, person_id: int, due_at: datetime) -> str:
        acting = self._directory.acting(person_id, self._now, topic_id=self._case.topic_id)
        name, due = self._directory.people[acting.person_id].name, self._voice.moment(due_at, now=self._now)
        return wording.sentence(kind, medium, name, due, self._voice)

    def _common_name(self, shown: Sequence[TimeView]) -> str | None:
        names, booked = {time.name for time in shown}, self._booked
        if booked is not None and appointments.counts(booked):
            names.add(agreed_time.keeper(self._directory, self._case, booked).name)
        return names.pop() if len(names) == 1 else None


def _picked(times: Sequence[Offered], most: int) -> list[Offered]:
    """Those wanted before the others; of more than there is room for some from all over the day."""
    wanted = [one for one in times if one.wanted]
    others = [one for one in times if not one.wanted]
    first = _spread(wanted, most)
    return first + _spread(others, most - len(first))


def _spread(times: Sequence[Offered], most: int) -> list[Offered]:
    """At most so many of them, the first and the last among them, the others evenly in between."""
    if len(times) <= most or most < 2:
        return list(times[: max(0, most)])
    return [times[number * (len(times) - 1) // (most - 1)] for number in range(most)]
