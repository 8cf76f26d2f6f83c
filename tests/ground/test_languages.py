"""How we say dates and hours: German, Austrian, Swiss and English."""

from datetime import UTC, date, datetime, time, timedelta, timezone

import pytest

from portal import languages
from portal.languages import Voice, best_language, iso

NOW = datetime(2026, 11, 24, 8, 12, tzinfo=UTC)
THURSDAY = datetime(2026, 11, 26, 13, 0, tzinfo=UTC)
GERMAN, AUSTRIAN = Voice("de", "DE", "Europe/Berlin"), Voice("de", "AT", "Europe/Vienna")
SWISS, ENGLISH = Voice("de", "CH", "Europe/Zurich"), Voice("en", "DE", "Europe/Berlin")
HALF = timedelta(minutes=30)
WEEK = {0: [(480, 1020)], 1: [(480, 1020)], 2: [(480, 1020)], 3: [(480, 1020)], 4: [(480, 840)]}
PART_TIME = {0: [(480, 720), (780, 1020)], 1: [(480, 720), (780, 1020)], 4: [(510, 840)]}


@pytest.mark.parametrize(
    ("voice", "at", "said"),
    [
        (GERMAN, THURSDAY, "Donnerstag, 26. November, 14 Uhr"),
        (GERMAN, THURSDAY + HALF, "Donnerstag, 26. November, 14:30 Uhr"),
        (SWISS, THURSDAY + HALF, "Donnerstag, 26. November, 14.30 Uhr"),
        (AUSTRIAN, datetime(2027, 1, 7, 8, 0, tzinfo=UTC), "Donnerstag, 7. Jänner 2027, 9 Uhr"),
        (GERMAN, datetime(2027, 1, 7, 8, 0, tzinfo=UTC), "Donnerstag, 7. Januar 2027, 9 Uhr"),
        (ENGLISH, THURSDAY, "2 pm on Thursday 26 November"),
        (ENGLISH, THURSDAY + HALF, "2:30 pm on Thursday 26 November"),
    ],
)
def test_a_moment_is_a_weekday_a_day_and_an_hour(voice: Voice, at: datetime, said: str) -> None:
    assert voice.moment(at, now=NOW) == said


@pytest.mark.parametrize(
    ("voice", "said"),
    [
        (GERMAN, "Do., 26. November, 14 Uhr"),
        (AUSTRIAN, "Do., 26. November, 14 Uhr"),
        (ENGLISH, "Thu 26 November, 2 pm"),
    ],
)
def test_a_subject_has_the_short_form(voice: Voice, said: str) -> None:
    assert voice.short_moment(THURSDAY, now=NOW) == said


@pytest.mark.parametrize(
    ("on", "now", "with_year"),
    [
        (date(2026, 11, 26), NOW, False),
        (date(2026, 12, 31), NOW, False),
        (date(2027, 1, 1), NOW, True),
        (date(2025, 12, 31), NOW, True),
        (date(2026, 5, 25), NOW, False),
        (date(2026, 5, 24), NOW, True),
        (date(2026, 12, 31), datetime(2026, 12, 31, 22, 59, tzinfo=UTC), False),
        (date(2026, 12, 31), datetime(2026, 12, 31, 23, 0, tzinfo=UTC), True),
    ],
)
def test_the_year_is_said_of_another_year_and_beyond_half_a_year(on: date, now: datetime, with_year: bool) -> None:
    """Which year it is now is asked of the reader's wall clock: in Germany 2027 begins at 23:00 UTC."""
    assert (str(on.year) in GERMAN.day(on, now=now)) == with_year


@pytest.mark.parametrize(
    ("at", "german", "swiss", "english"),
    [
        (time(0, 0), "0 Uhr", "0 Uhr", "12 am"),
        (time(0, 30), "0:30 Uhr", "0.30 Uhr", "12:30 am"),
        (time(9, 5), "9:05 Uhr", "9.05 Uhr", "9:05 am"),
        (time(11, 59), "11:59 Uhr", "11.59 Uhr", "11:59 am"),
        (time(12, 0), "12 Uhr", "12 Uhr", "12 noon"),
        (time(13, 0), "13 Uhr", "13 Uhr", "1 pm"),
        (time(23, 45), "23:45 Uhr", "23.45 Uhr", "11:45 pm"),
    ],
)
def test_hours(at: time, german: str, swiss: str, english: str) -> None:
    assert (GERMAN.hour(at), SWISS.hour(at), ENGLISH.hour(at)) == (german, swiss, english)


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "2:30 Uhr"),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "2:30 Uhr"),
        (datetime(2026, 10, 25, 2, 30, tzinfo=UTC), "3:30 Uhr"),
        (datetime(2026, 3, 29, 0, 59, tzinfo=UTC), "1:59 Uhr"),
        (datetime(2026, 3, 29, 1, 0, tzinfo=UTC), "3 Uhr"),
    ],
)
def test_an_instant_is_said_by_the_readers_wall_clock_through_both_clock_changes(at: datetime, said: str) -> None:
    assert GERMAN.time(at) == said


@pytest.mark.parametrize(
    ("wall_clock", "at"),
    [
        ("2026-11-26T14:00", datetime(2026, 11, 26, 13, 0, tzinfo=UTC)),
        ("2026-07-01T14:00", datetime(2026, 7, 1, 12, 0, tzinfo=UTC)),
        ("2026-10-25T02:30", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
    ],
)
def test_a_wall_clock_time_is_one_instant_the_first_of_a_doubled_hour(wall_clock: str, at: datetime) -> None:
    assert GERMAN.instant(datetime.fromisoformat(wall_clock)) == at


@pytest.mark.parametrize(
    ("voice", "said"),
    [
        (GERMAN, "Montag bis Donnerstag 8 bis 17 Uhr, Freitag 8 bis 14 Uhr"),
        (ENGLISH, "Monday to Thursday 8 am to 5 pm, Friday 8 am to 2 pm"),
    ],
)
def test_a_week_groups_days_of_the_same_hours(voice: Voice, said: str) -> None:
    assert voice.week(WEEK) == said


@pytest.mark.parametrize(
    ("voice", "said"),
    [
        (GERMAN, "Montag und Dienstag 8 bis 12 Uhr und 13 bis 17 Uhr, Freitag 8:30 bis 14 Uhr"),
        (SWISS, "Montag und Dienstag 8 bis 12 Uhr und 13 bis 17 Uhr, Freitag 8.30 bis 14 Uhr"),
        (ENGLISH, "Monday and Tuesday 8 am to 12 noon and 1 pm to 5 pm, Friday 8:30 am to 2 pm"),
    ],
)
def test_a_week_names_breaks_and_gaps(voice: Voice, said: str) -> None:
    assert voice.week(PART_TIME) == said


def test_a_day_without_hours_is_not_named() -> None:
    assert GERMAN.week({0: [(480, 1020)], 1: [], 2: [(480, 1020)]}) == "Montag 8 bis 17 Uhr, Mittwoch 8 bis 17 Uhr"


@pytest.mark.parametrize(
    ("voice", "said"),
    [
        (GERMAN, "deutsche Zeit"),
        (AUSTRIAN, "österreichische Zeit"),
        (SWISS, "Schweizer Zeit"),
        (ENGLISH, "German time"),
        (Voice("de", "PT", "Europe/Lisbon"), "Europe/Lisbon"),
    ],
)
def test_the_zone_has_a_name(voice: Voice, said: str) -> None:
    assert voice.zone == said


@pytest.mark.parametrize(
    ("wanted", "spoken"), [("de", "de"), ("en", "en"), ("fr", "de"), ("DE", "de"), ("", "de"), (None, "de")]
)
def test_german_is_spoken_where_we_do_not_speak_the_language(wanted: str | None, spoken: str) -> None:
    assert best_language(wanted) == spoken


def test_a_sentence_is_said_in_the_language_with_its_places_filled() -> None:
    sentence = "%(name)s will reply by %(due)s"

    said = {voice.language: voice.say(sentence, name="Miriam 100 %", due="Freitag") for voice in (GERMAN, ENGLISH)}

    assert said == {"de": "Miriam 100 % antwortet bis Freitag", "en": "Miriam 100 % will reply by Freitag"}


def test_a_sentence_without_places_may_hold_a_percent_sign() -> None:
    assert GERMAN.say("100 % wool") == "100 % wool"


def test_an_unknown_sentence_is_said_as_it_stands() -> None:
    assert GERMAN.say("Nobody translated this.") == "Nobody translated this."


def test_every_language_we_speak_has_a_catalogue_but_that_of_the_source() -> None:
    assert {language for language in languages.LANGUAGES if languages.catalogue(language).info()} == {"de"}


def test_the_machine_readable_form_is_utc_to_the_second() -> None:
    there = timezone(timedelta(hours=5, minutes=30))

    assert iso(datetime(2026, 11, 24, 13, 42, 7, 999, tzinfo=there)) == "2026-11-24T08:12:07Z"
