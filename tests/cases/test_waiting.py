"""Waiting for the customer: asked, reminded, the closing announced, closed; and everything that ends it."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from flask import Flask
from sqlalchemy import update
from sqlalchemy.orm import Session

from portal.cases import (
    answering,
    closing,
    contacts,
    delaying,
    promising,
    scheduling,
    timeline,
    undelivered,
    waiting,
    worklist,
)
from portal.cases.contacts import Contact
from portal.cases.errors import NotOpen, NotReopenable
from portal.cases.models import Case, CaseState, Outcome
from portal.cases.promising import NewPromise
from portal.cases.timeline import StatusWord
from portal.cases.worklist import Scope
from portal.journal.models import Actor, Channel, Direction, Kind
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, LetterState
from portal.people.models import Closure, ClosureKind, Company
from portal.promises.business_time import NoBusinessTime
from portal.promises.models import Medium, PromiseKind, PromiseState, Waiting
from tests.support.cast import (
    all_promises,
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
from worker.waiting import close_unanswered, go_on_waiting

TEN = berlin("2026-11-24 10:00")
MONDAY_NOON = berlin("2026-11-30 12:00")
QUESTION = "Welche Baujahre?"
Heard = Callable[[Session, Case, datetime], None]
"""How the customer is heard from."""


# --- the ladder ------------------------------------------------------------------------------------------------------


def test_a_question_is_the_first_rung_and_reminds_no_colleague(session: Session) -> None:
    case = asked(session)

    (promise,) = open_promises(session, case)
    assert (promise.kind, promise.waiting, promise.remind_at) == (PromiseKind.FOLLOW_UP, Waiting.ASKED, None)
    assert promise.due_at == MONDAY_NOON


def test_the_whole_ladder_over_weekends_and_holidays(session: Session) -> None:
    case = asked(session, follow_up_at=berlin("2026-12-18 12:00"))
    seen = []

    for _ in range(3):
        (promise,) = open_promises(session, case)
        seen.append((promise.waiting, local(promise.notice_at), local(promise.due_at)))
        work(session, at=promise.due_at if promise.waiting == Waiting.CLOSING else promise.notice_at)
        deliver(session, at=promise.notice_at)

    assert seen == [
        (Waiting.ASKED, "2026-12-18 11:00", "2026-12-18 12:00"),
        # Four working days later, of which Friday ends at 15:00.
        (Waiting.REMINDED, "2026-12-24 08:00", "2026-12-24 09:00"),
        # Six more; between them lie Christmas, two weekends and New Year.
        (Waiting.CLOSING, "2027-01-04 10:00", "2027-01-04 11:00"),
    ]
    assert (case.state, case.outcome) == (CaseState.CLOSED, Outcome.NO_ANSWER)
    customers = letters(session, case, audience=Audience.CUSTOMER)
    assert kinds_of(customers)[1:] == ["question", "waiting_reminder", "closing_announced", "closed"]

    staff = letters(session, case, audience=Audience.STAFF)
    assert kinds_of(staff) == ["staff_new_case", "staff_closed"]


def test_each_rung_is_in_the_customers_history_and_keeps_the_promise_before(session: Session) -> None:
    case = announced(session)

    asked_one, reminded, closing_one = [one for one in all_promises(session, case) if one.waiting is not None]
    for promise, kind, following in (
        (asked_one, Kind.REMINDED, reminded),
        (reminded, Kind.CLOSING_ANNOUNCED, closing_one),
    ):
        (entry,) = entries(session, case, kind)
        assert (promise.state, promise.kept_by_entry_id) == (PromiseState.KEPT, entry.id)
        assert promise.ended_at is not None
        assert promise.ended_at < promise.due_at
        assert (entry.visible, entry.actor, entry.channel, entry.direction) == (
            True,
            Actor.SYSTEM,
            Channel.MAIL,
            Direction.OUT,
        )
        assert entry.facts["due_at"] == following.due_at.isoformat()
    assert [one.remind_at for one in (asked_one, reminded, closing_one)] == [None, None, None]


def test_waiting_counts_as_no_notice(session: Session) -> None:
    case = announced(session)

    assert (case.notices, case.noticed_at, case.lead_since) == (0, None, None)
    assert entries(session, case, Kind.PROMISE_MOVED, Kind.NOTICE) == []


def test_the_letters_repeat_the_question_and_say_what_comes_next(session: Session) -> None:
    case = announced(session)

    reminder = read(letters(session, case, LetterKind.WAITING_REMINDER)[0])
    assert "Gefragt haben wir Sie am Dienstag, 24. November, 10 Uhr" in reminder.text
    assert QUESTION in reminder.text
    assert "Wir melden uns dann noch einmal." in reminder.text
    assert "Miriam Albrecht meldet sich bis Donnerstag, 3. Dezember, 16 Uhr wieder bei Ihnen." in reminder.text
    closes = read(letters(session, case, LetterKind.CLOSING_ANNOUNCED)[0])
    assert QUESTION in closes.text
    assert "Miriam Albrecht schließt den Vorgang am Freitag, 11. Dezember, 11 Uhr, wenn wir bis" in closes.text
    assert "ein Klick auf „Bitte offen lassen“" in closes.text
    assert "auf unsere Frage vom Dienstag, 24. November, 10 Uhr, haben wir" in closes.text
    assert "genügt bis Freitag, 11. Dezember, 11 Uhr, ein Klick" in closes.text
    for mail in (reminder, closes):
        assert "089 99998-214" in mail.text


def test_the_last_letter_says_that_it_was_announced_and_until_when_it_can_be_reopened(session: Session) -> None:
    case = closed(session)

    mail = read(letters(session, case, LetterKind.CLOSED)[0])
    assert "wie angekündigt" in mail.text
    assert "Bis Freitag, 25. Dezember, können Sie den Vorgang wieder öffnen." in mail.text
    (entry,) = entries(session, case, Kind.CLOSED)
    assert (entry.actor, entry.person_id, entry.channel, entry.direction) == (
        Actor.SYSTEM,
        None,
        Channel.MAIL,
        Direction.OUT,
    )


def test_staff_hear_that_no_answer_came(session: Session) -> None:
    case = closed(session)

    mail = read(letters(session, case, LetterKind.STAFF_CLOSED)[0])
    assert mail.subject.startswith("Ohne Antwort abgeschlossen: Angebot anfragen")
    assert "auf unsere Frage kam keine Antwort" in mail.text


def test_an_english_customer_reads_english(session: Session) -> None:
    case = closed(session, language="en")

    reminder, closes, last = (
        read(letters(session, case, kind)[0])
        for kind in (LetterKind.WAITING_REMINDER, LetterKind.CLOSING_ANNOUNCED, LetterKind.CLOSED)
    )
    assert "Miriam Albrecht gets in touch with you again by 4 pm on Thursday 3 December" in reminder.text
    assert "Unless we hear from you, Miriam Albrecht closes the request" in closes.text
    assert "11 am on Friday 11 December" in closes.text
    assert "As announced, your request was closed on Friday 11 December" in last.text


def test_nothing_happens_before_its_time(session: Session) -> None:
    case = asked(session)
    (promise,) = open_promises(session, case)

    assert work(session, at=promise.notice_at - timedelta(seconds=1)) == 0
    assert work(session, at=promise.notice_at) == 1
    assert work(session, at=promise.notice_at) == 0


def test_the_case_is_closed_on_the_date_named_and_not_at_the_time_of_a_notice(session: Session) -> None:
    case = announced(session)
    (promise,) = open_promises(session, case)

    assert work(session, at=promise.due_at - timedelta(seconds=1)) == 0
    assert work(session, at=promise.due_at) == 1
    assert case.state == CaseState.CLOSED


def test_a_closing_happens_in_hours_in_which_its_letter_may_leave(session: Session) -> None:
    session.execute(update(Company).values(sends_until_minute=14 * 60))
    case = announced(session, follow_up_at=berlin("2026-11-30 16:00"))

    (promise,) = open_promises(session, case)
    assert (promise.waiting, local(promise.due_at)[-5:]) == (Waiting.CLOSING, "08:00")
    assert work(session, at=promise.due_at) == 1


# --- a worker that comes late, and two of them -----------------------------------------------------------------------


def test_a_worker_that_was_down_for_two_days_sends_one_letter_with_a_date_ahead(session: Session) -> None:
    case = asked(session)
    night, morning = berlin("2026-12-02 20:15"), berlin("2026-12-03 07:00")

    assert work(session, at=night) == 0
    assert work(session, at=morning) == 1

    (letter,) = letters(session, case, LetterKind.WAITING_REMINDER)
    assert (letter.queued_at, letter.due_at) == (morning, morning)
    (promise,) = open_promises(session, case)
    assert promise.waiting == Waiting.REMINDED
    assert promise.notice_at > morning
    assert "Miriam Albrecht meldet sich" in read(letter).text


def test_a_closing_that_is_late_is_no_lapse_and_only_its_letter_waits_for_the_sending_hours(session: Session) -> None:
    case = announced(session)
    night = berlin("2026-12-11 20:15")

    status = timeline.status_of(session, case, now=night)
    assert (status.word, status.promise and status.promise.late) == (StatusWord.WAITING_FOR_YOU, False)
    assert work(session, at=night) == 1
    assert case.state == CaseState.CLOSED
    assert letters(session, case, LetterKind.CLOSED)[0].due_at == berlin("2026-12-14 07:00")


def test_a_day_that_is_closed_meanwhile_keeps_no_case_open_past_the_date_named(session: Session) -> None:
    case = announced(session)
    (promise,) = open_promises(session, case)
    day = promise.due_at.date()
    session.add(Closure(first_on=day, last_on=day + timedelta(days=4), kind=ClosureKind.CLOSED))
    session.commit()

    assert work(session, at=promise.due_at) == 1
    assert case.state == CaseState.CLOSED


def test_a_closing_the_customer_was_not_told_of_in_time_is_announced_once_more(session: Session) -> None:
    """The relay was down all the while."""
    case = asked(session)
    for _ in range(2):
        work(session, at=open_promises(session, case)[0].notice_at)
    (promise,) = open_promises(session, case)

    assert work(session, at=promise.due_at) == 1

    assert case.state == CaseState.OPEN
    (again,) = open_promises(session, case)
    assert (again.waiting, again.due_at > promise.due_at) == (Waiting.CLOSING, True)
    assert len(letters(session, case, LetterKind.CLOSING_ANNOUNCED)) == 1
    assert len(letters(session, case, LetterKind.CLOSING_ANNOUNCED, states=(LetterState.WITHDRAWN,))) == 1


@pytest.mark.parametrize("rung", [Waiting.ASKED, Waiting.CLOSING])
def test_two_workers_do_nothing_twice(core: Flask, session: Session, rung: Waiting) -> None:
    case = asked(session) if rung == Waiting.ASKED else announced(session)
    (promise,) = open_promises(session, case)
    at, together, did = (
        promise.due_at if rung == Waiting.CLOSING else promise.notice_at,
        threading.Barrier(2),
        list[int](),
    )
    step(session)

    def run() -> None:
        with core.app_context():
            do = go_on_waiting() if rung == Waiting.ASKED else close_unanswered()
            together.wait()
            did.extend(do() for _ in range(3))

    with time_machine.travel(at, tick=False):
        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    session.expire_all()
    assert any(did)
    if rung == Waiting.ASKED:
        assert len(letters(session, case, LetterKind.WAITING_REMINDER)) == 1
        assert len(entries(session, case, Kind.REMINDED)) == 1
    else:
        assert len(letters(session, case, LetterKind.CLOSED)) == 1
        assert len(entries(session, case, Kind.CLOSED)) == 1


def test_an_answer_a_moment_before_the_worker_wins(core: Flask, session: Session) -> None:
    """The worker passes over what somebody has in hand, or waits for it, and then looks at what became of it."""
    case = announced(session)
    at, did = open_promises(session, case)[0].due_at, list[int]()
    step(session)

    def close() -> None:
        with core.app_context():
            did.append(close_unanswered()())

    with time_machine.travel(at, tick=False):
        answering.customer_message(session, case, "Baujahr 2011.", now=at - timedelta(seconds=1))
        session.flush()
        worker = threading.Thread(target=close)
        worker.start()
        worker.join(timeout=0.5)
        step(session)
        worker.join()

    assert len(did) == 1
    assert work(session, at=at) == 0
    session.expire_all()
    assert (case.state, entries(session, case, Kind.CLOSED)) == (CaseState.OPEN, [])
    assert [one.kind for one in open_promises(session, case)] == [PromiseKind.REPLY]


def test_one_broken_case_stops_no_other(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, whole = asked(session), asked(session, email="b@else.example")
    broken_id, next_update = broken.id, scheduling.next_update

    def fail(directory: Any, case: Case, **values: Any) -> Any:
        if case.id == broken_id:
            raise NoBusinessTime
        return next_update(directory, case, **values)

    monkeypatch.setattr(scheduling, "next_update", fail)

    work(session, at=open_promises(session, whole)[0].notice_at)

    assert open_promises(session, broken)[0].waiting == Waiting.ASKED
    assert open_promises(session, whole)[0].waiting == Waiting.REMINDED


# --- what ends it ----------------------------------------------------------------------------------------------------


def writes(session: Session, case: Case, at: datetime) -> None:
    answering.customer_message(session, case, "Baujahr 2011.", now=at)


def keeps_it_open(session: Session, case: Case, at: datetime) -> None:
    waiting.keep_open(session, case, now=at)


def logged(contact: Contact) -> Heard:
    def act(session: Session, case: Case, at: datetime) -> None:
        log(session, case, contact, at=at)

    return act


ANSWERS = {
    "message": writes,
    **{
        contact.value: logged(contact)
        for contact in (Contact.MAIL_IN, Contact.LETTER_IN, Contact.CALL_IN, Contact.CALL_REACHED, Contact.VISIT)
    },
}


@pytest.mark.parametrize(
    ("heard", "rung"),
    [*((act, 0) for act in ANSWERS.values()), *((act, 2) for act in ANSWERS.values()), (writes, 1), (keeps_it_open, 2)],
    ids=[*ANSWERS, *(f"{name}, announced" for name in ANSWERS), "message, reminded", "kept open"],
)
def test_an_answer_at_every_rung_starts_a_new_promise_and_ends_the_old_one(
    session: Session, heard: Heard, rung: int
) -> None:
    case = asked(session)
    for _ in range(rung):
        work(session, at=open_promises(session, case)[0].notice_at)
        deliver(session, at=open_promises(session, case)[0].given_at)
    (waits,) = open_promises(session, case)
    at = waits.notice_at - timedelta(minutes=30)

    heard(session, case, at)
    step(session)

    assert (waits.state, waits.ended_at) == (PromiseState.WITHDRAWN, at)
    (reply,) = open_promises(session, case)
    assert (reply.kind, reply.waiting) == (PromiseKind.REPLY, None)
    assert reply.due_at > at
    assert work(session, at=waits.due_at) == 0
    status = timeline.status_of(session, case, now=waits.due_at + timedelta(minutes=1))
    assert status.question is None
    assert [one.id for one in (status.promise, *status.others) if one is not None] == [reply.id]
    assert (status.word, case.state) == (StatusWord.IN_PROGRESS, CaseState.OPEN)
    newest = letters(session, case, audience=Audience.CUSTOMER)[-1]
    assert newest.promise_id == reply.id
    assert newest.queued_at == at


@pytest.mark.parametrize("medium", [Medium.CALL, Medium.MAIL])
@pytest.mark.parametrize("contact", [None, Contact.MAIL_IN, Contact.VISIT])
def test_a_follow_up_that_a_person_promised_is_no_waiting_and_outlasts_a_word_of_thanks(
    session: Session, medium: Medium, contact: Contact | None
) -> None:
    case = open_case(session)
    deliver(session)
    friday = NewPromise(PromiseKind.FOLLOW_UP, medium, berlin("2026-12-04 12:00"))
    answering.reply(
        session, case, by_id=case.owner_id or 0, text="Ja.", keeps={case.promise_id or 0}, step=friday, now=TEN
    )
    step(session)
    promised = promise_of(session, case, PromiseKind.FOLLOW_UP)

    if contact is None:
        answering.customer_message(session, case, "Danke, bis Freitag.", now=TEN + timedelta(hours=1))
    else:
        log(session, case, contact, at=TEN + timedelta(hours=1))
    step(session)

    assert promise_of(session, case, PromiseKind.FOLLOW_UP).id == promised.id
    assert (promised.waiting, promised.due_at) == (None, friday.due_at)
    (listed,) = worklist.worklist(session, person_id=case.owner_id or 0, scope=Scope.MINE, language="de", now=TEN)
    assert not listed.waits_for_customer


def test_a_question_takes_the_place_of_a_follow_up_that_a_person_promised(session: Session) -> None:
    """Of each kind one promise is open, and who asks says when we get in touch again."""
    case = open_case(session)
    deliver(session)
    friday = NewPromise(PromiseKind.FOLLOW_UP, Medium.CALL, berlin("2026-12-04 12:00"))
    promising.promise_date(session, case, by_id=case.owner_id or 0, step=friday, now=TEN)
    step(session)
    promised = promise_of(session, case, PromiseKind.FOLLOW_UP)

    ask(session, case, keeps=set())
    step(session)

    assert promised.state == PromiseState.WITHDRAWN
    assert promise_of(session, case, PromiseKind.FOLLOW_UP).waiting == Waiting.ASKED


@pytest.mark.parametrize("contact", [Contact.CALL_NOT_REACHED, Contact.CALL_MAILBOX, Contact.LETTER_OUT])
def test_what_we_sent_ends_no_waiting(session: Session, contact: Contact) -> None:
    case = asked(session)

    log(session, case, contact, at=berlin("2026-11-25 10:00"))

    assert [one.waiting for one in open_promises(session, case)] == [Waiting.ASKED]


def test_a_talk_with_a_next_step_leaves_that_alone(session: Session) -> None:
    case = asked(session)
    result = NewPromise(PromiseKind.RESULT, Medium.MAIL, MONDAY_NOON)

    log(session, case, Contact.CALL_REACHED, at=berlin("2026-11-25 10:00"), next_step=result)

    assert [one.kind for one in open_promises(session, case)] == [PromiseKind.RESULT]


def test_a_letter_of_the_ladder_that_was_not_sent_is_taken_back_by_an_answer(session: Session) -> None:
    case = asked(session)
    work(session, at=open_promises(session, case)[0].notice_at)

    answering.customer_message(session, case, "Baujahr 2011.", now=berlin("2026-11-30 11:05"))

    assert letters(session, case, LetterKind.WAITING_REMINDER) == []


def test_a_new_question_begins_anew(session: Session) -> None:
    case = announced(session)
    at = berlin("2026-12-07 10:00")

    ask(session, case, keeps=set(), follow_up_at=berlin("2026-12-11 12:00"), at=at)
    step(session)

    (promise,) = open_promises(session, case)
    assert (promise.waiting, local(promise.due_at)) == (Waiting.ASKED, "2026-12-11 12:00")
    assert promise.first_due_at == promise.due_at


def test_more_time_for_the_answer_begins_anew_and_a_call_of_ours_is_a_persons(session: Session) -> None:
    case, other = asked(session), asked(session, email="b@else.example")
    at, later = berlin("2026-11-25 10:00"), berlin("2026-12-04 12:00")

    for one, medium in ((case, Medium.MAIL), (other, Medium.CALL)):
        promising.promise_date(
            session, one, by_id=one.owner_id or 0, step=NewPromise(PromiseKind.FOLLOW_UP, medium, later), now=at
        )
        step(session)

    assert [one.waiting for one in open_promises(session, case)] == [Waiting.ASKED]
    (promise,) = open_promises(session, other)
    assert (promise.waiting, promise.remind_at is not None) == (None, True)


# --- keeping it open -------------------------------------------------------------------------------------------------


def test_keeping_it_open_promises_a_reply_and_tells_everybody(session: Session) -> None:
    case = announced(session)
    (closes,) = open_promises(session, case)
    at = berlin("2026-12-07 10:00")

    waiting.keep_open(session, case, now=at)
    step(session)

    assert closes.state == PromiseState.WITHDRAWN
    assert [one.kind for one in open_promises(session, case)] == [PromiseKind.REPLY]
    (entry,) = entries(session, case, Kind.KEPT_OPEN)
    assert (entry.visible, entry.actor, entry.direction) == (True, Actor.CUSTOMER, Direction.IN)
    assert kinds_of(letters(session, case)[-2:]) == ["message_received", "staff_message"]
    assert work(session, at=closes.due_at) == 0


@pytest.mark.parametrize(
    ("language", "stays", "unsaid"),
    [
        (
            "de",
            "Ihr Anliegen bleibt offen, wie Sie es am Montag, 7. Dezember, 10 Uhr, gewünscht haben.",
            "Ihre Nachricht",
        ),
        ("en", "Your request stays open, as you asked at 10 am on Monday 7 December.", "our message"),
    ],
)
def test_the_letters_about_keeping_it_open_speak_of_no_message(
    session: Session, language: str, stays: str, unsaid: str
) -> None:
    case = announced(session, language=language)

    waiting.keep_open(session, case, now=berlin("2026-12-07 10:00"))
    step(session)

    to_customer, to_staff = (read(one) for one in letters(session, case)[-2:])
    assert stays in to_customer.text and stays in to_customer.html
    assert to_customer.subject.startswith(stays[: stays.index(",")])
    assert unsaid not in to_customer.subject + to_customer.text + to_customer.html
    assert to_staff.subject.startswith("Soll offen bleiben, fällig")
    assert "Sabine Krüger möchte diesen Vorgang offen lassen" in to_staff.text
    assert "Neue Nachricht" not in to_staff.subject + to_staff.html


def test_keeping_open_what_nobody_closes_changes_nothing(session: Session) -> None:
    case = asked(session)
    version = case.version

    waiting.keep_open(session, case, now=berlin("2026-11-25 10:00"))
    step(session)

    assert case.version == version
    assert entries(session, case, Kind.KEPT_OPEN) == []


def test_a_wish_that_comes_a_moment_after_the_closing_opens_it_again(session: Session) -> None:
    case = closed(session)

    waiting.keep_open(session, case, now=berlin("2026-12-11 11:01"))
    step(session)

    assert case.state == CaseState.OPEN
    assert promise_of(session, case, PromiseKind.REPLY).waiting is None


def test_what_was_closed_otherwise_is_not_kept_open(session: Session) -> None:
    case = asked(session)
    closing.close(session, case, by_id=None, outcome=Outcome.DONE, text="", now=TEN)
    step(session)

    with refused(session, NotOpen):
        waiting.keep_open(session, case, now=TEN)


def test_a_case_closed_for_want_of_an_answer_can_be_reopened_for_fourteen_days(session: Session) -> None:
    case = closed(session)

    with refused(session, NotReopenable):
        closing.reopen(session, case, by_id=None, text="", now=berlin("2026-12-26 00:00"))
    closing.reopen(session, case, by_id=None, text="Baujahr 2011.", now=berlin("2026-12-25 23:00"))
    step(session)

    (reply,) = open_promises(session, case)
    assert (reply.kind, reply.waiting, case.outcome) == (PromiseKind.REPLY, None, None)


# --- while we owe something ------------------------------------------------------------------------------------------


def test_a_case_in_which_we_owe_something_is_never_closed(session: Session) -> None:
    """The customer is reminded, again and again, and nothing else."""
    case = open_case(session)
    deliver(session)
    promising.promise_date(
        session,
        case,
        by_id=case.owner_id or 0,
        step=NewPromise(PromiseKind.RESULT, Medium.MAIL, berlin("2027-03-01 12:00")),
        now=TEN,
    )
    step(session)
    ask(session, case, keeps={promise_of(session, case, PromiseKind.REPLY).id})
    step(session)
    deliver(session, at=TEN)

    for _ in range(4):
        promise = promise_of(session, case, PromiseKind.FOLLOW_UP)
        work(session, at=promise.notice_at)
        deliver(session, at=promise.notice_at)

    assert promise_of(session, case, PromiseKind.FOLLOW_UP).waiting == Waiting.REMINDED
    assert len(letters(session, case, LetterKind.WAITING_REMINDER)) == 4
    assert letters(session, case, LetterKind.CLOSING_ANNOUNCED, LetterKind.CLOSED) == []


def test_on_the_day_of_a_notice_nobody_is_reminded_of_what_they_owe_us(session: Session) -> None:
    """The worker was down: our reply is late, and the customer's answer is, too. They get one letter, about ours."""
    case = open_case(session)
    deliver(session)
    ask(session, case, keeps=(), follow_up_at=berlin("2026-11-26 12:00"))
    step(session)
    deliver(session, at=TEN)
    back = berlin("2026-11-27 08:00")

    work(session, at=back)
    delaying.give_notice(session, case, now=back)
    step(session)

    (letter,) = letters(session, case, audience=Audience.CUSTOMER, states=(LetterState.QUEUED,))
    follow_up = promise_of(session, case, PromiseKind.FOLLOW_UP)
    assert letter.kind == LetterKind.DELAY_NOTICE
    assert (follow_up.waiting, follow_up.remind_at) == (Waiting.ASKED, None)
    assert follow_up.due_at > back


def test_a_promise_takes_an_announced_closing_back_and_its_end_announces_it_again(session: Session) -> None:
    case = announced(session)
    result = NewPromise(PromiseKind.RESULT, Medium.MAIL, berlin("2026-12-21 12:00"))

    promising.promise_date(session, case, by_id=case.owner_id or 0, step=result, now=berlin("2026-12-07 10:00"))
    step(session)

    waits = promise_of(session, case, PromiseKind.FOLLOW_UP)
    status = timeline.status_of(session, case, now=berlin("2026-12-07 10:05"))
    assert status.promise is not None
    assert (status.promise.closes, status.promise.waits, "keep_open" in status.can) == (False, True, False)
    assert (status.word, status.question) == (StatusWord.IN_PROGRESS, QUESTION)
    assert work(session, at=waits.notice_at) == 1
    again = promise_of(session, case, PromiseKind.FOLLOW_UP)
    assert (again.waiting, again.id != waits.id, case.state) == (Waiting.REMINDED, True, CaseState.OPEN)
    owed = promise_of(session, case, PromiseKind.RESULT)
    answering.reply(
        session,
        case,
        by_id=case.owner_id or 0,
        text="Bitte.",
        keeps={owed.id},
        step=None,
        now=berlin("2026-12-15 10:00"),
    )
    assert work(session, at=again.notice_at) == 1
    assert open_promises(session, case)[0].waiting == Waiting.CLOSING


def test_a_closing_that_is_taken_back_takes_its_unsent_letter_along(session: Session) -> None:
    case = asked(session)
    work(session, at=open_promises(session, case)[0].notice_at)
    deliver(session, at=MONDAY_NOON)
    work(session, at=open_promises(session, case)[0].notice_at)
    (closes,) = open_promises(session, case)
    (letter,) = letters(session, case, LetterKind.CLOSING_ANNOUNCED)
    at = closes.given_at + timedelta(minutes=5)
    result = NewPromise(PromiseKind.RESULT, Medium.MAIL, berlin("2026-12-21 12:00"))

    promising.promise_date(session, case, by_id=case.owner_id or 0, step=result, now=at)
    step(session)

    assert (letter.state, letter.ended_at) == (LetterState.WITHDRAWN, at)
    assert kinds_of(letters(session, case, audience=Audience.CUSTOMER, states=(LetterState.QUEUED,))) == [
        LetterKind.PROMISE_GIVEN
    ]
    assert closes.waiting == Waiting.REMINDED


def test_an_announcement_that_cannot_be_delivered_leaves_a_call_and_closes_nothing(session: Session) -> None:
    case = asked(session)
    for _ in range(2):
        deliver(session, at=TEN)
        work(session, at=open_promises(session, case)[0].notice_at)
    (letter,) = letters(session, case, LetterKind.CLOSING_ANNOUNCED)
    at = letter.queued_at
    letter.state, letter.ended_at = LetterState.FAILED, at
    undelivered.letter_died(session, letter.id, now=at)
    step(session)

    assert {one.kind: one.waiting for one in open_promises(session, case)} == {
        PromiseKind.CALL: None,
        PromiseKind.FOLLOW_UP: Waiting.REMINDED,
    }


@pytest.mark.parametrize("rung", [Waiting.ASKED, Waiting.REMINDED, Waiting.CLOSING])
def test_whoever_has_no_address_is_called_and_their_case_closed_by_nobody_but_a_person(
    session: Session, rung: Waiting
) -> None:
    case = asked(session)
    (promise,) = open_promises(session, case)
    case.customer.email, case.customer.email_key, promise.waiting = None, None, rung
    at = promise.due_at

    assert work(session, at=at) == 1

    (call,) = open_promises(session, case)
    (told,) = letters(session, case, LetterKind.STAFF_UNDELIVERABLE)
    assert (call.kind, call.medium, call.waiting, case.state) == (PromiseKind.CALL, Medium.CALL, None, CaseState.OPEN)
    assert call.due_at > at
    words = " ".join(read(told).text.split())
    assert "konnten wir nicht schicken. Zu diesem Anliegen gibt es keine E-Mail-Adresse." in words
    assert letters(session, case, LetterKind.WAITING_REMINDER, LetterKind.CLOSING_ANNOUNCED) == []
    assert work(session, at=call.due_at + timedelta(days=60)) == 0, "it closes nothing and announces nothing"


def test_whoever_is_asked_once_more_without_an_address_waits_for_nothing_either(session: Session) -> None:
    """The call that took the first question's place is still ahead."""
    case = asked(session)
    later = NewPromise(PromiseKind.CALL, Medium.CALL, berlin("2026-12-18 12:00"))
    promising.promise_date(session, case, by_id=case.owner_id or 0, step=later, now=TEN)
    step(session)
    deliver(session, at=TEN)
    case = session.get_one(Case, case.id)
    case.customer.email, case.customer.email_key = None, None
    first = promise_of(session, case, PromiseKind.FOLLOW_UP).notice_at
    assert work(session, at=first) == 1

    case = session.get_one(Case, case.id)
    ask(session, case, keeps=set(), follow_up_at=berlin("2026-12-08 12:00"), at=first + timedelta(hours=2))
    step(session)
    assert work(session, at=promise_of(session, case, PromiseKind.FOLLOW_UP).notice_at) == 1

    assert [(one.kind, one.due_at) for one in open_promises(session, case)] == [(PromiseKind.CALL, later.due_at)]
    assert len(letters(session, case, LetterKind.STAFF_UNDELIVERABLE)) == 2


def test_whoever_has_neither_address_nor_number_gets_a_letter_by_post(session: Session) -> None:
    case = asked(session, phone_e164=None, phone_shown=None)
    (promise,) = open_promises(session, case)
    case.customer.email, case.customer.email_key = None, None

    work(session, at=promise.notice_at)

    (task,) = open_promises(session, case)
    assert (task.kind, task.medium) == (PromiseKind.REPLY, Medium.LETTER)


# --- what the pages say ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rung", [0, 1, 2])
def test_the_page_says_that_we_wait_and_offers_to_keep_it_open_where_a_closing_is_announced(
    session: Session, rung: int
) -> None:
    case = asked(session)
    for _ in range(rung):
        deliver(session, at=open_promises(session, case)[0].given_at)
        work(session, at=open_promises(session, case)[0].notice_at)

    status = timeline.status_of(session, case, now=open_promises(session, case)[0].given_at)

    assert (status.word, status.question) == (StatusWord.WAITING_FOR_YOU, QUESTION)
    assert status.promise is not None
    assert (status.promise.closes, "keep_open" in status.can) == (rung == 2, rung == 2)
    said = "schließt" if rung == 2 else "meldet sich bis"
    assert said in status.promise.sentence


# --- helpers ---------------------------------------------------------------------------------------------------------


def asked(session: Session, slug: str = "angebot", *, follow_up_at: datetime = MONDAY_NOON, **changes: Any) -> Case:
    """A case whose reply was a question, and all its letters delivered."""
    case = open_case(session, slug, **changes)
    deliver(session)
    assert case.promise_id is not None
    ask(session, case, keeps={case.promise_id}, follow_up_at=follow_up_at)
    step(session)
    deliver(session, at=TEN)
    return case


def ask(
    session: Session, case: Case, *, keeps: set[int], follow_up_at: datetime = MONDAY_NOON, at: datetime = TEN
) -> None:
    assert case.owner_id is not None
    answering.ask(session, case, by_id=case.owner_id, text=QUESTION, keeps=keeps, follow_up_at=follow_up_at, now=at)


def announced(session: Session, **changes: Any) -> Case:
    """The closing is announced for Friday, 11 December, 11:00, and the letter delivered."""
    case = asked(session, **changes)
    for _ in range(2):
        at = open_promises(session, case)[0].notice_at
        work(session, at=at)
        deliver(session, at=at)
    return case


def closed(session: Session, **changes: Any) -> Case:
    """A case that ended without an answer."""
    case = announced(session, **changes)
    work(session, at=open_promises(session, case)[0].due_at)
    assert case.state == CaseState.CLOSED
    return case


def log(session: Session, case: Case, contact: Contact, *, at: datetime, next_step: NewPromise | None = None) -> None:
    contacts.log_contact(
        session,
        case,
        by_id=case.owner_id or 0,
        contact=contact,
        text="",
        at=at,
        keeps=(),
        step=next_step,
        visible=True,
        now=at,
    )


def work(session: Session, *, at: datetime) -> int:
    """What a worker does at that moment for those who wait; how often it did something."""
    step(session)
    did = 0
    with time_machine.travel(at, tick=False):
        for do in (go_on_waiting(), close_unanswered()):
            while do():
                did += 1
                assert did < 10, "the worker spins"
    return did


def local(at: datetime) -> str:
    return at.astimezone(ZoneInfo("Europe/Berlin")).strftime("%Y-%m-%d %H:%M")
