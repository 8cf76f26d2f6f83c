"""The step that plans anew: a little at a time, by any worker, and one broken case among others."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from portal import clock, db
from portal.cases import replanning as planning_anew
from portal.cases.models import Case
from portal.people.models import Closure, ClosureKind
from portal.promises.models import Promise, Replanning
from tests.support.cast import berlin
from tests.worker.conftest import CUSTOMER
from worker import replanning
from worker.loop import GOES_ON, Loop
from worker.promises import PUT_OFF
from worker.replanning import Replan

TUESDAY = berlin("2026-11-24 09:12")
TEN = berlin("2026-11-24 10:00")


@contextmanager
def at(instant: datetime) -> Iterator[None]:
    with clock.drive(lambda: instant):
        yield


@pytest.fixture
def cases(core: Flask, open_case: Callable[..., int]) -> list[int]:
    """Five cases promised for Wednesday, on which the firm then closes; before, all was planned."""
    with at(TUESDAY):
        found = [open_case(f"customer{number}@haustechnik.example") for number in range(5)]
        Loop({"replan": Replan()}).run_until_idle()
    with db.writing() as session:
        session.add(Closure(first_on=date(2026, 11, 25), last_on=date(2026, 11, 25), kind=ClosureKind.CLOSED))
    return found


def test_it_says_how_many_cases_it_planned(cases: list[int]) -> None:
    with at(TEN):
        assert Loop({"replan": Replan()}).run_until_idle() == {"replan": 5}

    assert moved() == set(cases)


def test_a_call_ends_when_its_time_is_over_and_the_next_goes_on(
    cases: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replanning, "LONGEST", 0)
    step = Replan()

    with at(TEN):
        assert [step() for _ in range(6)] == [1, 1, 1, 1, 1, 0]

    assert moved() == set(cases)


def test_what_a_worker_left_that_ended_amid_a_batch_another_does(
    cases: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replanning, "LONGEST", 0)
    before, ended = mark(), Replan()

    with at(TEN):
        ended()
        ended()
        assert (len(moved()), mark()) == (2, before)
        assert Loop({"replan": Replan()}).run_until_idle() == {"replan": 3}

    assert moved() == set(cases)
    assert mark() != before


def test_a_case_that_breaks_keeps_no_other_waiting_and_is_planned_later(
    cases: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, real = cases[1], planning_anew.replan

    def breaks(session: Session, case: Case, *, now: datetime) -> None:
        real(session, case, now=now)
        if case.id == broken:
            raise ValueError(CUSTOMER)

    monkeypatch.setattr(planning_anew, "replan", breaks)
    step = Replan()
    with at(TEN):
        assert Loop({"replan": step}).run_until_idle() == {"replan": 4}
    assert moved() == set(cases) - {broken}
    assert f"'case': {broken}" in caplog.text
    assert CUSTOMER not in caplog.text

    with at(TEN + PUT_OFF):
        assert [step(), step()] == [GOES_ON, 0]
    monkeypatch.setattr(planning_anew, "replan", real)
    with at(TEN + 2 * PUT_OFF):
        assert [step(), step()] == [1, 0]
    assert moved() == set(cases)


def test_a_case_that_the_database_refuses_at_the_commit_keeps_no_other_waiting(
    cases: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, real = cases[0], planning_anew.replan

    def points_elsewhere(session: Session, case: Case, *, now: datetime) -> None:
        real(session, case, now=now)
        if case.id == broken:
            case.promise_id = 0

    monkeypatch.setattr(planning_anew, "replan", points_elsewhere)
    with at(TEN):
        assert Loop({"replan": Replan()}).run_until_idle() == {"replan": 4}

    assert moved() == set(cases) - {broken}


def test_two_workers_that_make_the_first_note_at_once_both_go_on(core: Flask) -> None:
    """Neither sees the other's row: it is not committed when the second one writes its own."""
    ends: list[str] = []

    def another() -> None:
        with core.app_context():
            try:
                with db.writing() as session:
                    planning_anew.note_done(session, "theirs", None)
                ends.append("noted")
            except SQLAlchemyError as fault:
                ends.append(type(fault).__name__)

    thread = threading.Thread(target=another)
    with db.writing() as session:
        planning_anew.note_done(session, "ours", 7)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()  # it waits for us
    thread.join()

    assert (ends, mark()) == (["noted"], "theirs")


def moved() -> set[int]:
    """The cases with a promise that will move to another date."""
    with db.reading() as session:
        return set(session.scalars(select(Promise.case_id).where(Promise.moves_to.is_not(None))))


def mark() -> str:
    """The calendars by which all is planned."""
    with db.reading() as session:
        return session.get_one(Replanning, 1).mark
