"""Python imports this file by itself, at the start of every process that has its folder in PYTHONPATH.

In the real web and worker processes it names each point between two statements of accepting and delivering, and kills
(or stops) the process at the one it is told. The product knows nothing of it: it listens to SQLAlchemy and to smtplib.

It is told by files in the folder DURCHWAHL_KILL: ``plan`` is a JSON object {"at": the point, "signal": its number}, or
{"at": null} to write all points to ``points``; taken, it becomes ``done``, so that nobody dies of it twice. While
``shut`` is there, the worker delivers nothing: then the numbers begin with the first letter and not with an idle look.

Told by files in the folder DURCHWAHL_FAULTS (tests/faults), it lets the disk be full (``full``) and the clock be wrong
(``clock``, by so many seconds).

DURCHWAHL_BUG plants one of the bugs at the end, to show that the harnesses find it.
"""

import json
import os
import re
import smtplib
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("DURCHWAHL_KILL", ""))
PLAN = FOLDER / "plan"


class Walk:
    """One way through accepting or delivering; counts its points and dies at the one in the plan."""

    def __init__(self, kind: str, plan: str) -> None:
        self.kind, self.plan = kind, plan
        self.letter = 0
        self._wanted = json.loads(plan)
        self._count = 0

    def next_letter(self) -> None:
        """Each letter counts its own points: what comes after one must not shift the numbers of the next."""
        self.letter += 1
        self._count = 0

    def point(self, name: str) -> None:
        self._count += 1
        name = f"{self.kind} {self._count:02} {name}" + (f", letter {self.letter}" if self.letter else "")
        if self._wanted["at"] is None:
            with (FOLDER / "points").open("a", encoding="utf-8") as points:
                points.write(name + "\n")
        elif self._wanted["at"] == name:
            self.die()

    def is_at(self, name: str) -> bool:
        """Whether the next point is the one to die at, for what must be prepared before it."""
        return bool(self._wanted["at"] and self._wanted["at"].startswith(f"{self.kind} {self._count + 1:02} {name}"))

    def die(self) -> None:
        try:
            PLAN.rename(FOLDER / "done")
        except FileNotFoundError:
            return
        os.kill(os.getpid(), self._wanted["signal"])


walks = threading.local()
over: set[str] = set()
"""Plans of which this process has seen the end: a second look, or a second press of the button, is no part of them."""


def point(name: str) -> None:
    """We are at a point, if this thread is on a walk at all."""
    walk = getattr(walks, "now", None)
    if walk is not None:
        walk.point(name)


def plan() -> str | None:
    try:
        told = PLAN.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return None if told in over else told


def end_of_walk() -> None:
    walk = getattr(walks, "now", None)
    if walk is not None:
        over.add(walk.plan)
    walks.now = None


def around(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Replace a function by one that is handed the original first."""
    original = getattr(owner, name)
    setattr(owner, name, lambda *args, **kwargs: wrapper(original, *args, **kwargs))


# --- accepting: one POST of the form, from the first statement to the last byte of the answer ---


def on_request(answer: Callable[..., Any], app: Any, environ: dict[str, Any], start: Any) -> Any:
    walks.now = None
    told = plan()
    if told is not None and (environ["REQUEST_METHOD"], environ["PATH_INFO"]) == ("POST", "/contact"):
        walks.now = Walk("accept", told)
    body = answer(app, environ, start)
    point("before the answer")
    return body


def on_head(send: Callable[..., Any], response: Any) -> None:
    was_sent = response.headers_sent
    send(response)
    if not was_sent:
        point("after the head of the answer")


def on_close(close: Callable[..., Any], response: Any) -> None:
    close(response)
    point("after the answer")
    end_of_walk()


def on_word(send: Callable[..., Any], engine: Any) -> None:
    send(engine)
    point("after the word to the workers")


# --- delivering: from the claim of the first letter until an empty look ---


def on_delivery(deliver: Callable[..., bool], step: Any) -> bool:
    if (FOLDER / "shut").exists():
        return False
    told = plan()
    walk = getattr(walks, "now", None)
    if told is not None and (walk is None or walk.plan != told):
        step.close()  # every walk begins without a connection, so that its points have the same numbers
        walk = walks.now = Walk("deliver", told)
    if walk is not None:
        walk.next_letter()
    did = deliver(step)
    if not did:
        end_of_walk()
    return did


# --- the database ---


def label(statement: str) -> str:
    """The statement in two or three words."""
    known = re.match(r"\s*(INSERT INTO|UPDATE|DELETE FROM)\s+\"?(\w+)", statement)
    if known:
        return f"{known[1].split()[0]} {known[2]}"
    table = re.search(r"\bFROM\s+\"?(\w+)", statement)
    if statement.lstrip().startswith("SELECT") and table:
        return f"SELECT {table[1]}"
    return re.sub(r"=.*", "", " ".join(statement.split()[:2]))


def after_statement(connection: Any, cursor: Any, statement: str, *_: object) -> None:
    point(f"after {label(statement)}")


def on_commit(commit: Callable[..., Any], dialect: Any, connection: Any) -> None:
    point("before COMMIT")
    if dialect.name == "postgresql":
        walk = getattr(walks, "now", None)
        if walk is not None and walk.is_at("during COMMIT"):
            # The server has the word, and nobody waits for its answer any more.
            server = connection.driver_connection.pgconn
            server.send_query(b"COMMIT")
            while server.flush():
                pass
        point("during COMMIT")
    commit(dialect, connection)
    point("after COMMIT")


# --- the relay ---


def on_send(send: Callable[..., Any], dialogue: Any, piece: bytes) -> None:
    if not piece.endswith(b"\r\n.\r\n"):
        dialogue.last_word = piece.split(b" ")[0].strip().decode("ascii", "replace")
        send(dialogue, piece)
        return
    dialogue.last_word = "the letter"
    half = len(piece) // 2
    send(dialogue, piece[:half])
    point("in the middle of the letter")
    send(dialogue, piece[half:])
    point("after the final dot")


def on_reply(getreply: Callable[..., tuple[int, bytes]], dialogue: Any) -> tuple[int, bytes]:
    code, said = getreply(dialogue)
    word = getattr(dialogue, "last_word", "")
    point(f"after {code}" + (f" to {word}" if word else " from the relay"))
    return code, said


# --- planted bugs ---


def mark_before_send() -> None:
    """The letter counts as sent before it has left."""
    from worker import delivery

    def marked_first(may_send: Callable[..., bool], claimed: Any) -> bool:
        if not may_send(claimed):
            return False
        delivery._note(claimed, True)
        return True

    around(delivery, "_may_send", marked_first)


def quit_is_failure() -> None:
    """As Flask-Mail does it: a relay that hangs up after its 250 makes a sent letter a failed one."""
    from portal.mail.transport import Relay, TryLater

    def with_quit(send: Callable[..., bool], relay: Any, **letter: Any) -> bool:
        sent = send(relay, **letter)
        try:
            relay._connection.host.docmd("QUIT")
        except OSError:
            raise TryLater("QUIT failed") from None
        return sent

    around(Relay, "send", with_quit)


def no_fencing() -> None:
    """Whoever comes back late takes the row as it is."""
    from sqlalchemy import select

    from portal.mail import outbox
    from portal.mail.models import Letter

    def with_any_token(step: Callable[..., Any], session: Any, claimed: Any, *args: Any, **kwargs: Any) -> Any:
        token = session.scalars(select(Letter.lease_token).where(Letter.id == claimed.id)).one()
        return step(session, replace(claimed, token=token), *args, **kwargs)

    for name in ("mark_sent", "drop", "fail", "retry", "pause_channel"):
        around(outbox, name, with_any_token)


def two_commits() -> None:
    """The case is committed first and its letters afterwards."""
    from portal.cases import writing

    def committed_first(queue: Callable[..., None], session: Any, *args: Any, **kwargs: Any) -> None:
        session.flush()
        connection = session.connection()
        connection.dialect.do_commit(connection.connection)
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        queue(session, *args, **kwargs)

    around(writing, "queue", committed_first)


def send_before_commit() -> None:
    """The letter leaves before what it speaks of is kept."""
    from sqlalchemy import event
    from sqlalchemy.orm import Session

    from portal import config
    from portal.mail.models import Letter, LetterState

    def send_now(session: Any) -> None:
        waiting = list(session.info.pop("early", []))
        for letter_id in waiting:
            row = session.get_one(Letter, letter_id)
            sender, settings = config.current().mail_default_sender, config.current()
            with smtplib.SMTP("127.0.0.1", settings.mail_port, timeout=3) as relay:
                relay.starttls()
                relay.sendmail(sender, [row.to_address], row.message)
            row.state, row.ended_at = LetterState.SENT, row.queued_at
        if waiting:
            session.flush()
            time.sleep(0.3)  # so that a kill meets the gap more often

    def remembered(queue: Callable[..., int], session: Any, **values: Any) -> int:
        letter_id = queue(session, **values)
        session.info.setdefault("early", []).append(letter_id)
        return letter_id

    from portal.mail import outbox

    around(outbox, "queue", remembered)
    event.listen(Session, "before_commit", send_now)


def deferred() -> None:
    """SQLite's transactions begin as readers, and nobody waits for a turn."""
    from portal import db

    def begin(_begin: Callable[..., None], connection: Any) -> None:
        connection.connection.dbapi_connection.execute("PRAGMA query_only=OFF")
        connection.exec_driver_sql("BEGIN DEFERRED")

    around(db, "_begin_sqlite", begin)
    around(db.Turn, "__enter__", lambda _enter, turn: None)
    around(db.Turn, "__exit__", lambda _leave, turn, *_: None)


def short_lease() -> None:
    """A letter is taken from its worker before that has had the time to send it."""
    from portal.mail import outbox

    def claimed(claim: Callable[..., Any], session: Any, **values: Any) -> Any:
        return claim(session, **{**values, "lease": timedelta(seconds=0.05)})

    around(outbox, "claim", claimed)


def swallow_commit() -> None:
    """Whatever COMMIT says, the visitor is thanked."""
    from sqlalchemy.engine.default import DefaultDialect

    def hopeful(commit: Callable[..., Any], dialect: Any, connection: Any) -> None:
        if "serve" in sys.argv:
            time.sleep(1.0)  # so that a restart meets a COMMIT more often
        with suppress(Exception):
            commit(dialect, connection)

    around(DefaultDialect, "do_commit", hopeful)


def lose_files() -> None:
    """Of the files that come along, the last one is forgotten."""
    from portal.journal import files

    def all_but_one(attach: Callable[..., None], session: Any, entry_id: int, brought: Any, **values: Any) -> None:
        attach(session, entry_id, list(brought)[:-1], **values)

    around(files, "attach", all_but_one)


def no_notices() -> None:
    """Dates that nobody keeps pass in silence."""
    from worker import promises

    around(promises, "give_notice", lambda _made: lambda: 0)


BUGS = {
    bug.__name__: bug
    for bug in (
        mark_before_send,
        quit_is_failure,
        no_fencing,
        two_commits,
        send_before_commit,
        deferred,
        short_lease,
        swallow_commit,
        lose_files,
        no_notices,
    )
}


def watch() -> None:
    """Listen wherever there is a point."""
    from flask import Flask
    from gunicorn.http.wsgi import Response
    from sqlalchemy import Engine, event
    from sqlalchemy.engine.default import DefaultDialect

    from portal import wakeup
    from worker.delivery import Delivery

    around(Flask, "__call__", on_request)
    around(Response, "send_headers", on_head)
    around(Response, "close", on_close)
    around(wakeup, "send", on_word)
    around(Delivery, "__call__", on_delivery)
    around(DefaultDialect, "do_commit", on_commit)
    around(smtplib.SMTP, "send", on_send)
    around(smtplib.SMTP, "getreply", on_reply)
    event.listen(Engine, "after_cursor_execute", after_statement)


# --- episodes of the fault plan ---

EPISODES = Path(os.environ.get("DURCHWAHL_FAULTS", ""))
ROOM = 1_000_000
"""Pages that a SQLite file may grow to when the disk is not full."""
CACHE = 64
"""Kilobytes of pages that a connection of SQLite keeps: by itself it fills 2 MB each, slowly, as a leak would."""


def on_checkout(connection: Any, _record: Any, _proxy: Any) -> None:
    """A connection of SQLite is told how far its file may grow, and how much of it to keep in memory."""
    if not isinstance(connection, sqlite3.Connection):
        return
    full = (EPISODES / "full").exists()
    pages = connection.execute("PRAGMA page_count").fetchone()[0] if full else ROOM
    connection.execute(f"PRAGMA max_page_count={pages}")
    connection.execute(f"PRAGMA cache_size=-{CACHE}")


def wrong_clock() -> datetime:
    """The time of a machine whose clock was set."""
    try:
        ahead = int((EPISODES / "clock").read_text(encoding="ascii"))
    except FileNotFoundError:
        ahead = 0
    return datetime.now(UTC) + timedelta(seconds=ahead)


def befall() -> None:
    """Listen for the episodes."""
    from sqlalchemy import Pool, event

    from portal import clock

    event.listen(Pool, "checkout", on_checkout)
    clock._driven = wrong_clock


if "DURCHWAHL_KILL" in os.environ:
    watch()
if "DURCHWAHL_FAULTS" in os.environ:
    befall()
if os.environ.get("DURCHWAHL_BUG"):
    BUGS[os.environ["DURCHWAHL_BUG"]]()
