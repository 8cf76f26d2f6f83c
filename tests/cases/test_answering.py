"""Answering: what counts as kept, what is promised next, and what the customer is told."""

import re
import threading
from datetime import timedelta
from email import message_from_bytes

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from portal import db
from portal.cases import addressing, calling, closing, directory, erasure_wishes, linking
from portal.cases.contacts import Contact
from portal.cases.errors import NoNextStep, NoNumber, NotAllowed, NotOpen, StaleCase, WrongMedium
from portal.cases.models import Case, CaseState, Doubt, Outcome
from portal.cases.promising import NewPromise
from portal.journal.models import Actor, Channel, Direction, Kind
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, Letter, LetterState
from portal.promises.models import Medium, Promise, PromiseKind, PromiseState
from tests.mail.sample_values import OF_APPOINTMENTS, OF_THE_LADDER
from tests.support.cast import (
    NUMBER,
    NUMBER_SHOWN,
    TUESDAY,
    all_promises,
    away,
    berlin,
    entries,
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
from tests.support.deeds import (
    MONDAY_NOON,
    RESULT,
    TEN,
    ask,
    delivered_case,
    kept_by,
    log,
    message,
    promise_date,
    reply,
    waiting_for,
)

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


# --- what a letter states is true ------------------------------------------------------------------------------------


def test_an_unsent_confirmation_of_a_kept_promise_is_followed_by_what_is_still_to_come(session: Session) -> None:
    case = open_case(session, "rueckruf")
    promise_date(session, case, RESULT)
    step(session)

    log(session, case, Contact.CALL_REACHED, keeps={promise_of(session, case, PromiseKind.CALL).id}, next_step=None)
    step(session)

    told = letters(session, case, audience=Audience.CUSTOMER)
    assert told[0].kind == LetterKind.CONFIRMATION and told[0].valid_until == TEN
    assert "Freitag, 27. November, 12 Uhr" in read(told[-1]).text


def test_no_answer_leaves_only_a_date_that_has_passed(session: Session) -> None:
    case = delivered_case(session)
    late = berlin("2026-11-26 14:00")

    with refused(session, NoNextStep):
        reply(session, case, keeps=(), next_step=None, at=late)

    reply(session, case, keeps=(), next_step=NewPromise(PromiseKind.REPLY, Medium.MAIL, MONDAY_NOON), at=late)


# --- who signs -------------------------------------------------------------------------------------------------------


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


def test_a_message_is_confirmed_with_the_date_of_the_reply(session: Session) -> None:
    case = waiting_for(session, PromiseKind.FOLLOW_UP, Medium.MAIL)

    message(session, case)

    mail = read(letters(session, case, LetterKind.MESSAGE_RECEIVED)[0])
    assert "Miriam Albrecht antwortet bis Mittwoch, 25. November, 17 Uhr." in mail.text


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


# --- stale pages -----------------------------------------------------------------------------------------------------


def replying(session: Session, case: Case, version: int) -> None:
    reply(session, case, keeps=(), next_step=None, version=version)


def asking(session: Session, case: Case, version: int) -> None:
    ask(session, case, keeps=(), version=version)


def logging(session: Session, case: Case, version: int) -> None:
    log(session, case, Contact.VISIT, keeps=(), next_step=None, version=version)


def promising_a_date(session: Session, case: Case, version: int) -> None:
    promise_date(session, case, RESULT, version=version)


def dialling(session: Session, case: Case, version: int) -> None:
    calling.start_call(session, case, by_id=case.owner_id, version=version, now=TEN)


def ending(session: Session, case: Case, version: int) -> None:
    closing.close(session, case, by_id=case.owner_id, outcome=Outcome.DONE, text="", now=TEN, version=version)


@pytest.mark.parametrize("act", [replying, asking, logging, promising_a_date, dialling, ending])
def test_a_page_that_showed_an_older_state_is_refused(session: Session, act: object) -> None:
    assert callable(act)
    case = delivered_case(session)
    shown = case.version
    message(session, case)
    step(session)

    with refused(session, StaleCase):
        act(session, case, shown)

    act(session, case, case.version)


@pytest.mark.parametrize("act", [replying, asking, logging, promising_a_date, dialling, ending])
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
    addressing.not_me(session, case, now=TEN)

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
