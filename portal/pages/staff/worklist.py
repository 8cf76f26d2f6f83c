"""The worklist's groups (late, due today, tomorrow, this week, later) and how much time is left. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, TypeVar
from zoneinfo import ZoneInfo

from portal.languages import Voice
from portal.promises.business_time import Calendar, between


class Due(StrEnum):
    """When a step is due, seen from today; in the order of the page."""

    OVERDUE = "overdue"
    TODAY = "today"
    TOMORROW = "tomorrow"
    THIS_WEEK = "this_week"
    LATER = "later"


class HasDueTime(Protocol):
    """What grouping must know of a row."""

    @property
    def due_at(self) -> datetime: ...


Row = TypeVar("Row", bound=HasDueTime)


def due(at: datetime, *, now: datetime, tz: str) -> Due:
    """Which group an instant belongs to on the reader's calendar; a week ends with its Sunday."""
    today, day = (instant.astimezone(ZoneInfo(tz)).date() for instant in (now, at))
    if at <= now:
        return Due.OVERDUE
    if day == today:
        return Due.TODAY
    if day == today + timedelta(days=1):
        return Due.TOMORROW
    return Due.THIS_WEEK if day <= today + timedelta(days=6 - today.weekday()) else Due.LATER


def grouped(rows: Iterable[Row], *, now: datetime, tz: str) -> list[tuple[Due, list[Row]]]:
    """The rows by group, earliest first; groups without rows are left out."""
    groups: dict[Due, list[Row]] = {group: [] for group in Due}
    for row in sorted(rows, key=lambda row: row.due_at):
        groups[due(row.due_at, now=now, tz=tz)].append(row)
    return [(group, members) for group, members in groups.items() if members]


def time_left(calendar: Calendar, due_at: datetime, voice: Voice, *, now: datetime) -> str:
    """How much of the team's working time is left, or has passed since, in whole hours or minutes."""
    late = due_at <= now
    minutes = between(calendar, due_at, now) if late else between(calendar, now, due_at)
    if minutes >= 60:
        hours = round(minutes / 60)
        if hours == 1:
            return voice.say("1 working hour late") if late else voice.say("1 working hour left")
        return (
            voice.say("%(n)s working hours late", n=hours) if late else voice.say("%(n)s working hours left", n=hours)
        )
    whole = int(minutes)
    return (
        voice.say("%(n)s working minutes late", n=whole) if late else voice.say("%(n)s working minutes left", n=whole)
    )
