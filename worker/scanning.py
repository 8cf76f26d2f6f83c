"""Asking the virus scanner: take a file, scan it with no transaction open, note what was said.

ClamAV's own protocol over its socket (INSTREAM, clamd(8)); its Python clients are no longer kept. A scanner that is
away, or says anything but yes or no, leaves a file pending: silence is never "clean".
"""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import structlog

from portal import clock, config, db
from portal.journal import files
from portal.journal.models import Scan

log = structlog.get_logger(__name__)

DEADLINE = 20.0
"""Seconds for one file: so long may the other steps wait."""
LEASE = timedelta(minutes=2)
"""For how long nobody else takes a file; also, how soon it is tried again."""
PAUSE = timedelta(minutes=1)
"""How long a scanner that failed is left alone."""
CHUNK = 256 * 1024
LONGEST_ANSWER = 1024


class NoAnswer(Exception):
    """The scanner said neither that the file is clean nor that it is not."""


class Scanning:
    """The step that has the next file scanned."""

    def __init__(self) -> None:
        self._not_before: datetime | None = None

    def __call__(self) -> bool:
        """Have one file scanned; False where none waits, there is no scanner, or it failed a moment ago."""
        address, now = config.current().clamd, clock.utc_now()
        if address is None or (self._not_before is not None and now < self._not_before):
            return False
        with db.reading() as session:
            if not files.has_to_scan(session, now=now):
                return False
        with db.writing() as session:
            file_id = files.next_to_scan(session, now=now, lease=LEASE)
            data = None if file_id is None else files.data_of(session, file_id)
        if file_id is None or data is None:
            return False
        try:
            outcome = scan(address, data)
        except (OSError, NoAnswer) as fault:
            self._not_before = now + PAUSE
            log.warning("file not scanned", reason=type(fault).__name__)
            return False
        with db.writing() as session:
            files.note_scan(session, file_id, outcome)
        if outcome is Scan.INFECTED:
            log.warning("file held back, the scanner found something", file=file_id)
        return True


def scan(address: str, data: bytes, *, deadline: float = DEADLINE) -> Scan:
    """What the scanner says of ``data``. Raises OSError where it is not there in time, NoAnswer for a strange word."""
    end = time.monotonic() + deadline
    with _connected(address, end) as connection:
        _send(connection, b"zINSTREAM\0", end)
        for start in range(0, len(data), CHUNK):
            chunk = data[start : start + CHUNK]
            _send(connection, struct.pack("!L", len(chunk)) + chunk, end)
        _send(connection, struct.pack("!L", 0), end)
        answer = _answer(connection, end)
    if answer == b"stream: OK":
        return Scan.CLEAN
    if answer.startswith(b"stream: ") and answer.endswith(b" FOUND"):
        return Scan.INFECTED
    raise NoAnswer


@contextmanager
def _connected(address: str, end: float) -> Iterator[socket.socket]:
    if address.startswith("/"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_left(end))
            connection.connect(address)
            yield connection
        return
    host, _, port = address.rpartition(":")
    target = (host.removeprefix("[").removesuffix("]"), int(port))
    with socket.create_connection(target, timeout=_left(end)) as connection:
        yield connection


def _send(connection: socket.socket, data: bytes, end: float) -> None:
    connection.settimeout(_left(end))  # for all of it, as sendall() counts
    connection.sendall(data)


def _answer(connection: socket.socket, end: float) -> bytes:
    """The one line of the answer, up to its zero byte or the end of the connection."""
    answer = b""
    while b"\0" not in answer and len(answer) < LONGEST_ANSWER:
        connection.settimeout(_left(end))
        received = connection.recv(LONGEST_ANSWER)
        if not received:
            raise NoAnswer
        answer += received
    return answer.partition(b"\0")[0]


def _left(end: float) -> float:
    """Seconds left. Raises TimeoutError when there are none."""
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
