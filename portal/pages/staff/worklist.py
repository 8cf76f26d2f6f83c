"""The worklist's groups (late, due today, tomorrow, this week, later), earliest first. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, TypeVar
from zoneinfo import ZoneInfo


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

    @property
    def overdue_at(self) -> datetime: ...


Row = TypeVar("Row", bound=HasDueTime)


def due(at: datetime, *, now: datetime, tz: str, overdue_at: datetime | None = None) -> Due:
    """Which group an instant belongs to on the reader's calendar; a week ends with its Sunday.

    What has begun and is not overdue yet is today's.
    """
    today, day = (instant.astimezone(ZoneInfo(tz)).date() for instant in (now, at))
    if (overdue_at or at) <= now:
        return Due.OVERDUE
    if day <= today:
        return Due.TODAY
    if day == today + timedelta(days=1):
        return Due.TOMORROW
    return Due.THIS_WEEK if day <= today + timedelta(days=6 - today.weekday()) else Due.LATER


def grouped(rows: Iterable[Row], *, now: datetime, tz: str) -> list[tuple[Due, list[Row]]]:
    """The rows by group, earliest first; groups without rows are left out."""
    groups: dict[Due, list[Row]] = {group: [] for group in Due}
    for row in sorted(rows, key=lambda row: row.due_at):
        groups[due(row.due_at, now=now, tz=tz, overdue_at=row.overdue_at)].append(row)
    return [(group, members) for group, members in groups.items() if members]
