"""Law 7: an entry is never edited and never deleted; erasure alone blanks it, and keeps kind and time."""

from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal import db
from portal.journal.models import Entry

pytestmark = pytest.mark.xdist_group("schema")  # they share a database: one process makes it

WORLD = (
    "INSERT INTO team (id, name, place, tz) VALUES (1, 'Vertrieb', 'DE-BY', 'Europe/Berlin')",
    "INSERT INTO person (id, team_id, name, role, email, place, language, answers) "
    "VALUES (1, 1, 'Miriam', 'x', 'm@b.example', 'DE-BY', 'de', false), "
    "(2, 1, 'Jonas', 'x', 'j@b.example', 'DE-BY', 'de', false)",
    "INSERT INTO entry (id, at, noted_at, kind, channel, direction, actor, person_id, visible, text, facts) "
    "VALUES (1, '2026-11-24 09:00:00', '2026-11-24 09:00:00', 'call', 'phone', 'out', 'person', 1, true, "
    "'Frau Kunde wünscht ein Angebot.', '{\"contact\": \"call_reached\"}')",
)
EDITS = {
    "id": "id = 2",
    "case_id": "case_id = 7",
    "at": "at = '2026-11-24 08:00:00'",
    "noted_at": "noted_at = '2026-11-24 10:00:00'",
    "kind": "kind = 'note'",
    "channel": "channel = 'mail'",
    "direction": "direction = 'in'",
    "actor": "actor = 'system'",
    "person_id": "person_id = 2",
    "visible": "visible = false",
    "text": "text = 'Nichts.'",
    "facts": """facts = '{"contact": "call_in"}'""",
    "corrects_id": "corrects_id = 1",
    "erased_at": "erased_at = '2026-11-25 09:00:00'",
}
ERASED = "erased_at = '2026-11-25 09:00:00', text = '', facts = '{}'"
ERASABLE = {"text", "facts", "erased_at"}
KEPT = {column: edit for column, edit in EDITS.items() if column not in ERASABLE}
REFUSED = "entry_is_never_(edited|deleted)"


@pytest.fixture(scope="module")
def journal(program: Flask) -> Flask:
    """The program, with one entry in the journal."""
    with db.writing() as session:
        for statement in WORLD:
            session.execute(text(statement))
    return program


@pytest.fixture
def session(journal: Flask) -> Iterator[Session]:
    """A writing transaction that is rolled back at the end."""
    with pytest.raises(_Enough), db.writing() as session:
        yield session
        raise _Enough


class _Enough(Exception):
    """Ends a transaction without a commit."""


def test_every_column_is_tried() -> None:
    assert set(EDITS) == set(Entry.__table__.columns.keys())


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_no_column_of_an_entry_is_edited(session: Session, edit: str) -> None:
    with pytest.raises(IntegrityError, match=REFUSED), session.begin_nested():
        session.execute(text(f"UPDATE entry SET {edit}"))


@pytest.mark.parametrize("edit", KEPT.values(), ids=KEPT)
def test_erasure_is_no_way_around(session: Session, edit: str) -> None:
    with pytest.raises(IntegrityError, match=REFUSED), session.begin_nested():
        session.execute(text(f"UPDATE entry SET {ERASED}, {edit}"))


@pytest.mark.parametrize(
    "half",
    [
        "text = '', facts = '{}'",
        "erased_at = '2026-11-25 09:00:00', text = ''",
        "erased_at = '2026-11-25', facts = '{}'",
    ],
)
def test_half_an_erasure_is_refused(session: Session, half: str) -> None:
    with pytest.raises(IntegrityError, match=REFUSED), session.begin_nested():
        session.execute(text(f"UPDATE entry SET {half}"))


def test_an_entry_is_never_deleted(session: Session) -> None:
    with pytest.raises(IntegrityError, match=REFUSED), session.begin_nested():
        session.execute(text("DELETE FROM entry"))


@pytest.mark.parametrize("name", ["", ", person_id = NULL"], ids=["with the name", "without the name"])
def test_erasure_blanks_text_and_facts_and_keeps_kind_and_time(session: Session, name: str) -> None:
    session.execute(text(f"UPDATE entry SET {ERASED}{name}"))

    entry = session.get_one(Entry, 1)
    assert (entry.text, entry.facts, entry.kind, entry.at.hour) == ("", {}, "call", 9)


def test_what_is_erased_stays_erased(session: Session) -> None:
    session.execute(text(f"UPDATE entry SET {ERASED}, person_id = NULL"))

    with pytest.raises(IntegrityError, match=REFUSED), session.begin_nested():
        session.execute(text("UPDATE entry SET text = 'Doch.', person_id = 1, erased_at = NULL"))


@pytest.mark.parametrize("program", ["sqlite"], indirect=True)
def test_replacing_an_entry_is_no_way_around(session: Session) -> None:
    columns = ", ".join(column for column in EDITS if column != "text")

    with pytest.raises(IntegrityError, match=REFUSED), session.begin_nested():
        session.execute(text(f"REPLACE INTO entry ({columns}, text) SELECT {columns}, 'Nichts.' FROM entry"))
