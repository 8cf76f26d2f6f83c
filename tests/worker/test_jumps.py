"""The machine's clock is set while workers work: nothing stops, nothing is sent twice, no dead worker seems alive."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from portal import clock, db, heartbeat
from portal.config import Settings
from portal.mail.models import LetterState
from tests.worker import rows
from worker import delivery
from worker.jumps import Jumps

Open = Callable[..., int]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BACK = pytest.mark.parametrize("step", [-HOUR, -DAY], ids=["an hour back", "a day back"])


@contextmanager
def clock_set(by: timedelta) -> Iterator[None]:
    """The clock goes wrong (or right again) by so much in this block."""
    with clock.drive(lambda: datetime.now(UTC) + by):
        yield


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Seconds that the measuring clock has gone on by, to be added to."""
    passed, real = [0.0], time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + passed[0])
    with clock.drive(lambda: datetime.now(UTC) + timedelta(seconds=passed[0])):
        yield passed


@BACK
def test_a_set_clock_is_noticed_once_in_either_direction(step: timedelta) -> None:
    watch = Jumps()

    with clock_set(step):
        seen = [watch.look(), watch.look()]

    assert seen == [True, False]
    assert watch.look()
    assert not watch.look()


def test_time_that_passes_is_no_jump(patience: list[float]) -> None:
    watch = Jumps()
    patience[0] += 7200

    assert not watch.look()
    assert watch.is_settled(300)


def test_after_a_step_ahead_no_letter_is_taken_from_who_sends_it(core: Flask, open_case: Open) -> None:
    watch = Jumps()
    expire = delivery.ReturnExpired(watch)
    letter = rows.to_customer(open_case())
    rows.change(letter, state=LetterState.SENDING, lease_token="t", lease_until=clock.utc_now() + timedelta(minutes=4))

    with clock_set(HOUR):
        assert not expire()

    assert rows.letters(letter.case_id or 0)[0].lease_token == "t"


def test_and_a_lease_later_it_is_returned(core: Flask, open_case: Open, patience: list[float]) -> None:
    settings: Settings = core.extensions["portal.settings"]
    watch = Jumps()
    letter = rows.to_customer(open_case())
    rows.change(letter, state=LetterState.SENDING, lease_token="t", lease_until=clock.utc_now() - timedelta(minutes=4))
    expire = delivery.ReturnExpired(watch)
    with clock_set(-DAY):
        watch.look()
    watch.look()

    before = expire()
    patience[0] += settings.mail_lease + 1

    assert (before, expire()) == (False, True)


@BACK
def test_a_worker_that_died_before_the_clock_was_set_back_does_not_seem_alive(core: Flask, step: timedelta) -> None:
    with db.writing() as session:
        heartbeat.beat(session, "died", now=clock.utc_now())

    with clock_set(step), db.reading() as session:
        assert heartbeat.is_dead(session, now=clock.utc_now())
    with db.reading() as session:
        assert not heartbeat.is_dead(session, now=clock.utc_now())
