"""The steps that watch promises: what they take and when, several workers at once, and one broken case among others."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from portal import clock, db
from portal.cases import delaying, settling
from portal.cases.models import Case
from portal.mail.letters import LetterKind
from portal.mail.models import Letter
from portal.promises.models import Promise, PromiseState
from tests.bench import watching
from tests.support.cast import berlin, planned_for_any_values, statements
from worker import cases, promises, waiting
from worker.loop import GOES_ON, Loop
from worker.promises import Watch

TUESDAY = berlin("2026-11-24 09:12")
NOTICE = berlin("2026-11-25 15:30")
"""When the notice of a reply promised on Tuesday is due; the reply itself at 16:30."""


@contextmanager
def at(instant: datetime) -> Iterator[None]:
    with clock.drive(lambda: instant):
        yield


@pytest.fixture
def take(open_case: Callable[..., int]) -> Callable[[int], list[int]]:
    """Takes so many forms on Tuesday morning; the ids of their cases."""

    def cases(count: int) -> list[int]:
        with at(TUESDAY):
            return [open_case(f"customer{number}@haustechnik.example") for number in range(count)]

    return cases


def test_an_empty_look_does_nothing(core: Flask, take: Callable[[int], list[int]]) -> None:
    take(1)

    with at(NOTICE - timedelta(seconds=1)):
        assert not promises.give_notice()()


def test_every_due_case_gets_its_notice_and_then_there_is_none_left(
    core: Flask, take: Callable[[int], list[int]]
) -> None:
    take(3)
    step = promises.give_notice()

    with at(NOTICE):
        assert sum(step() for _ in range(3)) == 3  # in as many goes as time allows
        assert step() == 0

    assert count(LetterKind.DELAY_NOTICE) == 3


def test_the_reminder_comes_by_itself(core: Flask, take: Callable[[int], list[int]]) -> None:
    take(1)
    step = promises.remind()

    with at(berlin("2026-11-25 12:30")):
        assert [step(), step()] == [1, 0]

    assert count(LetterKind.STAFF_REMINDER) == 1


def test_two_workers_move_a_promise_once(core: Flask, take: Callable[[int], list[int]]) -> None:
    take(6)
    together = threading.Barrier(3)

    def work() -> None:
        with core.app_context():
            step = promises.give_notice()
            together.wait()
            for _ in range(12):
                step()

    workers = [threading.Thread(target=work) for _ in range(3)]
    with at(NOTICE):
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    assert count(LetterKind.DELAY_NOTICE) == 6
    assert open_promises() == 6


class Died(BaseException):
    """The process ends here: nothing catches it, and the database takes back what was not committed."""


def test_a_worker_that_dies_at_any_statement_of_the_step_leaves_all_or_nothing(
    core: Flask, take: Callable[[int], list[int]]
) -> None:
    """Killed before the first statement, before the second one, and so on, until the step gets through."""
    take(1)
    statements = 0
    for statements in range(1, 200):
        if not dies_at(statements):
            break
        assert (count(LetterKind.DELAY_NOTICE), count(LetterKind.STAFF_DELAYED), open_promises()) == (0, 0, 1)

    assert statements > 10
    assert (count(LetterKind.DELAY_NOTICE), count(LetterKind.STAFF_DELAYED), open_promises()) == (1, 1, 1)
    with at(NOTICE):
        assert not promises.give_notice()()


def dies_at(number: int) -> bool:
    """Let a worker die right before its statement of that number; False if it got through."""
    left = [number]

    def kill(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Died

    event.listen(db.db.engine, "before_cursor_execute", kill)
    try:
        with at(NOTICE):
            # PostgreSQL may not know yet that the one before died, who holds the case.
            while not promises.give_notice()():
                left[0] = number
    except Died:
        return True
    finally:
        event.remove(db.db.engine, "before_cursor_execute", kill)
    return False


class TestAWorkerThatWasDown:
    """Its promises lapsed meanwhile; each customer hears once, in the sending hours, with a date that lies ahead."""

    def test_for_two_days_writes_one_notice(self, core: Flask, take: Callable[[int], list[int]]) -> None:
        take(2)
        back = berlin("2026-11-27 10:00")
        step = promises.give_notice()

        with at(back):
            while step():
                pass

        assert count(LetterKind.DELAY_NOTICE) == 2
        assert earliest_due() > back

    def test_and_comes_back_at_night_waits_for_the_morning(self, core: Flask, take: Callable[[int], list[int]]) -> None:
        take(1)
        step = promises.give_notice()

        with at(berlin("2026-11-26 22:00")):
            assert not step()
        with at(berlin("2026-11-27 06:59")):
            assert not step()
        with at(berlin("2026-11-27 07:00")):
            assert step()

    def test_does_not_wait_where_the_date_would_pass_meanwhile(
        self, core: Flask, take: Callable[[int], list[int]]
    ) -> None:
        take(1)
        with db.writing() as session:  # a team that works at night
            session.scalars(select(Promise)).one().due_at = berlin("2026-11-26 05:00")

        with at(berlin("2026-11-26 03:00")):
            assert promises.give_notice()()


def test_a_case_that_breaks_keeps_no_other_waiting(
    core: Flask, take: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, *_ = take(3)
    real = delaying.give_notice

    def breaks(session: object, case: Case, *, now: datetime) -> None:
        if case.id == broken:
            raise RuntimeError("a fault of ours")
        real(session, case, now=now)  # type: ignore[arg-type]

    step = Watch(promises._notice_due, breaks, failed="no notice given")
    with at(NOTICE):
        assert Loop({"notice": step}).run_until_idle() == {"notice": 2}
    assert count(LetterKind.DELAY_NOTICE) == 2

    monkeypatch.setattr(step, "_do", real)
    with at(NOTICE + promises.PUT_OFF):
        assert step()
    assert count(LetterKind.DELAY_NOTICE) == 3


def test_a_fault_that_passes_leaves_time_to_tell_the_customer(
    core: Flask, take: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    take(1)
    real, tried = delaying.give_notice, []

    def breaks(session: object, case: Case, *, now: datetime) -> None:
        tried.append((now - NOTICE) // timedelta(minutes=1))
        raise RuntimeError("a fault of ours")

    step = Watch(promises._notice_due, breaks, failed="no notice given")
    for minute in range(2 * 60):
        with at(NOTICE + timedelta(minutes=minute)):
            step()
    assert tried == [0, 1, 3, 7, 15, 31, 63]

    monkeypatch.setattr(step, "_do", real)
    with at(NOTICE + timedelta(minutes=123)):
        assert step() == 1
    assert step._faults == {}


def test_no_more_cases_are_taken_than_there_is_time_for(
    core: Flask, take: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is taken in vain is read in vain, and held from others meanwhile."""
    take(7)
    real, taken = settling.take, []

    def counted(session: Session, *args: Any) -> Sequence[Case]:
        taken.append(len(found := real(session, *args)))
        return found

    monkeypatch.setattr(settling, "take", counted)
    monkeypatch.setattr(promises, "LONGEST", -1)  # the time is over from the beginning
    monkeypatch.setattr(promises, "AT_LEAST", 2)
    step = promises.give_notice()
    with at(NOTICE):
        assert [step() for _ in range(2)] == [2, 2]
        monkeypatch.setattr(promises, "LONGEST", 60)
        assert [step() for _ in range(3)] == [2, 1, 0]

    assert taken == [7, 2, 2, 1]


def test_a_case_that_the_database_refuses_at_the_commit_keeps_no_other_waiting(
    core: Flask, take: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The key of law 1 is looked at when the transaction ends: whose fault it was, the database does not say."""
    _, broken, *_ = take(4)
    real = delaying.give_notice

    def leaves_no_open_step(session: Session, case: Case, *, now: datetime) -> None:
        real(session, case, now=now)
        if case.id == broken:
            case.promise_id = session.scalars(
                select(Promise.id).where(Promise.case_id == broken, Promise.state == PromiseState.MOVED)
            ).one()

    monkeypatch.setattr(promises, "LONGEST", 60)  # all in one transaction
    step = Watch(promises._notice_due, leaves_no_open_step, failed="no notice given")
    with at(NOTICE):
        assert [step(), step(), step(), step(), step()] == [GOES_ON, 1, GOES_ON, 2, 0]
    assert count(LetterKind.DELAY_NOTICE) == 3
    assert f"'case': {broken}" in caplog.text
    assert "IntegrityError" in caplog.text
    for minute in (1, 3, 7):  # twice as long each time, although it always looked done until the commit
        with at(NOTICE + timedelta(minutes=minute - 1)):
            assert step() == 0
        with at(NOTICE + timedelta(minutes=minute)):
            assert step() == GOES_ON

    monkeypatch.setattr(step, "_do", real)
    with at(NOTICE + promises.PUT_OFF):
        assert step() == 1
    assert count(LetterKind.DELAY_NOTICE) == 4


@pytest.mark.parametrize(
    ("step", "index"),
    [
        (promises.give_notice(), "ix_promise_notice_at"),
        (promises.remind(), "ix_promise_remind_at"),
        (waiting.go_on_waiting(), "ix_promise_notice_at"),
        (waiting.close_unanswered(), "ix_promise_closes_at"),
    ],
    ids=["notice", "reminder", "waiting", "closing"],
)
def test_a_look_reads_its_partial_index_alone(ten_thousand: Flask, step: Watch, index: str) -> None:
    with db.reading() as session:
        session.connection().execute(step.look, {"now": watching.NOW}).first()  # the very text that a worker sends
        with statements() as sent:
            session.connection().execute(step.look, {"now": watching.NOW}).first()

        plan = planned_for_any_values(session, sent[-1])

    assert index in plan
    assert "Seq Scan" not in plan and "SCAN promise" not in plan, plan


def test_the_look_for_what_is_to_be_erased_reads_its_partial_index_alone(ten_thousand: Flask) -> None:
    erase = cases.Erasing()
    with statements() as sent:
        assert not erase()

    with db.reading() as session:
        plan = planned_for_any_values(session, next(statement for statement in sent if "erase_on" in statement))

    assert "ix_case_erase_on" in plan


@pytest.fixture
def ten_thousand(core: Flask) -> Flask:
    """Ten thousand open cases, and statistics of them."""
    watching.fill(10_000)
    return core


def count(kind: LetterKind) -> int:
    with db.reading() as session:
        return session.scalars(select(func.count()).where(Letter.kind == kind)).one()


def open_promises() -> int:
    with db.reading() as session:
        return session.scalars(select(func.count()).where(Promise.state == PromiseState.OPEN)).one()


def earliest_due() -> datetime:
    with db.reading() as session:
        return session.scalars(
            select(Promise.due_at).where(Promise.state == PromiseState.OPEN).order_by(Promise.due_at).limit(1)
        ).one()
