"""The virus scanner: asked over its socket, believed only when it says yes or no."""

import io
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from portal import clock, db
from portal.core import create_core
from portal.journal import files, service
from portal.journal.clamd import NoAnswer, answers, scan
from portal.journal.files import File
from portal.journal.models import Actor, Attachment, Channel, Kind, Scan
from tests.support.cast import planned_for_any_values, statements
from tests.support.files import EICAR
from worker.scanning import Scanning

Answer = Callable[[socket.socket, bytes], None]

PING = b"zPING\0"


def lives(connection: socket.socket, data: bytes) -> None:
    connection.sendall(b"PONG\0" if data == PING else b"UNKNOWN COMMAND\0")


def truly(connection: socket.socket, data: bytes) -> None:
    found = b"stream: Win.Test.EICAR_HDB-1 FOUND\0" if EICAR in data else b"stream: OK\0"
    connection.sendall(found)


def drips(connection: socket.socket, _data: bytes) -> None:
    for byte in b"stream: OK" * 20:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def hangs(connection: socket.socket, _data: bytes) -> None:
    time.sleep(2)


def closes(connection: socket.socket, _data: bytes) -> None:
    """Says nothing."""


def half(connection: socket.socket, _data: bytes) -> None:
    connection.sendall(b"stream: OK")  # without its end: more may have been meant to follow


def complains(connection: socket.socket, _data: bytes) -> None:
    connection.sendall(b"INSTREAM size limit exceeded. ERROR\0")


def echoes(connection: socket.socket, _data: bytes) -> None:
    connection.sendall(b"stream: OK FOUND something ERROR\0")


class Clamd:
    """A scanner that answers in one way; ``seen`` is what it was sent."""

    def __init__(self, listener: socket.socket, answer: Answer) -> None:
        self._listener, self._answer, self.seen = listener, answer, list[bytes]()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                try:
                    self.seen.append(self._read(connection))
                    self._answer(connection, self.seen[-1])
                except OSError:
                    pass  # the other side had enough

    def _read(self, connection: socket.socket) -> bytes:
        stream = connection.makefile("rb")
        command = stream.read(6)
        if command == PING:
            return PING
        assert command + stream.read(4) == b"zINSTREAM\0"
        data = b""
        while length := struct.unpack("!L", stream.read(4))[0]:
            data += stream.read(length)
        return data


@pytest.fixture
def clamd() -> Iterator[Callable[[Answer], tuple[str, Clamd]]]:
    """Starts a scanner that answers in this way; gives its address."""
    listeners = []

    def start(answer: Answer) -> tuple[str, Clamd]:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        return f"127.0.0.1:{listener.getsockname()[1]}", Clamd(listener, answer)

    yield start
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize(("data", "outcome"), [(b"harmless" * 100_000, Scan.CLEAN), (EICAR, Scan.INFECTED)])
def test_it_is_sent_all_and_believed(clamd: Callable[[Answer], tuple[str, Clamd]], data: bytes, outcome: Scan) -> None:
    address, scanner = clamd(truly)

    assert scan(address, io.BytesIO(data)) is outcome
    assert scanner.seen == [data]


def test_it_may_listen_on_a_path(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "clamd"))
        listener.listen()
        Clamd(listener, truly)

        assert scan(str(tmp_path / "clamd"), io.BytesIO(EICAR)) is Scan.INFECTED


@pytest.mark.parametrize("answer", [drips, hangs, closes, half, complains, echoes])
def test_whatever_else_it_does_is_no_answer(clamd: Callable[[Answer], tuple[str, Clamd]], answer: Answer) -> None:
    address, _ = clamd(answer)
    began = time.monotonic()

    with pytest.raises((OSError, NoAnswer)):
        scan(address, io.BytesIO(b"x"), deadline=0.5)

    assert time.monotonic() - began < 1.5


def test_a_scanner_that_is_away_is_no_answer() -> None:
    with pytest.raises(OSError):
        scan("127.0.0.1:1", io.BytesIO(b"x"))


def test_whether_one_listens_is_asked_before_there_is_a_file(clamd: Callable[[Answer], tuple[str, Clamd]]) -> None:
    assert answers(clamd(lives)[0], deadline=5)
    for answer in (hangs, closes, truly):
        assert not answers(clamd(answer)[0], deadline=0.5)
    assert not answers("127.0.0.1:1", deadline=5)


# The step


@pytest.fixture
def scanned(environment: dict[str, str]) -> Iterator[Callable[[str | None], Flask]]:
    """Opens the application with a scanner at this address."""
    opened = []

    def start(address: str | None) -> Flask:
        core = create_core({**environment, **({"PORTAL_CLAMD": address} if address else {})})
        context = core.app_context()
        context.push()
        opened.append(context)
        return core

    yield start
    for context in reversed(opened):  # each engine is that of the innermost context
        db.db.engine.dispose()
        context.pop()


def keep(data: bytes = b"x") -> None:
    """A file that has just come with an entry."""
    now = clock.utc_now()
    with db.writing() as session:
        entry_id = service.record(
            session, case_id=None, kind=Kind.NOTE, channel=Channel.SYSTEM, actor=Actor.SYSTEM, now=now
        )
        file = File(f"file-{now.timestamp()}"[:22], "a.txt", "text/plain", len(data), "0" * 64, read=lambda: [data])
        files.attach(session, entry_id, [file], now=now)


def states() -> list[Scan]:
    with db.reading() as session:
        return list(session.scalars(select(Attachment.scan).order_by(Attachment.at)))


Scanned = Callable[[str | None], Flask]
Start = Callable[[Answer], tuple[str, Clamd]]


def test_each_file_is_scanned_once(scanned: Scanned, clamd: Start) -> None:
    address, scanner = clamd(truly)
    scanned(address)
    keep(b"harmless")
    keep(EICAR)
    step = Scanning()

    assert [step(), step(), step()] == [True, True, False]
    assert states() == [Scan.CLEAN, Scan.INFECTED] and len(scanner.seen) == 2


def test_without_a_scanner_nothing_waits(scanned: Scanned) -> None:
    scanned(None)
    keep()

    assert not Scanning()()
    assert states() == [Scan.UNSCANNED]


@pytest.mark.parametrize("answer", [closes, complains])
def test_a_file_stays_pending_while_the_scanner_fails_and_is_scanned_later(
    scanned: Scanned, clamd: Start, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [answer, truly]
    address, scanner = clamd(lambda connection, data: answers[min(len(scanner.seen), 2) - 1](connection, data))
    scanned(address)
    keep()
    step, now = Scanning(), clock.utc_now()

    assert not step()
    assert states() == [Scan.PENDING]
    assert not step() and len(scanner.seen) == 1  # left alone for a while
    monkeypatch.setattr(clock, "utc_now", lambda: now + timedelta(minutes=5))
    assert step()
    assert states() == [Scan.CLEAN]


def test_two_workers_do_not_scan_the_same_file(scanned: Scanned, clamd: Start) -> None:
    address, _ = clamd(truly)
    scanned(address)
    keep()
    now = clock.utc_now()

    with db.writing() as session:
        assert files.next_to_scan(session, now=now, lease=timedelta(minutes=2)) is not None
    with db.writing() as session:
        assert files.next_to_scan(session, now=now, lease=timedelta(minutes=2)) is None


@pytest.mark.parametrize("answer", [closes, truly])
def test_a_clock_that_is_set_back_keeps_no_file_waiting(scanned: Scanned, clamd: Start, answer: Answer) -> None:
    """Neither one that came while it was ahead, nor the scanner that failed then."""
    answers = [answer, truly]
    address, scanner = clamd(lambda connection, data: answers[min(len(scanner.seen), 2) - 1](connection, data))
    scanned(address)
    step, now = Scanning(), clock.utc_now()
    with clock.drive(lambda: now + timedelta(days=1)):
        keep()
        if answer is closes:
            assert not step()

    with clock.drive(lambda: now):
        assert step()
    assert states() == [Scan.CLEAN]


def test_an_empty_look_reads_one_index(scanned: Scanned) -> None:
    scanned("127.0.0.1:1")
    with statements() as sent:
        assert not Scanning()()

    with db.reading() as session:
        plan = planned_for_any_values(session, sent[-1])
    assert "ix_attachment_scan_at" in plan and "Seq Scan" not in plan, plan
