"""What becomes of a letter, whatever the relay does: one delivery after another against a real server."""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import DEFAULT, Mock

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from portal import clock, db
from portal.cases.models import Case
from portal.cases.settling import hold
from portal.journal.models import Kind
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import LetterState
from portal.mail.transport import Relay
from portal.promises.models import PromiseKind
from tests.support.processes import Running, wait_until
from tests.support.smtp_sink import SmtpSink
from tests.worker import rows
from tests.worker.conftest import CUSTOMER
from worker.delivery import Delivery

LONG_PAUSE = {"PORTAL_MAIL_RETRY_BASE": "60"}
LOGIN = {"PORTAL_MAIL_USERNAME": "durchwahl", "PORTAL_MAIL_PASSWORD": "not this one"}
TLS = {"PORTAL_MAIL_USE_TLS": "true"}
Open = Callable[..., int]
Start = Callable[..., Running]


def only_for_the_customer(mode: str) -> Callable[[str, int], str]:
    """The relay does that to the customer's letters and takes the others."""
    return lambda recipient, attempt: mode if recipient == CUSTOMER else "ok"


# --- taken, and not taken for now ---


def test_a_letter_the_relay_takes_is_sent(deliver: Delivery, open_case: Open, sink: SmtpSink) -> None:
    case = open_case()

    found = [deliver(), deliver(), deliver()]

    assert found == [True, True, False]
    assert [(letter.state, letter.tries) for letter in rows.letters(case)] == [(LetterState.SENT, 0)] * 2
    assert [kept.message_id for kept in sink.messages] == [letter.message_id for letter in rows.letters(case)]


@pytest.mark.parametrize("mode", ["greylist_451", "data_451", "rcpt_450", "begin_421", "close_mid_data"])
def test_a_letter_put_off_is_tried_again_and_delivered_once(
    deliver: Delivery, open_case: Open, sink: SmtpSink, mode: str
) -> None:
    sink.rule = lambda recipient, attempt: mode if recipient == CUSTOMER and attempt == 1 else "ok"
    case = open_case()

    rows.deliver_all(deliver, case)

    letter = rows.to_customer(case)
    assert (letter.state, letter.tries, letter.last_error) == (LetterState.SENT, 1, None)
    assert [kept.message_id for kept in sink.messages].count(letter.message_id) == 1


def test_a_letter_put_off_says_why_and_waits(deliver: Delivery, open_case: Open, sink: SmtpSink) -> None:
    sink.rule = only_for_the_customer("rcpt_451")
    case = open_case()
    before = clock.utc_now()

    deliver()

    letter = rows.to_customer(case)
    assert (letter.state, letter.tries) == (LetterState.QUEUED, 1)
    assert letter.last_error == "the relay puts off the recipient (451 4.0.0)"
    assert letter.give_up_at is not None and letter.give_up_at > before + timedelta(hours=47)


@pytest.mark.parametrize(
    ("settings", "mode"),
    [({}, "close_after_store"), ({"PORTAL_MAIL_DEADLINE": "1"}, "hang_after_dot")],
    ids=["the relay hangs up before its word", "the relay never says its word"],
)
def test_a_letter_without_the_relays_word_goes_out_again_under_the_same_name(
    deliver: Delivery, open_case: Open, sink: SmtpSink, mode: str
) -> None:
    sink.script(mode)
    case = open_case()

    rows.deliver_all(deliver, case)

    letter = rows.to_customer(case)
    assert (letter.state, letter.tries) == (LetterState.SENT, 1)
    assert [kept.message_id for kept in sink.messages].count(letter.message_id) == 2


def test_a_letter_with_the_relays_word_is_sent_whatever_comes_after(
    deliver: Delivery, open_case: Open, sink: SmtpSink
) -> None:
    sink.mode = "close_after_250"
    case = open_case()

    rows.deliver_all(deliver, case)

    assert [(letter.state, letter.tries) for letter in rows.letters(case)] == [(LetterState.SENT, 0)] * 2
    assert [kept.message_id for kept in sink.messages] == [letter.message_id for letter in rows.letters(case)]


# --- refused for good ---


@pytest.mark.parametrize(
    ("phone", "kind"),
    [("+498999998533", PromiseKind.CALL), (None, PromiseKind.REPLY)],
    ids=["with a number", "without a number"],
)
def test_a_refused_letter_fails_and_leaves_a_task_that_staff_are_told_of(
    deliver: Delivery, open_case: Open, sink: SmtpSink, phone: str | None, kind: PromiseKind
) -> None:
    sink.rule = only_for_the_customer("rcpt_550")
    case = open_case(phone=phone)

    rows.deliver_all(deliver, case)

    letter = rows.to_customer(case)
    assert (letter.state, letter.last_error) == (LetterState.FAILED, "the relay refuses the recipient (550 5.0.0)")
    assert kind in [promise.kind for promise in rows.open_promises(case)]
    assert rows.noted(case, Kind.LETTER_FAILED) == 1
    told = rows.letters(case)[-1]
    assert (told.kind, told.state) == (LetterKind.STAFF_UNDELIVERABLE, LetterState.SENT)


def test_a_letter_put_off_and_then_refused_says_that_it_was_refused(
    deliver: Delivery, open_case: Open, sink: SmtpSink
) -> None:
    answers = {1: "rcpt_450", 2: "rcpt_550"}
    sink.rule = lambda recipient, attempt: answers[attempt] if recipient == CUSTOMER else "ok"
    case = open_case()

    rows.deliver_all(deliver, case)

    assert rows.to_customer(case).state == LetterState.FAILED
    told = sink.messages[-1].parsed().get_body(("plain",))
    assert told is not None
    assert "endgültig nicht an" in told.get_content()
    assert "48 Stunden" not in told.get_content()


def test_a_letter_put_off_for_48_hours_fails_and_leaves_a_task(
    deliver: Delivery, open_case: Open, sink: SmtpSink
) -> None:
    sink.rule = only_for_the_customer("rcpt_451")
    case = open_case(phone="+498999998533")
    rows.change(rows.to_customer(case), tries=1, give_up_at=clock.utc_now())

    rows.deliver_all(deliver, case)

    assert rows.to_customer(case).state == LetterState.FAILED
    assert PromiseKind.CALL in [promise.kind for promise in rows.open_promises(case)]


@pytest.mark.parametrize(
    "address", ["müller@haustechnik.example", "two words@haustechnik.example", "nobody", "a@b\r\nc"]
)
def test_a_letter_to_an_address_that_mail_cannot_carry_fails_and_the_others_leave(
    deliver: Delivery, open_case: Open, sink: SmtpSink, address: str
) -> None:
    case = open_case(phone="+498999998533")
    rows.change(rows.to_customer(case), to_address=address)

    rows.deliver_all(deliver, case)

    letter = rows.to_customer(case)
    assert letter.state == LetterState.FAILED
    assert letter.last_error is not None and letter.last_error.startswith("recipient: ")
    assert {kept.message_id for kept in sink.messages} == {
        letter.message_id for letter in rows.letters(case) if letter.state == LetterState.SENT
    }
    assert PromiseKind.CALL in [promise.kind for promise in rows.open_promises(case)]


@pytest.mark.parametrize("mode", ["rcpt_550", "rcpt_451"])
def test_a_letter_that_dies_and_a_step_of_its_case_do_not_wait_for_each_other(
    core: Flask, open_case: Open, sink: SmtpSink, mode: str
) -> None:
    asked, held = threading.Event(), threading.Event()
    case_id = open_case()
    faults: list[Exception] = []
    rows.change(rows.to_customer(case_id), tries=1, give_up_at=clock.utc_now())

    def answer_once_the_case_is_held(recipient: str, attempt: int) -> str:
        asked.set()
        held.wait(rows.PATIENCE)
        return mode

    def deliver_one() -> None:
        with core.app_context():
            step = Delivery(Relay(core.extensions["portal.post"]))
            try:
                step()
            except Exception as fault:
                faults.append(fault)
            step.close()

    sink.rule = answer_once_the_case_is_held
    worker = threading.Thread(target=deliver_one)
    worker.start()
    assert asked.wait(rows.PATIENCE)
    with db.writing() as session:
        hold(session, session.get_one(Case, case_id))
        held.set()
        time.sleep(0.5)  # by now the worker has the letter, if it takes that first
        outbox.withdraw(session, case_id, now=clock.utc_now())
    worker.join()

    assert faults == []
    assert {letter.state for letter in rows.letters(case_id)} == {LetterState.WITHDRAWN}


def test_one_letter_that_breaks_us_does_not_stop_the_others(
    deliver: Delivery, open_case: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, whole = open_case(), open_case("other@haustechnik.example")
    send = Relay.send

    def break_for_one(relay: Relay, **letter: Any) -> bool:
        if letter["recipient"] == CUSTOMER:
            raise RuntimeError
        return send(relay, **letter)

    monkeypatch.setattr(Relay, "send", break_for_one)

    with pytest.raises(RuntimeError):
        deliver()
    rows.try_all(deliver, whole)

    letter = rows.to_customer(broken)
    assert letter.tries >= 1
    assert letter.last_error == "a fault of ours (RuntimeError)"


# --- a channel that is faulty ---


@pytest.mark.parametrize(
    ("settings", "mode"),
    [
        (LOGIN | LONG_PAUSE, "auth_535"),
        (TLS | LONG_PAUSE, "starttls"),
        (TLS | LONG_PAUSE, "starttls_missing"),
        (LONG_PAUSE, "mail_550_5.1.8"),
    ],
    ids=["wrong password", "unknown certificate", "no encryption", "sender refused"],
)
def test_a_faulty_channel_is_paused_and_no_letter_pays_for_it(
    deliver: Delivery, open_case: Open, sink: SmtpSink, mode: str
) -> None:
    sink.mode = mode
    case = open_case()

    found = [deliver(), deliver(), deliver()]

    assert found == [True, False, False]
    assert sink.connections == 1
    channel = rows.channel()
    assert channel is not None and channel.paused_until is not None
    assert channel.paused_until > clock.utc_now()
    assert channel.reason is not None and channel.reason.startswith("the relay")
    assert [(letter.state, letter.tries) for letter in rows.letters(case)] == [(LetterState.QUEUED, 0)] * 2


@pytest.mark.parametrize("mode", ["rcpt_503", "rcpt_521", "begin_503", "data_521"])
def test_what_the_relay_refuses_for_one_letter_stops_no_other(
    deliver: Delivery, open_case: Open, sink: SmtpSink, mode: str
) -> None:
    sink.rule = only_for_the_customer(mode)
    case = open_case()

    rows.deliver_all(deliver, case)

    assert rows.to_customer(case).state == LetterState.FAILED
    assert [letter.state for letter in rows.letters(case)[1:]] == [LetterState.SENT] * 2
    assert rows.channel() is None


def test_a_letter_that_alone_meets_a_fault_of_the_channel_dies_in_the_end_and_the_others_leave(
    deliver: Delivery, open_case: Open, sink: SmtpSink
) -> None:
    sink.rule = only_for_the_customer("rcpt_530")
    case = open_case(phone="+498999998533")
    rows.change(rows.to_customer(case), give_up_at=clock.utc_now())

    rows.deliver_all(deliver, case)

    letter = rows.to_customer(case)
    assert (letter.state, letter.tries) == (LetterState.FAILED, 0)
    assert PromiseKind.CALL in [promise.kind for promise in rows.open_promises(case)]
    assert rows.noted(case, Kind.LETTER_FAILED) == 1
    assert [letter.state for letter in rows.letters(case)[1:]] == [LetterState.SENT] * 2


@pytest.mark.parametrize("settings", [LOGIN | LONG_PAUSE], ids=["with a password"])
def test_a_channel_that_works_again_takes_up_where_it_stopped(
    deliver: Delivery, open_case: Open, sink: SmtpSink
) -> None:
    sink.mode = "auth_535"
    case = open_case()
    deliver()
    sink.mode = "ok"
    rows.end_pause()

    rows.deliver_all(deliver, case)

    assert [(letter.state, letter.tries) for letter in rows.letters(case)] == [(LetterState.SENT, 0)] * 2
    channel = rows.channel()
    assert channel is not None
    assert (channel.faults, channel.paused_until, channel.reason) == (0, None, None)


@pytest.mark.parametrize("settings", [LOGIN | LONG_PAUSE], ids=["with a password"])
def test_a_worker_started_after_the_fault_says_that_the_channel_works(
    core: Flask, deliver: Delivery, open_case: Open, sink: SmtpSink
) -> None:
    sink.mode = "auth_535"
    case = open_case()
    deliver()
    sink.mode = "ok"
    rows.end_pause()
    successor = Delivery(Relay(core.extensions["portal.post"]))

    rows.deliver_all(successor, case)
    successor.close()

    channel = rows.channel()
    assert channel is not None and channel.faults == 0


@pytest.mark.parametrize("settings", [LONG_PAUSE], ids=["a long pause"])
def test_a_sender_that_mail_cannot_carry_is_a_fault_of_the_channel(
    core: Flask, deliver: Delivery, open_case: Open
) -> None:
    case = open_case()
    settings = core.extensions["portal.settings"]
    core.extensions["portal.settings"] = replace(settings, mail_default_sender="büro@beispielwerke.example")

    deliver()

    assert [(letter.state, letter.tries) for letter in rows.letters(case)] == [(LetterState.QUEUED, 0)] * 2
    channel = rows.channel()
    assert channel is not None and channel.faults == 1


def test_two_workers_may_meet_the_first_fault_at_the_same_moment(core: Flask, open_case: Open) -> None:
    open_case()
    lease = timedelta(minutes=1)
    with db.writing() as session:
        claimed = [outbox.claim(session, now=clock.utc_now(), lease=lease) for _ in range(2)]
    first, second = (letter for letter in claimed if letter is not None)

    def meet_second() -> None:
        with core.app_context(), db.writing() as session:
            outbox.pause_channel(session, second, "a fault", now=clock.utc_now(), base=60)

    with db.writing() as session:
        outbox.pause_channel(session, first, "a fault", now=clock.utc_now(), base=60)
        other = threading.Thread(target=meet_second)
        other.start()
        other.join(0.3)
    other.join()

    channel = rows.channel()
    assert channel is not None and channel.faults == 1, "one fault, met by two, is one pause"


# --- withdrawn while it is under way ---


@pytest.fixture
def withdraw_at_recipient(core: Flask, sink: SmtpSink) -> Callable[[int, str], None]:
    """While the relay thinks about the recipient, the letters of the case are withdrawn; then it answers so."""

    def arrange(case: int, mode: str) -> None:
        def rule(recipient: str, attempt: int) -> str:
            with core.app_context(), db.writing() as session:
                outbox.withdraw(session, case, now=clock.utc_now())
            return mode

        sink.rule = rule

    return arrange


@pytest.mark.parametrize("mode", ["ok", "rcpt_451", "rcpt_550"])
def test_a_letter_withdrawn_before_its_bytes_leave_is_not_sent(
    deliver: Delivery,
    open_case: Open,
    sink: SmtpSink,
    withdraw_at_recipient: Callable[[int, str], None],
    mode: str,
) -> None:
    case = open_case()
    withdraw_at_recipient(case, mode)

    found = [deliver(), deliver()]

    assert found == [True, False]
    assert sink.received == 0
    assert {letter.state for letter in rows.letters(case)} == {LetterState.WITHDRAWN}
    assert (rows.noted(case, Kind.LETTER_FAILED), len(rows.open_promises(case))) == (0, 1)


def test_a_letter_out_of_date_before_its_bytes_leave_is_not_sent(
    core: Flask, deliver: Delivery, open_case: Open, sink: SmtpSink
) -> None:
    """It comes back to be written anew, with no attempt counted; the colleague's letter does not wait for it."""
    case = open_case()
    letter = rows.to_customer(case)

    def end_at_recipient(recipient: str, attempt: int) -> str:
        if recipient == CUSTOMER:
            with core.app_context():
                rows.change(letter, valid_until=clock.utc_now())
        return "ok"

    sink.rule = end_at_recipient

    found = [deliver(), deliver(), deliver()]

    assert found == [True, True, False]
    letter = rows.to_customer(case)
    assert (letter.state, letter.tries, letter.last_error) == (LetterState.QUEUED, 0, None)
    assert [kept.message_id for kept in sink.messages] == [rows.to_colleague(case).message_id]


def test_a_letter_withdrawn_after_its_bytes_have_left_counts_as_sent(
    core: Flask, start_worker: Start, open_case: Open, sink: SmtpSink
) -> None:
    sink.delay_ms = 1000
    case = open_case()
    start_worker()
    sink.wait_for(1, rows.PATIENCE)

    with db.writing() as session:
        outbox.withdraw(session, case, now=clock.utc_now())

    wait_until(lambda: rows.have_ended(case), rows.PATIENCE, "letters still wait")
    assert [letter.state for letter in rows.letters(case)] == [LetterState.SENT, LetterState.WITHDRAWN]
    assert sink.received == 1


# --- time, signals and the database ---


@pytest.mark.parametrize("settings", [{"PORTAL_MAIL_DEADLINE": "2"}], ids=["two seconds"])
def test_a_relay_that_drips_holds_one_worker_until_the_deadline_and_no_other(
    core: Flask, deliver: Delivery, open_case: Open, sink: SmtpSink
) -> None:
    sink.rule = only_for_the_customer("drip")
    slow = open_case()
    held: list[float] = []

    def deliver_slowly() -> None:
        with core.app_context():
            step, began = Delivery(Relay(core.extensions["portal.post"])), time.monotonic()
            step()
            held.append(time.monotonic() - began)
            step.close()

    worker = threading.Thread(target=deliver_slowly)
    worker.start()
    wait_until(lambda: rows.to_customer(slow).state == LetterState.SENDING, rows.PATIENCE, "nobody took it")
    quick = open_case("other@haustechnik.example")
    rows.deliver_all(deliver, quick)
    others_left_first = worker.is_alive()
    worker.join()

    assert others_left_first
    assert 2 <= held[0] < 7
    assert rows.to_customer(slow).state == LetterState.QUEUED


def test_a_worker_told_to_end_finishes_the_letter_at_hand(
    core: Flask, start_worker: Start, open_case: Open, sink: SmtpSink
) -> None:
    sink.delay_ms = 1000
    case = open_case()
    worker = start_worker()
    sink.wait_for(1, rows.PATIENCE)

    worker.send(signal.SIGTERM)

    assert worker.wait_for_end() == 0
    assert [letter.state for letter in rows.letters(case)] == [LetterState.SENT, LetterState.QUEUED]
    assert sink.received == 1


def test_a_worker_held_past_its_lease_loses_the_letter_to_another(
    core: Flask, start_worker: Start, open_case: Open, sink: SmtpSink
) -> None:
    held = start_worker(mail_deadline="1", mail_lease="1.5")

    def hold_the_first(recipient: str, attempt: int) -> str:
        if (recipient, attempt) == (CUSTOMER, 1):
            os.kill(held.pid, signal.SIGSTOP)
        return "ok"

    sink.rule = hold_the_first
    case = open_case()
    wait_until(held.is_stopped, rows.PATIENCE, "the worker was not held")
    start_worker()
    wait_until(lambda: rows.have_ended(case), rows.PATIENCE, "no other worker sent it")
    held.send(signal.SIGCONT)
    wait_until(lambda: "lease lost" in held.said(), rows.PATIENCE, "nothing was said of the lease")

    letter = rows.to_customer(case)
    assert (letter.state, letter.tries) == (LetterState.SENT, 1)
    assert [kept.message_id for kept in sink.messages].count(letter.message_id) == 1


def test_the_relays_word_is_noted_as_soon_as_the_database_is_back(
    deliver: Delivery, open_case: Open, sink: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = open_case()
    fault = OperationalError("UPDATE letter", None, Exception())
    away_once = Mock(wraps=outbox.mark_sent, side_effect=[fault, DEFAULT, DEFAULT])
    monkeypatch.setattr(outbox, "mark_sent", away_once)

    rows.deliver_all(deliver, case)

    assert [(letter.state, letter.tries) for letter in rows.letters(case)] == [(LetterState.SENT, 0)] * 2
    assert sink.received == 2
