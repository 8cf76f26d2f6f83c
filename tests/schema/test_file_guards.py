"""Law 7 holds for files too: one that an entry has is never edited and never deleted but by erasure."""

from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal import db

pytestmark = pytest.mark.xdist_group("schema")  # they share a database: one process makes it

MOMENT = "'2026-11-24 09:00:00'"
WORLD = (
    "INSERT INTO entry (id, at, noted_at, kind, channel, direction, actor, visible, text, facts) "
    f"VALUES (901, {MOMENT}, {MOMENT}, 'note', 'system', 'none', 'system', true, 'x', '{{}}')",
    "INSERT INTO attachment (id, entry_id, form_key, at, name, type, bytes, sha256, scan, scan_at) VALUES "
    f"('kept', 901, NULL, {MOMENT}, 'a.txt', 'text/plain', 1, 'x', 'unscanned', NULL), "
    f"('held', NULL, 'form', {MOMENT}, 'b.txt', 'text/plain', 1, 'x', 'pending', {MOMENT})",
    "INSERT INTO attachment_data (attachment_id, data) VALUES ('kept', 'x'), ('held', 'x')",
)
EDITS = {
    "id": "id = 'other'",
    "entry_id": "entry_id = NULL, form_key = 'form'",
    "form_key": "form_key = 'form'",
    "at": "at = '2026-11-25 09:00:00'",
    "name": "name = 'evil.txt'",
    "type": "type = 'text/html'",
    "bytes": "bytes = 2",
    "sha256": "sha256 = 'y'",
}
SCANS = {"clean": "scan = 'clean'", "infected": "scan = 'infected'"}
REFUSED = "attachment_(data_)?is_never_(edited|deleted)"
ERASE = "UPDATE entry SET erased_at = '2026-11-25 09:00:00', text = '', facts = '{}' WHERE id = 901"


class _Enough(Exception):
    """Rolls a test's transaction back."""


@pytest.fixture
def session(program: Flask) -> Iterator[Session]:
    """A writing transaction with an entry, a file of it and a held one; rolled back at the end."""
    with pytest.raises(_Enough), db.writing() as session:
        for statement in WORLD:
            run(session, statement)
        yield session
        raise _Enough


def run(session: Session, statement: str) -> int:
    """Run a statement; how many rows it found."""
    return session.connection().exec_driver_sql(statement).rowcount


def is_refused(session: Session, statement: str) -> bool:
    """Whether a guard stands in the way."""
    with pytest.raises(IntegrityError, match=REFUSED), session.begin_nested():
        run(session, statement)
    return True


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_file_of_an_entry_is_never_edited(session: Session, edit: str) -> None:
    assert is_refused(session, f"UPDATE attachment SET {edit} WHERE id = 'kept'")


@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS)
def test_what_the_scanner_said_may_be_noted(session: Session, scan: str) -> None:
    assert run(session, f"UPDATE attachment SET {scan} WHERE id = 'kept'") == 1


@pytest.mark.parametrize("table", ["attachment_data WHERE attachment_id", "attachment WHERE id"])
def test_a_file_of_an_entry_is_never_deleted(session: Session, table: str) -> None:
    assert is_refused(session, f"DELETE FROM {table} = 'kept'")


@pytest.mark.parametrize("file_id", ["kept", "held"])
def test_what_a_file_holds_is_never_edited(session: Session, file_id: str) -> None:
    assert is_refused(session, f"UPDATE attachment_data SET data = 'y' WHERE attachment_id = '{file_id}'")


def test_an_erased_entry_lets_its_files_go(session: Session) -> None:
    run(session, ERASE)

    assert run(session, "DELETE FROM attachment_data WHERE attachment_id = 'kept'") == 1
    assert run(session, "DELETE FROM attachment WHERE id = 'kept'") == 1


def test_a_held_file_can_be_taken_once_and_forgotten(session: Session) -> None:
    with pytest.raises(_Enough), session.begin_nested():
        assert run(session, "UPDATE attachment SET entry_id = 901 WHERE id = 'held'") == 1
        assert is_refused(session, "DELETE FROM attachment_data WHERE attachment_id = 'held'")
        raise _Enough
    assert run(session, "DELETE FROM attachment_data WHERE attachment_id = 'held'") == 1
    assert run(session, "DELETE FROM attachment WHERE id = 'held'") == 1


@pytest.mark.parametrize(
    "values",
    [
        "NULL, NULL, 'a', 1, 'unscanned', NULL",
        "901, NULL, 'a', 0, 'unscanned', NULL",
        "901, NULL, 'a', 1, 'pending', NULL",
    ],
    ids=["of nobody", "empty", "pending for ever"],
)
def test_the_schema_refuses(session: Session, values: str) -> None:
    entry_id, form_key, name, size, scan, scan_at = values.split(", ")
    row = f"'new', {entry_id}, {form_key}, {MOMENT}, {name}, 'x', {size}, 'x', {scan}, {scan_at}"

    with pytest.raises(IntegrityError), session.begin_nested():
        run(
            session,
            "INSERT INTO attachment (id, entry_id, form_key, at, name, type, bytes, sha256, scan, scan_at) "
            f"VALUES ({row})",
        )
