"""Sending hours: from when a letter may leave, and until when it stays true."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.cases import sending
from portal.cases.sending import Window
from portal.promises.business_time import BeyondHolidayTable, Calendar, NoBusinessTime, between, is_open, next_open
from portal.promises.service_level import sending_calendar
from tests.rules.test_business_time import calendars, few, instants, local, make_calendar

HOLIDAY = date(2026, 11, 26)
TEAM = make_calendar((8 * 60, 12 * 60), (13 * 60, 17 * 60), off=frozenset({HOLIDAY}))
HOURS = sending_calendar(TEAM)
NO_HOURS = Calendar("Europe/Berlin", {}, lambda day: False, date(2028, 12, 31))


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-24T09:12", "2026-11-24T17:00"),
        ("2026-11-24T12:30", "2026-11-24T17:00"),
        ("2026-11-24T16:59", "2026-11-24T17:00"),
        # The day is over: whoever acts is judged by the next one.
        ("2026-11-24T17:00", "2026-11-25T17:00"),
        ("2026-11-24T23:30", "2026-11-25T17:00"),
        ("2026-11-25T18:00", "2026-11-27T17:00"),  # over a holiday
        ("2026-11-27T18:00", "2026-11-30T17:00"),  # over a weekend
        ("2026-11-29T03:00", "2026-11-30T17:00"),
    ],
)
def test_an_answer_leaves_at_once_and_is_true_until_the_working_day_it_was_written_for_ends(
    now: str, until: str
) -> None:
    assert sending.asked([TEAM], now=local(now)) == Window(local(now), local(until))


@pytest.mark.parametrize(
    ("gone_at", "until"),
    [
        ("2026-11-24T15:00", "2026-11-24T15:00"),
        ("2026-11-24T12:30", "2026-11-24T12:00"),  # in the lunch break presence is judged by the afternoon
        ("2026-11-25T00:00", "2026-11-24T17:00"),
        ("2026-12-14T00:00", "2026-11-24T17:00"),
    ],
)
def test_whoever_goes_away_signs_nothing_that_arrives_afterwards(gone_at: str, until: str) -> None:
    now = local("2026-11-24T09:12")

    assert sending.asked([TEAM], now=now, gone_at=local(gone_at)).valid_until == local(until)


def test_where_two_teams_decide_who_acts_the_shorter_day_counts() -> None:
    short = make_calendar((8 * 60, 14 * 60))

    assert sending.asked([TEAM, short], now=local("2026-11-24T09:12")).valid_until == local("2026-11-24T14:00")


@pytest.mark.parametrize(
    ("now", "due", "until"),
    [
        ("2026-11-24T09:12", "2026-11-24T09:12", "2026-11-24T17:00"),
        # After the team's day somebody else may act; the letter may still leave until seven.
        ("2026-11-24T17:30", "2026-11-24T17:30", "2026-11-24T19:00"),
        ("2026-11-24T18:59", "2026-11-24T18:59", "2026-11-24T19:00"),
        ("2026-11-24T19:00", "2026-11-25T07:00", "2026-11-25T17:00"),
        ("2026-11-24T06:59", "2026-11-24T07:00", "2026-11-24T17:00"),
        ("2026-11-25T20:00", "2026-11-27T07:00", "2026-11-27T17:00"),
        ("2026-11-28T12:00", "2026-11-30T07:00", "2026-11-30T17:00"),
    ],
)
def test_a_letter_nobody_asked_for_leaves_inside_the_sending_hours(now: str, due: str, until: str) -> None:
    assert sending.unasked([TEAM], HOURS, now=local(now)) == Window(local(due), local(until))


@pytest.mark.parametrize(
    ("old", "goes_now"),
    [
        ("2026-11-24T20:30", True),
        ("2026-11-25T07:00", True),
        ("2026-11-25T07:30", False),
        ("2026-11-24T20:00", False),  # it has passed already: silence was yesterday, and now is no hour for letters
        ("2026-11-24T12:00", False),
    ],
)
def test_where_the_old_date_would_pass_before_the_next_sending_hours_it_leaves_at_once(
    old: str, goes_now: bool
) -> None:
    now = local("2026-11-24T20:00")

    window = sending.unasked([TEAM], HOURS, now=now, old_due_at=local(old))

    assert window.due_at == (now if goes_now else local("2026-11-25T07:00"))
    assert window.valid_until == local("2026-11-25T17:00")


def test_inside_the_sending_hours_the_old_date_changes_nothing() -> None:
    now = local("2026-11-24T18:00")

    assert sending.unasked([TEAM], HOURS, now=now, old_due_at=local("2026-11-24T18:30")) == Window(
        now, local("2026-11-24T19:00")
    )


@pytest.mark.parametrize("now", ["2026-11-24T09:12", "2026-11-29T03:00"])
def test_where_no_hours_are_known_letters_leave_at_once(now: str) -> None:
    at = local(now)

    assert sending.asked([NO_HOURS], now=at) == sending.unasked([NO_HOURS], NO_HOURS, now=at) == Window(at, None)


@few
@given(calendar=calendars(), now=instants)
def test_what_leaves_while_it_is_true_leaves_inside_the_sending_hours(calendar: Calendar, now: datetime) -> None:
    hours = sending_calendar(calendar)
    try:
        window = sending.unasked([calendar], hours, now=now)
        opens = next_open(hours, now)
    except (NoBusinessTime, BeyondHolidayTable):
        return

    assert window.due_at == opens
    assert window.valid_until is not None
    assert window.valid_until > now
    if window.due_at < window.valid_until:  # else it is written anew before it leaves
        assert is_open(hours, window.valid_until - timedelta(microseconds=1))
        assert between(hours, window.due_at, window.valid_until) == minutes(window.due_at, window.valid_until)


@few
@given(calendar=calendars(), now=instants, ahead=st.timedeltas(timedelta(seconds=1), timedelta(days=4)))
def test_a_date_that_can_still_be_told_in_time_is_never_passed_over(
    calendar: Calendar, now: datetime, ahead: timedelta
) -> None:
    """Outside the sending hours only for its sake, and never later than it."""
    hours = sending_calendar(calendar)
    window = sending.unasked([calendar], hours, now=now, old_due_at=now + ahead)
    try:
        opens = next_open(hours, now)
    except (NoBusinessTime, BeyondHolidayTable):
        return

    assert window.due_at <= now + ahead
    assert window.due_at == (now if now + ahead <= opens else opens)


@few
@given(calendar=calendars(), now=instants, later=st.timedeltas(timedelta(), timedelta(days=3)))
def test_while_an_answer_is_true_who_acts_is_judged_by_the_same_day(
    calendar: Calendar, now: datetime, later: timedelta
) -> None:
    try:
        day = local_day(calendar, next_open(calendar, now))
        valid_until = sending.asked([calendar], now=now).valid_until
        same = local_day(calendar, next_open(calendar, now + later)) == day
    except (NoBusinessTime, BeyondHolidayTable):
        return

    assert valid_until is not None
    assert (now + later < valid_until) == same


def minutes(start: datetime, end: datetime) -> float:
    return (end - start) / timedelta(minutes=1)


def local_day(calendar: Calendar, at: datetime) -> date:
    return at.astimezone(ZoneInfo(calendar.tz)).date()
