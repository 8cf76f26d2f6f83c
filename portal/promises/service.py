"""Promises: given, kept, moved, withdrawn. Only rows of this subject change here; the whole steps are in cases."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Integer, bindparam, insert, select
from sqlalchemy.orm import Session

from portal.db import columns_of
from portal.promises.models import Medium, Promise, PromiseKind, PromiseState, Waiting
from portal.promises.service_level import Schedule


def new(
    *,
    case_id: int | None,
    person_id: int,
    kind: PromiseKind,
    medium: Medium,
    schedule: Schedule,
    now: datetime,
    what: str = "",
    given_by_id: int | None = None,
    waiting: Waiting | None = None,
) -> Promise:
    """A promise that is not yet given: nobody was told, and no row holds it.

    ``waiting`` for one that goes on by itself unless the customer answers: nobody is reminded of it.
    """
    return Promise(
        case_id=case_id,
        person_id=person_id,
        kind=kind,
        medium=medium,
        state=PromiseState.OPEN,
        what=what,
        given_by_id=given_by_id,
        given_at=now,
        due_at=schedule.due_at,
        first_due_at=schedule.due_at,
        remind_at=None if waiting else schedule.remind_at,
        notice_at=schedule.notice_at,
        waiting=waiting,
    )


def give(session: Session, promise: Promise) -> Promise:
    """Open a new promise. The schema refuses a second open one of the same kind."""
    return _insert(session, **columns_of(promise))


def move(
    session: Session,
    promise: Promise,
    schedule: Schedule,
    *,
    now: datetime,
    medium: Medium | None = None,
    person_id: int | None = None,
    what: str | None = None,
    given_by_id: int | None = None,
    reason: str | None = None,
) -> Promise:
    """End a promise and open its successor, which carries the first date on."""
    promise.state, promise.ended_at, promise.reason = PromiseState.MOVED, now, reason
    session.flush()  # by itself: there is one open promise of a kind at any moment
    moved = Promise(
        case_id=promise.case_id,
        person_id=person_id or promise.person_id,
        kind=promise.kind,
        medium=medium or promise.medium,
        state=PromiseState.OPEN,
        what=promise.what if what is None else what,
        given_by_id=given_by_id,
        given_at=now,
        due_at=schedule.due_at,
        first_due_at=promise.first_due_at,
        remind_at=schedule.remind_at,
        notice_at=schedule.notice_at,
        replaces_id=promise.id,
    )
    session.add(moved)
    session.flush()
    return moved


def keep(promise: Promise, *, entry_id: int, now: datetime) -> None:
    """The person says that this entry kept it."""
    promise.state, promise.ended_at, promise.kept_by_entry_id = PromiseState.KEPT, now, entry_id


def withdraw(promise: Promise, *, now: datetime) -> None:
    """It is no longer waited for: the case was closed, or another step took its place."""
    promise.state, promise.ended_at = PromiseState.WITHDRAWN, now


_OPEN = (
    select(Promise)
    .where(Promise.case_id == bindparam("case_id", type_=Integer), Promise.state == PromiseState.OPEN)
    .order_by(Promise.due_at, Promise.id)
)


def open_of(session: Session, case_id: int) -> list[Promise]:
    """The open promises of a case, the next one first."""
    return list(session.scalars(_OPEN, {"case_id": case_id}))


def of_kind(open_promises: Collection[Promise], kind: PromiseKind) -> Promise | None:
    """The one of this kind, or None."""
    return next((promise for promise in open_promises if promise.kind == kind), None)


def waits(open_promises: Collection[Promise]) -> Promise | None:
    """The one by which we wait for the customer's answer, or None."""
    return next((promise for promise in open_promises if promise.waiting is not None), None)


def ahead(open_promises: Collection[Promise], *, now: datetime) -> Promise | None:
    """The first of them whose date has not passed, or None."""
    return next((promise for promise in open_promises if promise.due_at > now), None)


def _insert(session: Session, **values: object) -> Promise:
    """Write the row at once, because the case must point at it, and leave whatever else is pending for later."""
    with session.no_autoflush:
        return session.scalars(insert(Promise).returning(Promise), [values]).one()
