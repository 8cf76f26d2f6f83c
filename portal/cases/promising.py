"""Giving promises: a date by a medium is promised, moved, brought forward, kept, or gives way to something else.

Each is told: where a letter that stated the old truth is taken back, one that states the new truth takes its place
(DESIGN.md section 5, rule 6). The rows are those of ``promises.service``; here they meet the case's journal and
letters.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from portal.cases import directory as directories
from portal.cases import scheduling, writing
from portal.cases.directory import Directory
from portal.cases.errors import WrongMedium
from portal.cases.models import Case
from portal.cases.settling import hold_open, settle
from portal.journal import service as journal
from portal.journal.models import Actor, Channel, Kind
from portal.mail import outbox
from portal.promises import service as promises
from portal.promises.models import Medium, Promise, PromiseKind, Waiting
from portal.promises.service_level import Schedule


@dataclass(frozen=True)
class NewPromise:
    """A promise somebody is about to give: the customer's next step, once it stands in a row."""

    kind: PromiseKind
    medium: Medium
    due_at: datetime
    what: str = ""
    waiting: Waiting | None = None
    """Set where all we wait for is the customer's answer: the step then goes on by itself."""


def promise_date(
    session: Session, case: Case, *, by_id: int, step: NewPromise, now: datetime, version: int | None = None
) -> None:
    """Promise a date by a medium; moves the open promise of that kind. The customer is written to at once.

    Raises NotOpen, StaleCase, NoRoom, DateOutOfReach.
    """
    hold_open(session, case, version=version)
    directory = directories.load(session, now=now)
    promise = take_on(session, directory, case, step, by_id=by_id, now=now)
    settle(session, case, now=now)
    tell_step(session, directory, case, promise, now=now)


def take_on(
    session: Session, directory: Directory, case: Case, step: NewPromise, *, by_id: int | None, now: datetime
) -> Promise:
    """Give the promise, or move the open one of its kind. Raises NoRoom, DateOutOfReach.

    Waiting is not moved: a new date begins it anew, unless a person takes it on, by another medium.
    """
    schedule = scheduling.chosen(directory, case, step.due_at, now=now)
    open_one = promises.of_kind(promises.open_of(session, case.id), step.kind)
    if open_one is not None and (open_one.waiting is not None or step.waiting is not None):
        step = replace(step, waiting=Waiting.ASKED if step.medium == Medium.MAIL else None)
        withdraw(session, directory, case, open_one, now=now)
        session.flush()  # of each kind one promise may be open
        open_one = None
    if open_one is None:
        return give(session, directory, case, step, schedule, by_id=by_id, now=now)
    _end_letters_of(session, open_one, now=now)
    moved = promises.move(session, open_one, schedule, medium=step.medium, what=step.what, given_by_id=by_id, now=now)
    _note_promise(session, directory, case, moved, Kind.PROMISE_MOVED, by_id=by_id, before=open_one.due_at, now=now)
    return moved


def give(
    session: Session,
    directory: Directory,
    case: Case,
    step: NewPromise,
    schedule: Schedule,
    *,
    now: datetime,
    by_id: int | None = None,
) -> Promise:
    """Give a promise that the schedule is made for, and note it; of its kind none may be open."""
    assert case.owner_id is not None
    promise = promises.give(
        session,
        promises.new(
            case_id=case.id,
            person_id=case.owner_id,
            kind=step.kind,
            medium=step.medium,
            what=step.what,
            schedule=schedule,
            given_by_id=by_id,
            waiting=step.waiting,
            now=now,
        ),
    )
    _note_promise(session, directory, case, promise, Kind.PROMISE_GIVEN, by_id=by_id, now=now)
    return promise


def bring_forward(
    session: Session, directory: Directory, case: Case, promise: Promise, schedule: Schedule, *, now: datetime
) -> Promise:
    """A promise gets an earlier date by itself, which counts as no delay."""
    _end_letters_of(session, promise, now=now)
    moved = promises.move(session, promise, schedule, now=now)
    _note_promise(session, directory, case, moved, Kind.PROMISE_MOVED, by_id=None, before=promise.due_at, now=now)
    return moved


def keep(
    session: Session,
    case: Case,
    entry_id: int,
    keeps: Collection[int],
    media: set[Medium],
    talked: bool,
    *,
    by_id: int,
    now: datetime,
) -> None:
    """End the promises the person says this entry kept; unsent letters that state them are taken back.

    A plain reply may also be made good by a talk: who was promised an answer and got it on the phone has it.
    """
    for promise in [one for one in promises.open_of(session, case.id) if one.id in keeps]:
        if promise.medium not in media and not (talked and promise.kind == PromiseKind.REPLY):
            raise WrongMedium
        promises.keep(promise, entry_id=entry_id, now=now)
        _end_letters_of(session, promise, now=now)
        case.notices, case.lead_since = 0, None
        journal.record(
            session,
            case_id=case.id,
            kind=Kind.PROMISE_KEPT,
            channel=Channel.SYSTEM,
            actor=Actor.PERSON,
            person_id=by_id,
            now=now,
            facts={"kind": promise.kind, "medium": promise.medium, "due_at": promise.due_at.isoformat()},
        )


def withdraw(session: Session, directory: Directory, case: Case, promise: Promise, *, now: datetime) -> None:
    """Something else has taken its place; no letter leaves that states it."""
    _end_letters_of(session, promise, now=now)
    promises.withdraw(promise, now=now)
    _note_promise(session, directory, case, promise, Kind.PROMISE_WITHDRAWN, by_id=None, now=now)


def end_waiting(session: Session, directory: Directory, case: Case, *, now: datetime) -> None:
    """The customer was heard from: the date after which we would have asked again falls away.

    What a person promised to come back to stands: a word of thanks takes no call from anybody.
    """
    waiting = promises.waits(promises.open_of(session, case.id))
    if waiting is not None:
        withdraw(session, directory, case, waiting, now=now)


def tell_step(
    session: Session,
    directory: Directory,
    case: Case,
    promise: Promise,
    *,
    now: datetime,
    also: Mapping[str, Any] | None = None,
) -> None:
    """Write the customer what comes next and until when; it comes from whoever acts, whoever noted it.

    ``also`` says more than the step.
    """
    key = f"promise_given:{promise.id}:{case.version}"
    writing.tell_promise(session, directory, case, promise, key=key, also=also, now=now)


def promise_facts(directory: Directory, promise: Promise) -> dict[str, str]:
    """What the journal keeps of a promise."""
    return {
        "kind": promise.kind,
        "medium": promise.medium,
        "due_at": promise.due_at.isoformat(),
        "name": directory.people[promise.person_id].name,
    }


def _note_promise(
    session: Session,
    directory: Directory,
    case: Case,
    promise: Promise,
    kind: Kind,
    *,
    by_id: int | None,
    now: datetime,
    before: datetime | None = None,
) -> None:
    facts = promise_facts(directory, promise)
    journal.record(
        session,
        case_id=case.id,
        kind=kind,
        channel=Channel.SYSTEM,
        actor=Actor.SYSTEM if by_id is None else Actor.PERSON,
        person_id=by_id,
        now=now,
        facts=facts if before is None else {**facts, "before": before.isoformat()},
    )


def _end_letters_of(session: Session, promise: Promise, *, now: datetime) -> None:
    """Take back unsent automatic letters that state this promise.

    Letters in a person's own words are never taken back: the one that states the new date follows them in order.
    """
    outbox.take_back(session, promise.case_id, promise.id, now=now)
