"""Large values go in by pieces and come out whole, on both databases; what goes wrong meanwhile is no other fault."""

import errno
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from tempfile import SpooledTemporaryFile
from typing import IO

import pytest
from flask import Flask
from sqlalchemy import create_engine, delete, event, func, select, text
from sqlalchemy.exc import IntegrityError, NoResultFound, OperationalError
from sqlalchemy.orm import Session

from portal import blobs, db
from portal.blobs import PART, insert_large, read_large
from portal.journal.models import Attachment, AttachmentData, Scan

NOW = datetime(2026, 11, 24, 8, 12, tzinfo=UTC)
KEY = "a-file-of-22-signs-abc"
DATA = os.urandom(300_000)

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
postgresql_only = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture(autouse=True)
def emptied(core: Flask) -> Iterator[None]:
    """No file stays for the next test."""
    yield
    with db.writing() as session:
        session.execute(delete(AttachmentData))
        session.execute(delete(Attachment))


def keep(session: Session, pieces: Iterable[bytes], *, size: int = len(DATA)) -> None:
    """A file that waits for its form, with these bytes."""
    facts = {"name": "a.pdf", "type": "application/pdf", "bytes": size, "sha256": "0" * 64, "scan": Scan.UNSCANNED}
    db.insert_row(session, Attachment, id=KEY, form_key="x", at=NOW, **facts)
    insert_large(session, AttachmentData, KEY, pieces, size=size)


def in_pieces(of: int) -> Iterator[bytes]:
    return (DATA[start : start + of] for start in range(0, len(DATA), of))


def stored() -> list[bytes]:
    with db.reading() as session:
        return list(session.scalars(select(AttachmentData.data)))


def taken_out() -> IO[bytes]:
    with db.reading() as session:
        return read_large(session, AttachmentData, KEY)


@pytest.mark.parametrize("of", [7_001, 65_536, len(DATA)])
def test_what_goes_in_by_pieces_comes_out_whole(core: Flask, of: int) -> None:
    with db.writing() as session:
        keep(session, in_pieces(of))

    assert stored() == [DATA]


@pytest.mark.parametrize("size", [1, PART - 1, PART, PART + 1, 3 * PART])
def test_what_is_taken_out_by_pieces_is_whole_and_outlasts_its_transaction(core: Flask, size: int) -> None:
    data = os.urandom(size)
    with db.writing() as session:
        keep(session, [data], size=size)

    with taken_out() as copy:
        assert copy.read() == data


def test_what_is_not_there_is_not_taken_out(core: Flask) -> None:
    with pytest.raises(NoResultFound):
        taken_out()


def test_a_disk_that_fills_up_while_it_is_taken_out_leaves_the_connection_as_good_as_before(
    core: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with db.writing() as session:
        keep(session, [DATA])
    with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):
        patch.setattr(SpooledTemporaryFile, "write", full)
        taken_out()

    with taken_out() as copy:
        assert copy.read() == DATA


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1])
def test_what_is_not_as_long_as_it_was_said_to_be_is_not_kept(core: Flask, size: int) -> None:
    with pytest.raises(ValueError, match="as long as"), db.writing() as session:
        keep(session, in_pieces(4096), size=size)

    assert stored() == []


def test_a_source_that_fails_leaves_nothing_behind(core: Flask) -> None:
    def failing() -> Iterator[bytes]:
        yield DATA[:1000]
        raise OSError

    with pytest.raises(OSError), db.writing() as session:
        keep(session, failing())

    assert stored() == []
    with db.writing() as session:
        keep(session, [DATA])  # the connection is as good as before


def test_a_guard_and_a_key_hold_here_too(core: Flask) -> None:
    with db.writing() as session:
        keep(session, [DATA])

    with pytest.raises(IntegrityError), db.writing() as session:
        insert_large(session, AttachmentData, KEY, [b"x"], size=1)
    with pytest.raises(IntegrityError), db.writing() as session:
        insert_large(session, AttachmentData, "of no file", [b"x"], size=1)

    assert stored() == [DATA]


@sqlite_only
def test_a_disk_that_fills_up_on_the_way_is_told_as_any_full_disk(core: Flask) -> None:
    limit = {"pages": 60}

    def cramped(driver: object, *_: object) -> None:
        driver.execute(f"PRAGMA max_page_count={limit['pages']}")  # type: ignore[attr-defined]

    event.listen(db.db.engine, "checkout", cramped)
    with pytest.raises(OperationalError, match="full") as told, db.writing() as session:
        keep(session, in_pieces(4096))
    limit["pages"] = 1_000_000

    assert not told.value.connection_invalidated
    assert stored() == []


@sqlite_only
def test_what_the_driver_itself_refuses_is_told_as_usual(core: Flask) -> None:
    def pulled_away(session: Session) -> Iterator[bytes]:
        session.execute(delete(AttachmentData))
        yield DATA

    with pytest.raises(OperationalError), db.writing() as session:
        keep(session, pulled_away(session))

    assert stored() == []


@sqlite_only
def test_what_the_driver_itself_cannot_read_is_told_as_usual(core: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    with db.writing() as session:
        keep(session, [DATA])
    monkeypatch.setattr(blobs, "_row", lambda _model: text("SELECT -1 WHERE :key <> ''"))

    with pytest.raises(OperationalError):
        taken_out()


@postgresql_only
def test_a_server_that_goes_away_while_it_is_read_is_told_as_such(core: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    data = os.urandom(3 * PART)
    with db.writing() as session:
        keep(session, [data], size=len(data))
    other, write = create_engine(db.db.engine.url, isolation_level="AUTOCOMMIT"), SpooledTemporaryFile.write

    with pytest.raises(OperationalError) as told, db.reading() as session:
        pid = session.scalar(select(func.pg_backend_pid())) or 0

        def cut_off(copy: SpooledTemporaryFile[bytes], piece: bytes) -> int:
            with other.connect() as connection:
                connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            return write(copy, piece)

        monkeypatch.setattr(SpooledTemporaryFile, "write", cut_off)
        read_large(session, AttachmentData, KEY)

    assert told.value.connection_invalidated
    other.dispose()


@postgresql_only
def test_a_server_that_goes_away_on_the_way_is_told_as_such(core: Flask) -> None:
    other = create_engine(db.db.engine.url, isolation_level="AUTOCOMMIT")

    def cut_off(pid: int) -> Iterator[bytes]:
        yield DATA[:1000]
        with other.connect() as connection:
            connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        yield from (DATA[start : start + 4096] for start in range(1000, len(DATA), 4096))

    with pytest.raises(OperationalError) as told, db.writing() as session:
        pid = session.scalar(select(func.pg_backend_pid())) or 0
        keep(session, cut_off(pid))

    assert told.value.connection_invalidated
    assert stored() == []
    other.dispose()
