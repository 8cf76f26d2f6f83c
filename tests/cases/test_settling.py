"""Holding cases: a case taken by one statement is held for that transaction, and no longer."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.cases import settling
from portal.cases.models import Case
from tests.support.cast import open_case, statements, step


def test_a_case_that_was_taken_is_held_already(session: Session) -> None:
    case = taken(session)

    with statements() as sent:
        settling.hold(session, case)

    assert sent == []


@pytest.mark.parametrize("end", [Session.rollback, Session.commit])
def test_it_is_held_anew_once_that_transaction_is_over(session: Session, end: object) -> None:
    case = taken(session)

    assert callable(end)
    end(session)
    session.refresh(case)
    with statements() as sent:
        settling.hold(session, case)

    assert looks_at_cases(sent) == 1


def test_another_case_is_held_by_itself(session: Session) -> None:
    other = open_case(session)
    taken(session)
    session.refresh(other)

    with statements() as sent:
        settling.hold(session, other)

    assert looks_at_cases(sent) == 1


def test_the_open_steps_of_cases_taken_together_are_read_together_and_once(session: Session) -> None:
    ids = [open_case(session).id for _ in range(2)]
    cases = settling.take(session, select(Case).where(Case.id.in_(ids)), {})

    with statements() as sent:
        first = [[step.case_id for step in settling.first_look(session, case)] for case in cases]
    assert sent == []
    assert sorted(first) == [[id] for id in ids]

    with statements() as sent:
        again = settling.first_look(session, cases[0])
    assert len(sent) == 1
    assert [step.case_id for step in again] == [cases[0].id]


def test_what_was_read_with_a_case_counts_no_longer_once_its_transaction_is_over(session: Session) -> None:
    case = taken(session)
    step(session)

    with statements() as sent:
        settling.hold(session, case)
        settling.first_look(session, case)

    assert sum("FROM promise" in statement for statement in sent) == 1


def looks_at_cases(sent: list[str]) -> int:
    """How many statements held a case; that no absence is entered meanwhile is one more on PostgreSQL."""
    return sum('FROM "case"' in statement for statement in sent)


def taken(session: Session) -> Case:
    """A case that a worker took."""
    case = open_case(session)
    step(session)
    found = settling.take(session, select(Case).where(Case.id == case.id), {})
    assert found == [case]
    return case
