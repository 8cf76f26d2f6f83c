"""Dates and times as colleagues type them: the wall clock of the team, and its two odd nights a year. Pure."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo


class NoSuchTime(ValueError):
    """The clock jumps over this time."""


class TwiceThatTime(ValueError):
    """The clock shows this time twice, so it does not say which instant is meant."""


def instant(day: date, hour: time, tz: str) -> datetime:
    """The instant, in UTC, at which the team's clock shows this day and hour; where the calendar ends, near enough.

    Raises NoSuchTime in the hour that the spring change leaves out, TwiceThatTime in the one autumn repeats.
    """
    local = datetime.combine(day, hour, ZoneInfo(tz))
    try:
        first, second = local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)
    except OverflowError:
        return local.replace(tzinfo=UTC)
    if first.astimezone(local.tzinfo).replace(tzinfo=None) != local.replace(tzinfo=None):
        raise NoSuchTime(f"{local} does not exist in {tz}.")
    if first != second:
        raise TwiceThatTime(f"{local} exists twice in {tz}.")
    return first


def local(at: datetime, tz: str) -> tuple[date, time]:
    """Day and hour, to the minute, that the team's clock shows at an instant."""
    shown = at.astimezone(ZoneInfo(tz))
    return shown.date(), time(shown.hour, shown.minute)
