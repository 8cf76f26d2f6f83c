"""Inviting: whoever an appointment concerns hears of what was agreed, moved or called off; the journal keeps it."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal import config
from portal.appointments import ics
from portal.appointments import service as appointments
from portal.appointments.models import NO_OVERLAP, Appointment
from portal.cases import agreed_time, offering, writing
from portal.cases.directory import Directory
from portal.cases.errors import SlotTaken
from portal.cases.models import Case, Step
from portal.cases.offering import Offered
from portal.journal import service as journal
from portal.journal.models import Actor, Channel, Direction, Kind
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.people.models import Person
from portal.promises.models import Medium


def note(
    session: Session,
    directory: Directory,
    case: Case,
    appointment: Appointment,
    kind: Kind,
    *,
    by_id: int | None,
    now: datetime,
    by_customer: bool = False,
    visible: bool = True,
    text: str = "",
    also: Mapping[str, str] | None = None,
) -> int:
    """One entry about an appointment: what, when and with whom. The system did it where nobody else did."""
    actor = Actor.CUSTOMER if by_customer else Actor.SYSTEM if by_id is None else Actor.PERSON
    return journal.record(
        session,
        case_id=case.id,
        kind=kind,
        channel=Channel.PAGE if by_customer else Channel.SYSTEM,
        direction=Direction.IN if by_customer else Direction.NONE,
        actor=actor,
        person_id=by_id,
        visible=visible,
        text=text,
        now=now,
        facts={
            "medium": appointment.medium,
            "starts_at": appointment.starts_at.isoformat(),
            "name": agreed_time.keeper(directory, case, appointment).name,
            **(also or {}),
        },
    )


def tell_customer(
    session: Session,
    directory: Directory,
    case: Case,
    appointment: Appointment,
    kind: LetterKind,
    *,
    now: datetime,
    says: Mapping[str, Any] | None = None,
    step: Step | None = None,
    unasked: bool = False,
    old_due_at: datetime | None = None,
) -> None:
    """Write the customer what became of it; ``step`` is what comes next where that is not the appointment itself."""
    step = step if step is not None or not appointments.counts(appointment) else appointment
    writing.to_customer(
        session,
        directory,
        case,
        kind,
        key=f"{kind}:{appointment.id}:{appointment.version}",
        step=step,
        appointment=appointment,
        now=now,
        unasked=unasked,
        old_due_at=old_due_at,
        says=says,
    )


def take_back(session: Session, case: Case, appointment: Appointment, *, now: datetime) -> bool:
    """No letter leaves that states the appointment as it was.

    Returns whether an answer to what somebody did was among them: what takes its place waits for no sending hours.
    """
    waiting = outbox.waiting_for_customer(session, case.id, appointment.id)
    outbox.take_back_appointment(session, case.id, appointment.id, now=now)
    return any(not writing.asked_by_nobody(says)[0] for says in waiting)


def tell_late(session: Session, directory: Directory, case: Case, appointment: Appointment, *, now: datetime) -> None:
    """Its time has come and nobody has begun: the customer reads who calls, and by when we write if we have not."""
    voice = directory.voice_of(case)
    says = {
        "before": voice.agreed(appointment.starts_at, now=now),
        "until": voice.moment(appointment.outcome_due_at, now=now),  # then something else takes its place, and says so
    }
    tell_customer(session, directory, case, appointment, LetterKind.APPOINTMENT_LATE, says=says, now=now)


def tell_colleagues(
    session: Session,
    directory: Directory,
    case: Case,
    appointment: Appointment,
    what: str,
    reader_ids: Iterable[int],
    *,
    now: datetime,
    by_id: int | None = None,
    by_customer: bool = False,
    before: datetime | None = None,
    other: str | None = None,
    step: Step | None = None,
) -> None:
    """Write colleagues what changed in their day. No letter holds the customer's number.

    Not whoever did it, and nobody who is away: when they are back, the list of calls says it.
    ``step`` is what comes next where that is not the appointment.
    """
    for reader_id in dict.fromkeys(reader_ids):
        if reader_id == by_id or not directory.is_present(reader_id, now):
            continue
        voice = writing.staff_voice(directory, case, reader_id)
        writing.to_staff(
            session,
            directory,
            case,
            LetterKind.STAFF_APPOINTMENT,
            key=colleague_key(appointment, what, reader_id),
            step=step or appointment,
            reader_id=reader_id,
            now=now,
            says={
                "what": what,
                "medium": appointment.medium,
                "when": voice.agreed(appointment.starts_at, now=now),
                "before": None if before is None else voice.agreed(before, now=now),
                "by_customer": by_customer,
                "other": other,
            },
        )


def colleague_key(appointment: Appointment, what: str, reader_id: int) -> str:
    """The key of the letter that tells one colleague of one change."""
    return f"{LetterKind.STAFF_APPOINTMENT}:{appointment.id}:{appointment.version}:{what}:{reader_id}"


def lock_people(session: Session, person_ids: Iterable[int]) -> None:
    """Until the transaction ends nobody else agrees on times of these people.

    For what the schema's guard cannot see, and so that two who exchange their times do not wait for each other: always
    in one order. FOR NO KEY UPDATE, because whoever writes a row that names a person is not to wait. On SQLite one
    writes at a time anyway. Taken after the case.
    """
    locked = select(Person.id).where(Person.id.in_(set(person_ids))).order_by(Person.id)
    session.execute(locked.with_for_update(key_share=True)).all()


def note_and_tell_keeper(
    session: Session, directory: Directory, case: Case, called_off: Appointment, *, by_id: int | None, now: datetime
) -> None:
    """A time was called off with its case: it stands in the journal, and whoever kept it hears of it."""
    note(session, directory, case, called_off, Kind.APPOINTMENT_CANCELLED, by_id=by_id, now=now)
    tell_colleagues(session, directory, case, called_off, "cancelled", [called_off.person_id], by_id=by_id, now=now)


def appointment(
    directory: Directory, case: Case, offered: Offered, *, now: datetime, medium: Medium | None = None
) -> Appointment:
    """The appointment at a time that was found free; no row holds it yet."""
    topic = directory.topics[case.topic_id]
    host = urlsplit(config.current().base_url).hostname or "localhost"
    return appointments.new(
        case_id=case.id,
        person_id=offered.person_id,
        medium=medium or topic.slot_medium or Medium.CALL,
        shape=offering.shape_of(topic),
        starts_at=offered.starts_at,
        tz=directory.team_of(case).tz,
        uid=ics.new_uid(host),
        now=now,
    )


@contextmanager
def guarded(session: Session, starts_at: datetime) -> Iterator[None]:
    """What the schema refuses as an overlap is a time that somebody else has; nothing else of the step is lost."""
    try:
        with session.begin_nested():
            yield
    except IntegrityError as refused:
        if NO_OVERLAP not in str(refused.orig):
            raise
        raise SlotTaken(starts_at) from refused
