"""The steps that watch agreed times: each once, by several workers too, and none that finds nothing costs anything."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, func, select

from portal import clock, db
from portal.appointments import service
from portal.appointments.models import Appointment, AppointmentState
from portal.appointments.slots import Shape
from portal.cases import absences, agreeing, calling, nearing, offering, on_hold
from portal.cases import directory as directories
from portal.cases.contacts import Contact
from portal.cases.errors import Refused
from portal.cases.models import Case
from portal.mail.letters import LetterKind
from portal.mail.models import Letter, LetterState
from portal.people.models import Person
from portal.promises.models import Medium
from tests.bench import watching
from tests.support.cast import berlin, planned_for_any_values, statements, topic
from worker import appointments
from worker.__main__ import steps_of
from worker.delivery import Delivery
from worker.loop import Loop

TUESDAY = berlin("2026-11-24 09:12")
THURSDAY = berlin("2026-11-26 10:00")
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
DUE = THURSDAY + HOUR
Step = Callable[[], int]
Agree = Callable[..., list[int]]


@contextmanager
def at(instant: datetime) -> Iterator[None]:
    with clock.drive(lambda: instant):
        yield


@pytest.fixture
def agree(core: Flask, open_case: Callable[..., int]) -> Agree:
    """Takes so many forms on Tuesday and agrees on a call at 10 on Thursday in each; the ids of their cases.

    Each has a keeper of its own; the reply that was promised is due later.
    """
    with db.writing() as session:
        row = topic(session, "angebot")
        row.slot_medium, row.slot_minutes, row.slot_grid, row.slot_before, row.slot_after = Medium.CALL, 30, 30, 0, 0

    def take(count: int = 1, *, starts_at: datetime = THURSDAY) -> list[int]:
        with at(TUESDAY):
            return [_agree(open_case, number, starts_at) for number in range(count)]

    return take


def _agree(open_case: Callable[..., int], number: int, starts_at: datetime) -> int:
    case_id = open_case(f"customer{number}@haustechnik.example", phone="+491713920042")
    with db.writing() as session:
        case = session.get_one(Case, case_id)
        keeper_ids = session.scalars(select(Person.id).where(Person.answers).order_by(Person.id)).all()
        case.owner_id = keeper_ids[number]
        case.promise.person_id = keeper_ids[number]  # type: ignore[union-attr]
        agreeing.book(session, case, starts_at=starts_at, by_id=None, now=clock.utc_now())
    return case_id


def all_of(step: Step) -> int:
    """Do it until nothing is left; how much that was."""
    return Loop({"step": step}).run_until_idle()["step"]


def together(core: Flask, make: Callable[[], Step], *, workers: int = 3) -> None:
    """Several workers at once, each until nothing is left."""
    ready, faults = threading.Barrier(workers), list[BaseException]()

    def work() -> None:
        with core.app_context():
            step = make()
            ready.wait()
            try:
                for _ in range(12):
                    step()
            except BaseException as fault:
                faults.append(fault)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def count(kind: LetterKind, key: str = "%") -> int:
    with db.reading() as session:
        alive = Letter.state != LetterState.WITHDRAWN
        return session.scalars(select(func.count()).where(Letter.kind == kind, alive, Letter.key.like(key))).one()


def rows() -> list[Appointment]:
    with db.reading() as session:
        return list(session.scalars(select(Appointment).order_by(Appointment.id)))


def begin(case_id: int) -> None:
    with at(THURSDAY), db.writing() as session:
        case, booked = session.get_one(Case, case_id), session.scalars(select(Appointment)).all()
        by_id = next(one.person_id for one in booked if one.case_id == case_id)
        calling.start_call(session, case, by_id=by_id, version=case.version, now=THURSDAY)


def wish(case_id: int) -> None:
    with at(TUESDAY + HOUR), db.writing() as session:
        case = session.get_one(Case, case_id)
        on_hold.wish(
            session,
            case,
            by_id=case.owner_id or 0,
            contact=Contact.CALL_IN,
            text="",
            version=1,
            now=TUESDAY + HOUR,
        )


# --- each once -------------------------------------------------------------------------------------------------------


def test_the_worker_does_them_all(core: Flask, deliver: Delivery) -> None:
    names = ("remind_of_appointment", "alarm", "tell_late", "outcome_due", "ask_again", "end_on_hold", "replace_absent")

    assert set(names) <= set(steps_of(deliver))


WATCHES = [
    (appointments.alarm, THURSDAY + 5 * MINUTE, LetterKind.STAFF_APPOINTMENT, "%:late:%", 3),
    (appointments.tell_late, THURSDAY + 15 * MINUTE, LetterKind.APPOINTMENT_LATE, "%", 1),
    (appointments.outcome_due, DUE, LetterKind.APPOINTMENT_MISSED, "%", 1),
    (appointments.Remind, THURSDAY - 24 * HOUR, LetterKind.APPOINTMENT_REMINDER, "%:24", 1),
    (appointments.Remind, THURSDAY - HOUR, LetterKind.APPOINTMENT_REMINDER, "%:1:1", 1),
]
IDS = ["alarm", "late", "outcome", "day", "hour"]


@pytest.mark.parametrize(("make", "due", "kind", "key", "each"), WATCHES, ids=IDS)
def test_it_is_done_when_it_is_due_and_once(
    core: Flask, agree: Agree, make: Callable[[], Step], due: datetime, kind: LetterKind, key: str, each: int
) -> None:
    agree()
    step = make()
    with at(due - timedelta(seconds=1)):
        all_of(step)
        assert count(kind, key) == 0

    with at(due):
        assert all_of(step) == 1
        assert (step(), make()()) == (0, 0)
    with at(due + MINUTE):
        assert step() == 0

    assert count(kind, key) == each


@pytest.mark.parametrize(("make", "due", "kind", "key", "each"), WATCHES, ids=IDS)
def test_several_workers_do_it_once(
    core: Flask, agree: Agree, make: Callable[[], Step], due: datetime, kind: LetterKind, key: str, each: int
) -> None:
    agree(4)

    with at(due):
        together(core, make)
        assert all_of(make()) == 0

    found = count(kind, key)
    assert found == 4 * each if kind is not LetterKind.STAFF_APPOINTMENT else found >= 4 * 2


def test_who_is_asked_and_asked_again(core: Flask, agree: Agree) -> None:
    (case_id,) = agree()
    begin(case_id)
    with at(DUE):
        assert all_of(appointments.outcome_due()) == 1
    again = appointments.ask_again()
    with at(DUE + HOUR - MINUTE):
        assert again() == 0

    with at(DUE + HOUR):
        together(core, appointments.ask_again)
        assert again() == 0

    assert count(LetterKind.STAFF_APPOINTMENT, "%:outcome:%") == 2


def test_what_is_on_hold_ends_at_its_start(core: Flask, agree: Agree) -> None:
    (case_id,) = agree()
    wish(case_id)
    step = appointments.end_on_hold()
    with at(THURSDAY - MINUTE):
        assert step() == 0

    with at(THURSDAY):
        assert [all_of(step), step()] == [1, 0]

    assert rows()[0].state == AppointmentState.CANCELLED


def test_a_worker_that_was_away_until_it_was_over_says_so_at_once(core: Flask, agree: Agree, deliver: Delivery) -> None:
    """No alarm and no "we are about to call" for what is missed already; the customer hears once."""
    agree()

    with at(DUE + HOUR):
        Loop({name: step for name, step in steps_of(deliver).items() if name != "deliver"}).run_until_idle()

    assert count(LetterKind.APPOINTMENT_MISSED) == 1
    assert count(LetterKind.APPOINTMENT_LATE) == count(LetterKind.STAFF_APPOINTMENT, "%:late:%") == 0


class Died(BaseException):
    """The process ends here: nothing catches it, and the database takes back what was not committed."""


@pytest.mark.parametrize(
    ("make", "due", "kind"),
    [
        (appointments.outcome_due, DUE, LetterKind.APPOINTMENT_MISSED),
        (appointments.tell_late, THURSDAY + 15 * MINUTE, LetterKind.APPOINTMENT_LATE),
        (appointments.Remind, THURSDAY - HOUR, LetterKind.APPOINTMENT_REMINDER),
    ],
    ids=["outcome", "late", "hour"],
)
def test_a_worker_that_dies_at_any_statement_leaves_all_or_nothing(
    core: Flask, agree: Agree, make: Callable[[], Step], due: datetime, kind: LetterKind
) -> None:
    agree()
    number = 0
    for number in range(1, 200):
        if not dies_at(make, due, number):
            break
        (row,) = rows()
        marks = (row.late_told_at, row.asked_at, row.ended_at)
        assert (count(kind), marks) == (0, (None, None, None))

    assert number > 5
    assert count(kind) == 1
    with at(due):
        assert make()() == 0


def dies_at(make: Callable[[], Step], due: datetime, number: int) -> bool:
    """Let a worker die right before its statement of that number; False if it got through."""
    left = [number]

    def kill(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Died

    event.listen(db.db.engine, "before_cursor_execute", kill)
    try:
        with at(due):
            while not make()():  # PostgreSQL may not know yet that the one before died, who holds the case
                left[0] = number
    except Died:
        return True
    finally:
        event.remove(db.db.engine, "before_cursor_execute", kill)
    return False


# --- reminders -------------------------------------------------------------------------------------------------------


def test_only_what_came_near_since_the_last_look_is_read(
    core: Flask, agree: Agree, monkeypatch: pytest.MonkeyPatch
) -> None:
    agree(3)
    looked: list[int] = []
    real = nearing.is_to_be_reminded

    def noted(*args: Any, **kwargs: Any) -> bool:
        looked.append(args[2].id)
        return real(*args, **kwargs)

    monkeypatch.setattr(nearing, "is_to_be_reminded", noted)
    step = appointments.Remind()
    with at(THURSDAY - 24 * HOUR):
        all_of(step)
    assert len(looked) == 3

    looked.clear()
    for minutes in range(1, 22 * 60, 7):
        with at(THURSDAY - 24 * HOUR + minutes * MINUTE):
            assert step() == 0
    assert looked == []
    with at(THURSDAY - HOUR):
        assert all_of(step) == 3


def test_over_a_weekend_the_reminder_comes_in_the_last_minute_before_it(core: Flask, agree: Agree) -> None:
    agree(starts_at=berlin("2026-11-30 10:00"))
    step = appointments.Remind()

    for wall_clock, done in (("18:58", 0), ("18:59", 1), ("19:00", 0)):
        with at(berlin(f"2026-11-27 {wall_clock}")):
            assert all_of(step) == done

    assert count(LetterKind.APPOINTMENT_REMINDER) == 1


def test_a_clock_that_is_set_back_loses_no_reminder(core: Flask, agree: Agree) -> None:
    step = appointments.Remind()
    with at(THURSDAY + 24 * HOUR):
        all_of(step)
    agree()

    with at(THURSDAY - HOUR):
        assert all_of(step) == 1


def test_one_that_breaks_is_reminded_of_later_and_keeps_no_other_waiting(
    core: Flask, agree: Agree, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, _ = agree(2)
    real = nearing.remind_customer

    def breaks(session: Any, case: Case, *, now: datetime) -> None:
        if case.id == broken:
            raise RuntimeError("a fault of ours")
        real(session, case, now=now)

    monkeypatch.setattr(nearing, "remind_customer", breaks)
    step, due = appointments.Remind(), THURSDAY - 24 * HOUR
    with at(due):
        all_of(step)
    assert count(LetterKind.APPOINTMENT_REMINDER) == 1

    monkeypatch.setattr(step._work, "_do", real)
    with at(due + 59 * MINUTE):
        assert step() == 0
    with at(due + HOUR):
        assert step() == 1
    assert count(LetterKind.APPOINTMENT_REMINDER) == 2


def test_what_came_near_in_a_look_that_broke_is_found_by_the_next(
    core: Flask, agree: Agree, monkeypatch: pytest.MonkeyPatch
) -> None:
    agree(2)
    step, due = appointments.Remind(), THURSDAY - 24 * HOUR
    with at(due - MINUTE):
        assert step() == 0

    def breaks(*_: Any, **__: Any) -> bool:
        raise RuntimeError("a fault of ours")

    with at(due), monkeypatch.context() as broken:
        broken.setattr(nearing, "is_to_be_reminded", breaks)
        with pytest.raises(RuntimeError):
            step()

    with at(due + MINUTE):
        assert all_of(step) == 2
    assert count(LetterKind.APPOINTMENT_REMINDER) == 2


# --- who will be away ------------------------------------------------------------------------------------------------


def ill(person_id: int) -> None:
    with db.writing() as session:
        absences.enter(
            session,
            person_id=person_id,
            starts_at=THURSDAY - 2 * HOUR,
            ends_at=THURSDAY + 48 * HOUR,
            deputy_id=None,
            by_id=person_id,
            now=clock.utc_now(),
        )


def unnoticed() -> list[int]:
    """Agreed times whose keeper will be away, and nobody does anything about it."""
    with db.reading() as session:
        directory = directories.load(session, now=clock.utc_now())
        booked = session.scalars(select(Appointment).where(Appointment.state == AppointmentState.BOOKED))
        return [one.id for one in booked if not one.change_wished_at and offering.keeper_is_away(directory, one)]


def test_an_absence_is_noticed_by_itself(core: Flask, agree: Agree) -> None:
    agree(3)
    step = appointments.ReplaceAbsent()
    with at(TUESDAY + HOUR):
        all_of(step)
        ill(rows()[0].person_id)
        assert len(unnoticed()) == 1

        assert all_of(step) == 1

        assert unnoticed() == []
        assert [row.version for row in rows()] == [2, 1, 1]


def test_all_are_looked_at_a_slice_at_a_time(core: Flask, agree: Agree, monkeypatch: pytest.MonkeyPatch) -> None:
    agree(4)
    monkeypatch.setattr(appointments, "SLICE", 1)
    monkeypatch.setattr(appointments, "_TO_COME", appointments._TO_COME.limit(1))
    with at(TUESDAY + HOUR):
        for row in rows():
            ill(row.person_id)

        assert all_of(appointments.ReplaceAbsent()) >= 4

        assert unnoticed() == []


def test_while_nothing_changes_nothing_is_looked_at(core: Flask, agree: Agree) -> None:
    agree()
    step = appointments.ReplaceAbsent()
    with at(TUESDAY + HOUR):
        all_of(step)
        with statements() as sent:
            assert step() == 0

    assert len([one for one in sent if "SELECT" in one]) == 1
    assert "directory_revision" in sent[-1]


def test_after_a_while_all_is_looked_at_again(core: Flask, agree: Agree) -> None:
    """A time may be agreed while the hours change, by whoever saw the old ones."""
    agree()
    step = appointments.ReplaceAbsent()
    with at(TUESDAY + HOUR):
        all_of(step)
        ill(rows()[0].person_id)
        with db.reading() as session:  # as if it had been seen already
            step._looked_by = directories.load(session, now=clock.utc_now())
        assert all_of(step) == 0

    with at(TUESDAY + HOUR + appointments.LOOK_AGAIN_AFTER):
        assert all_of(step) == 1
        assert unnoticed() == []


def test_one_that_cannot_be_replaced_is_tried_again_later(
    core: Flask, agree: Agree, monkeypatch: pytest.MonkeyPatch
) -> None:
    agree(2)
    step = appointments.ReplaceAbsent()
    real, broken = step._work._do, rows()[0].case_id

    def breaks(session: Any, case: Case, *, now: datetime) -> None:
        if case.id == broken:
            raise RuntimeError("a fault of ours")
        real(session, case, now=now)

    monkeypatch.setattr(step._work, "_do", breaks)
    with at(TUESDAY + HOUR):
        for row in rows():
            ill(row.person_id)
        all_of(step)
        assert len(unnoticed()) == 1

    monkeypatch.setattr(step._work, "_do", real)
    with at(TUESDAY + 2 * HOUR):
        assert step() == 1
        assert unnoticed() == []


def test_several_workers_replace_once(core: Flask, agree: Agree) -> None:
    agree(4)
    with at(TUESDAY + HOUR):
        ill(rows()[0].person_id)
        together(core, appointments.ReplaceAbsent)

    assert [row.version for row in rows()] == [2, 1, 1, 1]


def test_an_absence_that_races_with_bookings_leaves_none_unnoticed(core: Flask, agree: Agree) -> None:
    """Whoever agrees on a time later sees it; whoever was earlier is found."""
    case_ids = agree(4)
    person_id = rows()[0].person_id
    with at(TUESDAY + HOUR):
        with db.writing() as session:
            for case_id in case_ids:
                session.get_one(Case, case_id).owner_id = person_id
        step, ready = appointments.ReplaceAbsent(), threading.Barrier(len(case_ids))
        all_of(step)

        def move(case_id: int, starts_at: datetime) -> None:
            with core.app_context():
                ready.wait()
                try:
                    with db.writing() as session:
                        case = session.get_one(Case, case_id)
                        now = clock.utc_now()
                        agreeing.move(session, case, starts_at=starts_at, version=1, by_id=None, now=now)
                except Refused:
                    pass

        def enter() -> None:
            with core.app_context():
                ready.wait()
                ill(person_id)

        threads = [
            threading.Thread(target=move, args=(case_id, THURSDAY + (number + 1) * HOUR))
            for number, case_id in enumerate(case_ids[1:])
        ]
        threads.append(threading.Thread(target=enter))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(unnoticed()) >= 1  # the one that nobody moved

        all_of(step)

        assert unnoticed() == []


# --- what an empty look costs ----------------------------------------------------------------------------------------


LOOKS: list[tuple[Callable[[], Step], str]] = [
    (appointments.alarm, "ix_appointment_awaited_starts_at"),
    (appointments.tell_late, "ix_appointment_awaited_starts_at"),
    (appointments.end_on_hold, "ix_appointment_awaited_starts_at"),
    (appointments.outcome_due, "ix_appointment_awaited_outcome_due_at"),
    (appointments.ask_again, "ix_appointment_awaited_outcome_due_at"),
    (appointments.Remind, "ix_appointment_starts_at"),
]


def test_each_empty_look_reads_its_partial_index_alone(two_thousand: Flask) -> None:
    for make, index in LOOKS:
        step = make()
        with at(TUESDAY + HOUR):
            step()
            with statements() as sent:
                assert step() == 0
        looks = {one for one in sent if "FROM appointment" in one or "JOIN appointment" in one}
        assert len(looks) == 1
        with db.reading() as session:
            plan = planned_for_any_values(session, looks.pop())
        assert index in plan, make
        assert "Seq Scan on appointment" not in plan and "SCAN appointment" not in plan, plan


@pytest.fixture
def two_thousand(core: Flask) -> Flask:
    """Two thousand open cases with an agreed time, and statistics of them.

    One half lie a month ahead and more; of the others nobody ever said what became of them.
    """
    watching.fill(2000)
    with db.writing() as session:
        case_ids = session.scalars(select(Case.id).order_by(Case.id)).all()
        person_ids = session.scalars(select(Person.id)).all()
        for number, case_id in enumerate(case_ids):
            is_over = number % 2 == 1
            row = service.new(
                case_id=case_id,
                person_id=person_ids[number % len(person_ids)],
                medium=Medium.CALL,
                shape=Shape(30, 30),
                starts_at=TUESDAY + timedelta(days=-60 if is_over else 30) + number * 30 * MINUTE,
                tz="Europe/Berlin",
                uid=f"{number}@test",
                now=TUESDAY,
            )
            row.asked_at = row.asked_again_at = TUESDAY if is_over else None
            session.add(row)
    with db.db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    return core
