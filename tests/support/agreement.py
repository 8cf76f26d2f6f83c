"""One truth for an appointment: every place that says its time says the same, and none says an old one.

Used by every test that changes one. What is asked are the program's own readers of that row: the customer's page, the
colleague's case page, the worklist, the call lists of old and new days, every colleague's feed, the letters that wait,
and what the customer's calendar program has made of the calendar files it got.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email import message_from_bytes, policy

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.appointments.models import Appointment, AppointmentState
from portal.cases import call_list, feeding, staff_view, timeline, worklist
from portal.cases import directory as directories
from portal.cases.models import Case, CaseState
from portal.cases.worklist import Scope
from portal.journal.models import Entry, Kind
from portal.mail.letters import TELLS_AN_APPOINTMENT
from portal.mail.models import Audience, Letter, LetterState
from portal.people.models import Person
from tests.appointments.mailbox_simulator import Mailbox, read


@dataclass(frozen=True)
class Truth:
    """The row of a case, and where it once was."""

    session: Session
    case: Case
    newest: Appointment
    """Booked, or the last one that was."""
    old_times: frozenset[datetime]
    now: datetime

    @property
    def booked(self) -> Appointment | None:
        return self.newest if self.newest.state == AppointmentState.BOOKED else None

    @property
    def starts_at(self) -> datetime | None:
        """The one time that places may name; None where nothing is booked."""
        return None if self.booked is None else self.booked.starts_at


def disagreements(session: Session, case: Case, *, now: datetime) -> list[str]:
    """What some place says otherwise than the row; nothing where the case never had an appointment."""
    session.flush()
    rows = select(Appointment).where(Appointment.case_id == case.id).order_by(Appointment.id.desc()).limit(1)
    newest = session.scalars(rows).first()
    if newest is None:
        return []
    truth = Truth(session, case, newest, _old_times(session, case, newest), now)
    return [f"{view.__name__}: {said}" for view in VIEWS for said in view(truth)]


def page(truth: Truth) -> Iterator[str]:
    """What the customer reads."""
    shown = timeline.status_of(truth.session, truth.case, now=truth.now).appointment
    yield from _compare(None if shown is None else shown.starts_at, _if_open(truth))


def case_page(truth: Truth) -> Iterator[str]:
    """What a colleague reads in the case."""
    shown = staff_view.case_file(truth.session, truth.case, language="de", now=truth.now).appointment
    yield from _compare(None if shown is None else shown.starts_at, _if_open(truth))


def to_do_list(truth: Truth) -> Iterator[str]:
    """The worklist: the case once, and by its appointment only where that is the next step."""
    rows = worklist.worklist(
        truth.session, person_id=truth.newest.person_id, scope=Scope.ALL, language="de", now=truth.now
    )
    mine = [row for row in rows if row.reference == truth.case.reference]
    if truth.case.state != CaseState.OPEN:
        yield from (f"lists a case that is not open: {row}" for row in mine)
        return
    if len(mine) != 1:
        yield f"lists the case {len(mine)} times"
    for row in mine:
        if (row.kind == worklist.APPOINTMENT) != (truth.case.appointment_id is not None):
            yield f"lists it as {row.kind}"
        elif truth.case.appointment_id is not None:
            yield from _compare(row.due_at, truth.starts_at)


def call_lists(truth: Truth) -> Iterator[str]:
    """The list of the day it is on has it once; the days it was on have a grey line at most."""
    zone = directories.load(truth.session, now=truth.now).voice_of(truth.case)
    days = {zone.local(at).date() for at in (truth.newest.starts_at, *truth.old_times)}
    for day in days:
        firm = _firm_lines(truth, day)
        wanted = [truth.starts_at] if truth.starts_at and zone.local(truth.starts_at).date() == day else []
        if firm != wanted:
            yield f"of {day} has {firm} instead of {wanted}"


def feeds(truth: Truth) -> Iterator[str]:
    """The feed of whoever keeps it has it at its time; nobody else's has it."""
    people = truth.session.scalars(select(Person)).all()
    for person in people:
        person.feed_nonce = person.feed_nonce or f"feed-of-{person.id}"
    truth.session.flush()
    for person in people:
        found = _in_feed(truth, person.id)
        shown = truth.newest.person_id == person.id and truth.newest.state != AppointmentState.CANCELLED
        wanted = [truth.newest.starts_at] if shown and _is_recent(truth) else []
        if found != wanted:
            yield f"of {person.name} has {found} instead of {wanted}"


def waiting_letters(truth: Truth) -> Iterator[str]:
    """No letter that is true as it waits, to the customer or a colleague, names another time, or one that is off."""
    for letter in _letters(truth, LetterState.QUEUED, audiences=tuple(Audience)):
        is_outdated = letter.valid_until is not None and letter.valid_until <= truth.now
        if letter.appointment_id is None or is_outdated:
            continue
        told = truth.session.get_one(Appointment, letter.appointment_id)
        if letter.appointment_version != told.version:
            yield f"{letter.kind} of version {letter.appointment_version} waits"
        elif (letter.kind in TELLS_AN_APPOINTMENT or not letter.automatic) and told is not truth.booked:
            yield f"{letter.kind} waits, of one that is {told.state}"


def customers_calendar(truth: Truth) -> Iterator[str]:
    """What a calendar program has made of the files in all letters that left or will leave."""
    program, told = Mailbox(), dict[str, set[str]]()
    for letter in _letters(truth, LetterState.SENT, LetterState.QUEUED):
        for part in message_from_bytes(letter.message, policy=policy.SMTP).walk():
            if part.get_content_type() == "text/calendar" and not part.is_attachment():
                data = bytes(part.get_payload(decode=True))
                event = read(data).components[0]
                if event.values("UID") == [truth.newest.uid]:
                    program.receive(data)
                    told.setdefault(event.one("SEQUENCE").value, set()).add(event.one("DTSTART").value)
    # Of two files with one number the later one counts by the standard, but not in every program.
    yield from (f"was told {times} under the same number {number}" for number, times in told.items() if len(times) > 1)
    entered = [_utc(start) for start in program.starts]
    on_hold = truth.newest.change_wished_at is not None  # it ends at its own time; the last file may not have left
    if truth.booked is not None and entered != [truth.starts_at] and not on_hold:
        yield f"holds {entered} instead of {truth.starts_at}"
    if truth.newest.state == AppointmentState.CANCELLED and not on_hold and entered:
        yield f"still holds {entered}"


VIEWS: tuple[Callable[[Truth], Iterator[str]], ...] = (
    page,
    case_page,
    to_do_list,
    call_lists,
    feeds,
    waiting_letters,
    customers_calendar,
)


def _compare(said: datetime | None, wanted: datetime | None) -> Iterator[str]:
    if said != wanted:
        yield f"says {said} instead of {wanted}"


def _if_open(truth: Truth) -> datetime | None:
    return truth.starts_at if truth.case.state == CaseState.OPEN else None


def _old_times(session: Session, case: Case, newest: Appointment) -> frozenset[datetime]:
    kinds = (Kind.APPOINTMENT_MOVED, Kind.APPOINTMENT_CANCELLED, Kind.APPOINTMENT_BOOKED)
    facts = session.scalars(select(Entry.facts).where(Entry.case_id == case.id, Entry.kind.in_(kinds)))
    said = {fact[name] for fact in facts for name in ("before", "starts_at") if name in fact}
    return frozenset(datetime.fromisoformat(time) for time in said) - {newest.starts_at}


def _firm_lines(truth: Truth, day: date) -> list[datetime]:
    found = call_list.call_list(
        truth.session, person_id=truth.newest.person_id, scope=Scope.ALL, language="de", day=day, now=truth.now
    )
    lines = [line for line in found.lines if isinstance(line, call_list.Line)]
    return [line.starts_at for line in lines if line.reference == truth.case.reference]


def _in_feed(truth: Truth, person_id: int) -> list[datetime]:
    calendar = read(feeding.feed(truth.session, person_id, now=truth.now))
    events = [one for one in calendar.components if one.values("UID") == [truth.newest.uid]]
    return [_utc(event.one("DTSTART").value) for event in events]


def _is_recent(truth: Truth) -> bool:
    return truth.newest.starts_at - truth.now > -feeding.BACK


def _letters(
    truth: Truth, *states: LetterState, audiences: tuple[Audience, ...] = (Audience.CUSTOMER,)
) -> list[Letter]:
    query = select(Letter).where(
        Letter.case_id == truth.case.id, Letter.audience.in_(audiences), Letter.state.in_(states)
    )
    found = truth.session.scalars(query.order_by(Letter.id).execution_options(populate_existing=True))
    return list(found)


def _utc(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
