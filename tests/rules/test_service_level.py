"""Service levels: the date, the reminder and the notice of a promise, and where there is no room for them."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from portal.promises.business_time import (
    BeyondHolidayTable,
    Calendar,
    NoBusinessTime,
    add,
    between,
    is_open,
    latest_open,
    subtract,
)
from portal.promises.service_level import (
    FURTHEST_PUSH,
    LEAST_ROOM,
    Level,
    NoRoom,
    Schedule,
    due_after,
    schedule,
    sending_calendar,
)
from tests.rules.test_business_time import NAIVE, calendars, hours_of_at_least, instants, local, make_calendar

EIGHT_HOURS = Level(answer_min=480, update_min=480, remind_min=240, notice_min=60)
TEAM = make_calendar((8 * 60, 17 * 60))
SENDING = sending_calendar(TEAM)


def if_any(text: str | None) -> datetime | None:
    return local(text) if text else None


def test_letters_leave_from_7_to_19_on_the_days_on_which_the_team_works() -> None:
    calendar = make_calendar(off=frozenset({date(2026, 11, 26)}))

    sending = sending_calendar(calendar)

    assert is_open(sending, local("2026-11-27T07:00"))
    assert not is_open(sending, local("2026-11-27T19:00"))
    assert not is_open(sending, local("2026-11-26T10:00"))
    assert not is_open(sending, local("2026-11-28T10:00"))


def test_sending_hours_can_be_others_but_not_outside_the_day() -> None:
    assert is_open(sending_calendar(TEAM, from_minute=0, until_minute=1440), local("2026-11-27T23:59"))
    with pytest.raises(ValueError, match="outside the week or the day"):
        sending_calendar(TEAM, from_minute=19 * 60, until_minute=7 * 60)


def test_a_weekday_without_hours_is_no_day_for_letters() -> None:
    calendar = Calendar("Europe/Berlin", {0: ((480, 720),), 1: ()}, lambda day: False, date(2028, 12, 31))

    assert set(sending_calendar(calendar).hours) == {0}


@pytest.mark.parametrize(
    ("given_at", "due_at", "remind_at", "notice_at"),
    [
        # Half a day: an hour's notice, reminded four hours before.
        ("2026-11-26T08:00", "2026-11-26T15:00", "2026-11-26T11:00", "2026-11-26T14:00"),
        # The reminder would lie before the promise: there is none.
        ("2026-11-26T11:00", "2026-11-26T15:00", None, "2026-11-26T14:00"),
        ("2026-11-26T12:00", "2026-11-26T15:00", None, "2026-11-26T14:00"),
        # A short promise: notice after half of the time.
        ("2026-11-26T10:00", "2026-11-26T11:00", None, "2026-11-26T10:30"),
        ("2026-11-26T10:00", "2026-11-26T10:30", None, "2026-11-26T10:15"),
        # First thing on Monday: notice on Friday, in business minutes.
        ("2026-11-26T10:00", "2026-11-30T08:30", "2026-11-27T13:30", "2026-11-27T16:30"),
        # Notice time used up at the opening: not the evening before.
        ("2026-11-26T10:00", "2026-11-27T09:00", "2026-11-26T14:00", "2026-11-27T08:00"),
        # Given on Sunday, for Monday: half of Monday's minutes, none of Sunday's.
        ("2026-11-29T10:00", "2026-11-30T09:00", None, "2026-11-30T08:30"),
    ],
)
def test_the_three_instants_of_a_promise(given_at: str, due_at: str, remind_at: str | None, notice_at: str) -> None:
    made = schedule(EIGHT_HOURS, TEAM, SENDING, given_at=local(given_at), due_at=local(due_at))

    assert made == Schedule(local(due_at), if_any(remind_at), local(notice_at))
    assert made.due_at.tzinfo is made.notice_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("due_at", "notice_at"),
    [
        # A night team; letters leave until 19:00, and a letter due at 19:00 sharp would leave after it.
        ("2026-11-26T23:00", "2026-11-26T18:59"),
        ("2026-11-26T20:30", "2026-11-26T18:59"),
        ("2026-11-26T19:30", "2026-11-26T18:30"),
    ],
)
def test_notice_is_given_inside_the_sending_hours(due_at: str, notice_at: str) -> None:
    night = make_calendar((12 * 60, 1440))

    made = schedule(
        EIGHT_HOURS,
        night,
        sending_calendar(night),
        given_at=local("2026-11-26T12:00"),
        due_at=local(due_at),
    )

    assert made.notice_at == local(notice_at)


def test_notice_before_the_morning_sending_hours_is_given_the_evening_before() -> None:
    early = make_calendar((5 * 60, 14 * 60))

    made = schedule(
        EIGHT_HOURS,
        early,
        sending_calendar(early),
        given_at=local("2026-11-26T10:00"),
        due_at=local("2026-11-27T06:30"),
    )

    assert made.notice_at == local("2026-11-26T18:59")


@pytest.mark.parametrize(
    ("given_at", "due_at"),
    [
        ("2026-11-26T10:00", "2026-11-26T10:29"),
        ("2026-11-26T10:00", "2026-11-26T10:00"),
        ("2026-11-26T10:00", "2026-11-26T09:00"),
        ("2026-11-27T16:45", "2026-11-30T08:14"),
        ("2026-11-28T10:00", "2026-11-29T10:00"),
    ],
)
def test_a_date_less_than_30_business_minutes_away_is_refused(given_at: str, due_at: str) -> None:
    with pytest.raises(NoRoom, match="business minutes away"):
        schedule(EIGHT_HOURS, TEAM, SENDING, given_at=local(given_at), due_at=local(due_at))


def test_a_date_before_which_no_letter_can_leave_is_refused() -> None:
    night = make_calendar((20 * 60, 1440))

    with pytest.raises(NoRoom, match="no notice could be sent"):
        schedule(
            EIGHT_HOURS,
            night,
            sending_calendar(night),
            given_at=local("2026-11-26T20:00"),
            due_at=local("2026-11-26T23:00"),
        )


def test_a_promise_from_an_instant_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        schedule(
            EIGHT_HOURS,
            TEAM,
            SENDING,
            given_at=NAIVE,
            due_at=local("2026-11-26T15:00"),
        )


@pytest.mark.parametrize(
    ("given_at", "length", "due_at"),
    [
        ("2026-11-26T09:00", 480, "2026-11-26T17:00"),
        ("2026-11-26T09:10", 480, "2026-11-27T08:30"),
        ("2026-11-27T16:40", 120, "2026-11-30T10:00"),
        ("2026-11-26T10:00", 30, "2026-11-26T10:30"),
        # Too near: pushed to the next half hour with room.
        ("2026-11-26T10:00", 5, "2026-11-26T10:30"),
        ("2026-11-26T10:05", 5, "2026-11-26T11:00"),
        ("2026-11-26T16:50", 5, "2026-11-27T08:30"),
        ("2026-11-26T10:00", 0, "2026-11-26T10:30"),
    ],
)
def test_a_computed_date_lies_on_a_half_hour_with_room(given_at: str, length: int, due_at: str) -> None:
    made = due_after(length, TEAM, SENDING, level=EIGHT_HOURS, given_at=local(given_at))

    assert made.due_at == local(due_at)


def test_a_computed_date_before_which_no_letter_can_leave_is_pushed_to_the_next_with_room() -> None:
    night = make_calendar((20 * 60, 1440))

    made = due_after(120, night, sending_calendar(night), level=EIGHT_HOURS, given_at=local("2026-11-26T20:00"))

    assert made == Schedule(local("2026-11-27T21:00"), local("2026-11-26T21:00"), local("2026-11-27T18:59"))


def test_the_push_of_a_computed_date_ends() -> None:
    around_the_clock = make_calendar((0, 1440), days=range(7))
    letters_ended = Calendar(
        "Europe/Berlin",
        dict.fromkeys(range(7), ((420, 1140),)),
        lambda day: day >= date(2026, 11, 26),
        date(2028, 12, 31),
    )

    with pytest.raises(NoRoom, match=str(FURTHEST_PUSH)):
        due_after(60, around_the_clock, letters_ended, level=EIGHT_HOURS, given_at=local("2026-11-26T10:00"))


def test_an_empty_calendar_gives_no_date() -> None:
    empty = Calendar("Europe/Berlin", {}, lambda day: False, date(2028, 12, 31))

    with pytest.raises(NoBusinessTime):
        due_after(60, empty, SENDING, level=EIGHT_HOURS, given_at=local("2026-11-26T10:00"))
    with pytest.raises(NoBusinessTime):
        due_after(60, TEAM, empty, level=EIGHT_HOURS, given_at=local("2026-11-26T10:00"))


def test_a_date_beyond_the_holiday_table_is_refused() -> None:
    ending = make_calendar((480, 1020), ends_on=date(2026, 11, 26))

    with pytest.raises(BeyondHolidayTable):
        due_after(480, ending, sending_calendar(ending), level=EIGHT_HOURS, given_at=local("2026-11-26T10:00"))


# The property of the ladder: a notice lies inside sending hours, before its date, after the promise.

levels = st.builds(
    Level,
    answer_min=st.integers(1, 5000),
    update_min=st.integers(1, 5000),
    remind_min=st.integers(1, 2000),
    notice_min=st.integers(1, 2000),
)
few = settings(max_examples=60, deadline=None)


def unless_refused(promise: Callable[[], Schedule]) -> Schedule:
    """The promise made; what is refused by one of the three names is left out, any other error fails."""
    try:
        return promise()
    except (NoRoom, NoBusinessTime, BeyondHolidayTable):
        reject()


@few
@given(levels, calendars(), hours_of_at_least(1), instants, st.integers(600, 20 * 24 * 60))
def test_notice_lies_inside_sending_hours_before_the_date_and_after_the_promise(
    level: Level, calendar: Calendar, hours: tuple[int, int], given_at: datetime, ahead: int
) -> None:
    sending = sending_calendar(calendar, from_minute=hours[0], until_minute=hours[1])
    due_at = given_at + timedelta(minutes=ahead)

    made = unless_refused(lambda: schedule(level, calendar, sending, given_at=given_at, due_at=due_at))

    assert is_open(sending, made.notice_at)
    assert given_at < made.notice_at < made.due_at == due_at
    assert made.remind_at is None or given_at < made.remind_at < due_at
    notice = min(level.notice_min, between(calendar, given_at, due_at) / 2)
    assert between(calendar, made.notice_at, due_at) >= notice - 1e-6


@few
@given(levels, calendars(), hours_of_at_least(1), instants, st.integers(600, 20 * 24 * 60))
def test_a_date_that_leaves_a_minute_for_the_notice_is_not_refused(
    level: Level, calendar: Calendar, hours: tuple[int, int], given_at: datetime, ahead: int
) -> None:
    sending = sending_calendar(calendar, from_minute=hours[0], until_minute=hours[1])
    due_at = given_at + timedelta(minutes=ahead)
    room = between(calendar, given_at, due_at)

    notice_by = subtract(calendar, due_at, min(level.notice_min, room / 2))
    assume(room >= LEAST_ROOM and between(sending, given_at, notice_by) > 1)

    made = schedule(level, calendar, sending, given_at=given_at, due_at=due_at)

    assert made.notice_at > given_at


@few
@given(levels, calendars(), hours_of_at_least(1), instants)
def test_a_computed_date_has_room_and_is_not_before_the_service_level(
    level: Level, calendar: Calendar, hours: tuple[int, int], given_at: datetime
) -> None:
    sending = sending_calendar(calendar, from_minute=hours[0], until_minute=hours[1])

    made = due_after(level.answer_min, calendar, sending, level=level, given_at=given_at)

    assert is_open(sending, made.notice_at)
    assert given_at < made.notice_at < made.due_at
    assert latest_open(calendar, made.due_at) == made.due_at
    assert made.due_at >= add(calendar, given_at, level.answer_min)
