"""The same company life with a fault planted in the program: simulation and judge must both see it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import clock, db
from portal.app import create_app
from portal.appointments.models import IS_BOOKED, Appointment
from portal.cases import (
    agreeing,
    calling,
    closing,
    delaying,
    offering,
    passing,
    reminding,
    replacing,
    scheduling,
    settling,
    writing,
)
from portal.cases.delaying import Notice
from portal.cases.directory import Directory
from portal.cases.models import Case
from portal.mail import outbox
from portal.people.presence import Acting
from portal.promises import service
from portal.promises.models import Promise
from portal.simulation import call_list, customers, life, plan
from portal.simulation.company import House, local_instant
from portal.simulation.figures import ZERO
from portal.simulation.life import Wanted
from portal.simulation.staff import Staff
from tests.judge import judge
from tests.judge.test_judge import FIGURES, TARGETS
from worker import delivery, promises
from worker.delivery import Delivery

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

Patch = pytest.MonkeyPatch


def notices_after_the_date(patch: Patch) -> None:
    """The step that gives notice lives two hours behind, twice the time of the notice before the date."""
    real = promises.give_notice

    def late() -> Callable[[], int]:
        step = real()

        def two_hours_late() -> int:
            then = clock.utc_now() - timedelta(hours=2)
            with clock.drive(lambda: then):
                return step()

        return two_hours_late

    patch.setattr(promises, "give_notice", late)


def reminders_to_whoever_is_named(patch: Patch) -> None:
    def remind(
        session: Session, directory: Directory, case: Case, promise: Promise, acting: Acting, *, now: datetime
    ) -> None:
        real(session, directory, case, promise, Acting(promise.person_id, None, False), now=now)

    real = reminding._remind
    patch.setattr(reminding, "_remind", remind)


def a_guard_a_day_that_swallows(patch: Patch) -> None:
    real = delaying.give_notice

    def once_a_day(session: Session, case: Case, *, now: datetime) -> None:
        if case.noticed_at is not None and (now - case.noticed_at).total_seconds() < 86_400:
            for promise in case_promises(session, case):  # the row says it is done, and nobody was told
                promise.notice_at = promise.due_at.replace(microsecond=0) - (promise.due_at - promise.notice_at) / 1000
            return
        real(session, case, now=now)

    def case_promises(session: Session, case: Case) -> list[Promise]:
        return [one for one in service.open_of(session, case.id) if one.notice_at <= one.due_at]

    patch.setattr(scheduling, "quiet_until", lambda *_, **__: None)
    patch.setattr(delaying, "give_notice", once_a_day)


def letters_marked_before_they_are_sent(patch: Patch) -> None:
    real = Delivery._send

    def send(self: Delivery, claimed: outbox.Claimed) -> bool:
        delivery._note(claimed, True)
        return real(self, claimed)

    patch.setattr(Delivery, "_send", send)


def a_close_that_forgets_an_open_step(patch: Patch) -> None:
    patch.setattr(closing, "end_steps", lambda *_, **__: None)
    # The step that was forgotten stands in the way when the case is opened again.
    soon = (0.2, 2.0)
    reactions = {"confirmation": (("close", 1.0, soon),), "closed": (("reopen", 1.0, soon),)}
    patch.setattr(customers, "REACTIONS", reactions)


def a_third_notice_that_nobody_follows_up(patch: Patch) -> None:
    real = delaying._tell_customer

    def tell(session: Session, directory: Directory, case: Case, notice: Notice, *, now: datetime) -> None:
        second = replace(notice, number=min(notice.number, delaying.NAMES_THE_LEAD))
        real(session, directory, case, second, now=now)

    patch.setattr(delaying, "_tell_customer", tell)
    patch.setattr(delaying, "follows_up", lambda directory, case, number, now: case.owner_id)


def agreed_by_everybody(patch: Patch) -> None:
    """Everybody chooses a time on the form."""
    patch.setattr(plan, "CHOOSES", 1.0)


def a_list_that_keeps_the_old_time(patch: Patch) -> None:
    """Numbers are given out without a look at what the list was when it was printed, and everybody goes by paper."""
    agreed_by_everybody(patch)
    real = settling.hold_open

    def any_version(session: Session, case: Case, *, version: int | None = None) -> None:
        real(session, case)

    patch.setattr("portal.cases.calling.hold_open", any_version)
    patch.setattr(calling, "_refusal", lambda *_, **__: None)
    patch.setattr(call_list, "PAPER", 1.0)
    patch.setattr(call_list, "AHEAD", timedelta(days=10))
    patch.setattr(customers, "REACTIONS", {"agreed": (("move", 0.8, (0.1, 8.0)),)})


def nobody_says_that_we_are_late(patch: Patch) -> None:
    """Nobody thinks of an agreed call, and the step that tells the customer notes that it did."""
    agreed_by_everybody(patch)

    def tell(session: Session, case: Case, *, now: datetime) -> None:
        booked = settling.booked_of(session, case)
        if booked is not None:
            booked.late_told_at = now

    patch.setattr(passing, "tell_late", tell)
    patch.setattr(call_list, "FORGOTTEN", 1.0)


def a_reminder_that_a_move_leaves_in_the_outbox(patch: Patch) -> None:
    """No mail leaves in the morning, and many move in that hour what they were to be reminded of."""
    agreed_by_everybody(patch)
    patch.setattr(outbox, "take_back_appointment", lambda *_, **__: None)
    patch.setattr(customers, "REACTIONS", {})
    befall = life.Life._befall

    def every_morning(self: life.Life) -> None:
        days = [self.plan.first + timedelta(days=day) for day in range(self.plan.days)]
        hour = {day: [local_instant(day, minute, "Europe/Berlin") for minute in (420, 600, 630)] for day in days}
        down = tuple(plan.Span(since, until) for since, _, until in hour.values())
        self.plan = replace(self.plan, smtp_down=down)
        self._driver._plan = self.plan
        befall(self)
        for _, at, _ in hour.values():
            self._driver.at(at, lambda: everybody_moves(self))

    def everybody_moves(self: life.Life) -> None:
        with db.reading() as session:
            query = select(Case.reference).join(Appointment, Appointment.case_id == Case.id).where(IS_BOOKED)
            found = session.scalars(query.order_by(Case.id)).all()
        for reference in found:
            self.customers.act_now(reference, "move")

    patch.setattr(life.Life, "_befall", every_morning)


def an_absence_that_replaces_nobody(patch: Patch) -> None:
    """Whoever keeps a time keeps it, there or not; and letters name them."""
    agreed_by_everybody(patch)
    patch.setattr(replacing, "replace", lambda *_, **__: None)
    patch.setattr(offering, "keeper_is_away", lambda *_, **__: False)
    patch.setattr(writing, "keeper", lambda directory, _, appointment: directory.people[appointment.person_id])
    away = plan._absences

    def half_of_them_are_away_a_day(house: House, random: Random, first: date, days: int) -> Iterator[plan.Away]:
        yield from away(house, random, first, days)
        for person in house.people[:-1:2]:
            since, until = (local_instant(first + timedelta(days=day), 0, person.tz) for day in (2, 3))
            known = local_instant(first + timedelta(days=1), 9 * 60 + 5, person.tz)
            yield plan.Away(person.name, known, since, until, entered=True)

    patch.setattr(plan, "_absences", half_of_them_are_away_a_day)


def a_move_that_nobody_hears_of(patch: Patch) -> None:
    agreed_by_everybody(patch)
    patch.setattr(agreeing, "_tell_move", lambda *_, **__: None)
    patch.setattr(customers, "REACTIONS", {"agreed": (("move", 0.5, (0.1, 2.0)),)})


PLANTED: dict[str, tuple[Callable[[Patch], None], str, Wanted]] = {
    "a notice after the date": (
        notices_after_the_date,
        "promises_lapsed_in_silence",
        Wanted(days=3, cases=20, faults=False),
    ),
    "a reminder to somebody who is away": (
        reminders_to_whoever_is_named,
        "letters_to_an_absent_colleague",
        Wanted(days=4, cases=40),
    ),
    "a guard a day that swallows a promise": (
        a_guard_a_day_that_swallows,
        "promises_lapsed_in_silence",
        Wanted(days=4, cases=30, faults=False),
    ),
    "marked before it is sent": (letters_marked_before_they_are_sent, "letters_lost", Wanted(days=4, cases=40)),
    "a close that forgets an open step": (
        a_close_that_forgets_an_open_step,
        "acts_refused_by_a_fault",
        Wanted(days=3, cases=20, faults=False),
    ),
    "a third notice that nobody follows up": (
        a_third_notice_that_nobody_follows_up,
        "ladders_without_a_lead",
        Wanted(days=9, cases=12, faults=False),
    ),
}
PLANTED_IN_TIMES: dict[str, tuple[Callable[[Patch], None], str, Wanted]] = {
    "a list that keeps the old time": (
        a_list_that_keeps_the_old_time,
        "calls_at_an_old_time",
        Wanted(days=3, cases=25, faults=False),
    ),
    "nobody says that we are late": (
        nobody_says_that_we_are_late,
        "appointments_missed_in_silence",
        Wanted(days=2, cases=20, faults=False),
    ),
    "a reminder that a move leaves in the outbox": (
        a_reminder_that_a_move_leaves_in_the_outbox,
        "reminders_naming_an_old_time",
        Wanted(days=4, cases=50, faults=False),
    ),
    "an absence that replaces nobody": (
        an_absence_that_replaces_nobody,
        "letters_naming_an_absent_person",
        Wanted(days=3, cases=50, faults=False),
    ),
    "a move that nobody hears of": (
        a_move_that_nobody_hears_of,
        "appointments_changed_without_a_letter",
        Wanted(days=3, cases=20, faults=False),
    ),
}
LONG = {
    "a reminder to somebody who is away",
    "marked before it is sent",
    "a third notice that nobody follows up",
    "a reminder that a move leaves in the outbox",
    "an absence that replaces nobody",
}
"""Left to `make nightly`."""
BLAMELESS = Wanted(days=9, cases=20, faults=False)


def each(planted: dict[str, tuple[Callable[[Patch], None], str, Wanted]]) -> Any:
    """A test's parameters."""
    return pytest.mark.parametrize(
        ("plant", "figure", "wanted"),
        [
            pytest.param(*one, id=name, marks=[pytest.mark.nightly] if name in LONG else [])
            for name, one in planted.items()
        ],
    )


@each(PLANTED_IN_TIMES)
def test_a_fault_planted_in_agreed_times_is_seen(
    plant: Callable[[Patch], None], figure: str, wanted: Wanted, monkeypatch: Patch, tmp_path: Path
) -> None:
    nobody_answers(monkeypatch)
    plant(monkeypatch)

    told, judged = live(wanted, tmp_path)

    assert told[figure] > 0
    assert judged[figure] > 0
    assert judged == alike(told)


@each(PLANTED)
def test_a_planted_fault_is_seen(
    plant: Callable[[Patch], None], figure: str, wanted: Wanted, monkeypatch: Patch, tmp_path: Path
) -> None:
    nobody_answers(monkeypatch)
    plant(monkeypatch)

    told, judged = live(wanted, tmp_path)

    assert told[figure] > 0
    assert judged[figure] > 0
    assert judged == alike(told)


@pytest.mark.nightly
def test_an_office_in_which_nobody_answers_leaves_nobody_in_the_dark(monkeypatch: Patch, tmp_path: Path) -> None:
    """The ladder alone, without anybody who helps it: the same life as above, with nothing planted."""
    nobody_answers(monkeypatch)

    told, judged = live(BLAMELESS, tmp_path)

    assert {name: told[name] for name in ZERO if told[name]} == {}
    assert {name: judged[name] for name in TARGETS if judged[name]} == {}
    assert judged == alike(told)
    assert told["notices"] > 15


def alike(told: dict[str, float]) -> Any:
    """What both count, as close as whole seconds on pages allow."""
    return pytest.approx({name: told[name] for name in FIGURES}, abs=0.11)


def nobody_answers(patch: Patch) -> None:
    patch.setattr(Staff, "_takes_up", lambda *_: False)


def live(wanted: Wanted, folder: Path) -> tuple[dict[str, float], dict[str, float]]:
    """What the simulation says of such a life, and what the judge says."""
    evidence = folder / "evidence"
    asked = Wanted(days=wanted.days, seed=3, cases=wanted.cases, faults=wanted.faults, out=evidence)
    url = f"sqlite:///{folder / 'life.sqlite3'}"
    outcome = life.simulate(create_app, url, asked)
    return dict(outcome.figures), judge(evidence)
