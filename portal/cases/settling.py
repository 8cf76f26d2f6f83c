"""What every step begins and ends with: hold the case, and settle it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from portal.appointments import service as appointments
from portal.appointments.models import Appointment, AppointmentState
from portal.cases import absences
from portal.cases import steps as stepping
from portal.cases.errors import NoNextStep, NotOpen, StaleCase
from portal.cases.models import Case, CaseState, Step
from portal.mail import outbox
from portal.mail.models import Letter
from portal.promises import service as promises
from portal.promises.models import Promise, Waiting


def take(session: Session, query: Select[Case], values: Mapping[str, object]) -> Sequence[Case]:
    """Find cases and hold them by one statement, passing over those that others hold; ``hold`` then does nothing.

    ``values`` fill the query's places. It comes first in a transaction: a case loaded before would stay what it was
    then. And ``query`` loads nothing beside the case that may change with it: only the row that is held is sure to be
    as it is now, what is joined is as it was when the statement began.
    """
    absences.none_meanwhile(session)
    held = query.with_for_update(of=Case, skip_locked=True)
    cases = session.scalars(held, values).unique().all()
    case_ids = {case.id for case in cases}
    session.info["held"] = session.get_transaction(), case_ids
    session.info["steps"] = promises.open_of_each(session, case_ids)
    session.info["booked"] = appointments.booked_of_each(session, case_ids)
    return cases


def first_look(session: Session, case: Case) -> list[Promise]:
    """The open promises of a case that was just held, the next one first; nothing has changed them since.

    Those of cases that were taken together are read together; asked for again, they are read anew.
    """
    taken: dict[int, list[Promise]] = session.info.get("steps", {}) if _is_held(session, case) else {}
    steps = taken.pop(case.id, None)
    return promises.open_of(session, case.id) if steps is None else steps


def booked_of(session: Session, case: Case) -> Appointment | None:
    """The booked appointment of a case, on hold or not; those of cases that were taken together are read together."""
    if _is_held(session, case) and "booked" in session.info:
        taken: dict[int, Appointment] = session.info["booked"]
        found = taken.get(case.id)
        return found if found is not None and found.state == AppointmentState.BOOKED else None
    return appointments.booked_of(session, case.id)


def hold_booked(session: Session, case: Case) -> Appointment | None:
    """Hold the case and read its booked appointment, on hold or not; None where the case is not open."""
    hold(session, case)
    return booked_of(session, case) if case.state == CaseState.OPEN else None


def hold(session: Session, case: Case, *, version: int | None = None) -> None:
    """Keep everybody else from changing this case until the transaction ends.

    Raises StaleCase when the page that asks showed another ``version``.
    """
    if not _is_held(session, case):
        absences.none_meanwhile(session)
        session.flush()  # a refresh would drop what is still pending
        # Only the case: what was loaded with it comes by an outer join, and PostgreSQL locks nothing behind one.
        session.refresh(case, with_for_update={"of": Case})
    if version is not None and case.version != version:
        raise StaleCase


def _is_held(session: Session, case: Case) -> bool:
    """Whether this very transaction took the case: a lock ends with its transaction, the session goes on."""
    transaction, case_ids = session.info.get("held", (None, ()))
    return transaction is session.get_transaction() and case.id in case_ids


def hold_case_of(session: Session, letter_id: int) -> None:
    """Hold the case a letter is about, if it is about one, before anything of the letter is touched.

    Every step holds the case first and its letters afterwards; who took them the other way round could wait for a page
    that waits for them.
    """
    case_id = session.scalars(select(Letter.case_id).where(Letter.id == letter_id)).one()
    if case_id is not None:
        hold(session, session.get_one(Case, case_id))


def hold_open(session: Session, case: Case, *, version: int | None = None) -> None:
    """Hold a case that must be open. Raises NotOpen, StaleCase."""
    hold(session, case, version=version)
    if case.state != CaseState.OPEN:
        raise NotOpen


def settle(session: Session, case: Case, *, now: datetime, steps: Collection[Promise] | None = None) -> None:
    """Point the case at the earliest of its open steps; called last in every step.

    ``steps`` are all promises that are open, for whoever has just read or made them: then they are not looked up again.

    A step that changes the case's state does so right before, so that both reach the database in one UPDATE: its
    checks look at every statement. Raises NoNextStep when an open case has no step left (law 1); the schema would
    refuse it too, this says it in words.
    """
    with session.no_autoflush:
        given = promises.open_of(session, case.id) if steps is None else steps
        in_order = stepping.in_order(given, booked_of(session, case))
    if case.state == CaseState.OPEN and not in_order:
        raise NoNextStep
    _take_closing_back(session, case, in_order, now=now)
    first = in_order[0] if case.state == CaseState.OPEN else None
    case.promise_id = first.id if isinstance(first, Promise) else None
    case.appointment_id = first.id if isinstance(first, Appointment) else None
    case.version += 1
    session.expire(case, ["promise", "appointment"])


def _take_closing_back(session: Session, case: Case, in_order: Sequence[Step], *, now: datetime) -> None:
    """No case is closed while we owe the customer something: an announced closing is then a question asked again.

    A letter that announces it and has not left stays here.
    """
    waiting = promises.waits([step for step in in_order if isinstance(step, Promise)])
    if waiting is not None and waiting.waiting == Waiting.CLOSING and len(in_order) > 1:
        waiting.waiting = Waiting.REMINDED
        outbox.take_back(session, case.id, waiting.id, now=now)


def end_steps(session: Session, case: Case, *, now: datetime) -> Appointment | None:
    """Withdraw whatever is still open: the case is closed or no case any more.

    Returns the appointment that was called off by it; one that was begun has been held.
    """
    booked = booked_of(session, case)
    if booked is not None:
        begun = booked.started_at is not None
        appointments.end(booked, AppointmentState.HELD if begun else AppointmentState.CANCELLED, now=now)
        outbox.take_back_appointment(session, case.id, booked.id, now=now)
    for promise in promises.open_of(session, case.id):
        promises.withdraw(promise, now=now)
    return booked if booked is not None and booked.state == AppointmentState.CANCELLED else None
