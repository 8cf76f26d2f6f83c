"""The database: engine, column types, and the rule that decides each transaction.

The HTTP method decides (DESIGN.md section 5, rule 2): GET and HEAD read in a transaction that cannot write, everything
else writes. A page asks for ``transaction()`` once; a worker step asks for ``writing()`` or ``reading()``.

SQLite and PostgreSQL are equals here. What SQLite needs on top — BEGIN IMMEDIATE, WAL, a turn for each writer — stays
in this file.
"""

import fcntl
import math
import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache, partial
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import psycopg
from flask import Flask, current_app, request
from flask_sqlalchemy_lite import SQLAlchemy
from sqlalchemy import (
    DDL,
    ColumnElement,
    DateTime,
    Dialect,
    Engine,
    Enum,
    FromClause,
    Insert,
    Integer,
    MetaData,
    Table,
    event,
    func,
    insert,
    inspect,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import DisconnectionError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator

from portal import wakeup
from portal.config import SettingsError

LOCK_WAIT = 5.0
"""Seconds a writer waits for its turn before the visitor is told to try again."""


ASK_AFTER = 1.0
"""Seconds after which a PostgreSQL connection from the pool is asked whether it still lives."""
READS: dict[str, Any] = {"portal_writes": False, "postgresql_readonly": True}
"""Execution options of a transaction that cannot write."""
SNAPSHOT = {"isolation_level": "REPEATABLE READ"}
"""With READS on PostgreSQL: every query sees what the first one saw, as SQLite has it anyway.

The level travels with the BEGIN, so it costs nothing; the pool takes it back with the connection.
"""


class Base(DeclarativeBase):
    """All tables. Constraints have names, because a migration can only drop what has one."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """An instant. Refuses naive values, stores UTC, returns aware UTC on both databases."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime is no instant")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def one_of(members: type[StrEnum], *, checked: bool = True) -> Enum:
    """A column type that holds the values of ``members``; the schema refuses every other.

    Unchecked for a vocabulary that grows with the product: a new word must not rebuild a table.
    """
    return Enum(
        members,
        native_enum=False,
        create_constraint=checked,
        name=members.__name__.lower(),
        length=30,
        values_callable=lambda kinds: [kind.value for kind in kinds],
    )


_GUARDS: dict[str, set[str]] = {}
_GUARD = re.compile(r"CREATE TRIGGER (\w+)|ALTER TABLE \w+ ADD CONSTRAINT (\w+) EXCLUDE")


def required_guards(dialect: str) -> frozenset[str]:
    """The names of the guards that the models imported so far want made on this kind of database."""
    return frozenset(_GUARDS.get(dialect, set()) | _GUARDS.get("", set()))


def after_create(target: MetaData | FromClause, statement: str, *, dialect: str | None = None) -> None:
    """Have a guard made with the tables, where the models make them (in tests); migrations keep copies of their own.

    A trigger, or a rule that rows exclude each other, is remembered as one that every database must have
    (``required_guards``).
    """
    name = _GUARD.match(statement)
    if name is not None:
        _GUARDS.setdefault(dialect or "", set()).add(name[1] or name[2])
    ddl = DDL(statement)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves this one untyped
    event.listen(target, "after_create", ddl if dialect is None else ddl.execute_if(dialect=dialect))


db = SQLAlchemy(session_options={"expire_on_commit": False})


def init_app(app: Flask, url: str) -> None:
    """Bind ``app`` to the database at ``url``; makes the folder of a SQLite file, which is where whoever starts it is.

    Raises SettingsError when that folder cannot be made.
    """
    parsed = make_url(url)
    options: dict[str, Any] = {"url": parsed, "hide_parameters": True}
    if parsed.get_backend_name() == "sqlite":
        options["url"] = _placed(parsed)
        options["connect_args"] = {"timeout": LOCK_WAIT}
    else:
        options["connect_args"] = {
            "connect_timeout": 5,
            "options": "-c timezone=UTC -c lock_timeout=5000 -c idle_in_transaction_session_timeout=60000",
        }
    app.config["SQLALCHEMY_ENGINES"] = {"default": options}
    db.init_app(app)
    # Nothing here is asynchronous, and the hook for asynchronous sessions would start a thread with an event loop at
    # the end of every request: a third of what a status page costs.
    app.teardown_appcontext_funcs[:] = [hook for hook in app.teardown_appcontext_funcs if not iscoroutinefunction(hook)]
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            event.listen(db.engine, "connect", _prepare_sqlite)
            event.listen(db.engine, "begin", _begin_sqlite)
        else:
            event.listen(db.engine, "handle_error", _hide_rows)
            event.listen(db.engine, "checkin", _note_use)
            event.listen(db.engine, "checkout", partial(_ask_if_alive, db.engine.dialect))
        app.extensions["portal.turn"] = Turn(db.engine)


def _placed(url: URL) -> URL:
    """The address with a full path; Flask would look for a relative one in a folder beside the package."""
    if not url.database or url.database == ":memory:":
        return url
    path = Path(url.database).resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"PORTAL_DATABASE_URL: the folder of the file cannot be made ({type(error).__name__})."
        ) from error
    return url.set(database=str(path))


@contextmanager
def transaction() -> Iterator[Session]:
    """The transaction of this request: read-only for GET and HEAD, writing for every other method."""
    with reading() if request.method in ("GET", "HEAD", "OPTIONS") else writing() as session:
        yield session


@contextmanager
def reading() -> Iterator[Session]:
    """A transaction that the database itself keeps from writing. Raises OperationalError if it is out of reach."""
    with db.sessionmaker(autoflush=False, info={"reads": True}) as session:
        session.connection(execution_options=read_options(db.engine))
        yield session


@contextmanager
def looking() -> Iterator[Connection]:
    """As ``reading``, for one look without objects: a session around it would cost more than the look."""
    with db.engine.connect() as connection:
        yield connection.execution_options(**read_options(db.engine))


def read_options(engine: Engine) -> dict[str, Any]:
    """The execution options of a reading transaction of this engine."""
    return {**READS, **SNAPSHOT} if engine.dialect.name == "postgresql" else READS


@contextmanager
def writing() -> Iterator[Session]:
    """A writing transaction: committed at the end of the block, rolled back by any exception.

    Raises OperationalError when the database is out of reach or no turn to write came within LOCK_WAIT seconds.
    """
    with (
        current_app.extensions["portal.turn"],
        db.sessionmaker() as session,
        session.begin(),
    ):
        yield session
    if session.info.pop("wake_worker", False):
        wakeup.send(db.engine)


def empty_log() -> bool:
    """SQLite: write the log back into the file and empty it, so that what was erased is in no file any more.

    False where a reader is in the way; it waits for nobody. PostgreSQL's server sees to its own files.
    """
    if db.engine.dialect.name != "sqlite":
        return True
    connection = db.engine.raw_connection()  # no transaction: inside one the log cannot be emptied
    try:
        driver = connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.execute("PRAGMA busy_timeout=0")
        try:
            busy, *_ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:  # the disk may be full; whoever has the connection next waits for its turn
            driver.execute(f"PRAGMA busy_timeout={int(LOCK_WAIT * 1000)}")
    finally:
        connection.close()
    return not busy


def insert_row(session: Session, model: type[Base], **values: object) -> int:
    """Insert one row at once and return its id, without an object in the session.

    For rows that are written once and not read again in the same transaction: the unit of work would take twice as
    long for each. Rows it refers to must have been flushed.
    """
    written = session.connection().execute(_insert(model), values)
    key = written.inserted_primary_key
    assert key is not None
    return key[0]  # type: ignore[no-any-return]  # the tables this is used for have one integer or text key


def upsert(session: Session, model: type[Base]) -> postgresql.Insert | sqlite.Insert:
    """An INSERT of this database's own kind, which may say what happens where the row is there already."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    return insert(model)


def columns_of(row: Base) -> dict[str, object]:
    """What was filled in of an object that belongs to no session, by column: the values of its row."""
    names = _columns(type(row))
    return {name: value for name, value in vars(row).items() if name in names}


def table_of(model: type[Base]) -> Table:
    """The table of a model, for statements that need no objects."""
    table = model.__table__
    assert isinstance(table, Table)
    return table


@cache
def _insert(model: type[Base]) -> Insert:
    return insert(table_of(model))


@cache
def _columns(model: type[Base]) -> frozenset[str]:
    return frozenset(attribute.key for attribute in inspect(model).column_attrs)


def insert_pointing(
    session: Session, model: type[Base], pointer: str, target: type[Base], **values: object
) -> tuple[int, int]:
    """Insert a row whose ``pointer`` names the row of ``target`` that comes next; returns both ids.

    Of two rows that point at each other, one must know the other's id beforehand.
    """
    statement = _insert_pointing(model, pointer, target, session.get_bind().dialect.name)
    written = session.connection().execute(statement, values).one()
    return written[0], written[1]


@cache
def _insert_pointing(model: type[Base], pointer: str, target: type[Base], dialect: str) -> Insert:
    columns = table_of(model).c
    return _insert(model).values({pointer: _next_id(target, dialect)}).returning(columns.id, columns[pointer])


def _next_id(model: type[Base], dialect: str) -> ColumnElement[int]:
    """The id of a table's next row. On SQLite one transaction writes at a time: nobody takes the number in between."""
    if dialect == "postgresql":
        return func.nextval(literal_column(f"'{model.__tablename__}_id_seq'"), type_=Integer)
    column = table_of(model).c.id
    return select(func.coalesce(func.max(column), 0) + 1).select_from(table_of(model)).scalar_subquery()


def wake_worker(session: Session) -> None:
    """Tell the workers, once this transaction is committed, that there is something to do."""
    if session.info.get("wake_worker"):
        return
    session.info["wake_worker"] = True
    wakeup.notify(session)


class Turn:
    """One writer at a time on SQLite; nothing on PostgreSQL.

    SQLite's own busy handler sleeps up to 100 ms between looks at a lock that was free long before
    (reference/performance.md 1c: p99 219 ms against 11 ms). Here the threads of a process wait in the kernel, and
    processes look at an advisory file lock every millisecond. BEGIN IMMEDIATE stays the real guard.
    """

    def __init__(self, engine: Engine) -> None:
        path = engine.url.database if engine.dialect.name == "sqlite" else None
        self._path = f"{path}.turn" if path and path != ":memory:" else None
        self._thread_lock = threading.Lock()
        self._file: int | None = None

    def __enter__(self) -> None:
        if self._path is None:
            return
        deadline = time.monotonic() + LOCK_WAIT
        if not self._thread_lock.acquire(timeout=LOCK_WAIT):
            raise _locked()
        try:
            self._file = self._open_file()
            while not self._lock_file():
                if time.monotonic() > deadline:
                    raise _locked()
                time.sleep(0.001)
        except BaseException:
            self._release()
            raise

    def __exit__(self, *_: object) -> None:
        if self._path is not None:
            self._release()

    def _open_file(self) -> int:
        assert self._path is not None
        try:
            return os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as fault:  # the disk is full, the folder is gone: the database's own file fares no better
            raise OperationalError("BEGIN IMMEDIATE", None, fault) from fault

    def _lock_file(self) -> bool:
        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._thread_lock.release()


def _locked() -> OperationalError:
    return OperationalError("BEGIN IMMEDIATE", None, sqlite3.OperationalError("database is locked"))


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    """Set what SQLite keeps per connection; ``isolation_level=None`` leaves BEGIN to us."""
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={int(LOCK_WAIT * 1000)}",
        "secure_delete=ON",
        "recursive_triggers=ON",  # without it REPLACE deletes a row past its guard
    ):
        connection.execute(f"PRAGMA {pragma}")


def _hide_rows(context: ExceptionContext) -> None:
    """Shorten PostgreSQL's message to its first part: its details quote the row that was refused."""
    fault, wrapped = context.original_exception, context.sqlalchemy_exception
    if not isinstance(fault, psycopg.Error) or not fault.diag.message_primary:
        return
    said = str(fault)
    fault.args = (fault.diag.message_primary,)
    if wrapped is not None and wrapped.args:
        wrapped.args = (str(wrapped.args[0]).replace(said, fault.diag.message_primary), *wrapped.args[1:])


def _note_use(_: object, record: ConnectionPoolEntry) -> None:
    record.info["used_at"] = time.monotonic()


def _ask_if_alive(dialect: Dialect, connection: DBAPIConnection, record: ConnectionPoolEntry, _: object) -> None:
    """Replace a connection that died while it lay in the pool.

    SQLAlchemy's own ``pool_pre_ping`` would ask at every transaction, a quarter of what a short one takes.
    """
    if time.monotonic() - record.info.get("used_at", math.inf) <= ASK_AFTER:
        return
    try:
        dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error as error:
        raise DisconnectionError from error


def _begin_sqlite(connection: Connection) -> None:
    """BEGIN, in the mode the transaction was opened with.

    A deferred transaction that reads first and writes later fails beside another writer, whatever the timeout
    (SQLITE_BUSY_SNAPSHOT): so a writing one takes the lock at once, and a reading one cannot write.
    """
    writes = connection.get_execution_options().get("portal_writes", True)
    driver = connection.connection.dbapi_connection
    assert driver is not None
    driver.execute(f"PRAGMA query_only={'OFF' if writes else 'ON'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
