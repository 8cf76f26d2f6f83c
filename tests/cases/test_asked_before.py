"""Questions asked before waiting had a ladder: the migration lets them wait, and nothing else."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal import db, schema
from portal.cases import answering, contacts, promising
from portal.cases.contacts import Contact
from portal.cases.models import Case
from portal.cases.promising import NewPromise
from portal.promises.models import Medium, Promise, PromiseKind, Waiting
from tests.support.cast import TUESDAY, berlin, deliver, open_case, promise_of, step

MONDAY = berlin("2026-11-30 12:00")
REMINDER = berlin("2026-11-30 08:30")


def test_a_question_that_waits_goes_on_by_itself(session: Session) -> None:
    case = asked_before(session)

    migrate(session)

    promise = promise_of(session, case, PromiseKind.FOLLOW_UP)
    assert (promise.waiting, promise.remind_at, promise.due_at) == (Waiting.ASKED, None, MONDAY)


def test_a_call_that_reached_nobody_is_no_answer(session: Session) -> None:
    case = asked_before(session)
    log(session, case, Contact.CALL_NOT_REACHED)

    migrate(session)

    assert promise_of(session, case, PromiseKind.FOLLOW_UP).waiting == Waiting.ASKED


def test_one_that_was_answered_since_is_a_persons(session: Session) -> None:
    case = asked_before(session)
    log(session, case, Contact.CALL_IN)

    migrate(session)

    assert is_as_before(promise_of(session, case, PromiseKind.FOLLOW_UP))


@pytest.mark.parametrize("medium", [Medium.MAIL, Medium.CALL])
def test_a_follow_up_without_a_question_is_a_persons(session: Session, medium: Medium) -> None:
    case = open_case(session)
    promising.promise_date(
        session, case, by_id=case.owner_id or 0, step=NewPromise(PromiseKind.FOLLOW_UP, medium, MONDAY), now=TUESDAY
    )
    as_before(session)

    migrate(session)

    assert is_as_before(promise_of(session, case, PromiseKind.FOLLOW_UP))


def test_one_that_somebody_planned_a_date_for_stays_planned(session: Session) -> None:
    case = asked_before(session)
    promise = promise_of(session, case, PromiseKind.FOLLOW_UP)
    promise.moves_to, promise.planned_at, promise.planned_by_id = MONDAY + timedelta(days=1), TUESDAY, case.owner_id

    migrate(session)

    assert is_as_before(promise_of(session, case, PromiseKind.FOLLOW_UP))


def test_the_way_back_leaves_them_and_can_be_gone_again(session: Session) -> None:
    case = asked_before(session)
    migrate(session)
    waiting = select(Promise.waiting).where(Promise.case_id == case.id, Promise.kind == PromiseKind.FOLLOW_UP)
    step(session)

    schema.unmigrate(db.db.engine, "0002")
    # By its column: what a case has in the newest version is not there. Whatever is found, the tests after this one
    # share the database.
    try:
        assert (schema.present(db.db.engine), session.scalar(waiting)) == ("0002", Waiting.ASKED)
    finally:
        session.rollback()
        schema.migrate(db.db.engine)


def asked_before(session: Session) -> Case:
    """A case whose customer was asked something, as the first version left it."""
    case = open_case(session)
    deliver(session)
    answering.ask(
        session,
        case,
        by_id=case.owner_id or 0,
        text="Welche?",
        keeps={case.promise_id or 0},
        follow_up_at=MONDAY,
        now=TUESDAY,
    )
    as_before(session)
    return case


def as_before(session: Session) -> None:
    """Follow-ups without the column that says who they wait for."""
    follow_ups = update(Promise).where(Promise.kind == PromiseKind.FOLLOW_UP)
    session.execute(follow_ups.values(waiting=None, remind_at=REMINDER))
    step(session)


def is_as_before(promise: Promise) -> bool:
    return (promise.waiting, promise.remind_at) == (None, REMINDER)


def log(session: Session, case: Case, contact: Contact, *, at: datetime = TUESDAY + timedelta(hours=1)) -> None:
    contacts.log_contact(
        session,
        case,
        by_id=case.owner_id or 0,
        contact=contact,
        text="",
        at=at,
        keeps=(),
        step=None,
        visible=True,
        now=at,
    )
    step(session)


def migrate(session: Session) -> None:
    """What the newest version does to a database of the one before."""
    step(session)
    schema.unmigrate(db.db.engine, "0002")
    schema.migrate(db.db.engine)
    session.expire_all()
