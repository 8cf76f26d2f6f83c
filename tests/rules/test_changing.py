"""Until when customers move or cancel an agreed time by themselves, and how often they move it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from flask import Flask

from portal.appointments import changing
from portal.appointments.models import Appointment, AppointmentState

THREE = datetime(2026, 11, 25, 15, tzinfo=UTC)
DAY_BEFORE, ONE = THREE - timedelta(days=1), THREE - timedelta(hours=2)
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def settings() -> Iterator[SimpleNamespace]:
    """Two hours before, three moves, unless a test says otherwise."""
    app, given = Flask(__name__), SimpleNamespace(slot_change=2.0, slot_moves=3)
    app.extensions["portal.settings"] = given
    with app.app_context():
        yield given


def agreed(*, moves: int = 0, on_hold: bool = False, begun: bool = False, off: bool = False) -> Appointment:
    """A call at three."""
    return Appointment(
        state=AppointmentState.CANCELLED if off else AppointmentState.BOOKED,
        starts_at=THREE,
        customer_moves=moves,
        change_wished_at=DAY_BEFORE if on_hold else None,
        started_at=DAY_BEFORE if begun else None,
    )


@pytest.mark.parametrize(
    ("now", "on_hold", "may"),
    [(ONE - SECOND, False, True), (ONE, False, False), (THREE - SECOND, True, True), (THREE, True, False)],
)
def test_it_is_changed_until_two_hours_before_and_on_hold_until_its_time(
    now: datetime, on_hold: bool, may: bool
) -> None:
    booked = agreed(on_hold=on_hold)

    assert (changing.may_move(booked, now=now), changing.may_cancel(booked, now=now)) == (may, may)
    assert changing.is_open_until(booked) == (THREE if on_hold else ONE)


@pytest.mark.parametrize(
    ("moves", "on_hold", "may_move", "left"),
    [(0, False, True, 3), (2, False, True, 1), (3, False, False, 0), (3, True, True, 0), (4, True, True, 0)],
)
def test_moved_as_often_as_is_offered_it_can_still_be_cancelled_and_moved_out_of_a_hold(
    moves: int, on_hold: bool, may_move: bool, left: int
) -> None:
    booked = agreed(moves=moves, on_hold=on_hold)

    assert (changing.may_move(booked, now=DAY_BEFORE), changing.moves_left(booked)) == (may_move, left)
    assert changing.may_cancel(booked, now=DAY_BEFORE)


def test_before_the_first_is_agreed_on_every_move_is_left() -> None:
    assert changing.moves_left(None) == 3


def test_what_somebody_has_begun_is_changed_no_more_though_the_house_sets_no_notice(settings: SimpleNamespace) -> None:
    settings.slot_change = 0.0

    assert changing.may_move(agreed(), now=THREE - SECOND)
    assert not changing.may_move(agreed(begun=True), now=THREE - SECOND)
    assert not changing.may_cancel(agreed(begun=True), now=THREE - SECOND)


def test_what_was_called_off_is_changed_no_more() -> None:
    assert not changing.may_cancel(agreed(off=True), now=DAY_BEFORE)


def test_a_house_may_offer_no_move_at_all(settings: SimpleNamespace) -> None:
    settings.slot_moves = 0

    assert not changing.may_move(agreed(), now=DAY_BEFORE)
    assert changing.may_cancel(agreed(), now=DAY_BEFORE)
