"""Large values, written and read piece by piece: neither we nor the driver ever hold one whole.

As a parameter of a statement, or in its result, a file of 10 MB is in memory three times, and the C library keeps what
each thread once had. SQLite is given a row of zeros to write over, and lets a value be opened and read as a file;
PostgreSQL is given a COPY of one row, and asked for one part of it after the other. What the driver raises there is
raised as SQLAlchemy raises it anywhere else, so that a full disk is a full disk.
"""

import sqlite3
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from tempfile import SpooledTemporaryFile
from typing import IO

import psycopg
from sqlalchemy import (
    ColumnElement,
    Insert,
    Integer,
    LargeBinary,
    Select,
    bindparam,
    func,
    insert,
    literal_column,
    select,
)
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from portal.db import Base, table_of

PIECE = 64 * 1024
"""Bytes; what gives the pieces may choose others."""
COPY_BEGINS = b"PGCOPY\n\xff\r\n\x00" + struct.pack("!LL", 0, 0)
COPY_ENDS = struct.pack("!h", -1)
PART = 512 * 1024
"""Bytes that PostgreSQL is asked for at a time. Of a value it has compressed, it unpacks all that comes before, too."""
_NO_LONGER_OURS = (psycopg.pq.TransactionStatus.ACTIVE, psycopg.pq.TransactionStatus.UNKNOWN)


def insert_large(session: Session, model: type[Base], key: str, pieces: Iterable[bytes], *, size: int) -> None:
    """Insert a row of a table that has but a key, which is text, and bytes: those of ``pieces``, together ``size``.

    Raises ValueError where they are more or less, and whatever an INSERT raises.
    """
    connection = session.connection()
    written = _insert_in_place if connection.dialect.name == "sqlite" else _copy
    with _faults_as_usual(connection):
        written(connection, model, key, _exactly(size, pieces), size)


def read_large(session: Session, model: type[Base], key: str) -> IO[bytes]:
    """The bytes of such a row, all of them, in a temporary file at its beginning; whoever asked closes it.

    So it may be read with no transaction open, however slowly. Raises NoResultFound, OSError where the disk is full,
    and whatever a SELECT raises.
    """
    connection, copy = session.connection(), SpooledTemporaryFile[bytes](max_size=PIECE)
    read = _read_opened if connection.dialect.name == "sqlite" else _read_parts
    try:
        with _faults_as_usual(connection):
            read(connection, model, key, copy)
        copy.seek(0)
    except BaseException:
        copy.close()
        raise
    return copy


def _read_opened(connection: Connection, model: type[Base], key: str, copy: IO[bytes]) -> None:
    row = connection.execute(_row(model), {"key": key}).scalar_one()
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    table = table_of(model)
    with driver.blobopen(table.name, table.columns[1].name, row, readonly=True) as blob:
        while piece := blob.read(PIECE):
            copy.write(piece)


def _read_parts(connection: Connection, model: type[Base], key: str, copy: IO[bytes]) -> None:
    piece, start = b"", 1  # SQL counts from one
    while start == 1 or len(piece) == PART:
        piece = connection.execute(_part(model), {"key": key, "start": start}).scalar_one()
        copy.write(piece)
        start += PART


def _insert_in_place(connection: Connection, model: type[Base], key: str, pieces: Iterable[bytes], size: int) -> None:
    row = connection.execute(_zeros(model), {"key": key, "size": size}).lastrowid
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    table = table_of(model)
    with driver.blobopen(table.name, table.columns[1].name, row) as blob:
        for piece in pieces:
            blob.write(piece)


def _copy(connection: Connection, model: type[Base], key: str, pieces: Iterable[bytes], size: int) -> None:
    driver, name = connection.connection.driver_connection, key.encode()
    assert isinstance(driver, psycopg.Connection)
    table = psycopg.sql.Identifier(table_of(model).name)
    statement = psycopg.sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(table)
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(COPY_BEGINS + struct.pack("!hL", 2, len(name)) + name + struct.pack("!L", size))
        for piece in pieces:
            copy.write(piece)
        copy.write(COPY_ENDS)


@cache
def _zeros(model: type[Base]) -> Insert:
    key, data = table_of(model).columns
    return insert(table_of(model)).values({key: bindparam("key"), data: func.zeroblob(bindparam("size"))})


@cache
def _row(model: type[Base]) -> Select[int]:
    return select(literal_column("rowid", Integer)).where(_is_key(model)).select_from(table_of(model))


@cache
def _part(model: type[Base]) -> Select[bytes]:
    data = table_of(model).columns[1]
    return select(func.substring(data, bindparam("start", type_=Integer), PART, type_=LargeBinary)).where(
        _is_key(model)
    )


def _is_key(model: type[Base]) -> ColumnElement[bool]:
    return table_of(model).columns[0] == bindparam("key")


def _exactly(size: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    left = size
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            break
        yield piece
    if left:
        raise ValueError("a large value is not as long as it was said to be")


@contextmanager
def _faults_as_usual(connection: Connection) -> Iterator[None]:
    dialect = connection.dialect
    try:
        yield
    except dialect.loaded_dbapi.Error as fault:
        gone = dialect.is_disconnect(fault, connection.connection.dbapi_connection, None) or _is_stuck(connection)
        if gone:
            connection.invalidate(fault)
        raise DBAPIError.instance(
            "a large value",
            None,
            fault,
            dialect.loaded_dbapi.Error,
            hide_parameters=True,
            connection_invalidated=gone,
            dialect=dialect,
        ) from None


def _is_stuck(connection: Connection) -> bool:
    """Whether the driver was cut off in the middle of a COPY and does not know yet that nobody is there any more.

    Such a connection cannot even be rolled back.
    """
    driver = connection.connection.driver_connection
    return isinstance(driver, psycopg.Connection) and driver.info.transaction_status in _NO_LONGER_OURS
