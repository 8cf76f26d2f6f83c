"""Calling: the one answer that holds the customer's number (law 3), and who gets it when.

An agreed call is begun from half an hour before its time. While it is on hold nobody calls: the number is shown to
nobody until a time stands.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from portal.appointments import service as appointments
from portal.appointments.models import Appointment, AppointmentState
from portal.cases import agreed_time, inviting
from portal.cases import directory as directories
from portal.cases.directory import Directory
from portal.cases.errors import NoNumber, NotAllowed, NotYet, OnHold, Refused, WasMoved
from portal.cases.models import Case, CaseState
from portal.cases.settling import booked_of, hold_open
from portal.journal import service as journal
from portal.journal.models import Actor, Channel, Direction, Entry, Kind
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Letter, LetterState
from portal.promises.models import Medium

BEGINS_BEFORE = timedelta(minutes=30)
"""How long before its time an agreed call can be begun."""
_OLD_TIME = {Kind.APPOINTMENT_MOVED: "before", Kind.APPOINTMENT_CANCELLED: "starts_at"}
"""Which fact of an entry is the time at which nobody calls any more."""


@dataclass(frozen=True)
class StartedCall:
    """The one answer that holds the customer's number; None for a visit to somebody who left none."""

    number_shown: str | None
    number_e164: str | None


def start_call(session: Session, case: Case, *, by_id: int, version: int, now: datetime) -> StartedCall:
    """Log the attempt and give the number out, to whoever the next step names; an agreed call in its time is begun.

    ``version`` is the case's, which counts every change of its appointment too. The case stays as it is, so that a
    second press is answered as the first. Raises NotOpen, StaleCase, OnHold, NotYet, WasMoved, NotAllowed, NoNumber.
    """
    hold_open(session, case, version=version)
    directory = directories.load(session, now=now)
    booked = booked_of(session, case)
    refusal = _refusal(case, booked, now=now)
    if refusal is not None:
        raise refusal
    if is_old_time(session, case, booked, now=now):
        raise WasMoved
    if by_id not in _callers(directory, case, booked, now=now):
        raise NotAllowed
    is_visit = booked is not None and booked.medium == Medium.VISIT and is_its_time(booked, now=now)
    if case.customer.phone_e164 is None and not is_visit:
        raise NoNumber
    if case.customer.phone_e164 is not None:
        journal.record(
            session,
            case_id=case.id,
            kind=Kind.CALL_STARTED,
            channel=Channel.PHONE,
            direction=Direction.OUT,
            actor=Actor.PERSON,
            person_id=by_id,
            visible=False,
            now=now,
        )
    if booked is not None and is_its_time(booked, now=now) and by_id in _keepers(directory, case, booked, now=now):
        _begin(session, directory, case, booked, by_id=by_id, now=now)
    return StartedCall(case.customer.phone_shown, case.customer.phone_e164)


def may_call(directory: Directory, case: Case, booked: Appointment | None, *, now: datetime) -> frozenset[int]:
    """Whoever the next step names, the deputy who acts for them, and the lead once the case has come to them.

    Nobody while the agreed time, ``booked``, is on hold, and before that of an agreed call.
    """
    if case.state != CaseState.OPEN or _refusal(case, booked, now=now) is not None:
        return frozenset()
    return _callers(directory, case, booked, now=now)


def is_its_time(booked: Appointment, *, now: datetime) -> bool:
    """Whether a call now is the agreed one: from a while before its start until somebody has said what became of it."""
    is_firm = booked.state == AppointmentState.BOOKED and not appointments.is_on_hold(booked)
    return is_firm and now >= booked.starts_at - BEGINS_BEFORE


def is_old_time(session: Session, case: Case, booked: Appointment | None, *, now: datetime) -> bool:
    """Whether a call now would be made at a time from which the appointment was moved, or at which it was called off.

    From as early as a call begins until as late as it would be late.
    """
    if booked is not None and is_its_time(booked, now=now):
        return False
    gone = select(Entry.kind, Entry.facts).where(Entry.case_id == case.id, Entry.kind.in_(_OLD_TIME))
    old_times = [datetime.fromisoformat(facts[_OLD_TIME[kind]]) for kind, facts in session.execute(gone)]
    return any(old - BEGINS_BEFORE <= now < old + BEGINS_BEFORE for old in old_times)


def _refusal(case: Case, booked: Appointment | None, *, now: datetime) -> type[Refused] | None:
    """Why nobody at all calls now, if that is so."""
    if booked is None:
        return None
    if appointments.is_on_hold(booked):
        return OnHold
    is_next = case.appointment_id == booked.id
    return NotYet if is_next and booked.medium == Medium.CALL and not is_its_time(booked, now=now) else None


def _callers(directory: Directory, case: Case, booked: Appointment | None, *, now: datetime) -> frozenset[int]:
    found: frozenset[int] = frozenset()
    if case.promise is not None:
        found |= _named(directory, case, case.promise.person_id, now=now)
    if booked is not None and (case.appointment_id == booked.id or is_its_time(booked, now=now)):
        found |= _keepers(directory, case, booked, now=now)
    return found | _lead(directory, case) if found else found


def _keepers(directory: Directory, case: Case, booked: Appointment, *, now: datetime) -> frozenset[int]:
    """Whoever the agreed time names, whoever stands in for them then or now, and the lead who has the case."""
    then = agreed_time.keeper(directory, case, booked).id
    named = _named(directory, case, booked.person_id, now=now) | _named(directory, case, then, now=now)
    return named | _lead(directory, case)


def _named(directory: Directory, case: Case, person_id: int, *, now: datetime) -> frozenset[int]:
    return frozenset({person_id, directory.acting(person_id, now, topic_id=case.topic_id).person_id})


def _lead(directory: Directory, case: Case) -> frozenset[int]:
    lead_id = directory.team_of(case).lead_id
    return frozenset() if case.lead_since is None or lead_id is None else frozenset({lead_id})


def _begin(
    session: Session, directory: Directory, case: Case, booked: Appointment, *, by_id: int, now: datetime
) -> None:
    """The first start counts; what still waits to say that nobody has begun is not sent any more."""
    if booked.started_at is not None:
        return
    appointments.start(booked, by_id=by_id, now=now)
    inviting.note(session, directory, case, booked, Kind.APPOINTMENT_STARTED, by_id=by_id, visible=False, now=now)
    for key in session.scalars(_late_letters(booked)).all():
        outbox.withdraw(session, case.id, key=key, now=now)


def _late_letters(booked: Appointment) -> Select[str]:
    to_colleagues = Letter.key.startswith(f"{LetterKind.STAFF_APPOINTMENT}:{booked.id}:{booked.version}:late:")
    waits = Letter.state.in_((LetterState.QUEUED, LetterState.SENDING, LetterState.HELD))
    return select(Letter.key).where(
        Letter.case_id == booked.case_id,
        Letter.appointment_id == booked.id,
        waits,
        or_(Letter.kind == LetterKind.APPOINTMENT_LATE, to_colleagues),
    )
