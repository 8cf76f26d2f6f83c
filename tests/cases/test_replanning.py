"""New holidays, hours and levels: what was promised stands where it can be kept, and moves in time where it cannot."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from portal import clock
from portal.cases import delaying, planning, promising, reminding, replanning
from portal.cases import directory as directories
from portal.cases.models import Case
from portal.cases.promising import NewPromise
from portal.mail.letters import LetterKind
from portal.people.models import Closure, ClosureKind, Hours, Team
from portal.promises.models import Promise, PromiseKind, PromiseState, Replanning, ServiceLevel
from tests.support.cast import TUESDAY, away, berlin, deliver, letters, open_case, open_promises, read, step
from worker.replanning import Replan

TEN = berlin("2026-11-24 10:00")
DUE = berlin("2026-11-25 16:30")
NIGHT, MORNING = berlin("2026-11-24 22:00"), berlin("2026-11-25 07:00")
FRIDAY = date(2026, 11, 27)


@pytest.fixture
def case(session: Session) -> Iterator[Case]:
    """An offer promised for Wednesday, 16:30; its notice would go out at 15:30."""
    case = open_case(session)
    deliver(session)
    yield case


def test_a_date_on_which_nobody_works_any_more_moves_and_the_customer_hears_it_at_once(
    session: Session, case: Case
) -> None:
    close(session, date(2026, 11, 25))

    assert replan(session) == 1
    delaying.give_notice(session, case, now=TEN)
    step(session)

    (promise,) = open_promises(session, case)
    mail = read(letters(session, case, LetterKind.DELAY_NOTICE)[0])
    assert promise.due_at == berlin("2026-11-26 09:00")
    assert "Mittwoch, 25. November, 16:30 Uhr" in mail.text and "Donnerstag, 26. November" in mail.text
    assert case.notices == 0


def test_the_letter_of_a_moved_date_is_the_one_of_its_day(session: Session, case: Case) -> None:
    """It counts as no delay, but the customer gets no second letter by itself on that day."""
    close(session, date(2026, 11, 25))
    replan(session)
    delaying.give_notice(session, case, now=TEN)
    step(session)

    (promise,) = open_promises(session, case)
    assert (case.notices, case.noticed_at) == (0, TEN)
    assert promise.notice_at > berlin("2026-11-25 00:00")


def test_outside_the_sending_hours_it_waits_for_the_next_and_the_page_says_what_the_letters_said(
    session: Session, case: Case
) -> None:
    close(session, date(2026, 11, 25))
    night = berlin("2026-11-24 22:00")

    replan(session, at=night)

    (promise,) = open_promises(session, case)
    assert (promise.due_at, promise.moves_to) == (DUE, berlin("2026-11-26 08:30"))
    assert night <= promise.notice_at < promise.due_at


def test_a_holiday_in_between_leaves_the_promised_date(session: Session) -> None:
    case = open_case(session, at=berlin("2026-11-24 16:00"))
    deliver(session)
    (promise,) = open_promises(session, case)
    due_at = promise.due_at
    close(session, date(2026, 11, 25))

    replan(session, at=berlin("2026-11-24 16:30"))

    assert open_promises(session, case)[0].due_at == due_at
    assert open_promises(session, case)[0].moves_to is None


def test_a_notice_that_would_fall_on_a_closed_day_comes_earlier(session: Session, case: Case) -> None:
    """The date lies right after the closed day: notice is given on the last day before it."""
    early = NewPromise(promise_kind(case), open_promises(session, case)[0].medium, berlin("2026-11-27 08:30"))
    promising.promise_date(session, case, by_id=case.owner_id or 0, step=early, now=TEN)
    step(session)
    close(session, date(2026, 11, 26))

    replan(session)

    (promise,) = open_promises(session, case)
    assert promise.notice_at < berlin("2026-11-26 00:00")
    assert promise.due_at == berlin("2026-11-27 08:30")


def test_a_level_that_asks_for_more_notice_brings_the_notice_forward_and_tells_nobody(
    session: Session, case: Case
) -> None:
    before = len(letters(session, case))
    for level in session.scalars(select(ServiceLevel)):
        level.notice_min = 200
    step(session)

    assert replan(session) == 1

    (promise,) = open_promises(session, case)
    assert (promise.due_at, promise.notice_at) == (DUE, berlin("2026-11-25 13:10"))
    assert len(letters(session, case)) == before


def test_a_level_whose_notice_would_have_been_due_by_now_tells_nobody_of_a_delay(session: Session, case: Case) -> None:
    """Five hours are left, and nobody has been reminded of it."""
    (before,) = open_promises(session, case)
    instants = before.remind_at, before.notice_at
    for level in session.scalars(select(ServiceLevel)):
        level.notice_min, level.remind_min = 400, 460
        level.answer_min = max(level.answer_min, 480)
    step(session)

    assert replan(session, at=berlin("2026-11-25 11:00")) == 0

    (promise,) = open_promises(session, case)
    assert (promise.remind_at, promise.notice_at) == instants


def test_shorter_hours_move_a_date_that_lies_after_them(session: Session, case: Case) -> None:
    team = session.scalars(select(Team).where(Team.name == "Vertrieb Süd")).one()
    for hours in session.scalars(select(Hours).where(Hours.team_id == team.id)):
        hours.until_minute = 14 * 60
    step(session)

    replan(session)

    assert open_promises(session, case)[0].moves_to == berlin("2026-11-26 08:00")


def test_an_earlier_date_is_never_made_of_it(session: Session, case: Case) -> None:
    for level in session.scalars(select(ServiceLevel)):
        level.answer_min, level.notice_min = 120, 30
    step(session)

    replan(session)

    assert open_promises(session, case)[0].due_at == DUE


def test_what_a_person_planned_stays_planned(session: Session, case: Case) -> None:
    (promise,) = open_promises(session, case)
    to = berlin("2026-11-27 12:00")
    planning.plan_move(session, case, promise_id=promise.id, by_id=case.owner_id or 0, to=to, reason="R.", now=TEN)
    step(session)
    close(session, date(2026, 12, 24))

    replan(session)

    (promise,) = open_promises(session, case)
    assert (promise.moves_to, promise.reason) == (to, "R.")
    assert promise.notice_at == berlin("2026-11-24 10:15")


def test_a_closure_that_is_taken_back_moves_nothing(session: Session, case: Case) -> None:
    promise = due_on_friday(session, case)
    before = (promise.due_at, promise.remind_at, promise.notice_at)
    close(session, FRIDAY)
    assert replan(session, at=NIGHT) == 1
    assert (promise.moves_to, promise.notice_at) == (berlin("2026-11-30 08:00"), MORNING)

    session.execute(delete(Closure))

    assert replan(session, at=NIGHT + timedelta(minutes=5)) == 1
    assert (promise.due_at, promise.remind_at, promise.notice_at) == before
    assert (promise.moves_to, promise.planned_by_id) == (None, None)


def test_a_closure_that_becomes_shorter_moves_the_date_less_far(session: Session, case: Case) -> None:
    promise = due_on_friday(session, case)
    for day in (FRIDAY, date(2026, 11, 30)):
        close(session, day)
    replan(session, at=NIGHT)
    assert promise.moves_to == berlin("2026-12-01 08:00")

    session.execute(delete(Closure).where(Closure.first_on > FRIDAY))
    replan(session, at=NIGHT + timedelta(minutes=5))

    assert promise.moves_to == berlin("2026-11-30 08:00")


def test_what_a_person_planned_outlasts_a_closure_and_its_end(session: Session, case: Case) -> None:
    promise, to = due_on_friday(session, case), berlin("2026-12-02 12:00")
    planning.plan_move(session, case, promise_id=promise.id, by_id=case.owner_id or 0, to=to, reason="R.", now=NIGHT)
    close(session, FRIDAY)
    replan(session, at=NIGHT + timedelta(minutes=5))

    session.execute(delete(Closure))
    replan(session, at=NIGHT + timedelta(minutes=10))

    assert (promise.moves_to, promise.moves_by_hand, promise.notice_at) == (to, True, MORNING)


@pytest.mark.parametrize("remind_min", [240, 2000])
def test_whoever_is_to_be_reminded_next_stays_so(
    session: Session, case: Case, people: dict[str, int], remind_min: int
) -> None:
    """Somebody has been reminded already; another person acts from the afternoon on."""
    (promise,) = open_promises(session, case)
    assert promise.remind_at is not None
    at, starts = promise.remind_at, promise.remind_at + timedelta(hours=1)
    away(session, people["Miriam Albrecht"], since=starts, deputy_id=people["Jonas Weidner"])
    reminding.remind(session, case, now=at)
    for level in session.scalars(select(ServiceLevel)):
        level.remind_min = remind_min
    step(session)
    version = session.get_one(Case, case.id).version

    assert replan(session, at=at + timedelta(minutes=1)) == 0
    replanning.replan(session, session.get_one(Case, case.id), now=at + timedelta(minutes=1))
    step(session)

    (promise,) = open_promises(session, case)
    assert (promise.remind_at, promise.reminded_at) == (starts, None)
    assert session.get_one(Case, case.id).version == version


def test_a_second_look_finds_nothing_to_do(session: Session, case: Case) -> None:
    close(session, date(2026, 11, 25))

    assert replan(session) == 1
    assert replan(session) == 0


def test_absences_plan_nothing_anew(session: Session, case: Case, people: dict[str, int]) -> None:
    before = replanning.mark(directories.load(session, now=TEN))

    away(session, people["Miriam Albrecht"], since=TUESDAY)
    step(session)

    assert replanning.mark(directories.load(session, now=TEN)) == before


def test_a_batch_ends_where_it_ends_and_the_next_begins_there(
    session: Session, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [open_case(session, email=f"{number}@haustechnik.example") for number in range(4)]
    monkeypatch.setattr(replanning, "BATCH", 2)
    close(session, date(2026, 11, 25))

    assert replan(session) == 5

    moved = session.scalars(select(Promise).where(Promise.moves_to.is_not(None))).all()
    assert {promise.case_id for promise in moved} == {case.id, *(other.id for other in others)}
    assert session.get_one(Replanning, 1).after_id is None


def close(session: Session, day: date) -> None:
    """The firm closes on a day."""
    session.add(Closure(first_on=day, last_on=day, kind=ClosureKind.CLOSED))
    step(session)


def replan(session: Session, *, at: datetime = TEN) -> int:
    """What the worker does until all is done; how many cases were planned anew."""
    step(session)
    look, count = Replan(), 0
    with clock.drive(lambda: at):
        while did := look():
            count += max(did, 0)
    session.expire_all()
    return count


def due_on_friday(session: Session, case: Case) -> Promise:
    """The reply, promised for Friday noon and told."""
    friday = NewPromise(promise_kind(case), open_promises(session, case)[0].medium, berlin("2026-11-27 12:00"))
    promising.promise_date(session, case, by_id=case.owner_id or 0, step=friday, now=TEN)
    step(session)
    deliver(session)
    (promise,) = open_promises(session, case)
    return promise


def promise_kind(case: Case) -> PromiseKind:
    assert case.promise is not None and case.promise.state == PromiseState.OPEN
    return case.promise.kind
