"""Waking the worker: from a commit to its ear, across processes, and no harm where nobody listens."""

import errno
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text

from portal import db, wakeup
from portal.core import create_core
from portal.wakeup import Ear

SOON = 0.5
"""Seconds within which a word has reached the ear."""
LONG = 10.0
"""Seconds an ear would wait if no word came."""
MOMENT = 0.2

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
postgresql_only = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@contextmanager
def listening() -> Iterator[Ear]:
    """An ear that listens already."""
    ear = Ear(db.db.engine)
    ear.listen()
    yield ear
    ear.close()


def say_a_word() -> None:
    """What a page does when there is something to do."""
    with db.writing() as session:
        db.wake_worker(session)


def waits(ear: Ear, seconds: float) -> float:
    """How long the ear really waited."""
    began = time.monotonic()
    ear.wait(seconds)
    return time.monotonic() - began


def folder(core: Flask) -> Path:
    """Where workers beside a SQLite file listen."""
    return Path(f"{db.db.engine.url.database}.wake")


SPEAKER = """
import sys
from sqlalchemy import text
from portal import db
from portal.core import create_core

with create_core().app_context():
    with db.reading() as session:
        session.execute(text("SELECT 1"))
    print("ready", flush=True)
    sys.stdin.readline()
    with db.writing() as session:
        db.wake_worker(session)
"""


def test_a_word_from_another_process_wakes_the_ear(core: Flask, environment: dict[str, str]) -> None:
    speaker = subprocess.Popen(
        [sys.executable, "-c", SPEAKER], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert speaker.stdin is not None and speaker.stdout is not None
    assert speaker.stdout.readline() == "ready\n"

    with listening() as ear:
        speaker.stdin.write("now\n")
        speaker.stdin.flush()
        waited = waits(ear, LONG)

    speaker.communicate(timeout=20)
    assert waited < SOON


def test_a_word_between_listening_and_waiting_is_not_lost(core: Flask) -> None:
    with listening() as ear:
        say_a_word()

        assert waits(ear, LONG) < SOON


def test_a_word_wakes_once(core: Flask) -> None:
    with listening() as ear:
        say_a_word()
        ear.wait(LONG)

        assert waits(ear, MOMENT) >= MOMENT * 0.9


def test_every_worker_is_woken(core: Flask) -> None:
    with listening() as one, listening() as other:
        say_a_word()

        assert max(waits(one, LONG), waits(other, LONG)) < SOON


def test_what_is_rolled_back_wakes_nobody(core: Flask) -> None:
    with listening() as ear:
        with pytest.raises(ZeroDivisionError), db.writing() as session:
            db.wake_worker(session)
            raise ZeroDivisionError

        assert waits(ear, MOMENT) >= MOMENT * 0.9


def test_a_transaction_that_says_nothing_wakes_nobody(core: Flask) -> None:
    with listening() as ear:
        with db.writing() as session:
            session.execute(text("UPDATE counter SET n = n"))

        assert waits(ear, MOMENT) >= MOMENT * 0.9


def test_a_word_of_one_database_does_not_wake_the_worker_of_another(
    core: Flask, environment: dict[str, str], tmp_path: Path
) -> None:
    other = create_core({**environment, "PORTAL_DATABASE_URL": f"sqlite:///{tmp_path}/other.sqlite3"})

    with listening() as ear:
        with other.app_context():
            say_a_word()

        assert waits(ear, MOMENT) >= MOMENT * 0.9


def test_without_a_listener_a_word_does_no_harm(core: Flask) -> None:
    say_a_word()


@pytest.mark.parametrize("culprit", [(wakeup.socket, "socket"), (wakeup.os, "listdir")], ids=["socket", "listdir"])
def test_a_process_without_a_file_left_to_open_keeps_what_it_wrote(
    core: Flask, culprit: tuple[object, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands in the form is committed by then: the page must not say otherwise."""

    def too_many(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with listening():
        monkeypatch.setattr(*culprit, too_many)
        say_a_word()
        monkeypatch.undo()


def test_an_ear_that_never_listened_wakes_by_itself(core: Flask) -> None:
    ear = Ear(db.db.engine)

    assert MOMENT * 0.9 <= waits(ear, MOMENT) < LONG
    ear.close()


def test_listening_twice_is_listening_once(core: Flask) -> None:
    with listening() as ear:
        ear.listen()
        say_a_word()
        ear.wait(LONG)

        assert waits(ear, MOMENT) >= MOMENT * 0.9


def test_more_words_than_an_ear_can_hold_keep_no_writer_waiting(core: Flask) -> None:
    """A worker that hangs must not stop the web: its full socket is passed over."""
    with listening() as ear:
        began = time.monotonic()
        for _ in range(400):
            wakeup.send(db.db.engine)
        say_a_word()

        assert time.monotonic() - began < LONG / 2
        assert waits(ear, LONG) < SOON


@sqlite_only
class TestBesideASqliteFile:
    def test_an_ear_leaves_no_socket_behind(self, core: Flask) -> None:
        with listening():
            during = len(os.listdir(folder(core)))

        assert (during, os.listdir(folder(core))) == (1, [])

    def test_sockets_of_dead_processes_are_swept(self, core: Flask) -> None:
        dead, living = f"{_pid_of_nobody()}-0123abcd", f"{os.getpid()}-0123abcd"
        folder(core).mkdir()
        for name in (dead, living, "note"):
            (folder(core) / name).touch()

        with listening():
            left = set(os.listdir(folder(core)))

        assert dead not in left
        assert {living, "note"} < left

    def test_a_socket_nobody_reads_does_no_harm(self, core: Flask) -> None:
        folder(core).mkdir()
        (folder(core) / f"{_pid_of_nobody()}-0123abcd").touch()

        with listening() as ear:
            (folder(core) / "1-gone").touch()
            say_a_word()

            assert waits(ear, LONG) < SOON

    def test_a_worker_whose_socket_was_removed_still_looks_by_itself(self, core: Flask) -> None:
        with listening() as ear:
            for name in os.listdir(folder(core)):
                (folder(core) / name).unlink()
            say_a_word()

            assert MOMENT * 0.9 <= waits(ear, MOMENT) < LONG

    def test_the_folder_of_sockets_is_the_owners_alone(self, core: Flask) -> None:
        with listening():
            mode = stat.S_IMODE(folder(core).stat().st_mode)

        assert mode == 0o700

    def test_a_very_long_folder_name_is_no_obstacle(self, tmp_path: Path, environment: dict[str, str]) -> None:
        """A socket's own path may be about 107 bytes long."""
        path = tmp_path / ("sehr-langer-ordner-" * 8) / ("noch-einer-" * 12) / "durchwahl.sqlite3"
        with create_core({**environment, "PORTAL_DATABASE_URL": f"sqlite:///{path}"}).app_context(), listening() as ear:
            say_a_word()

            assert waits(ear, LONG) < SOON

    def test_a_path_from_the_present_folder_is_no_obstacle(
        self, tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with create_core({**environment, "PORTAL_DATABASE_URL": "sqlite:///var/d.sqlite3"}).app_context():
            with listening() as ear:
                say_a_word()
                waited = waits(ear, LONG)
            left = os.listdir(tmp_path / "var" / "d.sqlite3.wake")

        assert (waited < SOON, left) == (True, [])


@postgresql_only
class TestOnPostgresql:
    def test_a_lost_listener_is_no_error_and_listens_again(self, core: Flask) -> None:
        with listening() as ear:
            _cut_listeners_off()
            first = waits(ear, MOMENT)
            ear.listen()
            say_a_word()

            assert first < LONG
            assert waits(ear, LONG) < SOON

    def test_a_worker_that_waits_listens_again_by_itself(self, core: Flask) -> None:
        with listening() as ear:
            _cut_listeners_off()
            ear.wait(MOMENT)
            ear.wait(MOMENT)
            say_a_word()

            assert waits(ear, LONG) < SOON

    def test_a_server_that_is_away_is_no_error(self, environment: dict[str, str]) -> None:
        url = "postgresql+psycopg://nobody@/nothing?host=/nowhere"
        with create_core({**environment, "PORTAL_DATABASE_URL": url}).app_context(), listening() as ear:
            assert waits(ear, MOMENT) < LONG


def _cut_listeners_off() -> None:
    with db.writing() as session:
        session.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )
        )


def _pid_of_nobody() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid
