"""Steps: what a customer waits for, a promise or an appointment. Reads only; ``settling`` points the case at one."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy.orm import Session

from portal.appointments import service as appointments
from portal.appointments.models import Appointment
from portal.cases.models import Step
from portal.promises import service as promises
from portal.promises.models import Promise, PromiseState


def at(step: Step) -> datetime:
    """The instant that is waited for: by when something was promised, or when the appointment begins."""
    return step.starts_at if isinstance(step, Appointment) else step.due_at


def is_ahead(step: Step, *, now: datetime) -> bool:
    """Whether it still lies ahead (law 1): an appointment does until its outcome is due."""
    if isinstance(step, Appointment):
        return appointments.is_ahead(step, now=now)
    return step.state == PromiseState.OPEN and step.due_at > now


def in_order(open_promises: Collection[Promise], booked: Appointment | None) -> list[Step]:
    """All of them, the next one first; an appointment on hold is none."""
    steps: list[Step] = [one for one in open_promises if one.state == PromiseState.OPEN]
    if booked is not None and appointments.counts(booked):
        steps.append(booked)
    return sorted(steps, key=lambda step: (at(step), step.id))


def open_of(session: Session, case_id: int) -> list[Step]:
    """The open steps of a case, the next one first."""
    return in_order(promises.open_of(session, case_id), appointments.booked_of(session, case_id))


def ahead(session: Session, case_id: int, *, now: datetime) -> Step | None:
    """The first of its steps that still lies ahead, or None."""
    return next((step for step in open_of(session, case_id) if is_ahead(step, now=now)), None)


def to_name(session: Session, case_id: int, *, now: datetime) -> Step | None:
    """The first of them that a letter may name as what comes: an agreed time is that until it has come (law 6)."""
    return next((step for step in open_of(session, case_id) if is_to_come(step, now=now)), None)


def is_to_come(step: Step, *, now: datetime) -> bool:
    """Whether its date, or its beginning, lies ahead."""
    return is_ahead(step, now=now) and at(step) > now
