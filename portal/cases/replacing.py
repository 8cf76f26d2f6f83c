"""Replacing: an agreed time whose keeper will be away goes to somebody who is there, or on hold; nothing stays silent.

The time stays where somebody else can keep it (experience: a person changes more easily than a plan for the day). Where
nobody can, three other times are offered, and a date by which we are in touch.
"""

from collections import defaultdict
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.appointments import service as appointments
from portal.appointments.models import IS_BOOKED, Appointment
from portal.appointments.slots import Diary, Limits, is_free
from portal.cases import agreeing, inviting, offering, on_hold
from portal.cases import directory as directories
from portal.cases.directory import Directory
from portal.cases.errors import HasCome, NotOffered, StaleAppointment
from portal.cases.models import Case
from portal.cases.offering import Finder
from portal.cases.settling import hold_booked, settle
from portal.journal.models import Kind
from portal.mail.letters import LetterKind
from portal.promises.business_time import ONE_DAY, Span


def give(session: Session, case: Case, *, person_id: int, version: int, by_id: int, now: datetime) -> None:
    """A colleague gives an agreed time to somebody else; the customer is told who it is now.

    Until it is over, while nobody has begun: whoever is alarmed can see to it that somebody calls. Raises NotOpen,
    NoAppointment, StaleAppointment, HasCome, NotOffered, SlotTaken.
    """
    directory, booked = agreeing.to_change(session, case, now=now)
    if booked.person_id == person_id and appointments.counts(booked):
        return
    if booked.version != version or appointments.is_on_hold(booked):
        raise StaleAppointment
    if booked.started_at is not None or now >= booked.ends_at:
        raise HasCome
    if not can_keep(session, directory, case, booked, person_id, now=now):
        raise NotOffered(booked.starts_at)
    _give(session, directory, case, booked, person_id, by_id=by_id, now=now)


def replace(session: Session, case: Case, *, now: datetime) -> None:
    """Whoever keeps the appointment of this case will be away: somebody else keeps it, or it is put on hold.

    Whoever would act only because nobody regular is there gets nothing: they need not know the matter (as with every
    time that is offered). Does nothing where nobody will be away any more. Raises NothingToPromise.
    """
    booked = hold_booked(session, case)
    if booked is None or not appointments.counts(booked) or appointments.has_come(booked, now=now):
        return
    directory = directories.load(session, now=now)
    if not offering.keeper_is_away(directory, booked):
        return
    asked = offering.of_case(directory, case, moving=booked)
    keeper_id = offering.keeper_at(directory, asked, booked.person_id, booked.starts_at)
    is_other = keeper_id != booked.person_id
    if keeper_id is not None and is_other and can_keep(session, directory, case, booked, keeper_id, now=now):
        _give(session, directory, case, booked, keeper_id, by_id=None, now=now)
    else:
        on_hold.put(session, directory, case, booked, by_id=None, ours=True, now=now)


def free_then(session: Session, directory: Directory, case: Case, booked: Appointment, *, now: datetime) -> list[int]:
    """The colleagues who could keep it as things stand, to choose from; giving it to one of them looks again."""
    meeting = select(Appointment.person_id, Appointment.busy_from, Appointment.busy_until).where(
        IS_BOOKED,
        Appointment.id != booked.id,
        Appointment.starts_at > booked.busy_from - ONE_DAY,
        Appointment.starts_at < booked.busy_until + ONE_DAY,
        Appointment.busy_from < booked.busy_until,
        Appointment.busy_until > booked.busy_from,
    )
    taken: dict[int, list[Span]] = defaultdict(list)
    for row in session.execute(meeting):
        taken[row.person_id].append((row.busy_from, row.busy_until))
    diaries = {
        person_id: Diary(
            directory.person_calendar(person_id),
            tuple(taken[person_id]),
            offering.away(directory, person_id),
        )
        for person_id in directory.people
        if answers(directory, person_id)
    }
    return [person_id for person_id, diary in diaries.items() if _is_free(directory, case, booked, diary, now=now)]


def answers(directory: Directory, person_id: int) -> bool:
    """Whether somebody can be given an appointment at all: they answer customers, on a line of their own."""
    person = directory.people.get(person_id)
    return person is not None and person.answers and person.line_e164 is not None


def can_keep(
    session: Session, directory: Directory, case: Case, booked: Appointment, person_id: int, *, now: datetime
) -> bool:
    """Whether a colleague answers customers, is there and is free at that time; it stays so until we are done."""
    if not answers(directory, person_id):
        return False
    inviting.lock_people(session, {person_id, booked.person_id})
    diary = offering.diary_of(session, directory, person_id, but_id=booked.id, now=now)
    return _is_free(directory, case, booked, diary, now=now)


def _is_free(directory: Directory, case: Case, booked: Appointment, diary: Diary, *, now: datetime) -> bool:
    day = directory.voice_of(case).local(booked.starts_at).date()
    return is_free(offering.shape_as_booked(booked), diary, Limits(min(now, booked.starts_at), day), booked.starts_at)


def _give(
    session: Session,
    directory: Directory,
    case: Case,
    booked: Appointment,
    person_id: int,
    *,
    by_id: int | None,
    now: datetime,
) -> None:
    before_id, before_name = booked.person_id, directory.people[booked.person_id].name
    with inviting.guarded(session, booked.starts_at):
        appointments.give(booked, person_id, now=now)
    owed = inviting.take_back(session, case, booked, now=now)
    also = {"before_name": before_name}
    inviting.note(session, directory, case, booked, Kind.APPOINTMENT_GIVEN, by_id=by_id, now=now, also=also)
    settle(session, case, now=now)
    unasked = by_id is None and not owed
    _tell_customer(session, directory, case, booked, before_id, before_name, unasked=unasked, now=now)
    name = directory.people[person_id].name
    inviting.tell_colleagues(
        session, directory, case, booked, "given", [person_id], other=before_name, by_id=by_id, now=now
    )
    inviting.tell_colleagues(session, directory, case, booked, "taken", [before_id], other=name, by_id=by_id, now=now)


def _tell_customer(
    session: Session,
    directory: Directory,
    case: Case,
    booked: Appointment,
    before_id: int,
    before_name: str,
    *,
    unasked: bool,
    now: datetime,
) -> None:
    """Who keeps it now, and the first times of whom they wanted; once its time has come, who is about to call."""
    if now >= booked.starts_at:
        booked.late_told_at = now
        inviting.tell_late(session, directory, case, booked, now=now)
        return
    finder = Finder(session, directory, offering.of_case(directory, case, moving=booked), now=now)
    times = finder.first(of=before_id, but=booked.starts_at) if offering.offers(directory.topics[case.topic_id]) else []
    inviting.tell_customer(
        session,
        directory,
        case,
        booked,
        LetterKind.APPOINTMENT_GIVEN,
        says={"before_name": before_name, "times": offering.labels(times, directory.voice_of(case), now=now)},
        unasked=unasked,
        old_due_at=booked.starts_at if unasked else None,
        now=now,
    )
