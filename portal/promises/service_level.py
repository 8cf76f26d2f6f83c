"""Service levels: when a promise falls due, when its person is reminded, when the customer must have notice.

Pure. All lengths are business minutes of the team's calendar (DESIGN.md section 4, "The ladder"); only the
notice, a letter nobody asked for, is bound to the sending hours as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice

from portal.promises.business_time import Calendar, add, between, is_open, latest_open, round_up, subtract

LEAST_ROOM = 30
"""Business minutes: a nearer date leaves no time to do the thing or to give notice of it."""
FURTHEST_PUSH = 1000
"""Half hours of business time a computed date is pushed at most before it is refused: about three months."""


class NoRoom(ValueError):
    """The date is too near, or no instant inside the sending hours is left for giving notice before it."""


@dataclass(frozen=True)
class Level:
    """What a topic promises, in business minutes of its team."""

    answer_min: int
    update_min: int
    remind_min: int
    notice_min: int


@dataclass(frozen=True)
class Schedule:
    """The three instants of a promise, in UTC."""

    due_at: datetime
    remind_at: datetime | None
    """None when it would lie before the promise is given."""
    notice_at: datetime


def sending_calendar(calendar: Calendar, *, from_minute: int = 7 * 60, until_minute: int = 19 * 60) -> Calendar:
    """The hours in which letters nobody asked for may leave: the same on each day on which the team works.

    Minutes of the local wall-clock day in the team's zone; raises ValueError when they lie outside it.
    """
    sends = ((from_minute, until_minute),)
    return replace(calendar, hours={weekday: sends for weekday, hours in calendar.hours.items() if hours})


def schedule(
    level: Level,
    calendar: Calendar,
    sending: Calendar,
    *,
    given_at: datetime,
    due_at: datetime,
    quiet_until: datetime | None = None,
) -> Schedule:
    """The instants of a promise given at ``given_at`` for ``due_at``.

    Notice is given at the latest instant inside the sending hours at or before the date less the level's
    notice time, or less half of the business time given where that is shorter; ``given_at`` < ``notice_at``
    < ``due_at`` always, and no notice falls before ``quiet_until``: the customer has had today's. Raises NoRoom,
    NoBusinessTime, BeyondHolidayTable.
    """
    room = between(calendar, given_at, due_at)
    if room < LEAST_ROOM:
        raise NoRoom(f"The date is {room:.0f} business minutes away; {LEAST_ROOM} is the least.")
    notice_at = latest_sending(sending, subtract(calendar, due_at, min(level.notice_min, room / 2)))
    if not given_at < notice_at < due_at:
        raise NoRoom("Between giving the promise and its date no notice could be sent.")
    if quiet_until is not None and notice_at < quiet_until:
        raise NoRoom("A notice before this date would be the second one of a day.")
    remind_at = subtract(calendar, due_at, level.remind_min)
    return Schedule(due_at.astimezone(UTC), remind_at if remind_at > given_at else None, notice_at)


def due_after(
    level_minutes: int,
    calendar: Calendar,
    sending: Calendar,
    *,
    level: Level,
    given_at: datetime,
    counted_from: datetime | None = None,
    quiet_until: datetime | None = None,
) -> Schedule:
    """The instants of a promise whose date is computed: ``level_minutes`` later, on a full half hour.

    Later than ``counted_from`` where that is given, such as the date that is moved, else than ``given_at``. A date
    without room is pushed to the next half hour that has it. Raises NoRoom when there is none within FURTHEST_PUSH of
    them, NoBusinessTime, BeyondHolidayTable.
    """
    first = round_up(calendar, add(calendar, counted_from or given_at, level_minutes))
    for due_at in islice(_dates_from(calendar, first), FURTHEST_PUSH):
        try:
            return schedule(level, calendar, sending, given_at=given_at, due_at=due_at, quiet_until=quiet_until)
        except NoRoom:
            continue
    raise NoRoom(f"None of the {FURTHEST_PUSH} half hours from {first} on leaves room for a notice.")


def latest_sending(sending: Calendar, at: datetime) -> datetime:
    """The last minute at or before ``at`` in which a letter may leave; closing time itself is too late."""
    latest = latest_open(sending, at)
    return latest if is_open(sending, latest) else subtract(sending, latest, 1)


def _dates_from(calendar: Calendar, due_at: datetime) -> Iterator[datetime]:
    """The date, then each following half hour of business time (and each closing time between two)."""
    while True:
        yield due_at
        due_at = round_up(calendar, add(calendar, due_at, 1))
