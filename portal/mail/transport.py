"""The way to the relay: the only module that knows Flask-Mail.

Flask-Mail stays the configured extension; its connection is replaced: it waits without limit, verifies no
certificate, takes a failed QUIT for a failed letter and in a testing app sends nothing at all. What befalls
a letter comes out as one of three faults, whose texts are shown to staff and logged, and so hold no addresses
and none of the relay's words.
"""

import re
import smtplib
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import flask_mail
from flask import Flask, current_app

from portal.mail.message import ascii_address

# Seconds. RFC 5321, 4.5.3.2 recommends minutes; shorter waits only cost a retry, except after the final dot,
# where giving up is what doubles letters.
CONNECT_LIMIT = 10.0
COMMAND_LIMIT = 30.0
LETTER_LIMIT = 120.0
# A kept connection may have been cut without a word: one that does not answer RSET by then is replaced.
PROBE_LIMIT = 5.0

# A TLS record: a piece of this size is one write, whose time is limited as one.
_PIECE = 16_384

# Refusals for which no recipient and no letter is to blame, even in answer to one: log in or encrypt first
# (RFC 4954, 3207), and a refused sender (RFC 3463), who is the same in all letters. Whatever else is refused there,
# be it 503 or 521 handed on from a server behind the relay, may concern this letter alone: it must not stop the others.
_CHANNEL_CODES = {530, 534, 535, 538}
_CHANNEL_REASONS = {"5.1.7", "5.1.8"}
_TOO_LARGE = 552

_REASON = re.compile(rb"\d\.\d{1,3}\.\d{1,3}(?=\s|$)")


class DeliveryFault(Exception):
    """A letter was not taken. ``text`` is for staff and logs."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Refused(DeliveryFault):
    """For good: this recipient or letter will not be taken, however often sent. ``code`` is the relay's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class TryLater(DeliveryFault):
    """For now. ``ambiguous``: all of the letter was sent and no answer came: the relay may have taken it."""

    def __init__(self, text: str, ambiguous: bool = False) -> None:
        super().__init__(text)
        self.ambiguous = ambiguous


class ChannelFault(DeliveryFault):
    """No letter can leave this way until somebody mends the settings or the relay."""


class _Lost(TryLater):
    """The connection is gone, or the relay says that it is about to be (421)."""


class _Stage(StrEnum):
    """What the relay answers to, in the words of the faults' texts."""

    CONNECTION = "the connection"
    GREETING = "our greeting"
    LOGIN = "our login"
    SENDER = "our sender address"
    RECIPIENT = "the recipient"
    LETTER = "the letter"


class Post(flask_mail.Mail):
    """Flask-Mail with our connection.

    Three settings are ours: MAIL_DEADLINE (seconds for one delivery, all in all; 240), MAIL_LOCAL_HOSTNAME
    (how we introduce ourselves; the sender's domain), MAIL_CA_FILE (trusted instead of the system's roots).
    """

    def init_app(self, app: Flask) -> Any:
        """Read the settings. Raises ValueError for those under which letters could not be sent honestly."""
        if app.config.get("MAIL_USE_TLS") and app.config.get("MAIL_USE_SSL"):
            raise ValueError("MAIL_USE_TLS and MAIL_USE_SSL exclude each other")
        if app.config.get("MAIL_SUPPRESS_SEND"):
            raise ValueError("MAIL_SUPPRESS_SEND would count letters as sent that never left")
        return super().init_app(app)

    def connect(self) -> "Connection":
        """A connection, not opened yet. Needs an application context unless the Post was made for one app."""
        return Connection(self.app or current_app)


class Relay:
    """One worker's way to the relay, kept open between letters. Not to be shared by threads."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._connection: Connection | None = None

    def send(self, *, message: bytes, sender: str, recipient: str, before_data: Callable[[], bool]) -> bool:
        """Deliver one letter to one recipient; True says that the relay has taken it.

        ``before_data`` is asked once the recipient is accepted and nothing of the letter has left; on False
        nothing will, and the answer is False. Raises Refused, TryLater or ChannelFault, UnsafeHeader for an
        address that SMTP cannot carry, and whatever ``before_data`` raises.
        """
        sender = ascii_address(sender, "sender")
        recipient = ascii_address(recipient, "recipient")
        self._connection = connection = self._connection or self._post.connect()
        try:
            connection.announce(sender, recipient, len(message))
            if not before_data():
                connection.withdraw()
                return False
            connection.transmit(message)
            # The relay's word is given: nothing may stand between it and the note that the letter is sent.
            return True
        except BaseException:
            connection.drop()
            raise

    def close(self) -> None:
        """Take leave of the relay, whatever it says to that."""
        if self._connection is not None:
            self._connection.close()


class Connection(flask_mail.Connection):
    """The way from a letter to the relay's answer: in time, and encrypted only with whom can be verified."""

    host: "Dialogue | None"

    def __init__(self, app: Flask) -> None:
        super().__init__(app.extensions["mail"])
        self._deadline = float(app.config.get("MAIL_DEADLINE", 240))
        self._ca_file: str | None = app.config.get("MAIL_CA_FILE")
        self._local_hostname: str | None = app.config.get("MAIL_LOCAL_HOSTNAME")
        self._ends_at = 0.0

    def __enter__(self) -> Self:
        self._ends_at = time.monotonic() + self._deadline
        self.host = self.configure_host()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def send(self, message: flask_mail.Message, envelope_from: str | tuple[str, str] | None = None) -> None:
        """Refused: nobody checks the headers of Flask-Mail's messages, and two can be Message-IDs."""
        raise TypeError("letters are built by portal.mail.message and sent by Relay")

    def configure_host(self) -> "Dialogue":
        """Connect, encrypt if that is set, log in: in this order no password crosses an open wire."""
        host = self._dial()
        try:
            self._greet(host)
            if self.mail.use_tls:
                self._encrypt(host)
            if self.mail.username and self.mail.password:
                self._log_in(host)
        except BaseException:
            host.close()
            raise
        return host

    def announce(self, sender: str, recipient: str, size: int) -> None:
        """Name sender and recipient, on the kept connection if it still lives, else on a new one.

        The delivery's deadline runs from here.
        """
        self._ends_at = time.monotonic() + self._deadline
        if self._still_lives():
            # It can die between RSET and RCPT as well; before DATA a second try risks nothing.
            with suppress(_Lost):
                return self._name(sender, recipient, size)
        self.drop()
        self.host = self.configure_host()
        self._name(sender, recipient, size)

    def transmit(self, message: bytes) -> None:
        """Send the bytes as they are. Returns when the relay has taken the letter."""
        code, said = self._command("DATA")
        if code != 354:
            raise _fault(_Stage.LETTER, code, said)
        with self._losses():
            self._dialogue.send_letter(message)
        with self._losses(ambiguous=True):
            code, said = self._dialogue.getreply()
        if code // 100 != 2:
            raise _fault(_Stage.LETTER, code, said, sent=True)

    def withdraw(self) -> None:
        """Take sender and recipient back; nothing of the letter has left."""
        try:
            self._command("RSET")
        except _Lost:
            self.drop()

    def close(self) -> None:
        """Say QUIT; the answer is waited for, and none changes anything."""
        if self.host is not None:
            self.host.ends_at = time.monotonic() + PROBE_LIMIT
            with suppress(OSError):
                self.host.docmd("QUIT")
        self.drop()

    def drop(self) -> None:
        """Hang up without a word: in the middle of a letter even QUIT would be taken for a line of it."""
        if self.host is not None:
            self.host.close()
        self.host = None

    def _still_lives(self) -> bool:
        if self.host is None:
            return False
        self.host.ends_at = min(self._ends_at, time.monotonic() + PROBE_LIMIT)
        try:
            code, _ = self.host.docmd("RSET")
        except OSError:
            return False
        self.host.ends_at = self._ends_at
        return code == 250

    def _name(self, sender: str, recipient: str, size: int) -> None:
        option = f" SIZE={size}" if self._dialogue.has_extn("size") else ""
        for stage, command in (
            (_Stage.SENDER, f"MAIL FROM:<{sender}>{option}"),
            (_Stage.RECIPIENT, f"RCPT TO:<{recipient}>"),
        ):
            code, said = self._command(command)
            if code // 100 != 2:
                raise _fault(stage, code, said)

    def _command(self, line: str) -> tuple[int, bytes]:
        with self._losses():
            return self._dialogue.docmd(line)

    @property
    def _dialogue(self) -> "Dialogue":
        if self.host is None:
            raise RuntimeError("announce a letter before its bytes")
        return self.host

    def _dial(self) -> "Dialogue":
        mail = self.mail
        name = self._local_hostname or _domain(mail.default_sender)
        with self._losses():
            try:
                if mail.use_ssl:
                    return TlsDialogue(mail.server, mail.port, name, self._ends_at, context=self._trusted)
                return Dialogue(mail.server, mail.port, name, self._ends_at)
            except smtplib.SMTPConnectError as error:
                raise _fault(_Stage.CONNECTION, error.smtp_code) from None
            except ssl.SSLError as error:
                raise _untrusted(error) from None
            except (TimeoutError, ConnectionResetError, smtplib.SMTPException):
                raise
            except (OSError, UnicodeError) as error:
                why = getattr(error, "strerror", None) or "not a host name"
                raise ChannelFault(f"the relay cannot be reached: {why}") from None

    def _greet(self, host: "Dialogue") -> None:
        with self._losses():
            code, said = host.ehlo()
            if code // 100 != 2 and code != 421:
                code, said = host.helo()
        if code // 100 != 2:
            raise _fault(_Stage.GREETING, code, said)

    def _encrypt(self, host: "Dialogue") -> None:
        with self._losses():
            try:
                host.starttls(context=self._trusted)
            except smtplib.SMTPNotSupportedError:
                raise ChannelFault(
                    "the relay offers no encryption (STARTTLS), and without it nothing is sent"
                ) from None
            except smtplib.SMTPResponseException as error:
                raise ChannelFault(f"the relay refuses encryption ({error.smtp_code})") from None
            except ssl.SSLError as error:
                raise _untrusted(error) from None
        # What was said in the open counts for nothing (RFC 3207, 4.2).
        self._greet(host)

    def _log_in(self, host: "Dialogue") -> None:
        with self._losses():
            try:
                host.login(self.mail.username or "", self.mail.password or "")
            except smtplib.SMTPAuthenticationError as error:
                raise _fault(_Stage.LOGIN, error.smtp_code) from None
            except (smtplib.SMTPServerDisconnected, smtplib.SMTPResponseException):
                raise
            except smtplib.SMTPException:
                raise ChannelFault("the relay offers no login that we know") from None
            except UnicodeEncodeError:
                raise ChannelFault("user name and password of the relay must be ASCII") from None

    @cached_property
    def _trusted(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._ca_file)
        except OSError:
            raise ChannelFault("MAIL_CA_FILE cannot be read") from None

    @contextmanager
    def _losses(self, ambiguous: bool = False) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # smtplib's exceptions are OSErrors too
            if time.monotonic() >= self._ends_at:
                text = f"the delivery took longer than {self._deadline:g} seconds"
            elif isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
                text = "the relay did not answer in time"
            else:
                text = "the connection to the relay broke"
            raise _Lost(text + "; it may have taken the letter" * ambiguous, ambiguous) from None


class Dialogue(smtplib.SMTP):
    """smtplib with a clock: a step ends in time however slowly the bytes drip, and none outlasts ``ends_at``.

    smtplib's own timeout starts anew with every byte received. ``ends_at`` is on the monotonic clock.
    """

    def __init__(self, server: str, port: int, name: str, ends_at: float, **tls: Any) -> None:
        self.ends_at = ends_at
        self._allow(CONNECT_LIMIT + COMMAND_LIMIT)
        super().__init__(server, port, local_hostname=name, timeout=min(CONNECT_LIMIT, self.left()), **tls)

    def send(self, s: Any) -> None:
        self._allow(COMMAND_LIMIT)
        self._push(s.encode("ascii") if isinstance(s, str) else bytes(s))

    def send_letter(self, message: bytes) -> None:
        """All of the letter and the final dot; the answer is still to be read, with patience of its own."""
        stuffed = message.replace(b"\n.", b"\n..")
        self._allow(LETTER_LIMIT)
        self._push((b"." if stuffed.startswith(b".") else b"") + stuffed.removesuffix(b"\r\n") + b"\r\n.\r\n")
        self._allow(LETTER_LIMIT)

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None:
            self.file = _Lines(self)
        return super().getreply()

    def left(self) -> float:
        """Seconds left for this step. Raises TimeoutError when there are none."""
        left = min(self._step_ends_at, self.ends_at) - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def receive(self) -> bytes:
        """What has come, at most a piece of it; empty when the relay has hung up."""
        if self.sock is None:
            return b""
        self.sock.settimeout(self.left())
        return self.sock.recv(_PIECE)

    def _allow(self, seconds: float) -> None:
        self._step_ends_at = time.monotonic() + seconds

    def _push(self, message: bytes) -> None:
        for start in range(0, len(message), _PIECE):
            if self.sock is not None:
                self.sock.settimeout(self.left())
            super().send(message[start : start + _PIECE])


class TlsDialogue(Dialogue, smtplib.SMTP_SSL):
    """The same, encrypted from the first byte."""


class _Lines:
    """The file smtplib reads replies from; it drops it with all it holds when TLS starts, as it must."""

    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue
        self._received = b""

    def readline(self, limit: int) -> bytes:
        while b"\n" not in self._received and len(self._received) < limit:
            piece = self._dialogue.receive()
            if not piece:
                break
            self._received += piece
        end = min(self._received.find(b"\n") + 1 or limit, limit)
        line, self._received = self._received[:end], self._received[end:]
        return line

    def close(self) -> None:
        self._received = b""


def _fault(stage: _Stage, code: int, said: bytes = b"", sent: bool = False) -> DeliveryFault:
    """What an answer other than yes means for the letter; of the text ``said`` only its number is kept."""
    found = _REASON.match(said)
    reason = found[0].decode("ascii") if found else ""
    answer = f"{code} {reason}".strip()
    if code == 421:
        return _Lost(f"the relay closes the connection ({answer})")
    if code // 100 == 4:
        return TryLater(f"the relay puts off {stage} ({answer})")
    if code // 100 != 5:
        return _Lost(f"the relay answers {stage} with what is not SMTP", ambiguous=sent)
    blamed = stage in (_Stage.RECIPIENT, _Stage.LETTER) or (stage is _Stage.SENDER and code == _TOO_LARGE)
    if blamed and code not in _CHANNEL_CODES and reason not in _CHANNEL_REASONS:
        return Refused(code, f"the relay refuses {_Stage.LETTER if code == _TOO_LARGE else stage} ({answer})")
    return ChannelFault(f"the relay refuses {stage} ({answer})")


def _untrusted(error: ssl.SSLError) -> ChannelFault:
    why = getattr(error, "verify_message", None) or error.reason or "no TLS"
    return ChannelFault(f"the relay's encryption cannot be trusted: {why}")


def _domain(sender: str | None) -> str:
    # The machine's own name is nobody's business, and looking it up can take seconds.
    return ascii_address(sender, "MAIL_DEFAULT_SENDER").rpartition("@")[2] if sender else "[127.0.0.1]"
