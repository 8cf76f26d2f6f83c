"""The schema: bringing a database to the newest version, and saying what is missing from it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import alembic.command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

import portal.tables  # noqa: F401  # so that every model has said which triggers it needs
from portal import db


def _configuration() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).parent.parent / "migrations"))
    return configuration


@cache
def newest() -> str:
    """The newest revision the program knows."""
    head = ScriptDirectory.from_config(_configuration()).get_current_head()
    assert head is not None
    return head


def present(engine: Engine) -> str | None:
    """The revision the database is at; None for an empty one."""
    with _reading(engine) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def migrate(engine: Engine, revision: str = "head") -> None:
    """Bring the database to ``revision``; a fault leaves it as it was."""
    _run(engine, alembic.command.upgrade, revision)


def unmigrate(engine: Engine, revision: str) -> None:
    """Take the database back to ``revision`` ("base" empties it)."""
    _run(engine, alembic.command.downgrade, revision)


def _run(engine: Engine, command: Callable[[Config, str], None], revision: str) -> None:
    configuration = _configuration()
    with engine.connect() as connection, _without_foreign_keys(connection):
        configuration.attributes["connection"] = connection
        command(configuration, revision)
        connection.commit()


@contextmanager
def _without_foreign_keys(connection: Connection) -> Iterator[None]:
    """On SQLite rebuilding a table would delete its children; the pragma works only outside a transaction."""
    driver = connection.connection.driver_connection
    if connection.dialect.name != "sqlite" or driver is None:
        yield
        return
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        connection.rollback()
        driver.execute("PRAGMA foreign_keys=ON")


def guards(dialect: str) -> frozenset[str]:
    """Guards without which a law does not hold, or a page shows yesterday's directory: not ready without them.

    Triggers, and on PostgreSQL the constraint that keeps appointments of one person from overlapping.
    """
    return db.required_guards(dialect)


def guards_missing(engine: Engine) -> set[str]:
    """The names of guards that should stand in the database and do not; one that is switched off does not."""
    catalogue = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
        "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D' "
        "UNION SELECT conname FROM pg_constraint WHERE contype = 'x'",
    }[engine.dialect.name]
    with _reading(engine) as connection:
        return set(guards(engine.dialect.name)) - set(connection.scalars(text(catalogue)))


def _reading(engine: Engine) -> Connection:
    """A connection that waits for no writer: without these options it would take SQLite's write lock."""
    return engine.connect().execution_options(**db.read_options(engine))
