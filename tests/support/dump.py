"""Everything that stands in a database, as text: two moments are equal if their texts are.

`dump` writes every row of every table; the same rows give the same text on SQLite and on PostgreSQL. `Kept` holds a
database as it stood and puts it back, which takes a few milliseconds where making a new one takes half a second.
"""

import json
import sqlite3
from datetime import datetime
from enum import Enum

from sqlalchemy import Engine, MetaData, Table, create_engine, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from portal import tables


def dump(engine: Engine) -> str:
    """All rows of all tables the database really has, one to a line, sorted."""
    lines = []
    with engine.execution_options(portal_writes=False).connect() as connection:
        for name in sorted(inspect(connection).get_table_names()):
            table = tables.metadata.tables.get(name)
            if table is None:
                table = Table(name, MetaData(), autoload_with=connection)
            names = [column.name for column in table.columns]
            for row in connection.execute(select(table)):
                values = (f"{column}={_written(value)}" for column, value in zip(names, row, strict=True))
                lines.append(f"{name}: {' '.join(values)}")
    return "\n".join(sorted(lines)) + "\n"


def changes(before: str, after: str) -> list[str]:
    """The lines that are only in one of two dumps: what a failed comparison should show."""
    old, new = before.splitlines(), after.splitlines()
    gone = [f"- {line}" for line in sorted(set(old) - set(new))]
    return gone + [f"+ {line}" for line in sorted(set(new) - set(old))]


class Kept:
    """A database as it stands now, and the way back to it while others hold connections to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._path = make_url(url).database or ""
        self._is_sqlite = url.startswith("sqlite")
        if self._is_sqlite:
            self._copy = sqlite3.connect(":memory:", check_same_thread=False)
            _copy_sqlite(self._path, self._copy)
            return
        # No connection is kept: a test may have shut all of them.
        self._engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        self._way_back = _copy_postgresql(self._engine)

    def put_back(self) -> None:
        """Make every row, and every number that the database will give next, what it was."""
        if self._is_sqlite:
            target = sqlite3.connect(self._path, timeout=30)
            self._copy.backup(target)
            target.close()
            return
        with self._engine.connect() as connection:
            connection.execute(text(self._way_back))

    def close(self) -> None:
        """Let the database go."""
        if self._is_sqlite:
            self._copy.close()
        else:
            self._engine.dispose()


def _written(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return repr(value.value)
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True)
    return repr(value)


def _copy_sqlite(path: str, copy: sqlite3.Connection) -> None:
    source = sqlite3.connect(path, timeout=30)
    source.backup(copy)
    source.close()


def _copy_postgresql(engine: Engine) -> str:
    """Copy every table into the schema ``kept``; returns the statements that put everything back."""
    with engine.connect() as connection:
        names = inspect(connection).get_table_names(schema="public")
        numbers = connection.execute(
            text("SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public'")
        ).all()
        copies = [f'CREATE TABLE kept."{name}" AS TABLE public."{name}"' for name in names]
        connection.execute(text("; ".join(["CREATE SCHEMA kept", *copies])))
    return "; ".join(
        [
            "SET session_replication_role = replica",  # neither keys nor guards stand in the way of putting it back
            *[f'DELETE FROM public."{name}"' for name in names],
            *[f'INSERT INTO public."{name}" SELECT * FROM kept."{name}"' for name in names],
            *[f"SELECT setval('public.\"{name}\"', {last or 1}, {bool(last)})" for name, last in numbers],
        ]
    )
