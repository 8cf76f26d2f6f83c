"""Business time: when a team works, and how its minutes are counted.

A team is open at an instant when the wall clock of its place reads a time within its hours, on a working
day. Both clock changes follow from that sentence: an hour that is skipped is not worked, an hour that comes
twice is worked twice. Instants come in aware and go out in UTC, and every sum is done in UTC; the wall
clock is read only to lay out one day, because a local "+ 1 day" is 23 or 25 hours long twice a year.

Pure: no database, no clock; a calendar remembers the days it has laid out, nothing else is kept. The work grows
with the number of days touched. Every function raises ValueError for an instant without a time zone.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

Span: TypeAlias = tuple[datetime, datetime]
"""From (inclusive) and until (exclusive), both in UTC."""

ONE_DAY = timedelta(days=1)
LONGEST_SEARCH = 366
"""Days without an opening after which a search gives up: a calendar closed for a year is a mistake."""
DAYS_REMEMBERED = 1000


class NoBusinessTime(ValueError):
    """The calendar has no opening hours at all, or none within a year."""


class BeyondHolidayTable(ValueError):
    """A day was asked for that the holiday table does not know: whether it is a holiday would be a guess."""


@dataclass(frozen=True)
class Calendar:
    """When a team works.

    ``hours`` maps a weekday (0 is Monday) to spans in minutes of the local wall-clock day; a span may end at
    1440, which is 24:00. Raises ValueError for hours outside the week or the day.
    """

    tz: str
    """IANA name."""
    hours: Mapping[int, tuple[tuple[int, int], ...]]
    is_day_off: Callable[[date], bool]
    """Whether the day is a public holiday or a closure of that place or team."""
    ends_on: date
    """The last day the holiday table knows."""
    laid_out: dict[date, tuple[Span, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Days that were asked for: each answer asks for the same few again and again."""

    def __post_init__(self) -> None:
        for weekday, day in self.hours.items():
            if weekday not in range(7) or any(not 0 <= start < end <= 1440 for start, end in day):
                raise ValueError(f"Opening hours outside the week or the day: weekday {weekday}, {day}.")


def spans(calendar: Calendar, day: date) -> tuple[Span, ...]:
    """The spans in which the team works on a local day, in UTC, earliest first; touching ones are joined.

    On the day of a clock change a span over the gap is shorter, one that begins in the gap begins with the
    first instant after it, and one over the doubled hour is longer: the clock reads that hour twice, and
    each reading counts. Raises BeyondHolidayTable.
    """
    known = calendar.laid_out.get(day)
    if known is None:
        known = _lay_out(calendar, day)
        if len(calendar.laid_out) >= DAYS_REMEMBERED:
            calendar.laid_out.clear()
        calendar.laid_out[day] = known
    return known


def is_working_day(calendar: Calendar, day: date) -> bool:
    """Whether the local day has hours and is neither a holiday nor a closure. Raises BeyondHolidayTable."""
    if day > calendar.ends_on:
        raise BeyondHolidayTable(f"The holiday table ends on {calendar.ends_on}; {day} lies beyond it.")
    return bool(calendar.hours.get(day.weekday())) and not calendar.is_day_off(day)


def is_open(calendar: Calendar, at: datetime) -> bool:
    """Whether the team works at this instant; at closing time it no longer does.

    Raises BeyondHolidayTable.
    """
    at = _in_utc(at)
    return any(start <= at < end for start, end in spans(calendar, _local_day(calendar, at)))


def next_open(calendar: Calendar, at: datetime) -> datetime:
    """The first instant at or after ``at`` at which the team works: ``at`` itself when it is open.

    Raises NoBusinessTime, BeyondHolidayTable.
    """
    return next(_from(calendar, _in_utc(at)))[0]


def latest_open(calendar: Calendar, at: datetime) -> datetime:
    """The last instant at or before ``at`` that lies in a span or is the end of one.

    Raises NoBusinessTime, BeyondHolidayTable.
    """
    return next(_back_from(calendar, _in_utc(at)))[1]


def add(calendar: Calendar, at: datetime, minutes: float) -> datetime:
    """The instant ``minutes`` business minutes after ``at``.

    What arrives outside the hours counts from the next opening. Time that runs out with the day ends there
    ("bis 17 Uhr") and not the next morning. Raises NoBusinessTime, BeyondHolidayTable, and ValueError for
    negative minutes.
    """
    left = _duration(minutes)
    ahead = _from(calendar, _in_utc(at))
    start, end = next(ahead)
    while end - start < left:
        left -= end - start
        start, end = next(ahead)
    return start + left


def subtract(calendar: Calendar, at: datetime, minutes: float) -> datetime:
    """The instant ``minutes`` business minutes before ``at``.

    The mirror of ``add``: outside the hours it counts from the last closing, and time used up at an opening
    ends there and not the evening before. Raises NoBusinessTime, BeyondHolidayTable, and ValueError for
    negative minutes.
    """
    left = _duration(minutes)
    back = _back_from(calendar, _in_utc(at))
    start, end = next(back)
    while end - start < left:
        left -= end - start
        start, end = next(back)
    return end - left


def between(calendar: Calendar, start: datetime, end: datetime) -> float:
    """Business minutes from ``start`` to ``end``, below zero when ``end`` comes first.

    Raises NoBusinessTime, BeyondHolidayTable.
    """
    start, end = _in_utc(start), _in_utc(end)
    if end < start:
        return -between(calendar, end, start)
    _refuse_empty(calendar)
    day, last = _local_day(calendar, start), _local_day(calendar, end)
    worked = timedelta()
    while day <= last:
        for opens, closes in spans(calendar, day):
            worked += max(min(closes, end) - max(opens, start), timedelta())
        day += ONE_DAY
    return worked / timedelta(minutes=1)


def round_up(calendar: Calendar, at: datetime, step: int = 30) -> datetime:
    """``at`` moved up to the next full step of the hour on the wall clock, never past the end of its span.

    ``step`` is in minutes and divides the hour. What lies outside the hours is first moved to the next
    opening. Raises NoBusinessTime, BeyondHolidayTable, and ValueError for another step.
    """
    if step < 1 or 60 % step:
        raise ValueError(f"A step of {step} minutes does not divide the hour.")
    at = _in_utc(at)
    end = _end_of_span(calendar, at)
    if end is None:
        return round_up(calendar, next_open(calendar, at), step)
    local = at.astimezone(ZoneInfo(calendar.tz))
    past_the_hour = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return min(at + (-past_the_hour) % timedelta(minutes=step), end)


def _end_of_span(calendar: Calendar, at: datetime) -> datetime | None:
    """The end of the span that holds the instant or ends with it; None outside the hours."""
    day = _local_day(calendar, at)
    # At midnight the span that ends there belongs to the day before.
    touching = [*spans(calendar, day - ONE_DAY), *spans(calendar, day)]
    return max((end for start, end in touching if start <= at <= end), default=None)


def _from(calendar: Calendar, at: datetime) -> Iterator[Span]:
    """The spans from ``at`` on, earliest first, the first one cut to begin at ``at``."""
    _refuse_empty(calendar)
    day, closed = _local_day(calendar, at), 0
    while closed <= LONGEST_SEARCH:
        ahead = [(max(start, at), end) for start, end in spans(calendar, day) if end > at]
        yield from ahead
        closed = 0 if ahead else closed + 1
        day += ONE_DAY
    raise NoBusinessTime(f"No opening hours in the year before {day}.")


def _back_from(calendar: Calendar, at: datetime) -> Iterator[Span]:
    """The spans up to ``at``, latest first, the first one cut to end at ``at``."""
    _refuse_empty(calendar)
    day, closed = _local_day(calendar, at), 0
    while closed <= LONGEST_SEARCH:
        behind = [(start, min(end, at)) for start, end in reversed(spans(calendar, day)) if start <= at]
        yield from behind
        closed = 0 if behind else closed + 1
        day -= ONE_DAY
    raise NoBusinessTime(f"No opening hours in the year after {day}.")


def _refuse_empty(calendar: Calendar) -> None:
    if not any(calendar.hours.values()):
        raise NoBusinessTime("The calendar has no opening hours.")


def _lay_out(calendar: Calendar, day: date) -> tuple[Span, ...]:
    if not is_working_day(calendar, day):
        return ()
    steady = _steady_clock(ZoneInfo(calendar.tz), day)
    pieces = (piece for hours in calendar.hours[day.weekday()] for piece in _read(day, hours, steady))
    return tuple(_joined(sorted(pieces)))


def _steady_clock(zone: ZoneInfo, day: date) -> list[tuple[datetime, datetime, timedelta]]:
    """The parts of a local day in which the clock runs evenly, with their offsets: two on a clock change."""
    midnight = datetime.combine(day, time(), zone)
    next_midnight = datetime.combine(day + ONE_DAY, time(), zone)
    before, after = _offset(midnight), _offset(next_midnight)
    first, last = midnight.astimezone(UTC), next_midnight.astimezone(UTC)
    if before == after:
        return [(first, last, before)]

    def has_changed(second: int) -> bool:
        return _offset((first + timedelta(seconds=second)).astimezone(zone)) == after

    seconds = range(int((last - first).total_seconds()))
    change = first + timedelta(seconds=bisect_left(seconds, True, key=has_changed))
    return [(first, change, before), (change, last, after)]


def _read(day: date, hours: tuple[int, int], steady: list[tuple[datetime, datetime, timedelta]]) -> Iterator[Span]:
    """The instants at which the clock reads a time within ``hours``: one span for each part of the day."""
    midnight = datetime.combine(day, time(), UTC)
    for first, last, offset in steady:
        start = max(first, midnight + timedelta(minutes=hours[0]) - offset)
        end = min(last, midnight + timedelta(minutes=hours[1]) - offset)
        if start < end:
            yield start, end


def _joined(pieces: list[Span]) -> list[Span]:
    """Sorted spans, those that touch or overlap made one: nobody's minute counts twice."""
    joined: list[Span] = []
    for start, end in pieces:
        if joined and start <= joined[-1][1]:
            first, latest = joined.pop()
            joined.append((first, max(latest, end)))
        else:
            joined.append((start, end))
    return joined


def _local_day(calendar: Calendar, at: datetime) -> date:
    return at.astimezone(ZoneInfo(calendar.tz)).date()


def _in_utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone; which instant it means is unknown.")
    return at.astimezone(UTC)


def _duration(minutes: float) -> timedelta:
    if minutes < 0:
        raise ValueError(f"{minutes} minutes: count in the other direction instead.")
    return timedelta(minutes=minutes)


def _offset(local: datetime) -> timedelta:
    """How far the wall clock is ahead of UTC."""
    return local.replace(tzinfo=None) - local.astimezone(UTC).replace(tzinfo=None)
