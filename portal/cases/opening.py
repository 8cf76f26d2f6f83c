"""Opening: from what the form says to a case with an owner, a promise and its letters.

They are worked out in a reading transaction (``drafting``) and written, all or nothing, in the next one (``keep``).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from portal.appointments.models import Appointment
from portal.cases import absences, drafting, inviting, limiting, offering, promising, submissions, writing
from portal.cases import directory as directories
from portal.cases.directory import Directory
from portal.cases.drafting import Draft, Wish
from portal.cases.errors import SlotTaken, TooMany
from portal.cases.models import Case, Doubt, Step, Submission
from portal.cases.offering import Finder
from portal.customers.models import Customer
from portal.db import columns_of, insert_pointing, insert_row
from portal.journal import files
from portal.journal import service as journal
from portal.journal.files import File
from portal.journal.models import Actor, Channel, Direction, Kind
from portal.mail.models import Audience
from portal.promises import service as promises
from portal.promises.models import Promise


def accept(
    session: Session,
    wish: Wish,
    *,
    key: str,
    body_hash: str,
    doubt: Doubt | None,
    now: datetime,
    network: str | None = None,
) -> Submission:
    """Keep a wish for good: a case with owner, promise and letters, or, in doubt, an entry with a check-by date.

    The same key and body again gives the first submission. Raises KeyReused for another body, NothingToPromise,
    TooMany, and NotOffered or SlotTaken for a time that cannot be had.
    """
    earlier = submissions.find(session, key, body_hash)
    if earlier is not None:
        return earlier
    drafted = drafting.draft(session, wish, doubt=doubt, now=now)
    return keep(session, drafted, key=key, body_hash=body_hash, network=network)


def keep(session: Session, drafted: Draft, *, key: str, body_hash: str, network: str | None = None) -> Submission:
    """Write a draft; where the directory has changed since, the same wish is drafted again with what now holds.

    ``network`` is where the public form was sent from: then the limits count, and what lies above them is doubted, held
    or refused (``limiting``). Of two with the same key the later one fails on the primary key, and is not counted; it
    then finds the first. Raises NothingToPromise, TooMany, NotOffered, SlotTaken.
    """
    try:
        over = (
            None if network is None else limiting.count_entry(session, network, drafted.wish.message, now=drafted.now)
        )
    except TooMany:
        earlier = submissions.find(session, key, body_hash)  # a second press; the first was the last that was taken
        if earlier is None:
            raise
        return earlier
    doubt = drafted.doubt or over
    absences.none_meanwhile(session)
    if doubt != drafted.doubt or directories.load(session, now=drafted.now) is not drafted.directory:
        drafted = drafting.draft(session, drafted.wish, doubt=doubt, now=drafted.now)
    drafted = _still_free(session, drafted)
    case_id = _write(session, drafted, channel=Channel.FORM, by_stranger=network is not None)
    return submissions.keep(session, key=key, purpose="contact", body_hash=body_hash, case_id=case_id, now=drafted.now)


def continue_case(session: Session, closed: Case, text: str, *, attached: Sequence[File] = (), now: datetime) -> Case:
    """A new case for the customer of a closed one, linked to it. Raises NothingToPromise."""
    drafted = drafting.continuation(session, closed, text, attached=attached, now=now)
    case_id = _write(session, drafted, channel=Channel.PAGE)
    journal.record(
        session,
        case_id=closed.id,
        kind=Kind.CONTINUED,
        channel=Channel.PAGE,
        actor=Actor.CUSTOMER,
        now=now,
        facts={"reference": drafted.case.reference},
    )
    return session.get_one(Case, case_id)


def record_opening(session: Session, directory: Directory, case_id: int, step: Step, *, now: datetime) -> None:
    """Note in the journal who answers, and what is promised or agreed."""
    facts = promising.promise_facts(directory, step) if isinstance(step, Promise) else {}
    journal.record(
        session,
        case_id=case_id,
        kind=Kind.OPENED,
        channel=Channel.SYSTEM,
        actor=Actor.SYSTEM,
        person_id=step.person_id,
        now=now,
        facts=facts,
    )


def promise_first_answer(session: Session, directory: Directory, case: Case, *, now: datetime) -> Promise:
    """Give the promise of the topic's service level. Raises NothingToPromise."""
    return promises.give(session, drafting.first_promise(directory, case, now=now))


def confirm(
    session: Session,
    directory: Directory,
    case: Case,
    step: Step,
    *,
    key: str,
    now: datetime,
    by_stranger: bool = False,
    lost: Mapping[str, Any] | None = None,
) -> None:
    """Queue the confirmation; one that a stranger causes (``limiting``) is held above the mailbox's cap."""
    attached = files.names_of_kind(session, case.id, Kind.RECEIVED)
    letter = drafting.confirmation(directory, case, step, attached=attached, lost=lost, now=now)
    if letter is None:
        return
    held = limiting.count_letter(session, letter.to_address, now=now) if by_stranger else None
    promise_id = writing.promise_id_of(step)
    writing.queue(session, letter, case_id=case.id, promise_id=promise_id, key=key, now=now, held=held)


def _still_free(session: Session, drafted: Draft) -> Draft:
    """The draft whose chosen time is free while nobody else agrees on times of that person.

    Where somebody else has it by now, drafted again with whoever is free then. Raises as ``drafting.draft`` does.
    """
    for _ in drafted.directory.people:
        booked = drafted.step
        if not isinstance(booked, Appointment):
            break
        try:
            with session.begin_nested():  # whoever is not free is let go
                inviting.lock_people(session, [booked.person_id])
                asked = offering.of_case(drafted.directory, drafted.case)
                Finder(session, drafted.directory, asked, now=drafted.now).check(booked.starts_at)
            break
        except SlotTaken:
            drafted = drafting.draft(session, drafted.wish, doubt=drafted.doubt, now=drafted.now)
    return drafted


def _write(session: Session, drafted: Draft, *, channel: Channel, by_stranger: bool = False) -> int:
    """Write all rows of a draft and return the case's id."""
    case, step, now = drafted.case, drafted.step, drafted.now
    values = columns_of(case) | {"customer_id": insert_row(session, Customer, **columns_of(drafted.customer))}
    case_id = _insert(session, values, step)
    entry_id = journal.record(
        session,
        case_id=case_id,
        kind=Kind.RECEIVED,
        channel=channel,
        direction=Direction.IN,
        actor=Actor.CUSTOMER,
        text=drafted.wish.message,
        facts=files.facts_of(drafted.wish.files) | _wished(drafted),
        now=now,
    )
    files.attach(session, entry_id, drafted.wish.files, now=now)
    if step is not None:
        record_opening(session, drafted.directory, case_id, step, now=now)
    if isinstance(step, Appointment):
        kind = Kind.APPOINTMENT_BOOKED
        case.id = case_id
        inviting.note(session, drafted.directory, case, step, kind, by_id=None, by_customer=True, now=now)
    for letter in drafted.letters:
        key, caused = f"{letter.kind}:{case_id}", by_stranger and letter.audience == Audience.CUSTOMER
        held = limiting.count_letter(session, letter.to_address, now=now) if caused else None
        promise_id = writing.promise_id_of(step)
        writing.queue(session, letter, case_id=case_id, promise_id=promise_id, key=key, now=now, held=held)
    return case_id


def _insert(session: Session, values: dict[str, object], step: Step | None) -> int:
    """The rows of a case and of what its customer waits for; returns the case's id.

    Each points at the other, and an open case without its step is refused: so the case takes the step's number.
    """
    if step is None:
        return insert_row(session, Case, **values)
    pointer, model = ("promise_id", Promise) if isinstance(step, Promise) else ("appointment_id", Appointment)
    case_id, step.id = insert_pointing(session, Case, pointer, model, **values)
    if isinstance(step, Promise):
        insert_row(session, Promise, **columns_of(step) | {"case_id": case_id})
    else:
        with inviting.guarded(session, step.starts_at):
            insert_row(session, Appointment, **columns_of(step) | {"case_id": case_id})
    return case_id


def _wished(drafted: Draft) -> dict[str, str]:
    """The time that was wished for, where nothing is agreed yet: whoever looks at the entry knows of it."""
    slot = drafted.wish.slot
    return {} if slot is None or drafted.step is not None else {"slot": slot.isoformat()}
