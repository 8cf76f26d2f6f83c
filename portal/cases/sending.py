"""Sending hours: from when a letter to a customer may leave, and until when it stays true. Pure.

A letter names whoever acts on the team's working day it was written for; afterwards somebody else may be there, and it
is written anew (``renewing``). A letter nobody asked for leaves inside the sending hours alone, and so do its retries.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from portal.promises import business_time
from portal.promises.business_time import BeyondHolidayTable, Calendar, NoBusinessTime, Span


@dataclass(frozen=True)
class Window:
    """When a letter may leave, as instants."""

    due_at: datetime
    valid_until: datetime | None
    """From then on it is not sent but written anew, even where that is before ``due_at``. None: it stays true."""


def asked(calendars: Iterable[Calendar], *, now: datetime, gone_at: datetime | None = None) -> Window:
    """A letter that answers what the customer or a colleague did: it leaves at once.

    ``calendars`` are the hours of the teams whose days decide who acts; ``gone_at`` is when who signs it goes away.
    """
    return Window(now, _end_of_day(calendars, now=now, gone_at=gone_at))


def unasked(
    calendars: Iterable[Calendar],
    sending: Calendar,
    *,
    now: datetime,
    old_due_at: datetime | None = None,
    gone_at: datetime | None = None,
) -> Window:
    """A letter nobody asked for: it leaves inside the sending hours, and so do its retries.

    One that replaces a date which would pass before the next of these hours leaves at once and at any hour.
    """
    by_day = _end_of_day(calendars, now=now, gone_at=gone_at)
    try:
        opens = business_time.next_open(sending, now)
        if opens > now and old_due_at is not None and now < old_due_at <= opens:
            return Window(now, by_day)
        closes = _span(sending, opens)[1]
    except (NoBusinessTime, BeyondHolidayTable):  # where no hour is known, silence would be worse
        return Window(now, by_day)
    return Window(opens, closes if by_day is None else min(closes, by_day))


def _end_of_day(calendars: Iterable[Calendar], *, now: datetime, gone_at: datetime | None) -> datetime | None:
    """When presence is first judged by another day than now, or by an hour at which who signs is away."""
    ends = [end for calendar in calendars for end in _ends(calendar, now=now, gone_at=gone_at)]
    return min(ends, default=None)


def _ends(calendar: Calendar, *, now: datetime, gone_at: datetime | None) -> Iterable[datetime]:
    try:
        opens = business_time.next_open(calendar, now)
        yield business_time.spans(calendar, _day(calendar, opens))[-1][1]
        if gone_at is not None:
            # Presence is judged at the next business minute: in a lunch break already by the afternoon.
            left = business_time.latest_open(calendar, gone_at)
            yield left if left > now else gone_at
    except (NoBusinessTime, BeyondHolidayTable):
        return


def _span(calendar: Calendar, opened: datetime) -> Span:
    """The hours that hold an instant at which it is open."""
    return next(span for span in business_time.spans(calendar, _day(calendar, opened)) if span[0] <= opened < span[1])


def _day(calendar: Calendar, at: datetime) -> date:
    return at.astimezone(ZoneInfo(calendar.tz)).date()
