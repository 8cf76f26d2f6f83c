"""Answering: what counts as kept, what is promised next, and what the customer is told."""

import re
import threading
from datetime import datetime, timedelta
from email import message_from_bytes
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from portal import db
from portal.cases import answering, calling, closing, directory, erasing, erasure_wishes, linking
from portal.cases.answering import Contact, Step
from portal.cases.errors import (
    DateOutOfReach,
    NoNextStep,
    NoNumber,
    NoRoom,
    NotAllowed,
    NotOpen,
    StaleCase,
    WrongMedium,
)
from portal.cases.models import Case, CaseState, Doubt, Outcome
from portal.journal.models import Actor, Channel, Direction, Kind
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, Letter, LetterState
from portal.promises.models import Medium, Promise, PromiseKind, PromiseState, Waiting
from tests.mail.sample_values import OF_APPOINTMENTS, OF_THE_LADDER
from tests.support.cast import (
    NUMBER,
    NUMBER_SHOWN,
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
    person,
    promise_of,
    read,
    refused,
    send_form,
    step,
)

TEN = berlin("2026-11-24 10:00")
FRIDAY_NOON = berlin("2026-11-27 12:00")
MONDAY_NOON = berlin("2026-11-30 12:00")
RESULT = Step(PromiseKind.RESULT, Medium.MAIL, FRIDAY_NOON, "Preis und Lieferzeit")


# --- keeping a promise -----------------------------------------------------------------------------------------------


def test_an_answer_that_keeps_the_promise_ends_it_and_the_next_step_takes_its_place(session: Session) -> None:
    case = delivered_case(session)
    promise = promise_of(session, case, PromiseKind.REPLY)

    reply(session, case, keeps={promise.id}, next_step=RESULT)
    step(session)

    (answer,) = entries(session, case, Kind.REPLY)
    assert (promise.state, promise.ended_at, promise.kept_by_entry_id) == (PromiseState.KEPT, TEN, answer.id)
    assert case.promise_id == promise_of(session, case, PromiseKind.RESULT).id


def test_the_answer_is_a_letter_that_says_what_comes_next(session: Session) -> None:
    case = delivered_case(session)

    reply(session, case, keeps=kept_by(case), next_step=RESULT, text="Der Preis steht am Freitag fest.")

    letter = letters(session, case, LetterKind.REPLY)[0]
    mail = read(letter)
    assert "Der Preis steht am Freitag fest." in mail.text
    assert "bis Freitag, 27. November, 12 Uhr" in mail.text
    assert mail.reply_to == "m.albrecht@beispielwerke.example"
    assert letter.automatic is False
    assert b"Auto-Submitted" not in letter.message


def test_an_answer_that_keeps_nothing_leaves_the_promise_as_it_is(session: Session) -> None:
    case = delivered_case(session)
    before = case.promise_id

    reply(session, case, keeps=(), next_step=None)
    step(session)

    assert case.promise_id == before
    assert "bis Mittwoch, 25. November, 16:30 Uhr" in read(letters(session, case, LetterKind.REPLY)[0]).text
    assert entries(session, case, Kind.PROMISE_KEPT) == []


def test_an_answer_may_not_leave_the_customer_without_a_next_step(session: Session) -> None:
    case = delivered_case(session)

    with refused(session, NoNextStep):
        reply(session, case, keeps=kept_by(case), next_step=None)

    step(session)
    assert promise_of(session, case, PromiseKind.REPLY).state == PromiseState.OPEN
    assert letters(session, case, LetterKind.REPLY) == []


def test_a_kept_promise_is_in_the_journal_with_its_date(session: Session) -> None:
    case = delivered_case(session)

    reply(session, case, keeps=kept_by(case), next_step=RESULT)

    (kept,) = entries(session, case, Kind.PROMISE_KEPT)
    assert kept.facts["due_at"] == berlin("2026-11-25 16:30").isoformat()
    assert kept.person_id == case.owner_id


def test_a_kept_promise_ends_the_count_of_notices(session: Session) -> None:
    case = delivered_case(session)
    case.notices = 2
    step(session)

    reply(session, case, keeps=kept_by(case), next_step=RESULT)
    step(session)

    assert case.notices == 0


def test_an_answer_in_writing_does_not_keep_a_promised_call(session: Session) -> None:
    case = delivered_case(session, "rueckruf")

    with refused(session, WrongMedium):
        reply(session, case, keeps=kept_by(case), next_step=RESULT)

    assert promise_of(session, case, PromiseKind.CALL).state == PromiseState.OPEN


KEEPS = {
    Contact.CALL_IN: {Medium.CALL},
    Contact.CALL_REACHED: {Medium.CALL},
    Contact.VISIT: {Medium.VISIT},
    Contact.LETTER_OUT: {Medium.LETTER},
}


@pytest.mark.parametrize(("contact", "medium"), [(contact, medium) for contact in KEEPS for medium in KEEPS[contact]])
def test_a_contact_keeps_what_was_promised_by_its_medium(session: Session, contact: Contact, medium: Medium) -> None:
    case = waiting_for(session, PromiseKind.RESULT, medium)
    promise = promise_of(session, case, PromiseKind.RESULT)

    log(session, case, contact, keeps={promise.id}, next_step=Step(PromiseKind.REPLY, Medium.MAIL, MONDAY_NOON))

    assert promise.state == PromiseState.KEPT


@pytest.mark.parametrize("contact", Contact)
def test_a_contact_keeps_nothing_that_was_promised_by_another_medium(session: Session, contact: Contact) -> None:
    """A call that reached nobody, a mailbox, and whatever the customer sent keep nothing at all."""
    case = waiting_for(session, PromiseKind.RESULT, Medium.MAIL)
    promise = promise_of(session, case, PromiseKind.RESULT)

    for medium in set(Medium) - KEEPS.get(contact, set()):
        promise.medium = medium
        session.flush()
        with refused(session, WrongMedium):
            log(session, case, contact, keeps={promise.id}, next_step=RESULT)

    assert promise_of(session, case, PromiseKind.RESULT).state == PromiseState.OPEN


@pytest.mark.parametrize("contact", [Contact.CALL_IN, Contact.CALL_REACHED])
def test_a_talk_keeps_a_plain_reply(session: Session, contact: Contact) -> None:
    case = delivered_case(session)
    promise = promise_of(session, case, PromiseKind.REPLY)

    log(session, case, contact, keeps={promise.id}, next_step=RESULT)

    assert promise.state == PromiseState.KEPT


def test_nobodys_promise_can_be_kept_twice(session: Session) -> None:
    case = delivered_case(session)
    first = promise_of(session, case, PromiseKind.REPLY)
    reply(session, case, keeps={first.id}, next_step=RESULT)
    step(session)

    reply(session, case, keeps={first.id}, next_step=None)

    assert len(entries(session, case, Kind.PROMISE_KEPT)) == 1


def test_a_promise_of_another_case_is_not_kept(session: Session) -> None:
    other, case = delivered_case(session), delivered_case(session, "lieferung")

    reply(session, case, keeps=kept_by(other), next_step=None)

    assert promise_of(session, other, PromiseKind.REPLY).state == PromiseState.OPEN


# --- giving and moving a promise -------------------------------------------------------------------------------------


def test_a_promise_of_another_kind_stands_beside_the_first_and_the_earlier_is_the_next_step(session: Session) -> None:
    case = delivered_case(session)

    promise_date(session, case, Step(PromiseKind.CALL, Medium.CALL, berlin("2026-11-24 15:00")))
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

    promise_date(session, case, Step(PromiseKind.REPLY, Medium.MAIL, FRIDAY_NOON))
    promise_date(session, case, Step(PromiseKind.REPLY, Medium.MAIL, MONDAY_NOON))

    one, two, three = all_promises(session, case)
    assert [one.state, two.state, three.state] == [PromiseState.MOVED, PromiseState.MOVED, PromiseState.OPEN]
    assert [two.replaces_id, three.replaces_id] == [first.id, two.id]
    assert two.first_due_at == three.first_due_at == first.due_at == berlin("2026-11-25 16:30")


def test_the_letter_about_a_moved_promise_says_the_new_date_and_the_one_before(session: Session) -> None:
    case = delivered_case(session)

    promise_date(session, case, Step(PromiseKind.REPLY, Medium.MAIL, FRIDAY_NOON))

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

    promise_date(session, case, Step(PromiseKind.REPLY, Medium.MAIL, FRIDAY_NOON))

    (moved,) = entries(session, case, Kind.PROMISE_MOVED)
    assert moved.facts["due_at"] == FRIDAY_NOON.isoformat()
    assert moved.facts["before"] == berlin("2026-11-25 16:30").isoformat()


def test_a_promise_may_be_moved_to_another_medium(session: Session) -> None:
    case = delivered_case(session)

    promise_date(session, case, Step(PromiseKind.REPLY, Medium.CALL, FRIDAY_NOON))

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
        promise_date(session, case, Step(PromiseKind.RESULT, Medium.MAIL, berlin(due)), at=berlin(at))

    assert len(all_promises(session, case)) == 1


def test_thirty_business_minutes_are_enough(session: Session) -> None:
    case = delivered_case(session)

    promise_date(session, case, Step(PromiseKind.CALL, Medium.CALL, berlin("2026-11-24 10:30")))

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
        promise_date(session, case, Step(PromiseKind.RESULT, Medium.MAIL, berlin(due)))

    assert len(all_promises(session, case)) == 1


@pytest.mark.parametrize("due", ["2026-11-25 08:00", "2026-11-25 17:00", "2026-11-27 15:00"])
def test_the_first_and_the_last_minute_of_a_day_can_be_promised(session: Session, due: str) -> None:
    case = delivered_case(session)

    promise_date(session, case, Step(PromiseKind.RESULT, Medium.MAIL, berlin(due)))

    assert promise_of(session, case, PromiseKind.RESULT).due_at == berlin(due)


# --- what a letter states is true ------------------------------------------------------------------------------------


def test_no_unsent_letter_leaves_that_states_the_old_date_and_the_truth_follows(session: Session) -> None:
    case = open_case(session)

    promise_date(session, case, Step(PromiseKind.REPLY, Medium.MAIL, FRIDAY_NOON))
    step(session)

    confirmation, told = letters(session, case)
    assert (confirmation.kind, confirmation.valid_until) == (LetterKind.CONFIRMATION, TEN)  # to be written anew
    assert told.kind == LetterKind.PROMISE_GIVEN
    assert kinds_of(withdrawn(session, case)) == [LetterKind.STAFF_NEW_CASE]
    assert "Freitag, 27. November, 12 Uhr" in read(told).text


def test_a_letter_that_was_sent_stays_sent(session: Session) -> None:
    case = delivered_case(session)

    promise_date(session, case, Step(PromiseKind.REPLY, Medium.MAIL, FRIDAY_NOON))
    step(session)

    assert withdrawn(session, case) == []


def test_a_letter_on_its_way_is_no_longer_valid_or_gets_the_wish_to_be_withdrawn(session: Session) -> None:
    case = open_case(session)
    confirmation, to_staff = letters(session, case)
    for letter in (confirmation, to_staff):
        letter.state, letter.lease_token = LetterState.SENDING, "token"
    step(session)

    promise_date(session, case, Step(PromiseKind.REPLY, Medium.MAIL, FRIDAY_NOON))
    step(session)

    assert (confirmation.state, confirmation.valid_until) == (LetterState.SENDING, TEN)
    assert (to_staff.state, to_staff.withdraw_wished_at) == (LetterState.SENDING, TEN)


def test_words_written_by_a_person_are_never_withdrawn_and_the_new_date_follows_them(session: Session) -> None:
    case = delivered_case(session)
    reply(session, case, keeps=kept_by(case), next_step=RESULT)
    step(session)

    promise_date(session, case, Step(PromiseKind.RESULT, Medium.MAIL, MONDAY_NOON), at=TEN + timedelta(minutes=5))
    step(session)

    written, correction = letters(session, case, LetterKind.REPLY, LetterKind.PROMISE_GIVEN)
    assert written.state == correction.state == LetterState.QUEUED
    assert "Freitag, 27. November" in read(written).text
    assert "Montag, 30. November" in read(correction).text


def test_an_unsent_confirmation_of_a_kept_promise_is_followed_by_what_is_still_to_come(session: Session) -> None:
    case = open_case(session, "rueckruf")
    promise_date(session, case, RESULT)
    step(session)

    log(session, case, Contact.CALL_REACHED, keeps={promise_of(session, case, PromiseKind.CALL).id}, next_step=None)
    step(session)

    told = letters(session, case, audience=Audience.CUSTOMER)
    assert told[0].kind == LetterKind.CONFIRMATION and told[0].valid_until == TEN
    assert "Freitag, 27. November, 12 Uhr" in read(told[-1]).text


def test_what_is_still_to_come_is_told_if_no_letter_said_it(session: Session) -> None:
    """The letter about the message named the call, which came first; the reply was on the page alone."""
    case = delivered_case(session, "rueckruf")
    message(session, case)
    deliver(session)

    log(session, case, Contact.CALL_REACHED, keeps=kept_by(case), next_step=None)

    told = letters(session, case, LetterKind.PROMISE_GIVEN)[0]
    assert "Miriam Albrecht antwortet bis Dienstag, 24. November, 14 Uhr." in read(told).text


def test_what_a_letter_said_is_not_told_again(session: Session) -> None:
    case = delivered_case(session, "rueckruf")
    promise_date(session, case, RESULT)
    deliver(session)

    log(session, case, Contact.CALL_REACHED, keeps=kept_by(case), next_step=None)

    assert len(letters(session, case, LetterKind.PROMISE_GIVEN)) == 1


def test_a_contact_may_not_leave_only_a_date_that_has_passed(session: Session) -> None:
    case = delivered_case(session, "rueckruf")
    promise_date(session, case, RESULT)
    late = berlin("2026-11-27 14:00")

    with refused(session, NoNextStep):
        log(session, case, Contact.CALL_REACHED, keeps=kept_by(case), next_step=None, at=late)

    assert promise_of(session, case, PromiseKind.CALL).state == PromiseState.OPEN


def test_no_answer_leaves_only_a_date_that_has_passed(session: Session) -> None:
    case = delivered_case(session)
    late = berlin("2026-11-26 14:00")

    with refused(session, NoNextStep):
        reply(session, case, keeps=(), next_step=None, at=late)

    reply(session, case, keeps=(), next_step=Step(PromiseKind.REPLY, Medium.MAIL, MONDAY_NOON), at=late)


def test_a_logged_contact_that_changes_nothing_writes_no_letter(session: Session) -> None:
    case = delivered_case(session)
    before = len(letters(session, case))

    log(session, case, Contact.CALL_REACHED, keeps=(), next_step=None)

    assert len(letters(session, case)) == before


def test_a_logged_contact_with_a_next_step_tells_the_customer(session: Session) -> None:
    case = delivered_case(session, "rueckruf")

    log(session, case, Contact.CALL_REACHED, keeps=(), next_step=Step(PromiseKind.CALL, Medium.CALL, FRIDAY_NOON))

    mail = read(letters(session, case, LetterKind.PROMISE_GIVEN)[0])
    assert "Miriam Albrecht ruft Sie bis Freitag, 27. November, 12 Uhr an." in mail.text


# --- a call that reached nobody --------------------------------------------------------------------------------------

NOBODY_REACHED = [
    pytest.param(Contact.CALL_NOT_REACHED, "nicht erreicht", id="not reached"),
    pytest.param(Contact.CALL_MAILBOX, "Ihnen eine Nachricht auf Band gesprochen", id="voicemail"),
]


@pytest.mark.parametrize(("contact", "words"), NOBODY_REACHED)
def test_a_call_that_reached_nobody_keeps_nothing_and_tells_the_customer(
    session: Session, contact: Contact, words: str
) -> None:
    case = delivered_case(session, "rueckruf")
    call = promise_of(session, case, PromiseKind.CALL)

    log(session, case, contact, keeps=(), next_step=None)

    (letter,) = letters(session, case, LetterKind.CALL_ATTEMPTED)
    (entry,) = entries(session, case, Kind.CALL)
    mail = read(letter)
    assert call.state == PromiseState.OPEN and case.promise_id == call.id
    assert (letter.key, letter.promise_id) == (f"call_attempted:{entry.id}", call.id)
    assert f"wir haben Sie am Dienstag, 24. November, 10 Uhr, angerufen und {words}." in mail.text
    assert "Unsere Zusage gilt weiter: Miriam Albrecht ruft Sie bis" in mail.text
    assert "Miriam Albrecht – Beispielwerke" in mail.sender
    assert "Miriam Albrecht ist direkt für Sie da: 089 99998-214" in mail.text and "/s/" in mail.text


def test_a_call_logged_afterwards_says_when_it_was(session: Session) -> None:
    case = delivered_case(session)

    log(
        session,
        case,
        Contact.CALL_NOT_REACHED,
        keeps=(),
        next_step=None,
        at=TUESDAY + timedelta(hours=5),
        happened=TUESDAY + timedelta(hours=2),
    )

    assert (
        "am Dienstag, 24. November, 11:12 Uhr, angerufen"
        in read(letters(session, case, LetterKind.CALL_ATTEMPTED)[0]).text
    )


def test_a_call_that_reached_nobody_and_its_next_step_are_one_letter(session: Session) -> None:
    case = delivered_case(session, "rueckruf")
    before = promise_of(session, case, PromiseKind.CALL).due_at

    log(session, case, Contact.CALL_NOT_REACHED, keeps=(), next_step=Step(PromiseKind.CALL, Medium.CALL, FRIDAY_NOON))

    (letter,) = letters(session, case, LetterKind.CALL_ATTEMPTED, LetterKind.PROMISE_GIVEN)
    mail = read(letter)
    assert letter.kind == LetterKind.CALL_ATTEMPTED and before < FRIDAY_NOON
    assert letter.promise_id == promise_of(session, case, PromiseKind.CALL).id
    assert "angerufen und nicht erreicht" in mail.text and "Bisher zugesagt war:" in mail.text
    assert "Miriam Albrecht ruft Sie bis Freitag, 27. November, 12 Uhr an." in mail.text


def test_a_second_call_on_one_day_is_only_in_the_journal(session: Session) -> None:
    case = delivered_case(session)

    for hours in (0, 2):
        at = TUESDAY + timedelta(hours=hours)
        log(session, case, Contact.CALL_NOT_REACHED, keeps=(), next_step=None, at=at)

    assert len(letters(session, case, LetterKind.CALL_ATTEMPTED)) == 1
    assert len(entries(session, case, Kind.CALL)) == 2


def test_the_next_day_the_customer_hears_of_a_call_again(session: Session) -> None:
    case = delivered_case(session)

    for days in (0, 1):
        at = TUESDAY + timedelta(days=days)
        log(session, case, Contact.CALL_NOT_REACHED, keeps=(), next_step=None, at=at)

    assert len(letters(session, case, LetterKind.CALL_ATTEMPTED)) == 2


def test_a_second_call_on_one_day_still_tells_a_new_date(session: Session) -> None:
    case = delivered_case(session)
    log(session, case, Contact.CALL_NOT_REACHED, keeps=(), next_step=None)
    deliver(session)

    log(session, case, Contact.CALL_NOT_REACHED, keeps=(), next_step=Step(PromiseKind.CALL, Medium.CALL, FRIDAY_NOON))

    found = letters(session, case, LetterKind.CALL_ATTEMPTED, LetterKind.PROMISE_GIVEN)
    assert kinds_of(found) == [LetterKind.CALL_ATTEMPTED, LetterKind.PROMISE_GIVEN]


def test_one_that_was_taken_back_does_not_stand_in_the_way(session: Session) -> None:
    """A new date takes an unsent letter back; then the customer has not heard of the first call."""
    case = delivered_case(session)
    log(session, case, Contact.CALL_NOT_REACHED, keeps=(), next_step=None)

    log(session, case, Contact.CALL_MAILBOX, keeps=(), next_step=Step(PromiseKind.REPLY, Medium.MAIL, FRIDAY_NOON))

    (letter,) = letters(session, case, LetterKind.CALL_ATTEMPTED, LetterKind.PROMISE_GIVEN)
    assert letter.kind == LetterKind.CALL_ATTEMPTED and "auf Band gesprochen" in read(letter).text


def test_where_nothing_lies_ahead_the_notice_that_is_due_says_the_new_date(session: Session) -> None:
    case = delivered_case(session)
    late = promise_of(session, case, PromiseKind.REPLY).due_at + timedelta(minutes=1)

    log(session, case, Contact.CALL_NOT_REACHED, keeps=(), next_step=None, at=late)

    assert letters(session, case, LetterKind.CALL_ATTEMPTED) == []
    assert len(entries(session, case, Kind.CALL)) == 1


def test_a_customer_without_a_mail_address_gets_no_letter_about_a_call(session: Session) -> None:
    case = delivered_case(session)
    case.customer.email, case.customer.email_key = None, None

    log(session, case, Contact.CALL_NOT_REACHED, keeps=(), next_step=None)

    assert letters(session, case, LetterKind.CALL_ATTEMPTED) == []


def test_whoever_acts_signs_the_letter_about_a_call(session: Session, people: dict[str, int]) -> None:
    case = delivered_case(session)
    away(session, people["Miriam Albrecht"], since=TUESDAY, deputy_id=people["Jonas Weidner"])

    log(session, case, Contact.CALL_NOT_REACHED, keeps=(), next_step=None)

    mail = read(letters(session, case, LetterKind.CALL_ATTEMPTED)[0])
    assert "Jonas Weidner – Beispielwerke" in mail.sender and "in Vertretung für Miriam Albrecht" in mail.text


def test_a_deputy_signs_what_they_write_for_the_owner(session: Session, people: dict[str, int]) -> None:
    case = delivered_case(session)
    away(session, people["Miriam Albrecht"], since=TUESDAY, deputy_id=people["Jonas Weidner"])

    reply(session, case, keeps=(), next_step=None, by_id=people["Jonas Weidner"])

    mail = read(letters(session, case, LetterKind.REPLY)[0])
    assert "Jonas Weidner – Beispielwerke" in mail.sender
    assert mail.reply_to == "j.weidner@beispielwerke.example"
    assert "in Vertretung für Miriam Albrecht" in mail.text


def test_a_letter_is_signed_by_the_person_the_step_names(session: Session, people: dict[str, int]) -> None:
    """A step may be somebody else's than the owner's: whoever the customer waits for writes."""
    case = delivered_case(session)
    promise_of(session, case, PromiseKind.REPLY).person_id = people["Jonas Weidner"]
    step(session)

    message(session, case)

    to_customer, to_staff = letters(session, case, LetterKind.MESSAGE_RECEIVED, LetterKind.STAFF_MESSAGE)
    assert "Jonas Weidner – Beispielwerke" in read(to_customer).sender
    assert "Jonas Weidner antwortet bis" in read(to_customer).text
    assert "in Vertretung" not in read(to_customer).text
    assert to_staff.to_address == "j.weidner@beispielwerke.example"


@pytest.mark.parametrize("language", ["de", "en"])
def test_every_letter_to_the_customer_holds_person_line_date_and_link(session: Session, language: str) -> None:
    case = a_long_story(session, language)

    told = letters(session, case, audience=Audience.CUSTOMER, states=tuple(LetterState))

    elsewhere = OF_THE_LADDER | OF_APPOINTMENTS
    assert {letter.kind for letter in told} == {kind for kind in LetterKind if not kind.is_for_staff} - elsewhere
    for letter in told:
        mail = read(letter)
        assert "Miriam Albrecht – Beispielwerke" in mail.sender
        assert "089 99998-214" in mail.text
        assert "November" in mail.text
        assert "/s/" in mail.text
        assert "HRB 000000" in mail.text


def test_the_letters_to_a_customer_are_one_conversation(session: Session) -> None:
    case, other = a_long_story(session, "de"), delivered_case(session)

    roots = {root(letter) for letter in letters(session, case, audience=Audience.CUSTOMER, states=tuple(LetterState))}

    assert len(roots) == 1
    assert roots != {root(letter) for letter in letters(session, other, audience=Audience.CUSTOMER)}
    assert roots.isdisjoint({root(letter) for letter in letters(session, case, audience=Audience.STAFF)})


# --- asking ----------------------------------------------------------------------------------------------------------


def test_a_question_says_when_we_get_in_touch_again(session: Session) -> None:
    case = delivered_case(session)

    ask(session, case)

    mail = read(letters(session, case, LetterKind.QUESTION)[0])
    assert "Welche Baujahre?" in mail.text
    assert "Miriam Albrecht meldet sich bis Montag, 30. November, 12 Uhr wieder bei Ihnen." in mail.text


def test_a_question_may_keep_the_reply_and_leaves_a_follow_up(session: Session) -> None:
    case = delivered_case(session)

    ask(session, case)
    step(session)

    assert [one.kind for one in open_promises(session, case)] == [PromiseKind.FOLLOW_UP]


# --- what comes in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("contact", [Contact.MAIL_IN, Contact.LETTER_IN])
def test_what_the_customer_sent_awaits_a_reply_within_the_service_level(session: Session, contact: Contact) -> None:
    case = waiting_for(session, PromiseKind.FOLLOW_UP, Medium.MAIL)

    log(session, case, contact, keeps=(), next_step=None)
    step(session)

    (awaited,) = open_promises(session, case)
    assert (awaited.kind, awaited.due_at) == (PromiseKind.REPLY, berlin("2026-11-25 17:00"))
    assert LetterKind.MESSAGE_RECEIVED in kinds_of(letters(session, case, audience=Audience.CUSTOMER))
    assert LetterKind.STAFF_MESSAGE in kinds_of(letters(session, case, audience=Audience.STAFF))


def test_a_message_is_confirmed_with_the_date_of_the_reply(session: Session) -> None:
    case = waiting_for(session, PromiseKind.FOLLOW_UP, Medium.MAIL)

    message(session, case)

    mail = read(letters(session, case, LetterKind.MESSAGE_RECEIVED)[0])
    assert "Miriam Albrecht antwortet bis Mittwoch, 25. November, 17 Uhr." in mail.text


def test_what_is_logged_later_is_confirmed_with_the_day_on_which_it_came(session: Session) -> None:
    case = waiting_for(session, PromiseKind.FOLLOW_UP, Medium.MAIL)

    log(session, case, Contact.LETTER_IN, keeps=(), next_step=None, happened=berlin("2026-11-20 11:00"))

    mail = read(letters(session, case, LetterKind.MESSAGE_RECEIVED)[0])
    assert "Ihre Nachricht ist am Freitag, 20. November, 11 Uhr, bei uns eingegangen" in mail.text


def test_a_message_is_told_to_the_acting_person_without_its_words(session: Session) -> None:
    case = delivered_case(session)

    message(session, case, "Kanarienvogel im Heizkeller")

    to_customer, to_staff = letters(session, case, LetterKind.MESSAGE_RECEIVED, LetterKind.STAFF_MESSAGE)
    assert to_staff.to_address == "m.albrecht@beispielwerke.example"
    assert "Kanarienvogel" not in read(to_customer).everything + read(to_staff).everything


def test_a_message_brings_a_later_reply_forward(session: Session) -> None:
    case = waiting_for(session, PromiseKind.REPLY, Medium.MAIL)

    message(session, case)
    step(session)

    (awaited,) = open_promises(session, case)
    assert (awaited.due_at, awaited.first_due_at) == (berlin("2026-11-25 17:00"), MONDAY_NOON)


def test_a_reply_brought_forward_is_no_delay(session: Session) -> None:
    case = waiting_for(session, PromiseKind.REPLY, Medium.MAIL)

    message(session, case)
    step(session)

    assert case.notices == 0


def test_a_reply_brought_forward_is_in_the_journal(session: Session) -> None:
    case = waiting_for(session, PromiseKind.REPLY, Medium.MAIL)

    message(session, case)

    (moved,) = entries(session, case, Kind.PROMISE_MOVED)
    assert (moved.actor, moved.facts["before"]) == (Actor.SYSTEM, MONDAY_NOON.isoformat())
    assert moved.facts["due_at"] == berlin("2026-11-25 17:00").isoformat()


def test_a_reply_that_is_due_earlier_stays_as_it_is(session: Session) -> None:
    case = delivered_case(session)
    before = case.promise_id

    message(session, case)
    step(session)

    assert case.promise_id == before
    assert len(all_promises(session, case)) == 1


def test_a_reply_that_has_lapsed_gets_a_date_ahead(session: Session) -> None:
    case = delivered_case(session)
    late = berlin("2026-11-26 10:00")

    message(session, case, at=late)
    step(session)

    (awaited,) = open_promises(session, case)
    assert awaited.due_at == berlin("2026-11-30 10:00")
    assert awaited.first_due_at == berlin("2026-11-25 16:30")


def test_the_confirmation_of_a_message_never_names_a_date_that_has_passed(session: Session) -> None:
    """The promised call has lapsed; what the customer can wait for is the reply."""
    case = delivered_case(session, "rueckruf")

    message(session, case, at=berlin("2026-11-24 16:00"))

    mail = read(letters(session, case, LetterKind.MESSAGE_RECEIVED)[0])
    assert "Miriam Albrecht antwortet bis Mittwoch, 25. November, 11 Uhr." in mail.text
    assert "13:30 Uhr" not in mail.everything


def test_a_message_ends_the_waiting_for_the_customer(session: Session) -> None:
    case = waiting_for(session, PromiseKind.FOLLOW_UP, Medium.MAIL)
    waiting = promise_of(session, case, PromiseKind.FOLLOW_UP)

    message(session, case)

    assert (waiting.state, waiting.ended_at) == (PromiseState.WITHDRAWN, TEN)
    (ended,) = entries(session, case, Kind.PROMISE_WITHDRAWN)
    assert ended.facts["kind"] == PromiseKind.FOLLOW_UP


def test_a_mail_logged_with_a_next_step_ends_the_waiting_too(session: Session) -> None:
    case = waiting_for(session, PromiseKind.FOLLOW_UP, Medium.MAIL)

    log(session, case, Contact.MAIL_IN, keeps=(), next_step=RESULT)
    step(session)

    assert [one.kind for one in open_promises(session, case)] == [PromiseKind.RESULT]


def test_a_message_leaves_a_promised_call_alone(session: Session) -> None:
    case = delivered_case(session, "rueckruf")

    message(session, case)

    assert [one.kind for one in open_promises(session, case)] == [PromiseKind.CALL, PromiseKind.REPLY]


def test_the_message_itself_is_in_the_journal(session: Session) -> None:
    case = delivered_case(session)

    message(session, case, "Noch etwas: es eilt.")

    (written,) = entries(session, case, Kind.MESSAGE)
    assert (written.actor, written.channel, written.direction) == (Actor.CUSTOMER, Channel.PAGE, Direction.IN)
    assert (written.text, written.visible) == ("Noch etwas: es eilt.", True)


def test_two_messages_are_two_entries_and_one_reply(session: Session) -> None:
    case = delivered_case(session)

    message(session, case, "eins")
    message(session, case, "zwei")

    assert [entry.text for entry in entries(session, case, Kind.MESSAGE)] == ["eins", "zwei"]
    assert len(open_promises(session, case)) == 1
    assert len(letters(session, case, LetterKind.MESSAGE_RECEIVED)) == 2


def test_nobody_writes_to_an_entry_that_is_no_case(session: Session) -> None:
    entry = open_case(session, doubt=Doubt.TOO_FAST)

    with refused(session, NotOpen):
        message(session, entry)


# --- the journal -----------------------------------------------------------------------------------------------------


def test_a_contact_logged_afterwards_keeps_both_times(session: Session) -> None:
    case = delivered_case(session)
    happened = TEN - timedelta(minutes=20)

    log(session, case, Contact.CALL_REACHED, keeps=(), next_step=None, happened=happened)

    (call,) = entries(session, case, Kind.CALL)
    assert (call.at, call.noted_at) == (happened, TEN)
    assert call.facts["contact"] == Contact.CALL_REACHED


@pytest.mark.parametrize(
    ("contact", "kind", "channel", "direction"),
    [
        (Contact.MAIL_IN, Kind.MAIL, Channel.MAIL, Direction.IN),
        (Contact.CALL_IN, Kind.CALL, Channel.PHONE, Direction.IN),
        (Contact.CALL_REACHED, Kind.CALL, Channel.PHONE, Direction.OUT),
        (Contact.CALL_NOT_REACHED, Kind.CALL, Channel.PHONE, Direction.OUT),
        (Contact.CALL_MAILBOX, Kind.CALL, Channel.PHONE, Direction.OUT),
        (Contact.VISIT, Kind.VISIT, Channel.VISIT, Direction.OUT),
        (Contact.LETTER_IN, Kind.LETTER, Channel.POST, Direction.IN),
        (Contact.LETTER_OUT, Kind.LETTER, Channel.POST, Direction.OUT),
    ],
)
def test_every_contact_is_one_entry_of_its_channel(
    session: Session, contact: Contact, kind: Kind, channel: Channel, direction: Direction
) -> None:
    case = delivered_case(session)

    log(session, case, contact, keeps=(), next_step=None, visible=False)

    (entry,) = entries(session, case, kind)
    assert (entry.channel, entry.direction, entry.person_id) == (channel, direction, case.owner_id)
    assert entry.visible is False


def test_a_note_is_for_colleagues_only(session: Session) -> None:
    case = delivered_case(session)

    answering.note(session, case, by_id=case.owner_id, text="Kunde ist in Eile", now=TEN)

    (note,) = entries(session, case, Kind.NOTE)
    assert (note.visible, note.text) == (False, "Kunde ist in Eile")


def test_a_note_can_be_written_on_a_closed_case_and_not_on_an_erased_one(session: Session) -> None:
    case = delivered_case(session)
    closing.close(session, case, by_id=None, outcome=Outcome.DONE, text="", now=TEN)
    answering.note(session, case, by_id=case.owner_id, text="Nachtrag", now=TEN)
    erasing.erase(session, case, now=TEN)
    step(session)

    with refused(session, NotOpen):
        answering.note(session, case, by_id=case.owner_id, text="zu spät", now=TEN)

    assert len(entries(session, case, Kind.NOTE)) == 1


# --- stale pages -----------------------------------------------------------------------------------------------------


def replying(session: Session, case: Case, version: int) -> None:
    reply(session, case, keeps=(), next_step=None, version=version)


def asking(session: Session, case: Case, version: int) -> None:
    ask(session, case, keeps=(), version=version)


def logging(session: Session, case: Case, version: int) -> None:
    log(session, case, Contact.VISIT, keeps=(), next_step=None, version=version)


def promising(session: Session, case: Case, version: int) -> None:
    promise_date(session, case, RESULT, version=version)


def dialling(session: Session, case: Case, version: int) -> None:
    calling.start_call(session, case, by_id=case.owner_id, version=version, now=TEN)


def ending(session: Session, case: Case, version: int) -> None:
    closing.close(session, case, by_id=case.owner_id, outcome=Outcome.DONE, text="", now=TEN, version=version)


@pytest.mark.parametrize("act", [replying, asking, logging, promising, dialling, ending])
def test_a_page_that_showed_an_older_state_is_refused(session: Session, act: object) -> None:
    assert callable(act)
    case = delivered_case(session)
    shown = case.version
    message(session, case)
    step(session)

    with refused(session, StaleCase):
        act(session, case, shown)

    act(session, case, case.version)


@pytest.mark.parametrize("act", [replying, asking, logging, promising, dialling, ending])
def test_nothing_is_done_to_a_case_that_is_not_open(session: Session, act: object) -> None:
    assert callable(act)
    case = delivered_case(session)
    closing.close(session, case, by_id=None, outcome=Outcome.DONE, text="", now=TEN)
    step(session)

    with refused(session, NotOpen):
        act(session, case, case.version)


def test_of_two_answers_at_the_same_moment_one_is_told_that_the_case_has_changed(
    core: Flask, people: dict[str, int]
) -> None:
    with db.writing() as session:
        case_id = send_form(session).case_id
    version = case_version(case_id)
    together, ends = threading.Barrier(2), list[str]()

    def answer() -> None:
        with core.app_context():
            together.wait()
            ends.append(how_it_ended(case_id, version))

    threads = [threading.Thread(target=answer) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(ends) == ["answered", "stale"]


# --- the customer's number -------------------------------------------------------------------------------------------


def test_the_person_of_the_next_step_gets_the_number(session: Session) -> None:
    case = delivered_case(session, "rueckruf")

    started = calling.start_call(session, case, by_id=case.owner_id, version=case.version, now=TEN)

    assert (started.number_shown, started.number_e164) == (NUMBER_SHOWN, NUMBER)


def test_starting_a_call_is_in_the_journal_and_not_on_the_customers_page(session: Session) -> None:
    case = delivered_case(session, "rueckruf")

    calling.start_call(session, case, by_id=case.owner_id, version=case.version, now=TEN)

    (attempt,) = entries(session, case, Kind.CALL_STARTED)
    assert (attempt.person_id, attempt.at, attempt.visible) == (case.owner_id, TEN, False)
    assert NUMBER not in attempt.text + str(attempt.facts)


@pytest.mark.parametrize("name", ["Jonas Weidner", "Dr. Katharina Voss", "Martina Ebert", "Petra Lindner"])
def test_nobody_else_gets_the_number(session: Session, people: dict[str, int], name: str) -> None:
    case = delivered_case(session, "rueckruf")

    with refused(session, NotAllowed):
        calling.start_call(session, case, by_id=people[name], version=case.version, now=TEN)

    assert entries(session, case, Kind.CALL_STARTED) == []


def test_the_deputy_gets_the_number_while_the_person_is_away(session: Session, people: dict[str, int]) -> None:
    case = delivered_case(session, "rueckruf")
    away(session, people["Miriam Albrecht"], since=TEN - timedelta(hours=5), until=TEN + timedelta(hours=5))
    step(session)

    started = calling.start_call(session, case, by_id=people["Jonas Weidner"], version=case.version, now=TEN)

    assert started.number_e164 == NUMBER


def test_the_lead_gets_the_number_once_the_case_has_come_to_them(session: Session, people: dict[str, int]) -> None:
    case = delivered_case(session, "rueckruf")
    case.lead_since = TEN - timedelta(hours=1)
    step(session)

    started = calling.start_call(session, case, by_id=people["Dr. Katharina Voss"], version=case.version, now=TEN)

    assert started.number_e164 == NUMBER


def test_the_owner_does_not_get_the_number_when_the_step_is_somebody_elses(
    session: Session, people: dict[str, int]
) -> None:
    case = delivered_case(session, "rueckruf")
    promise_of(session, case, PromiseKind.CALL).person_id = people["Jonas Weidner"]
    step(session)

    with refused(session, NotAllowed):
        calling.start_call(session, case, by_id=people["Miriam Albrecht"], version=case.version, now=TEN)

    assert calling.may_call(directory.load(session, now=TEN), case, None, now=TEN) == {people["Jonas Weidner"]}


def test_where_there_is_no_number_there_is_no_call(session: Session) -> None:
    case = delivered_case(session, phone_e164=None, phone_shown=None)

    with refused(session, NoNumber):
        calling.start_call(session, case, by_id=case.owner_id, version=case.version, now=TEN)


@pytest.mark.parametrize("language", ["de", "en"])
def test_no_letter_to_anybody_holds_the_customers_number(
    session: Session, people: dict[str, int], language: str
) -> None:
    for colleague in ("Miriam Albrecht", "Jonas Weidner"):
        english = person(session, f"{colleague} en", team="Vertrieb Süd", topics=("rueckruf",), language=language)
        away(session, people[colleague], since=TUESDAY - timedelta(days=9), deputy_id=english)
    case = open_case(session, "rueckruf", language=language)
    message(session, case)
    ask(session, case, keeps=())
    log(session, case, Contact.CALL_REACHED, keeps=kept_by(case), next_step=RESULT)
    closing.close(session, case, by_id=None, outcome=Outcome.DONE, text="", now=TEN)
    closing.reopen(session, case, by_id=None, text="", now=TEN)
    closing.not_me(session, case, now=TEN)

    everything = letters(session, case, states=tuple(LetterState))

    assert len({letter.kind for letter in everything}) >= 9
    found = [letter.kind for letter in everything if holds_number(read(letter).everything + str(letter.message))]
    assert found == []


@pytest.mark.parametrize("written", [NUMBER, NUMBER_SHOWN, "(0171) 39 200-42", "0171/3920042"])
def test_the_search_for_the_number_would_find_it(written: str) -> None:
    assert holds_number(f"Rufen Sie {written} an")


def test_a_case_stays_open_through_all_of_this(session: Session) -> None:
    case = delivered_case(session)
    reply(session, case, keeps=kept_by(case), next_step=RESULT)
    message(session, case)
    step(session)

    assert case.state == CaseState.OPEN
    assert session.get_one(Promise, case.promise_id).state == PromiseState.OPEN


# --- helpers ---------------------------------------------------------------------------------------------------------


def a_long_story(session: Session, language: str) -> Case:
    """A case in which every kind of letter to a customer was written."""
    case = delivered_case(session, language=language)
    reply(session, case, keeps=(), next_step=None)
    ask(session, case)
    message(session, case)
    promise_date(session, case, RESULT)
    log(session, case, Contact.CALL_NOT_REACHED, keeps=(), next_step=None)
    linking.wish_link(session, "s.krueger@haustechnik.example", now=TEN)
    session.flush()
    linking.answer_wish(session, now=TEN)
    closing.close(session, case, by_id=case.owner_id, outcome=Outcome.DONE, text="", now=TEN)
    closing.reopen(session, case, by_id=None, text="", now=TEN)
    erasure_wishes.ask(session, case, now=TEN)
    step(session)
    return case


def root(letter: Letter) -> str:
    """The first message of the conversation that a letter belongs to."""
    return str(message_from_bytes(letter.message)["References"]).split()[0]


def delivered_case(session: Session, slug: str = "angebot", **changes: Any) -> Case:
    """A case whose first letters have been delivered."""
    case = open_case(session, slug, **changes)
    deliver(session)
    return case


def waiting_for(session: Session, kind: PromiseKind, medium: Medium) -> Case:
    """A case whose reply was kept and whose only promise is one for Monday noon."""
    case = delivered_case(session)
    given_at = TEN - timedelta(minutes=30)
    reply(session, case, keeps=kept_by(case), next_step=Step(PromiseKind.RESULT, medium, MONDAY_NOON), at=given_at)
    session.flush()
    promise = promise_of(session, case, PromiseKind.RESULT)
    promise.kind, promise.waiting = kind, Waiting.ASKED if kind == PromiseKind.FOLLOW_UP else None
    step(session)
    deliver(session)
    return case


def kept_by(case: Case) -> set[int]:
    """The next step, as a person ticks it."""
    assert case.promise_id is not None
    return {case.promise_id}


def reply(
    session: Session,
    case: Case,
    *,
    keeps: object,
    next_step: Step | None,
    by_id: int | None = None,
    text: str = "Guten Tag, hier die Antwort.",
    at: datetime = TEN,
    version: int | None = None,
) -> None:
    answering.reply(
        session, case, by_id=by_id or case.owner_id, text=text, keeps=keeps, step=next_step, now=at, version=version
    )


def ask(session: Session, case: Case, *, keeps: object = None, version: int | None = None) -> None:
    answering.ask(
        session,
        case,
        by_id=case.owner_id,
        text="Welche Baujahre?",
        keeps=kept_by(case) if keeps is None else keeps,
        follow_up_at=MONDAY_NOON,
        now=TEN,
        version=version,
    )


def log(
    session: Session,
    case: Case,
    contact: Contact,
    *,
    keeps: object,
    next_step: Step | None,
    happened: datetime = TEN,
    at: datetime = TEN,
    visible: bool = True,
    version: int | None = None,
) -> None:
    answering.log_contact(
        session,
        case,
        by_id=case.owner_id,
        contact=contact,
        text="",
        at=happened,
        keeps=keeps,
        step=next_step,
        visible=visible,
        now=at,
        version=version,
    )


def promise_date(
    session: Session,
    case: Case,
    next_step: Step,
    *,
    by_id: int | None = None,
    at: datetime = TEN,
    version: int | None = None,
) -> None:
    answering.promise_date(session, case, by_id=by_id or case.owner_id, step=next_step, now=at, version=version)


def message(session: Session, case: Case, text: str = "Noch eine Frage.", *, at: datetime = TEN) -> None:
    answering.customer_message(session, case, text, now=at)


def withdrawn(session: Session, case: Case) -> list[Letter]:
    return letters(session, case, states=(LetterState.WITHDRAWN,))


def case_version(case_id: int | None) -> int:
    with db.reading() as session:
        return session.get_one(Case, case_id).version


def how_it_ended(case_id: int | None, version: int) -> str:
    try:
        with db.writing() as session:
            case = session.get_one(Case, case_id)
            reply(session, case, keeps=kept_by(case), next_step=RESULT, version=version)
    except StaleCase:
        return "stale"
    return "answered"


def holds_number(text: str) -> bool:
    """Whether the number is there, however it is written."""
    return re.search(r"[\s()/.–-]*".join("3920042"), text) is not None
