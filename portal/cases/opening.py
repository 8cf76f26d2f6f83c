"""Opening: from what the form says to a case with an owner, a promise and its letters.

They are worked out in a reading transaction (``draft``) and written, all or nothing, in the next one (``keep``).
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.orm import Session

from portal.appointments.models import Appointment
from portal.cases import (
    absences,
    doubting,
    inviting,
    limiting,
    offering,
    promising,
    routing,
    scheduling,
    submissions,
    writing,
)
from portal.cases import directory as directories
from portal.cases.directory import Directory
from portal.cases.errors import NothingToPromise, NotOffered, SlotTaken, TooMany
from portal.cases.models import Case, CaseState, Doubt, RoutedBy, Step, Submission, Topic, TopicMedium
from portal.cases.offering import Asked, Finder, Offered
from portal.cases.routing import Routed
from portal.cases.writing import Written
from portal.customers.mailboxes import mailbox_key
from portal.customers.models import Customer
from portal.db import columns_of, insert_pointing, insert_row
from portal.journal import files
from portal.journal import service as journal
from portal.journal.files import File
from portal.journal.models import Actor, Channel, Direction, Kind
from portal.languages import Voice
from portal.links import new_secret
from portal.mail.letters import LetterKind
from portal.mail.models import Audience
from portal.people.models import Team
from portal.promises import business_time
from portal.promises import service as promises
from portal.promises.business_time import BeyondHolidayTable, NoBusinessTime
from portal.promises.models import Medium, Promise, PromiseKind

log = structlog.get_logger(__name__)

REFERENCE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Without 0, O, 1 and I: references are read out on the phone."""
CHECK_MINUTES = 480
"""Business minutes until a doubtful entry has been looked at."""


@dataclass(frozen=True)
class Offer:
    """What the form says a topic gets before anything is sent."""

    topic: Topic
    due_at: datetime
    voice: Voice


@dataclass(frozen=True)
class Wish:
    """What somebody typed into the form, checked."""

    topic_id: int
    name: str
    email: str
    message: str
    language: str
    phone_e164: str | None = None
    phone_shown: str | None = None
    company: str | None = None
    customer_number: str | None = None
    postcode: str | None = None
    files: tuple[File, ...] = ()
    slot: datetime | None = None
    """The time they chose for a call or a visit, where the topic offers any."""


@dataclass(frozen=True)
class Draft:
    """A wish worked out before the writing transaction opens: the rows it becomes, and its letters in words.

    It holds for the directory it was worked out with; ``keep`` works it out again when that has changed.
    """

    wish: Wish
    doubt: Doubt | None
    directory: Directory
    case: Case
    customer: Customer
    step: Step | None
    """What the customer waits for: the first promise, or the time they chose. None for an entry in doubt, which has a
    check-by date instead."""
    letters: tuple[Written, ...]
    now: datetime


def times(session: Session, topic: Topic, *, now: datetime, count: int) -> list[Offered]:
    """The first free times of a topic for somebody we do not know yet; none where it offers none."""
    if not offering.offers(topic):
        return []
    directory = directories.load(session, now=now)
    routed = routing.candidates(session, directory, topic, Customer(), now=now)
    return Finder(session, directory, asked(directory, topic, routed), now=now).first(count)


def alternatives(session: Session, wish: Wish, *, now: datetime) -> list[Offered]:
    """Free times near the one that was wished for, of whoever would be responsible."""
    directory = directories.load(session, now=now)
    topic = directory.topics[wish.topic_id]
    assert wish.slot is not None
    routed = routing.candidates(session, directory, topic, _customer(wish), now=now)
    return Finder(session, directory, asked(directory, topic, routed), now=now).nearest(wish.slot)


def promised(session: Session, *, language: str, now: datetime) -> list[Offer]:
    """For each active topic the date by which the first answer would come.

    A topic whose team has no hours, or whose date lies beyond the holiday table, is not offered: nothing could be
    promised for it.
    """
    directory = directories.load(session, now=now)
    offers = []
    for topic in directory.topics.values():
        due_at = offered_by(directory, topic, now=now) if topic.active else None
        if due_at is not None:
            offers.append(Offer(topic, due_at, directory.voice(directory.teams[topic.team_id], language)))
    return offers


def offered_by(directory: Directory, topic: Topic, *, now: datetime) -> datetime | None:
    """The date the form says for a topic; None where no date can be computed and the topic is not offered."""
    try:
        return scheduling.first_answer(directory, directory.teams[topic.team_id], topic, now=now).due_at
    except NothingToPromise as fault:
        log.error("topic cannot be offered", topic=topic.slug, reason=type(fault.__cause__).__name__)
        return None


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
    return keep(session, draft(session, wish, doubt=doubt, now=now), key=key, body_hash=body_hash, network=network)


def draft(session: Session, wish: Wish, *, doubt: Doubt | None, now: datetime) -> Draft:
    """Work out owner, promise and letters, and write nothing: reading and rendering keep no writer waiting.

    Raises NothingToPromise, NotOffered, SlotTaken.
    """
    directory = directories.load(session, now=now)
    case = _new_case(wish, now=now)
    case.customer = _customer(wish)
    if doubt is None:
        return _drafted(session, directory, case, wish, now=now)
    case.state, case.doubt = CaseState.RECEIVED, doubt
    case.check_by_at = check_by(directory, directory.team_of(case), now=now)
    letters = (_for_front_desk(directory, case, now=now),)
    return Draft(wish, doubt, directory, case, case.customer, None, letters, now)


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
        drafted = draft(session, drafted.wish, doubt=doubt, now=drafted.now)
    drafted = _still_free(session, drafted)
    case_id = _write(session, drafted, channel=Channel.FORM, by_stranger=network is not None)
    return submissions.keep(session, key=key, purpose="contact", body_hash=body_hash, case_id=case_id, now=drafted.now)


def continue_case(session: Session, closed: Case, text: str, *, attached: Sequence[File] = (), now: datetime) -> Case:
    """A new case for the customer of a closed one, linked to it. Raises NothingToPromise."""
    old = closed.customer
    wish = Wish(closed.topic_id, old.name, old.email or "", text, closed.language, files=tuple(attached))
    case = _new_case(wish, now=now)
    case.continues_id = closed.id
    case.customer = Customer(
        name=old.name,
        email=old.email,
        email_key=old.email_key,
        phone_e164=old.phone_e164,
        phone_shown=old.phone_shown,
        company=old.company,
        number_typed=old.number_typed,
        account_id=old.account_id,
        postcode=old.postcode,
    )
    case_id = _write(
        session, _drafted(session, directories.load(session, now=now), case, wish, now=now), channel=Channel.PAGE
    )
    journal.record(
        session,
        case_id=closed.id,
        kind=Kind.CONTINUED,
        channel=Channel.PAGE,
        actor=Actor.CUSTOMER,
        now=now,
        facts={"reference": case.reference},
    )
    return session.get_one(Case, case_id)


def _still_free(session: Session, drafted: Draft) -> Draft:
    """The draft whose chosen time is free while nobody else agrees on times of that person.

    Where somebody else has it by now, drafted again with whoever is free then. Raises as draft does.
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
            drafted = draft(session, drafted.wish, doubt=drafted.doubt, now=drafted.now)
    return drafted


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
    return promises.give(session, _first_promise(directory, case, now=now))


def confirmation(
    directory: Directory,
    case: Case,
    step: Step,
    *,
    attached: Sequence[str] = (),
    lost: Mapping[str, Any] | None = None,
    now: datetime,
) -> Written | None:
    """The confirmation: person, direct line, date, link, names of files. None where there is no address.

    ``lost`` says which chosen time could not be had, and which are free instead.
    """
    voice = directory.voice_of(case)
    return writing.write_customer(
        directory,
        case,
        LetterKind.CONFIRMATION,
        step=step,
        now=now,
        says={"received": voice.moment(case.received_at, now=now), "files": list(attached), **(lost or {})},
    )


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
    letter = confirmation(directory, case, step, attached=attached, lost=lost, now=now)
    if letter is None:
        return
    held = limiting.count_letter(session, letter.to_address, now=now) if by_stranger else None
    promise_id = writing.promise_id_of(step)
    writing.queue(session, letter, case_id=case.id, promise_id=promise_id, key=key, now=now, held=held)


def check_by(directory: Directory, team: Team, *, now: datetime) -> datetime:
    """Until when somebody has looked at a doubtful entry; a day later where the team has no business time ahead."""
    calendar = directory.calendar(team)
    try:
        return business_time.round_up(calendar, business_time.add(calendar, now, CHECK_MINUTES))
    except (NoBusinessTime, BeyondHolidayTable):
        return now + timedelta(days=1)


def new_reference() -> str:
    """A short reference such as K7P-3M9; the schema refuses one that exists."""
    letters: Sequence[str] = [secrets.choice(REFERENCE_LETTERS) for _ in range(6)]
    return "".join(letters[:3]) + "-" + "".join(letters[3:])


def _drafted(session: Session, directory: Directory, case: Case, wish: Wish, *, now: datetime) -> Draft:
    """The draft of a case that opens at once."""
    topic = directory.topics[case.topic_id]
    routed = routing.candidates(session, directory, topic, case.customer, now=now)
    chosen = _chosen(session, directory, topic, routed, wish, now=now)
    owner = routed[0] if chosen is None else next(one for one in routed if one.owner_id == chosen.owner_id)
    case.owner_id, case.routed_by = owner.owner_id, owner.by
    case.state, case.opened_at = CaseState.OPEN, now
    step: Step = (
        _first_promise(directory, case, now=now)
        if chosen is None
        else inviting.appointment(directory, case, chosen, now=now)
    )
    letters = (
        confirmation(directory, case, step, attached=files.names_in_letter(wish.files), now=now),
        writing.write_staff(directory, case, LetterKind.STAFF_NEW_CASE, step=step, now=now),
    )
    addressed = tuple(letter for letter in letters if letter is not None)
    return Draft(wish, None, directory, case, case.customer, step, addressed, now)


def _chosen(
    session: Session, directory: Directory, topic: Topic, routed: Sequence[Routed], wish: Wish, *, now: datetime
) -> Offered | None:
    """The time the customer chose, and whose it is. Raises NotOffered, SlotTaken."""
    if wish.slot is None:
        return None
    if not offering.offers(topic):
        raise NotOffered(wish.slot)
    try:
        return Finder(session, directory, asked(directory, topic, routed), now=now).check(wish.slot)
    except NotOffered as refused:
        # The form showed the times of everybody who might have become responsible: what one of them has was no wrong
        # choice, and whose customer this is nobody learns from the answer.
        if routed[0].by == RoutedBy.TOPIC or not _is_shown(session, directory, topic, wish.slot, now=now):
            raise
        raise SlotTaken(wish.slot) from refused


def _is_shown(session: Session, directory: Directory, topic: Topic, slot: datetime, *, now: datetime) -> bool:
    strangers = routing.candidates(session, directory, topic, Customer(), now=now)
    try:
        Finder(session, directory, asked(directory, topic, strangers), now=now).check(slot)
    except NotOffered:
        return False
    return True


def asked(directory: Directory, topic: Topic, routed: Sequence[Routed]) -> Asked:
    """For whom times are looked for before anybody is the owner."""
    team = directory.teams[directory.people[routed[0].owner_id].team_id]
    return Asked(topic, team, tuple(one.owner_id for one in routed))


def _first_promise(directory: Directory, case: Case, *, now: datetime) -> Promise:
    """What the topic's service level promises: a reply, or a call where the topic answers by phone.

    Counted in the time of the topic's team, as on the form, whoever becomes the owner: the form has said this date.
    """
    topic = directory.topics[case.topic_id]
    quiet = scheduling.quiet_until(directory, case, now=now)
    assert case.owner_id is not None
    by_call = topic.medium == TopicMedium.CALL and case.customer.phone_e164 is not None
    return promises.new(
        case_id=case.id,
        person_id=case.owner_id,
        kind=PromiseKind.CALL if by_call else PromiseKind.REPLY,
        medium=Medium.CALL if by_call else Medium.MAIL,
        schedule=scheduling.first_answer(directory, directory.teams[topic.team_id], topic, now=now, quiet=quiet),
        now=now,
    )


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


def _for_front_desk(directory: Directory, case: Case, *, now: datetime) -> Written:
    reader_id = directory.front_desk(now).person_id
    voice = writing.staff_voice(directory, case, reader_id)
    assert case.check_by_at is not None and case.doubt is not None
    return writing.write_staff(
        directory,
        case,
        LetterKind.STAFF_DOUBTFUL,
        reader_id=reader_id,
        now=now,
        says={"check_by": voice.moment(case.check_by_at, now=now), "why": voice.say(doubting.sentence(case.doubt))},
    )


def _new_case(wish: Wish, *, now: datetime) -> Case:
    return Case(
        reference=new_reference(),
        link_nonce=new_secret(),
        topic_id=wish.topic_id,
        language=wish.language,
        received_at=now,
    )


def _customer(wish: Wish) -> Customer:
    return Customer(
        name=wish.name,
        email=wish.email,
        email_key=mailbox_key(wish.email),
        phone_e164=wish.phone_e164,
        phone_shown=wish.phone_shown,
        company=wish.company,
        number_typed=wish.customer_number,
        postcode=wish.postcode,
    )
