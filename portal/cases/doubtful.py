"""Doubtful entries: staff say which is a case and which is none."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.appointments.models import Appointment
from portal.cases import agreeing, drafting, inviting, offering, opening, routing, writing
from portal.cases import directory as directories
from portal.cases.directory import Directory
from portal.cases.errors import NotOffered, NotOpen
from portal.cases.models import Case, CaseState, Doubt, Step
from portal.cases.offering import Finder
from portal.cases.settling import end_steps, hold, settle
from portal.journal import service as journal
from portal.journal.models import Actor, Channel, Entry, Kind
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, Letter, LetterState

SPAM_RETENTION_DAYS = 30


def release(session: Session, case: Case, *, by_id: int, now: datetime) -> None:
    """Staff say that a doubtful or discarded entry is genuine: it becomes a case now.

    Also undoes "Das war ich nicht". Raises NotOpen when there is nothing to release.
    """
    hold(session, case)
    if case.state not in (CaseState.RECEIVED, CaseState.SPAM):
        raise NotOpen
    outbox.withdraw(session, case.id, automatic=True, now=now)
    directory = directories.load(session, now=now)
    case.lead_since = None
    undone = case.doubt == Doubt.NOT_ME
    journal.record(
        session,
        case_id=case.id,
        kind=Kind.NOT_ME_UNDONE if undone else Kind.RELEASED,
        channel=Channel.SYSTEM,
        actor=Actor.PERSON,
        person_id=by_id,
        visible=undone,
        now=now,
    )
    _open(session, directory, case, now=now)


def discard(session: Session, case: Case, *, by_id: int, now: datetime) -> None:
    """Staff say that an entry is none; it is erased on a date and can be released until then.

    An entry in doubt, or a case whose customer has had no letter because all of them are held. Raises NotOpen.
    """
    hold(session, case)
    if case.state != CaseState.RECEIVED and not may_discard(session, case):
        raise NotOpen
    outbox.withdraw(session, case.id, automatic=True, now=now)
    directory = directories.load(session, now=now)
    journal.record(
        session,
        case_id=case.id,
        kind=Kind.DISCARDED,
        channel=Channel.SYSTEM,
        actor=Actor.PERSON,
        person_id=by_id,
        visible=False,
        now=now,
    )
    today = directory.voice_of(case).local(now).date()
    if case.state == CaseState.OPEN:
        called_off = end_steps(session, case, now=now)
        if called_off is not None:
            inviting.note_and_tell_keeper(session, directory, case, called_off, by_id=by_id, now=now)
        case.opened_at = None  # nobody outside knows that it was open: released, it opens for the first time
    case.state, case.check_by_at = CaseState.SPAM, None
    case.erase_on = case.erase_on or today.fromordinal(today.toordinal() + SPAM_RETENTION_DAYS)
    settle(session, case, now=now)


def may_discard(session: Session, case: Case) -> bool:
    """Whether an open case can still be discarded: its letters to the customer are held, and none has left."""
    if case.state != CaseState.OPEN:
        return False
    letters = select(Letter.state).where(
        Letter.case_id == case.id, Letter.audience == Audience.CUSTOMER, Letter.state != LetterState.WITHDRAWN
    )
    return set(session.scalars(letters)) == {LetterState.HELD}


def _open(session: Session, directory: Directory, case: Case, *, now: datetime) -> None:
    """Make an entry that waited a case: name the owner, agree on the chosen time or promise the first answer.

    The letters that say so are queued.
    """
    again = case.opened_at is not None
    booked = None if again else _agree(session, directory, case, now=now)
    if case.owner_id is None:
        topic = directory.topics[case.topic_id]
        with session.no_autoflush:  # everything pending goes out in one flush at the end
            routed = routing.route(session, directory, topic, case.customer, now=now)
        case.owner_id, case.routed_by = routed.owner_id, routed.by
    step: Step = booked or opening.promise_first_answer(session, directory, case, now=now)
    opening.record_opening(session, directory, case.id, step, now=now)
    if booked is not None:
        kind = Kind.APPOINTMENT_BOOKED
        inviting.note(session, directory, case, booked, kind, by_id=None, by_customer=True, now=now)
    case.state, case.check_by_at, case.opened_at = CaseState.OPEN, None, case.opened_at or now
    case.doubt, case.erase_on = None, None
    settle(session, case, now=now)
    if again:
        voice = directory.voice_of(case)
        writing.to_customer(
            session,
            directory,
            case,
            LetterKind.REOPENED,
            key=f"reopened:{step.id}",
            step=step,
            now=now,
            says={"by_customer": False, "reopened_on": voice.day(voice.local(now).date(), now=now)},
        )
    else:
        lost = _lost(session, directory, case, now=now) if booked is None else None
        opening.confirm(session, directory, case, step, key=f"confirmation:{case.id}", lost=lost, now=now)
    writing.to_staff(
        session,
        directory,
        case,
        LetterKind.STAFF_NEW_CASE,
        key=f"staff_new_case:{case.id}:{'' if booked is None else 'appointment:'}{step.id}",
        step=step,
        now=now,
    )


def _agree(session: Session, directory: Directory, case: Case, *, now: datetime) -> Appointment | None:
    """The time that was chosen with the form, if it is still free; whoever has it becomes the owner."""
    topic, slot = directory.topics[case.topic_id], _wished(session, case)
    if slot is None or not offering.offers(topic):
        return None
    routed = routing.candidates(session, directory, topic, case.customer, now=now)
    asked = drafting.asked(directory, topic, routed)
    keepers = (offering.keeper_at(directory, asked, owner_id, slot) for owner_id in asked.owner_ids)
    inviting.lock_people(session, [one for one in keepers if one is not None])
    try:
        found = Finder(session, directory, asked, now=now).check(slot)
        owner = next(one for one in routed if one.owner_id == found.owner_id)
        case.owner_id, case.routed_by = owner.owner_id, owner.by
        booked = inviting.appointment(directory, case, found, now=now)
        with inviting.guarded(session, slot):
            session.add(booked)
    except NotOffered:
        return None
    return booked


def _lost(session: Session, directory: Directory, case: Case, *, now: datetime) -> dict[str, Any] | None:
    """The chosen time that cannot be had any more, and those that can, as the confirmation says it."""
    slot = _wished(session, case)
    if slot is None:
        return None
    lost = directory.voice_of(case).agreed(slot, now=now)
    return {"lost": lost, "times": agreeing.first_times(session, directory, case, now=now)}


def _wished(session: Session, case: Case) -> datetime | None:
    received = select(Entry.facts).where(Entry.case_id == case.id, Entry.kind == Kind.RECEIVED).order_by(Entry.id)
    facts = session.scalars(received).first() or {}
    return datetime.fromisoformat(facts["slot"]) if "slot" in facts else None
