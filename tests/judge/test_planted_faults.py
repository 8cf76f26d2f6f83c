"""The same company life with a fault planted in the program: simulation and judge must both see it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from portal import clock
from portal.app import create_app
from portal.cases import closing, delaying, reminding, scheduling
from portal.cases.delaying import Notice
from portal.cases.directory import Directory
from portal.cases.models import Case
from portal.mail import outbox
from portal.people.presence import Acting
from portal.promises import service
from portal.promises.models import Promise
from portal.simulation import customers, life
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
BLAMELESS = Wanted(days=9, cases=20, faults=False)


@pytest.mark.parametrize(("plant", "figure", "wanted"), PLANTED.values(), ids=PLANTED)
def test_a_planted_fault_is_seen(
    plant: Callable[[Patch], None], figure: str, wanted: Wanted, monkeypatch: Patch, tmp_path: Path
) -> None:
    nobody_answers(monkeypatch)
    plant(monkeypatch)

    told, judged = live(wanted, tmp_path)

    assert told[figure] > 0
    assert judged[figure] > 0
    assert judged == alike(told)


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
