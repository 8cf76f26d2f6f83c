"""What a run left behind, read once: cases with their promises and letters, and beside them what the plan knew."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from portal.cases import directory as directories
from portal.cases.models import Case
from portal.journal.models import Actor, Entry, Kind
from portal.mail.models import Audience, Letter
from portal.people import presence
from portal.people.models import Team
from portal.promises import business_time
from portal.promises.models import Promise
from portal.simulation import spans
from portal.simulation.agreed import NEVER, Agreed, Agreements, Change
from portal.simulation.evidence import Act
from portal.simulation.plan import Plan
from portal.simulation.spans import Spans

NOTICES = {"delay_notice", "lead_takes_over"}
BY_HAND = {"reply", "question"}
UNASKED = NOTICES | {"waiting_reminder", "closing_announced", "appointment_reminder"}
GRACE = 30
"""Sending minutes after a night of the machine in which what piled up goes out."""
UNTIL_SENT = 20
"""Minutes after an outage of the mail in which what waited leaves: a pause of 5 at most, a retry within 15."""


@dataclass
class PromiseRecord:
    """A promise; ``ended_at`` lies at the end of time while it is open."""

    id: int
    given_at: datetime
    due_at: datetime
    ended_at: datetime
    state: str
    replaces_id: int | None
    kept_by_letter: bool = False
    """Whether nothing but a letter of the ladder of waiting keeps it: not before that letter is there."""
    told_at: datetime = NEVER
    """When the first letter that says its date was stored, be it that of a promise with the same date before it."""
    told_by: str = ""
    """The kind of that letter, or where none was stored of the first that was to say it."""


@dataclass
class CaseRecord:
    """A case, whoever opened it; ``number`` is that of the form it comes from."""

    id: int
    number: int
    reference: str
    refuses: bool
    team: Team
    promises: list[PromiseRecord] = field(default_factory=list)
    letters: list["LetterRecord"] = field(default_factory=list)
    begins_anew: list[datetime] = field(default_factory=list)
    """When the count of notices in a row fell back to nothing: a promise was kept, or the case reopened."""
    open: Spans = field(default_factory=list)
    """When it was open: from its opening to its closing and from a reopening on, whatever steps it had."""
    agreed: list[Agreed] = field(default_factory=list)
    """The times that were agreed, one after the other."""
    changes: list[Change] = field(default_factory=list)
    """What became of them before their hour: moved, or given to somebody else."""

    def local_day(self, at: datetime) -> date:
        """The day on the team's wall clock."""
        return at.astimezone(ZoneInfo(self.team.tz)).date()


@dataclass(frozen=True)
class LetterRecord:
    """A letter about a case that the sink stored; one stored twice counts once, when it came first."""

    case: CaseRecord
    number: int
    kind: str
    at: datetime
    queued_at: datetime
    person_id: int
    step_due_at: datetime | None
    instead_of: frozenset[datetime]
    """The dates that what it tells replaces, back to the first: the one its reader knows is among them."""
    by_itself: bool
    """A closing that neither a person nor the customer wanted at that moment."""
    automatic: bool
    """For a notice: whether it is a rung of the ladder, and neither a person nor a new calendar moved the date."""
    planned: bool
    """For a notice: whether a person set the new date and is the one who tells it."""
    agreed: Agreed | None = None
    """The agreed time that it names."""
    keeper_id: int | None = None
    """Whom it says will be there then."""


class Record:
    """Everything the figures are computed from."""

    def __init__(
        self, session: Session, plan: Plan, acts: Sequence[Act], arrivals: Sequence[tuple[str, datetime]],
        people: Mapping[str, int], number_of: Mapping[str, int], broken_pages: Sequence[datetime] = (),
    ) -> None:  # fmt: skip
        self.plan, self.acts, self.broken_pages = plan, acts, broken_pages
        self.starts_at, self.ends_at = plan.starts_at, plan.ends_at
        self.directory = directories.load(session, now=plan.starts_at)
        self.arrivals = Counter(message_id for message_id, _ in arrivals)
        self.ambiguous = {act["message_id"] for act in acts if act["kind"] == "ambiguous"}
        self.forms = {act["case"]: act["at"] for act in acts if act["kind"] == "form" and act["status"] == 303}
        self.noted: dict[str, list[str]] = defaultdict(list)
        """The first cases in which a figure is not zero, for whoever looks for the reason."""
        self._away = [(people[away.person], away) for away in plan.absences if away.entered]
        self._refusing = {one.number for one in plan.arrivals if one.email in plan.refuses}
        self._asleep: dict[int, Spans] = {}
        self._mail_down: dict[tuple[int, bool], Spans] = {}
        self._rosters: dict[object, presence.Roster] = {}
        first: dict[str, datetime] = {}
        for message_id, at in arrivals:
            first.setdefault(message_id, at)
        self._agreements = Agreements(session)
        self._ids = {person.name: person.id for person in self.directory.people.values()}
        self.cases = self._cases(session, number_of)
        self.by_number = {case.number: case for case in reversed(self.cases)}
        self.entries = self._entries(session)
        self.customer_letters, self.staff_letters = self._letters(session, first)

    def note(self, figure: str, case: CaseRecord, at: datetime) -> None:
        """Remember where a figure comes from."""
        self.noted[figure].append(f"case {case.number} ({case.reference}) at {at:%Y-%m-%d %H:%M} UTC")

    def refuses(self, number: int) -> bool:
        """Whether the mailbox of this case takes no mail."""
        return number in self._refusing

    def asleep(self, case: CaseRecord) -> Spans:
        """When the machine was off, and the first half hour of sending after it."""
        if case.team.id not in self._asleep:
            sending = self.directory.sending(case.team)
            self._asleep[case.team.id] = spans.joined(
                (one.starts_at, business_time.add(sending, one.ends_at, GRACE)) for one in self.plan.machine_off
            )
        return self._asleep[case.team.id]

    def mail_down(self, case: CaseRecord, kind: str) -> Spans:
        """When a letter of this kind could not leave because no mail did, and until it must have left afterwards."""
        key = (case.team.id, kind in UNASKED)
        if key not in self._mail_down:
            self._mail_down[key] = spans.joined(
                (one.starts_at, self._until_sent(case, one.ends_at, unasked=key[1])) for one in self.plan.smtp_down
            )
        return self._mail_down[key]

    def _until_sent(self, case: CaseRecord, at: datetime, *, unasked: bool) -> datetime:
        running = self.running_time_after(at, timedelta(minutes=UNTIL_SENT))
        if not unasked:
            return running
        # What nobody asked for waits for the sending hours.
        return max(running, business_time.add(self.directory.sending(case.team), at, UNTIL_SENT))

    def running_time_after(self, at: datetime, length: timedelta) -> datetime:
        """The instant when so much time with mail and machine has gone by."""
        down = spans.joined([(one.starts_at, one.ends_at) for one in (*self.plan.machine_off, *self.plan.smtp_down)])
        end = at + length
        for start, until in down:
            if until > at and start < end:
                end += until - max(start, at)
        return end

    def may_send(self, case: CaseRecord, at: datetime) -> bool:
        """Whether unasked letters may leave."""
        return business_time.is_open(self.directory.sending(case.team), at)

    def next_sending(self, case: CaseRecord, at: datetime) -> datetime:
        """The next minute in which unasked letters may leave."""
        return business_time.next_open(self.directory.sending(case.team), at)

    def absent(self, letter: LetterRecord) -> bool:
        """Whether somebody a letter names (or goes to) is away at the team's next business minute, as known then: who
        signs it at once, who is to be there at the time it names."""
        at = letter.queued_at if letter.kind in BY_HAND else letter.at
        away = not self._is_there(letter.person_id, at, known=at)
        if letter.agreed is not None and letter.keeper_id is not None:
            away = away or not self._is_there(letter.keeper_id, letter.agreed.starts_at, known=at)
        if away:
            self.note("absent", letter.case, letter.at)
        return away

    def _is_there(self, person_id: int, at: datetime, *, known: datetime) -> bool:
        team = self.directory.teams[self.directory.people[person_id].team_id]
        number = sum(away.known_at <= known for _, away in self._away)
        roster = self._rosters.setdefault(number, self._roster(known))
        return presence.is_present(roster, person_id, self.directory.business_minute(team, at))

    def _roster(self, at: datetime) -> presence.Roster:
        rows = tuple(
            presence.Absent(person_id, away.starts_at, away.ends_at, None, order)
            for order, (person_id, away) in enumerate(self._away)
            if away.known_at <= at
        )
        return replace(self.directory.roster, absences=rows)

    def _cases(self, session: Session, number_of: Mapping[str, int]) -> list[CaseRecord]:
        rows = session.execute(
            select(Case.id, Case.reference, Case.owner_id, Case.continues_id, Case.opened_at).order_by(Case.id)
        ).all()
        found: dict[int, CaseRecord] = {}
        for row in rows:
            number = number_of.get(row.reference) or found[row.continues_id or 0].number
            team = self.directory.teams[self.directory.people[row.owner_id or 0].team_id]
            found[row.id] = CaseRecord(row.id, number, row.reference, number in self._refusing, team)
        by_itself = Entry.kind.in_((Kind.REMINDED, Kind.CLOSING_ANNOUNCED))
        for promise in session.execute(
            select(Promise.id, Promise.case_id, Promise.given_at, Promise.due_at, Promise.ended_at, Promise.state,
                   Promise.replaces_id, Entry.id.label("letter"))
            .outerjoin(Entry, and_(Entry.id == Promise.kept_by_entry_id, by_itself)).order_by(Promise.id)
        ):  # fmt: skip
            found[promise.case_id].promises.append(
                PromiseRecord(promise.id, promise.given_at, promise.due_at, promise.ended_at or NEVER, promise.state,
                              promise.replaces_id, promise.letter is not None)
            )  # fmt: skip
        for case_id, agreed in self._agreements.of_case.items():
            found[case_id].agreed, found[case_id].changes = agreed, self._agreements.changes[case_id]
        changes = _changes(session)
        for row in rows:
            found[row.id].open = _open(row.opened_at, changes[row.id], self.ends_at)
        return list(found.values())

    def _entries(self, session: Session) -> Counter[str]:
        """The visible entries of each kind; on the way, when the count of notices began anew."""
        counted: Counter[str] = Counter()
        cases = {case.id: case for case in self.cases}
        for case_id, kind, at in session.execute(select(Entry.case_id, Entry.kind, Entry.at).where(Entry.visible)):
            counted[kind] += 1
            if kind in (Kind.PROMISE_KEPT, Kind.REOPENED) and case_id is not None:
                cases[case_id].begins_anew.append(at)
        return counted

    def _letters(
        self, session: Session, first: Mapping[str, datetime]
    ) -> tuple[list[LetterRecord], list[LetterRecord]]:
        cases = {case.id: case for case in self.cases}
        promises = {one.id: one for case in self.cases for one in case.promises}
        closed_by = _closings(session)
        rows = session.execute(select(Entry.case_id, Entry.at).where(Entry.kind == Kind.NOTICE))
        given = {(case_id, at) for case_id, at in rows}
        by_hand = select(Entry.case_id, Entry.at).where(Entry.kind == Kind.PROMISE_MOVED, Entry.actor == Actor.PERSON)
        planned = {(case_id, at) for case_id, at in session.execute(by_hand)} - given
        customers: list[LetterRecord] = []
        staff: list[LetterRecord] = []
        for row in session.execute(
            select(Letter.case_id, Letter.kind, Letter.audience, Letter.message_id, Letter.queued_at, Letter.person_id,
                   Letter.promise_id, Letter.appointment_id, Letter.appointment_version)
            .where(Letter.case_id.is_not(None)).order_by(Letter.id)
        ):  # fmt: skip
            at = first.get(row.message_id)
            agreed = self._agreements.named(row.case_id, row.appointment_id, row.appointment_version)
            if agreed is not None and row.queued_at >= agreed.starts_at:
                agreed = None  # its hour had come: what is written then names no time to come
            if row.audience == Audience.CUSTOMER:
                _tell(cases[row.case_id], row, at or NEVER)
                _tell_agreed(agreed, row, at or NEVER)
            if at is None:
                continue
            case, stated = cases[row.case_id], promises.get(row.promise_id)
            told = [one for one in case.promises if one is stated or _is_told_with(one, row)]
            letter = LetterRecord(
                case, case.number, row.kind, at, row.queued_at, row.person_id,
                None if stated is None else stated.due_at,
                frozenset(old.due_at for one in told for old in _before(promises, one)),
                by_itself=closed_by.get((case.id, row.queued_at)) == Actor.SYSTEM,
                automatic=(case.id, row.queued_at) in given,
                planned=(case.id, row.queued_at) in planned,
                agreed=agreed,
                keeper_id=None if agreed is None else self._ids[agreed.keepers[row.appointment_version]],
            )  # fmt: skip
            if row.audience == Audience.STAFF:
                staff.append(letter)
                continue
            customers.append(letter)
            case.letters.append(letter)
        return customers, staff


def _tell(case: CaseRecord, row: Any, at: datetime) -> None:
    """A letter tells the date of the promise it is about, and a notice those of all that were given with it.

    Who was promised a date once more has it in writing already.
    """
    dates = {one.due_at for one in case.promises if one.id == row.promise_id or _is_told_with(one, row)}
    for promise in case.promises:
        if promise.due_at in dates and (at < promise.told_at or not promise.told_by):
            promise.told_at, promise.told_by = at, row.kind


def _tell_agreed(agreed: Agreed | None, row: Any, at: datetime) -> None:
    if agreed is not None and (at < agreed.told_at or not agreed.told_by):
        agreed.told_at, agreed.told_by = at, row.kind


def _is_told_with(promise: PromiseRecord, row: Any) -> bool:
    """Whether a notice gave this promise, be it another than the next step, which it names."""
    return row.kind in NOTICES and promise.given_at == row.queued_at


def _before(promises: Mapping[int, PromiseRecord], promise: PromiseRecord) -> Iterator[PromiseRecord]:
    """The promises in whose place it came, the last one first."""
    while promise.replaces_id is not None:
        promise = promises[promise.replaces_id]
        yield promise


def _changes(session: Session) -> defaultdict[int | None, list[tuple[datetime, bool]]]:
    """When each case was closed (False) or open again (True), in the order of the journal.

    A closing that reached nobody is undone without a word of reopening: then a promise says that it is open.
    """
    kinds = (Kind.CLOSED, Kind.REOPENED, Kind.PROMISE_GIVEN)
    rows = session.execute(select(Entry.case_id, Entry.at, Entry.kind).where(Entry.kind.in_(kinds)).order_by(Entry.id))
    changes: defaultdict[int | None, list[tuple[datetime, bool]]] = defaultdict(list)
    for case_id, at, kind in rows:
        changes[case_id].append((at, kind != Kind.CLOSED))
    return changes


def _open(opened_at: datetime | None, changes: Sequence[tuple[datetime, bool]], ends_at: datetime) -> Spans:
    found, since = [], opened_at
    for at, opens in changes:
        if since is not None and not opens:
            found.append((since, at))
        since = (since or at) if opens else None
    return spans.joined([*found, *([] if since is None else [(since, ends_at)])])


def _closings(session: Session) -> dict[tuple[int | None, datetime], Actor]:
    rows = session.execute(select(Entry.case_id, Entry.at, Entry.actor).where(Entry.kind == Kind.CLOSED))
    return {(case_id, at): actor for case_id, at, actor in rows}
