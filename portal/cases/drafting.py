"""Drafting: what the form offers, and what a wish sent with it would become: a case with owner, step and letters.

Everything here reads and writes nothing (``opening`` does): reading and rendering keep no writer waiting.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.orm import Session

from portal.cases import directory as directories
from portal.cases import doubting, inviting, offering, routing, scheduling, writing
from portal.cases.directory import Directory
from portal.cases.errors import NothingToPromise, NotOffered, SlotTaken
from portal.cases.models import Case, CaseState, Doubt, RoutedBy, Step, Topic, TopicMedium
from portal.cases.offering import Asked, Finder, Offered
from portal.cases.routing import Routed
from portal.cases.writing import Written
from portal.customers.mailboxes import mailbox_key
from portal.customers.models import Customer
from portal.journal import files
from portal.journal.files import File
from portal.languages import Voice
from portal.links import new_secret
from portal.mail.letters import LetterKind
from portal.promises import service as promises
from portal.promises.models import Medium, Promise, PromiseKind

log = structlog.get_logger(__name__)

REFERENCE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Without 0, O, 1 and I: references are read out on the phone."""


@dataclass(frozen=True)
class Offer:
    """What the form says a topic gets before anything is sent."""

    topic: Topic
    due_at: datetime
    voice: Voice


@dataclass(frozen=True)
class Free:
    """Free times of a topic before anybody is the owner."""

    times: list[Offered]
    name: str | None
    """Who will be there, where it can be nobody else."""


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

    It holds for the directory it was worked out with; ``opening.keep`` works it out again when that has changed.
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


def times(session: Session, topic: Topic, *, now: datetime, count: int) -> Free:
    """The first free times of a topic for somebody we do not know yet; none where it offers none."""
    if not offering.offers(topic):
        return Free([], None)
    directory = directories.load(session, now=now)
    routed = routing.candidates(session, directory, topic, Customer(), now=now)
    found = Finder(session, directory, asked(directory, topic, routed), now=now).first(count)
    people = {one.person_id for one in found}
    is_one = len(routed) == len(people) == 1  # of several colleagues whoever is free then may take the time
    return Free(found, directory.people[people.pop()].name if is_one else None)


def alternatives(session: Session, wish: Wish, *, now: datetime) -> list[Offered]:
    """Free times near the one that was wished for, of whoever would be responsible."""
    directory = directories.load(session, now=now)
    topic = directory.topics[wish.topic_id]
    assert wish.slot is not None
    routed = routing.candidates(session, directory, topic, _customer(wish), now=now)
    return Finder(session, directory, asked(directory, topic, routed), now=now).nearest(wish.slot)


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
    case.check_by_at = scheduling.check_by(directory, directory.team_of(case), now=now)
    letters = (_for_front_desk(directory, case, now=now),)
    return Draft(wish, doubt, directory, case, case.customer, None, letters, now)


def continuation(session: Session, closed: Case, text: str, *, attached: Sequence[File] = (), now: datetime) -> Draft:
    """The draft of a new case for the customer of a closed one, linked to it. Raises NothingToPromise."""
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
    return _drafted(session, directories.load(session, now=now), case, wish, now=now)


def first_promise(directory: Directory, case: Case, *, now: datetime) -> Promise:
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


def asked(directory: Directory, topic: Topic, routed: Sequence[Routed]) -> Asked:
    """For whom times are looked for before anybody is the owner."""
    team = directory.teams[directory.people[routed[0].owner_id].team_id]
    return Asked(topic, team, tuple(one.owner_id for one in routed))


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
        first_promise(directory, case, now=now)
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
