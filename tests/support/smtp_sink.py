"""A small SMTP server on 127.0.0.1 that keeps what it is sent, or fails in the way it is told to.

    with SmtpSink() as sink:
        ...                                  # deliver to 127.0.0.1, sink.port
        letters = sink.wait_for(1)

A connection takes the next mode of ``script(...)``, and ``mode`` when the script is used up; a ``rule`` is
asked at RCPT for the mode of each recipient's attempt (1, 2, …). The modes:

    ok                 stored, then 250
    POINT_CODE         that reply at that point, as in rcpt_550, data_451 or mail_550_5.1.8; the points are
                       refuse (the greeting), ehlo, starttls, auth, mail, rcpt, begin (the DATA command) and
                       data (after the dot); 421 hangs up, too
    greylist_451       451 at RCPT at the recipient's first attempt
    close_mid_data     hangs up after the first piece of the letter
    stall_mid_data     says 354 and reads nothing more
    close_after_store  stores, hangs up before the 250
    hang_after_dot     stores, never answers
    close_after_250    hangs up before QUIT
    silent_after_250   keeps the connection and answers nothing more
    drip               every reply at one byte a second
    starttls, tls      offers STARTTLS, or TLS from the first byte, with CERTIFICATE, which nobody has signed
    starttls_missing   offers everything but STARTTLS
    auth_missing       offers no AUTH
    helo_only          knows no EHLO

As its own process, for the kill harness and the benchmarks:

    python -m tests.support.smtp_sink --port 2525 --store sink.jsonl
"""

import argparse
import io
import json
import os
import random
import re
import signal
import socket
import ssl
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Self

Rule = Callable[[str, int], str]

MODES = (
    "ok",
    "greylist_451",
    "close_mid_data",
    "stall_mid_data",
    "close_after_store",
    "hang_after_dot",
    "close_after_250",
    "silent_after_250",
    "drip",
    "starttls",
    "starttls_missing",
    "auth_missing",
    "helo_only",
    "tls",
)
_REPLY_MODE = re.compile(
    r"(?P<point>refuse|ehlo|starttls|auth|mail|rcpt|begin|data)_(?P<code>\d{3})(?:_(?P<enhanced>\d\.\d+\.\d+))?"
)
_ADDRESS = re.compile(rb"<([^>]*)>")
_MESSAGE_ID = re.compile(rb"^message-id:\s*(<[^>]+>)", re.IGNORECASE | re.MULTILINE)

# One key for every machine, so that the tests need no openssl. It guards nothing: it is for 127.0.0.1 only.
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBbTCCARSgAwIBAgIBATAKBggqhkjOPQQDAjAVMRMwEQYDVQQDDAp0ZXN0IHJl
bGF5MCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAVMRMwEQYDVQQD
DAp0ZXN0IHJlbGF5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEZX9wxDlJeEAP
tRcZ+/nOYJEyWKpvMnqPd+GLrVkfVjLd4KnSw+2rMRJvFm4aGcJvJ/LlaUUroxrp
CRz3gPDRyKNTMFEwHQYDVR0OBBYEFAQB8vtfRLzifmdI1bATsQdIhIFtMA8GA1Ud
EwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgKEMA8GA1UdEQQIMAaHBH8AAAEwCgYI
KoZIzj0EAwIDRwAwRAIgTLeOaDTb4J52NAiccsd6t3ZJuimbTm1q/Mse1dS1tKIC
IBSA6r2VwtMI1Q3U+D6G9mIGT9drVhmoFZ+0zeQIMZDq
-----END CERTIFICATE-----
"""
_PRIVATE_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgipwaCZpI433XTLVO
kPozOJEYX9pNnSU83RgU6wEYcjmhRANCAARlf3DEOUl4QA+1Fxn7+c5gkTJYqm8y
eo934YutWR9WMt3gqdLD7asxEm8WbhoZwm8n8uVpRSujGukJHPeA8NHI
-----END PRIVATE KEY-----
"""


@dataclass(frozen=True, slots=True)
class Received:
    """One stored letter, with its dots as they were written; ``at`` is in seconds since the epoch."""

    mail_from: str
    rcpt_to: tuple[str, ...]
    data: bytes
    at: float
    mode: str

    @property
    def message_id(self) -> str:
        found = _MESSAGE_ID.search(self.data)
        return found[1].decode("ascii") if found else ""

    def parsed(self) -> EmailMessage:
        return message_from_bytes(self.data, policy=policy.default)


def faults(share: float, modes: Sequence[str], seed: int) -> Rule:
    """A rule that lets ``share`` of the attempts run into one of ``modes``, the same for the same seed."""

    def rule(recipient: str, attempt: int) -> str:
        dice = random.Random(f"{seed} {recipient} {attempt}")
        return dice.choice(modes) if dice.random() < share else "ok"

    return rule


class SmtpSink:
    """The server: a thread for each connection, open from ``start`` (or ``with``) to ``stop``.

    ``store`` is a file that gets a JSON line per letter (message_id, recipient, mode, stored), on disk before
    the reply. ``tls`` ("starttls" or "tls") adds TLS to every mode. ``commands`` holds the newest commands as
    they came; ``received`` counts the stored letters, even when ``keep`` is off and ``messages`` stays empty.
    """

    def __init__(
        self,
        port: int = 0,
        store: Path | None = None,
        *,
        mode: str = "ok",
        rule: Rule | None = None,
        delay_ms: float = 0,
        tls: str | None = None,
        keep: bool = True,
    ) -> None:
        self.port = port
        self.mode = _known(mode)
        self.rule = rule
        self.delay_ms = delay_ms
        self.tls = tls
        self.messages: list[Received] = []
        self.received = 0
        self.connections = 0
        self.commands: deque[str] = deque(maxlen=10_000)
        self.stopping = threading.Event()
        self._store = store
        self._keep = keep
        self._script: deque[str] = deque()
        self._attempts: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._open: set[_Dialogue] = set()
        self._log: io.FileIO | None = None
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        self._log = io.FileIO(self._store, "ab") if self._store else None
        self._server = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.port = self._server.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def stop(self) -> None:
        self.stopping.set()
        with suppress(OSError):  # wakes accept(), which nothing else does on every system
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        self._accepting.join()
        self._server.close()
        self.drop_connections()
        for thread in self._threads:
            thread.join()
        if self._log:
            self._log.close()

    def script(self, *modes: str) -> None:
        """What the next connections meet, one mode each."""
        self._script.extend(_known(mode) for mode in modes)

    def drop_connections(self) -> None:
        """Hang up on everybody, as a relay does with a client that has been silent for long."""
        with self._changed:
            for dialogue in self._open:
                dialogue.cut()

    def wait_for(self, count: int, timeout: float = 5.0) -> list[Received]:
        """The letters, once there are ``count`` of them. Raises TimeoutError after ``timeout`` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.received >= count, timeout):
                raise TimeoutError(f"{self.received} of {count} letters after {timeout} s")
            return list(self.messages)

    def attempt(self, recipient: str) -> int:
        with self._changed:
            self._attempts[recipient] += 1
            return self._attempts[recipient]

    def note(self, letter: Received, *, stored: bool) -> None:
        """Keep the letter and log it; on disk before anybody is told."""
        with self._changed:
            if self._log:
                line = {
                    "message_id": letter.message_id,
                    "recipient": letter.rcpt_to[0],
                    "mode": letter.mode,
                    "stored": stored,
                }
                self._log.write(json.dumps(line).encode() + b"\n")
                os.fsync(self._log.fileno())
            if stored:
                self.received += 1
                if self._keep:
                    self.messages.append(letter)
                self._changed.notify_all()

    def _accept(self) -> None:
        while True:
            client, _ = self._server.accept()
            if self.stopping.is_set():
                client.close()
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            mode = self._script.popleft() if self._script else self.mode
            thread = threading.Thread(target=self._talk, args=(client, mode), daemon=True)
            self._threads = [known for known in self._threads if known.is_alive()] + [thread]
            thread.start()

    def _talk(self, client: socket.socket, mode: str) -> None:
        dialogue = _Dialogue(self, client, mode)
        with self._changed:
            self._open.add(dialogue)
        try:
            dialogue.run()
        except (OSError, _HangUp):
            pass  # the client is gone, or the mode is to hang up: either way this connection is over
        finally:
            with self._changed:
                self._open.discard(dialogue)
            dialogue.close()


class _HangUp(Exception):
    """The sink ends the connection."""


class _Dialogue:
    """One connection: reads commands and answers them until somebody hangs up."""

    def __init__(self, sink: SmtpSink, client: socket.socket, mode: str) -> None:
        self._sink = sink
        self._wire = client
        self._mode = mode
        self._tls = sink.tls or (mode if mode in ("starttls", "tls") else None)
        self._buffer = b""
        self._sender = ""
        self._recipients: list[str] = []

    def run(self) -> None:
        if self._tls == "tls":
            self._encrypt()
        if not self._fails_at("refuse"):
            self._reply(b"220 sink.test ESMTP")
        answers = {
            b"EHLO": self._ehlo,
            b"HELO": self._ehlo,
            b"STARTTLS": self._starttls,
            b"AUTH": self._auth,
            b"MAIL": self._mail,
            b"RCPT": self._rcpt,
            b"DATA": self._data,
            b"RSET": self._rset,
        }
        while True:
            line = self._line()
            self._sink.commands.append(line.decode("latin-1"))
            verb = line[:8].split(b" ")[0].split(b":")[0].upper()
            if verb == b"QUIT":
                self._reply(b"221 2.0.0 bye")
                return
            answers.get(verb, self._unknown)(line)

    def cut(self) -> None:
        with suppress(OSError):
            # Not SSLSocket.shutdown, which takes the TLS state away under the thread that is reading.
            socket.socket.shutdown(self._wire, socket.SHUT_RDWR)

    def close(self) -> None:
        self._wire.close()

    def _ehlo(self, line: bytes) -> None:
        if self._fails_at("ehlo"):
            return
        if self._mode == "helo_only":
            self._reply(b"250 sink.test" if line[:4].upper() == b"HELO" else b"502 5.5.1 unknown command")
            return
        offers = [b"sink.test", b"SIZE 50000000", b"8BITMIME", b"ENHANCEDSTATUSCODES"]
        if self._mode != "auth_missing":
            offers.append(b"AUTH PLAIN LOGIN")
        if self._tls == "starttls" and not isinstance(self._wire, ssl.SSLSocket):
            offers.append(b"STARTTLS")
        self._reply(*(b"250-" + offer for offer in offers[:-1]), b"250 " + offers[-1])

    def _starttls(self, line: bytes) -> None:
        if self._fails_at("starttls"):
            return
        self._reply(b"220 2.0.0 go ahead")
        self._buffer = b""
        self._encrypt()

    def _auth(self, line: bytes) -> None:
        if self._fails_at("auth"):
            return
        words = line.split(b" ")
        for _ in range({b"PLAIN": 1, b"LOGIN": 2}.get(words[1].upper(), 1) - len(words[2:])):
            self._reply(b"334 ")
            self._line()
        self._reply(b"235 2.7.0 welcome")

    def _mail(self, line: bytes) -> None:
        if self._fails_at("mail"):
            return
        self._sender = _address(line)
        self._recipients = []
        self._reply(b"250 2.1.0 ok")

    def _rcpt(self, line: bytes) -> None:
        recipient = _address(line)
        attempt = self._sink.attempt(recipient)
        if self._sink.rule:
            self._mode = _known(self._sink.rule(recipient, attempt))
            if self._fails_at("refuse"):
                return
        if self._fails_at("rcpt"):
            return
        if self._mode == "greylist_451" and attempt == 1:
            self._reply(b"451 4.7.1 <" + recipient.encode() + b"> greylisted, come again")
            return
        self._recipients.append(recipient)
        self._reply(b"250 2.1.5 ok")

    def _rset(self, line: bytes) -> None:
        self._recipients = []
        self._reply(b"250 2.0.0 ok")

    def _unknown(self, line: bytes) -> None:
        self._reply(b"502 5.5.1 unknown command")

    def _data(self, line: bytes) -> None:
        if not self._recipients:
            self._reply(b"503 5.5.1 no recipient")
            return
        if self._fails_at("begin"):
            return
        self._reply(b"354 go on")
        if self._mode == "close_mid_data":
            self._receive()
            raise _HangUp
        if self._mode == "stall_mid_data":
            self._sink.stopping.wait()
            raise _HangUp
        letter = Received(self._sender, tuple(self._recipients), self._content(), time.time(), self._mode)
        self._recipients = []
        refused = _REPLY_MODE.fullmatch(self._mode)
        if refused and refused["point"] == "data":
            self._sink.note(letter, stored=False)
            self._fails_at("data")
            return
        self._sink.note(letter, stored=True)
        self._finish()

    def _finish(self) -> None:
        if self._mode == "close_after_store":
            raise _HangUp
        if self._mode == "hang_after_dot":
            self._receive()  # returns when the client gives up or the sink stops
            raise _HangUp
        if self._sink.delay_ms:
            self._sink.stopping.wait(self._sink.delay_ms / 1000)
        self._reply(b"250 2.0.0 stored")
        if self._mode == "close_after_250":
            raise _HangUp
        while self._mode == "silent_after_250":
            self._receive()

    def _fails_at(self, point: str) -> bool:
        failing = _REPLY_MODE.fullmatch(self._mode)
        if not failing or failing["point"] != point:
            return False
        code = failing["code"]
        enhanced = failing["enhanced"] or f"{code[0]}.0.0"
        # Real relays repeat addresses in their replies; the product must not pass them on.
        self._reply(f"{code} {enhanced} <somebody@secret.example> so says the sink".encode())
        if code == "421":
            raise _HangUp
        return True

    def _encrypt(self) -> None:
        wrapped = _server_context().wrap_socket(self._wire, server_side=True, do_handshake_on_connect=False)
        self._wire = wrapped
        wrapped.do_handshake()

    def _reply(self, *lines: bytes) -> None:
        reply = b"\r\n".join(lines) + b"\r\n"
        if self._mode != "drip":
            self._wire.sendall(reply)
            return
        for position in range(len(reply)):
            self._wire.sendall(reply[position : position + 1])
            if self._sink.stopping.wait(1):
                raise _HangUp

    def _receive(self) -> bytes:
        piece = self._wire.recv(262_144)
        if not piece:
            raise _HangUp
        return piece

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._buffer += self._receive()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _content(self) -> bytes:
        # The line break before the letter lets one search find the dot of an empty letter too.
        pieces = bytearray(b"\r\n" + self._buffer)
        end = pieces.find(b"\r\n.\r\n")
        while end < 0:
            known = len(pieces)
            pieces += self._receive()
            end = pieces.find(b"\r\n.\r\n", known - 4 if known > 4 else 0)
        self._buffer = bytes(pieces[end + 5 :])
        return bytes(pieces[: end + 2]).replace(b"\r\n..", b"\r\n.")[2:]


def _known(mode: str) -> str:
    if mode not in MODES and not _REPLY_MODE.fullmatch(mode):
        raise ValueError(f"no such mode: {mode}")
    return mode


def _address(line: bytes) -> str:
    found = _ADDRESS.search(line)
    return found[1].decode("latin-1") if found else ""


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        pair = Path(folder, "pair.pem")
        pair.write_text(_PRIVATE_KEY + CERTIFICATE, encoding="ascii")
        context.load_cert_chain(pair)
    return context


def main() -> None:
    """Serve until SIGTERM or SIGINT; prints the port first and the counts last, each as one JSON line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.smtp_sink", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--mode", default="ok")
    parser.add_argument("--delay-ms", type=float, default=0)
    parser.add_argument("--fault-share", type=float, default=0, help="share of the attempts, 0 to 1")
    parser.add_argument(
        "--fault-modes", default="data_451,close_after_store,hang_after_dot,close_after_250,close_mid_data"
    )
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rule = faults(options.fault_share, options.fault_modes.split(","), options.seed) if options.fault_share else None
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with SmtpSink(
        options.port, options.store, mode=options.mode, rule=rule, delay_ms=options.delay_ms, keep=False
    ) as sink:
        print(json.dumps({"port": sink.port}), flush=True)
        ended.wait()
    print(json.dumps({"received": sink.received, "connections": sink.connections}), flush=True)


if __name__ == "__main__":
    main()
