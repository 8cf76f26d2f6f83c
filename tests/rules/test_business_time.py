"""Business time: hours, days off, both clock changes, and the ends of every search."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.people.places import TABLE_ENDS_ON, is_holiday
from portal.promises.business_time import (
    BeyondHolidayTable,
    Calendar,
    NoBusinessTime,
    Span,
    add,
    between,
    is_open,
    is_working_day,
    latest_open,
    next_open,
    round_up,
    spans,
    subtract,
)

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = timedelta(minutes=1)
WEEKDAYS = range(5)
EVERY_DAY = range(7)
OFFICE = ((8 * 60, 12 * 60), (13 * 60, 17 * 60))
CLOCK_GOES_BACK = [date(2026, 10, 25), date(2027, 10, 31)]
CLOCK_GOES_FORWARD = date(2027, 3, 28)
NAIVE = datetime.fromisoformat("2026-11-26T10:00")


def local(text: str, tz: str = "Europe/Berlin") -> datetime:
    """A wall-clock time, as people write it; the first one where the clock reads it twice."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(tz))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def make_calendar(
    *hours: tuple[int, int],
    days: range = WEEKDAYS,
    off: frozenset[date] = frozenset(),
    tz: str = "Europe/Berlin",
    ends_on: date = date(2028, 12, 31),
) -> Calendar:
    """A team's calendar; office hours with a lunch break unless others are named."""
    return Calendar(tz, dict.fromkeys(days, hours or OFFICE), off.__contains__, ends_on)


def noting(asked: list[date], answer: bool) -> Callable[[date], bool]:
    """A rule for days off that gives one answer and notes which days were asked for."""

    def is_day_off(day: date) -> bool:
        asked.append(day)
        return answer

    return is_day_off


def minutes(spans_of_day: list[Span]) -> float:
    return sum((end - start) / MINUTE for start, end in spans_of_day)


# Days


def test_a_day_has_its_spans_in_utc_with_the_lunch_break_left_out() -> None:
    assert list(spans(make_calendar(), date(2026, 11, 26))) == [
        (utc("2026-11-26T07:00"), utc("2026-11-26T11:00")),
        (utc("2026-11-26T12:00"), utc("2026-11-26T16:00")),
    ]


def test_summer_time_moves_the_spans_an_hour() -> None:
    (span,) = spans(make_calendar((480, 1020)), date(2026, 7, 2))

    assert span == (utc("2026-07-02T06:00"), utc("2026-07-02T15:00"))


def test_spans_that_touch_or_overlap_count_once_in_whatever_order_they_are_written() -> None:
    calendar = make_calendar((720, 1020), (480, 600), (540, 720), (500, 510))

    assert list(spans(calendar, date(2026, 11, 26))) == [(utc("2026-11-26T07:00"), utc("2026-11-26T16:00"))]


def test_a_day_may_last_until_24_hours_and_joins_the_next() -> None:
    calendar = make_calendar((22 * 60, 1440), (0, 120))

    assert spans(calendar, date(2026, 11, 26))[-1][1] == local("2026-11-27T00:00")
    assert is_open(calendar, local("2026-11-26T23:59:59.999999"))
    assert is_open(calendar, local("2026-11-27T00:00"))
    assert add(calendar, local("2026-11-26T23:30"), 60) == local("2026-11-27T00:30")
    assert add(calendar, local("2026-11-26T23:30"), 30) == local("2026-11-27T00:00")


@pytest.mark.parametrize(
    ("day", "works"),
    [
        (date(2026, 11, 26), True),
        (date(2026, 11, 28), False),
        (date(2026, 12, 25), False),
    ],
)
def test_a_working_day_has_hours_and_is_no_day_off(day: date, works: bool) -> None:
    calendar = make_calendar(off=frozenset({date(2026, 12, 25)}))

    assert is_working_day(calendar, day) is works
    assert bool(spans(calendar, day)) is works


@pytest.mark.parametrize("hours", [{7: OFFICE}, {-1: OFFICE}, {0: ((0, 1441),)}, {0: ((-1, 60),)}, {0: ((60, 60),)}])
def test_hours_outside_the_week_or_the_day_are_refused(
    hours: dict[int, tuple[tuple[int, int], ...]],
) -> None:
    with pytest.raises(ValueError, match="outside the week or the day"):
        Calendar("Europe/Berlin", hours, lambda day: False, date(2028, 12, 31))


# Clock changes


@pytest.mark.parametrize(
    ("hours", "pieces"),
    [
        # 02:00 to 03:00 does not exist.
        ((60, 240), [("2027-03-28T00:00", "2027-03-28T02:00")]),
        ((150, 240), [("2027-03-28T01:00", "2027-03-28T02:00")]),
        ((60, 150), [("2027-03-28T00:00", "2027-03-28T01:00")]),
        ((120, 180), []),
        ((130, 170), []),
        ((0, 1440), [("2027-03-27T23:00", "2027-03-28T22:00")]),
    ],
)
def test_hours_over_the_gap_are_shorter_and_begin_with_the_first_real_instant(
    hours: tuple[int, int], pieces: list[tuple[str, str]]
) -> None:
    calendar = make_calendar(hours, days=EVERY_DAY)

    assert list(spans(calendar, CLOCK_GOES_FORWARD)) == [(utc(start), utc(end)) for start, end in pieces]


@pytest.mark.parametrize("day", CLOCK_GOES_BACK)
@pytest.mark.parametrize(
    ("hours", "pieces"),
    [
        # 02:00 to 03:00 is read twice: from 00:00 and from 01:00 UTC.
        ((60, 240), [("00:00", -1, "03:00", 0)]),
        ((120, 180), [("00:00", 0, "02:00", 0)]),
        ((60, 120), [("00:00", -1, "00:00", 0)]),
        ((180, 240), [("02:00", 0, "03:00", 0)]),
        ((135, 165), [("00:15", 0, "00:45", 0), ("01:15", 0, "01:45", 0)]),
        ((150, 240), [("00:30", 0, "01:00", 0), ("01:30", 0, "03:00", 0)]),
    ],
)
def test_hours_over_the_doubled_hour_count_each_reading_of_the_clock(
    day: date, hours: tuple[int, int], pieces: list[tuple[str, int, str, int]]
) -> None:
    calendar = make_calendar(hours, days=EVERY_DAY)

    expected = [
        (
            utc(f"{day}T{start}") + timedelta(hours=earlier),
            utc(f"{day}T{end}") + timedelta(hours=later),
        )
        for start, earlier, end, later in pieces
    ]
    assert list(spans(calendar, day)) == expected


@pytest.mark.parametrize(
    ("day", "hours"),
    [(date(2026, 10, 25), 25), (date(2027, 3, 28), 23), (date(2027, 10, 31), 25), (date(2027, 4, 1), 24)],
)
def test_a_day_around_the_clock_has_its_real_length(day: date, hours: int) -> None:
    calendar = make_calendar((0, 1440), days=EVERY_DAY)
    midnight = datetime.combine(day, datetime.min.time(), BERLIN)

    assert minutes(spans(calendar, day)) == hours * 60
    assert between(calendar, midnight, midnight + timedelta(days=1)) == hours * 60


@pytest.mark.parametrize(
    ("friday", "monday"),
    [
        ("2026-10-23T16:00", "2026-10-26T09:00"),
        ("2027-10-29T16:00", "2027-11-01T09:00"),
        ("2027-03-26T16:00", "2027-03-29T09:00"),
    ],
)
def test_a_weekend_with_a_clock_change_is_no_business_time(friday: str, monday: str) -> None:
    calendar = make_calendar()

    assert add(calendar, local(friday), 120) == local(monday)
    assert subtract(calendar, local(monday), 120) == local(friday)
    assert between(calendar, local(friday), local(monday)) == 120


@pytest.mark.parametrize(
    ("tz", "day"),
    [
        ("America/Havana", date(2026, 3, 8)),  # midnight does not exist
        ("America/Havana", date(2026, 11, 1)),  # midnight comes twice
        ("Africa/Cairo", date(2026, 10, 29)),  # 24:00 becomes 23:00
        ("Australia/Lord_Howe", date(2026, 10, 4)),  # half an hour forward
        ("Australia/Lord_Howe", date(2026, 4, 5)),  # half an hour back
        ("Pacific/Apia", date(2011, 12, 30)),  # the whole day does not exist
        ("Europe/Berlin", date(2026, 10, 25)),
        ("Europe/Berlin", date(2027, 3, 28)),
        ("Europe/Zurich", date(2027, 10, 31)),
    ],
)
@pytest.mark.parametrize("hours", [(0, 60), (30, 150), (105, 1395), (1380, 1440), (0, 1440)])
def test_open_is_when_the_wall_clock_reads_a_time_within_the_hours(tz: str, day: date, hours: tuple[int, int]) -> None:
    calendar = make_calendar(hours, days=EVERY_DAY, tz=tz)
    zone = ZoneInfo(tz)
    around = [datetime.combine(day, datetime.min.time(), UTC) + n * 15 * MINUTE for n in range(-100, 200)]
    clocks = [(at, at.astimezone(zone)) for at in around]

    read = [at for at, clock in clocks if hours[0] <= clock.hour * 60 + clock.minute < hours[1]]

    assert [at for at in around if is_open(calendar, at)] == read


# Single instants


@pytest.mark.parametrize(
    ("at", "opens", "closed"),
    [
        ("2026-11-26T10:15", "2026-11-26T10:15", "2026-11-26T10:15"),
        ("2026-11-26T08:00", "2026-11-26T08:00", "2026-11-26T08:00"),
        ("2026-11-26T12:00", "2026-11-26T13:00", "2026-11-26T12:00"),
        ("2026-11-26T12:30", "2026-11-26T13:00", "2026-11-26T12:00"),
        ("2026-11-26T03:00", "2026-11-26T08:00", "2026-11-25T17:00"),
        ("2026-11-27T17:00", "2026-11-30T08:00", "2026-11-27T17:00"),
        ("2026-11-29T12:00", "2026-11-30T08:00", "2026-11-27T17:00"),
    ],
)
def test_the_next_opening_and_the_latest_open_instant(at: str, opens: str, closed: str) -> None:
    calendar = make_calendar()

    assert next_open(calendar, local(at)) == local(opens)
    assert latest_open(calendar, local(at)) == local(closed)


def test_closing_time_is_no_longer_open() -> None:
    calendar = make_calendar()

    assert is_open(calendar, local("2026-11-26T16:59:59"))
    assert not is_open(calendar, local("2026-11-26T17:00"))


def test_answers_are_in_utc_whatever_zone_the_question_had() -> None:
    asked = local("2026-11-26T10:00", "Asia/Tokyo")

    answers = [
        next_open(make_calendar(), asked),
        latest_open(make_calendar(), asked),
        add(make_calendar(), asked, 5),
        subtract(make_calendar(), asked, 5),
        round_up(make_calendar(), asked),
    ]

    assert [answer.tzinfo for answer in answers] == [UTC] * 5


# Sums


@pytest.mark.parametrize(
    ("at", "length", "result"),
    [
        ("2026-11-27T16:40", 120, "2026-11-30T09:40"),  # Friday over the weekend
        ("2026-11-26T16:00", 60, "2026-11-26T17:00"),  # "bis 17 Uhr", not the next morning
        ("2026-11-26T11:30", 30, "2026-11-26T12:00"),
        ("2026-11-26T11:30", 31, "2026-11-26T13:01"),  # over lunch
        ("2026-11-26T12:20", 10, "2026-11-26T13:10"),  # arriving at lunch
        ("2026-11-26T19:00", 30, "2026-11-27T08:30"),  # arriving in the evening
        ("2026-11-28T11:00", 480, "2026-11-30T17:00"),  # arriving on Saturday
        ("2026-12-24T16:00", 120, "2026-12-28T09:00"),  # over Christmas
        ("2026-11-26T10:00", 0.5, "2026-11-26T10:00:30"),
        ("2026-11-26T10:00", 0, "2026-11-26T10:00"),
        ("2026-11-26T12:30", 0, "2026-11-26T13:00"),
        ("2026-11-27T17:00", 0, "2026-11-30T08:00"),
    ],
)
def test_adding_business_minutes(at: str, length: float, result: str) -> None:
    calendar = make_calendar(off=frozenset({date(2026, 12, 25)}))

    assert add(calendar, local(at), length) == local(result)


@pytest.mark.parametrize(
    ("at", "length", "result"),
    [
        ("2026-11-30T09:40", 120, "2026-11-27T16:40"),
        ("2026-11-26T09:00", 60, "2026-11-26T08:00"),  # the opening, not the evening before
        ("2026-11-26T09:00", 61, "2026-11-25T16:59"),
        ("2026-11-26T22:00", 60, "2026-11-26T16:00"),
        ("2026-11-26T08:00", 0, "2026-11-26T08:00"),
        ("2026-11-26T12:30", 0, "2026-11-26T12:00"),
        ("2026-11-29T12:00", 480, "2026-11-27T08:00"),
    ],
)
def test_subtracting_business_minutes(at: str, length: float, result: str) -> None:
    assert subtract(make_calendar(), local(at), length) == local(result)


@pytest.mark.parametrize(
    ("start", "end", "worked"),
    [
        ("2026-11-26T10:00", "2026-11-26T10:00", 0),
        ("2026-11-26T10:00", "2026-11-26T14:00", 180),
        ("2026-11-26T12:10", "2026-11-26T12:50", 0),
        ("2026-11-27T16:40", "2026-11-30T09:40", 120),
        ("2026-11-28T00:00", "2026-11-30T00:00", 0),
        ("2026-11-26T00:00", "2026-12-03T00:00", 5 * 480),
        ("2026-11-30T09:40", "2026-11-27T16:40", -120),
    ],
)
def test_business_minutes_between_two_instants(start: str, end: str, worked: float) -> None:
    assert between(make_calendar(), local(start), local(end)) == worked


@pytest.mark.parametrize(
    ("at", "step", "result"),
    [
        ("2026-11-26T10:00", 30, "2026-11-26T10:00"),
        ("2026-11-26T10:00:00.000001", 30, "2026-11-26T10:30"),
        ("2026-11-26T10:31", 30, "2026-11-26T11:00"),
        ("2026-11-26T10:31", 60, "2026-11-26T11:00"),
        ("2026-11-26T10:31", 5, "2026-11-26T10:35"),
        ("2026-11-26T11:45", 30, "2026-11-26T12:00"),
        ("2026-11-26T12:00", 30, "2026-11-26T12:00"),
        ("2026-11-26T16:31", 30, "2026-11-26T16:40"),  # the day ends before the half hour
        ("2026-11-26T16:40", 30, "2026-11-26T16:40"),
        ("2026-11-26T18:10", 30, "2026-11-27T08:00"),  # outside the hours: the next opening
        ("2026-11-26T12:10", 60, "2026-11-26T13:00"),
    ],
)
def test_rounding_up_to_a_full_step_stays_within_its_span(at: str, step: int, result: str) -> None:
    calendar = make_calendar((480, 720), (780, 1000))

    assert round_up(calendar, local(at), step) == local(result)


def test_rounding_up_may_end_at_midnight() -> None:
    calendar = make_calendar((22 * 60, 1440))

    assert round_up(calendar, local("2026-11-26T23:40")) == local("2026-11-27T00:00")
    assert round_up(calendar, local("2026-11-27T00:00")) == local("2026-11-27T00:00")


def test_steps_are_those_of_the_wall_clock_where_the_zone_is_off_by_a_quarter() -> None:
    calendar = make_calendar(tz="Asia/Kathmandu")

    rounded = round_up(calendar, local("2026-11-26T10:10", "Asia/Kathmandu"))

    assert rounded == local("2026-11-26T10:30", "Asia/Kathmandu")


# Refusals


@pytest.mark.parametrize("ask", [is_open, next_open, latest_open, round_up])
def test_an_instant_without_a_time_zone_is_refused(ask: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        ask(make_calendar(), NAIVE)


@pytest.mark.parametrize("count", [add, subtract])
def test_a_sum_from_an_instant_without_a_time_zone_is_refused(count: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        count(make_calendar(), NAIVE, 5)


def test_a_length_between_instants_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        between(make_calendar(), local("2026-11-26T10:00"), NAIVE)


@pytest.mark.parametrize("count", [add, subtract])
def test_negative_minutes_are_refused(count: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="other direction"):
        count(make_calendar(), local("2026-11-26T10:00"), -1)


@pytest.mark.parametrize("step", [0, -30, 7, 45, 90])
def test_a_step_that_does_not_divide_the_hour_is_refused(step: int) -> None:
    with pytest.raises(ValueError, match="does not divide the hour"):
        round_up(make_calendar(), local("2026-11-26T10:00"), step)


@pytest.mark.parametrize("hours", [{}, {0: ()}])
def test_an_empty_calendar_is_refused_and_not_searched(hours: dict[int, tuple[tuple[int, int], ...]]) -> None:
    asked: list[date] = []
    calendar = Calendar("Europe/Berlin", hours, noting(asked, False), date(9000, 1, 1))
    at, later = local("2026-11-26T10:00"), local("2999-01-01T10:00")

    with pytest.raises(NoBusinessTime):
        add(calendar, at, 5)
    with pytest.raises(NoBusinessTime):
        subtract(calendar, at, 5)
    with pytest.raises(NoBusinessTime):
        between(calendar, at, later)
    assert not is_open(calendar, at)
    assert not is_working_day(calendar, at.date())
    assert asked == []


def test_a_calendar_that_is_closed_for_a_year_is_given_up() -> None:
    asked: list[date] = []
    closed = Calendar("Europe/Berlin", {0: OFFICE}, noting(asked, True), date(2100, 12, 31))

    with pytest.raises(NoBusinessTime, match="in the year before"):
        next_open(closed, local("2026-11-26T10:00"))
    with pytest.raises(NoBusinessTime, match="in the year after"):
        latest_open(closed, local("2026-11-26T10:00"))
    assert len(asked) < 2 * 54


def test_a_long_way_through_open_days_is_not_given_up() -> None:
    an_hour_a_week = make_calendar((480, 540), days=range(1), ends_on=date(2100, 12, 31))
    monday = local("2026-11-02T08:00")

    assert add(an_hour_a_week, monday, 100 * 60) == local("2028-09-25T09:00")
    assert subtract(an_hour_a_week, local("2028-09-25T09:00"), 100 * 60) == monday


def test_a_search_that_leaves_the_holiday_table_is_refused() -> None:
    calendar = make_calendar(ends_on=date(2026, 11, 27))

    assert add(calendar, local("2026-11-27T16:00"), 60) == local("2026-11-27T17:00")
    with pytest.raises(BeyondHolidayTable, match="2026-11-27"):
        add(calendar, local("2026-11-27T16:00"), 61)
    with pytest.raises(BeyondHolidayTable):
        is_open(calendar, local("2026-11-28T10:00"))
    with pytest.raises(BeyondHolidayTable):
        spans(calendar, date(2026, 11, 28))


def test_the_holidays_of_the_place_decide_which_day_comes_next() -> None:
    munich, berlin = (
        Calendar("Europe/Berlin", dict.fromkeys(WEEKDAYS, OFFICE), partial(is_holiday, place), TABLE_ENDS_ON)
        for place in ("DE-BY", "DE-BE")
    )
    wednesday = local("2026-06-03T16:00")

    assert add(munich, wednesday, 120) == local("2026-06-05T09:00")
    assert add(berlin, wednesday, 120) == local("2026-06-04T09:00")
    with pytest.raises(BeyondHolidayTable):
        add(munich, local("2100-12-31T16:00"), 120)


# Properties

few = settings(max_examples=40, deadline=None)
instants = st.datetimes(
    # Hypothesis wants bounds without a zone.
    datetime.fromisoformat("2026-09-01"),
    datetime.fromisoformat("2027-12-01"),
    timezones=st.just(UTC),
)
lengths = st.integers(0, 5000)


def hours_of_at_least(length: int) -> st.SearchStrategy[tuple[int, int]]:
    """Any span of a day that is so many minutes long or longer."""
    return st.integers(0, 1440 - length).flatmap(
        lambda start: st.tuples(st.just(start), st.integers(start + length, 1440))
    )


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    """Any weekly hours in a zone with clock changes, with a few days off."""
    a_day = st.lists(hours_of_at_least(1), max_size=3).map(tuple)
    hours = draw(st.dictionaries(st.integers(0, 6), a_day))
    # Two hours a week at the least: with one minute a week, 5,000 minutes take a hundred years.
    hours[draw(st.integers(0, 6))] = (draw(hours_of_at_least(120)),)
    off = draw(st.frozensets(st.dates(date(2026, 9, 1), date(2027, 12, 31)), max_size=20))
    tz = draw(st.sampled_from(["Europe/Berlin", "Europe/Zurich", "UTC", "America/Havana"]))
    return Calendar(tz, hours, off.__contains__, date(2099, 12, 31))


@few
@given(calendars(), instants, lengths)
def test_what_was_added_lies_between(calendar: Calendar, at: datetime, length: int) -> None:
    later = add(calendar, at, length)

    assert later >= at
    assert between(calendar, at, later) == pytest.approx(length)
    assert between(calendar, later, at) == pytest.approx(-length)


@few
@given(calendars(), instants, lengths)
def test_what_was_subtracted_lies_between(calendar: Calendar, at: datetime, length: int) -> None:
    earlier = subtract(calendar, at, length)

    assert earlier <= at
    assert between(calendar, earlier, at) == pytest.approx(length)


@few
@given(calendars(), instants, st.integers(1, 5000))
def test_adding_undoes_subtracting_inside_the_hours(calendar: Calendar, at: datetime, length: int) -> None:
    at = add(calendar, at, 1)

    assert add(calendar, subtract(calendar, at, length), length) == at


@few
@given(calendars(), instants, lengths, lengths)
def test_adding_in_two_parts_is_adding_at_once(calendar: Calendar, at: datetime, first: int, second: int) -> None:
    assert add(calendar, add(calendar, at, first), second + 1) == add(calendar, at, first + second + 1)


@few
@given(calendars(), instants, instants, lengths, lengths)
def test_later_and_longer_never_ends_earlier(
    calendar: Calendar, one: datetime, other: datetime, length: int, more: int
) -> None:
    first, second = sorted([one, other])

    assert add(calendar, first, length) <= add(calendar, second, length)
    assert add(calendar, first, length) <= add(calendar, first, length + more)


@few
@given(calendars(), instants, lengths, st.sampled_from([1, 15, 30, 60]))
def test_results_lie_in_a_span_or_at_its_end(calendar: Calendar, at: datetime, length: int, step: int) -> None:
    results = [
        next_open(calendar, at),
        latest_open(calendar, at),
        add(calendar, at, length),
        subtract(calendar, at, length),
        round_up(calendar, at, step),
    ]

    assert [latest_open(calendar, result) for result in results] == results
    assert is_open(calendar, next_open(calendar, at))


@few
@given(calendars(), instants, lengths)
def test_rounding_up_reaches_a_full_half_hour_or_the_end_of_the_span(
    calendar: Calendar, at: datetime, length: int
) -> None:
    exact = add(calendar, at, length)
    rounded = round_up(calendar, exact)
    clock = rounded.astimezone(ZoneInfo(calendar.tz))

    assert timedelta() <= rounded - exact < 30 * MINUTE
    assert clock.minute % 30 == clock.second == clock.microsecond == 0 or not is_open(calendar, rounded)
    assert between(calendar, exact, rounded) == pytest.approx((rounded - exact) / MINUTE)


@few
@given(calendars(), st.dates(date(2026, 9, 1), date(2027, 12, 1)))
def test_the_spans_of_a_day_are_sorted_apart_and_on_that_day(calendar: Calendar, day: date) -> None:
    found = spans(calendar, day)
    edges = [edge for span in found for edge in span]
    zone = ZoneInfo(calendar.tz)

    assert edges == sorted(set(edges))
    assert {start.astimezone(zone).date() for start, end in found} <= {day}
    assert {(end - timedelta(microseconds=1)).astimezone(zone).date() for start, end in found} <= {day}
