"""What befalls a letter on its way to the relay, against a real server that fails in every way we know of."""

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import flask_mail
import pytest
from flask import Flask

from portal.mail import transport
from portal.mail.message import UnsafeHeader
from portal.mail.transport import ChannelFault, DeliveryFault, Post, Refused, Relay, TryLater
from tests.support.smtp_sink import CERTIFICATE, SmtpSink, faults

MESSAGE = b"From: a@beispielwerke.example\r\nMessage-ID: <1@beispielwerke.example>\r\n\r\nGuten Tag\r\n"
ADDRESSES = {"sender": "service@beispielwerke.example", "recipient": "anna@kundin.example"}

# Beyond what the kernel keeps for a reader that does not read.
HUGE = MESSAGE + b"x" * 40_000_000 + b"\r\n"

PASSWORD = {"MAIL_USERNAME": "durchwahl", "MAIL_PASSWORD": "very-secret"}


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as server:
        yield server


@pytest.fixture
def trusted(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "roots.pem"
    path.write_text(CERTIFICATE, encoding="ascii")
    return {"MAIL_CA_FILE": str(path)}


@pytest.fixture
def stranger() -> Iterator[int]:
    """The port of a server that takes us for a browser."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                client.recv(1)

        thread = threading.Thread(target=answer)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def make_post(port: int, **config: object) -> Post:
    app = Flask("transport")
    app.config.update(
        MAIL_SERVER="127.0.0.1",
        MAIL_PORT=port,
        MAIL_DEFAULT_SENDER="service@beispielwerke.example",
        MAIL_DEADLINE=5,
    )
    app.config.update(config)
    return Post(app)


def make_relay(sink: SmtpSink, **config: object) -> Relay:
    return Relay(make_post(sink.port, **config))


def send(relay: Relay, message: bytes = MESSAGE, before_data: Callable[[], bool] = lambda: True) -> bool:
    return relay.send(message=message, before_data=before_data, **ADDRESSES)


def fault_of(relay: Relay, message: bytes = MESSAGE) -> DeliveryFault:
    with pytest.raises(DeliveryFault) as caught:
        send(relay, message)
    return caught.value


def verbs(sink: SmtpSink) -> list[str]:
    return [command.split(" ")[0].upper() for command in sink.commands]


# Delivered


def test_a_letter_arrives_byte_for_byte_and_the_answer_is_true(sink: SmtpSink) -> None:
    relay = make_relay(sink)

    assert send(relay) is True

    letter = sink.wait_for(1)[0]
    assert letter.data == MESSAGE
    assert letter.mail_from == ADDRESSES["sender"]
    assert letter.rcpt_to == (ADDRESSES["recipient"],)
    relay.close()


@pytest.mark.parametrize(
    "body",
    [b".\r\n", b"..\r\n.\r\n...\r\n", b".QUIT\r\n", b"\r\n.\r\n\r\n", b"x" * 100_000 + b"\r\n"],
    ids=["dot", "dots", "dotted word", "dot between", "several pieces"],
)
def test_dots_and_length_change_nothing(sink: SmtpSink, body: bytes) -> None:
    relay = make_relay(sink)

    send(relay, MESSAGE + body)
    send(relay, body)

    assert [letter.data for letter in sink.wait_for(2)] == [MESSAGE + body, body]
    relay.close()


def test_nothing_is_said_after_the_relays_word(sink: SmtpSink) -> None:
    relay = make_relay(sink)

    send(relay)

    assert verbs(sink) == ["EHLO", "MAIL", "RCPT", "DATA"]
    relay.close()


def test_the_connection_is_kept_between_letters(sink: SmtpSink) -> None:
    relay = make_relay(sink)

    answers = [send(relay) for _ in range(3)]

    assert answers == [True, True, True]
    assert sink.connections == 1
    assert verbs(sink).count("RSET") == 2
    relay.close()


def test_closing_says_quit_once(sink: SmtpSink) -> None:
    relay = make_relay(sink)
    send(relay)

    relay.close()
    relay.close()

    assert verbs(sink)[-1] == "QUIT"
    assert verbs(sink).count("QUIT") == 1


def test_a_relay_that_never_sent_can_be_closed() -> None:
    Relay(make_post(1)).close()


def test_a_lost_quit_changes_nothing(sink: SmtpSink) -> None:
    relay = make_relay(sink)
    send(relay)
    sink.drop_connections()

    relay.close()

    assert sink.received == 1


def test_a_connection_in_a_with_block_survives_a_lost_quit(sink: SmtpSink) -> None:
    with make_post(sink.port).connect() as connection:
        connection.announce(ADDRESSES["sender"], ADDRESSES["recipient"], len(MESSAGE))
        connection.transmit(MESSAGE)
        sink.drop_connections()

    assert sink.received == 1


def test_closing_after_the_250_brings_no_second_delivery(sink: SmtpSink) -> None:
    sink.script("close_after_250", "ok")
    relay = make_relay(sink)

    assert [send(relay), send(relay, MESSAGE + b"second\r\n")] == [True, True]

    assert [letter.data for letter in sink.wait_for(2)] == [MESSAGE, MESSAGE + b"second\r\n"]
    assert sink.connections == 2
    relay.close()


def test_a_domain_with_umlauts_is_named_in_ascii(sink: SmtpSink) -> None:
    relay = make_relay(sink)

    relay.send(message=MESSAGE, sender=ADDRESSES["sender"], recipient="anna@müller.example", before_data=lambda: True)

    assert sink.wait_for(1)[0].rcpt_to == ("anna@xn--mller-kva.example",)
    relay.close()


@pytest.mark.parametrize("address", ["jürgen@kunde.example", "a@x.example>\r\nRCPT TO:<b@x.example", "nobody"])
@pytest.mark.parametrize("field", ["sender", "recipient"])
def test_an_address_smtp_cannot_carry_is_refused_before_anything_is_said(
    sink: SmtpSink, field: str, address: str
) -> None:
    relay = make_relay(sink)

    with pytest.raises(UnsafeHeader, match=field):
        relay.send(message=MESSAGE, before_data=lambda: True, **(ADDRESSES | {field: address}))

    assert sink.connections == 0


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({}, "beispielwerke.example"),
        ({"MAIL_DEFAULT_SENDER": "service@müller.example"}, "xn--mller-kva.example"),
        ({"MAIL_LOCAL_HOSTNAME": "portal.beispielwerke.example"}, "portal.beispielwerke.example"),
        ({"MAIL_DEFAULT_SENDER": None}, "[127.0.0.1]"),
    ],
)
def test_we_never_introduce_ourselves_by_the_machines_name(
    sink: SmtpSink, config: dict[str, object], name: str
) -> None:
    relay = make_relay(sink, **config)

    send(relay)

    assert sink.commands[0] == f"ehlo {name}"
    relay.close()


def test_a_relay_that_knows_no_ehlo_gets_the_letter_too(sink: SmtpSink) -> None:
    sink.mode = "helo_only"
    relay = make_relay(sink)

    assert send(relay) is True

    assert list(sink.commands)[1:3] == ["helo beispielwerke.example", f"MAIL FROM:<{ADDRESSES['sender']}>"]
    relay.close()


# Asked before DATA


def test_a_letter_withdrawn_before_data_is_not_sent(sink: SmtpSink) -> None:
    relay = make_relay(sink)

    assert send(relay, before_data=lambda: False) is False

    assert verbs(sink) == ["EHLO", "MAIL", "RCPT", "RSET"]
    assert sink.received == 0
    relay.close()


def test_after_a_withdrawn_letter_the_next_one_takes_the_same_connection(sink: SmtpSink) -> None:
    relay = make_relay(sink)
    send(relay, before_data=lambda: False)

    assert send(relay) is True

    assert sink.connections == 1
    assert len(sink.wait_for(1)) == 1
    relay.close()


def test_the_question_comes_after_the_recipient_is_accepted(sink: SmtpSink) -> None:
    relay = make_relay(sink)
    said: list[list[str]] = []

    send(relay, before_data=lambda: said.append(verbs(sink)) is None)

    assert said == [["EHLO", "MAIL", "RCPT"]]
    relay.close()


def test_the_question_is_asked_once_even_when_the_connection_had_to_be_replaced(sink: SmtpSink) -> None:
    relay = make_relay(sink)
    send(relay)
    sink.drop_connections()
    asked: list[bool] = []

    send(relay, before_data=lambda: asked.append(True) is None)

    assert asked == [True]
    relay.close()


def test_a_withdrawal_is_an_answer_even_if_the_connection_breaks_over_it(sink: SmtpSink) -> None:
    relay = make_relay(sink)

    assert send(relay, before_data=lambda: sink.drop_connections() is not None) is False

    assert sink.received == 0


def test_what_the_question_raises_comes_out_and_nothing_is_sent(sink: SmtpSink) -> None:
    relay = make_relay(sink)

    with pytest.raises(ZeroDivisionError):
        send(relay, before_data=lambda: bool(1 // 0))
    send(relay)

    assert sink.received == 1
    assert sink.connections == 2
    relay.close()


# The kept connection


def test_a_connection_that_died_while_idle_is_replaced(sink: SmtpSink) -> None:
    relay = make_relay(sink)
    send(relay)
    sink.drop_connections()

    assert send(relay) is True

    assert sink.received == 2
    assert sink.connections == 2
    relay.close()


def test_a_connection_that_went_silent_is_replaced(sink: SmtpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PROBE_LIMIT", 0.2)
    sink.script("silent_after_250", "ok")
    relay = make_relay(sink)
    send(relay)

    assert send(relay) is True

    assert sink.received == 2
    assert sink.connections == 2
    relay.close()


def test_a_kept_connection_that_ends_at_the_recipient_is_replaced(sink: SmtpSink) -> None:
    sink.rule = lambda recipient, attempt: {2: "refuse_421"}.get(attempt, "ok")
    relay = make_relay(sink)
    send(relay)

    assert send(relay) is True

    assert sink.received == 2
    assert sink.connections == 2
    relay.close()


def test_a_connection_is_replaced_once_and_not_for_ever(sink: SmtpSink) -> None:
    sink.rule = lambda recipient, attempt: "ok" if attempt == 1 else "refuse_421"
    relay = make_relay(sink)
    send(relay)

    assert isinstance(fault_of(relay), TryLater)

    assert sink.connections == 2


def test_after_the_dot_nothing_is_sent_again(sink: SmtpSink) -> None:
    sink.rule = lambda recipient, attempt: "ok" if attempt == 1 else "close_after_store"
    relay = make_relay(sink)
    send(relay)

    fault = fault_of(relay)

    assert isinstance(fault, TryLater)
    assert fault.ambiguous
    assert sink.received == 2
    assert sink.connections == 1


def test_after_a_fault_the_next_letter_takes_a_new_connection(sink: SmtpSink) -> None:
    sink.rule = lambda recipient, attempt: "rcpt_550" if attempt == 1 else "ok"
    relay = make_relay(sink)
    fault_of(relay)

    assert send(relay) is True

    assert sink.connections == 2
    relay.close()


# What the relay's answers mean


@pytest.mark.parametrize(
    ("mode", "meaning"),
    [
        ("refuse_421", TryLater),
        ("refuse_454", TryLater),
        ("refuse_554", ChannelFault),
        ("ehlo_421", TryLater),
        ("ehlo_450", TryLater),
        ("ehlo_550", ChannelFault),
        ("mail_421", TryLater),
        ("mail_451", TryLater),
        ("mail_530", ChannelFault),
        ("mail_550", ChannelFault),
        ("mail_552_5.3.4", Refused),
        ("rcpt_421", TryLater),
        ("rcpt_452_4.2.2", TryLater),
        ("greylist_451", TryLater),
        ("rcpt_550", Refused),
        ("rcpt_553_5.1.3", Refused),
        ("rcpt_554_5.7.1", Refused),
        ("rcpt_501", Refused),
        ("rcpt_502", Refused),
        ("rcpt_503", Refused),
        ("rcpt_521", Refused),
        ("rcpt_530", ChannelFault),
        ("rcpt_535", ChannelFault),
        ("rcpt_538", ChannelFault),
        ("rcpt_550_5.1.8", ChannelFault),
        ("begin_421", TryLater),
        ("begin_451", TryLater),
        ("begin_554", Refused),
        ("begin_503", Refused),
        ("begin_530", ChannelFault),
        ("data_421", TryLater),
        ("data_451", TryLater),
        ("data_550_5.7.1", Refused),
        ("data_552", Refused),
        ("data_554", Refused),
        ("data_503", Refused),
        ("data_521", Refused),
        ("data_530", ChannelFault),
        ("data_550_5.1.7", ChannelFault),
    ],
)
def test_every_answer_has_one_meaning(sink: SmtpSink, mode: str, meaning: type[DeliveryFault]) -> None:
    sink.mode = mode
    relay = make_relay(sink)

    fault = fault_of(relay)

    assert isinstance(fault, meaning)
    assert sink.received == 0
    assert sink.connections == 1


@pytest.mark.parametrize("mode", ["rcpt_550", "data_552", "mail_552"])
def test_a_refusal_carries_the_relays_code(sink: SmtpSink, mode: str) -> None:
    sink.mode = mode

    fault = fault_of(make_relay(sink))

    assert isinstance(fault, Refused)
    assert fault.code == int(mode[-3:])


@pytest.mark.parametrize("mode", ["refuse_421", "greylist_451", "begin_451", "data_451", "data_421", "rcpt_421"])
def test_an_answer_is_never_ambiguous(sink: SmtpSink, mode: str) -> None:
    sink.mode = mode

    fault = fault_of(make_relay(sink))

    assert isinstance(fault, TryLater)
    assert not fault.ambiguous


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        ("rcpt_550_5.1.1", "the relay refuses the recipient (550 5.1.1)"),
        ("mail_552_5.3.4", "the relay refuses the letter (552 5.3.4)"),
        ("data_554_5.6.0", "the relay refuses the letter (554 5.6.0)"),
        ("mail_550_5.7.1", "the relay refuses our sender address (550 5.7.1)"),
        ("rcpt_450_4.2.0", "the relay puts off the recipient (450 4.2.0)"),
        ("refuse_421_4.3.2", "the relay closes the connection (421)"),
        ("rcpt_421_4.3.2", "the relay closes the connection (421 4.3.2)"),
    ],
)
def test_a_fault_says_what_was_refused_and_by_which_number(sink: SmtpSink, mode: str, text: str) -> None:
    sink.mode = mode

    assert fault_of(make_relay(sink)).text == text


@pytest.mark.parametrize(
    "mode",
    [
        "refuse_554",
        "ehlo_550",
        "mail_550",
        "rcpt_550",
        "rcpt_450",
        "greylist_451",
        "data_554",
        "close_after_store",
    ],
)
def test_no_fault_repeats_an_address_or_the_relays_words(sink: SmtpSink, mode: str) -> None:
    sink.mode = mode

    fault = fault_of(make_relay(sink))

    assert "@" not in fault.text
    assert "secret" not in fault.text
    assert "kundin" not in fault.text
    assert str(fault) == fault.text


# Cut off, and waiting


@pytest.mark.parametrize("mode", ["close_after_store", "hang_after_dot"])
def test_no_answer_after_the_dot_is_ambiguous(sink: SmtpSink, mode: str) -> None:
    sink.mode = mode

    fault = fault_of(make_relay(sink, MAIL_DEADLINE=0.5))

    assert isinstance(fault, TryLater)
    assert fault.ambiguous
    assert "may have taken the letter" in fault.text
    assert sink.received == 1


@pytest.mark.parametrize("mode", ["close_mid_data", "stall_mid_data"])
def test_a_letter_cut_off_before_its_dot_is_not_ambiguous(sink: SmtpSink, mode: str) -> None:
    sink.mode = mode
    began_at = time.monotonic()

    fault = fault_of(make_relay(sink, MAIL_DEADLINE=1), HUGE)

    assert isinstance(fault, TryLater)
    assert not fault.ambiguous
    assert sink.received == 0
    assert time.monotonic() - began_at < 1.8


def test_a_short_letter_cut_off_is_to_be_tried_again(sink: SmtpSink) -> None:
    sink.script("close_mid_data", "ok")
    relay = make_relay(sink)

    assert isinstance(fault_of(relay), TryLater)
    assert send(relay) is True

    assert sink.received == 1
    relay.close()


@pytest.mark.parametrize("tls", [None, "starttls", "tls"])
def test_a_dripping_relay_is_left_at_the_deadline(sink: SmtpSink, trusted: dict[str, str], tls: str | None) -> None:
    sink.mode, sink.tls = "drip", tls
    relay = make_relay(sink, MAIL_DEADLINE=1.0, MAIL_USE_SSL=tls == "tls", MAIL_USE_TLS=tls == "starttls", **trusted)
    began_at = time.monotonic()

    fault = fault_of(relay)

    assert isinstance(fault, TryLater)
    assert fault.text == "the delivery took longer than 1 seconds"
    assert 0.9 < time.monotonic() - began_at < 1.8


@pytest.mark.parametrize("mode", ["hang_after_dot", "stall_mid_data"])
def test_a_step_has_its_own_limit_within_the_deadline(
    sink: SmtpSink, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(transport, "LETTER_LIMIT", 0.3)
    sink.mode = mode
    began_at = time.monotonic()

    fault = fault_of(make_relay(sink), HUGE)

    assert fault.text.startswith("the relay did not answer in time")
    assert time.monotonic() - began_at < 1.5


def test_the_deadline_counts_the_replaced_connection_too(sink: SmtpSink) -> None:
    sink.script("silent_after_250", "drip")
    relay = make_relay(sink, MAIL_DEADLINE=1.0)
    send(relay)
    began_at = time.monotonic()

    assert isinstance(fault_of(relay), TryLater)

    assert time.monotonic() - began_at < 1.8


def test_each_letter_has_the_whole_deadline(sink: SmtpSink) -> None:
    sink.delay_ms = 300
    relay = make_relay(sink, MAIL_DEADLINE=0.8)

    assert [send(relay) for _ in range(4)] == [True] * 4
    relay.close()


def test_the_deadline_also_ends_a_slow_question(sink: SmtpSink) -> None:
    relay = make_relay(sink, MAIL_DEADLINE=0.3)

    with pytest.raises(TryLater) as caught:
        send(relay, before_data=lambda: time.sleep(0.4) is None)

    assert not caught.value.ambiguous
    assert sink.received == 0


def test_what_is_not_smtp_is_to_be_tried_later(stranger: int) -> None:
    fault = fault_of(Relay(make_post(stranger)))

    assert isinstance(fault, TryLater)
    assert fault.text == "the relay answers the connection with what is not SMTP"


@pytest.mark.parametrize(("mode", "ambiguous"), [("begin_250", False), ("data_199", True)])
def test_an_answer_that_is_neither_yes_nor_no_is_no_delivery(sink: SmtpSink, mode: str, ambiguous: bool) -> None:
    sink.mode = mode

    fault = fault_of(make_relay(sink))

    assert isinstance(fault, TryLater)
    assert fault.ambiguous is ambiguous


# The channel


def test_a_refused_connection_is_a_fault_of_the_channel() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed_port = server.getsockname()[1]

    fault = fault_of(Relay(make_post(closed_port)))

    assert isinstance(fault, ChannelFault)
    assert fault.text == "the relay cannot be reached: Connection refused"


@pytest.mark.parametrize("name", ["relay.invalid", "x" * 64 + ".example"])
def test_a_name_that_is_not_found_is_a_fault_of_the_channel(name: str) -> None:
    fault = fault_of(Relay(make_post(25, MAIL_SERVER=name)))

    assert isinstance(fault, ChannelFault)


def test_a_wrong_password_is_a_fault_of_the_channel(sink: SmtpSink, trusted: dict[str, str]) -> None:
    sink.tls, sink.mode = "starttls", "auth_535"

    fault = fault_of(make_relay(sink, MAIL_USE_TLS=True, **PASSWORD, **trusted))

    assert isinstance(fault, ChannelFault)
    assert fault.text == "the relay refuses our login (535)"
    assert "MAIL" not in verbs(sink)


@pytest.mark.parametrize("code", [530, 534, 538, 550])
def test_a_login_refused_for_good_is_a_fault_of_the_channel(sink: SmtpSink, code: int) -> None:
    sink.mode = f"auth_{code}"

    assert isinstance(fault_of(make_relay(sink, **PASSWORD)), ChannelFault)


def test_a_login_put_off_is_to_be_tried_later(sink: SmtpSink) -> None:
    sink.mode = "auth_454"

    assert isinstance(fault_of(make_relay(sink, **PASSWORD)), TryLater)


def test_a_relay_without_login_is_a_fault_of_the_channel(sink: SmtpSink) -> None:
    sink.mode = "auth_missing"

    fault = fault_of(make_relay(sink, **PASSWORD))

    assert isinstance(fault, ChannelFault)
    assert "MAIL" not in verbs(sink)


def test_a_password_outside_ascii_is_a_fault_of_the_channel_and_not_repeated(sink: SmtpSink) -> None:
    fault = fault_of(make_relay(sink, MAIL_USERNAME="durchwahl", MAIL_PASSWORD="geheim-ü"))

    assert isinstance(fault, ChannelFault)
    assert "geheim" not in fault.text


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_with_a_certificate_we_trust_login_and_letter_go_through(
    sink: SmtpSink, trusted: dict[str, str], tls: str
) -> None:
    sink.mode = tls
    relay = make_relay(sink, MAIL_USE_TLS=tls == "starttls", MAIL_USE_SSL=tls == "tls", **PASSWORD, **trusted)

    assert [send(relay), send(relay, MESSAGE + b"x" * 100_000 + b"\r\n")] == [True, True]

    assert sink.connections == 1
    assert sink.wait_for(2)[0].data == MESSAGE
    relay.close()


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_self_signed_certificate_is_refused_and_nothing_is_said(sink: SmtpSink, tls: str) -> None:
    sink.mode = tls

    fault = fault_of(make_relay(sink, MAIL_USE_TLS=tls == "starttls", MAIL_USE_SSL=tls == "tls", **PASSWORD))

    assert isinstance(fault, ChannelFault)
    assert fault.text == "the relay's encryption cannot be trusted: self-signed certificate"
    assert {"AUTH", "MAIL"}.isdisjoint(verbs(sink))


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_certificate_for_another_name_is_refused(sink: SmtpSink, trusted: dict[str, str], tls: str) -> None:
    sink.mode = tls

    fault = fault_of(
        make_relay(
            sink,
            MAIL_SERVER="localhost",
            MAIL_USE_TLS=tls == "starttls",
            MAIL_USE_SSL=tls == "tls",
            **PASSWORD,
            **trusted,
        )
    )

    assert isinstance(fault, ChannelFault)
    assert "Hostname mismatch" in fault.text
    assert {"AUTH", "MAIL"}.isdisjoint(verbs(sink))


def test_without_starttls_neither_password_nor_letter_is_sent(sink: SmtpSink) -> None:
    sink.mode = "starttls_missing"

    fault = fault_of(make_relay(sink, MAIL_USE_TLS=True, **PASSWORD))

    assert isinstance(fault, ChannelFault)
    assert verbs(sink) == ["EHLO"]
    assert sink.received == 0


@pytest.mark.parametrize("code", [454, 502])
def test_a_refused_starttls_is_no_reason_to_speak_openly(sink: SmtpSink, code: int) -> None:
    sink.tls, sink.mode = "starttls", f"starttls_{code}"

    fault = fault_of(make_relay(sink, MAIL_USE_TLS=True, **PASSWORD))

    assert isinstance(fault, ChannelFault)
    assert verbs(sink) == ["EHLO", "STARTTLS"]


def test_a_relay_that_speaks_no_tls_on_its_tls_port_is_a_fault_of_the_channel(sink: SmtpSink) -> None:
    fault = fault_of(make_relay(sink, MAIL_USE_SSL=True, **PASSWORD))

    assert isinstance(fault, ChannelFault)
    assert list(sink.commands) == []


def test_an_unreadable_ca_file_is_a_fault_of_the_channel(sink: SmtpSink, tmp_path: Path) -> None:
    sink.mode = "starttls"

    fault = fault_of(make_relay(sink, MAIL_USE_TLS=True, MAIL_CA_FILE=str(tmp_path / "missing.pem")))

    assert isinstance(fault, ChannelFault)
    assert fault.text == "MAIL_CA_FILE cannot be read"


def test_the_certificate_is_checked_against_the_systems_roots_by_default(sink: SmtpSink) -> None:
    context = make_post(sink.port).connect()._trusted

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


# Flask-Mail


def test_letters_leave_in_a_testing_application_too(sink: SmtpSink) -> None:
    app = Flask("testing")
    app.testing = True
    app.config.update(MAIL_SERVER="127.0.0.1", MAIL_PORT=sink.port, MAIL_DEFAULT_SENDER=ADDRESSES["sender"])
    relay = Relay(Post(app))

    assert send(relay) is True

    assert sink.received == 1
    relay.close()


def test_a_post_without_application_uses_the_current_one(sink: SmtpSink) -> None:
    app = Flask("late")
    app.config.update(MAIL_SERVER="127.0.0.1", MAIL_PORT=sink.port)
    post = Post()
    post.init_app(app)
    relay = Relay(post)

    with app.app_context():
        assert send(relay) is True
    relay.close()


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"MAIL_USE_TLS": True, "MAIL_USE_SSL": True}, "MAIL_USE_SSL"),
        ({"MAIL_SUPPRESS_SEND": True}, "SUPPRESS"),
    ],
)
def test_settings_that_cannot_be_kept_are_refused(config: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make_post(25, **config)


def test_flask_mails_own_messages_are_not_sent(sink: SmtpSink) -> None:
    post = make_post(sink.port)

    with pytest.raises(TypeError, match="Relay"), post.connect() as connection, Flask("any").app_context():
        connection.send(flask_mail.Message("Hallo", ["anna@kundin.example"], sender=ADDRESSES["sender"]))

    assert sink.received == 0


def test_debugging_never_prints_the_dialogue(sink: SmtpSink, capfd: pytest.CaptureFixture[str]) -> None:
    app = Flask("debugging")
    app.debug = True
    app.config.update(MAIL_SERVER="127.0.0.1", MAIL_PORT=sink.port, **PASSWORD)
    relay = Relay(Post(app))

    send(relay)
    relay.close()

    assert capfd.readouterr().err == ""


# The sink itself, which the kill harness and the benchmarks run as a process of its own


def test_the_sink_notes_on_disk_what_it_stored_and_what_it_refused(tmp_path: Path) -> None:
    store = tmp_path / "sink.jsonl"
    with SmtpSink(store=store, rule=lambda recipient, attempt: ["data_451", "ok"][attempt - 1]) as noting:
        relay = make_relay(noting)
        fault_of(relay)
        send(relay)
        relay.close()

    noted = {"message_id": "<1@beispielwerke.example>", "recipient": ADDRESSES["recipient"]}
    assert [json.loads(line) for line in store.read_text().splitlines()] == [
        noted | {"mode": "data_451", "stored": False},
        noted | {"mode": "ok", "stored": True},
    ]


def test_the_sinks_faults_are_the_same_for_the_same_seed() -> None:
    first, second, other = (faults(0.2, ["data_451", "drip"], seed) for seed in (1, 1, 2))
    attempts = [(f"{number}@kundin.example", 1) for number in range(1000)]

    assert [first(*attempt) for attempt in attempts] == [second(*attempt) for attempt in attempts]
    assert [first(*attempt) for attempt in attempts] != [other(*attempt) for attempt in attempts]
    assert 150 < sum(first(*attempt) != "ok" for attempt in attempts) < 250


def test_the_sink_runs_as_its_own_process() -> None:
    command = [sys.executable, "-m", "tests.support.smtp_sink"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        relay = Relay(make_post(json.loads(process.stdout.readline())["port"]))
        send(relay)
        relay.close()
        process.terminate()

        assert json.loads(process.stdout.readline()) == {"received": 1, "connections": 1}


def test_the_sink_knows_no_mode_it_was_not_taught() -> None:
    with pytest.raises(ValueError, match="rcpt_5xx"):
        SmtpSink(mode="rcpt_5xx")
