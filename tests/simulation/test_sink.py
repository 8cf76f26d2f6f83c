"""The relay at the other end: it speaks SMTP, keeps what it takes, and misbehaves where it is told to."""

import smtplib
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from portal.simulation.sink import Moods, Sink, Weather

AT = datetime(2027, 3, 1, 9, tzinfo=UTC)
LETTER = (
    b"From: a@b.example\r\nMessage-ID: <1@b.example>\r\nX-Portal-Case: K7P-3M9\r\nX-Portal-Letter: reply\r\n\r\n"
    b".a line with a dot\r\nthe end\r\n"
)


@pytest.fixture
def sink() -> Iterator[Sink]:
    """One that is up."""
    sink = Sink(lambda: AT)
    yield sink
    sink.close()


def _send(sink: Sink, to: str = "c@d.example") -> None:
    with smtplib.SMTP("127.0.0.1", sink.port, timeout=5, local_hostname="b.example") as client:
        client.sendmail("a@b.example", [to], LETTER)


def test_a_letter_is_kept_as_it_was_sent(sink: Sink) -> None:
    _send(sink)

    (letter,), broken_off = sink.take()
    assert (letter.at, letter.to, letter.raw) == (AT, "c@d.example", LETTER)
    assert (letter.reference, letter.kind, letter.message_id) == ("K7P-3M9", "reply", "<1@b.example>")
    assert broken_off == [] and sink.take() == ([], [])


def test_a_refused_mailbox_answers_550_and_keeps_nothing(sink: Sink) -> None:
    sink.refuse(["C@d.example"])

    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        _send(sink)

    assert refused.value.recipients["c@d.example"][0] == 550
    assert sink.take() == ([], [])


def test_every_second_recipient_is_put_off(sink: Sink) -> None:
    sink.moods = Moods(put_off_every=2)
    _send(sink)

    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        _send(sink)

    assert refused.value.recipients["c@d.example"][0] == 451


def test_a_letter_can_be_kept_and_never_confirmed(sink: Sink) -> None:
    sink.moods = Moods(break_off_every=1)

    with pytest.raises(smtplib.SMTPServerDisconnected):
        _send(sink)

    letters, broken_off = sink.take()
    assert len(letters) == 1 and broken_off == ["<1@b.example>"]


@pytest.mark.parametrize("weather", [Weather.SAYS_421, Weather.REFUSES])
def test_a_relay_that_is_down_takes_nothing_and_comes_back_at_the_same_port(sink: Sink, weather: Weather) -> None:
    kept = smtplib.SMTP("127.0.0.1", sink.port, timeout=5, local_hostname="b.example")
    sink.change(weather)

    with pytest.raises((OSError, smtplib.SMTPException)):
        kept.mail("a@b.example")
        kept.rcpt("c@d.example")
    kept.close()
    with pytest.raises((OSError, smtplib.SMTPException)):
        _send(sink)
    sink.change(Weather.UP)
    _send(sink)

    assert len(sink.take()[0]) == 1
