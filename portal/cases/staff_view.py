"""The case as colleagues see it: everything but the customer's number."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.appointments import service as appointments
from portal.appointments.models import Appointment
from portal.cases import appointment_view, calling, doubtful, scheduling, timeline
from portal.cases import directory as directories
from portal.cases.appointment_view import AppointmentView
from portal.cases.directory import Directory
from portal.cases.models import Case, CaseState
from portal.cases.timeline import EntryView, First, PersonCard, PromiseView
from portal.customers.models import Account
from portal.languages import Voice
from portal.mail.models import Audience, HoldReason, Letter, LetterState
from portal.promises import service as promises
from portal.promises.models import Promise


@dataclass(frozen=True)
class LetterView:
    """What became of a letter."""

    kind: str
    audience: Audience
    to: str
    state: LetterState
    hold_reason: HoldReason | None
    queued: str
    ended: str | None
    tries: int
    last_error: str | None


@dataclass(frozen=True)
class StepView:
    """An open promise as colleagues see it: when the system tells the customer of a delay, and what is planned."""

    promise: PromiseView
    told: str
    """"heute um 14:20 Uhr": when the customer hears of a delay, planned or not."""
    waits: bool
    """Whether all we wait for is the customer's answer: then nobody plans anything."""
    moves_to_at: datetime | None
    moves_to: str | None
    reason: str | None
    planned_by: str | None

    @property
    def is_planned(self) -> bool:
        """Whether a new date or a reason waits to be told."""
        return self.moves_to is not None or self.reason is not None

    @property
    def is_by_hand(self) -> bool:
        """Whether a person planned something of it, who may take it back; a new calendar alone asks nobody."""
        return self.planned_by is not None or self.reason is not None


@dataclass(frozen=True)
class CaseFile:
    """Everything the case page says."""

    case: Case
    voice: Voice
    topic: str
    continues: str | None
    """The reference of the closed case that this one goes on with."""
    owner_name: str | None
    acting: PersonCard
    account: Account | None
    has_number: bool
    promises: tuple[PromiseView, ...]
    steps: tuple[StepView, ...]
    """The same promises, with what is planned."""
    appointment: AppointmentView | None
    """The one that is booked, on hold or not."""
    first: First | None
    """What the customer waits for first; None where the case is not open."""
    proposed_due: datetime
    entries: tuple[EntryView, ...]
    older: int | None
    letters: tuple[LetterView, ...]
    may_call: frozenset[int]
    may_discard: bool
    """Whether the whole case can still be discarded, because no letter has left."""

    @property
    def next_sentence(self) -> str:
        """What the customer waits for, without the full stop; nothing where the case is not open."""
        if self.appointment is not None and self.first == First.APPOINTMENT:
            return self.appointment.sentence
        return self.promises[0].sentence if self.promises else ""

    @property
    def is_late(self) -> bool:
        """Whether that time has passed and we did not keep it."""
        if self.appointment is not None and self.first == First.APPOINTMENT:
            return self.appointment.late
        return bool(self.promises) and self.promises[0].late

    @property
    def next_at(self) -> datetime | None:
        """The instant they wait for."""
        if self.appointment is not None and self.first == First.APPOINTMENT:
            return self.appointment.starts_at
        return self.promises[0].due_at if self.promises else None

    @property
    def held(self) -> LetterView | None:
        """The oldest letter that waits for staff."""
        return next((letter for letter in reversed(self.letters) if letter.state == LetterState.HELD), None)


def case_file(session: Session, case: Case, *, language: str, now: datetime, before: int | None = None) -> CaseFile:
    """The case at ``now``, in the reader's language; dates in the place of the case's team."""
    directory = directories.load(session, now=now)
    voice = directory.voice(directory.team_of(case), language)
    entries, older = timeline.history(session, directory, case, voice, before=before, internal=True, now=now, limit=50)
    is_open = case.state == CaseState.OPEN
    steps = promises.open_of(session, case.id) if is_open else []
    booked = appointments.booked_of(session, case.id) if is_open else None
    account_id = case.customer.account_id
    agreed = None if booked is None else _agreed(directory, case, booked, voice, now=now)
    views = tuple(timeline.promise_view(directory, case, promise, voice, now=now) for promise in steps)
    return CaseFile(
        case=case,
        voice=voice,
        topic=directory.topics[case.topic_id].name(language),
        continues=timeline.reference_of(session, case.continues_id),
        owner_name=None if case.owner_id is None else directory.people[case.owner_id].name,
        acting=timeline.person_card(directory, directory.acting_person(case, now), voice, now=now),
        account=None if account_id is None else session.get(Account, account_id),
        has_number=case.customer.phone_e164 is not None,
        promises=views,
        steps=tuple(_step(directory, promise, view, voice, now) for promise, view in zip(steps, views, strict=True)),
        appointment=agreed,
        first=timeline.first_of(steps, booked),
        proposed_due=scheduling.proposed_due(directory, case, now=now),
        entries=entries,
        older=older,
        letters=_letters(session, case, voice, now),
        may_call=_may_call(session, directory, case, booked, now=now),
        may_discard=doubtful.may_discard(session, case),
    )


def _agreed(directory: Directory, case: Case, booked: Appointment, voice: Voice, *, now: datetime) -> AppointmentView:
    """Late from the minute on at which colleagues are alarmed."""
    late_after = appointments.ALARM_AFTER
    return appointment_view.view(directory, case, booked, voice, late_after=late_after, now=now)


def _may_call(
    session: Session, directory: Directory, case: Case, booked: Appointment | None, *, now: datetime
) -> frozenset[int]:
    """Whom the page offers the call: it is not to offer what would be refused."""
    found = calling.may_call(directory, case, booked, now=now)
    return frozenset() if found and calling.is_old_time(session, case, booked, now=now) else found


def _step(directory: Directory, promise: Promise, view: PromiseView, voice: Voice, now: datetime) -> StepView:
    moves_to, by_id = promise.moves_to, promise.planned_by_id
    return StepView(
        promise=view,
        told=_told(promise.notice_at, voice, now),
        waits=promise.waiting is not None,
        moves_to_at=moves_to,
        moves_to=None if moves_to is None else voice.moment(moves_to, now=now),
        reason=promise.reason,
        planned_by=None if by_id is None else directory.people[by_id].name,
    )


def _told(at: datetime, voice: Voice, now: datetime) -> str:
    if at <= now:
        return voice.say("in the next few minutes")
    if voice.local(at).date() == voice.local(now).date():
        return voice.say("today at %(time)s", time=voice.time(at))
    return voice.say("at %(moment)s", moment=voice.moment(at, now=now))


def _letters(session: Session, case: Case, voice: Voice, now: datetime) -> tuple[LetterView, ...]:
    rows = session.scalars(select(Letter).where(Letter.case_id == case.id).order_by(Letter.id.desc()).limit(50))
    return tuple(
        LetterView(
            kind=letter.kind,
            audience=letter.audience,
            to=letter.to_address,
            state=letter.state,
            hold_reason=letter.hold_reason,
            queued=voice.moment(letter.queued_at, now=now),
            ended=None if letter.ended_at is None else voice.moment(letter.ended_at, now=now),
            tries=letter.tries,
            last_error=letter.last_error,
        )
        for letter in rows
    )
