"""Passing: an agreed time passes, and nobody has begun, or nobody has said what became of it.

Whoever is to call is alarmed, and soon the customer is told. Once it is over what nobody says is asked for, and
meanwhile the customer has a date by which we are in touch; a call that nobody began is missed.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from portal.appointments import service as appointments
from portal.appointments.models import Appointment
from portal.cases import agreed_time, inviting, keeping, promising, scheduling
from portal.cases import directory as directories
from portal.cases import steps as stepping
from portal.cases.directory import Directory
from portal.cases.models import Case, Step
from portal.cases.promising import NewPromise
from portal.cases.settling import hold_booked, settle
from portal.journal.models import Kind
from portal.mail import outbox
from portal.promises import service as promises
from portal.promises.models import Medium, Promise, PromiseKind

ASK_AGAIN_AFTER = timedelta(hours=1)
"""How long whoever kept it has to say what became of it, before the deputy is asked."""


# --- nobody has begun ------------------------------------------------------------------------------------------------


def alarm(session: Session, case: Case, *, now: datetime) -> None:
    """Nobody has begun: whoever is to, their deputy and the lead hear of it.

    The case stays as it is, so that no page that calls is refused at this very moment.
    """
    booked = hold_booked(session, case)
    if booked is None or booked.alarmed_at is not None or not _is_late(booked, appointments.ALARM_AFTER, now=now):
        return
    directory = directories.load(session, now=now)
    booked.alarmed_at = now
    keeper = agreed_time.keeper(directory, case, booked)
    others = [one for one in (_deputy(directory, case, keeper.id, now), _lead(directory, case, now)) if one is not None]
    _tell_once(session, directory, case, booked, "late", [keeper.id], now=now)
    _tell_once(session, directory, case, booked, "late", others, other=keeper.name, now=now)


def tell_late(session: Session, case: Case, *, now: datetime) -> None:
    """Still nobody has begun: the customer hears it from us, at any hour, with the direct line."""
    booked = hold_booked(session, case)
    if booked is None or booked.late_told_at is not None or not _is_late(booked, appointments.TELL_AFTER, now=now):
        return
    directory = directories.load(session, now=now)
    booked.late_told_at = now
    inviting.note(session, directory, case, booked, Kind.APPOINTMENT_LATE, by_id=None, now=now)
    inviting.tell_late(session, directory, case, booked, now=now)


def _is_late(booked: Appointment, after: timedelta, *, now: datetime) -> bool:
    """Whether it is late and still waited for: once its outcome is due, something else takes its place."""
    waits = appointments.counts(booked) and now < booked.outcome_due_at
    return waits and appointments.is_late(booked, after, now=now)


# --- nobody has said what became of it -------------------------------------------------------------------------------


def outcome_due(session: Session, case: Case, *, now: datetime) -> None:
    """It is over, and nobody has said what became of it: a promise takes its place, and the customer is told.

    A call that nobody began did not take place: missed, with an apology. Of any other it is asked; that nobody
    says so when setting out for a visit, it was not made. Raises NothingToPromise.
    """
    booked = hold_booked(session, case)
    if booked is None or not appointments.counts(booked) or now < booked.outcome_due_at:
        return
    directory = directories.load(session, now=now)
    booked.asked_at = now
    if booked.started_at is None and booked.medium == Medium.CALL:
        _miss(session, directory, case, booked, now=now)
    else:
        _ask(session, directory, case, booked, now=now)


def ask_again(session: Session, case: Case, *, now: datetime) -> None:
    """Whoever kept it has not answered: the deputy is asked, once. The case stays as it is."""
    booked = hold_booked(session, case)
    if booked is None or booked.asked_at is None or booked.asked_again_at is not None:
        return
    if now < booked.asked_at + ASK_AGAIN_AFTER:
        return
    directory = directories.load(session, now=now)
    booked.asked_again_at = now
    deputy_id = _deputy(directory, case, agreed_time.keeper(directory, case, booked).id, now)
    if deputy_id is not None:
        inviting.note(session, directory, case, booked, Kind.OUTCOME_ASKED, by_id=None, visible=False, now=now)
        step = stepping.to_name(session, case.id, now=now)
        _tell_once(session, directory, case, booked, "outcome", [deputy_id], step=step, now=now)


def _miss(session: Session, directory: Directory, case: Case, booked: Appointment, *, now: datetime) -> None:
    keeper = agreed_time.keeper(directory, case, booked)
    promise = keeping.miss(session, directory, case, booked, now=now)
    lead_id = _lead(directory, case, now)
    _tell_once(session, directory, case, booked, "missed", [keeper.id], step=promise, now=now)
    if lead_id is not None:
        _tell_once(session, directory, case, booked, "missed", [lead_id], other=keeper.name, step=promise, now=now)


def _ask(session: Session, directory: Directory, case: Case, booked: Appointment, *, now: datetime) -> None:
    inviting.note(session, directory, case, booked, Kind.OUTCOME_ASKED, by_id=None, visible=False, now=now)
    promise = _be_in_touch(session, directory, case, now=now)
    settle(session, case, now=now)
    if not outbox.is_told(session, promise.id):
        passed = directory.voice_of(case).agreed(booked.starts_at, now=now)
        promising.tell_step(session, directory, case, promise, also={"passed": passed}, now=now)
    keeper_id = agreed_time.keeper(directory, case, booked).id
    _tell_once(session, directory, case, booked, "outcome", [keeper_id], step=promise, now=now)


def _be_in_touch(session: Session, directory: Directory, case: Case, *, now: datetime) -> Promise:
    """A date soon by which we are in touch; one that a colleague gave stands, if it lies ahead."""
    follow_up = promises.of_kind(promises.open_of(session, case.id), PromiseKind.FOLLOW_UP)
    if follow_up is not None:
        by_hand = follow_up.given_by_id is not None and follow_up.waiting is None
        if by_hand and follow_up.due_at > now:
            return follow_up
        promising.withdraw(session, directory, case, follow_up, now=now)
        session.flush()  # of each kind one promise may be open
    schedule = scheduling.soon(directory, case, now=now)
    step = NewPromise(PromiseKind.FOLLOW_UP, Medium.MAIL, schedule.due_at)
    return promising.give(session, directory, case, step, schedule, now=now)


# --- who hears of it -------------------------------------------------------------------------------------------------


def _tell_once(
    session: Session,
    directory: Directory,
    case: Case,
    booked: Appointment,
    what: str,
    reader_ids: Collection[int],
    *,
    now: datetime,
    other: str | None = None,
    step: Step | None = None,
) -> None:
    """Write those of these colleagues who have not been told; ``step`` is what the customer waits for by now."""
    inviting.tell_colleagues(
        session,
        directory,
        case,
        booked,
        what,
        [one for one in reader_ids if not outbox.is_written(session, inviting.colleague_key(booked, what, one))],
        other=other,
        step=step,
        now=now,
    )


def _deputy(directory: Directory, case: Case, person_id: int, now: datetime) -> int | None:
    """Who is there in this person's place: the standing deputy, or whoever acts for that one now."""
    deputy_id = directory.people[person_id].deputy_id
    return None if deputy_id is None else directory.acting(deputy_id, now, topic_id=case.topic_id).person_id


def _lead(directory: Directory, case: Case, now: datetime) -> int | None:
    """The lead of the case's team, or whoever acts for them now."""
    lead_id = directory.team_of(case).lead_id
    return None if lead_id is None else directory.acting(lead_id, now).person_id
