"""Counters in the database: windows, several rates at once, and many counting at the same moment."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select

from portal import db, limits
from portal.config import Rate
from portal.limits import Counter, name_for

HOUR, DAY = 3600, 86400
AT_NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
KEY = "a-key-for-tests-0123456789-abcdefghij"


def exceeds(name: str, *rates: Rate, now: datetime = AT_NOON) -> bool:
    with db.writing() as session:
        return limits.count_exceeds(session, name, rates, now=now)


def counted(name: str, times: int, rates: Sequence[Rate], now: datetime = AT_NOON) -> list[bool]:
    return [exceeds(name, *rates, now=now) for _ in range(times)]


def test_what_is_within_the_rate_passes_and_the_next_does_not(core: Flask) -> None:
    assert counted("mail:x", 4, [Rate(3, HOUR)]) == [False, False, False, True]


def test_a_rate_of_none_lets_nothing_pass(core: Flask) -> None:
    assert exceeds("mail:x", Rate(0, HOUR))


def test_names_are_counted_apart(core: Flask) -> None:
    counted("mail:x", 3, [Rate(3, HOUR)])

    assert not exceeds("mail:y", Rate(3, HOUR))


@pytest.mark.parametrize(("minutes", "above"), [(59, True), (60, False)])
def test_a_new_window_begins_with_the_full_hour(core: Flask, minutes: int, above: bool) -> None:
    counted("mail:x", 3, [Rate(3, HOUR)])

    assert exceeds("mail:x", Rate(3, HOUR), now=AT_NOON + timedelta(minutes=minutes)) == above


def test_the_longer_rate_holds_when_the_shorter_has_begun_anew(core: Flask) -> None:
    rates = [Rate(3, HOUR), Rate(5, DAY)]
    counted("mail:x", 3, rates)

    assert counted("mail:x", 3, rates, AT_NOON + timedelta(hours=1)) == [False, False, True]


@pytest.mark.parametrize("rates", [(Rate(1, HOUR), Rate(5, DAY)), (Rate(5, DAY), Rate(1, HOUR))])
def test_one_rate_that_is_exceeded_is_enough(core: Flask, rates: tuple[Rate, Rate]) -> None:
    assert counted("mail:x", 2, rates) == [False, True]


def test_an_event_above_one_rate_still_counts_for_the_other(core: Flask) -> None:
    counted("mail:x", 5, [Rate(1, HOUR), Rate(5, DAY)])

    assert exceeds("mail:x", Rate(99, HOUR), Rate(5, DAY), now=AT_NOON + timedelta(hours=1))


def test_what_is_rolled_back_was_not_counted(core: Flask) -> None:
    with pytest.raises(ZeroDivisionError), db.writing() as session:
        limits.count_exceeds(session, "mail:x", [Rate(1, HOUR)], now=AT_NOON)
        raise ZeroDivisionError

    assert not exceeds("mail:x", Rate(1, HOUR))


def test_many_at_the_same_moment_are_all_counted(core: Flask) -> None:
    def count(_: int) -> bool:
        with core.app_context():
            return exceeds("mail:x", Rate(30, HOUR))

    with ThreadPoolExecutor(8) as threads:
        above = list(threads.map(count, range(48)))

    assert above.count(True) == 18


def test_old_windows_are_forgotten_and_running_ones_kept(core: Flask) -> None:
    rate = [Rate(9, DAY)]
    counted("mail:x", 1, rate, AT_NOON - timedelta(days=4))
    counted("mail:x", 1, rate)

    with db.writing() as session:
        limits.forget(session, now=AT_NOON)
        left = session.scalar(select(func.count()).select_from(Counter))

    assert left == 1


def test_a_counters_name_tells_nobody_who_wrote() -> None:
    name = name_for("mail", "kunde@firma.example", key=KEY)

    assert name.startswith("mail:")
    assert "kunde" not in name and "firma" not in name


def test_a_counters_name_is_the_same_each_time() -> None:
    assert name_for("mail", "kunde@firma.example", key=KEY) == name_for("mail", "kunde@firma.example", key=KEY)


@pytest.mark.parametrize(
    ("kind", "subject", "key"),
    [
        ("link", "kunde@firma.example", KEY),
        ("mail", "kundin@firma.example", KEY),
        ("mail", "kunde@firma.example", KEY[::-1]),
    ],
)
def test_kind_subject_and_key_all_make_a_name(kind: str, subject: str, key: str) -> None:
    assert name_for(kind, subject, key=key) != name_for("mail", "kunde@firma.example", key=KEY)


def test_a_name_fits_its_column_with_the_longest_rate() -> None:
    length = Counter.__table__.c.name.type.length

    assert len(f"{name_for('link_wish_network', 'x' * 300, key=KEY)}/{DAY}") <= length
