"""What a case looks like: plain values for the status page, the thank-you page and the case page.

Reads only. Every value is ready to be shown in the case's language; templates decide nothing but where it stands.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import Integer, bindparam, select
from sqlalchemy.orm import Session, aliased

from portal.appointments import service as appointments
from portal.appointments.models import Appointment, AppointmentState
from portal.cases import appointment_view, delaying, erasure_wishes, offering, waiting
from portal.cases import directory as directories
from portal.cases import steps as stepping
from portal.cases.appointment_view import AppointmentView
from portal.cases.closing import outcome_sentence
from portal.cases.directory import Directory
from portal.cases.erasure_wishes import ErasureView
from portal.cases.models import Case, CaseState, Doubt, RoutedBy
from portal.cases.status_link import link_until
from portal.journal import files
from portal.journal.files import Filed
from portal.journal.models import Actor, Channel, Direction, Entry, Kind
from portal.languages import Voice
from portal.mail.letters import LetterKind
from portal.mail.models import Letter, LetterState
from portal.people import presence
from portal.people.presence import Acting
from portal.promises import business_time, wording
from portal.promises import service as promises
from portal.promises.business_time import BeyondHolidayTable, Calendar, NoBusinessTime
from portal.promises.models import Medium, Promise, PromiseKind

PAGE = 20
"""Entries of a history shown at once."""
MOST_ABSENCES = 10
"""So many absences after one another are looked through for the day on which somebody is there again."""


class First(StrEnum):
    """What the customer waits for first."""

    PROMISE = "promise"
    APPOINTMENT = "appointment"


class StatusWord(StrEnum):
    """The one word at the top of the page; each is an adjective or participle in the reader's language."""

    RECEIVED = "received"
    IN_PROGRESS = "in_progress"
    BOOKED = "booked"
    WAITING_FOR_YOU = "waiting_for_you"
    DELAYED = "delayed"
    CLOSED = "closed"


@dataclass(frozen=True)
class PersonCard:
    """Who answers, and how they are reached today."""

    name: str
    role: str
    initials: str
    line_shown: str | None
    line_e164: str | None
    email: str
    week: str
    reachable: str | None
    """"heute bis 17 Uhr", or "wieder ab Montag, 30. November, 8 Uhr"; None where nobody knows."""
    for_name: str | None
    """Whom this person stands in for."""
    owner_back: str | None
    """The day from which that person is there again, if known."""


@dataclass(frozen=True)
class PromiseView:
    """A promise as the customer reads it."""

    id: int
    kind: PromiseKind
    medium: Medium
    name: str
    sentence: str
    due_at: datetime
    due: str
    first_due_at: datetime
    first_due: str
    moved: bool
    late: bool
    waits: bool
    """Whether all we wait for is the customer's answer."""
    closes: bool
    """Whether the date is that of the announced closing."""
    what: str


@dataclass(frozen=True)
class EntryView:
    """One line of the history."""

    id: int
    at: datetime
    when: str
    kind: Kind
    channel: Channel
    direction: Direction
    actor: Actor
    person_name: str | None
    text: str
    facts: dict[str, str]
    due: str | None
    """A promised date among the facts, in words."""
    agreed: str | None
    """An agreed time among the facts, in words, and the one it replaced."""
    before: str | None
    visible: bool
    erased: bool
    files: tuple[Filed, ...] = ()
    wished: str | None = None
    """The time that was wished for while nothing was agreed, in words."""


@dataclass(frozen=True)
class Status:
    """Everything the status page says."""

    reference: str
    topic: str
    state: CaseState
    word: StatusWord
    voice: Voice
    promise: PromiseView | None
    """What is promised next."""
    others: tuple[PromiseView, ...]
    """What is promised beside what the customer waits for first."""
    appointment: AppointmentView | None
    """The one that is booked, on hold or not."""
    missed: str | None
    """The agreed call or visit that we missed, as a sentence, while nobody has been in touch since."""
    first: First | None
    """Which of the two stands at the top; None where the case is not open."""
    person: PersonCard
    lead: PersonCard | None
    """Who is there too after the second delay notice in a row."""
    named_on_thanks: bool
    """Whether the thank-you page may name the person: routing used nothing but the topic."""
    question: str | None
    """What we asked, while it is not answered."""
    check_by: str | None
    check_late: bool
    """Whether that date has passed."""
    not_me: bool
    closed_at: datetime | None
    outcome: str | None
    outcome_text: str
    reopen_until: datetime | None
    link_until: date | None
    erase_on: date | None
    erasure: ErasureView | None
    """What the customer wished, or what a wish for deletion would mean; None for an entry that is no case."""
    received: str
    continues: str | None
    """The reference of the closed case that this one goes on with."""
    customer_name: str
    email_masked: str
    can: frozenset[str]
    version: int
    entries: tuple[EntryView, ...]
    older: int | None
    """The entry before which the history goes on."""


def status_of(session: Session, case: Case, *, now: datetime, before: int | None = None) -> Status:
    """The case as its customer sees it at ``now``."""
    directory = directories.load(session, now=now)
    voice = directory.voice_of(case)
    is_open = case.state == CaseState.OPEN
    steps = promises.open_of(session, case.id) if is_open else []
    booked = appointments.booked_of(session, case.id) if is_open else None
    agreed = None if booked is None else appointment_view.view(directory, case, booked, voice, now=now)
    first = first_of(steps, booked)
    entries, older = history(session, directory, case, voice, before=before, internal=False, now=now)
    views = tuple(promise_view(directory, case, promise, voice, now=now) for promise in steps)
    asked = None if promises.waits(steps) is None else waiting.question(session, case)
    question = None if asked is None else asked.text
    reopenable = case.reopen_until is not None and now <= case.reopen_until
    return Status(
        reference=case.reference,
        topic=directory.topics[case.topic_id].name(case.language),
        state=case.state,
        word=_word(case, views, agreed, first),
        voice=voice,
        promise=views[0] if views else None,
        others=views if first == First.APPOINTMENT else views[1:],
        appointment=agreed,
        missed=_missed(session, case, voice, now=now) if is_open and booked is None else None,
        first=first,
        person=person_card(directory, directory.acting_person(case, now), voice, now=now),
        lead=_lead(directory, case, voice, now=now),
        named_on_thanks=case.routed_by == RoutedBy.TOPIC,
        question=question,
        check_by=None if case.check_by_at is None else voice.moment(case.check_by_at, now=now),
        check_late=case.check_by_at is not None and case.check_by_at <= now,
        not_me=case.doubt == Doubt.NOT_ME,
        closed_at=case.closed_at,
        outcome=None if case.outcome is None else outcome_sentence(case.outcome, voice),
        outcome_text=case.outcome_text,
        reopen_until=case.reopen_until if reopenable else None,
        link_until=link_until(case, voice),
        erase_on=case.erase_on,
        erasure=erasure_wishes.view(directory, case, now=now),
        received=voice.moment(case.received_at, now=now),
        continues=reference_of(session, case.continues_id),
        customer_name=case.customer.name,
        email_masked=mask(case.customer.email),
        can=_can(case, steps, reopenable) | _can_agree(directory, case, agreed),
        version=case.version,
        entries=entries,
        older=older,
    )


def first_of(steps: list[Promise], booked: Appointment | None) -> First | None:
    """Which kind of step comes first; an appointment on hold, or one that a promise has taken the place of, is none."""
    in_order = stepping.in_order(steps, booked)
    if not in_order:
        return None
    return First.APPOINTMENT if isinstance(in_order[0], Appointment) else First.PROMISE


def _missed(session: Session, case: Case, voice: Voice, *, now: datetime) -> str | None:
    """What did not take place, without the full stop; None where something came after it."""
    found = session.scalars(_LAST_MISSED, {"case_id": case.id}).one_or_none()
    if found is None:
        return None
    moment = voice.moment(found.starts_at, now=now)
    if found.medium == Medium.VISIT:
        return voice.say("Our visit agreed for %(moment)s did not take place", moment=moment)
    return voice.say("Our call agreed for %(moment)s did not take place", moment=moment)


def _lead(directory: Directory, case: Case, voice: Voice, *, now: datetime) -> PersonCard | None:
    """The lead, or whoever is there for the lead, once a notice has named them; None while the same person acts."""
    if case.state != CaseState.OPEN or case.lead_since is None:
        return None
    lead_id = delaying.follows_up(directory, case, delaying.NAMES_THE_LEAD, now=now)
    acting = directory.acting(lead_id, now, topic_id=case.topic_id)
    if acting.person_id == directory.acting_person(case, now).person_id:
        return None
    return person_card(directory, acting, voice, now=now)


def front_desk(session: Session, *, language: str, now: datetime) -> tuple[PersonCard, Voice]:
    """Who answers the company's general line, for pages that may name nobody else."""
    directory = directories.load(session, now=now)
    desk = directory.people[directory.company.front_desk_id]
    voice = directory.voice(directory.teams[desk.team_id], language)
    return person_card(directory, directory.front_desk(now), voice, now=now), voice


def person_card(directory: Directory, acting: Acting, voice: Voice, *, now: datetime) -> PersonCard:
    """The card of whoever acts."""
    person = directory.people[acting.person_id]
    back_at = None if acting.for_id is None else directory.back_at(acting.for_id, now)
    return PersonCard(
        name=person.name,
        role=person.role,
        initials=_initials(person.name),
        line_shown=person.line_shown,
        line_e164=person.line_e164,
        email=person.email,
        week=voice.week(directory.person_weeks.get(person.id, {})),
        reachable=reachable(directory, acting.person_id, voice, now=now),
        for_name=None if acting.for_id is None else directory.people[acting.for_id].name,
        owner_back=None if back_at is None else voice.day(voice.local(back_at).date(), now=now),
    )


def reachable(directory: Directory, person_id: int, voice: Voice, *, now: datetime) -> str | None:
    """Until when this person can be called today, or from when again. Own hours and own holidays decide.

    None where no time is known: somebody without hours of their own, or away without a known end.
    """
    person = directory.people[person_id]
    calendar = Calendar(
        tz=voice.tz,
        hours=directory.person_weeks.get(person_id, {}),
        is_day_off=lambda day: directory.is_holiday(person.place, day),
        ends_on=directory.calendar(directory.teams[person.team_id]).ends_on,
    )
    opens = _there_from(directory, person_id, calendar, now)
    if opens is None:
        return None
    if opens == now:
        until = next(end for start, end in business_time.spans(calendar, voice.local(now).date()) if start <= now < end)
        return voice.say("today until %(time)s", time=voice.time(until))
    if voice.local(opens).date() == voice.local(now).date():
        return voice.say("today from %(time)s", time=voice.time(opens))
    return voice.say("again from %(moment)s", moment=voice.moment(opens, now=now))


def _there_from(directory: Directory, person_id: int, calendar: Calendar, at: datetime) -> datetime | None:
    """The first minute from ``at`` on at which the person works, or None if that is not known."""
    for _ in range(MOST_ABSENCES):
        try:
            opens = business_time.next_open(calendar, at)
        except (NoBusinessTime, BeyondHolidayTable):
            return None
        if presence.is_present(directory.roster, person_id, opens):
            return opens
        away_until = presence.back_at(directory.roster, person_id, opens)
        if away_until is None:
            return None
        at = away_until
    return None


def promise_view(directory: Directory, case: Case, promise: Promise, voice: Voice, *, now: datetime) -> PromiseView:
    """A promise in the reader's words; the name is that of whoever acts now."""
    acting = directory.acting(promise.person_id, now, topic_id=case.topic_id)
    name, due = directory.people[acting.person_id].name, voice.moment(promise.due_at, now=now)
    closes = waiting.closes([promise])
    return PromiseView(
        id=promise.id,
        kind=promise.kind,
        medium=promise.medium,
        name=name,
        sentence=wording.sentence(promise.kind, promise.medium, name, due, voice, closes=closes),
        due_at=promise.due_at,
        due=due,
        first_due_at=promise.first_due_at,
        first_due=voice.moment(promise.first_due_at, now=now),
        moved=promise.due_at > promise.first_due_at,
        late=promise.due_at <= now and not closes,  # a case that is open a little longer breaks no word of ours
        waits=promise.waiting is not None,
        closes=closes,
        what=promise.what,
    )


_ENTRIES = (
    select(Entry)
    .where(Entry.case_id == bindparam("case_id", type_=Integer))
    .order_by(Entry.at.desc(), Entry.id.desc())
    .limit(bindparam("limit", type_=Integer))
)
_CORRECTION = aliased(Entry)
# Colleagues read what was corrected too; a customer reads only what holds: the entry may name somebody else's person.
_VISIBLE_ENTRIES = _ENTRIES.where(
    Entry.visible, ~select(_CORRECTION.id).where(_CORRECTION.corrects_id == Entry.id).exists()
)


_LATER = aliased(Appointment)
_LAST_MISSED = select(Appointment).where(
    Appointment.case_id == bindparam("case_id", type_=Integer),
    Appointment.state == AppointmentState.MISSED,
    ~select(_LATER.id).where(_LATER.case_id == Appointment.case_id, _LATER.id > Appointment.id).exists(),
    ~select(Entry.id)
    .where(
        Entry.case_id == Appointment.case_id,
        Entry.kind.in_((Kind.CALL, Kind.VISIT, Kind.REPLY, Kind.QUESTION, Kind.LETTER, Kind.CLOSED)),
        Entry.actor == Actor.PERSON,
        Entry.noted_at > Appointment.ended_at,  # the call itself may have been before we noticed that one was missed
    )
    .exists(),
)


def history(
    session: Session,
    directory: Directory,
    case: Case,
    voice: Voice,
    *,
    before: int | None,
    internal: bool,
    now: datetime,
    limit: int = PAGE,
) -> tuple[tuple[EntryView, ...], int | None]:
    """A page of the history, newest first, and the entry before which it goes on (None at its end)."""
    query = _ENTRIES if internal else _VISIBLE_ENTRIES
    if before is not None:
        edge = session.get(Entry, before)
        if edge is not None and edge.case_id == case.id:
            query = query.where((Entry.at < edge.at) | ((Entry.at == edge.at) & (Entry.id < edge.id)))
    rows = session.scalars(query, {"case_id": case.id, "limit": limit + 1}).all()
    shown = rows[:limit]
    filed = files.of_entries(session, [entry.id for entry in shown if entry.facts.get("files")])
    return (
        tuple(_entry_view(directory, entry, filed.get(entry.id, []), voice, now) for entry in shown),
        shown[-1].id if len(rows) > limit else None,
    )


def confirmation_state(session: Session, case: Case) -> LetterState | None:
    """What became of the newest confirmation to the customer; None where there is none."""
    states = (
        select(Letter.state)
        .where(Letter.case_id == case.id, Letter.kind == LetterKind.CONFIRMATION)
        .order_by(Letter.id.desc())
        .limit(1)
    )
    return session.scalar(states)


def reference_of(session: Session, case_id: int | None) -> str | None:
    """The reference of another case, such as the one that a case continues; None for none."""
    return None if case_id is None else session.scalar(select(Case.reference).where(Case.id == case_id))


def mask(email: str | None) -> str:
    """ "sa…@example.com": enough to recognise, too little to learn."""
    local, _, domain = (email or "").partition("@")
    return f"{local[:2]}…@{domain}" if domain else ""


def _entry_view(directory: Directory, entry: Entry, filed: list[Filed], voice: Voice, now: datetime) -> EntryView:

    def said(fact: str) -> str | None:
        at = entry.facts.get(fact)
        return None if at is None else voice.moment(datetime.fromisoformat(at), now=now)

    return EntryView(
        id=entry.id,
        at=entry.at,
        when=voice.moment(entry.at, now=now),
        kind=entry.kind,
        channel=entry.channel,
        direction=entry.direction,
        actor=entry.actor,
        person_name=None if entry.person_id is None else directory.people[entry.person_id].name,
        text=entry.text,
        facts=entry.facts,
        due=said("due_at"),
        agreed=said("starts_at"),
        before=said("before"),
        visible=entry.visible,
        erased=entry.erased_at is not None,
        files=tuple(filed),
        wished=said("slot"),
    )


def _word(
    case: Case, steps: tuple[PromiseView, ...], agreed: AppointmentView | None, first: First | None
) -> StatusWord:
    if case.state == CaseState.CLOSED:
        return StatusWord.CLOSED
    if case.state != CaseState.OPEN or first is None:
        return StatusWord.RECEIVED
    if (steps and steps[0].late) or (agreed is not None and first == First.APPOINTMENT and agreed.late):
        return StatusWord.DELAYED  # whatever we wait for: we said that we would be in touch by then
    if first == First.APPOINTMENT:
        return StatusWord.BOOKED
    if all(step.waits for step in steps) and not (agreed is not None and agreed.to_come):
        return StatusWord.WAITING_FOR_YOU
    if case.notices > 0:
        return StatusWord.DELAYED
    return StatusWord.IN_PROGRESS


def _can_agree(directory: Directory, case: Case, agreed: AppointmentView | None) -> frozenset[str]:
    """What the customer can do about an agreed time: choose one, another one, or call it off."""
    if case.state != CaseState.OPEN:
        return frozenset()
    if agreed is None:
        return frozenset({"book"}) if offering.offers(directory.topics[case.topic_id]) else frozenset()
    may = {"move": agreed.may_move, "cancel_appointment": agreed.may_cancel}
    return frozenset(action for action, allowed in may.items() if allowed)


def _can(case: Case, steps: list[Promise], reopenable: bool) -> frozenset[str]:
    always = {"replace_link", "not_me", "export"}
    erase = {"erase"} if case.customer.email else set()  # confirmed through the mailbox, so there must be one
    if case.state == CaseState.OPEN:
        return frozenset(always | erase | {"message", "close"} | ({"keep_open"} if waiting.closes(steps) else set()))
    if case.state != CaseState.CLOSED:
        return frozenset()
    if case.partly_erased_at is not None:
        return frozenset({"export", "replace_link"})
    answer = {"reopen" if reopenable else "message"}
    return frozenset(always | answer | (erase if case.erasure_confirmed_at is None else {"keep_details"}))


def _initials(name: str) -> str:
    words = [word for word in name.replace("Dr.", "").split() if word]
    return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper()
