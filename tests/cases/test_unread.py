"""Entries in doubt that nobody looked at by their date: the lead's task, once each time, with a new date."""

import threading
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal import clock, db
from portal.cases import addressing, doubtful, unread, worklist
from portal.cases.models import Case, CaseState, Doubt
from portal.journal.models import Kind
from portal.mail.letters import LetterKind
from portal.mail.models import Letter
from tests.support.cast import (
    deliver,
    entries,
    letters,
    open_case,
    open_promises,
    planned_for_any_values,
    read,
    statements,
    step,
)
from worker.doubtful import EscalateUnread
from worker.loop import GOES_ON


@pytest.fixture
def entry(session: Session) -> Case:
    """An entry in doubt, of which the front desk has had its letter."""
    case = open_case(session, doubt=Doubt.LINKS)
    deliver(session)
    return case


def late(case: Case) -> datetime:
    assert case.check_by_at is not None
    return case.check_by_at


def test_before_its_date_nothing_happens(session: Session, entry: Case) -> None:
    unread.escalate(session, entry, now=late(entry) - timedelta(seconds=1))

    assert (entry.lead_since, entries(session, entry, Kind.CHECK_MOVED)) == (None, [])


def test_after_its_date_the_lead_gets_one_letter_and_the_customer_a_new_date(
    session: Session, entry: Case, people: dict[str, int]
) -> None:
    first = late(entry)
    for _ in range(2):
        unread.escalate(session, entry, now=first)
        step(session)

    assert (entry.state, entry.lead_since) == (CaseState.RECEIVED, first)
    assert late(entry) > first
    old, letter = letters(session, entry, LetterKind.STAFF_DOUBTFUL)
    assert letter.to_address == "k.voss@beispielwerke.example"
    assert "Der Text besteht vor allem aus Links." in read(letter).text
    assert "Jetzt liegt er bei Ihnen." in read(letter).text
    assert read(letter).subject.startswith("Nicht rechtzeitig geprüft") and "Nicht" not in read(old).subject
    assert unread.looked_at_by(session, entry, now=first) == "Dr. Katharina Voss"
    assert len(entries(session, entry, Kind.CHECK_MOVED)) == 1


def test_it_never_ends_in_silence(session: Session, entry: Case) -> None:
    readers = []
    for _ in range(4):
        unread.escalate(session, entry, now=late(entry))
        step(session)
        readers.append(letters(session, entry, LetterKind.STAFF_DOUBTFUL)[-1].to_address)

    assert len(letters(session, entry, LetterKind.STAFF_DOUBTFUL)) == 5
    assert readers[0] != readers[1] and readers[2] == readers[3]


def test_the_worklist_says_that_it_is_the_leads(session: Session, entry: Case) -> None:
    first = late(entry)
    unread.escalate(session, entry, now=first)
    step(session)

    (row,) = worklist.doubtful(session, states=[CaseState.RECEIVED], language="de", now=first)
    assert (row.escalated, row.late) == (True, False)


def test_released_late_its_answer_is_counted_from_then_and_the_lead_is_not_named_to_the_customer(
    session: Session, entry: Case, people: dict[str, int]
) -> None:
    first = late(entry)
    unread.escalate(session, entry, now=first)
    doubtful.release(session, entry, by_id=people["Dr. Katharina Voss"], now=first)
    step(session)

    assert (entry.state, entry.lead_since) == (CaseState.OPEN, None)
    assert open_promises(session, entry)[0].given_at == first
    assert unread.looked_at_by(session, entry, now=first) is None


def test_two_workers_at_once_escalate_it_once(core: Flask, session: Session, entry: Case) -> None:
    first, done = late(entry), list[int]()
    session.commit()
    ready = threading.Barrier(2)

    def work() -> None:
        with core.app_context():
            escalate = EscalateUnread()
            ready.wait()
            done.append(escalate())

    with clock.drive(lambda: first):
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(done) == [0, 1]
    with db.reading() as reading:
        found = select(func.count()).where(Letter.case_id == entry.id, Letter.kind == LetterKind.STAFF_DOUBTFUL)
        assert reading.scalar(found) == 2


def only_the_other_is_escalated(session: Session, entry: Case, other: Case, *, after: datetime) -> None:
    """One that breaks is put off, and keeps no other waiting."""
    session.commit()
    with clock.drive(lambda: after + timedelta(minutes=1)):
        escalate = EscalateUnread()
        assert [escalate() for _ in range(3)] == [GOES_ON, 1, 0]

    session.expire_all()
    assert (entry.lead_since is None, other.lead_since is None) == (True, False)


def test_one_that_breaks_keeps_no_other_waiting(
    core: Flask, session: Session, entry: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = open_case(session, doubt=Doubt.PITCH)
    first, real = late(entry), unread._reader

    def broken(directory: object, case: Case, *rest: int, now: datetime) -> int:
        if case.id == entry.id:
            raise ZeroDivisionError
        return real(directory, case, *rest, now=now)  # type: ignore[arg-type]

    monkeypatch.setattr(unread, "_reader", broken)
    only_the_other_is_escalated(session, entry, other, after=first)


def test_one_that_the_database_refuses_at_the_commit_keeps_no_other_waiting(
    core: Flask,
    session: Session,
    entry: Case,
    people: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The key of law 1 is looked at when the transaction ends."""
    other, real = open_case(session, doubt=Doubt.PITCH), unread.escalate

    def names_a_step_that_is_none(session: Session, case: Case, *, now: datetime) -> None:
        real(session, case, now=now)
        if case.id == entry.id:
            case.state, case.check_by_at = CaseState.OPEN, None
            case.owner_id, case.promise_id = case.owner_id or next(iter(people.values())), 4711

    monkeypatch.setattr(unread, "escalate", names_a_step_that_is_none)
    first = late(entry)
    only_the_other_is_escalated(session, entry, other, after=first)
    assert "not escalated" in caplog.text and "IntegrityError" in caplog.text


def test_one_that_broke_is_not_put_off_for_longer_by_a_clock_that_is_set_back(
    core: Flask, session: Session, entry: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> int:
        raise ZeroDivisionError

    escalate, first = EscalateUnread(), late(entry)
    session.commit()
    with monkeypatch.context() as fault, clock.drive(lambda: first + timedelta(days=30)):
        fault.setattr(unread, "_reader", broken)
        assert escalate() == GOES_ON

    with clock.drive(lambda: first + timedelta(hours=2)):
        assert escalate() == 1


def test_a_case_that_was_the_leads_and_is_in_doubt_again_has_not_been_late_yet(
    session: Session, people: dict[str, int]
) -> None:
    case = open_case(session)
    case.lead_since = case.opened_at
    addressing.not_me(session, case, now=late_enough(case))
    step(session)

    (row,) = worklist.doubtful(session, states=[CaseState.RECEIVED], language="de", now=late_enough(case))
    assert not row.escalated
    assert unread.looked_at_by(session, case, now=late_enough(case)) is None


def late_enough(case: Case) -> datetime:
    assert case.opened_at is not None
    return case.opened_at + timedelta(minutes=5)


def test_an_empty_look_reads_one_index(core: Flask, session: Session) -> None:
    session.commit()
    with statements() as sent:
        assert not EscalateUnread()()

    plan = planned_for_any_values(session, sent[-1])
    assert "ix_case_check_by_at" in plan and "Seq Scan" not in plan, plan
