"""Promises: given, kept, moved, withdrawn. Only rows of this subject change here; the whole steps are in cases."""

from collections.abc import Collection
from datetime import UTC, datetime

from sqlalchemy import Integer, bindparam, select, update
from sqlalchemy.orm import Session, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

from portal.db import columns_of, insert_row, table_of
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
    _end_as_moved(session, promise, reason=reason, now=now)
    return _insert(
        session,
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
_OPEN_OF_EACH = (
    select(Promise)
    .where(Promise.case_id.in_(bindparam("case_ids", expanding=True)), Promise.state == PromiseState.OPEN)
    .order_by(Promise.due_at, Promise.id)
)


def open_of(session: Session, case_id: int) -> list[Promise]:
    """The open promises of a case, the next one first."""
    return list(session.scalars(_OPEN, {"case_id": case_id}))


def open_of_each(session: Session, case_ids: Collection[int]) -> dict[int, list[Promise]]:
    """The open promises of several cases, of each the next one first."""
    found: dict[int, list[Promise]] = {case_id: [] for case_id in case_ids}
    for promise in session.scalars(_OPEN_OF_EACH, {"case_ids": list(case_ids)}):
        found[promise.case_id].append(promise)
    return found


def of_kind(open_promises: Collection[Promise], kind: PromiseKind) -> Promise | None:
    """The one of this kind, or None."""
    return next((promise for promise in open_promises if promise.kind == kind), None)


def waits(open_promises: Collection[Promise]) -> Promise | None:
    """The one by which we wait for the customer's answer, or None."""
    return next((promise for promise in open_promises if promise.waiting is not None), None)


def ahead(open_promises: Collection[Promise], *, now: datetime) -> Promise | None:
    """The first of them whose date has not passed, or None."""
    return next((promise for promise in open_promises if promise.due_at > now), None)


def _end_as_moved(session: Session, promise: Promise, *, reason: str | None, now: datetime) -> None:
    """End it at once: there is one open promise of a kind at any moment, and its successor is written next."""
    if session.is_modified(promise):
        session.flush()  # what changed while it was open
    ended = {"state": PromiseState.MOVED, "ended_at": now, "reason": reason}
    session.connection().execute(_END, {"ended_id": promise.id, **ended})
    for name, value in ended.items():
        set_committed_value(promise, name, value)


def _insert(session: Session, **values: object) -> Promise:
    """Write the row at once, because the case must point at it, and leave whatever else is pending for later.

    The unit of work would take several times as long, and flush all the rest with it.
    """
    row = {**_EMPTY, **{name: _in_utc(value) for name, value in values.items()}}
    promise = Promise(id=insert_row(session, Promise, **row), **row)
    make_transient_to_detached(promise)
    session.add(promise)
    return promise


def _in_utc(value: object) -> object:
    """An instant as it would be read back."""
    return value.astimezone(UTC) if isinstance(value, datetime) else value


_EMPTY = dict.fromkeys(name for name in table_of(Promise).c.keys() if name != "id")  # noqa: SIM118  # no mapping
_END = (
    update(table_of(Promise))
    .where(table_of(Promise).c.id == bindparam("ended_id"))
    .values(state=bindparam("state"), ended_at=bindparam("ended_at"), reason=bindparam("reason"))
)
