"""Contacts: what a call, a visit, a letter or a mail keeps, leaves and tells the customer; and notes."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from portal.cases import closing, contacts, erasing
from portal.cases.contacts import Contact
from portal.cases.errors import NoNextStep, NotOpen, WrongMedium
from portal.cases.models import Outcome
from portal.cases.promising import NewPromise
from portal.journal.models import Channel, Direction, Kind
from portal.mail.letters import LetterKind
from portal.mail.models import Audience
from portal.promises.models import Medium, PromiseKind, PromiseState
from tests.support.cast import (
    TUESDAY,
    away,
    berlin,
    deliver,
    entries,
    kinds_of,
    letters,
    open_promises,
    promise_of,
    read,
    refused,
    step,
)
from tests.support.deeds import (
    FRIDAY_NOON,
    MONDAY_NOON,
    RESULT,
    TEN,
    delivered_case,
    kept_by,
    log,
    message,
    promise_date,
    waiting_for,
)

# --- keeping a promise -----------------------------------------------------------------------------------------------


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

    log(session, case, contact, keeps={promise.id}, next_step=NewPromise(PromiseKind.REPLY, Medium.MAIL, MONDAY_NOON))

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


# --- what a letter states is true ------------------------------------------------------------------------------------


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


def test_a_logged_contact_that_changes_nothing_writes_no_letter(session: Session) -> None:
    case = delivered_case(session)
    before = len(letters(session, case))

    log(session, case, Contact.CALL_REACHED, keeps=(), next_step=None)

    assert len(letters(session, case)) == before


def test_a_logged_contact_with_a_next_step_tells_the_customer(session: Session) -> None:
    case = delivered_case(session, "rueckruf")

    log(session, case, Contact.CALL_REACHED, keeps=(), next_step=NewPromise(PromiseKind.CALL, Medium.CALL, FRIDAY_NOON))

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

    log(
        session,
        case,
        Contact.CALL_NOT_REACHED,
        keeps=(),
        next_step=NewPromise(PromiseKind.CALL, Medium.CALL, FRIDAY_NOON),
    )

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

    log(
        session,
        case,
        Contact.CALL_NOT_REACHED,
        keeps=(),
        next_step=NewPromise(PromiseKind.CALL, Medium.CALL, FRIDAY_NOON),
    )

    found = letters(session, case, LetterKind.CALL_ATTEMPTED, LetterKind.PROMISE_GIVEN)
    assert kinds_of(found) == [LetterKind.CALL_ATTEMPTED, LetterKind.PROMISE_GIVEN]


def test_one_that_was_taken_back_does_not_stand_in_the_way(session: Session) -> None:
    """A new date takes an unsent letter back; then the customer has not heard of the first call."""
    case = delivered_case(session)
    log(session, case, Contact.CALL_NOT_REACHED, keeps=(), next_step=None)

    log(
        session, case, Contact.CALL_MAILBOX, keeps=(), next_step=NewPromise(PromiseKind.REPLY, Medium.MAIL, FRIDAY_NOON)
    )

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


def test_what_is_logged_later_is_confirmed_with_the_day_on_which_it_came(session: Session) -> None:
    case = waiting_for(session, PromiseKind.FOLLOW_UP, Medium.MAIL)

    log(session, case, Contact.LETTER_IN, keeps=(), next_step=None, happened=berlin("2026-11-20 11:00"))

    mail = read(letters(session, case, LetterKind.MESSAGE_RECEIVED)[0])
    assert "Ihre Nachricht ist am Freitag, 20. November, 11 Uhr, bei uns eingegangen" in mail.text


def test_a_mail_logged_with_a_next_step_ends_the_waiting_too(session: Session) -> None:
    case = waiting_for(session, PromiseKind.FOLLOW_UP, Medium.MAIL)

    log(session, case, Contact.MAIL_IN, keeps=(), next_step=RESULT)
    step(session)

    assert [one.kind for one in open_promises(session, case)] == [PromiseKind.RESULT]


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

    contacts.note(session, case, by_id=case.owner_id, text="Kunde ist in Eile", now=TEN)

    (note,) = entries(session, case, Kind.NOTE)
    assert (note.visible, note.text) == (False, "Kunde ist in Eile")


def test_a_note_can_be_written_on_a_closed_case_and_not_on_an_erased_one(session: Session) -> None:
    case = delivered_case(session)
    closing.close(session, case, by_id=None, outcome=Outcome.DONE, text="", now=TEN)
    contacts.note(session, case, by_id=case.owner_id, text="Nachtrag", now=TEN)
    erasing.erase(session, case, now=TEN)
    step(session)

    with refused(session, NotOpen):
        contacts.note(session, case, by_id=case.owner_id, text="zu spät", now=TEN)

    assert len(entries(session, case, Kind.NOTE)) == 1
