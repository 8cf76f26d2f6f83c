"""Planning: who will not make a date says so in time; the customer gets that date, with that person's words."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.cases import absences, answering, closing, delaying, planning, promising, reminding, replanning
from portal.cases.errors import DateOutOfReach, NoRoom, NothingPlanned, NoticedToday, NotLater, NotOpen, StaleCase
from portal.cases.models import Case, Outcome
from portal.cases.promising import NewPromise
from portal.journal.models import Actor, Kind
from portal.mail.letters import LetterKind
from portal.people.models import Closure, ClosureKind
from portal.promises.models import Medium, Promise, PromiseKind, PromiseState, ServiceLevel
from tests.support.cast import (
    TUESDAY,
    all_promises,
    away,
    berlin,
    deliver,
    entries,
    kinds_of,
    letters,
    open_case,
    open_promises,
    promise_of,
    read,
    refused,
    step,
)

TEN = berlin("2026-11-25 10:00")
NOTICE = berlin("2026-11-25 15:30")
"""When the system would write of the reply that is promised for Wednesday, 16:30."""
FRIDAY = berlin("2026-11-27 11:00")
REASON = "Das Werk bestätigt die Lieferzeit erst am Freitag."
QUARTER = timedelta(minutes=15)
NIGHT = berlin("2026-11-24 22:00")


@pytest.fixture
def case(session: Session) -> Iterator[Case]:
    """An offer that Miriam Albrecht answers by Wednesday, 16:30; everything that was written has arrived."""
    case = open_case(session)
    deliver(session)
    yield case


# --- when the customer is told ---------------------------------------------------------------------------------------


def test_a_new_date_goes_out_a_quarter_of_an_hour_later(session: Session, case: Case) -> None:
    assert plan(session, case, to=FRIDAY) == TEN + QUARTER
    assert the_promise(session, case).notice_at == TEN + QUARTER


def test_a_date_without_room_by_the_time_the_customer_hears_of_it_is_refused(session: Session) -> None:
    for level in session.scalars(select(ServiceLevel)):
        level.notice_min = 10
    case = open_case(session)
    deliver(session)

    with refused(session, NoRoom):  # accepted at 16:08, told at 16:20: twenty minutes are no room
        plan(session, case, to=berlin("2026-11-25 16:40"), at=berlin("2026-11-25 16:08"))

    plan(session, case, to=berlin("2026-11-25 17:00"), at=berlin("2026-11-25 16:08"))


def test_or_with_the_notice_if_that_comes_first(session: Session, case: Case) -> None:
    assert plan(session, case, to=FRIDAY, at=NOTICE - timedelta(minutes=5)) == NOTICE


def test_inside_the_sending_hours_only(session: Session, case: Case) -> None:
    """At 18:50 there are ten minutes of them left: what is planned then goes out the next morning."""
    assert plan(session, case, to=FRIDAY, at=berlin("2026-11-24 18:50")) == berlin("2026-11-25 07:00")


def test_a_reason_alone_waits_for_the_notice(session: Session, case: Case) -> None:
    assert plan(session, case, to=None) == NOTICE
    assert (the_promise(session, case).moves_to, the_promise(session, case).reason) == (None, REASON)


def test_what_is_planned_changes_nothing_the_customer_sees_until_then(session: Session, case: Case) -> None:
    promise, told = the_promise(session, case), len(letters(session, case))
    due_at, journal = promise.due_at, len(entries(session, case))

    plan(session, case, to=FRIDAY)
    give_notice(session, case, at=TEN + QUARTER - timedelta(seconds=1))

    assert (promise.state, promise.due_at, case.promise_id) == (PromiseState.OPEN, due_at, promise.id)
    assert (len(letters(session, case)), len(entries(session, case))) == (told, journal)


def test_whoever_planned_needs_no_reminder(session: Session, case: Case) -> None:
    plan(session, case, to=FRIDAY)

    assert the_promise(session, case).reminded_at == TEN


# --- what the customer is told ---------------------------------------------------------------------------------------


def test_the_promise_moves_to_the_planned_date_with_the_persons_words(
    session: Session, case: Case, people: dict[str, int]
) -> None:
    plan(session, case, to=FRIDAY)

    give_notice(session, case, at=TEN + QUARTER)

    old, new = all_promises(session, case)
    (letter,) = letters(session, case, LetterKind.DELAY_NOTICE)
    mail = read(letter)
    assert (old.state, new.due_at, new.first_due_at) == (PromiseState.MOVED, FRIDAY, old.due_at)
    assert (new.given_by_id, new.moves_to, new.planned_at) == (people["Miriam Albrecht"], None, None)
    assert "Freitag, 27. November, 11 Uhr" in mail.text and f"Der Grund: {REASON}" in mail.text
    assert "Mittwoch, 25. November, 16:30 Uhr" in mail.text
    (moved,) = entries(session, case, Kind.PROMISE_MOVED)
    assert (moved.actor, moved.person_id) == (Actor.PERSON, people["Miriam Albrecht"])


def test_a_date_that_a_person_chose_in_time_is_no_notice(session: Session, case: Case) -> None:
    plan(session, case, to=FRIDAY)

    give_notice(session, case, at=TEN + QUARTER)

    assert (case.notices, case.noticed_at) == (0, None)
    assert entries(session, case, Kind.NOTICE) == []
    assert letters(session, case, LetterKind.STAFF_DELAYED) == []


def test_a_planned_date_without_a_reason_says_none(session: Session, case: Case) -> None:
    plan(session, case, to=FRIDAY, reason="")

    give_notice(session, case, at=TEN + QUARTER)

    mail = read(letters(session, case, LetterKind.DELAY_NOTICE)[0])
    assert "Der Grund" not in mail.text and "Freitag, 27. November, 11 Uhr" in mail.text


def test_a_reason_alone_goes_into_the_notice_which_sets_the_date_and_counts(session: Session, case: Case) -> None:
    plan(session, case, to=None)

    give_notice(session, case, at=NOTICE)

    assert open_promises(session, case)[0].due_at == berlin("2026-11-27 14:30")
    assert (case.notices, case.noticed_at) == (1, NOTICE)
    assert f"Der Grund: {REASON}" in read(letters(session, case, LetterKind.DELAY_NOTICE)[0]).text


def test_a_planned_promise_that_is_kept_before_is_not_moved(session: Session, case: Case) -> None:
    promise = the_promise(session, case)
    plan(session, case, to=FRIDAY)
    answering.reply(
        session,
        case,
        by_id=case.owner_id or 0,
        text="Hier ist das Angebot.",
        keeps={promise.id},
        step=NewPromise(PromiseKind.RESULT, Medium.MAIL, FRIDAY),
        now=TEN,
    )
    step(session)

    give_notice(session, case, at=TEN + QUARTER)

    assert promise.state == PromiseState.KEPT
    assert letters(session, case, LetterKind.DELAY_NOTICE) == []


def test_what_is_planned_goes_out_once(session: Session, case: Case) -> None:
    plan(session, case, to=FRIDAY)

    for minutes in (15, 16, 17):
        give_notice(session, case, at=TEN + timedelta(minutes=minutes))

    assert kinds_of(letters(session, case, LetterKind.DELAY_NOTICE)) == [LetterKind.DELAY_NOTICE]


# --- changing it, taking it back -------------------------------------------------------------------------------------


def test_planning_again_replaces_what_was_planned_and_gives_a_new_quarter(session: Session, case: Case) -> None:
    plan(session, case, to=FRIDAY)
    later = TEN + timedelta(minutes=10)

    assert plan(session, case, to=FRIDAY + timedelta(hours=1), reason="", at=later) == later + QUARTER

    promise = the_promise(session, case)
    assert (promise.moves_to, promise.reason) == (FRIDAY + timedelta(hours=1), None)


def test_a_date_that_is_changed_into_a_reason_waits_for_the_notice_again(session: Session, case: Case) -> None:
    plan(session, case, to=FRIDAY)

    assert plan(session, case, to=None) == NOTICE


def test_what_was_planned_can_be_taken_back(session: Session, case: Case) -> None:
    plan(session, case, to=FRIDAY)

    planning.forget_plan(session, case, promise_id=the_promise(session, case).id, now=TEN + timedelta(minutes=5))
    step(session)

    promise = the_promise(session, case)
    assert (promise.moves_to, promise.reason, promise.planned_by_id, promise.planned_at) == (None, None, None, None)
    assert promise.notice_at == NOTICE
    give_notice(session, case, at=TEN + QUARTER)
    assert letters(session, case, LetterKind.DELAY_NOTICE) == []


def test_taken_back_in_time_it_reminds_whoever_acts_as_if_nothing_had_been_planned(
    session: Session, case: Case
) -> None:
    promise = the_promise(session, case)
    assert promise.remind_at is not None
    at = promise.remind_at - timedelta(hours=1)
    plan(session, case, to=None, at=at)

    planning.forget_plan(session, case, promise_id=promise.id, now=at + timedelta(minutes=5))
    step(session)
    reminding.remind(session, case, now=promise.remind_at)
    step(session)

    assert len(letters(session, case, LetterKind.STAFF_REMINDER)) == 1


def test_taken_back_after_its_reminder_it_reminds_nobody_again(session: Session, case: Case) -> None:
    promise = the_promise(session, case)
    assert promise.remind_at is not None
    reminded_at = promise.remind_at + timedelta(minutes=1)
    reminding.remind(session, case, now=reminded_at)
    plan(session, case, to=None, at=reminded_at + QUARTER)

    planning.forget_plan(session, case, promise_id=promise.id, now=reminded_at + 2 * QUARTER)
    for _ in range(2):
        remind(session, case, at=reminded_at + 2 * QUARTER)

    assert reminded(session, case) == ["m.albrecht"]


@pytest.mark.parametrize("to", [None, FRIDAY])
def test_taken_back_it_reminds_whoever_acts_by_now(
    session: Session, case: Case, people: dict[str, int], to: datetime | None
) -> None:
    _, starts = reminded_before_an_absence(session, case, people)
    plan(session, case, to=to, at=starts - timedelta(minutes=5))

    planning.forget_plan(session, case, promise_id=the_promise(session, case).id, now=starts + timedelta(minutes=5))
    step(session)
    remind(session, case, at=starts + timedelta(minutes=6))

    assert reminded(session, case) == ["m.albrecht", "j.weidner"]


def test_a_reason_ends_no_reminder_of_whoever_acts_later(session: Session, case: Case, people: dict[str, int]) -> None:
    at, starts = reminded_before_an_absence(session, case, people)
    plan(session, case, to=FRIDAY, at=at + timedelta(minutes=1))
    plan(session, case, to=None, at=at + timedelta(minutes=5))
    step(session)

    remind(session, case, at=starts - timedelta(minutes=1))
    remind(session, case, at=starts)

    assert reminded(session, case) == ["m.albrecht", "j.weidner"]


def test_whoever_gives_a_reason_before_the_reminder_needs_none_and_whoever_acts_later_does(
    session: Session, case: Case, people: dict[str, int]
) -> None:
    promise = the_promise(session, case)
    assert promise.remind_at is not None
    at, starts = promise.remind_at, promise.remind_at + timedelta(hours=1)
    away(session, people["Miriam Albrecht"], since=starts, deputy_id=people["Jonas Weidner"])
    plan(session, case, to=None)
    step(session)

    for instant in (at, starts):
        remind(session, case, at=instant)

    assert reminded(session, case) == ["j.weidner"]


def test_whoever_falls_ill_after_giving_a_reason_is_stood_in_for_by_somebody_who_is_reminded(
    session: Session, case: Case, people: dict[str, int]
) -> None:
    promise = the_promise(session, case)
    assert promise.remind_at is not None
    at, ill = promise.remind_at, promise.remind_at + timedelta(minutes=30)
    remind(session, case, at=at)
    plan(session, case, to=None, at=at + timedelta(minutes=5))
    miriam, jonas = people["Miriam Albrecht"], people["Jonas Weidner"]
    absences.enter(session, person_id=miriam, starts_at=ill, ends_at=None, deputy_id=jonas, by_id=miriam, now=ill)
    step(session)

    remind(session, case, at=ill)

    assert reminded(session, case) == ["m.albrecht", "j.weidner"]


def test_a_date_that_a_calendar_sets_is_nobodys_to_take_back(session: Session, case: Case) -> None:
    promise = moved_by_a_calendar(session, case)
    before = (promise.moves_to, promise.notice_at)

    with refused(session, StaleCase):
        planning.forget_plan(session, case, promise_id=promise.id, now=NIGHT)

    assert (promise.moves_to, promise.notice_at) == before


def test_a_reason_goes_with_the_date_that_a_calendar_sets_and_can_be_taken_back(session: Session, case: Case) -> None:
    promise = moved_by_a_calendar(session, case)
    before = (promise.moves_to, promise.notice_at, promise.planned_by_id)

    plan(session, case, to=None, at=NIGHT)

    assert (promise.moves_to, promise.notice_at, promise.planned_by_id) == before
    assert promise.reason == REASON
    planning.forget_plan(session, case, promise_id=promise.id, now=NIGHT)
    assert (promise.moves_to, promise.notice_at, promise.planned_by_id) == before
    assert promise.reason is None


def test_a_date_taken_back_gives_way_to_the_one_that_a_calendar_sets(session: Session, case: Case) -> None:
    promise = moved_by_a_calendar(session, case)
    calendars = promise.moves_to
    plan(session, case, to=FRIDAY, at=NIGHT)
    assert promise.moves_by_hand

    planning.forget_plan(session, case, promise_id=promise.id, now=NIGHT + timedelta(minutes=5))

    assert (promise.moves_to, promise.moves_by_hand, promise.reason) == (calendars, False, None)
    assert promise.notice_at == berlin("2026-11-25 07:00")


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_plan_needs_a_date_or_a_reason(session: Session, case: Case) -> None:
    with refused(session, NothingPlanned):
        plan(session, case, to=None, reason="")


@pytest.mark.parametrize("to", ["2026-11-25 16:30", "2026-11-25 12:00"])
def test_a_date_that_is_not_later_is_refused(session: Session, case: Case, to: str) -> None:
    with refused(session, NotLater):
        plan(session, case, to=berlin(to))


@pytest.mark.parametrize("to", ["2026-11-28 11:00", "2026-11-27 22:00", "2030-11-25 11:00"])
def test_a_date_outside_the_teams_hours_or_far_away_is_refused(session: Session, case: Case, to: str) -> None:
    with refused(session, DateOutOfReach):
        plan(session, case, to=berlin(to))


def test_a_date_that_leaves_no_room_for_a_notice_is_refused(session: Session, case: Case) -> None:
    with refused(session, NoRoom):
        plan(session, case, to=berlin("2026-11-25 16:45"), at=berlin("2026-11-25 16:20"))


def test_on_the_day_of_a_notice_no_date_of_that_day_is_accepted(session: Session, case: Case) -> None:
    case.noticed_at = TEN - timedelta(hours=1)

    with refused(session, NoticedToday):
        plan(session, case, to=berlin("2026-11-25 17:00"))


def test_a_page_that_showed_an_older_state_is_refused(session: Session, case: Case) -> None:
    version = case.version
    plan(session, case, to=FRIDAY, version=version)

    with refused(session, StaleCase):
        plan(session, case, to=FRIDAY, version=version)
    with refused(session, StaleCase):
        planning.forget_plan(session, case, promise_id=the_promise(session, case).id, now=TEN, version=version)


def test_only_an_open_promise_of_the_case_that_does_not_wait_is_planned(session: Session, case: Case) -> None:
    other = open_case(session, "lieferung")
    foreign = the_promise(session, other).id
    answering.ask(session, case, by_id=case.owner_id or 0, text="Welche?", keeps=(), follow_up_at=FRIDAY, now=TUESDAY)
    step(session)

    for promise_id in (foreign, 0, promise_of(session, case, PromiseKind.FOLLOW_UP).id):
        with refused(session, NotOpen):
            plan(session, case, to=None, promise_id=promise_id)
        with refused(session, NotOpen):
            planning.forget_plan(session, case, promise_id=promise_id, now=TEN)


def test_nothing_is_planned_in_a_closed_case(session: Session, case: Case) -> None:
    promise_id = the_promise(session, case).id
    closing.close(session, case, by_id=case.owner_id, outcome=Outcome.DONE, text="", now=TUESDAY)
    step(session)

    with refused(session, NotOpen):
        plan(session, case, to=FRIDAY, promise_id=promise_id)


def plan(
    session: Session,
    case: Case,
    *,
    to: datetime | None,
    reason: str = REASON,
    at: datetime = TEN,
    promise_id: int | None = None,
    version: int | None = None,
) -> datetime:
    """The owner plans; returns when the customer is told."""
    assert case.owner_id is not None
    told = planning.plan_move(
        session,
        case,
        promise_id=the_promise(session, case).id if promise_id is None else promise_id,
        by_id=case.owner_id,
        to=to,
        reason=reason,
        version=version,
        now=at,
    )
    session.flush()
    return told


def reminded_before_an_absence(session: Session, case: Case, people: dict[str, int]) -> tuple[datetime, datetime]:
    """The owner has been reminded and is away an hour later; both instants."""
    promise = the_promise(session, case)
    assert promise.remind_at is not None
    at, starts = promise.remind_at, promise.remind_at + timedelta(hours=1)
    away(session, people["Miriam Albrecht"], since=starts, deputy_id=people["Jonas Weidner"])
    remind(session, case, at=at)
    return at, starts


def remind(session: Session, case: Case, *, at: datetime) -> None:
    """The worker's other step at this instant."""
    reminding.remind(session, case, now=at)
    step(session)


def reminded(session: Session, case: Case) -> list[str]:
    """Who has been, by their mailboxes."""
    return [letter.to_address.partition("@")[0] for letter in letters(session, case, LetterKind.STAFF_REMINDER)]


def moved_by_a_calendar(session: Session, case: Case) -> Promise:
    """The firm closes on Thursday, for which the reply is promised; at night nobody is told yet."""
    thursday = NewPromise(PromiseKind.REPLY, Medium.MAIL, berlin("2026-11-26 16:00"))
    promising.promise_date(session, case, by_id=case.owner_id or 0, step=thursday, now=TUESDAY)
    session.add(Closure(first_on=date(2026, 11, 26), last_on=date(2026, 11, 26), kind=ClosureKind.CLOSED))
    step(session)
    replanning.replan(session, case, now=NIGHT)
    step(session)
    promise = the_promise(session, case)
    assert promise.moves_to is not None and not promise.moves_by_hand
    return promise


def give_notice(session: Session, case: Case, *, at: datetime) -> None:
    """The worker's step at this instant."""
    delaying.give_notice(session, case, now=at)
    step(session)


def the_promise(session: Session, case: Case) -> Promise:
    """The case's next step."""
    return open_promises(session, case)[0]
