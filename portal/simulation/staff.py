"""The colleagues: when they are at their desks, what they pick from their list, and what they do with it.

They act through the domain's steps, in a writing transaction with the driven now, as the staff pages do. Each decides
by a generator of their own.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Protocol

from sqlalchemy import Row, bindparam, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from portal import db
from portal.appointments.models import IS_BOOKED, Appointment
from portal.cases import directory as directories
from portal.cases.directory import Directory
from portal.cases.errors import Refused
from portal.cases.models import Case, CaseState
from portal.promises.models import Medium, Promise, PromiseKind
from portal.simulation.call_list import CallList, Noted
from portal.simulation.company import Colleague, Habit
from portal.simulation.deeds import Done
from portal.simulation.desk import Desk
from portal.simulation.evidence import Evidence, moment
from portal.simulation.meetings import Meetings
from portal.simulation.plan import Plan

PACE = {Habit.PROMPT: (14, 28), Habit.LATE: (18, 34), Habit.FORGETFUL: (14, 30)}
"""Minutes from one case to the next; the others work like the prompt."""
LIST = 60
"""Rows of the list that somebody looks at."""
NEAR, NEXT_DAY, OVER_THE_WEEKEND = timedelta(hours=3), timedelta(hours=24), timedelta(hours=72)

OLD_SLIP = 0.02
"""How often somebody dials from a slip of paper instead of the list."""

_LIST = (
    select(
        Case.id,
        Case.reference,
        Case.version,
        Case.topic_id,
        Case.promise_id,
        Promise.person_id,
        Promise.kind,
        Promise.medium,
        Promise.due_at,
    )
    .join(Promise, Promise.id == Case.promise_id)
    .where(
        Case.state == CaseState.OPEN,
        Promise.person_id.in_(bindparam("owners", expanding=True)),
        Promise.waiting.is_(None),  # the customer is to answer; the worker keeps the dates
    )
    .order_by(Promise.due_at, Case.id)
    .limit(LIST)
)
Item = Row[*tuple[Any, ...]]


class Calls(Protocol):
    """What colleagues need of the driver."""

    def instant(self) -> datetime: ...
    def at(self, instant: datetime, act: Callable[[], None]) -> None: ...
    def reachable_from(self) -> datetime: ...


class Staff:
    """All of them."""

    def __init__(
        self, plan: Plan, people: Sequence[tuple[Colleague, int]], calls: Calls, evidence: Evidence,
        case_number: Callable[[Session, str], int],
    ) -> None:  # fmt: skip
        self._plan, self._calls, self._evidence, self._case_number = plan, calls, evidence, case_number
        self._desks = [Desk(one, id_, Random(f"{plan.seed}:{one.name}")) for one, id_ in people]  # noqa: S311  # as in plan
        self._by_name = {desk.colleague.name: desk for desk in self._desks}
        self._by_email = {desk.colleague.email: desk for desk in self._desks}
        self._acts_for: tuple[object, int, dict[int, set[tuple[int, int]]]] | None = None
        self.call_list: CallList = CallList(self)

    def begin(self) -> None:
        """Everybody comes to work when their hours begin."""
        for away in self._plan.absences:
            self._by_name[away.person].away.append((away.starts_at, away.ends_at))
        for desk in self._desks:
            self._calls.at(self._next_minute(desk, self._calls.instant()), partial(self._turn, desk))

    def reminded(self, email: str, reference: str) -> None:
        """A reminder is in somebody's mailbox: most remember, some say at once that it will be later."""
        desk = self._by_email.get(email.lower())
        if desk is None:
            return
        if desk.random.random() < 0.55:
            desk.urgent.add(reference)
        if desk.colleague.habit is not Habit.PROMPT and desk.random.random() < 0.3:
            then = self._calls.instant() + timedelta(minutes=desk.random.randint(3, 50))
            self._calls.at(then, lambda: self._plan_ahead(desk, reference))

    def alarmed(self, email: str, reference: str) -> None:
        """A letter about an appointment is in somebody's mailbox."""
        desk = self._by_email.get(email.lower())
        if desk is not None:
            self.call_list.alarmed(desk, reference)

    def wished(self, reference: str) -> None:
        """A customer rings up because another time would suit better."""
        with db.reading() as session:
            query = select(Case.id, Appointment.person_id).join(Appointment, Appointment.case_id == Case.id)
            row = session.execute(query.where(Case.reference == reference, IS_BOOKED)).one_or_none()
        if row is not None:
            self.call_list.wished(row.id, reference, row.person_id)

    def instant(self) -> datetime:
        """The instant it is."""
        return self._calls.instant()

    def at(self, instant: datetime, act: Callable[[], None]) -> None:
        """Do something then."""
        self._calls.at(instant, act)

    def works(self, desk: Desk) -> bool:
        """Whether this person sits at the desk now, and the machine answers."""
        now = self._calls.instant()
        return self._calls.reachable_from() <= now and self.at_work(desk, now)

    def beside(self, desk: Desk) -> int:
        """Somebody of the same team."""
        team = [one for one in self._desks if one.colleague.team == desk.colleague.team and one is not desk]
        return desk.random.choice(team or [desk]).person_id

    def whoever_works(self, first_id: int) -> Desk | None:
        """This person, or a colleague of theirs who is there; None where nobody is."""
        first = next(desk for desk in self._desks if desk.person_id == first_id)
        team = [one for one in self._desks if one.colleague.team == first.colleague.team]
        return next((desk for desk in (first, *team) if self.works(desk)), None)

    def at_work(self, desk: Desk, at: datetime) -> bool:
        """Whether this person sits at the desk: own hours, no holiday, not away."""
        away = any(start <= at and (end is None or at < end) for start, end in desk.away)
        return not away and desk.colleague.at_work(at)

    def _turn(self, desk: Desk) -> None:
        now = self._calls.instant()
        if self._calls.reachable_from() <= now and self.at_work(desk, now):
            self._one_case(desk, now)
        least, most = PACE.get(desk.colleague.habit, PACE[Habit.PROMPT])
        then = now + timedelta(minutes=desk.random.randint(least, most))
        self._calls.at(self._next_minute(desk, then), lambda: self._turn(desk))

    def _next_minute(self, desk: Desk, at: datetime) -> datetime:
        """``at``, or the first quarter of an hour after it at which this person works; on the half minute, so that what
        came in with the minute has left before somebody acts on it."""
        if self.at_work(desk, at):
            return at.replace(second=30, microsecond=0)
        at = at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)
        for _ in range(4 * 24 * 60):
            at += timedelta(minutes=15)
            if self.at_work(desk, at):
                break
        return at + timedelta(minutes=desk.random.randint(0, 7), seconds=30)

    def _one_case(self, desk: Desk, now: datetime) -> None:
        try:
            with db.reading() as session:
                listed, agreed = self._list(session, desk, now)
        except SQLAlchemyError:
            return  # the page says that the database is away; the next look is a quarter of an hour later
        self.call_list.note(desk, agreed)
        if desk.noted_calls and desk.random.random() < OLD_SLIP:
            case_id, reference, version = desk.noted_calls.pop(0)
            self.do(desk, case_id, reference, lambda deeds: deeds.dial(version))
            return
        calls = [(one.id, one.reference, one.version) for one in listed if one.medium == Medium.CALL]
        desk.noted_calls = [*desk.noted_calls, *calls[-1:]][-5:]
        item = next((one for one in listed if self._takes_up(desk, one, now)), None)
        if item is not None:
            self._handle(desk, item.id, item.reference, item.promise_id)

    def _list(self, session: Session, desk: Desk, now: datetime) -> tuple[Sequence[Item], Sequence[Noted]]:
        """What the worklist shows as mine: cases whose step is mine or whose person I act for, by date; and what is new
        on the list of calls."""
        directory = directories.load(session, now=now)
        mine = self._acting(directory, now).get(desk.person_id, set())
        owners = {person_id for person_id, _ in mine}
        rows = session.execute(_LIST, {"owners": sorted(owners)}).all()
        listed = [row for row in rows if (row.person_id, row.topic_id) in mine]
        return listed, self.call_list.look(session, desk, mine)

    def _acting(self, directory: Directory, now: datetime) -> dict[int, set[tuple[int, int]]]:
        """Who acts for whom in which topic, worked out once an hour and whenever the directory changes."""
        hour = int(now.timestamp()) // 3600
        if self._acts_for is None or self._acts_for[0] is not directory or self._acts_for[1] != hour:
            acts: dict[int, set[tuple[int, int]]] = {}
            for person_id in directory.people:
                for topic_id in directory.topics:
                    acting = directory.acting(person_id, now, topic_id=topic_id).person_id
                    acts.setdefault(acting, set()).add((person_id, topic_id))
            self._acts_for = (directory, hour, acts)
        return self._acts_for[2]

    def _takes_up(self, desk: Desk, item: Item, now: datetime) -> bool:
        """Whether this person does something about a row now."""
        left = item.due_at - now
        if item.reference in desk.urgent:
            return True
        if item.kind == PromiseKind.FOLLOW_UP and left > (NEXT_DAY if now.weekday() < 4 else OVER_THE_WEEKEND):
            return False  # asked for later, and not before
        if desk.put_off.get(item.promise_id, now) > now:
            return False
        habit, first = desk.colleague.habit, item.promise_id not in desk.seen
        desk.seen.add(item.promise_id)
        if first and habit is Habit.FORGETFUL and desk.random.random() < 0.2:
            desk.put_off[item.promise_id] = now + timedelta(hours=desk.random.choice((20, 30, 50)))
            return False
        if first and habit is Habit.PROMISES_TOO_MUCH and desk.random.random() < 0.2:
            desk.put_off[item.promise_id] = item.due_at - timedelta(minutes=desk.random.choice((20, 40, 180)))
            return desk.put_off[item.promise_id] <= now
        if habit is Habit.LATE and left > NEAR:
            return desk.random.random() < 0.25
        return True

    def _handle(self, desk: Desk, case_id: int, reference: str, promise_id: int) -> None:
        done = self.do(desk, case_id, reference, lambda deeds: deeds.answer(promise_id))
        desk.urgent.discard(reference)
        if done is None or not done.ok or done.why is not None:
            # Refused, or done without a trace: nobody tries the same again at once.
            desk.put_off[promise_id] = self._calls.instant() + timedelta(hours=3)
        elif done.then_close:
            then = self._calls.instant() + timedelta(minutes=desk.random.randint(2, 9))
            self._calls.at(then, lambda: self._close(desk, case_id, reference))

    def _plan_ahead(self, desk: Desk, reference: str) -> None:
        now = self._calls.instant()
        if self._calls.reachable_from() > now or not self.at_work(desk, now):
            return
        with db.reading() as session:
            case_id = session.scalars(select(Case.id).where(Case.reference == reference)).one()
        self.do(desk, case_id, reference, lambda deeds: deeds.plan())

    def _close(self, desk: Desk, case_id: int, reference: str) -> None:
        if self._calls.reachable_from() <= self._calls.instant():
            self.do(desk, case_id, reference, lambda deeds: deeds.close())

    def do(self, desk: Desk, case_id: int, reference: str, deed: Callable[[Meetings], Done]) -> Done | None:
        """Do it in one writing transaction, and say in the plan what came of it."""
        now = self._calls.instant()
        deeds, number = None, 0
        try:
            with db.writing() as session:
                number = self._case_number(session, reference)
                deeds = Meetings(session, session.get_one(Case, case_id), desk.person_id, desk.colleague.habit,
                              desk.random, now)  # fmt: skip
                done = deed(deeds)
        except (Refused, SQLAlchemyError) as refused:
            done = Done("note", ok=False, why=type(refused).__name__)
            if deeds is not None:
                done = replace(done, act=deeds.trying, slot=deeds.slot)
        if deeds is None or done.act == "nothing":
            return None
        for act in (*deeds.before, done) if done.ok else (done,):
            slot = {} if act.slot is None else {"slot": moment(act.slot)}
            self._evidence.act(now, "staff", case=number, by=desk.colleague.name, act=act.act, reached=act.reached,
                               keeps=act.keeps, ok=act.ok, why=act.why, reference=reference,
                               allowed=act.allowed, **slot)  # fmt: skip
        return done
