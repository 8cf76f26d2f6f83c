"""A worker that is started while its database is away waits for it, and says so; wrong settings are one sentence."""

import re
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url

from portal import db, heartbeat, schema
from portal.clock import utc_now
from portal.core import create_core
from tests.commands.test_commands import durchwahl, is_one_sentence
from tests.conftest import SECRET_KEY
from tests.faults import ground
from tests.faults.ground import Ground
from tests.support.processes import Worker, wait_until

PATIENCE = 60.0
WAITS = "the database does not answer yet"


@pytest.fixture
def laid(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    """A migrated database that can be taken away; its kind is the fixture's parameter."""
    with ground.laid(request.param, tmp_path) as found:
        engine = create_engine(found.url)
        schema.migrate(engine)
        engine.dispose()
        yield found


def settings(url: str) -> dict[str, str]:
    """The worker's environment."""
    return {"PORTAL_DATABASE_URL": url, "PORTAL_SECRET_KEY": SECRET_KEY}


@contextmanager
def taken_away(laid: Ground) -> Iterator[None]:
    """Nobody can even read within the block."""
    path = make_url(laid.url).database
    if not laid.url.startswith("sqlite"):
        with laid.gone():
            yield
        return
    assert path is not None
    other = sqlite3.connect(path, isolation_level=None)
    for statement in ("PRAGMA locking_mode=EXCLUSIVE", "BEGIN EXCLUSIVE", "CREATE TABLE held (x)", "COMMIT"):
        other.execute(statement)
    yield
    other.close()


@pytest.mark.timeout(180)
@pytest.mark.nightly_on("sqlite")
@pytest.mark.parametrize("laid", ["sqlite", "postgresql"], indirect=True)
def test_a_worker_waits_for_its_database_with_a_line_for_each_try_and_works_once_it_is_there(
    laid: Ground, tmp_path: Path
) -> None:
    with taken_away(laid):
        worker = Worker(settings(laid.url), tmp_path / "worker.log")
        wait_until(lambda: worker.said().count(WAITS) >= 2, PATIENCE, "the worker does not say that it waits")
        assert not worker.has_ended()

    core = create_core(settings(laid.url))
    with worker, core.app_context():
        wait_until(lambda: not is_dead(), PATIENCE, "the worker does not begin")
        said = worker.said()
        db.db.engine.dispose()
    assert len(said.splitlines()) == said.count(WAITS)


@pytest.mark.parametrize("laid", ["postgresql"], indirect=True)
def test_a_worker_that_waits_ends_when_it_is_told_to(laid: Ground, tmp_path: Path) -> None:
    with laid.gone(), Worker(settings(laid.url), tmp_path / "worker.log") as worker:
        wait_until(lambda: WAITS in worker.said(), PATIENCE, "the worker does not say that it waits")
        worker.send(signal.SIGTERM)

        assert worker.wait_for_end() == -signal.SIGTERM


@pytest.mark.parametrize("laid", ["postgresql"], indirect=True)
def test_a_server_that_refuses_the_worker_is_not_waited_for(laid: Ground) -> None:
    no_such_user = re.sub("postgres:@", "nobody:geheim@", laid.url)
    no_such_database = laid.url.replace("/durchwahl?", "/elsewhere?")

    for url in (no_such_user, no_such_database):
        assert url != laid.url
        ended = durchwahl("worker", **settings(url))
        assert is_one_sentence(ended)
        assert "PORTAL_DATABASE_URL" in ended.err and "geheim" not in ended.err


@pytest.mark.parametrize("place", ["durchwahl.sqlite3", "new folder/durchwahl.sqlite3"])
def test_a_file_that_is_not_there_yet_is_a_sentence_that_says_what_to_do(tmp_path: Path, place: str) -> None:
    ended = durchwahl("worker", **settings(f"sqlite:///{tmp_path / place}"))

    assert is_one_sentence(ended)
    assert "durchwahl migrate" in ended.err


@pytest.mark.parametrize("place", ["folder", "file/durchwahl.sqlite3"])
def test_a_file_that_cannot_be_opened_is_a_sentence(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()

    ended = durchwahl("worker", **settings(f"sqlite:///{tmp_path / place}"))

    assert is_one_sentence(ended)
    assert "PORTAL_DATABASE_URL" in ended.err


def is_dead() -> bool:
    """Whether no worker has been heard of."""
    with db.reading() as session:
        return heartbeat.is_dead(session, now=utc_now())
