"""Free times: hours, grid, what else is booked, absences, limits, both clock changes, and a second opinion."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portal.appointments.slots import Diary, Limits, Shape, free, is_free
from portal.people.places import TABLE_ENDS_ON, is_holiday
from portal.promises.business_time import Calendar, Span

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = timedelta(minutes=1)
ONE_DAY = timedelta(days=1)
EVERY_DAY = range(7)
OFFICE = ((8 * 60, 12 * 60), (13 * 60, 17 * 60))
NIGHT = ((0, 5 * 60),)
THURSDAY = date(2026, 11, 26)
CLOCK_GOES_FORWARD = date(2027, 3, 28)
CLOCK_GOES_BACK = date(2027, 10, 31)
UNKNOWN = datetime.max.replace(tzinfo=UTC)
NAIVE = datetime.fromisoformat("2026-11-26T10:00")
ANY_TIME = Limits(datetime(2026, 9, 1, tzinfo=UTC), date(2028, 12, 31))
HALF_HOUR = Shape(30, 30)


def local(text: str, fold: int = 0) -> datetime:
    """A German wall-clock time; with fold 1 the second one where the clock reads it twice."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold)


def span(start: str, end: str) -> Span:
    return local(start), local(end)


def make_diary(
    *hours: tuple[int, int],
    taken: tuple[Span, ...] = (),
    away: tuple[Span, ...] = (),
    weekdays: range = range(5),
    off: Callable[[date], bool] = frozenset[date]().__contains__,
    ends_on: date = date(2028, 12, 31),
    tz: str = "Europe/Berlin",
) -> Diary:
    """A person's days; office hours with a lunch break unless others are named."""
    return Diary(Calendar(tz, dict.fromkeys(weekdays, hours or OFFICE), off, ends_on), taken, away)


def clock(starts: tuple[datetime, ...] | list[datetime]) -> list[str]:
    """What the German clock reads at each of them."""
    return [f"{start.astimezone(BERLIN):%H:%M}" for start in starts]


def offered(shape: Shape, diary: Diary, limits: Limits = ANY_TIME, day: date = THURSDAY) -> list[str]:
    return clock(free(shape, diary, limits, day))


# Hours and grid


def test_an_hour_is_offered_up_to_lunch_and_up_to_the_evening() -> None:
    assert offered(Shape(60, 60), make_diary()) == [
        *("08:00", "09:00", "10:00", "11:00"),
        *("13:00", "14:00", "15:00", "16:00"),
    ]


def test_a_talk_does_not_run_over_lunch() -> None:
    assert offered(Shape(150, 60), make_diary()) == ["08:00", "09:00", "13:00", "14:00"]


def test_spans_that_touch_are_one() -> None:
    assert offered(Shape(60, 30), make_diary((540, 600), (600, 660))) == ["09:00", "09:30", "10:00"]


@pytest.mark.parametrize(
    ("minutes", "last"),
    [(30, "16:30"), (31, "16:15"), (45, "16:15"), (46, "16:00"), (240, "13:00")],
)
def test_the_last_start_is_the_last_one_that_fits(minutes: int, last: str) -> None:
    assert offered(Shape(minutes, 15), make_diary())[-1] == last


def test_a_talk_longer_than_every_span_is_never_offered() -> None:
    assert offered(Shape(241, 15), make_diary()) == []


@pytest.mark.parametrize(
    ("grid", "first"),
    [
        (5, ["09:20", "09:25", "09:30"]),
        (15, ["09:30", "09:45", "10:00"]),
        (60, ["10:00", "11:00"]),
        (45, ["09:45", "10:30", "11:15"]),  # counted from midnight, and not from the hour
        (7, ["09:20", "09:27", "09:34"]),
        (1440, []),
    ],
)
def test_the_grid_is_counted_from_midnight_and_not_from_the_opening(grid: int, first: list[str]) -> None:
    assert offered(Shape(15, grid), make_diary((560, 720)))[:3] == first


def test_a_talk_may_last_until_midnight_and_not_into_the_next_day() -> None:
    diary = make_diary((0, 60), (23 * 60, 1440))

    assert offered(Shape(60, 30), diary) == ["00:00", "23:00"]


def test_starts_come_in_utc() -> None:
    starts = free(Shape(60, 60), make_diary(), ANY_TIME, THURSDAY)

    assert starts[0].isoformat() == "2026-11-26T07:00:00+00:00"
    assert {start.tzinfo for start in starts} == {UTC}


# Other appointments


def test_a_booked_half_hour_is_not_offered_and_its_neighbours_are() -> None:
    taken = span("2026-11-26T10:00", "2026-11-26T10:30")

    assert offered(HALF_HOUR, make_diary((570, 660), taken=(taken,))) == ["09:30", "10:30"]


def test_what_overlaps_a_booked_one_anywhere_is_not_offered() -> None:
    taken = span("2026-11-26T10:10", "2026-11-26T10:20")

    assert offered(Shape(60, 15), make_diary((540, 720), taken=(taken,))) == ["09:00", "10:30", "10:45", "11:00"]


def test_minutes_are_kept_free_on_both_sides() -> None:
    taken = span("2026-11-26T10:00", "2026-11-26T11:00")
    diary = make_diary(taken=(taken,))

    def in_the_morning(**around: int) -> list[str]:
        return offered(Shape(30, 15, **around), diary)[:9]

    assert in_the_morning()[5:] == ["09:15", "09:30", "11:00", "11:15"]
    assert in_the_morning(before=15)[5:] == ["09:15", "09:30", "11:15", "11:30"]
    assert in_the_morning(after=15)[5:] == ["09:15", "11:00", "11:15", "11:30"]
    assert in_the_morning(before=1, after=16)[4:6] == ["09:00", "11:15"]


def test_minutes_kept_free_may_lie_outside_the_hours_and_in_an_absence() -> None:
    away = span("2026-11-26T09:00", "2026-11-26T09:30")
    diary = make_diary((480, 600), away=(away,))

    assert offered(Shape(30, 30, before=30, after=30), diary) == ["08:00", "08:30", "09:30"]


def test_an_appointment_outside_the_hours_keeps_its_distance_to_those_inside() -> None:
    early, late = span("2026-11-26T07:00", "2026-11-26T07:50"), span("2026-11-26T10:10", "2026-11-26T11:00")
    diary = make_diary((480, 600), taken=(late, early))

    assert offered(Shape(30, 15, before=15, after=15), diary) == ["08:15", "08:30", "08:45", "09:00", "09:15"]


def test_an_appointment_over_midnight_counts_on_both_days() -> None:
    taken = span("2026-11-26T23:30", "2026-11-27T00:30")
    diary = make_diary((0, 60), (23 * 60, 1440), taken=(taken,))

    assert offered(HALF_HOUR, diary) == ["00:00", "00:30", "23:00"]
    assert offered(HALF_HOUR, diary, day=date(2026, 11, 27)) == ["00:30", "23:00", "23:30"]


def test_a_day_wholly_booked_offers_nothing() -> None:
    assert offered(HALF_HOUR, make_diary(taken=(span("2026-11-26T08:00", "2026-11-26T17:00"),))) == []


# Absences


def test_an_absence_of_some_hours_leaves_the_rest_of_the_day() -> None:
    away = span("2026-11-26T09:00", "2026-11-26T16:00")

    assert offered(Shape(60, 30), make_diary(away=(away,))) == ["08:00", "16:00"]


def test_an_absence_touches_no_minute_of_the_talk() -> None:
    away = span("2026-11-26T09:29", "2026-11-26T16:01")

    assert offered(Shape(30, 30), make_diary(away=(away,))) == ["08:00", "08:30", "16:30"]


def test_an_absence_whose_end_is_not_known_lasts() -> None:
    away = (local("2026-11-26T10:00"), UNKNOWN)
    shape, diary = Shape(60, 60, before=15, after=15), make_diary(away=(away,))

    assert offered(shape, diary, day=THURSDAY - ONE_DAY)[-1] == "16:00"
    assert offered(shape, diary)[-1] == "09:00"
    assert not any(free(shape, diary, ANY_TIME, THURSDAY + ONE_DAY * n) for n in range(1, 30))


# Limits


@pytest.mark.parametrize(
    ("earliest", "first"),
    [
        ("2026-11-26T10:00", "10:00"),
        ("2026-11-26T10:00:00.000001", "10:30"),
        ("2026-11-26T16:30", "16:30"),
        ("2026-11-25T23:59", "08:00"),
        ("2026-11-26T00:00", "08:00"),
    ],
)
def test_nothing_starts_before_the_notice(earliest: str, first: str) -> None:
    assert offered(HALF_HOUR, make_diary(), replace(ANY_TIME, earliest=local(earliest)))[0] == first


@pytest.mark.parametrize("earliest", ["2026-11-26T16:31", "2026-11-27T00:00", "2026-12-27T00:00"])
def test_a_day_before_the_notice_offers_nothing(earliest: str) -> None:
    assert offered(HALF_HOUR, make_diary(), replace(ANY_TIME, earliest=local(earliest))) == []


def test_the_notice_may_come_in_any_zone() -> None:
    tokyo = local("2026-11-26T16:00").astimezone(ZoneInfo("Asia/Tokyo"))

    assert offered(HALF_HOUR, make_diary(), replace(ANY_TIME, earliest=tokyo)) == ["16:00", "16:30"]


def test_the_horizon_is_a_local_day_and_belongs_to_what_is_offered() -> None:
    limits = replace(ANY_TIME, last_on=THURSDAY)
    late = make_diary((23 * 60, 1440), (0, 60))

    assert offered(Shape(60, 60), late, limits) == ["00:00", "23:00"]
    assert offered(Shape(60, 60), late, limits, date(2026, 11, 27)) == []
    assert not is_free(Shape(60, 60), late, limits, local("2026-11-27T00:00"))


def test_a_day_is_full_when_it_holds_the_most_it_may() -> None:
    taken = (
        span("2026-11-25T16:00", "2026-11-25T16:30"),
        span("2026-11-26T08:00", "2026-11-26T08:30"),
        span("2026-11-26T16:00", "2026-11-26T16:30"),
    )
    diary = make_diary(taken=taken)

    assert offered(HALF_HOUR, diary, replace(ANY_TIME, most_a_day=2)) == []
    assert len(offered(HALF_HOUR, diary, replace(ANY_TIME, most_a_day=3))) == 14
    assert len(offered(HALF_HOUR, diary, replace(ANY_TIME, most_a_day=2), date(2026, 11, 25))) == 15
    assert len(offered(HALF_HOUR, diary, replace(ANY_TIME, most_a_day=2), date(2026, 11, 27))) == 16
    assert offered(HALF_HOUR, make_diary(), replace(ANY_TIME, most_a_day=0)) == []


def test_what_is_booked_counts_for_the_local_day_on_which_it_begins() -> None:
    over_midnight = span("2026-11-26T23:30", "2026-11-27T00:30")
    at_midnight = span("2026-11-27T00:00", "2026-11-27T00:30")
    one = replace(ANY_TIME, most_a_day=1)
    friday = date(2026, 11, 27)

    assert offered(HALF_HOUR, make_diary(taken=(over_midnight,)), one) == []
    assert len(offered(HALF_HOUR, make_diary(taken=(over_midnight,)), one, friday)) == 16
    assert len(offered(HALF_HOUR, make_diary(taken=(at_midnight,)), one)) == 16
    assert offered(HALF_HOUR, make_diary(taken=(at_midnight,)), one, friday) == []


# Days off


@pytest.mark.parametrize("day", [date(2027, 11, 1), date(2027, 1, 6)])
def test_a_holiday_of_one_state_is_a_day_like_others_in_the_next(day: date) -> None:
    munich, berlin = (make_diary(off=partial(is_holiday, place), ends_on=TABLE_ENDS_ON) for place in ("DE-BY", "DE-BE"))

    assert offered(HALF_HOUR, munich, day=day) == []
    assert len(offered(HALF_HOUR, berlin, day=day)) == 16
    assert len(offered(HALF_HOUR, munich, day=day + ONE_DAY)) == 16


def test_a_closure_offers_nothing() -> None:
    assert offered(HALF_HOUR, make_diary(off={THURSDAY}.__contains__)) == []


def test_days_beyond_the_holiday_table_are_not_free() -> None:
    diary = make_diary(ends_on=THURSDAY)
    beyond = local("2026-11-27T10:00")

    assert len(offered(HALF_HOUR, diary)) == 16
    assert offered(HALF_HOUR, diary, day=beyond.date()) == []
    assert not is_free(HALF_HOUR, diary, ANY_TIME, beyond)


@pytest.mark.parametrize("hours", [{}, {3: ()}])
def test_a_person_without_hours_has_no_free_times(hours: dict[int, tuple[tuple[int, int], ...]]) -> None:
    diary = Diary(Calendar("Europe/Berlin", hours, {THURSDAY}.__contains__, date(2028, 12, 31)), (), ())
    at = local("2026-11-26T10:00")

    assert offered(HALF_HOUR, diary) == []
    assert not is_free(HALF_HOUR, diary, ANY_TIME, at)


# Clock changes


def test_the_skipped_hour_has_no_starts() -> None:
    diary = make_diary(*NIGHT, weekdays=EVERY_DAY)

    assert offered(HALF_HOUR, diary, day=CLOCK_GOES_FORWARD) == [
        *("00:00", "00:30", "01:00", "01:30"),
        *("03:00", "03:30", "04:00", "04:30"),
    ]


def test_a_talk_over_the_skipped_hour_has_its_full_length() -> None:
    starts = free(Shape(60, 30), make_diary((0, 210), weekdays=EVERY_DAY), ANY_TIME, CLOCK_GOES_FORWARD)

    assert clock(starts) == ["00:00", "00:30", "01:00", "01:30"]
    assert Shape(60, 30).ends(starts[-1]) == local("2027-03-28T03:30")


def test_an_appointment_in_the_skipped_night_is_where_its_instants_are() -> None:
    booked = (local("2027-03-28T01:30"), local("2027-03-28T03:30"))
    diary = make_diary(*NIGHT, weekdays=EVERY_DAY, taken=(booked,))

    assert offered(HALF_HOUR, diary, day=CLOCK_GOES_FORWARD)[2:5] == ["01:00", "03:30", "04:00"]


def test_both_readings_of_the_doubled_hour_are_offered_as_two_instants() -> None:
    starts = free(HALF_HOUR, make_diary(*NIGHT, weekdays=EVERY_DAY), ANY_TIME, CLOCK_GOES_BACK)

    assert clock(starts)[3:9] == ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]
    assert {later - earlier for earlier, later in pairwise(starts)} == {30 * MINUTE}


def test_one_reading_of_the_doubled_hour_can_be_booked_while_the_other_stays_free() -> None:
    second = local("2027-10-31T02:00", fold=1).astimezone(UTC)
    booked = make_diary(*NIGHT, weekdays=EVERY_DAY, taken=((second, second + 30 * MINUTE),))

    assert is_free(HALF_HOUR, booked, ANY_TIME, local("2027-10-31T02:00"))
    assert not is_free(HALF_HOUR, booked, ANY_TIME, local("2027-10-31T02:00", fold=1))
    assert is_free(HALF_HOUR, booked, ANY_TIME, local("2027-10-31T02:30", fold=1))


def test_notice_and_absence_between_the_two_readings() -> None:
    first, second = local("2027-10-31T02:30"), local("2027-10-31T02:30", fold=1)
    diary = make_diary(*NIGHT, weekdays=EVERY_DAY)
    away = replace(diary, away=((first.astimezone(UTC), second.astimezone(UTC)),))

    assert offered(HALF_HOUR, diary, replace(ANY_TIME, earliest=second), CLOCK_GOES_BACK)[:2] == ["02:30", "03:00"]
    assert offered(HALF_HOUR, diary, replace(ANY_TIME, earliest=first), CLOCK_GOES_BACK)[:3] == [
        *("02:30", "02:00", "02:30"),
    ]
    assert offered(HALF_HOUR, away, day=CLOCK_GOES_BACK)[3:7] == ["01:30", "02:00", "02:30", "03:00"]


def test_hours_that_end_within_the_doubled_hour_end_twice() -> None:
    diary = make_diary((90, 150), weekdays=EVERY_DAY)

    assert offered(HALF_HOUR, diary, day=CLOCK_GOES_BACK) == ["01:30", "02:00", "02:00"]
    assert offered(Shape(60, 30), diary, day=CLOCK_GOES_BACK) == ["01:30"]


@pytest.mark.parametrize(
    ("day", "starts"),
    [
        (CLOCK_GOES_FORWARD, ["00:00", "00:45", "01:30", "03:00", "03:45"]),
        (CLOCK_GOES_BACK, ["00:00", "00:45", "01:30", "02:15", "02:15", "03:00", "03:45"]),
    ],
)
def test_a_grid_that_does_not_divide_the_hour_follows_the_clock_over_its_change(day: date, starts: list[str]) -> None:
    assert offered(Shape(15, 45), make_diary((0, 240), weekdays=EVERY_DAY), day=day) == starts


@pytest.mark.parametrize(("day", "starts"), [(CLOCK_GOES_FORWARD, 46), (CLOCK_GOES_BACK, 50), (THURSDAY, 48)])
def test_a_day_of_23_hours_has_two_half_hours_less_and_one_of_25_two_more(day: date, starts: int) -> None:
    assert len(offered(HALF_HOUR, make_diary((0, 1440), weekdays=EVERY_DAY), day=day)) == starts


# One start


@pytest.mark.parametrize(
    ("start", "answer"),
    [
        ("2026-11-26T10:00", True),
        ("2026-11-26T10:15", False),
        ("2026-11-26T10:00:01", False),
        ("2026-11-26T10:00:00.000001", False),
        ("2026-11-26T07:30", False),
        ("2026-11-26T12:00", False),
        ("2026-11-26T17:00", False),
        ("2026-11-28T10:00", False),
    ],
)
def test_one_start_is_judged_like_the_list(start: str, answer: bool) -> None:
    for asked in (local(start), local(start).astimezone(UTC), local(start).astimezone(ZoneInfo("Asia/Tokyo"))):
        assert is_free(HALF_HOUR, make_diary(), ANY_TIME, asked) is answer


@pytest.mark.parametrize("tz", ["Europe/Berlin", "America/New_York"])
def test_instants_at_the_ends_of_time_are_not_free(tz: str) -> None:
    for start in (datetime.min.replace(tzinfo=UTC), UNKNOWN):
        assert not is_free(HALF_HOUR, make_diary((0, 1440), tz=tz), ANY_TIME, start)


def test_what_a_talk_takes_comes_in_utc() -> None:
    shape = Shape(45, 15, before=10, after=20)
    start = local("2027-10-31T02:30")

    assert shape.ends(start) == datetime(2027, 10, 31, 1, 15, tzinfo=UTC)
    assert shape.busy(start) == (
        datetime(2027, 10, 31, 0, 20, tzinfo=UTC),
        datetime(2027, 10, 31, 1, 35, tzinfo=UTC),
    )
    assert {edge.tzinfo for edge in (shape.ends(start), *shape.busy(start))} == {UTC}


# Refusals


@pytest.mark.parametrize(
    "ask",
    [
        HALF_HOUR.ends,
        HALF_HOUR.busy,
        lambda at: is_free(HALF_HOUR, make_diary(), ANY_TIME, at),
        lambda at: replace(ANY_TIME, earliest=at),
        lambda at: make_diary(taken=((local("2026-11-26T08:00"), at),)),
        lambda at: make_diary(taken=((at, local("2026-11-26T12:00")),)),
        lambda at: make_diary(away=((local("2026-11-26T08:00"), at),)),
        lambda at: make_diary(away=((at, UNKNOWN),)),
    ],
)
def test_an_instant_without_a_time_zone_is_refused(ask: Callable[[datetime], object]) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        ask(NAIVE)


@pytest.mark.parametrize(
    "figures",
    [(0, 15), (-30, 15), (30, 0), (30, -15), (30, 15, -1), (30, 15, 0, -1)],
)
def test_a_shape_that_cannot_be_is_refused(figures: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="nothing of this shape"):
        Shape(*figures)


# Properties: the rule against a judge that knows nothing but minutes

few = settings(max_examples=60, deadline=None)
AROUND = [THURSDAY, date(2027, 3, 27), CLOCK_GOES_FORWARD, CLOCK_GOES_BACK, date(2027, 11, 1)]


def minutes_of(day: date) -> list[datetime]:
    """Every minute of the day before, the day and the day after, by UTC."""
    midnight = datetime.combine(day - ONE_DAY, datetime.min.time(), UTC)
    return [midnight + n * MINUTE for n in range(3 * 1440)]


def judged_free(shape: Shape, diary: Diary, limits: Limits, day: date) -> list[datetime]:
    """The free starts of a day, found by looking at each minute of it: a slow second opinion."""
    calendar, zone = diary.calendar, ZoneInfo(diary.calendar.tz)
    clocks = {at: at.astimezone(zone) for at in minutes_of(day)}
    of_the_day = {at: read.hour * 60 + read.minute for at, read in clocks.items() if read.date() == day}
    works = day <= calendar.ends_on and not calendar.is_day_off(day)
    hours = calendar.hours.get(day.weekday(), ()) if works else ()
    at_work = {at for at, read in of_the_day.items() if any(start <= read < end for start, end in hours)}
    away = {at for at in clocks if any(start <= at < end for start, end in diary.away)}
    taken = {at for at in clocks if any(start <= at < end for start, end in diary.taken)}
    booked = sum(start.astimezone(zone).date() == day for start, _ in diary.taken)

    def is_good(start: datetime) -> bool:
        talk = {start + n * MINUTE for n in range(shape.minutes)}
        busy = {start + n * MINUTE for n in range(-shape.before, shape.minutes + shape.after)}
        return talk <= at_work - away and not busy & taken and start >= limits.earliest

    if day > limits.last_on or (limits.most_a_day is not None and booked >= limits.most_a_day):
        return []
    return [at for at, read in of_the_day.items() if at in at_work and read % shape.grid == 0 and is_good(at)]


shapes = st.builds(
    Shape,
    st.sampled_from([1, 15, 20, 30, 45, 60, 90]),
    st.sampled_from([5, 7, 15, 20, 30, 45, 60, 90]),
    st.sampled_from([0, 5, 15, 45]),
    st.sampled_from([0, 5, 15, 45]),
)


def mostly(usual: int, *others: int) -> st.SearchStrategy[int]:
    """The usual figure more often than not: a day on which several rules forbid everything shows little of any."""
    return st.sampled_from([usual] * 4 * len(others) + list(others))


@st.composite
def some_spans(draw: st.DrawFn, day: date, most: int) -> tuple[Span, ...]:
    """Spans of whole minutes on and around a day, in any order, some of them in German time."""
    begins = datetime.combine(day, datetime.min.time(), UTC) - 3 * 60 * MINUTE
    drawn = draw(st.lists(st.tuples(st.integers(0, 1680), st.integers(1, 200), st.booleans()), max_size=most))
    found = []
    for start, length, german in drawn:
        edges = begins + start * MINUTE, begins + (start + length) * MINUTE
        found.append((edges[0].astimezone(BERLIN), edges[1].astimezone(BERLIN)) if german else edges)
    return tuple(found)


@st.composite
def diaries(draw: st.DrawFn, day: date) -> Diary:
    """Any hours, in zones whose clocks change, with a few appointments and absences around the day."""
    a_span = st.tuples(st.integers(0, 1439), st.integers(1, 1200)).map(lambda drawn: (drawn[0], min(1440, sum(drawn))))
    hours = draw(st.dictionaries(st.integers(0, 6), st.lists(a_span, max_size=3).map(tuple)))
    hours[day.weekday()] = tuple(draw(st.lists(a_span, min_size=1, max_size=3)))
    off = frozenset(day + ONE_DAY * draw(mostly(2, 0, 1)) for _ in range(2))
    ends_on = day + ONE_DAY * draw(mostly(1000, 0, -1))
    tz = draw(st.sampled_from(["Europe/Berlin", "Europe/Berlin", "UTC", "Australia/Lord_Howe"]))
    away = draw(some_spans(day, 2))
    lasts = draw(mostly(0, 1))
    if away and lasts:
        away = ((away[0][0], UNKNOWN), *away[1:])
    return Diary(Calendar(tz, hours, off.__contains__, ends_on), draw(some_spans(day, 5)), away)


@st.composite
def questions(draw: st.DrawFn) -> tuple[Shape, Diary, Limits, date]:
    """All that a free time depends on, and a day."""
    day = draw(st.sampled_from(AROUND))
    midnight = datetime.combine(day, datetime.min.time(), UTC)
    earliest = midnight + draw(mostly(-7 * 1440, -90, 601)) * MINUTE
    last_on = day + draw(mostly(3, 0, -1)) * ONE_DAY
    most_a_day = draw(mostly(0, 1, 3)) or None
    return draw(shapes), draw(diaries(day)), Limits(earliest, last_on, most_a_day), day


LORD_HOWE = (
    Shape(20, 45, 5, 5),
    Diary(Calendar("Australia/Lord_Howe", {6: ((0, 300),)}, lambda day: False, date(2099, 12, 31)), (), ()),
    ANY_TIME,
)


@few
@given(questions())
@example((*LORD_HOWE, date(2026, 10, 4)))  # half an hour forward
@example((*LORD_HOWE, date(2027, 4, 4)))  # half an hour back
def test_what_is_offered_is_what_a_judge_of_single_minutes_finds(question: tuple[Shape, Diary, Limits, date]) -> None:
    assert list(free(*question)) == judged_free(*question)


@few
@given(questions(), st.data())
def test_a_start_is_free_if_and_only_if_its_day_offers_it(
    question: tuple[Shape, Diary, Limits, date], data: st.DataObject
) -> None:
    shape, diary, limits, day = question
    at = data.draw(st.sampled_from(minutes_of(day)))
    its_day = at.astimezone(ZoneInfo(diary.calendar.tz)).date()

    assert is_free(shape, diary, limits, at) == (at in judged_free(shape, diary, limits, its_day))
    assert all(is_free(shape, diary, limits, start) for start in free(*question))


@few
@given(questions())
def test_whatever_is_booked_next_leaves_only_what_was_free_and_never_its_own_time(
    question: tuple[Shape, Diary, Limits, date],
) -> None:
    shape, diary, limits, day = question
    before = free(*question)
    for booked in before[::5]:
        busy = shape.busy(booked)
        after = free(shape, replace(diary, taken=(*diary.taken, busy)), limits, day)

        assert booked not in after
        assert set(after) <= set(before)
        assert all(shape.busy(start)[1] <= busy[0] or busy[1] <= shape.busy(start)[0] for start in after)
