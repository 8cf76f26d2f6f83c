"""The relay at the other end: a small real SMTP server on 127.0.0.1 that keeps what it takes and can misbehave.

Its own, and not aiosmtpd's, because it must break off at a chosen byte, and because tens of thousands of letters pass
through it: one thread a connection, no loop in between. What it does depends on the order of letters alone, never on
their texts, which hold random secrets.
"""

import re
import socket
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

_HEADER = re.compile(rb"^(X-Portal-Case|X-Portal-Letter|Message-ID|Date):[ \t]*(.*)\r?$", re.IGNORECASE | re.MULTILINE)
_ADDRESS = re.compile(rb"<([^>]*)>")


class Weather(StrEnum):
    """How the relay is."""

    UP = "up"
    SAYS_421 = "says_421"
    REFUSES = "refuses"


@dataclass(frozen=True)
class Arrived:
    """One letter the sink stored."""

    at: datetime
    to: str
    raw: bytes
    reference: str
    kind: str
    message_id: str


@dataclass
class Moods:
    """Every n-th recipient hears 451, every m-th letter is stored without an answer; 0 is never."""

    put_off_every: int = 0
    break_off_every: int = 0


class Sink:
    """Listens from the start on; ``take`` hands over what came in since it was asked last."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._new: list[Arrived] = []
        self._broken_off: list[str] = []
        self._connections: set[socket.socket] = set()
        self._listening: socket.socket | None = None
        self.moods = Moods()
        self.weather = Weather.UP
        self.refused: set[str] = set()
        self.stored = 0
        self._recipients = 0
        self.port = self._listen(0)

    def change(self, weather: Weather) -> None:
        """Let the relay fall silent or come back; what was connected is cut off."""
        with self._lock:
            self.weather = weather
        self._hang_up()
        if weather is Weather.REFUSES:
            self._stop_listening()
        elif self._listening is None:
            self._listen(self.port)

    def take(self) -> tuple[list[Arrived], list[str]]:
        """The letters stored since the last call, and the Message-IDs among them whose 250 never came."""
        with self._lock:
            new, broken, self._new, self._broken_off = self._new, self._broken_off, [], []
        return new, broken

    def last_message_id(self) -> str | None:
        """The Message-ID of the letter stored last that nobody took yet."""
        with self._lock:
            return self._new[-1].message_id if self._new else None

    def refuse(self, addresses: Collection[str]) -> None:
        """These mailboxes answer 550 from now on."""
        self.refused.update(address.lower() for address in addresses)

    def close(self) -> None:
        """Stop, whatever is going on."""
        self._stop_listening()
        self._hang_up()

    def _listen(self, port: int) -> int:
        self._listening = listening = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
        return int(listening.getsockname()[1])

    def _stop_listening(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)  # without it accept() would go on waiting
            listening.close()

    def _hang_up(self) -> None:
        with self._lock:
            connections, self._connections = self._connections, set()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as lines:
            _Talk(self, connection, lines.readline).go_on()
        with self._lock:
            self._connections.discard(connection)

    def puts_off(self) -> bool:
        """Whether the recipient just named is put off."""
        with self._lock:
            self._recipients += 1
            return self.moods.put_off_every > 0 and self._recipients % self.moods.put_off_every == 0

    def store(self, to: str, raw: bytes) -> bool:
        """Keep a letter; False when the connection is to break off before it is confirmed."""
        fields = {name.lower(): value.strip().decode("latin-1") for name, value in _HEADER.findall(raw[:8000])}
        letter = Arrived(
            at=self._now(),
            to=to,
            raw=raw,
            reference=fields.get(b"x-portal-case", ""),
            kind=fields.get(b"x-portal-letter", ""),
            message_id=fields.get(b"message-id", ""),
        )
        with self._lock:
            self.stored += 1
            self._new.append(letter)
            breaks_off = self.moods.break_off_every > 0 and self.stored % self.moods.break_off_every == 0
            if breaks_off:
                self._broken_off.append(letter.message_id)
        return not breaks_off


class _Talk:
    """One connection."""

    def __init__(self, sink: Sink, connection: socket.socket, readline: Callable[[], bytes]) -> None:
        self._sink, self._connection, self._readline = sink, connection, readline
        self._to = ""

    def go_on(self) -> None:
        """Answer until the other side leaves."""
        if self._sink.weather is not Weather.UP:
            return self._say("421 4.3.2 not now")
        self._say("220 sink ESMTP")
        while line := self._readline():
            if self._sink.weather is not Weather.UP:
                return self._say("421 4.3.2 not now")
            verb = line[:4].upper()
            if verb == b"QUIT":
                return self._say("221 2.0.0 bye")
            if verb == b"DATA":
                if not self._take_letter():
                    return None
                continue
            self._say(self._answer(verb, line))
        return None

    def _answer(self, verb: bytes, line: bytes) -> str:
        if verb == b"RCPT":
            return self._recipient(line)
        if verb == b"EHLO":
            return "250-sink\r\n250 SIZE 33554432"
        return "250 2.0.0 ok" if verb in (b"HELO", b"MAIL", b"RSET", b"NOOP") else "500 5.5.2 what"

    def _recipient(self, line: bytes) -> str:
        found = _ADDRESS.search(line)
        self._to = found[1].decode("ascii", "replace") if found else ""
        if self._to.lower() in self._sink.refused:
            return "550 5.1.1 no such mailbox"
        return "451 4.7.1 come back later" if self._sink.puts_off() else "250 2.1.5 ok"

    def _take_letter(self) -> bool:
        self._say("354 go on")
        lines: list[bytes] = []
        while (line := self._readline()) != b".\r\n":
            if not line:
                return False  # cut off in the middle: nothing is kept
            lines.append(line[1:] if line.startswith(b".") else line)
        if not self._sink.store(self._to, b"".join(lines)):
            self._connection.shutdown(socket.SHUT_RDWR)
            return False
        self._say("250 2.0.0 kept")
        return True

    def _say(self, line: str) -> None:
        self._connection.sendall(line.encode("ascii") + b"\r\n")
