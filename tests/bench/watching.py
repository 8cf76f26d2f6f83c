"""The watch over promises, against the bare work: claim rows in batches, write a journal row and a 2 KB mail for each.

Both run in short turns over the same number of open rows, so that a machine that slows down slows down both. The clock
is driven to a Tuesday at ten: on a Sunday no letter would leave. Run as a module, this file is one worker of several.
"""

import contextlib
import os
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import psycopg
from sqlalchemy import create_engine, func, make_url, select, text

from portal import clock, db
from portal.cases import directory as directories
from portal.cases import replanning
from portal.core import create_core
from portal.journal.models import Entry, Kind
from portal.mail.letters import LetterKind
from portal.mail.models import Letter
from portal.mail.transport import Relay
from portal.promises.models import Promise
from worker import promises
from worker.__main__ import steps_of
from worker.delivery import Delivery

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
"""A Tuesday, 10:00 in Germany."""
SIZES = {"10k": 10_000, "100k": 100_000, "1m": 1_000_000}
DUE, TURNS, BATCH, POLLS, WORKERS = 1000, 10, 100, 200, 3
MAIL = "x" * 2048
A_WORKER = [sys.executable, "-m", "tests.bench.watching"]


class Ground(Protocol):
    """What a bench stands on; see ``__main__``."""

    database: str
    scale: float

    def url(self) -> str:
        """A fresh empty database."""

    def ours(self) -> dict[str, str]:
        """The environment of our processes on a migrated database with the demo company."""


def watch(ground: Ground) -> dict[str, float]:
    """Every figure for each number of open cases, and how it grows with that number."""
    found: dict[str, float] = {}
    for name, size in SIZES.items():
        if size <= 10_000 or ground.scale == 1.0:
            found |= {f"{key}_{name}": value for key, value in _watch(ground, size).items()}
    for name in SIZES:
        if f"ours_ms_{name}" in found:
            found[f"growth_{name}"] = found[f"ours_ms_{name}"] / found["ours_ms_10k"]
    return found


def _watch(ground: Ground, size: int) -> dict[str, float]:
    due = int(DUE * ground.scale)
    environment = ground.ours()
    app = create_core(environment)
    with app.app_context(), clock.drive(lambda: NOW), Bare(ground.url(), size) as bare:
        fill(size)
        deliver = Delivery(Relay(app.extensions["portal.post"]))
        steps = steps_of(deliver)
        while any(step() for step in steps.values()):  # what is done once an hour is done
            pass
        found = {
            "poll_ms": _median_ms(promises.give_notice()),
            "round_ms": _median_ms(lambda: any(step() for step in steps.values())),
        }
        cases = _Cases(size, due * 2 + TURNS)
        found |= _in_turns(bare, cases, due)
        found |= _several(environment, cases, due)
        deliver.close()
        db.db.engine.dispose()
    return found


def _in_turns(bare: "Bare", cases: "_Cases", due: int) -> dict[str, float]:
    step, share = promises.give_notice(), due // TURNS
    cases.make_due(1)
    _until_idle(step)  # statements and templates are compiled
    theirs, ours, worked = [], [], 0.0
    for _ in range(TURNS):
        bare.make_due(share)
        theirs.append(_seconds(bare.claim_and_write))
        numbers = cases.make_due(share)
        before = time.process_time()
        ours.append(_seconds(lambda: _until_idle(step)))
        worked += time.process_time() - before
        _check_once(numbers)
    return {
        "bare_ms": sum(theirs) * 1000,
        "ours_ms": sum(ours) * 1000,
        "cpu_ms": worked * 1000,
        "best": min(ours) / min(theirs),  # the turns that a busy machine disturbed least
        "ratio": statistics.median(our / their for our, their in zip(ours, theirs, strict=True)),
    }


def _several(environment: dict[str, str], cases: "_Cases", due: int) -> dict[str, float]:
    numbers = cases.make_due(due)
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(_worker(environment)) for _ in range(WORKERS)]
        for worker in workers:
            _heard(worker)
        seconds = _seconds(lambda: _together(workers))
    _check_once(numbers)
    return {f"with_{WORKERS}_ms": seconds * 1000}


def _together(workers: list["subprocess.Popen[str]"]) -> None:
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        _heard(worker)


@contextlib.contextmanager
def _worker(environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    running = subprocess.Popen(A_WORKER, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(15)


def _heard(worker: "subprocess.Popen[str]") -> None:
    assert worker.stdout is not None
    if not worker.stdout.readline():
        raise SystemExit("a worker of the bench died")


def work() -> None:
    """One worker: say that it is ready, and at a word do everything that is due."""
    app = create_core(os.environ)
    with app.app_context(), clock.drive(lambda: NOW - timedelta(days=1)):
        step = promises.give_notice()
        step()
        print("ready", flush=True)
        sys.stdin.readline()
        with clock.drive(lambda: NOW):
            _until_idle(step)
        print("done", flush=True)


def _until_idle(step: Callable[[], int]) -> None:
    while step():
        pass


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _median_ms(look: Callable[[], int]) -> float:
    def once() -> None:
        if look():
            raise SystemExit("there was something to do")

    return statistics.median(_seconds(once) for _ in range(POLLS)) * 1000


class _Cases:
    """The open cases; some at a time become due, spread over the whole table, nobody twice."""

    def __init__(self, size: int, most: int) -> None:
        self._left = iter(range(1, size + 1, size // most))

    def make_due(self, count: int) -> list[int]:
        """That many cases whose notice is due now; their ids."""
        ids = [next(self._left) for _ in range(count)]
        with db.writing() as session:
            session.connection().execute(
                text("UPDATE promise SET notice_at = :at WHERE case_id = :case_id AND state = 'open'"),
                [{"at": _stored(NOW - timedelta(seconds=number % 60)), "case_id": id} for number, id in enumerate(ids)],
            )
        return ids


def _check_once(case_ids: list[int]) -> None:
    """One letter to the customer, one to the colleague, one entry of each kind for each case; none twice, none left."""
    with db.reading() as session:
        for kind in (LetterKind.DELAY_NOTICE, LetterKind.STAFF_DELAYED):
            _once(session.execute(_per_case(Letter, kind, case_ids)).all(), case_ids)
        for noted in (Kind.PROMISE_MOVED, Kind.NOTICE):
            _once(session.execute(_per_case(Entry, noted, case_ids)).all(), case_ids)
        behind = select(func.count()).where(Promise.state == "open", Promise.notice_at <= NOW)
        if session.scalars(behind).one():
            raise SystemExit("not everything was done")


def _per_case(model: type[Letter] | type[Entry], kind: str, case_ids: list[int]) -> Any:
    return (
        select(model.case_id, func.count())
        .where(model.case_id.in_(case_ids), model.kind == kind)
        .group_by(model.case_id)
    )


def _once(rows: Any, case_ids: list[int]) -> None:
    if sorted(tuple(row) for row in rows) != [(case_id, 1) for case_id in sorted(case_ids)]:
        raise SystemExit("something was done twice or not at all")


# --- filling ---------------------------------------------------------------------------------------------------------

_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :size)"
_FILL = (
    f"INSERT INTO customer (id, name, email, email_key) {_NUMBERS} "
    "SELECT i, 'Ada Lovelace ' || i, 'ada.' || i || '@kunde.example', 'ada.' || i || '@kunde.example' FROM n",
    'INSERT INTO "case" (id, reference, link_nonce, topic_id, customer_id, owner_id, state, language, notices,'
    f" promise_id, step_state, booking_state, reachable, outcome_text, version, received_at, opened_at) {_NUMBERS} "
    "SELECT i, 'C' || i, 'nonce-' || i, :topic_id, i, :owner_id + i % 2, 'open', 'de', 0, i, 'open', 'booked', '', '',"
    " 1, :given_at, :given_at FROM n",
    "INSERT INTO promise (id, case_id, person_id, kind, medium, state, what, given_at, due_at, first_due_at,"
    f" remind_at, notice_at) {_NUMBERS} "
    "SELECT i, i, :owner_id + i % 2, 'reply', 'mail', 'open', '', :given_at, :due_at, :due_at, :remind_at, :notice_at"
    " FROM n",
)


def fill(size: int) -> None:
    """So many open cases of two colleagues, each with one promise that is due in an hour. Ids run from one."""
    on_sqlite = db.db.engine.dialect.name == "sqlite"
    with db.writing() as session:
        directory = directories.load(session, now=NOW)
        topic = next(topic for topic in directory.topics.values() if topic.slug == "angebot")
        owner = min(person.id for person in directory.people.values() if person.team_id == topic.team_id)
        values = {
            "size": size,
            "topic_id": topic.id,
            "owner_id": owner,
            "given_at": _stored(NOW - timedelta(days=1)),
            "due_at": _stored(NOW + timedelta(hours=1)),
            "remind_at": _stored(NOW + timedelta(days=1)),
            "notice_at": _stored(NOW + timedelta(minutes=30)),
        }
        if not on_sqlite:  # a million rows by four keys each: the keys are right as they are written
            session.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in _FILL:
            session.execute(text(statement), values)
        if not on_sqlite:
            for table in ("customer", "case", "promise"):
                session.execute(text(f"SELECT setval('{table}_id_seq', {size})"))
        session.execute(
            text("INSERT INTO replanning (id, mark, after_id) VALUES (1, :mark, NULL)"),
            {"mark": replanning.mark(directory)},
        )
    with db.writing() as session:
        session.execute(text("ANALYZE"))


def _stored(at: datetime) -> object:
    """An instant as the database holds it."""
    return at if db.db.engine.dialect.name == "postgresql" else at.strftime("%Y-%m-%d %H:%M:%S.%f")


# --- the bare work ---------------------------------------------------------------------------------------------------


class Bare:
    """The limit: three plain tables, the database's own driver, ten commits for a thousand rows."""

    def __init__(self, url: str, size: int) -> None:
        self._url, self._size, self._next = url, size, 0
        self._sqlite = url.startswith("sqlite")
        self._mark = "?" if self._sqlite else "%s"

    def __enter__(self) -> "Bare":
        key = "INTEGER PRIMARY KEY" if self._sqlite else "BIGSERIAL PRIMARY KEY"
        engine = create_engine(self._url)
        with engine.begin() as connection:
            for statement in (
                "CREATE TABLE promise (id INTEGER PRIMARY KEY, state TEXT NOT NULL, due_at BIGINT NOT NULL)",
                f"INSERT INTO promise (id, state, due_at) {_NUMBERS} SELECT i, 'open', 1000 FROM n",
                "CREATE INDEX promise_due ON promise (due_at) WHERE state = 'open'",
                f"CREATE TABLE entry (id {key}, promise_id INTEGER NOT NULL REFERENCES promise, at BIGINT, what TEXT)",
                "CREATE INDEX entry_promise ON entry (promise_id, at)",
                f"CREATE TABLE mail (id {key}, promise_id INTEGER NOT NULL REFERENCES promise, state TEXT, body TEXT)",
                "CREATE INDEX mail_waiting ON mail (id) WHERE state = 'queued'",
            ):
                connection.execute(text(statement), {"size": self._size} if ":size" in statement else {})
            connection.execute(text("ANALYZE"))
        engine.dispose()
        self._link = self._connect()
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    def make_due(self, count: int) -> None:
        """That many rows become due, spread over the table."""
        step = self._size // count
        ids = [(1 + self._next + number * step,) for number in range(count)]
        self._next += 1
        self._link.execute("BEGIN")
        self._link.cursor().executemany(f"UPDATE promise SET due_at = 0 WHERE id = {self._mark}", ids)
        self._link.execute("COMMIT")

    def claim_and_write(self) -> None:
        """Claim in batches, write a journal row and a mail for each, commit each batch."""
        lock = "" if self._sqlite else " FOR UPDATE SKIP LOCKED"
        due = f"SELECT id FROM promise WHERE state = 'open' AND due_at <= 1 ORDER BY due_at LIMIT {BATCH}{lock}"
        entry = f"INSERT INTO entry (promise_id, at, what) VALUES ({self._mark}, 1, 'moved')"
        mail = f"INSERT INTO mail (promise_id, state, body) VALUES ({self._mark}, 'queued', {self._mark})"
        ids: list[Any] = [None]
        while ids:
            self._link.execute("BEGIN IMMEDIATE" if self._sqlite else "BEGIN")
            claimed = self._link.execute(f"UPDATE promise SET state = 'moved' WHERE id IN ({due}) RETURNING id")
            ids = claimed.fetchall()
            if ids:
                self._link.cursor().executemany(entry, ids)
                self._link.cursor().executemany(mail, [(*row, MAIL) for row in ids])
            self._link.execute("COMMIT")

    def _connect(self) -> Any:
        if not self._sqlite:
            return psycopg.connect(self._url.replace("+psycopg", ""), autocommit=True)
        link = sqlite3.connect(make_url(self._url).database or "", isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            link.execute(f"PRAGMA {pragma}").fetchall()
        return link


if __name__ == "__main__":
    work()
