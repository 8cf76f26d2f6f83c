"""Giving and moving promises: which dates can be promised, and that every letter about them is true."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from portal.cases.errors import DateOutOfReach, NoRoom
from portal.cases.models import Case
from portal.cases.promising import NewPromise
from portal.journal.models import Kind
from portal.mail.letters import LetterKind
from portal.mail.models import Letter, LetterState
from portal.promises.models import Medium, PromiseKind, PromiseState
from tests.support.cast import (
    all_promises,
    berlin,
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
from tests.support.deeds import FRIDAY_NOON, MONDAY_NOON, RESULT, TEN, delivered_case, kept_by, promise_date, reply

# --- giving and moving a promise -------------------------------------------------------------------------------------


def test_a_promise_of_another_kind_stands_beside_the_first_and_the_earlier_is_the_next_step(session: Session) -> None:
    case = delivered_case(session)

    promise_date(session, case, NewPromise(PromiseKind.CALL, Medium.CALL, berlin("2026-11-24 15:00")))
    step(session)

    assert [one.kind for one in open_promises(session, case)] == [PromiseKind.CALL, PromiseKind.REPLY]
    assert case.promise is not None
    assert case.promise.kind == PromiseKind.CALL


def test_a_promise_given_by_a_person_is_theirs_to_have_given_and_the_owners_to_keep(
    session: Session, people: dict[str, int]
) -> None:
    case = delivered_case(session)

    promise_date(session, case, RESULT, by_id=people["Dr. Katharina Voss"])

    promise = promise_of(session, case, PromiseKind.RESULT)
    assert (promise.given_by_id, promise.person_id) == (people["Dr. Katharina Voss"], case.owner_id)
    assert promise.what == "Preis und Lieferzeit"


def test_a_moved_promise_carries_the_first_date(session: Session) -> None:
    case = delivered_case(session)
    first = promise_of(session, case, PromiseKind.REPLY)

    promise_date(session, case, NewPromise(PromiseKind.REPLY, Medium.MAIL, FRIDAY_NOON))
    promise_date(session, case, NewPromise(PromiseKind.REPLY, Medium.MAIL, MONDAY_NOON))

    one, two, three = all_promises(session, case)
    assert [one.state, two.state, three.state] == [PromiseState.MOVED, PromiseState.MOVED, PromiseState.OPEN]
    assert [two.replaces_id, three.replaces_id] == [first.id, two.id]
    assert two.first_due_at == three.first_due_at == first.due_at == berlin("2026-11-25 16:30")


def test_the_letter_about_a_moved_promise_says_the_new_date_and_the_one_before(session: Session) -> None:
    case = delivered_case(session)

    promise_date(session, case, NewPromise(PromiseKind.REPLY, Medium.MAIL, FRIDAY_NOON))

    mail = read(letters(session, case, LetterKind.PROMISE_GIVEN)[0])
    assert "Miriam Albrecht antwortet bis Freitag, 27. November, 12 Uhr." in mail.text
    assert "Bisher zugesagt war: Mittwoch, 25. November, 16:30 Uhr." in mail.text


def test_the_letter_about_a_new_promise_knows_of_no_date_before(session: Session) -> None:
    case = delivered_case(session)

    promise_date(session, case, RESULT)

    mail = read(letters(session, case, LetterKind.PROMISE_GIVEN)[0])
    assert "Bisher zugesagt" not in mail.text
    assert "Preis und Lieferzeit" in mail.text


def test_a_moved_promise_is_in_the_journal_with_both_dates(session: Session) -> None:
    case = delivered_case(session)

    promise_date(session, case, NewPromise(PromiseKind.REPLY, Medium.MAIL, FRIDAY_NOON))

    (moved,) = entries(session, case, Kind.PROMISE_MOVED)
    assert moved.facts["due_at"] == FRIDAY_NOON.isoformat()
    assert moved.facts["before"] == berlin("2026-11-25 16:30").isoformat()


def test_a_promise_may_be_moved_to_another_medium(session: Session) -> None:
    case = delivered_case(session)

    promise_date(session, case, NewPromise(PromiseKind.REPLY, Medium.CALL, FRIDAY_NOON))

    assert "Miriam Albrecht ruft Sie bis Freitag" in read(letters(session, case, LetterKind.PROMISE_GIVEN)[0]).text


def test_the_instants_for_reminder_and_notice_follow_the_new_date(session: Session) -> None:
    case = delivered_case(session)

    promise_date(session, case, RESULT)

    promise = promise_of(session, case, PromiseKind.RESULT)
    assert promise.notice_at == berlin("2026-11-27 11:00")
    assert promise.remind_at == berlin("2026-11-27 08:00")


TOO_CLOSE = [
    ("2026-11-24 10:00", "2026-11-24 10:29"),
    ("2026-11-24 16:50", "2026-11-25 08:10"),  # twenty business minutes, though a night lies between
    ("2026-11-24 10:00", "2026-11-24 09:00"),
    ("2026-11-24 10:00", "2026-11-23 16:00"),
]


@pytest.mark.parametrize(("at", "due"), TOO_CLOSE)
def test_a_date_without_thirty_business_minutes_is_refused(session: Session, at: str, due: str) -> None:
    case = delivered_case(session)

    with refused(session, NoRoom):
        promise_date(session, case, NewPromise(PromiseKind.RESULT, Medium.MAIL, berlin(due)), at=berlin(at))

    assert len(all_promises(session, case)) == 1


def test_thirty_business_minutes_are_enough(session: Session) -> None:
    case = delivered_case(session)

    promise_date(session, case, NewPromise(PromiseKind.CALL, Medium.CALL, berlin("2026-11-24 10:30")))

    assert promise_of(session, case, PromiseKind.CALL).due_at == berlin("2026-11-24 10:30")


OUTSIDE = [
    "2026-11-28 11:00",  # a Saturday
    "2026-11-25 07:59",
    "2026-11-25 17:01",
    "2026-12-25 11:00",
    "2101-11-24 11:00",  # beyond the holiday table
]


@pytest.mark.parametrize("due", OUTSIDE)
def test_a_date_outside_the_teams_hours_is_refused(session: Session, due: str) -> None:
    case = delivered_case(session)

    with refused(session, DateOutOfReach):
        promise_date(session, case, NewPromise(PromiseKind.RESULT, Medium.MAIL, berlin(due)))

    assert len(all_promises(session, case)) == 1


@pytest.mark.parametrize("due", ["2026-11-25 08:00", "2026-11-25 17:00", "2026-11-27 15:00"])
def test_the_first_and_the_last_minute_of_a_day_can_be_promised(session: Session, due: str) -> None:
    case = delivered_case(session)

    promise_date(session, case, NewPromise(PromiseKind.RESULT, Medium.MAIL, berlin(due)))

    assert promise_of(session, case, PromiseKind.RESULT).due_at == berlin(due)


# --- what a letter states is true ------------------------------------------------------------------------------------


def test_no_unsent_letter_leaves_that_states_the_old_date_and_the_truth_follows(session: Session) -> None:
    case = open_case(session)

    promise_date(session, case, NewPromise(PromiseKind.REPLY, Medium.MAIL, FRIDAY_NOON))
    step(session)

    confirmation, told = letters(session, case)
    assert (confirmation.kind, confirmation.valid_until) == (LetterKind.CONFIRMATION, TEN)  # to be written anew
    assert told.kind == LetterKind.PROMISE_GIVEN
    assert kinds_of(withdrawn(session, case)) == [LetterKind.STAFF_NEW_CASE]
    assert "Freitag, 27. November, 12 Uhr" in read(told).text


def test_a_letter_that_was_sent_stays_sent(session: Session) -> None:
    case = delivered_case(session)

    promise_date(session, case, NewPromise(PromiseKind.REPLY, Medium.MAIL, FRIDAY_NOON))
    step(session)

    assert withdrawn(session, case) == []


def test_a_letter_on_its_way_is_no_longer_valid_or_gets_the_wish_to_be_withdrawn(session: Session) -> None:
    case = open_case(session)
    confirmation, to_staff = letters(session, case)
    for letter in (confirmation, to_staff):
        letter.state, letter.lease_token = LetterState.SENDING, "token"
    step(session)

    promise_date(session, case, NewPromise(PromiseKind.REPLY, Medium.MAIL, FRIDAY_NOON))
    step(session)

    assert (confirmation.state, confirmation.valid_until) == (LetterState.SENDING, TEN)
    assert (to_staff.state, to_staff.withdraw_wished_at) == (LetterState.SENDING, TEN)


def test_words_written_by_a_person_are_never_withdrawn_and_the_new_date_follows_them(session: Session) -> None:
    case = delivered_case(session)
    reply(session, case, keeps=kept_by(case), next_step=RESULT)
    step(session)

    promise_date(session, case, NewPromise(PromiseKind.RESULT, Medium.MAIL, MONDAY_NOON), at=TEN + timedelta(minutes=5))
    step(session)

    written, correction = letters(session, case, LetterKind.REPLY, LetterKind.PROMISE_GIVEN)
    assert written.state == correction.state == LetterState.QUEUED
    assert "Freitag, 27. November" in read(written).text
    assert "Montag, 30. November" in read(correction).text


# --- helpers ---------------------------------------------------------------------------------------------------------


def withdrawn(session: Session, case: Case) -> list[Letter]:
    return letters(session, case, states=(LetterState.WITHDRAWN,))
