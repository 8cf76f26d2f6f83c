"""What a case looks like: the word, the promise, the person, what the customer can do, and the history."""

import dataclasses
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete
from sqlalchemy.orm import Session

from portal import db
from portal.appointments import service as appointments
from portal.appointments.models import Appointment
from portal.cases import (
    addressing,
    agreeing,
    answering,
    calling,
    closing,
    contacts,
    directory,
    doubtful,
    finding,
    promising,
    settling,
    staff_view,
    timeline,
)
from portal.cases import on_hold as holding_on
from portal.cases.contacts import Contact
from portal.cases.models import Case, Doubt, Outcome
from portal.cases.promising import NewPromise
from portal.cases.timeline import First, StatusWord
from portal.journal.models import Kind
from portal.languages import Voice
from portal.mail.letters import LetterKind
from portal.mail.models import Audience
from portal.people.models import Hours, Person
from portal.promises.models import Medium, PromiseKind
from tests.support.cast import (
    NUMBER,
    NUMBER_SHOWN,
    TUESDAY,
    away,
    berlin,
    letters,
    open_case,
    promise_of,
    read,
    send_form,
    statements,
    step,
)

TEN = berlin("2026-11-24 10:00")
THREE = berlin("2026-11-25 15:00")
MONDAY_NOON = berlin("2026-11-30 12:00")
CANARY = "Kanarienvogel im Heizkeller"
GERMAN = Voice("de", "DE", "Europe/Berlin")


# --- the word at the top ---------------------------------------------------------------------------------------------


def fresh(session: Session) -> Case:
    return open_case(session)


def waiting(session: Session) -> Case:
    case = open_case(session)
    ask(session, case)
    return case


def answered_by_the_customer(session: Session) -> Case:
    case = waiting(session)
    answering.customer_message(session, case, "1998.", now=TEN)
    return case


def asked_beside_a_promise(session: Session) -> Case:
    case = open_case(session)
    ask(session, case, keeps=())
    return case


def moved_by_a_notice(session: Session) -> Case:
    case = open_case(session)
    case.notices = 1
    return case


def closed(session: Session) -> Case:
    case = open_case(session)
    closing.close(session, case, by_id=case.owner_id, outcome=Outcome.DONE, text="", now=TEN)
    return case


def reopened(session: Session) -> Case:
    case = closed(session)
    closing.reopen(session, case, by_id=None, text="", now=TEN)
    return case


def entry_in_doubt(session: Session) -> Case:
    return open_case(session, doubt=Doubt.TOO_FAST)


def denied(session: Session) -> Case:
    case = open_case(session)
    addressing.not_me(session, case, now=TEN)
    return case


def no_times_offered(session: Session) -> Case:
    return open_case(session, "lieferung")


def agreed(session: Session, at: datetime = THREE) -> Case:
    case = open_case(session, "rueckruf")
    agreeing.book(session, case, starts_at=at, by_id=None, now=TUESDAY)
    return case


def agreed_for_today(session: Session) -> Case:
    case = agreed(session, berlin("2026-11-24 14:00"))
    booked = booked_in(session, case)
    booked.busy_from = booked.starts_at = berlin("2026-11-24 11:59")
    return case


def on_hold(session: Session) -> Case:
    case = agreed(session)
    phones = {"by_id": case.owner_id, "contact": Contact.CALL_IN, "text": "Lieber am Freitag."}
    holding_on.wish(session, case, **phones, version=booked_in(session, case).version, now=TEN)
    return case


def agreed_after_a_promise(session: Session) -> Case:
    case = open_case(session)
    agreeing.book(session, case, starts_at=berlin("2026-11-26 15:00"), by_id=None, now=TUESDAY)
    return case


def agreed_beside_a_question(session: Session) -> Case:
    case = agreed(session, berlin("2026-12-01 15:00"))
    ask(session, case, keeps=())
    return case


def booked_in(session: Session, case: Case) -> Appointment:
    booked = appointments.booked_of(session, case.id)
    assert booked is not None
    return booked


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (fresh, StatusWord.IN_PROGRESS),
        (waiting, StatusWord.WAITING_FOR_YOU),
        (answered_by_the_customer, StatusWord.IN_PROGRESS),
        (asked_beside_a_promise, StatusWord.IN_PROGRESS),
        (moved_by_a_notice, StatusWord.DELAYED),
        (closed, StatusWord.CLOSED),
        (reopened, StatusWord.IN_PROGRESS),
        (entry_in_doubt, StatusWord.RECEIVED),
        (denied, StatusWord.RECEIVED),
        (agreed, StatusWord.BOOKED),
        (on_hold, StatusWord.IN_PROGRESS),
        (agreed_after_a_promise, StatusWord.IN_PROGRESS),
        (agreed_beside_a_question, StatusWord.IN_PROGRESS),
    ],
)
def test_every_state_has_its_word(session: Session, make: Any, word: StatusWord) -> None:
    case = make(session)
    step(session)

    assert timeline.status_of(session, case, now=TEN).word == word


@pytest.mark.parametrize(("at", "late"), [("2026-11-25 16:29", False), ("2026-11-25 16:30", True)])
def test_a_promise_that_has_lapsed_says_so(session: Session, at: str, late: bool) -> None:
    case = open_case(session)

    status = timeline.status_of(session, case, now=berlin(at))

    assert status.promise is not None
    assert status.promise.late is late
    assert (status.word == StatusWord.DELAYED) is late


def test_a_lapsed_date_to_ask_again_is_our_delay_and_not_the_customers(session: Session) -> None:
    case = waiting(session)
    step(session)

    status = timeline.status_of(session, case, now=MONDAY_NOON)

    assert (status.word, status.question) == (StatusWord.DELAYED, "Welche Baujahre?")


@pytest.mark.parametrize(
    ("make", "actions"),
    [
        (fresh, {"message", "close", "replace_link", "not_me", "export", "erase", "book"}),
        (no_times_offered, {"message", "close", "replace_link", "not_me", "export", "erase"}),
        (agreed, {"message", "close", "replace_link", "not_me", "export", "erase", "move", "cancel_appointment"}),
        (agreed_for_today, {"message", "close", "replace_link", "not_me", "export", "erase"}),
        (closed, {"reopen", "replace_link", "not_me", "export", "erase"}),
        (entry_in_doubt, set()),
        (denied, set()),
    ],
)
def test_the_page_offers_what_the_state_allows(session: Session, make: Any, actions: set[str]) -> None:
    case = make(session)
    step(session)

    assert timeline.status_of(session, case, now=TEN).can == actions


def test_once_it_cannot_be_reopened_the_customer_can_write(session: Session) -> None:
    case = closed(session)
    step(session)

    status = timeline.status_of(session, case, now=berlin("2026-12-09 00:00"))

    assert "message" in status.can
    assert "reopen" not in status.can
    assert status.reopen_until is None


def test_a_closed_case_says_how_it_ended_and_every_date(session: Session) -> None:
    case = open_case(session, "lieferung")
    closing.close(session, case, by_id=case.owner_id, outcome=Outcome.NOT_POSSIBLE, text="Ausverkauft.", now=TEN)
    step(session)

    status = timeline.status_of(session, case, now=TEN)

    assert (status.outcome, status.outcome_text) == ("Nicht möglich", "Ausverkauft.")
    assert status.reopen_until == berlin("2026-12-08 23:59:59")
    assert (status.link_until, status.erase_on) == (date(2027, 2, 22), date(2027, 5, 26))
    assert status.promise is None


# --- the promise -----------------------------------------------------------------------------------------------------


def test_the_promise_is_a_sentence_with_person_medium_and_date(session: Session) -> None:
    case = open_case(session)

    promise = timeline.status_of(session, case, now=TEN).promise

    assert promise is not None
    assert promise.sentence == "Miriam Albrecht antwortet bis Mittwoch, 25. November, 16:30 Uhr"
    assert (promise.due, promise.moved) == ("Mittwoch, 25. November, 16:30 Uhr", False)


def test_a_promise_moved_to_a_later_date_says_the_first_one(session: Session) -> None:
    case = open_case(session)
    promise_date(session, case, PromiseKind.REPLY)

    promise = timeline.status_of(session, case, now=TEN).promise

    assert promise is not None
    assert (promise.moved, promise.first_due) == (True, "Mittwoch, 25. November, 16:30 Uhr")
    assert promise.due == "Montag, 30. November, 12 Uhr"


def test_a_promise_brought_forward_has_not_been_put_off(session: Session) -> None:
    case = open_case(session)
    assert case.promise_id is not None
    answering.reply(
        session,
        case,
        by_id=case.owner_id,
        text="Mehr am Montag.",
        keeps={case.promise_id},
        step=NewPromise(PromiseKind.RESULT, Medium.MAIL, berlin("2026-12-01 12:00")),
        now=TEN,
    )
    promise_date(session, case, PromiseKind.REPLY)
    answering.customer_message(session, case, "Geht es früher?", now=TEN)
    step(session)

    status = timeline.status_of(session, case, now=TEN)

    assert status.promise is not None
    assert (status.promise.due_at, status.promise.moved) == (berlin("2026-11-25 17:00"), False)
    assert status.word == StatusWord.IN_PROGRESS


def test_further_promises_follow_the_next_step(session: Session) -> None:
    case = open_case(session)
    promise_date(session, case, PromiseKind.RESULT)

    status = timeline.status_of(session, case, now=TEN)

    assert status.promise is not None
    assert status.promise.kind == PromiseKind.REPLY
    assert [other.kind for other in status.others] == [PromiseKind.RESULT]


def test_the_page_repeats_the_question_we_wait_for(session: Session) -> None:
    case = waiting(session)
    step(session)

    assert timeline.status_of(session, case, now=TEN).question == "Welche Baujahre?"


def test_a_question_that_was_answered_is_no_longer_asked(session: Session) -> None:
    case = answered_by_the_customer(session)
    step(session)

    assert timeline.status_of(session, case, now=TEN).question is None


def test_an_english_customer_reads_english(session: Session) -> None:
    case = open_case(session, language="en")

    status = timeline.status_of(session, case, now=TEN)

    assert status.promise is not None
    assert status.promise.sentence == "Miriam Albrecht will reply by 4:30 pm on Wednesday 25 November"
    assert status.topic == "Ask for an offer"


# --- the agreed time -------------------------------------------------------------------------------------------------


def test_an_agreed_time_stands_first_where_it_is_what_comes_first(session: Session) -> None:
    case = agreed(session)
    promise_date(session, case, PromiseKind.RESULT)
    step(session)

    status = timeline.status_of(session, case, now=TEN)

    assert (status.first, status.word) == (First.APPOINTMENT, StatusWord.BOOKED)
    assert status.appointment is not None and status.promise is not None
    assert status.appointment.sentence == "Miriam Albrecht ruft Sie am Mittwoch, 25. November, 15 Uhr, an"
    assert [other.kind for other in status.others] == [PromiseKind.RESULT]


def test_what_is_promised_earlier_stands_before_the_agreed_time(session: Session) -> None:
    case = agreed_after_a_promise(session)
    step(session)

    status = timeline.status_of(session, case, now=TEN)

    assert status.first == First.PROMISE
    assert status.promise is not None and status.promise.kind == PromiseKind.REPLY
    assert status.appointment is not None and status.others == ()


def test_on_hold_the_follow_up_is_what_the_customer_waits_for(session: Session) -> None:
    case = on_hold(session)
    step(session)

    status = timeline.status_of(session, case, now=TEN)

    assert status.first == First.PROMISE
    assert status.promise is not None and status.promise.kind == PromiseKind.FOLLOW_UP
    assert status.appointment is not None and status.appointment.on_hold
    assert {"move", "cancel_appointment"} <= status.can and "book" not in status.can


@pytest.mark.parametrize(
    ("minutes", "word"), [(0, StatusWord.BOOKED), (14, StatusWord.BOOKED), (15, StatusWord.DELAYED)]
)
def test_a_call_that_nobody_begins_is_a_delay_after_a_quarter_of_an_hour(
    session: Session, minutes: int, word: StatusWord
) -> None:
    case = agreed(session)
    step(session)

    status = timeline.status_of(session, case, now=THREE + timedelta(minutes=minutes))

    assert (status.first, status.word) == (First.APPOINTMENT, word)
    assert {"move", "cancel_appointment", "book"}.isdisjoint(status.can)


def test_once_its_outcome_was_asked_for_the_promise_takes_its_place(session: Session) -> None:
    case = agreed(session)
    promise_date(session, case, PromiseKind.FOLLOW_UP)
    booked_in(session, case).asked_at = MONDAY_NOON
    settling.settle(session, case, now=TEN)
    step(session)

    status = timeline.status_of(session, case, now=berlin("2026-11-25 16:00"))

    assert status.first == First.PROMISE
    assert status.appointment is not None and status.appointment.over


def test_whoever_stands_in_for_the_person_of_the_agreed_time_is_shown(session: Session, people: dict[str, int]) -> None:
    case = agreed(session)
    case.owner_id = people["Dr. Katharina Voss"]
    away(session, people["Miriam Albrecht"], since=TUESDAY, until=berlin("2026-12-02 00:00"))
    step(session)

    status = timeline.status_of(session, case, now=TEN)

    assert (status.person.name, status.person.for_name) == ("Jonas Weidner", "Miriam Albrecht")


def test_the_history_says_when_and_what_was_agreed(session: Session) -> None:
    case = agreed(session)
    booked = booked_in(session, case)
    agreeing.move(session, case, starts_at=THREE + timedelta(days=1), version=booked.version, by_id=None, now=TEN)
    step(session)

    moved = timeline.status_of(session, case, now=TEN).entries[0]

    assert moved.kind == Kind.APPOINTMENT_MOVED
    assert (moved.before, moved.agreed) == (
        "Mittwoch, 25. November, 15 Uhr",
        "Donnerstag, 26. November, 15 Uhr",
    )


def test_a_closed_case_has_no_agreed_time(session: Session) -> None:
    case = agreed(session)
    closing.close(session, case, by_id=case.owner_id, outcome=Outcome.DONE, text="", now=TEN)
    step(session)

    status = timeline.status_of(session, case, now=TEN)

    assert (status.first, status.appointment, status.promise) == (None, None, None)


def test_colleagues_see_the_agreed_time_and_it_holds_no_number(session: Session) -> None:
    case = agreed(session)
    step(session)

    file = staff_view.case_file(session, case, language="en", now=TEN)

    assert file.appointment is not None and file.promises == ()
    assert file.next_sentence == "Miriam Albrecht will call you at 3 pm on Wednesday 25 November"
    assert file.next_at == THREE
    assert NUMBER[-8:] not in repr(file.appointment)


# --- the person ------------------------------------------------------------------------------------------------------


def test_the_card_names_the_person_role_line_and_hours(session: Session) -> None:
    case = open_case(session)

    card = timeline.status_of(session, case, now=TEN).person

    assert (card.name, card.role, card.initials) == ("Miriam Albrecht", "Vertrieb Süd", "MA")
    assert (card.line_shown, card.line_e164) == ("089 99998-214", "+498999998214")
    assert card.week == "Montag bis Donnerstag 8 bis 17 Uhr, Freitag 8 bis 15 Uhr"
    assert (card.for_name, card.owner_back) == (None, None)


def test_the_deputy_is_shown_with_the_day_on_which_the_owner_is_back(session: Session, people: dict[str, int]) -> None:
    case = open_case(session)
    away(session, people["Miriam Albrecht"], since=TUESDAY, until=berlin("2026-12-02 00:00"))
    step(session)

    status = timeline.status_of(session, case, now=TEN)

    assert (status.person.name, status.person.for_name) == ("Jonas Weidner", "Miriam Albrecht")
    assert status.person.owner_back == "Mittwoch, 2. Dezember"
    assert status.promise is not None
    assert status.promise.name == "Jonas Weidner"


def test_absences_that_follow_each_other_are_one(session: Session, people: dict[str, int]) -> None:
    case = open_case(session)
    away(session, people["Miriam Albrecht"], since=TUESDAY, until=berlin("2026-12-02 00:00"))
    away(session, people["Miriam Albrecht"], since=berlin("2026-12-02 00:00"), until=berlin("2026-12-05 00:00"))
    step(session)

    assert timeline.status_of(session, case, now=TEN).person.owner_back == "Samstag, 5. Dezember"


def test_of_an_absence_without_an_end_no_day_is_named(session: Session, people: dict[str, int]) -> None:
    case = open_case(session)
    away(session, people["Miriam Albrecht"], since=TUESDAY)
    step(session)

    card = timeline.status_of(session, case, now=TEN).person

    assert (card.for_name, card.owner_back) == ("Miriam Albrecht", None)


def test_the_evening_before_an_absence_the_deputy_is_shown_with_the_owners_return(
    session: Session, people: dict[str, int]
) -> None:
    """Who acts is judged at the team's next business minute, and so is when the owner is back."""
    case = open_case(session)
    away(session, people["Miriam Albrecht"], since=berlin("2026-11-25 00:00"), until=berlin("2026-11-28 00:00"))
    step(session)

    card = timeline.status_of(session, case, now=berlin("2026-11-24 19:00")).person

    assert (card.name, card.owner_back) == ("Jonas Weidner", "Samstag, 28. November")


def test_an_entry_in_doubt_names_the_front_desk_and_the_date(session: Session) -> None:
    entry = open_case(session, doubt=Doubt.TOO_FAST)

    status = timeline.status_of(session, entry, now=TEN)

    assert (status.person.name, status.check_by) == ("Petra Lindner", "Mittwoch, 25. November, 8:30 Uhr")


def test_an_absent_front_desk_has_a_deputy_too(session: Session, people: dict[str, int]) -> None:
    away(session, people["Petra Lindner"], since=TUESDAY)
    step(session)

    card, _ = timeline.front_desk(session, language="de", now=TEN)

    assert (card.name, card.for_name) == ("Sandra Neumann", "Petra Lindner")


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ("2026-11-24 07:00", "heute ab 8 Uhr"),
        ("2026-11-24 08:00", "heute bis 12 Uhr"),
        ("2026-11-24 11:59", "heute bis 12 Uhr"),
        ("2026-11-24 12:30", "heute ab 13 Uhr"),
        ("2026-11-24 13:00", "heute bis 17 Uhr"),
        ("2026-11-24 17:00", "wieder ab Mittwoch, 25. November, 8 Uhr"),
        ("2026-11-27 18:00", "wieder ab Montag, 30. November, 8 Uhr"),
        ("2026-12-24 18:00", "wieder ab Montag, 28. Dezember, 8 Uhr"),
    ],
)
def test_the_card_says_until_when_or_from_when_the_person_is_there(
    session: Session, people: dict[str, int], at: str, words: str
) -> None:
    directory_now = directory.load(session, now=TUESDAY)

    assert timeline.reachable(directory_now, people["Jonas Weidner"], GERMAN, now=berlin(at)) == words


def test_somebody_who_is_away_is_there_again_after_the_absence(session: Session, people: dict[str, int]) -> None:
    away(session, people["Jonas Weidner"], since=TUESDAY, until=berlin("2026-12-02 00:00"))
    directory_now = directory.load(session, now=TUESDAY)

    words = timeline.reachable(directory_now, people["Jonas Weidner"], GERMAN, now=TEN)

    assert words == "wieder ab Mittwoch, 2. Dezember, 8 Uhr"


def test_of_somebody_away_without_an_end_no_hour_is_named(session: Session, people: dict[str, int]) -> None:
    away(session, people["Jonas Weidner"], since=TUESDAY)
    directory_now = directory.load(session, now=TUESDAY)

    assert timeline.reachable(directory_now, people["Jonas Weidner"], GERMAN, now=TEN) is None


def test_of_somebody_without_hours_of_their_own_no_hour_is_named(session: Session, people: dict[str, int]) -> None:
    session.execute(delete(Hours).where(Hours.person_id == people["Jonas Weidner"]))
    directory_now = directory.load(session, now=TUESDAY)

    assert timeline.reachable(directory_now, people["Jonas Weidner"], GERMAN, now=TEN) is None


@pytest.mark.parametrize(
    ("name", "initials"), [("Dr. Katharina Voss", "KV"), ("Prinz Eugen von Savoyen", "PS"), ("Cher", "C"), ("", "")]
)
def test_initials_are_those_of_the_first_and_the_last_name(
    session: Session, people: dict[str, int], name: str, initials: str
) -> None:
    session.get_one(Person, people["Miriam Albrecht"]).name = name
    case = open_case(session)

    assert timeline.status_of(session, case, now=TEN).person.initials == initials


@pytest.mark.parametrize(
    ("email", "masked"), [("sabine@example.com", "sa…@example.com"), ("s@example.com", "s…@example.com"), (None, "")]
)
def test_the_address_is_masked(email: str | None, masked: str) -> None:
    assert timeline.mask(email) == masked


# --- the history -----------------------------------------------------------------------------------------------------


def test_the_history_is_newest_first(session: Session) -> None:
    case = with_messages(session, 3)

    texts = [entry.text for entry in timeline.status_of(session, case, now=TEN).entries if entry.kind == Kind.MESSAGE]

    assert texts == ["2", "1", "0"]


def test_a_contact_logged_afterwards_stands_where_it_happened(session: Session) -> None:
    case = with_messages(session, 1)
    contacts.log_contact(
        session,
        case,
        by_id=case.owner_id,
        contact=Contact.CALL_REACHED,
        text="Kurz gesprochen.",
        at=TUESDAY + timedelta(minutes=1),
        keeps=(),
        step=None,
        visible=True,
        now=TEN,
    )
    step(session)

    kinds = [entry.kind for entry in timeline.status_of(session, case, now=TEN).entries]

    assert kinds.index(Kind.MESSAGE) < kinds.index(Kind.CALL) < kinds.index(Kind.RECEIVED)


def test_a_long_history_comes_in_pages_without_gap_or_repetition(session: Session) -> None:
    case = with_messages(session, 45)

    pages, before = [], None
    for _ in range(3):
        status = timeline.status_of(session, case, now=TEN, before=before)
        pages.append(status.entries)
        before = status.older

    ids = [entry.id for page in pages for entry in page]
    assert [len(page) for page in pages] == [20, 20, 7]
    assert before is None
    assert len(set(ids)) == 47  # the messages, and what every case begins with
    assert pages[-1][-1].kind == Kind.RECEIVED


def test_entries_of_one_instant_keep_their_order_across_pages(session: Session) -> None:
    case = with_messages(session, 25, apart=timedelta(0))

    first = timeline.status_of(session, case, now=TEN)
    second = timeline.status_of(session, case, now=TEN, before=first.older)

    texts = [entry.text for entry in (*first.entries, *second.entries) if entry.kind == Kind.MESSAGE]
    assert texts == [str(number) for number in reversed(range(25))]


def test_another_cases_entry_is_no_place_to_go_on_from(session: Session) -> None:
    other, case = with_messages(session, 1), with_messages(session, 1)
    foreign = timeline.status_of(session, other, now=TEN).entries[-1].id

    assert timeline.status_of(session, case, now=TEN, before=foreign).entries == (
        timeline.status_of(session, case, now=TEN).entries
    )


def test_what_is_internal_is_nowhere_on_the_customers_page(session: Session) -> None:
    case = open_case(session)
    contacts.note(session, case, by_id=case.owner_id, text=CANARY, now=TEN)
    contacts.log_contact(
        session,
        case,
        by_id=case.owner_id,
        contact=Contact.VISIT,
        text=CANARY,
        at=TEN,
        keeps=(),
        step=None,
        visible=False,
        now=TEN,
    )
    calling.start_call(session, case, by_id=case.owner_id, version=case.version, now=TEN)
    step(session)

    status = timeline.status_of(session, case, now=TEN)

    kinds = {entry.kind for entry in status.entries}
    assert CANARY not in str(status)
    assert kinds.isdisjoint({Kind.NOTE, Kind.VISIT, Kind.CALL_STARTED})


def test_what_is_internal_is_in_no_letter_to_the_customer(session: Session) -> None:
    case = open_case(session)
    contacts.note(session, case, by_id=case.owner_id, text=CANARY, now=TEN)
    answering.customer_message(session, case, "Hallo?", now=TEN)
    promise_date(session, case, PromiseKind.RESULT)
    closing.close(session, case, by_id=case.owner_id, outcome=Outcome.DONE, text="", now=TEN)

    told = letters(session, case, LetterKind.CLOSED, audience=Audience.CUSTOMER)

    assert told != []
    assert CANARY not in " ".join(read(letter).everything for letter in letters(session, case))


def test_colleagues_see_what_is_internal(session: Session) -> None:
    case = open_case(session)
    contacts.note(session, case, by_id=case.owner_id, text=CANARY, now=TEN)
    step(session)

    file = staff_view.case_file(session, case, language="de", now=TEN)

    assert CANARY in [entry.text for entry in file.entries]


def test_the_customers_page_does_not_hold_their_number_or_whole_address(session: Session) -> None:
    case = open_case(session)

    status = str(dataclasses.asdict(timeline.status_of(session, case, now=TEN)))

    assert NUMBER not in status
    assert NUMBER_SHOWN not in status
    assert "s.krueger@haustechnik.example" not in status


def test_the_colleagues_page_does_not_hold_the_number_either(session: Session) -> None:
    case = open_case(session)

    file = staff_view.case_file(session, case, language="de", now=TEN)

    without_case = {field.name: getattr(file, field.name) for field in dataclasses.fields(file) if field.name != "case"}
    assert file.has_number is True
    assert NUMBER not in str(without_case)
    assert NUMBER_SHOWN not in str(without_case)


def test_the_colleagues_page_says_who_may_call(session: Session, people: dict[str, int]) -> None:
    case = open_case(session)

    file = staff_view.case_file(session, case, language="de", now=TEN)

    assert file.may_call == {people["Miriam Albrecht"]}
    assert file.proposed_due == berlin("2026-11-25 17:00")
    assert [letter.kind for letter in file.letters] == [LetterKind.STAFF_NEW_CASE, LetterKind.CONFIRMATION]


@pytest.mark.parametrize("agrees", [False, True])
@pytest.mark.parametrize("messages", [0, 60])
def test_the_status_takes_at_most_six_queries_whatever_the_length_of_its_history(
    core: Flask, people: dict[str, int], messages: int, agrees: bool
) -> None:
    with db.writing() as session:
        case = session.get_one(Case, send_form(session, "rueckruf").case_id)
        if agrees:
            agreeing.book(session, case, starts_at=THREE, by_id=None, now=TUESDAY)
        for number in range(messages):
            answering.customer_message(session, case, str(number), now=TEN)
        token = finding.status_token(case)
    with db.reading() as session:
        directory.load(session, now=TUESDAY)

    with statements() as asked, db.reading() as session:
        found = finding.by_token(session, token, now=TEN)
        assert found is not None
        timeline.status_of(session, found.case, now=TEN)

    assert len([one for one in asked if one.startswith("SELECT")]) <= 6


def test_a_released_entry_reads_like_any_other_case(session: Session, people: dict[str, int]) -> None:
    entry = open_case(session, doubt=Doubt.TOO_FAST)
    doubtful.release(session, entry, by_id=people["Petra Lindner"], now=TEN)
    step(session)

    status = timeline.status_of(session, entry, now=TEN)

    assert status.word == StatusWord.IN_PROGRESS
    assert status.promise is not None
    assert status.promise.due_at == promise_of(session, entry, PromiseKind.REPLY).due_at


# --- helpers ---------------------------------------------------------------------------------------------------------


def ask(session: Session, case: Case, keeps: Any = None) -> None:
    answering.ask(
        session,
        case,
        by_id=case.owner_id,
        text="Welche Baujahre?",
        keeps={case.promise_id} if keeps is None else keeps,
        follow_up_at=MONDAY_NOON,
        now=TEN,
    )


def promise_date(session: Session, case: Case, kind: PromiseKind) -> None:
    """Promise something for Monday noon."""
    given = NewPromise(kind, Medium.MAIL, MONDAY_NOON)
    promising.promise_date(session, case, by_id=case.owner_id, step=given, now=TEN)
    step(session)


def with_messages(session: Session, count: int, *, apart: timedelta = timedelta(seconds=1)) -> Case:
    """A case with that many messages of its customer, from ten o'clock on."""
    case = open_case(session)
    for number in range(count):
        answering.customer_message(session, case, str(number), now=TEN + number * apart)
    step(session)
    return case
