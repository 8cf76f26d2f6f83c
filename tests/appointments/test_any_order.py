"""Whatever happens to appointments, in whatever order: after each step every place says the same time, and law 1 holds.

Customers and colleagues book, move, call off, wish other times and settle them; colleagues are away and give times to
each other; calls are begun and their outcome said; cases are closed and opened again; time passes, and the worker does
what is due. What a rule refuses changes nothing.
"""

import os
import random
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from portal.appointments import service as appointments
from portal.appointments.models import Appointment, AppointmentState
from portal.cases import (
    absences,
    agreeing,
    answering,
    calling,
    closing,
    delaying,
    keeping,
    nearing,
    offering,
    on_hold,
    passing,
    replacing,
    steps,
    waiting,
)
from portal.cases import directory as directories
from portal.cases.contacts import Contact
from portal.cases.errors import Refused
from portal.cases.models import Case, CaseState, Outcome
from portal.cases.offering import Finder
from portal.cases.promising import NewPromise
from portal.mail.models import Letter, LetterState
from portal.people.models import Person
from portal.promises.models import Medium, PromiseKind
from tests.support import agreement
from tests.support.agreed import offer_calls
from tests.support.cast import TUESDAY, deliver, open_case, step

RUNS, LENGTH = 2, 25
NIGHTLY_RUNS, NIGHTLY_LENGTH = 60, 40
SEED = int(os.environ.get("ANY_ORDER_SEED", "1"))

Action = Callable[["World"], None]


class World:
    """Three cases of one team, its people, and a clock."""

    def __init__(self, session: Session, seed: int) -> None:
        self.session, self.random, self.now = session, random.Random(seed), TUESDAY  # nothing secret
        offer_calls(session)
        self.cases = [open_case(session, email=f"kunde.{number}@kunde.example") for number in range(3)]
        self.case = self.cases[0]
        self.people = [person.id for person in session.scalars(select(Person).where(Person.answers))]
        self.came_about: Counter[str] = Counter()

    @property
    def booked(self) -> Appointment:
        found = appointments.booked_of(self.session, self.case.id)
        if found is None:
            raise Refused
        return found

    def somebody(self) -> int:
        return self.random.choice(self.people)

    def a_time(self, *, by_colleague: bool = False) -> datetime:
        """One that is offered, as a rule; sometimes one that somebody else has, or nobody offers."""
        if self.random.random() < 0.2:
            rows = self.session.scalars(select(Appointment.starts_at)).all()
            return self.random.choice([*rows, self.now + timedelta(hours=self.random.randint(1, 99))])
        directory = directories.load(self.session, now=self.now)
        asked = offering.of_case(directory, self.case)
        finder = Finder(self.session, directory, asked, now=self.now, by_colleague=by_colleague)
        offered = [one.starts_at for _, times in zip(range(4), finder.days(), strict=False) for one in times[1]]
        if not offered:
            raise Refused
        return self.random.choice(offered)

    def step(self, name: str, action: Action) -> None:
        """One thing happens to one case, as a page or the worker would do it: all of it, or nothing."""
        self.case = self.random.choice(self.cases)
        try:
            with nullcontext() if action is time_passes else self.session.begin_nested():
                action(self)
        except Refused:
            self.came_about[f"{name} refused"] += 1
        else:
            self.came_about[name] += 1
        step(self.session)


def book(world: World) -> None:
    agreeing.book(world.session, world.case, starts_at=world.a_time(), by_id=None, now=world.now)


def book_for_them(world: World) -> None:
    starts_at, by_id = world.a_time(by_colleague=True), world.somebody()
    agreeing.book(world.session, world.case, starts_at=starts_at, by_id=by_id, medium=Medium.VISIT, now=world.now)


def move(world: World) -> None:
    booked = world.booked
    agreeing.move(
        world.session, world.case, starts_at=world.a_time(), version=booked.version, by_id=None, now=world.now
    )


def move_for_them(world: World) -> None:
    booked, by_id = world.booked, world.somebody()
    starts_at = world.a_time(by_colleague=True)
    agreeing.move(world.session, world.case, starts_at=starts_at, version=booked.version, by_id=by_id, now=world.now)


def stay(world: World) -> None:
    """The old time of one on hold."""
    booked = world.booked
    if booked.change_wished_at is None:
        raise Refused
    by_id = world.random.choice([None, world.somebody()])
    agreeing.move(
        world.session, world.case, starts_at=booked.starts_at, version=booked.version, by_id=by_id, now=world.now
    )


def move_by_an_old_page(world: World) -> None:
    booked = world.booked
    agreeing.move(
        world.session, world.case, starts_at=world.a_time(), version=booked.version - 1, by_id=None, now=world.now
    )
    assert booked.starts_at != world.now


def cancel(world: World) -> None:
    by_id = world.random.choice([None, world.somebody()])
    agreeing.cancel(world.session, world.case, version=world.booked.version, by_id=by_id, now=world.now)


def wish_another_time(world: World) -> None:
    contact = world.random.choice([Contact.CALL_IN, Contact.MAIL_IN, Contact.LETTER_IN])
    on_hold.wish(
        world.session,
        world.case,
        by_id=world.somebody(),
        contact=contact,
        text="Lieber später.",
        version=world.booked.version,
        now=world.now,
    )


def give(world: World) -> None:
    replacing.give(
        world.session,
        world.case,
        person_id=world.somebody(),
        version=world.booked.version,
        by_id=world.somebody(),
        now=world.now,
    )


def be_away(world: World) -> None:
    person_id = world.somebody()
    starts_at = world.now + timedelta(hours=world.random.choice([0, 3, 20, 30]))
    absences.enter(
        world.session,
        person_id=person_id,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(hours=world.random.choice([3, 10, 48])),
        deputy_id=None,
        by_id=person_id,
        now=world.now,
    )
    for case in world.cases:
        replacing.replace(world.session, case, now=world.now)


def start_call(world: World) -> None:
    keeper_id = world.booked.person_id
    calling.start_call(world.session, world.case, by_id=keeper_id, version=world.case.version, now=world.now)


def say_outcome(world: World) -> None:
    booked, outcome = world.booked, world.random.choice(list(keeping.AppointmentOutcome))
    due = world.now + timedelta(days=7)
    given = NewPromise(PromiseKind.RESULT, Medium.MAIL, due.replace(hour=9, minute=0, second=0, microsecond=0))
    keeping.say_outcome(
        world.session,
        world.case,
        by_id=booked.person_id,
        outcome=outcome,
        text="Besprochen.",
        keeps=[],
        step=given if outcome == keeping.AppointmentOutcome.ANSWERED and due.weekday() < 5 else None,
        visible=True,
        version=booked.version,
        now=world.now,
    )


def write(world: World) -> None:
    answering.customer_message(world.session, world.case, "Noch eine Frage.", now=world.now)


def ask(world: World) -> None:
    """A colleague waits for the customer's answer, beside whatever is agreed."""
    due = world.now + timedelta(days=4)
    answering.ask(
        world.session,
        world.case,
        by_id=world.case.owner_id or 0,
        text="Welche Pumpe?",
        keeps=[],
        follow_up_at=due.replace(hour=9, minute=0, second=0, microsecond=0),
        now=world.now,
    )


def close(world: World) -> None:
    by_id = world.random.choice([None, world.somebody()])
    closing.close(world.session, world.case, by_id=by_id, outcome=Outcome.DONE, text="", now=world.now)


def reopen(world: World) -> None:
    closing.reopen(world.session, world.case, by_id=None, text="", now=world.now)


def time_passes(world: World) -> None:
    """To the next thing that is due, or some hours; the worker does what is due then, and the relay takes letters."""
    edges = [world.now + timedelta(hours=world.random.choice([1, 5, 24]))]
    for booked in world.session.scalars(select(Appointment).where(Appointment.state == AppointmentState.BOOKED)):
        marks = (booked.starts_at, booked.starts_at + timedelta(minutes=16), booked.outcome_due_at)
        edges += [mark for mark in marks if mark > world.now]
    world.now = min(edges) if world.random.random() < 0.7 else edges[0]
    for case in world.cases:
        if case.state == CaseState.OPEN:
            for do in WORKER:
                do(world.session, case, now=world.now)
                step(world.session)
    if world.random.random() < 0.5:
        deliver(world.session, at=world.now)


WORKER = (
    on_hold.end,
    replacing.replace,
    nearing.remind_customer,
    passing.alarm,
    passing.tell_late,
    passing.outcome_due,
    passing.ask_again,
    delaying.give_notice,
    waiting.go_on,
)
ACTIONS: dict[str, tuple[Action, int]] = {
    "book": (book, 6),
    "book for them": (book_for_them, 2),
    "move": (move, 5),
    "move for them": (move_for_them, 3),
    "stay": (stay, 5),
    "move by an old page": (move_by_an_old_page, 1),
    "cancel": (cancel, 2),
    "wish another time": (wish_another_time, 4),
    "give": (give, 3),
    "be away": (be_away, 1),
    "start call": (start_call, 4),
    "say outcome": (say_outcome, 3),
    "write": (write, 1),
    "ask": (ask, 1),
    "close": (close, 1),
    "reopen": (reopen, 4),
    "time passes": (time_passes, 5),
}
NEVER_TAKEN = {"move by an old page"}


def run(session: Session, seed: int, length: int) -> Counter[str]:
    """One world's story; every place agrees after each step."""
    world = World(session, seed)
    names, weights = list(ACTIONS), [weight for _, weight in ACTIONS.values()]
    told = []
    for _ in range(length):
        (name,) = world.random.choices(names, weights)
        world.step(name, ACTIONS[name][0])
        told.append(f"{world.now:%d. %H:%M} {name}, {world.case.reference}")
        for case in world.cases:
            assert agreement.disagreements(session, case, now=world.now) == [], "\n".join(told)
            assert _is_in_order(session, case), "\n".join(told)
    return world.came_about


def _is_in_order(session: Session, case: Case) -> bool:
    """An open case points at the first of its steps; of one person two times never overlap (the schema refuses it)."""
    if case.state != CaseState.OPEN:
        return case.promise_id is None and case.appointment_id is None
    first = steps.open_of(session, case.id)[0]
    return first in (case.promise, case.appointment)


@pytest.mark.parametrize("number", range(RUNS))
def test_whatever_happens_every_place_says_the_same(session: Session, number: int) -> None:
    came_about = run(session, SEED * 1000 + number, LENGTH)

    assert len([name for name in ACTIONS if came_about[name]]) >= 3, came_about


@pytest.mark.nightly
@pytest.mark.timeout(3000)
def test_through_the_night_too_and_every_rule_comes_about(session: Session) -> None:
    came_about: Counter[str] = Counter()
    for number in range(NIGHTLY_RUNS):
        came_about += run(session, SEED * 100_000 + number, NIGHTLY_LENGTH)
        _clear(session)

    print(dict(came_about))
    assert {name for name in ACTIONS if not came_about[name]} == NEVER_TAKEN
    assert came_about["move by an old page refused"] > 0


def _clear(session: Session) -> None:
    """The next story begins with nothing agreed, and everybody there."""
    rows = select(Letter).where(Letter.state == LetterState.QUEUED)
    for letter in session.scalars(rows):
        letter.state, letter.ended_at = LetterState.SENT, TUESDAY
    for case in session.scalars(select(Case).where(Case.state == CaseState.OPEN)):
        closing.close(session, case, by_id=None, outcome=Outcome.DONE, text="", now=TUESDAY)
    session.execute(text("DELETE FROM absence"))
    step(session)
