"""Absences: who is reminded when somebody begins to act for another, and who waits for whom meanwhile."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from portal.cases import absences, answering, reminding
from portal.cases.answering import Step
from portal.cases.models import Case
from portal.mail.letters import LetterKind
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


def too_short(session: Session) -> Case:
    """A case whose letters have arrived, with a reply promised for so soon that nobody is reminded of it."""
    case = open_case(session)
    deliver(session)
    soon = Step(PromiseKind.REPLY, Medium.MAIL, berlin("2026-11-24 13:00"))
    answering.promise_date(session, case, by_id=case.owner_id or 0, step=soon, now=TUESDAY)
    step(session)
    (promise,) = open_promises(session, case)
    assert promise.remind_at is None
    return case


def enter(session: Session, person_id: int, deputy_id: int | None, *, at: datetime = ILL) -> None:
    """Somebody falls ill."""
    absences.enter(
        session, person_id=person_id, starts_at=at, ends_at=None, deputy_id=deputy_id, by_id=person_id, now=at
    )
    step(session)


def remind(session: Session, case: Case, *, at: datetime = ILL) -> None:
    reminding.remind(session, case, now=at)
    step(session)


def reminded(session: Session, case: Case) -> list[str]:
    """Who has been, by their mailboxes."""
    return [letter.to_address.partition("@")[0] for letter in letters(session, case, LetterKind.STAFF_REMINDER)]
