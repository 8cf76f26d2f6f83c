"""Large values, written piece by piece: neither we nor the driver ever hold one whole.

As a parameter of a statement a file of 10 MB is in memory three times, and the C library keeps what each thread once
had. SQLite is given a row of zeros to write over, PostgreSQL a COPY of one row. What the driver raises there is raised
as SQLAlchemy raises it anywhere else, so that a full disk is a full disk.
"""

import sqlite3
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache

import psycopg
from sqlalchemy import Insert, bindparam, func, insert
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from portal.db import Base, table_of

PIECE = 64 * 1024
"""Bytes; what gives the pieces may choose others."""
COPY_BEGINS = b"PGCOPY\n\xff\r\n\x00" + struct.pack("!LL", 0, 0)
COPY_ENDS = struct.pack("!h", -1)
_NO_LONGER_OURS = (psycopg.pq.TransactionStatus.ACTIVE, psycopg.pq.TransactionStatus.UNKNOWN)


def insert_large(session: Session, model: type[Base], key: str, pieces: Iterable[bytes], *, size: int) -> None:
    """Insert a row of a table that has but a key, which is text, and bytes: those of ``pieces``, together ``size``.

    Raises ValueError where they are more or less, and whatever an INSERT raises.
    """
    connection = session.connection()
    written = _insert_in_place if connection.dialect.name == "sqlite" else _copy
    with _faults_as_usual(connection):
        written(connection, model, key, _exactly(size, pieces), size)


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
