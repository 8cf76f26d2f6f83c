"""Places: the public holidays of each state and canton, and where the table of them ends."""

from datetime import date

import pytest
from holidays import country_holidays

from portal.people.places import (
    TABLE_ENDS_ON,
    UnknownPlace,
    UnknownYear,
    all_places,
    country,
    holidays_of,
    is_holiday,
)

CODES = [code for code, name in all_places()]

# What the state laws say; a new version of the library that differs is a question, not a surprise.
IN_SOME_STATES = {
    "Heilige Drei Könige": (date(2027, 1, 6), {"BW", "BY", "ST"}),
    "Frauentag": (date(2027, 3, 8), {"BE", "MV"}),
    "Fronleichnam": (date(2027, 5, 27), {"BW", "BY", "HE", "NW", "RP", "SL"}),
    "Mariä Himmelfahrt": (date(2027, 8, 15), {"SL"}),
    "Weltkindertag": (date(2027, 9, 20), {"TH"}),
    "Reformationstag": (date(2027, 10, 31), {"BB", "HB", "HH", "MV", "NI", "SH", "SN", "ST", "TH"}),
    "Allerheiligen": (date(2027, 11, 1), {"BW", "BY", "NW", "RP", "SL"}),
    "Buß- und Bettag": (date(2027, 11, 17), {"SN"}),
}
IN_ALL_OF_GERMANY = [
    (date(2027, 1, 1), "Neujahr"),
    (date(2027, 3, 26), "Karfreitag"),
    (date(2027, 3, 29), "Ostermontag"),
    (date(2027, 5, 1), "Erster Mai"),
    (date(2027, 5, 6), "Christi Himmelfahrt"),
    (date(2027, 5, 17), "Pfingstmontag"),
    (date(2027, 10, 3), "Tag der Deutschen Einheit"),
    (date(2027, 12, 25), "Erster Weihnachtstag"),
    (date(2027, 12, 26), "Zweiter Weihnachtstag"),
]


@pytest.mark.parametrize(("name", "day", "states"), [(name, *rest) for name, rest in IN_SOME_STATES.items()])
def test_a_holiday_of_some_german_states_is_one_only_there(name: str, day: date, states: set[str]) -> None:
    german = [code for code in CODES if country(code) == "DE"]

    assert {code[3:] for code in german if holidays_of(code, day.year).get(day) == name} == states


@pytest.mark.parametrize(("day", "name"), IN_ALL_OF_GERMANY)
def test_a_german_holiday_is_one_in_every_state(day: date, name: str) -> None:
    german = [code for code in CODES if country(code) == "DE"]

    assert {holidays_of(code, day.year).get(day) for code in german} == {name}


@pytest.mark.parametrize(
    ("place", "day", "name"),
    [
        ("AT-9", date(2026, 10, 26), "Nationalfeiertag"),
        ("AT-9", date(2026, 12, 8), "Mariä Empfängnis"),
        ("AT-9", date(2026, 4, 3), None),  # Good Friday is none in Austria
        ("AT-9", date(2026, 11, 15), None),  # St. Leopold: schools and offices only
        ("CH-ZH", date(2026, 8, 1), "Nationalfeiertag"),
        ("CH-ZH", date(2026, 5, 1), "Tag der Arbeit"),
        ("CH-ZH", date(2026, 6, 4), None),
        ("CH-LU", date(2026, 6, 4), "Fronleichnam"),
        ("CH-TI", date(2026, 4, 3), None),
        ("CH-SO", date(2026, 5, 1), None),  # half a day
        ("CH-VS", date(2026, 4, 6), None),  # Easter Monday: kept by custom, not by law
        ("CH-GE", date(2026, 9, 10), "Genfer Bettag"),
        ("DE-BY", date(2026, 8, 15), None),  # Catholic towns only: a closure of the firm
        ("DE-BY", date(2026, 8, 8), None),  # Augsburg only
        ("DE-BY", date(2026, 12, 24), None),
        ("DE-BB", date(2026, 4, 5), "Ostersonntag"),
    ],
)
def test_each_place_has_its_own_holidays(place: str, day: date, name: str | None) -> None:
    assert holidays_of(place, day.year).get(day) == name
    assert is_holiday(place, day) is (name is not None)


def test_two_holidays_on_one_day_are_both_named() -> None:
    assert holidays_of("DE-BY", 2008)[date(2008, 5, 1)] == "Christi Himmelfahrt und Erster Mai"


def test_names_are_german_whatever_the_locale_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "en_US")
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    holidays_of.cache_clear()

    assert holidays_of("CH-ZH", 2026)[date(2026, 12, 25)] == "Weihnachten"


def test_holidays_cannot_be_changed_by_who_asks() -> None:
    with pytest.raises(TypeError):
        holidays_of("DE-BY", 2026)[date(2026, 11, 26)] = "Betriebsausflug"  # type: ignore[index]  # on purpose


def test_every_place_is_one_the_library_knows_and_none_is_missing() -> None:
    towns = {"DE-Augsburg", "CH-Stadt Zurich"}
    known = {f"{land}-{part}" for land in ("DE", "AT", "CH") for part in country_holidays(land).subdivisions}

    assert set(CODES) == known - towns
    assert len(CODES) == 16 + 9 + 26


def test_places_are_listed_by_country_and_name() -> None:
    assert all_places()[0] == ("DE-BW", "Baden-Württemberg")
    assert all_places()[-1] == ("CH-ZH", "Zürich")
    assert [country(code) for code in CODES] == ["DE"] * 16 + ["AT"] * 9 + ["CH"] * 26


@pytest.mark.parametrize("place", CODES)
def test_every_place_has_its_holidays_to_the_end_of_the_table(place: str) -> None:
    years = range(2026, TABLE_ENDS_ON.year + 1)

    assert {date(year, 1, 1) in holidays_of(place, year) for year in years} == {True}
    assert min(len(holidays_of(place, year)) for year in years) >= 5
    assert {day.year == year for year in years for day in holidays_of(place, year)} == {True}


@pytest.mark.parametrize(("place", "year"), [("DE-BY", 2101), ("AT-9", 2101), ("CH-ZH", 2101), ("DE-BY", 1990)])
def test_a_year_without_rules_is_refused_and_not_taken_for_one_without_holidays(place: str, year: int) -> None:
    assert date(2100, 12, 31) == TABLE_ENDS_ON
    with pytest.raises(UnknownYear, match=place):
        is_holiday(place, date(year, 1, 1))


@pytest.mark.parametrize("place", ["", "DE", "DE-XX", "BY", "de-by", "DE-Bayern", "DE-Augsburg", "FR-75"])
def test_an_unknown_place_is_refused(place: str) -> None:
    with pytest.raises(UnknownPlace):
        holidays_of(place, 2026)
