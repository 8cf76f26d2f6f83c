"""The virus scanner: ClamAV's own protocol over its socket (PING and INSTREAM, clamd(8)).

Its Python clients are no longer kept. Silence is never "clean": whatever is not plainly yes or no is no answer.
"""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from portal.journal.models import Scan

DEADLINE = 20.0
"""Seconds for one file: so long may the other steps wait."""
CHUNK = 256 * 1024
LONGEST_ANSWER = 1024


class NoAnswer(Exception):
    """The scanner said neither that the file is clean nor that it is not."""


def answers(address: str, *, deadline: float) -> bool:
    """Whether a scanner listens there, and says so within ``deadline`` seconds."""
    end = time.monotonic() + deadline
    try:
        with _connected(address, end) as connection:
            _send(connection, b"zPING\0", end)
            return _answer(connection, end) == b"PONG"
    except (OSError, NoAnswer):
        return False


def scan(address: str, data: IO[bytes], *, deadline: float = DEADLINE) -> Scan:
    """What the scanner says of ``data``, from where it stands.

    Raises OSError where the scanner is not there in time, NoAnswer for a strange word.
    """
    end = time.monotonic() + deadline
    with _connected(address, end) as connection:
        _send(connection, b"zINSTREAM\0", end)
        while chunk := data.read(CHUNK):
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
