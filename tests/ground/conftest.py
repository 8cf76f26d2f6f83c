"""The program without pages, on both databases. On PostgreSQL a module shares one, emptied after each test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import create_engine, text

from portal import db
from portal.core import create_core


@pytest.fixture(scope="module")
def shared_postgresql(request: pytest.FixtureRequest, postgresql: str, migrated_postgresql: str) -> str:
    """The address of a migrated PostgreSQL database of this module."""
    name = request.module.__name__.rpartition(".")[2]
    engine = create_engine(postgresql % "postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {migrated_postgresql}"))
    engine.dispose()
    return postgresql % name


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a migrated database without counters and wishes; once for each kind."""
    if request.param == "sqlite":
        path = tmp_path / "durchwahl.sqlite3"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        yield f"sqlite:///{path}"
        return
    url = request.getfixturevalue("shared_postgresql")
    yield url
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE link_wish, counter RESTART IDENTITY"))
    engine.dispose()


@pytest.fixture
def core(environment: dict[str, str]) -> Iterator[Flask]:
    """The core on an empty database, with its context pushed."""
    with create_core(environment).app_context() as context:
        yield context.app
        db.db.engine.dispose()
