"""Two who change one appointment at once: one of them does, the other is told, and all that is shown says the same."""

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import db
from portal.appointments.models import Appointment, AppointmentState
from portal.cases import agreeing, calling, on_hold, passing, replacing, settling
from portal.cases.contacts import Contact
from portal.cases.models import Case
from portal.journal.models import Entry, Kind
from portal.mail.letters import LetterKind
from portal.mail.models import Letter, LetterState
from tests.races.racing import (
    MOMENT,
    End,
    Step,
    agree,
    an_hour_each,
    cases_of,
    free_starts,
    kinds,
    nothing_is_double,
    run,
    stage,
    without,
)
from tests.support.agreement import disagreements
from tests.support.cast import TUESDAY, away

NOW = TUESDAY + timedelta(minutes=5)
TIMES, OTHER_TIMES = free_starts(30), free_starts(30, since="2027-01-11")
TEN_MINUTES, A_QUARTER_OF_AN_HOUR = timedelta(minutes=10), timedelta(minutes=15)


@pytest.fixture
def agreed(core: Flask, people: dict[str, int], rounds: int) -> list[int]:
    """Cases with a time each, of one person; their ids."""
    with stage() as session:
        an_hour_each(session)
        found = cases_of(session, people["Miriam Albrecht"], rounds)
        for case_id, starts_at in zip(found, TIMES, strict=False):
            agree(session, case_id, starts_at, now=NOW)
    return found


def step_on(case_id: int, act: Callable[[Session, Case], object]) -> Step:
    """One step on a case, in a transaction of its own."""
    return lambda session: act(session, session.get_one(Case, case_id))


def move(case_id: int, starts_at: datetime, *, by_id: int | None = None, now: datetime = NOW) -> Step:
    return step_on(
        case_id,
        lambda session, case: agreeing.move(session, case, starts_at=starts_at, version=1, by_id=by_id, now=now),
    )


def cancel(case_id: int) -> Step:
    return step_on(case_id, lambda session, case: agreeing.cancel(session, case, version=1, by_id=None, now=NOW))


def freeze(case_id: int, by_id: int, *, now: datetime = NOW) -> Step:
    return step_on(
        case_id,
        lambda session, case: on_hold.wish(
            session, case, by_id=by_id, contact=Contact.CALL_IN, text="Lieber später.", version=1, now=now
        ),
    )


def rows(case_ids: list[int]) -> list[Appointment]:
    """The appointments of these cases, in their order; nothing about any is double, and every place says the same."""
    with stage() as session:
        nothing_is_double(session)
        found = {row.case_id: row for row in session.scalars(select(Appointment))}
        cases = [session.get_one(Case, case_id) for case_id in case_ids]
        assert [said for case in cases for said in disagreements(session, case, now=NOW)] == []
    return [found[case_id] for case_id in case_ids]


def test_called_off_or_moved(core: Flask, agreed: list[int]) -> None:
    ends = [run(core, cancel(one), move(one, at)) for one, at in zip(agreed, OTHER_TIMES, strict=False)]

    for row, (cancelled, moved), before, after in zip(rows(agreed), ends, TIMES, OTHER_TIMES, strict=False):
        assert (cancelled.won, moved.won) in {(True, False), (False, True)}
        is_off = row.state == AppointmentState.CANCELLED
        assert (is_off, row.starts_at, row.version) == (cancelled.won, before if cancelled.won else after, 2)
        assert set(kinds([cancelled, moved])) <= {"NoAppointment", "StaleAppointment"}


def test_put_on_hold_or_moved(core: Flask, people: dict[str, int], agreed: list[int]) -> None:
    by_id = people["Miriam Albrecht"]
    ends = [run(core, freeze(one, by_id), move(one, at)) for one, at in zip(agreed, OTHER_TIMES, strict=False)]

    for row, (frozen, moved), before, after in zip(rows(agreed), ends, TIMES, OTHER_TIMES, strict=False):
        assert (frozen.won, moved.won) in {(True, False), (False, True)}
        is_held = row.change_wished_at is not None
        assert (is_held, row.starts_at, row.version) == (frozen.won, before if frozen.won else after, 2)
        assert kinds([frozen, moved]) == ["StaleAppointment"]


def call(case_id: int, by_id: int, *, now: datetime) -> Step:
    """A colleague starts the call from a page that showed the case as it is now."""
    with db.reading() as session:
        version = session.get_one(Case, case_id).version
    return step_on(
        case_id, lambda session, case: calling.start_call(session, case, by_id=by_id, version=version, now=now)
    )


def is_never_called_at_an_old_time(case_id: int, called: End, changed: End, change: Kind) -> None:
    """The number was given out while the time stood, or not at all."""
    with db.reading() as session:
        kinds_in_order = list(
            session.scalars(
                select(Entry.kind)
                .where(Entry.case_id == case_id, Entry.kind.in_((Kind.CALL_STARTED, change)))
                .order_by(Entry.id)
            )
        )
    assert called.won is not changed.won
    assert kinds_in_order == ([Kind.CALL_STARTED] if called.won else [change])
    assert kinds([changed]) == ["HasCome"] if called.won else kinds([called]) == ["StaleCase"]


@pytest.mark.parametrize("change", [Kind.APPOINTMENT_MOVED, Kind.APPOINTMENT_FROZEN])
def test_called_or_moved_away(core: Flask, people: dict[str, int], agreed: list[int], change: Kind) -> None:
    """A colleague calls ten minutes early, another one notes that the customer wishes another time, or moves it."""
    keeper, lead = people["Miriam Albrecht"], people["Dr. Katharina Voss"]
    for case_id, starts_at, other in zip(agreed, TIMES, OTHER_TIMES, strict=False):
        now = starts_at - TEN_MINUTES
        to = move(case_id, other, by_id=lead, now=now)
        put = freeze(case_id, lead, now=now)
        called, changed = run(core, call(case_id, keeper, now=now), to if change == Kind.APPOINTMENT_MOVED else put)
        is_never_called_at_an_old_time(case_id, called, changed, change)
    rows(agreed)


def test_called_or_told_that_nobody_called(core: Flask, people: dict[str, int], agreed: list[int]) -> None:
    """A quarter of an hour late, the call is started as two workers look: told once, or never where it was begun."""
    keeper = people["Miriam Albrecht"]
    for case_id, starts_at in zip(agreed, TIMES, strict=False):
        now = starts_at + A_QUARTER_OF_AN_HOUR
        tell = step_on(case_id, partial(passing.tell_late, now=now))
        called, *told = run(core, call(case_id, keeper, now=now), tell, tell)
        assert all(end.won for end in told)
        with db.reading() as session:
            booked = session.scalars(select(Appointment).where(Appointment.case_id == case_id)).one()
            late = select(Letter.id).where(Letter.case_id == case_id, Letter.kind == LetterKind.APPOINTMENT_LATE)
            letters = session.scalars(late.where(Letter.state == LetterState.QUEUED)).all()
        assert (booked.started_at is not None) is called.won
        assert len(letters) == (0 if called.won else 1)
    rows(agreed)


def test_replaced_by_two_workers_while_the_customer_moves(
    core: Flask, people: dict[str, int], agreed: list[int]
) -> None:
    """Whoever keeps it will be away: given to somebody else once, or moved to a day on which they are back."""
    with stage() as session:
        away(session, people["Miriam Albrecht"], since=TIMES[0] - TEN_MINUTES, until=OTHER_TIMES[0] - TEN_MINUTES)

    for case_id, other in zip(agreed, OTHER_TIMES, strict=False):
        replace = step_on(case_id, partial(replacing.replace, now=NOW))
        first, second, moved = run(core, replace, replace, move(case_id, other))
        assert first.won and second.won
        assert moved.won or kinds([moved]) == ["StaleAppointment"]

    for row, before, after in zip(rows(agreed), TIMES, OTHER_TIMES, strict=False):
        assert row.version == 2
        named = (people["Jonas Weidner"], before), (people["Miriam Albrecht"], after)
        assert (row.person_id, row.starts_at) in named


def test_given_to_somebody_who_is_being_booked(core: Flask, people: dict[str, int], agreed: list[int]) -> None:
    given_to_a_colleague_or_booked(core, people, agreed)


def given_to_a_colleague_or_booked(core: Flask, people: dict[str, int], agreed: list[int]) -> None:
    """Someone's time is given to a colleague while a customer of that colleague chooses it: one of the two."""
    jonas, lead = people["Jonas Weidner"], people["Dr. Katharina Voss"]
    with stage() as session:
        wishing = cases_of(session, jonas, len(agreed))

    def give(case_id: int) -> Step:
        return step_on(
            case_id,
            lambda session, case: replacing.give(session, case, person_id=jonas, version=1, by_id=lead, now=NOW),
        )

    def book(case_id: int, starts_at: datetime) -> Step:
        return step_on(
            case_id, lambda session, case: agreeing.book(session, case, starts_at=starts_at, by_id=None, now=NOW)
        )

    for one, other, starts_at in zip(agreed, wishing, TIMES, strict=False):
        given, booked = run(core, give(one), book(other, starts_at))
        assert (given.won, booked.won) in {(True, False), (False, True)}
        assert kinds([given, booked]) in (["SlotTaken"], ["NotOffered"])
    for row in rows(agreed):
        assert row.starts_at in TIMES


def test_without_any_guard_one_is_given_what_another_books(
    core: Flask, people: dict[str, int], agreed: list[int]
) -> None:
    with without("guard", "check"), pytest.raises(AssertionError):
        given_to_a_colleague_or_booked(core, people, agreed)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_without_holding_the_case_both_are_done(core: Flask, agreed: list[int]) -> None:
    """On SQLite one writes at a time, whatever they hold."""
    both, refuse = threading.Barrier(2), agreeing._refuse_change

    def wait_for_the_other(*given: Any, **named: Any) -> None:
        refuse(*given, **named)
        with suppress(threading.BrokenBarrierError):
            both.wait(MOMENT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settling, "hold", lambda *_, **__: None)
        patch.setattr(agreeing, "_refuse_change", wait_for_the_other)
        with pytest.raises(AssertionError):
            test_called_off_or_moved(core, agreed)
