"""What is settled before the first minute: all of it from the seed, and spans of time."""

from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from portal import clock
from portal.people import places
from portal.simulation import company, plan, spans
from portal.simulation.plan import Waking

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


def _at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


def _made(seed: int, days: int = 60, cases: int | None = 400, faults: bool = True) -> plan.Plan:
    return plan.made(company.found(20), seed=seed, days=days, cases=cases, faults=faults)


def test_a_seed_is_one_plan() -> None:
    assert _made(3) == _made(3)
    assert _made(3) != _made(5)


def test_two_months_hold_five_thousand_cases_a_clock_change_and_holidays_that_differ() -> None:
    for seed in (1, 2):
        made = _made(seed, cases=None)
        days = [made.first + timedelta(days=n) for n in range(60)]
        offsets = {company.local_instant(day, 720, "Europe/Berlin").hour for day in days}
        holidays = {frozenset(day for day in days if places.is_holiday(team.place, day)) for team in company.TEAMS}

        assert len(made.arrivals) == 5000
        assert len(offsets) == 2
        assert len(holidays) > 1


def test_customers_write_at_night_and_on_sundays_in_three_zones_and_two_languages() -> None:
    arrivals = _made(1).arrivals
    local = [one.at.astimezone(ZoneInfo("Europe/Berlin")) for one in arrivals]

    assert any(at.hour < 6 for at in local) and any(at.weekday() == 6 for at in local)
    assert len({one.tz for one in arrivals}) == 3 and {one.language for one in arrivals} == {"de", "en"}
    assert [one.number for one in sorted(arrivals, key=lambda one: (one.at, one.number))] == list(range(1, 401))


def test_everything_lies_between_the_first_minute_and_the_last() -> None:
    made = _made(2, days=9)

    instants = [one.at for one in made.arrivals] + [one.known_at for one in made.absences] + list(made.kills)
    assert all(made.starts_at <= at < made.ends_at for at in instants)


def test_without_faults_nothing_breaks() -> None:
    made = _made(1, faults=False)

    assert not (made.smtp_down or made.machine_off or made.kills or made.restarts or made.refuses)
    assert made.put_off_every == made.break_off_every == 0
    assert not any(one.refuses for one in made.arrivals)


@pytest.mark.parametrize("people", [5, 6, 13, 20, 47])
def test_a_company_of_any_size_has_leads_deputies_and_a_last_instance(people: int) -> None:
    house = company.found(people)

    assert len({one.name for one in house.people}) == len({one.email for one in house.people}) == people
    assert all(house.person(one.deputy).name != one.name for one in house.people)
    assert all(house.lead(team.name).team == team.name for team in house.teams)
    assert house.person(house.front_desk).team and house.person(house.last_instance).name == house.people[-1].name


def test_the_usual_company_sits_in_three_countries() -> None:
    places_of = {team.place.partition("-")[0] for team in company.found(20).teams}

    assert places_of == {"DE", "AT", "CH"}


def test_customers_mostly_wait_for_the_morning() -> None:
    night = datetime(2027, 3, 1, 23, 30, tzinfo=UTC)
    waking = Waking(Random(1), "Europe/Berlin")

    hours = [waking.after(night, (0.1, 0.2)).astimezone(ZoneInfo("Europe/Berlin")).hour for _ in range(50)]

    assert hours.count(8) > 25 and any(hour < 7 for hour in hours)


def test_spans_are_joined_cut_and_taken_away() -> None:
    whole = spans.joined([(_at(5), _at(9)), (_at(0), _at(6)), (_at(20), _at(20)), (_at(30), _at(40))])

    assert whole == [(_at(0), _at(9)), (_at(30), _at(40))]
    assert spans.both(whole, [(_at(8), _at(33))]) == [(_at(8), _at(9)), (_at(30), _at(33))]
    assert spans.without(whole, [(_at(2), _at(4)), (_at(35), _at(50))]) == [
        (_at(0), _at(2)), (_at(4), _at(9)), (_at(30), _at(35)),
    ]  # fmt: skip
    assert spans.minutes(whole) == 19
    assert spans.holds(whole, _at(0)) and not spans.holds(whole, _at(9))


def test_a_driven_clock_is_everybodys_clock_until_it_is_let_go() -> None:
    with clock.drive(lambda: NOON):
        assert clock.utc_now() == NOON
        with clock.drive(lambda: _at(1)):
            assert clock.utc_now() == _at(1)
        assert clock.utc_now() == NOON

    assert clock.utc_now().date() >= date(2026, 1, 1) and clock.utc_now() != NOON
