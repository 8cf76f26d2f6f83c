"""Absences: who is reminded when somebody begins to act for another, and who waits for whom meanwhile."""

import threading
from datetime import timedelta
from time import monotonic, sleep

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from portal import db
from portal.cases import absences, promising, reminding, settling
from portal.cases.models import Case
from portal.cases.promising import NewPromise
from portal.mail.letters import LetterKind
from portal.people.models import Absence
from portal.promises.models import Medium, PromiseKind
from tests.support.cast import (
    TUESDAY,
    away,
    berlin,
    deliver,
    letters,
    open_case,
    open_promises,
    planned_for_any_values,
    statements,
    step,
)

MIRIAM, JONAS, BRANDT = "Miriam Albrecht", "Jonas Weidner", "Thomas Brandt"
ILL = TUESDAY + timedelta(minutes=10)

# On SQLite one writes at a time.
postgresql_only = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


# --- who is reminded -------------------------------------------------------------------------------------------------


def test_whoever_takes_over_what_was_too_short_for_a_reminder_is_reminded_at_once(
    session: Session, people: dict[str, int]
) -> None:
    case = too_short(session)

    enter(session, people[MIRIAM], people[JONAS])
    remind(session, case)

    assert reminded(session, case) == ["j.weidner"]


def test_and_so_is_whoever_acts_for_somebody_else_who_acts_for_others(session: Session, people: dict[str, int]) -> None:
    case = too_short(session)
    away(session, people[MIRIAM], since=TUESDAY, deputy_id=people[JONAS])
    step(session)

    enter(session, people[JONAS], people[BRANDT])
    remind(session, case)

    (to,) = reminded(session, case)
    assert to not in ("m.albrecht", "j.weidner")


@pytest.mark.parametrize("who", [JONAS, BRANDT])
def test_of_what_stays_with_its_person_nobody_is_reminded(session: Session, people: dict[str, int], who: str) -> None:
    case = too_short(session)

    enter(session, people[who], None)

    (promise,) = open_promises(session, case)
    assert (promise.remind_at, promise.reminded_at) == (None, None)


def test_an_absence_looks_at_the_promises_of_those_it_concerns_alone(session: Session, people: dict[str, int]) -> None:
    too_short(session)

    with statements() as seen:
        enter(session, people[MIRIAM], people[JONAS])

    look = next(one for one in seen if one.startswith("SELECT promise.id") and "topic_id" in one)
    assert "promise.person_id IN" in look
    if session.get_bind().dialect.name == "sqlite":  # the other reads so few rows any way it likes
        plan = planned_for_any_values(session, look)
        assert "SEARCH promise USING INDEX ix_promise_person_id" in plan
        assert "SCAN" not in plan, plan


# --- who waits for whom ----------------------------------------------------------------------------------------------


@postgresql_only
def test_while_a_step_hangs_an_absence_waits_and_holds_up_no_other_step(
    core: Flask, session: Session, people: dict[str, int]
) -> None:
    case = open_case(session)
    step(session)
    settling.hold(session, session.get_one(Case, case.id))  # and does not come to an end

    def fall_ill() -> None:
        with core.app_context(), db.writing() as other:
            enter_in(other, people[MIRIAM], None)
            waits.extend(other.connection().exec_driver_sql("SHOW lock_timeout").scalars())

    waits: list[str] = []
    ill = threading.Thread(target=fall_ill)
    ill.start()
    longest = 0.0
    for _ in range(5):
        sleep(0.2)
        began = monotonic()
        with db.writing() as another:
            absences.none_meanwhile(another)
        longest = max(longest, monotonic() - began)
    assert ill.is_alive(), "it waits for the step"
    assert longest < 2
    step(session)
    ill.join()

    assert waits == ["5s"], "whatever comes after it waits as long as ever"
    assert session.scalars(select(Absence.person_id)).all() == [people[MIRIAM]]


@postgresql_only
def test_an_absence_that_is_kept_waiting_too_long_is_not_entered(
    core: Flask, session: Session, people: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(absences, "_ATTEMPTS", 2)
    monkeypatch.setattr(absences, "_MOMENT_MS", 50)
    absences.none_meanwhile(session)

    with pytest.raises(OperationalError), db.writing() as other:
        enter_in(other, people[MIRIAM], None)

    assert session.scalars(select(Absence.person_id)).all() == []


def too_short(session: Session) -> Case:
    """A case whose letters have arrived, with a reply promised for so soon that nobody is reminded of it."""
    case = open_case(session)
    deliver(session)
    soon = NewPromise(PromiseKind.REPLY, Medium.MAIL, berlin("2026-11-24 13:00"))
    promising.promise_date(session, case, by_id=case.owner_id or 0, step=soon, now=TUESDAY)
    step(session)
    (promise,) = open_promises(session, case)
    assert promise.remind_at is None
    return case


def enter(session: Session, person_id: int, deputy_id: int | None) -> None:
    """Somebody falls ill."""
    enter_in(session, person_id, deputy_id)
    step(session)


def enter_in(session: Session, person_id: int, deputy_id: int | None) -> None:
    """The same, not committed yet."""
    absences.enter(
        session, person_id=person_id, starts_at=ILL, ends_at=None, deputy_id=deputy_id, by_id=person_id, now=ILL
    )


def remind(session: Session, case: Case) -> None:
    reminding.remind(session, case, now=ILL)
    step(session)


def reminded(session: Session, case: Case) -> list[str]:
    """Who has been, by their mailboxes."""
    return [letter.to_address.partition("@")[0] for letter in letters(session, case, LetterKind.STAFF_REMINDER)]
