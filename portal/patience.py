"""Waiting for a database that is away when a program starts, so that nobody has to start it again."""

import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from psycopg.pq import PGconn, Ping
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

log = structlog.get_logger(__name__)

T = TypeVar("T")

PAUSE = 2.0
"""Seconds between two tries."""
PASSES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL}
"""What SQLite says of a file that others hold, or of a full disk; whatever else it says lies in the settings."""


def until_it_answers(engine: Engine, ask: Callable[[], T]) -> T:
    """The answer of ``ask``, which looks into the database; each time in vain is a line in the log.

    Raises OperationalError where it is not away, but refuses us: the settings are wrong then, and no waiting helps.
    """
    while True:
        try:
            return ask()
        except OperationalError as fault:
            if not _is_away(engine, fault):
                raise
            log.error("the database does not answer yet", fault=type(fault.orig).__name__, again_in=PAUSE)
        time.sleep(PAUSE)


def _is_away(engine: Engine, fault: OperationalError) -> bool:
    if engine.dialect.name == "sqlite":
        return getattr(fault.orig, "sqlite_errorcode", 0) & 0xFF in PASSES
    url = engine.url.set(drivername="postgresql").update_query_dict({"connect_timeout": "5"})
    # A failed sign-in has no code, only words in the server's language; but whether one listens can be asked.
    if PGconn.ping(url.render_as_string(hide_password=False).encode()) != Ping.OK:
        return True
    try:  # it may have come this very moment
        engine.connect().close()
    except OperationalError:
        return False
    return True
