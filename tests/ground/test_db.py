"""The transaction rule, instants, and turns: on both databases, with real threads and real processes."""

import fcntl
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from traceback import format_exception

import pytest
from flask import Flask
from sqlalchemy import Engine, event, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, StatementError
from sqlalchemy.orm import Session

from portal import db
from portal.cases.models import LinkWish
from portal.config import SettingsError
from portal.core import create_core
from portal.limits import Counter

NOW = datetime(2026, 11, 24, 8, 12, 30, 123456, tzinfo=UTC)
READS, WRITES = ["GET", "HEAD", "OPTIONS"], ["POST", "PUT", "PATCH", "DELETE"]
IN_TIME = 3.0
"""Seconds within which what should end at once has ended, on a busy machine too."""

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
postgresql_only = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def wish(at: datetime = NOW) -> LinkWish:
    return LinkWish(email_key="kunde@firma.example", at=at)


def wishes() -> int:
    with db.reading() as session:
        return session.scalar(select(func.count()).select_from(LinkWish)) or 0


class TestTheMethodDecides:
    @pytest.mark.parametrize("method", READS)
    def test_a_reading_request_cannot_write(self, core: Flask, method: str) -> None:
        with core.test_request_context(method=method), db.transaction() as session:
            session.add(wish())
            with pytest.raises(DBAPIError, match=r"readonly database|read-only transaction"):
                session.flush()

        assert wishes() == 0

    @pytest.mark.parametrize("method", WRITES)
    def test_every_other_request_writes(self, core: Flask, method: str) -> None:
        with core.test_request_context(method=method), db.transaction() as session:
            session.add(wish())

        assert wishes() == 1

    @pytest.mark.parametrize(
        "statement",
        [
            "INSERT INTO link_wish (id, email_key, at) VALUES (1, 'x', '2026-11-24')",
            "UPDATE counter SET n = 0",
            "DELETE FROM counter",
            "CREATE TABLE more (id INTEGER)",
            "DROP TABLE counter",
        ],
    )
    def test_no_statement_writes_in_a_reading_transaction(self, core: Flask, statement: str) -> None:
        with db.reading() as session, pytest.raises(DBAPIError, match=r"readonly database|read-only transaction"):
            session.execute(text(statement))

    def test_reading_and_writing_leave_each_others_connections_alone(self, core: Flask) -> None:
        for _ in range(3):
            with db.writing() as session:
                session.add(wish())
            with db.reading() as session, pytest.raises(DBAPIError):
                session.execute(text("DELETE FROM link_wish"))

        assert wishes() == 3


class TestWriting:
    def test_is_committed_at_the_end_of_the_block(self, core: Flask) -> None:
        with db.writing() as session:
            session.add(wish())
            before = wishes()

        assert (before, wishes()) == (0, 1)

    @pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, SystemExit])
    def test_is_rolled_back_by_any_exception(self, core: Flask, fault: type[BaseException]) -> None:
        with pytest.raises(fault), db.writing() as session:
            session.add(wish())
            session.flush()
            raise fault

        assert wishes() == 0

    def test_does_not_keep_readers_waiting(self, core: Flask) -> None:
        with db.writing() as session:
            session.add(wish())
            session.flush()
            began = time.monotonic()
            seen = wishes()

        assert seen == 0
        assert time.monotonic() - began < IN_TIME

    def test_leaves_what_was_read_usable_after_the_block(self, core: Flask) -> None:
        with db.writing() as session:
            row = wish()
            session.add(row)

        assert (row.email_key, row.at) == ("kunde@firma.example", NOW)


class TestAnInstant:
    @pytest.mark.parametrize(
        "at",
        [
            NOW,
            NOW.astimezone(timezone(timedelta(hours=5, minutes=30))),
            datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
            datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
        ],
    )
    def test_comes_back_as_the_same_instant_in_utc(self, core: Flask, at: datetime) -> None:
        with db.writing() as session:
            session.add(wish(at))
        with db.reading() as session:
            back = session.scalars(select(LinkWish.at)).one()

        assert (back, back.utcoffset()) == (at, timedelta(0))

    def test_without_a_zone_is_refused(self, core: Flask) -> None:
        with pytest.raises(StatementError, match="a naive datetime is no instant"), db.writing() as session:
            session.add(wish(NOW.replace(tzinfo=None)))

    def test_without_a_zone_is_refused_in_a_question_too(self, core: Flask) -> None:
        with db.reading() as session, pytest.raises(StatementError, match="a naive datetime is no instant"):
            session.scalars(select(LinkWish).where(LinkWish.at < NOW.replace(tzinfo=None))).all()

    def test_is_compared_as_an_instant_whatever_zone_it_is_asked_in(self, core: Flask) -> None:
        there = timezone(timedelta(hours=-11))
        with db.writing() as session:
            session.add(wish())

        with db.reading() as session:
            found = [
                session.scalar(select(func.count()).where(LinkWish.at <= (NOW + shift).astimezone(there)))
                for shift in (timedelta(microseconds=-1), timedelta(0))
            ]

        assert found == [0, 1]


@sqlite_only
def test_sqlite_is_set_up_as_the_design_says(core: Flask) -> None:
    names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "secure_delete")

    with db.reading() as session:
        settings = {name: session.scalar(text(f"PRAGMA {name}")) for name in names}

    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
        "secure_delete": 1,
    }


@sqlite_only
def test_a_writing_transaction_takes_the_lock_at_once(core: Flask) -> None:
    with statements(db.db.engine) as seen, db.writing() as session:
        session.scalar(text("SELECT 1"))

    assert seen == ["BEGIN IMMEDIATE", "SELECT 1"]


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """Every statement the engine sends, in order."""
    seen: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


class TestReading:
    def test_sees_one_moment_though_others_commit_in_between(self, core: Flask) -> None:
        with db.reading() as session:
            first = session.scalar(select(func.count()).select_from(LinkWish))
            with db.writing() as other:
                other.add(wish())
            second = session.scalar(select(func.count()).select_from(LinkWish))

        assert (first, second, wishes()) == (0, 0, 1)

    def test_costs_no_statement_of_its_own_to_begin(self, core: Flask) -> None:
        wishes()
        with statements(db.db.engine) as seen:
            wishes()

        assert [statement for statement in seen if statement != "BEGIN"] == [
            "SELECT count(*) AS count_1 \nFROM link_wish"
        ]

    @postgresql_only
    def test_leaves_the_connection_as_writing_needs_it(self, core: Flask) -> None:
        """One connection in turn: a writer in a snapshot would fail where it now waits for the row."""
        level = text("SELECT pg_backend_pid(), current_setting('transaction_isolation')")
        with db.reading() as session:
            read = session.execute(level).one()
        with db.writing() as session:
            written = session.execute(level).one()
        with db.reading() as session:
            again = session.execute(level).one()

        assert read[0] == written[0] == again[0]
        assert (read[1], written[1], again[1]) == ("repeatable read", "read committed", "repeatable read")


SECRETS = ("frau.kunde@firma.example", "frau kunde", "Frau Kunde")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO counter (name, window_at, n) VALUES (:said, '2026-11-24', 1)",
        "INSERT INTO counter (name, window_at, n) VALUES (:said, '2026-11-24', NULL)",
    ],
    ids=["unique", "not null"],
)
@pytest.mark.parametrize("said", SECRETS)
def test_a_refused_row_is_not_quoted_by_its_fault(core: Flask, statement: str, said: str) -> None:
    with db.writing() as session:
        session.execute(
            text("INSERT INTO counter (name, window_at, n) VALUES (:said, '2026-11-24', 1)"), {"said": said}
        )

    with pytest.raises(IntegrityError) as raised, db.writing() as session:
        session.execute(text(statement), {"said": said})

    texts = [str(raised.value), repr(raised.value), str(raised.value.orig), "".join(format_exception(raised.value))]
    assert not [one for one in texts if said in one]
    assert "counter" in texts[0]


@postgresql_only
def test_a_connection_that_died_in_the_pool_is_replaced(core: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "ASK_AFTER", 0.0)
    pid = text("SELECT pg_backend_pid()")
    with db.db.engine.connect() as killer:
        with db.db.engine.connect() as connection:
            victim = connection.scalar(pid)
        killer.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": victim})
        time.sleep(0.1)

        with db.reading() as session:
            assert session.scalar(pid) != victim


@postgresql_only
def test_postgresql_is_set_up_so_that_nobody_waits_for_ever(core: Flask) -> None:
    names = ("TimeZone", "lock_timeout", "idle_in_transaction_session_timeout")

    with db.reading() as session:
        settings = [session.scalar(text(f"SHOW {name}")) for name in names]

    assert settings == ["UTC", "5s", "1min"]


@sqlite_only
class TestASqliteFile:
    def test_gets_its_folder_made(self, tmp_path: Path, environment: dict[str, str]) -> None:
        path = tmp_path / "var" / "data" / "durchwahl.sqlite3"

        create_core({**environment, "PORTAL_DATABASE_URL": f"sqlite:///{path}"})

        assert path.parent.is_dir()

    def test_is_where_the_program_was_started_when_its_path_is_relative(
        self, tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with create_core({**environment, "PORTAL_DATABASE_URL": ""}).app_context(), db.reading() as session:
            session.execute(text("SELECT 1"))

        assert (tmp_path / "var" / "durchwahl.sqlite3").is_file()

    def test_whose_folder_cannot_be_made_is_one_sentence(self, tmp_path: Path, environment: dict[str, str]) -> None:
        (tmp_path / "file").touch()

        with pytest.raises(
            SettingsError, match=r"^PORTAL_DATABASE_URL: the folder of the file cannot be made \(\w+\)\.$"
        ):
            create_core({**environment, "PORTAL_DATABASE_URL": f"sqlite:///{tmp_path}/file/durchwahl.sqlite3"})


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers give up after a third of a second; asked for before the core."""
    monkeypatch.setattr(db, "LOCK_WAIT", 0.3)


def turn_file(core: Flask) -> str:
    """The file that processes take turns by."""
    return f"{db.db.engine.url.database}.turn"


@sqlite_only
class TestTurns:
    """One writer at a time on SQLite."""

    def test_many_threads_of_two_processes_write_without_a_lock_error(
        self, environment: dict[str, str], core: Flask
    ) -> None:
        """Each reads a number first and writes it later: what SQLite refuses beside another writer."""
        with db.writing() as session:
            session.add(Counter(name="turns", window_at=NOW, n=0))

        processes = [_counting(environment) for _ in range(2)]
        faults = [process.communicate(timeout=60)[1] for process in processes]

        with db.reading() as session:
            count = session.scalars(select(Counter.n)).one()
        assert (count, faults) == (2 * 4 * 15, ["", ""])

    def test_a_process_that_does_not_let_go_is_an_error_after_the_wait(self, impatient: None, core: Flask) -> None:
        with Path(turn_file(core)).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            began = time.monotonic()
            with pytest.raises(OperationalError, match="database is locked"), db.writing():
                pass
            waited = time.monotonic() - began

        assert 0.3 <= waited < IN_TIME
        assert _can_write()

    def test_a_thread_that_does_not_let_go_is_an_error_after_the_wait(self, impatient: None, core: Flask) -> None:
        with _another_thread_writing(core):
            began = time.monotonic()
            with pytest.raises(OperationalError, match="database is locked"), db.writing():
                pass
            waited = time.monotonic() - began

        assert 0.3 <= waited < IN_TIME
        assert _can_write()

    def test_a_writer_that_takes_no_turn_is_an_error_after_the_wait(self, impatient: None, core: Flask) -> None:
        stranger = sqlite3.connect(str(db.db.engine.url.database), isolation_level=None)
        stranger.execute("BEGIN IMMEDIATE")

        with pytest.raises(OperationalError, match="database is locked"), db.writing() as session:
            session.add(wish())
            session.flush()

        stranger.close()
        assert _can_write()

    def test_a_failed_transaction_gives_its_turn_back(self, impatient: None, core: Flask) -> None:
        with pytest.raises(ZeroDivisionError), db.writing():
            raise ZeroDivisionError

        assert _can_write()

    def test_a_reader_takes_no_turn(self, impatient: None, core: Flask) -> None:
        with Path(turn_file(core)).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)

            assert wishes() == 0

    def test_a_waiting_writer_gets_its_turn_soon_after_it_is_free(self, core: Flask) -> None:
        """SQLite's own busy handler sleeps up to 100 ms between looks (reference/performance.md 1c)."""
        waits = [self._wait_after_release(core) for _ in range(9)]

        assert sorted(waits)[4] < 0.05

    def _wait_after_release(self, core: Flask) -> float:
        file = os.open(turn_file(core), os.O_CREAT | os.O_RDWR)
        fcntl.flock(file, fcntl.LOCK_EX)
        released: list[float] = []

        def release() -> None:
            released.append(time.monotonic())
            os.close(file)

        timer = threading.Timer(0.03, release)
        timer.start()
        with db.writing():
            taken = time.monotonic()
        timer.join()
        return taken - released[0]

    def test_the_file_of_turns_is_the_owners_alone(self, core: Flask) -> None:
        with db.writing():
            pass

        assert stat.S_IMODE(os.stat(turn_file(core)).st_mode) == 0o600


@postgresql_only
def test_on_postgresql_writers_do_not_wait_for_each_other(core: Flask) -> None:
    with _another_thread_writing(core):
        began = time.monotonic()
        with db.writing() as session:
            session.add(wish())

    assert time.monotonic() - began < IN_TIME
    assert wishes() == 1


def _can_write() -> bool:
    before = wishes()
    with db.writing() as session:
        session.add(wish())
    return wishes() == before + 1


@contextmanager
def _another_thread_writing(core: Flask) -> Iterator[None]:
    """Another thread holds a writing transaction while the block runs."""
    holding, enough = threading.Event(), threading.Event()

    def hold() -> None:
        with core.app_context(), db.writing() as session:
            _touch(session)
            holding.set()
            enough.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    assert holding.wait(10)
    yield
    enough.set()
    thread.join()


def _touch(session: Session) -> None:
    session.execute(text("UPDATE counter SET n = n"))


COUNTING = """
import threading
from sqlalchemy import select
from portal import db
from portal.core import create_core
from portal.limits import Counter

core = create_core()

def count():
    with core.app_context():
        for _ in range(15):
            with db.writing() as session:
                row = session.scalars(select(Counter)).one()
                row.n = row.n + 1

threads = [threading.Thread(target=count) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def _counting(environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", COUNTING], env=environment, stderr=subprocess.PIPE, text=True)


@sqlite_only
def test_a_log_that_cannot_be_emptied_leaves_the_connection_as_patient_as_it_was(core: Flask) -> None:
    def refuse(action: int, name: str | None, *_: object) -> int:
        denied = action == sqlite3.SQLITE_PRAGMA and name == "wal_checkpoint"
        return sqlite3.SQLITE_DENY if denied else sqlite3.SQLITE_OK

    with db.db.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        before = driver.execute("PRAGMA busy_timeout").fetchone()
        driver.set_authorizer(refuse)

    with pytest.raises(sqlite3.DatabaseError):
        db.empty_log()

    assert driver.execute("PRAGMA busy_timeout").fetchone() == before != (0,)
    driver.set_authorizer(None)
