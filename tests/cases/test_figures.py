"""The figures for leads: every promise counts once, in the week of its first date, whatever was done with it."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from portal import db
from portal.cases import answering, closing, contacts, figures, promising
from portal.cases.contacts import Contact
from portal.cases.figures import Fate, Figures, Report
from portal.cases.models import Case, Doubt, Outcome
from portal.cases.promising import NewPromise
from portal.journal import service as journal
from portal.journal.models import Actor, Channel, Kind
from portal.people.models import Hours
from portal.promises.models import Medium, Promise, PromiseKind, Waiting
from tests.bench import watching
from tests.support.cast import (
    TUESDAY,
    berlin,
    open_case,
    open_promises,
    planned_for_any_values,
    promise_of,
    statements,
    step,
    topic,
)

FRIDAY = berlin("2026-11-27 17:00")
"""When the figures are asked for. A case that came in on TUESDAY was promised an answer by Wednesday, 16:30."""
THIS_WEEK = date(2026, 11, 23)
LATER = berlin("2026-12-10 12:00")
"""A date that nobody judges yet."""


def of(session: Session, *, at: datetime = FRIDAY, weeks: int = 4, **filters: int) -> Report:
    step(session)
    return figures.report(session, weeks=weeks, now=at, **filters)


def answer(session: Session, case: Case, at: datetime) -> None:
    """A reply that keeps what was promised; what comes next lies far ahead."""
    answering.reply(
        session,
        case,
        by_id=case.owner_id or 0,
        text="Ja.",
        keeps={one.id for one in open_promises(session, case)},
        step=NewPromise(PromiseKind.RESULT, Medium.MAIL, LATER),
        now=at,
    )
    step(session)


def move(session: Session, case: Case, at: datetime, to: datetime) -> None:
    """Somebody promises another date for the reply."""
    promising.promise_date(
        session, case, by_id=case.owner_id or 0, step=NewPromise(PromiseKind.REPLY, Medium.MAIL, to), now=at
    )
    step(session)


def many(session: Session, count: int, **changes: Any) -> list[Case]:
    return [open_case(session, email=f"{number}@neu.example", **changes) for number in range(count)]


# --- promises --------------------------------------------------------------------------------------------------------


def kept_in_time(session: Session, case: Case) -> None:
    answer(session, case, berlin("2026-11-25 16:30"))


def moved_and_kept(session: Session, case: Case) -> None:
    move(session, case, berlin("2026-11-25 10:00"), berlin("2026-11-26 12:00"))
    answer(session, case, berlin("2026-11-26 12:00"))


def moved_and_kept_by_the_first_date(session: Session, case: Case) -> None:
    move(session, case, berlin("2026-11-25 10:00"), berlin("2026-11-26 12:00"))
    answer(session, case, berlin("2026-11-25 11:00"))


def forgotten(session: Session, case: Case) -> None:
    """Nobody does anything."""


def kept_too_late(session: Session, case: Case) -> None:
    answer(session, case, berlin("2026-11-25 16:31"))


def moved_too_late(session: Session, case: Case) -> None:
    move(session, case, berlin("2026-11-26 09:00"), berlin("2026-11-26 12:00"))
    answer(session, case, berlin("2026-11-26 11:00"))


def moved_and_forgotten(session: Session, case: Case) -> None:
    move(session, case, berlin("2026-11-25 10:00"), berlin("2026-11-26 12:00"))


def moved_twice(session: Session, case: Case) -> None:
    move(session, case, berlin("2026-11-25 10:00"), berlin("2026-11-26 12:00"))
    move(session, case, berlin("2026-11-26 10:00"), berlin("2026-11-30 12:00"))


def moved_and_closed(session: Session, case: Case) -> None:
    move(session, case, berlin("2026-11-25 10:00"), berlin("2026-11-26 12:00"))
    close(session, case, berlin("2026-11-25 11:00"))


def closed_before(session: Session, case: Case) -> None:
    close(session, case, berlin("2026-11-25 11:00"))


def closed_after(session: Session, case: Case) -> None:
    close(session, case, berlin("2026-11-25 16:31"))


def brought_forward(session: Session, case: Case) -> None:
    move(session, case, berlin("2026-11-24 09:30"), berlin("2026-11-25 12:00"))
    answer(session, case, berlin("2026-11-25 11:00"))


def brought_forward_and_kept_too_late(session: Session, case: Case) -> None:
    move(session, case, berlin("2026-11-24 09:30"), berlin("2026-11-25 12:00"))
    answer(session, case, berlin("2026-11-25 13:00"))


def close(session: Session, case: Case, at: datetime) -> None:
    closing.close(session, case, by_id=None, outcome=Outcome.DONE, text="", now=at)
    step(session)


@pytest.mark.parametrize(
    ("story", "fate", "moved"),
    [
        (kept_in_time, Fate.FIRST, 0),
        (moved_and_kept, Fate.LATER, 1),
        (moved_and_kept_by_the_first_date, Fate.FIRST, 1),
        (forgotten, Fate.LAPSED, 0),
        (kept_too_late, Fate.LAPSED, 0),
        (moved_too_late, Fate.LAPSED, 1),
        (moved_and_forgotten, Fate.LAPSED, 1),
        (moved_twice, Fate.RUNNING, 1),
        (moved_and_closed, Fate.RUNNING, 1),
        (closed_before, Fate.DROPPED, 0),
        (closed_after, Fate.LAPSED, 0),
        (brought_forward, Fate.FIRST, 0),
        (brought_forward_and_kept_too_late, Fate.LAPSED, 0),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_became_of_a_promise(
    session: Session, story: Callable[[Session, Case], None], fate: Fate, moved: int
) -> None:
    story(session, open_case(session))

    total = of(session).total

    assert total.fates == Counter({fate: 1})
    assert total.moved == moved
    assert total.promises == (0 if fate is Fate.DROPPED else 1)


def test_a_promise_counts_once_its_first_date_has_passed(session: Session) -> None:
    case = open_case(session)
    answer(session, case, berlin("2026-11-24 10:00"))
    due = berlin("2026-11-25 16:30")

    assert of(session, at=due).total.promises == 0
    assert of(session, at=due + timedelta(seconds=1)).total.promises == 1


def test_an_open_promise_lapses_after_its_date_and_not_with_it(session: Session) -> None:
    open_case(session)
    due = berlin("2026-11-25 16:30")

    assert of(session, at=due + timedelta(seconds=1)).total.fates == Counter({Fate.LAPSED: 1})


def test_a_moved_promise_stays_in_the_week_of_its_first_date(session: Session) -> None:
    case = open_case(session)
    move(session, case, berlin("2026-11-25 10:00"), berlin("2026-12-02 12:00"))
    answer(session, case, berlin("2026-12-02 11:00"))

    weeks = of(session, at=berlin("2026-12-04 17:00")).weeks

    assert {day: found.promises for day, found in weeks.items() if found.promises} == {THIS_WEEK: 1}


@pytest.mark.parametrize(
    ("first_date", "monday"),
    [
        (datetime(2026, 11, 22, 22, 59, tzinfo=UTC), date(2026, 11, 16)),
        (datetime(2026, 11, 22, 23, 0, tzinfo=UTC), date(2026, 11, 23)),
    ],
)
def test_a_week_begins_at_midnight_in_the_companys_place(session: Session, first_date: datetime, monday: date) -> None:
    case = open_case(session, at=berlin("2026-11-18 10:00"))
    dates = {"first_due_at": first_date, "due_at": first_date, "notice_at": first_date - timedelta(hours=1)}
    session.execute(update(Promise).where(Promise.case_id == case.id).values(dates))

    weeks = of(session).weeks

    assert [day for day, found in weeks.items() if found.promises] == [monday]


def test_every_week_is_there_the_present_one_last(session: Session) -> None:
    weeks = list(of(session, weeks=13).weeks)

    assert len(weeks) == 13
    assert weeks[-1] == THIS_WEEK
    assert {after - before for before, after in pairwise(weeks)} == {timedelta(weeks=1)}


def test_what_lies_before_the_weeks_is_there_to_compare(session: Session) -> None:
    open_case(session, at=berlin("2026-10-20 09:12"))
    open_case(session, at=berlin("2026-10-27 09:12"), email="1@neu.example")
    open_case(session, at=berlin("2026-09-22 09:12"), email="2@neu.example")

    found = of(session)

    assert (found.total.promises, found.before.promises) == (0, 2)
    assert (len(found.total.notices), len(found.before.notices)) == (0, 2)


def test_waiting_for_the_customer_is_no_promise_of_ours(session: Session) -> None:
    case = open_case(session)
    answering.ask(
        session,
        case,
        by_id=case.owner_id or 0,
        text="Welche Größe?",
        keeps={one.id for one in open_promises(session, case)},
        follow_up_at=berlin("2026-11-26 12:00"),
        now=berlin("2026-11-24 10:00"),
    )
    promise_of(session, case, PromiseKind.FOLLOW_UP).waiting = Waiting.ASKED

    assert of(session).total.fates == Counter({Fate.FIRST: 1})


def test_an_entry_in_doubt_counts_nowhere(session: Session) -> None:
    open_case(session, doubt=Doubt.TOO_FAST)

    assert of(session).total == Figures()


def test_shares_are_of_the_first_date_and_of_the_last(session: Session) -> None:
    stories = (kept_in_time, kept_in_time, moved_and_kept, forgotten, moved_twice, closed_before)
    for story, case in zip(stories, many(session, 6), strict=True):
        story(session, case)

    total = of(session).total

    assert (total.promises, total.kept_first, total.kept_last) == (5, 2 / 5, 3 / 5)


def test_four_are_too_few(session: Session) -> None:
    for case in many(session, 4):
        answer(session, case, berlin("2026-11-24 10:12"))

    total = of(session).total

    assert (total.promises, len(total.minutes), len(total.notices)) == (4, 4, 4)
    assert [total.kept_first, total.kept_last, total.hours, total.notices_per_case, total.most_notices] == [None] * 5


# --- by team and by topic --------------------------------------------------------------------------------------------


def test_figures_by_topic_and_by_the_owners_team(session: Session, people: dict[str, int]) -> None:
    offer, technical = open_case(session), open_case(session, "technik", email="1@neu.example")
    handed_over = open_case(session, email="2@neu.example")
    handed_over.owner_id = people["Lena Hofmann"]

    found = of(session)

    assert {one: values.promises for one, values in found.topics.items()} == {offer.topic_id: 2, technical.topic_id: 1}
    sales, service = topic(session, "angebot").team_id, topic(session, "technik").team_id
    assert {one: values.promises for one, values in found.teams.items()} == {sales: 1, service: 2}


def test_a_filter_leaves_one_team_or_one_topic(session: Session) -> None:
    open_case(session)
    technical = open_case(session, "technik", email="1@neu.example")
    sales = topic(session, "angebot").team_id

    assert list(of(session, team_id=sales).teams) == [sales]
    assert list(of(session, topic_id=technical.topic_id).topics) == [technical.topic_id]
    assert of(session, team_id=sales, topic_id=technical.topic_id).total == Figures()


# --- the first answer ------------------------------------------------------------------------------------------------


def test_the_median_is_of_business_hours(session: Session) -> None:
    """The team works until 17 o'clock and from 8 on: from 16 to 9 are two hours."""
    cases = many(session, 5, at=berlin("2026-11-24 16:00"))
    for case in cases[:3]:
        answer(session, case, berlin("2026-11-25 09:00"))
    for case in cases[3:]:
        answer(session, case, berlin("2026-11-25 12:00"))

    assert of(session).total.hours == 2.0


def test_a_case_without_an_answer_is_counted_apart(session: Session) -> None:
    open_case(session)

    total = of(session).total

    assert (total.minutes, total.unanswered) == ([], 1)


@pytest.mark.parametrize(
    ("contact", "answered"),
    [
        (Contact.CALL_REACHED, True),
        (Contact.CALL_IN, True),
        (Contact.VISIT, True),
        (Contact.CALL_NOT_REACHED, False),
        (Contact.CALL_MAILBOX, False),
        (Contact.MAIL_IN, False),
        (Contact.LETTER_IN, False),
    ],
)
def test_a_talk_is_an_answer_and_an_attempt_is_none(session: Session, contact: Contact, answered: bool) -> None:
    case = open_case(session)
    log(session, case, contact, at=TUESDAY + timedelta(hours=1))

    total = of(session).total

    assert (total.minutes, total.unanswered) == (([60.0], 0) if answered else ([], 1))


@pytest.mark.parametrize(
    ("by_person", "text", "answered"),
    [(True, "Das Angebot liegt bei.", True), (True, "", False), (False, "Danke, es geht wieder.", False)],
    ids=["words of a person", "a person without a word", "the customer"],
)
def test_closing_with_some_words_is_an_answer(session: Session, by_person: bool, text: str, answered: bool) -> None:
    case = open_case(session)
    at, by_id = TUESDAY + timedelta(hours=1), case.owner_id if by_person else None
    closing.close(session, case, by_id=by_id, outcome=Outcome.DONE, text=text, now=at)

    total = of(session).total

    assert (total.minutes, total.unanswered) == (([60.0], 0) if answered else ([], 1))


def test_the_first_answer_counts_when_it_happened_and_not_when_it_was_noted(session: Session) -> None:
    case = open_case(session)
    log(session, case, Contact.CALL_REACHED, at=TUESDAY + timedelta(hours=1))
    answer(session, case, TUESDAY + timedelta(minutes=30))

    assert of(session).total.minutes == [30.0]


def test_what_happened_before_the_request_came_in_is_no_answer(session: Session) -> None:
    case = open_case(session)
    log(session, case, Contact.CALL_REACHED, at=TUESDAY - timedelta(hours=1))

    assert of(session).total.unanswered == 1


def test_an_entry_that_was_corrected_is_no_answer(session: Session) -> None:
    case = open_case(session)
    common: dict[str, Any] = {
        "case_id": case.id,
        "channel": Channel.PHONE,
        "actor": Actor.PERSON,
        "person_id": case.owner_id,
    }
    wrong = journal.record(
        session, kind=Kind.CALL, facts={"contact": Contact.CALL_REACHED}, now=TUESDAY + timedelta(hours=1), **common
    )
    journal.record(
        session,
        kind=Kind.CALL,
        facts={"contact": Contact.CALL_NOT_REACHED},
        corrects_id=wrong,
        now=TUESDAY + timedelta(hours=2),
        **common,
    )

    assert of(session).total.unanswered == 1


def test_a_team_without_hours_leaves_the_page_standing(session: Session) -> None:
    case = open_case(session)
    answer(session, case, TUESDAY + timedelta(hours=1))
    sales = topic(session, "angebot").team_id
    session.execute(delete(Hours).where(Hours.team_id == sales))

    total = of(session).total

    assert (total.minutes, total.unanswered, total.promises) == ([], 0, 1)


def log(session: Session, case: Case, contact: Contact, *, at: datetime) -> None:
    contacts.log_contact(
        session,
        case,
        by_id=case.owner_id or 0,
        contact=contact,
        text="",
        at=at,
        keeps=set(),
        step=None,
        visible=False,
        now=TUESDAY + timedelta(hours=3),
    )


# --- notices ---------------------------------------------------------------------------------------------------------


def test_notices_are_counted_for_each_case(session: Session) -> None:
    for number, case in enumerate(many(session, 5)):
        for _ in range(number):
            note(session, case, Kind.NOTICE)
        note(session, case, Kind.NOTE)

    total = of(session).total

    assert sorted(total.notices) == [0, 1, 2, 3, 4]
    assert (total.notices_per_case, total.most_notices) == (2.0, 4)


def test_one_case_of_twenty_is_beyond_the_most() -> None:
    assert Figures(notices=[0] * 18 + [1, 9]).most_notices == 1
    assert Figures(notices=[0] * 17 + [1, 9, 9]).most_notices == 9


def note(session: Session, case: Case, kind: Kind) -> None:
    journal.record(session, case_id=case.id, kind=kind, channel=Channel.SYSTEM, actor=Actor.SYSTEM, now=TUESDAY)


# --- speed -----------------------------------------------------------------------------------------------------------


def test_ten_cases_need_no_more_queries_than_one(session: Session) -> None:
    counts = []
    for count in (1, 9):
        for case in many(session, count):
            moved_and_kept(session, case)
        of(session)
        with statements() as seen:
            figures.report(session, weeks=26, now=FRIDAY)
        counts.append(len(seen))

    assert counts == [4, 4]  # the directory's mark and one for each figure


def test_only_promises_of_the_weeks_asked_for_are_read(core: Flask) -> None:
    watching.fill(10_000)  # of an empty table, whichever index is as good as any other
    with db.reading() as session:
        with statements() as seen:
            figures.report(session, weeks=4, now=FRIDAY)

        plan = planned_for_any_values(session, next(statement for statement in seen if "first_due_at" in statement))

    assert "ix_promise_first_due_at" in plan
    assert "Seq Scan on promise" not in plan and "SCAN promise" not in plan, plan
