"""What is done to a case, in few words: an answer, a question, a contact, a promised date, a message."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from portal.cases import answering, closing, contacts, promising
from portal.cases.contacts import Contact
from portal.cases.models import Case, Outcome
from portal.cases.promising import NewPromise
from portal.promises.models import Medium, PromiseKind, Waiting
from tests.support.cast import berlin, deliver, open_case, promise_of, step

TEN = berlin("2026-11-24 10:00")
FRIDAY_NOON = berlin("2026-11-27 12:00")
MONDAY_NOON = berlin("2026-11-30 12:00")
RESULT = NewPromise(PromiseKind.RESULT, Medium.MAIL, FRIDAY_NOON, "Preis und Lieferzeit")


def delivered_case(session: Session, slug: str = "angebot", **changes: Any) -> Case:
    """A case whose first letters have been delivered."""
    case = open_case(session, slug, **changes)
    deliver(session)
    return case


def closed_case(session: Session) -> Case:
    """A case that we closed on Tuesday at ten."""
    case = delivered_case(session)
    close(session, case)
    step(session)
    return case


def close(
    session: Session,
    case: Case,
    *,
    by_customer: bool = False,
    outcome: Outcome = Outcome.DONE,
    text: str = "",
    at: datetime = TEN,
) -> None:
    by_id = {True: None, False: case.owner_id}[by_customer]
    closing.close(session, case, by_id=by_id, outcome=outcome, text=text, now=at)


def waiting_for(session: Session, kind: PromiseKind, medium: Medium) -> Case:
    """A case whose reply was kept and whose only promise is one for Monday noon."""
    case = delivered_case(session)
    given_at = TEN - timedelta(minutes=30)
    reply(
        session, case, keeps=kept_by(case), next_step=NewPromise(PromiseKind.RESULT, medium, MONDAY_NOON), at=given_at
    )
    session.flush()
    promise = promise_of(session, case, PromiseKind.RESULT)
    promise.kind, promise.waiting = kind, Waiting.ASKED if kind == PromiseKind.FOLLOW_UP else None
    step(session)
    deliver(session)
    return case


def kept_by(case: Case) -> set[int]:
    """The next step, as a person ticks it."""
    assert case.promise_id is not None
    return {case.promise_id}


def reply(
    session: Session,
    case: Case,
    *,
    keeps: object,
    next_step: NewPromise | None,
    by_id: int | None = None,
    text: str = "Guten Tag, hier die Antwort.",
    at: datetime = TEN,
    version: int | None = None,
) -> None:
    answering.reply(
        session, case, by_id=by_id or case.owner_id, text=text, keeps=keeps, step=next_step, now=at, version=version
    )


def ask(session: Session, case: Case, *, keeps: object = None, version: int | None = None) -> None:
    answering.ask(
        session,
        case,
        by_id=case.owner_id,
        text="Welche Baujahre?",
        keeps=kept_by(case) if keeps is None else keeps,
        follow_up_at=MONDAY_NOON,
        now=TEN,
        version=version,
    )


def log(
    session: Session,
    case: Case,
    contact: Contact,
    *,
    keeps: object,
    next_step: NewPromise | None,
    happened: datetime = TEN,
    at: datetime = TEN,
    visible: bool = True,
    version: int | None = None,
) -> None:
    contacts.log_contact(
        session,
        case,
        by_id=case.owner_id,
        contact=contact,
        text="",
        at=happened,
        keeps=keeps,
        step=next_step,
        visible=visible,
        now=at,
        version=version,
    )


def promise_date(
    session: Session,
    case: Case,
    next_step: NewPromise,
    *,
    by_id: int | None = None,
    at: datetime = TEN,
    version: int | None = None,
) -> None:
    promising.promise_date(session, case, by_id=by_id or case.owner_id, step=next_step, now=at, version=version)


def message(session: Session, case: Case, text: str = "Noch eine Frage.", *, at: datetime = TEN) -> None:
    answering.customer_message(session, case, text, now=at)


def give_result(session: Session, case: Case) -> None:
    """Promise a result for Friday noon."""
    given = NewPromise(PromiseKind.RESULT, Medium.MAIL, FRIDAY_NOON)
    promising.promise_date(session, case, by_id=case.owner_id, step=given, now=TEN)
    step(session)
