"""Opening: from what the form says to a case with an owner, a promise and its letters, in one transaction."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from portal.cases import directory as directories
from portal.cases import routing, submissions, writing
from portal.cases.directory import Directory
from portal.cases.errors import NotOpen
from portal.cases.models import Case, CaseState, Doubt, Submission, Topic, TopicMedium
from portal.cases.settling import hold, settle
from portal.customers.mailboxes import mailbox_key
from portal.customers.models import Customer
from portal.journal import service as journal
from portal.journal.models import Actor, Channel, Direction, Kind
from portal.languages import Voice
from portal.links import new_secret
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.people.models import Team
from portal.promises import business_time, service_level
from portal.promises import service as promises
from portal.promises.business_time import BeyondHolidayTable, NoBusinessTime
from portal.promises.models import Medium, Promise, PromiseKind
from portal.promises.service_level import NoRoom

log = structlog.get_logger(__name__)

REFERENCE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Without 0, O, 1 and I: references are read out on the phone."""
CHECK_MINUTES = 480
"""Business minutes until a doubtful entry has been looked at."""
SPAM_RETENTION_DAYS = 30


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


def promised(session: Session, *, language: str, now: datetime) -> list[Offer]:
    """For each active topic the date by which the first answer would come.

    A topic whose team has no hours, or whose date lies beyond the holiday table, is not offered: nothing could be
    promised for it.
    """
    directory = directories.load(session, now=now)
    offers = []
    for topic in directory.topics.values():
        team = directory.teams[topic.team_id]
        try:
            due_at = first_answer(directory, team, topic, now).due_at
        except (NoBusinessTime, BeyondHolidayTable, NoRoom) as reason:
            log.error("topic cannot be offered", topic=topic.slug, reason=type(reason).__name__)
            continue
        if topic.active:
            offers.append(Offer(topic, due_at, directory.voice(team, language)))
    return offers


def first_answer(directory: Directory, team: Team, topic: Topic, now: datetime) -> service_level.Schedule:
    """When the first answer to a topic is due if it is asked for now."""
    level = directory.levels[topic.level_id].level
    return service_level.due_after(
        level.answer_min, directory.calendar(team), directory.sending(team), level=level, given_at=now
    )


def accept(session: Session, wish: Wish, *, key: str, body_hash: str, doubt: Doubt | None, now: datetime) -> Submission:
    """Keep a wish for good: a case with owner, promise and letters, or, in doubt, an entry with a check-by date.

    The same key and body again gives the first submission. Raises KeyReused for another body. Two at the same moment:
    the later one fails on the key's primary key and finds the first when it is tried once more.
    """
    earlier = submissions.find(session, key, body_hash)
    if earlier is not None:
        return earlier
    directory = directories.load(session, now=now)
    case = _receive(session, directory, _customer(wish), wish, doubt=doubt, channel=Channel.FORM, now=now)
    submission = submissions.keep(session, key=key, purpose="contact", body_hash=body_hash, case_id=case.id, now=now)
    if doubt is None:
        open_case(session, directory, case, now=now)
    else:
        _ask_front_desk(session, directory, case, now=now)
    return submission


def continue_case(session: Session, closed: Case, text: str, *, now: datetime) -> Case:
    """A new case for the customer of a closed one, linked to it."""
    directory = directories.load(session, now=now)
    old = closed.customer
    customer = Customer(
        account_id=old.account_id,
        name=old.name,
        email=old.email,
        email_key=old.email_key,
        phone_e164=old.phone_e164,
        phone_shown=old.phone_shown,
        company=old.company,
        number_typed=old.number_typed,
        postcode=old.postcode,
    )
    wish = Wish(closed.topic_id, old.name, old.email or "", text, closed.language)
    case = _receive(session, directory, customer, wish, doubt=None, channel=Channel.PAGE, now=now)
    case.continues_id = closed.id
    journal.record(
        session,
        case_id=closed.id,
        kind=Kind.CONTINUED,
        channel=Channel.PAGE,
        actor=Actor.CUSTOMER,
        now=now,
        facts={"reference": case.reference},
    )
    open_case(session, directory, case, now=now)
    return case


def release(session: Session, case: Case, *, by_id: int, now: datetime) -> None:
    """Staff say that a doubtful or discarded entry is genuine: it becomes a case now.

    Also undoes "Das war ich nicht". Raises NotOpen when there is nothing to release.
    """
    hold(session, case)
    if case.state not in (CaseState.RECEIVED, CaseState.SPAM):
        raise NotOpen
    outbox.withdraw(session, case.id, automatic=True, now=now)
    directory = directories.load(session, now=now)
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
    open_case(session, directory, case, now=now)


def discard(session: Session, case: Case, *, by_id: int, now: datetime) -> None:
    """Staff say that a doubtful entry is none; it is erased on a date and can be released until then."""
    hold(session, case)
    if case.state != CaseState.RECEIVED:
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
    case.state, case.check_by_at = CaseState.SPAM, None
    case.erase_on = case.erase_on or today.fromordinal(today.toordinal() + SPAM_RETENTION_DAYS)
    settle(session, case)


def open_case(session: Session, directory: Directory, case: Case, *, now: datetime) -> Promise:
    """Name the owner, promise the first answer and queue the letters that say so."""
    topic = directory.topics[case.topic_id]
    again = case.opened_at is not None
    if case.owner_id is None:
        with session.no_autoflush:  # everything pending goes out in one flush at the end
            routed = routing.route(session, directory, topic, case.customer, now=now)
        case.owner_id, case.routed_by = routed.owner_id, routed.by
    promise = promise_first_answer(session, directory, case, now=now)
    journal.record(
        session,
        case_id=case.id,
        kind=Kind.OPENED,
        channel=Channel.SYSTEM,
        actor=Actor.SYSTEM,
        person_id=case.owner_id,
        now=now,
        facts=promise_facts(directory, promise),
    )
    case.state, case.check_by_at, case.opened_at = CaseState.OPEN, None, case.opened_at or now
    case.doubt, case.erase_on = None, None
    settle(session, case)
    _confirm(session, directory, case, promise, again=again, now=now)
    return promise


def promise_first_answer(session: Session, directory: Directory, case: Case, *, now: datetime) -> Promise:
    """Give the promise of the topic's service level: a reply, or a call where the topic answers by phone."""
    topic = directory.topics[case.topic_id]
    assert case.owner_id is not None
    by_call = topic.medium == TopicMedium.CALL and case.customer.phone_e164 is not None
    return promises.give(
        session,
        case_id=case.id,
        person_id=case.owner_id,
        kind=PromiseKind.CALL if by_call else PromiseKind.REPLY,
        medium=Medium.CALL if by_call else Medium.MAIL,
        schedule=first_answer(directory, directory.team_of(case), topic, now),
        now=now,
    )


def promise_facts(directory: Directory, promise: Promise) -> dict[str, str]:
    """What the journal keeps of a promise."""
    return {
        "kind": promise.kind,
        "medium": promise.medium,
        "due_at": promise.due_at.isoformat(),
        "name": directory.people[promise.person_id].name,
    }


def confirm(session: Session, directory: Directory, case: Case, promise: Promise, *, key: str, now: datetime) -> None:
    """Queue the confirmation: person, direct line, date, link."""
    voice = directory.voice_of(case)
    writing.to_customer(
        session,
        directory,
        case,
        LetterKind.CONFIRMATION,
        key=key,
        promise=promise,
        now=now,
        says={
            "received": voice.moment(case.received_at, now=now),
            "not_me_url": f"{writing.status_url(case)}/not-me",
        },
    )


def check_by(directory: Directory, team: Team, *, now: datetime) -> datetime:
    """Until when somebody has looked at a doubtful entry."""
    calendar = directory.calendar(team)
    return business_time.round_up(calendar, business_time.add(calendar, now, CHECK_MINUTES))


def _confirm(
    session: Session, directory: Directory, case: Case, promise: Promise, *, again: bool, now: datetime
) -> None:
    if again:
        writing.to_customer(
            session,
            directory,
            case,
            LetterKind.REOPENED,
            key=f"reopened:{promise.id}",
            promise=promise,
            now=now,
            says={"by_customer": False},
        )
    else:
        confirm(session, directory, case, promise, key=f"confirmation:{case.id}", now=now)
    writing.to_staff(
        session,
        directory,
        case,
        LetterKind.STAFF_NEW_CASE,
        key=f"staff_new_case:{promise.id}",
        promise=promise,
        now=now,
    )


def _receive(
    session: Session,
    directory: Directory,
    customer: Customer,
    wish: Wish,
    *,
    doubt: Doubt | None,
    channel: Channel,
    now: datetime,
) -> Case:
    team = directory.teams[directory.topics[wish.topic_id].team_id]
    case = Case(
        reference=new_reference(),
        link_nonce=new_secret(),
        topic_id=wish.topic_id,
        customer=customer,
        state=CaseState.RECEIVED,
        language=wish.language,
        doubt=doubt,
        check_by_at=now if doubt is None else check_by(directory, team, now=now),
        received_at=now,
    )
    session.add(case)
    session.flush()
    journal.record(
        session,
        case_id=case.id,
        kind=Kind.RECEIVED,
        channel=channel,
        direction=Direction.IN,
        actor=Actor.CUSTOMER,
        text=wish.message,
        now=now,
    )
    return case


def _ask_front_desk(session: Session, directory: Directory, case: Case, *, now: datetime) -> None:
    reader_id = directory.front_desk(now).person_id
    voice = writing.staff_voice(directory, case, reader_id)
    assert case.check_by_at is not None and case.doubt is not None
    writing.to_staff(
        session,
        directory,
        case,
        LetterKind.STAFF_DOUBTFUL,
        key=f"staff_doubtful:{case.id}",
        reader_id=reader_id,
        now=now,
        says={"check_by": voice.moment(case.check_by_at, now=now), "why": doubt_sentence(case.doubt, voice)},
    )


def doubt_sentence(doubt: Doubt, voice: Voice) -> str:
    """Why an entry waits, for staff."""
    return {
        Doubt.HONEYPOT: voice.say("A field that people do not see was filled in."),
        Doubt.TOO_FAST: voice.say("The form was sent faster than people type."),
        Doubt.NOT_ME: voice.say("Whoever reads this mailbox says that they did not write to us."),
    }[doubt]


def new_reference() -> str:
    """A short reference such as K7P-3M9; the schema refuses one that exists."""
    letters: Sequence[str] = [secrets.choice(REFERENCE_LETTERS) for _ in range(6)]
    return "".join(letters[:3]) + "-" + "".join(letters[3:])


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
