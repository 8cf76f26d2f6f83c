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

    assert len(sent) == 1


def test_another_case_is_held_by_itself(session: Session) -> None:
    other = open_case(session)
    taken(session)
    session.refresh(other)

    with statements() as sent:
        settling.hold(session, other)

    assert len(sent) == 1


def taken(session: Session) -> Case:
    """A case that a worker took."""
    case = open_case(session)
    step(session)
    found = settling.take(session, select(Case).where(Case.id == case.id), {})
    assert found == [case]
    return case
