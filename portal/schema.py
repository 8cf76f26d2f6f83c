"""The schema: bringing a database to the newest version, and saying what is missing from it."""

from pathlib import Path

import alembic.command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

GUARDS = {
    "sqlite": {"entry_is_never_deleted", "entry_is_never_edited"},
    "postgresql": {"entry_guard"},
}
"""Triggers without which a law does not hold; the database is not ready without them."""


def _configuration() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).parent.parent / "migrations"))
    return configuration


def newest() -> str:
    """The newest revision the program knows."""
    head = ScriptDirectory.from_config(_configuration()).get_current_head()
    assert head is not None
    return head


def present(engine: Engine) -> str | None:
    """The revision the database is at; None for an empty one."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def migrate(engine: Engine, revision: str = "head") -> None:
    """Bring the database to ``revision``; a fault leaves it as it was.

    On SQLite foreign keys are switched off first, which works only outside a transaction.
    """
    _run(engine, alembic.command.upgrade, revision)


def unmigrate(engine: Engine, revision: str) -> None:
    """Take the database back to ``revision`` ("base" empties it)."""
    _run(engine, alembic.command.downgrade, revision)


def _run(engine: Engine, command: object, revision: str) -> None:
    assert callable(command)
    configuration = _configuration()
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.execute("PRAGMA foreign_keys=OFF")
        try:
            configuration.attributes["connection"] = connection
            command(configuration, revision)
            connection.commit()
        finally:
            connection.rollback()
            if engine.dialect.name == "sqlite":
                driver.execute("PRAGMA foreign_keys=ON")


def guards_missing(engine: Engine) -> set[str]:
    """The names of guards that should stand in the database and do not."""
    catalogue = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
        "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
    }[engine.dialect.name]
    with engine.connect() as connection:
        return GUARDS[engine.dialect.name] - set(connection.scalars(text(catalogue)))


def is_empty(engine: Engine) -> bool:
    """Whether there is no table at all."""
    return not inspect(engine).get_table_names()
