"""Who reads a large file slowly keeps nobody waiting, and gets all of it."""

import socket
import time
from contextlib import ExitStack

import pytest
from flask import Flask
from sqlalchemy import select

from portal import answers, clock, db
from portal.answers import Answer
from portal.cases import opening
from portal.cases.drafting import Wish
from portal.cases.finding import status_token
from portal.cases.models import Case, Topic
from portal.journal.files import File
from portal.links import new_secret
from tests.flood.test_flood import _opener
from tests.support.processes import Web

SIZE = 10 * 1024 * 1024
DATA = b"%PDF-" + bytes(SIZE - 5)
DOWNLOADS = 8
"""Twice as many as there are threads."""
MOST = 1.0
"""Seconds for a page meanwhile."""


@pytest.fixture
def path(core: Flask) -> str:
    """The address of a file of the largest size."""
    file = File(new_secret(), "plan.pdf", "application/pdf", SIZE, "0" * 64, read=lambda: [DATA])
    with db.writing() as session:
        topic = session.scalars(select(Topic.id).where(Topic.slug == "angebot")).one()
        wish = Wish(topic, "Erika", "e@kunde.example", "Ein Plan.", "de", files=(file,))
        kept = opening.accept(session, wish, key=new_secret(), body_hash="", doubt=None, now=clock.utc_now())
        case_id = kept.case_id
    with db.reading() as session:
        return f"/s/{status_token(session.get_one(Case, case_id))}/files/{file.id}"


def begin(port: int, path: str) -> socket.socket:
    """Ask for the file and read nothing yet."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


def ask(port: int, path: str) -> bytes:
    """Everything that is answered to two requests in a row."""
    with begin(port, path) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        connection.settimeout(30)
        answer = b""
        while piece := connection.recv(4096 if len(answer) < 100_000 else 1 << 20):
            answer += piece
            time.sleep(0.01 if len(answer) < 100_000 else 0)
    return answer


def test_who_reads_slowly_keeps_nobody_waiting(web: Web, path: str) -> None:
    def seconds() -> float:
        began = time.monotonic()
        with _opener().open(f"{web.address}/contact", timeout=30) as page:
            assert page.status == 200
        return time.monotonic() - began

    seconds()  # the first page of a process takes longer
    with ExitStack() as readers:
        for _ in range(DOWNLOADS):
            readers.enter_context(begin(web.port, path))
        time.sleep(1.5)  # so that all of them are on their way
        took = min(seconds() for _ in range(3))

    assert took < MOST


def test_all_of_it_comes_and_then_the_next_answer(web: Web, path: str) -> None:
    answer = ask(web.port, path)

    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert rest[:SIZE] == DATA
    assert rest[SIZE:].startswith(b"HTTP/1.1 200") and b'"alive":true' in rest[SIZE:]


def test_a_reader_is_given_up_by_what_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(answers.time, "monotonic", lambda: 1000.0)
    with ours, theirs:
        answer = Answer(ours)
        answer.sendall(DATA)
        answer.rewind()
        at_first, taken = answer.until, SIZE - answer.left
        while answer.left:
            theirs.recv(SIZE)
            answer.send_on()
        answer.close()

    assert at_first == pytest.approx(1000 + answers.PATIENCE + taken / answers.RATE)
    assert answer.until == pytest.approx(1000 + answers.PATIENCE + SIZE / answers.RATE)
