"""Free times: when a person can be booked.

One rule for every list and every check. A start is free when it lies on the grid of the topic, the talk lies
wholly inside one span of the person's own working hours and touches no absence, and the talk with what is kept
free around it touches no other appointment; and when notice, horizon and the day's limit allow it. The grid is
read off the wall clock, every sum is done in UTC: an hour that is skipped has no starts, one that comes twice
has them twice, as different instants.

Pure: no database, no clock. Every function raises ValueError for an instant without a time zone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from portal.promises.business_time import ONE_DAY, Calendar, Span, spans

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Shape:
    """How long an appointment of a topic is, and how it lies in a day.

    Raises ValueError for a talk or a grid of less than a minute and for negative minutes around it.
    """

    minutes: int
    """Of the talk itself."""
    grid: int
    """Starts lie on the wall-clock minutes of the day that this divides; local midnight is 0."""
    before: int = 0
    """Minutes kept free of other appointments before the talk."""
    after: int = 0

    def __post_init__(self) -> None:
        if min(self.minutes, self.grid) < 1 or min(self.before, self.after) < 0:
            raise ValueError(f"{self}: nothing of this shape can be booked.")

    def ends(self, start: datetime) -> datetime:
        """When a talk that starts then is over, in UTC."""
        return _in_utc(start) + self.minutes * MINUTE

    def busy(self, start: datetime) -> Span:
        """What a talk that starts then takes of the person's day, in UTC: itself and what is kept free around it."""
        return _in_utc(start) - self.before * MINUTE, self.ends(start) + self.after * MINUTE


@dataclass(frozen=True)
class Diary:
    """What one person's days look like. Whoever moves an appointment leaves it out of ``taken``."""

    calendar: Calendar
    """The person's own working hours; a break is a gap between two spans. Days off are the holidays of the own
    place and the closures."""
    taken: tuple[Span, ...]
    """What the booked appointments take, with what is kept free around them."""
    away: tuple[Span, ...]
    """Absences; an end not yet known is ``datetime.max`` in UTC."""

    def __post_init__(self) -> None:
        for span in (*self.taken, *self.away):
            for edge in span:
                _in_utc(edge)


@dataclass(frozen=True)
class Limits:
    """What may be booked at all."""

    earliest: datetime
    """Now and the minimum notice: nothing starts before it."""
    last_on: date
    """The last local day of the horizon."""
    most_a_day: int | None = None
    """How many appointments one local day holds; None for no limit. Each counts for the day on which what it takes
    begins."""

    def __post_init__(self) -> None:
        _in_utc(self.earliest)


def free(shape: Shape, diary: Diary, limits: Limits, day: date) -> tuple[datetime, ...]:
    """The free starts of a local day in UTC, earliest first."""
    return tuple(_free(shape, diary, limits, day))


def is_free(shape: Shape, diary: Diary, limits: Limits, start: datetime) -> bool:
    """Whether a talk may start at this instant: whether its day offers it."""
    start = _in_utc(start)
    return start in _free(shape, diary, limits, _local_day(diary.calendar, start), only=start)


def _free(shape: Shape, diary: Diary, limits: Limits, day: date, *, only: datetime | None = None) -> Iterator[datetime]:
    """The free starts of a local day, looked at as they are asked for; ``only`` one of them, if it is one."""
    if day.toordinal() not in _bookable(diary, limits):
        return
    hours = spans(diary.calendar, day)
    if not hours or _is_full(diary, limits, day):
        return
    opens, closes = hours[0][0], hours[-1][1]
    # What lies apart from the whole day need not be asked about at each start.
    taken = _meeting(diary.taken, (opens - shape.before * MINUTE, closes + shape.after * MINUTE))
    away = _meeting(diary.away, (opens, closes))
    starts = (start for span in hours for start in _starts(shape, ZoneInfo(diary.calendar.tz), span))
    for start in starts:
        if start < limits.earliest or (only is not None and start != only):
            continue
        if not _meeting(away, (start, shape.ends(start))) and not _meeting(taken, shape.busy(start)):
            yield start


def _bookable(diary: Diary, limits: Limits) -> range:
    """The days, as ordinals, that notice, horizon and the holiday table leave."""
    first = _local_day(diary.calendar, limits.earliest)
    last = min(limits.last_on, diary.calendar.ends_on)
    return range(first.toordinal(), last.toordinal() + 1)


def _is_full(diary: Diary, limits: Limits, day: date) -> bool:
    if limits.most_a_day is None:
        return False
    zone = ZoneInfo(diary.calendar.tz)
    midnight, next_midnight = (datetime.combine(each, time(), zone).astimezone(UTC) for each in (day, day + ONE_DAY))
    return sum(midnight <= begins < next_midnight for begins, _ in diary.taken) >= limits.most_a_day


def _starts(shape: Shape, zone: ZoneInfo, span: Span) -> Iterator[datetime]:
    """The instants on the grid from which the talk ends within the span."""
    first, end = span
    # From one start to the next it is a step of the grid, but not over a clock change: there each minute is looked at.
    is_steady = first.astimezone(zone).utcoffset() == end.astimezone(zone).utcoffset()
    begin, step = (-_minute_of_day(first, zone) % shape.grid, shape.grid) if is_steady else (0, 1)
    for minute in range(begin, (end - first) // MINUTE - shape.minutes + 1, step):
        start = first + minute * MINUTE
        if _minute_of_day(start, zone) % shape.grid == 0:
            yield start


def _meeting(others: Iterable[Span], span: Span) -> list[Span]:
    """Those of the spans that share an instant with this one; one that ends where it begins does not."""
    begins, ends = span
    return [other for other in others if other[0] < ends and begins < other[1]]


def _minute_of_day(at: datetime, zone: ZoneInfo) -> int:
    clock = at.astimezone(zone)
    return clock.hour * 60 + clock.minute


def _local_day(calendar: Calendar, at: datetime) -> date:
    """The day of the instant on the wall clock; at the ends of time, where that clock cannot be read, the outermost."""
    try:
        return at.astimezone(ZoneInfo(calendar.tz)).date()
    except OverflowError:
        return date.max if at.year == MAXYEAR else date.min


def _in_utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone; which instant it means is unknown.")
    return at.astimezone(UTC)
