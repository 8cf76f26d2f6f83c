"""The call list: which calls and visits were agreed for a day, and whose they are. There is no task; it is a question.

Every time on it is that of the one row. Where a time was moved or called off, its old day keeps a grey line until
midnight, so that whoever remembers the old time reads the new one; it is read from the journal and stored nowhere.
The list holds no number.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from sqlalchemy import case as sql_case
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from portal import config
from portal.appointments import service as appointments
from portal.appointments.models import IS_BOOKED, Appointment, AppointmentState
from portal.cases import agreed_time, appointment_view, calling, offering
from portal.cases import directory as directories
from portal.cases.directory import Directory
from portal.cases.models import Case, CaseState
from portal.cases.offering import Part
from portal.cases.worklist import Scope
from portal.customers.models import Customer
from portal.journal.models import Entry, Kind
from portal.languages import Voice
from portal.promises.business_time import ONE_DAY
from portal.promises.models import Medium, Promise, PromiseState

NEXT = 3
"""So many of the next working day stand below."""


class Stage(StrEnum):
    """Where an agreed time stands."""

    TO_COME = "to_come"
    NOW = "now"
    NOT_STARTED = "not_started"
    BEGUN = "begun"
    OUTCOME_MISSING = "outcome_missing"
    ON_HOLD = "on_hold"


@dataclass(frozen=True)
class Line:
    """An agreed call or visit."""

    reference: str
    case_version: int
    customer_name: str
    topic: str
    medium: Medium
    starts_at: datetime
    time: str
    """The hour on the clock of the case's team."""
    day: str
    keeper_name: str
    person_name: str
    """Whose it is; somebody else may keep it on that day."""
    stage: Stage
    reachable: tuple[Part, ...]
    may_start: bool
    """Whether the reader may start the call now."""

    @property
    def in_deputy(self) -> bool:
        """Whether somebody stands in."""
        return self.keeper_name != self.person_name


@dataclass(frozen=True)
class Gone:
    """A grey line: what this day does not hold any more. It offers nothing but the way to the case."""

    reference: str
    customer_name: str
    medium: Medium
    starts_at: datetime
    """The time it once had."""
    time: str
    moved_to: str | None
    """Where it is now; None where it was called off."""
    on_hold: bool


@dataclass(frozen=True)
class Promised:
    """A call that was promised by a date, without an agreed time."""

    reference: str
    customer_name: str
    topic: str
    due_at: datetime
    due: str
    late: bool
    acting_name: str
    owner_name: str
    in_deputy: bool
    reachable: tuple[Part, ...]


@dataclass(frozen=True)
class CallList:
    """One day as it stands."""

    day: date
    label: str
    is_today: bool
    earlier: tuple[Line, ...]
    """Of days before: never started, or nobody said what became of it."""
    lines: tuple[Line | Gone, ...]
    promised: tuple[Promised, ...]
    next_label: str
    following: tuple[Line, ...]
    """The first of the next working day."""


def call_list(
    session: Session, *, person_id: int, scope: Scope, language: str, now: datetime, day: date | None = None
) -> CallList:
    """The agreed times of a day, on the calendar of the reader's team; today where no day is named."""
    reader = _Reader(session, directories.load(session, now=now), person_id, scope, language, now)
    today = reader.voice.local(now).date()
    day = day or today
    start, end = reader.midnight(day), reader.midnight(day + timedelta(days=1))
    is_today, following = day == today, reader.next_open(end)
    until = reader.midnight(following + timedelta(days=1)) if is_today else end
    agreed = reader.agreed(None if is_today else start, until)
    gone = reader.gone(start, end) if day >= today else []
    lines: list[Line | Gone] = [line for line in agreed if start <= line.starts_at < end]
    return CallList(
        day=day,
        label=reader.voice.day(day, now=now),
        is_today=is_today,
        earlier=tuple(line for line in agreed if line.starts_at < start),
        lines=tuple(sorted([*lines, *gone], key=lambda line: (line.starts_at, line.reference))),
        promised=tuple(reader.promised(None if is_today else start, end)),
        next_label=reader.voice.day(following, now=now),
        following=tuple([line for line in agreed if line.starts_at >= end][:NEXT]),
    )


def stage_of(appointment: Appointment, *, now: datetime) -> Stage:
    """Where a booked appointment stands at ``now``."""
    if appointments.is_on_hold(appointment):
        return Stage.ON_HOLD
    if appointment.started_at is not None:
        return Stage.OUTCOME_MISSING if appointment_view.is_over(appointment, now=now) else Stage.BEGUN
    if now < appointment.starts_at:
        return Stage.TO_COME
    return Stage.NOT_STARTED if appointments.is_late(appointment, appointments.ALARM_AFTER, now=now) else Stage.NOW


_SAID = sql_case(
    (Entry.kind == Kind.APPOINTMENT_MOVED, Entry.facts["before"].as_string()),
    else_=Entry.facts["starts_at"].as_string(),
)
"""The time that a move or a calling off took away, as text: near enough in its order to read few entries of many."""


class _Reader:
    """Who reads the list, and what of it concerns them."""

    def __init__(
        self, session: Session, directory: Directory, person_id: int, scope: Scope, language: str, now: datetime
    ) -> None:
        self._session, self._directory, self._scope, self._now = session, directory, scope, now
        self._me = directory.people[person_id]
        self._language = language
        self.team = directory.teams[self._me.team_id]
        self.voice = directory.voice(self.team, language)

    def midnight(self, day: date) -> datetime:
        """When a day begins here."""
        return self.voice.midnight(day)

    def next_open(self, at: datetime) -> date:
        """The first day from then on that the reader's team works."""
        return self.voice.local(self._directory.business_minute(self.team, at)).date()

    def agreed(self, start: datetime | None, end: datetime) -> list[Line]:
        """The booked appointments of these days, or all until then, the first one first."""
        query = (
            select(Appointment, Case, Customer)
            .join(Case, Case.id == Appointment.case_id)
            .join(Customer, Customer.id == Case.customer_id)
            .where(IS_BOOKED, Appointment.starts_at < end)
            .order_by(Appointment.starts_at, Appointment.id)
            .options(joinedload(Case.promise))
        )
        rows = self._session.execute(query if start is None else query.where(Appointment.starts_at >= start))
        lines = (self._line(*row) for row in rows)
        return [line for line in lines if line is not None]

    def promised(self, start: datetime | None, end: datetime) -> list[Promised]:
        """The calls promised for these days, or all until then."""
        query = (
            select(Promise, Case, Customer)
            .join(Case, Case.id == Promise.case_id)
            .join(Customer, Customer.id == Case.customer_id)
            .where(
                Case.state == CaseState.OPEN,
                Promise.state == PromiseState.OPEN,
                Promise.medium == Medium.CALL,
                Promise.due_at < end,
            )
            .order_by(Promise.due_at, Promise.id)
        )
        rows = self._session.execute(query if start is None else query.where(Promise.due_at >= start))
        found = (self._promised(*row) for row in rows)
        return [one for one in found if one is not None]

    def gone(self, start: datetime, end: datetime) -> list[Gone]:
        """What these days held until it was moved or called off; where it is now, its row says.

        However early that was: no time is agreed on longer before it than the horizon.
        """
        since = self._now - timedelta(days=config.current().slot_horizon + 1)  # which counts whole days
        changed = (
            select(Appointment.case_id)
            .where(Appointment.changed_at >= since)
            .where((Appointment.sequence > 0) | (Appointment.state == AppointmentState.CANCELLED))
        )
        query = (
            select(Entry, Case, Customer)
            .join(Case, Case.id == Entry.case_id)
            .join(Customer, Customer.id == Case.customer_id)
            .where(Entry.case_id.in_(changed), Entry.at >= since)
            .where(Entry.kind.in_((Kind.APPOINTMENT_MOVED, Kind.APPOINTMENT_CANCELLED)))
            .where(_SAID.between((start - ONE_DAY).isoformat(), (end + ONE_DAY).isoformat()))
            .order_by(Entry.id)
        )
        found: dict[tuple[int, datetime], tuple[Entry, Case, Customer]] = {}
        for entry, case, customer in self._session.execute(query):
            said = entry.facts.get("before" if entry.kind == Kind.APPOINTMENT_MOVED else "starts_at")
            if said is not None and start <= (old := datetime.fromisoformat(said)) < end:
                found[case.id, old] = (entry, case, customer)
        last = self._last_of({case_id for case_id, _ in found})
        gone = (self._gone(old, *row, last[case_id]) for (case_id, old), row in found.items())
        return [one for one in gone if one is not None]

    def _last_of(self, case_ids: Iterable[int]) -> dict[int, Appointment]:
        """The newest appointment of each case: a new one may have been agreed after the old was called off."""
        rows = select(Appointment).where(Appointment.case_id.in_(tuple(case_ids))).order_by(Appointment.id)
        return {row.case_id: row for row in self._session.scalars(rows)}

    def _line(self, appointment: Appointment, case: Case, customer: Customer) -> Line | None:
        keeper = agreed_time.keeper(self._directory, case, appointment)
        if not self._concerns(case, keeper.id, appointment.person_id):
            return None
        voice, stage = self._voice_of(case), stage_of(appointment, now=self._now)
        can_begin = calling.is_its_time(appointment, now=self._now) and _can_begin(appointment, customer)
        callers = calling.may_call(self._directory, case, appointment, now=self._now)
        return Line(
            reference=case.reference,
            case_version=case.version,
            customer_name=customer.name,
            topic=self._directory.topics[case.topic_id].name(self._language),
            medium=appointment.medium,
            starts_at=appointment.starts_at,
            time=voice.time(appointment.starts_at),
            day=voice.day(voice.local(appointment.starts_at).date(), now=self._now),
            keeper_name=keeper.name,
            person_name=self._directory.people[appointment.person_id].name,
            stage=stage,
            reachable=_parts(case),
            may_start=can_begin and self._me.id in callers,
        )

    def _gone(self, old: datetime, entry: Entry, case: Case, customer: Customer, last: Appointment) -> Gone | None:
        was_mine = self._me.name in (entry.facts.get("before_name"), entry.facts.get("name"))
        keeper_id = agreed_time.keeper(self._directory, case, last).id
        if not was_mine and not self._concerns(case, keeper_id, last.person_id):
            return None
        is_off, voice = last.state == AppointmentState.CANCELLED, self._voice_of(case)
        if last.starts_at == old and not is_off:
            return None  # moved back: its own line stands there again
        return Gone(
            reference=case.reference,
            customer_name=customer.name,
            medium=last.medium,
            starts_at=old,
            time=voice.time(old),
            moved_to=None if is_off else voice.moment(last.starts_at, now=self._now),
            on_hold=appointments.is_on_hold(last),
        )

    def _promised(self, promise: Promise, case: Case, customer: Customer) -> Promised | None:
        acting_id = self._directory.acting(promise.person_id, self._now, topic_id=case.topic_id).person_id
        if not self._concerns(case, acting_id, promise.person_id):
            return None
        people = self._directory.people
        return Promised(
            reference=case.reference,
            customer_name=customer.name,
            topic=self._directory.topics[case.topic_id].name(self._language),
            due_at=promise.due_at,
            due=self._voice_of(case).short_moment(promise.due_at, now=self._now),
            late=promise.due_at <= self._now,
            acting_name=people[acting_id].name,
            owner_name=people[promise.person_id].name,
            in_deputy=acting_id != promise.person_id,
            reachable=_parts(case),
        )

    def _concerns(self, case: Case, keeper_id: int, person_id: int) -> bool:
        """One's own are those one keeps oneself and those one stands in for, and those somebody keeps for oneself."""
        if self._scope is Scope.ALL:
            return True
        if self._scope is Scope.MINE:
            return self._me.id in (keeper_id, person_id)
        people = self._directory.people
        return self.team.id in (people[keeper_id].team_id, self._directory.team_of(case).id)

    def _voice_of(self, case: Case) -> Voice:
        return self._directory.voice(self._directory.team_of(case), self._language)


def _can_begin(appointment: Appointment, customer: Customer) -> bool:
    """Whoever calls needs a number; whoever is there for a visit needs none."""
    return customer.phone_e164 is not None or appointment.medium == Medium.VISIT


def _parts(case: Case) -> tuple[Part, ...]:
    found = offering.parts_of(case.reachable)
    return tuple(part for part in Part if part in found)
