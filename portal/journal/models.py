"""The journal and its vocabulary, and the files that came or went with an entry."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, UtcDateTime, after_create, one_of


class Kind(StrEnum):
    """What happened. Each kind has a sentence in ``templates/_journal.html``; a test holds the two together."""

    RECEIVED = "received"
    OPENED = "opened"
    RELEASED = "released"
    DISCARDED = "discarded"
    MESSAGE = "message"
    REPLY = "reply"
    QUESTION = "question"
    MAIL = "mail"
    CALL = "call"
    CALL_STARTED = "call_started"
    VISIT = "visit"
    LETTER = "letter"
    NOTE = "note"
    PROMISE_GIVEN = "promise_given"
    PROMISE_KEPT = "promise_kept"
    PROMISE_MOVED = "promise_moved"
    PROMISE_WITHDRAWN = "promise_withdrawn"
    NOTICE = "notice"
    APPOINTMENT_BOOKED = "appointment_booked"
    APPOINTMENT_MOVED = "appointment_moved"
    APPOINTMENT_GIVEN = "appointment_given"
    APPOINTMENT_FROZEN = "appointment_frozen"
    APPOINTMENT_STAYS = "appointment_stays"
    APPOINTMENT_CANCELLED = "appointment_cancelled"
    APPOINTMENT_STARTED = "appointment_started"
    APPOINTMENT_LATE = "appointment_late"
    APPOINTMENT_HELD = "appointment_held"
    APPOINTMENT_NOT_REACHED = "appointment_not_reached"
    APPOINTMENT_MISSED = "appointment_missed"
    OUTCOME_ASKED = "outcome_asked"
    REACHABLE_SAID = "reachable_said"
    PHONE_GIVEN = "phone_given"
    LEAD_JOINED = "lead_joined"
    TAKEN_OVER = "taken_over"
    REMINDED = "reminded"
    CLOSING_ANNOUNCED = "closing_announced"
    KEPT_OPEN = "kept_open"
    CLOSED = "closed"
    REOPENED = "reopened"
    CONTINUED = "continued"
    ADDRESS_CORRECTED = "address_corrected"
    LINK_REPLACED = "link_replaced"
    LINK_SENT = "link_sent"
    NOT_ME = "not_me"
    NOT_ME_UNDONE = "not_me_undone"
    LETTER_FAILED = "letter_failed"
    LETTER_RELEASED = "letter_released"
    LETTER_DROPPED = "letter_dropped"
    CHECK_MOVED = "check_moved"
    ERASURE_ASKED = "erasure_asked"
    ERASURE_CONFIRMED = "erasure_confirmed"
    ERASURE_TAKEN_BACK = "erasure_taken_back"
    ERASED_PARTLY = "erased_partly"
    ERASED = "erased"


class Channel(StrEnum):
    """How it reached the other side."""

    FORM = "form"
    PAGE = "page"
    MAIL = "mail"
    PHONE = "phone"
    VISIT = "visit"
    POST = "post"
    SYSTEM = "system"


class Direction(StrEnum):
    """Seen from the company."""

    IN = "in"
    OUT = "out"
    NONE = "none"


class Actor(StrEnum):
    """Who did it."""

    PERSON = "person"
    CUSTOMER = "customer"
    SYSTEM = "system"


class Scan(StrEnum):
    """What the virus scanner said of a file."""

    UNSCANNED = "unscanned"
    """There was no scanner when it came."""
    PENDING = "pending"
    CLEAN = "clean"
    INFECTED = "infected"


SERVED = (Scan.UNSCANNED, Scan.CLEAN)
"""Files that may be opened."""


class Entry(Base):
    """One contact or change. Never edited: a correction is a new entry that names this one.

    Only erasure blanks text and facts and keeps kind and time; the schema lets nothing else through.
    """

    __tablename__ = "entry"
    __table_args__ = (Index("ix_entry_case_id_at_id", "case_id", "at", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int | None] = mapped_column(ForeignKey("case.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    """When it happened."""
    noted_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """When it was written down; later than ``at`` for a call logged afterwards."""
    kind: Mapped[Kind] = mapped_column(one_of(Kind, checked=False))
    channel: Mapped[Channel] = mapped_column(one_of(Channel))
    direction: Mapped[Direction] = mapped_column(one_of(Direction))
    actor: Mapped[Actor] = mapped_column(one_of(Actor))
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"), index=True)
    visible: Mapped[bool]
    """Whether the customer sees it."""
    text: Mapped[str] = mapped_column(Text, default="")
    facts: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    corrects_id: Mapped[int | None] = mapped_column(ForeignKey("entry.id"), index=True)
    erased_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Attachment(Base):
    """A file of an entry, part of the journal like it; or one that waits for a form to be sent again without an error.

    Of an entry's file only what the scanner said changes, and only erasure deletes it.
    """

    __tablename__ = "attachment"
    __table_args__ = (
        CheckConstraint("entry_id IS NOT NULL OR form_key IS NOT NULL", name="of_an_entry_or_a_form"),
        CheckConstraint("bytes > 0", name="not_empty"),
        CheckConstraint("(scan = 'pending') = (scan_at IS NOT NULL)", name="pending_has_its_turn"),
        Index(
            "ix_attachment_scan_at",
            "scan_at",
            sqlite_where=text("scan = 'pending'"),
            postgresql_where=text("scan = 'pending'"),
        ),
        Index(
            "ix_attachment_held",
            "at",
            sqlite_where=text("entry_id IS NULL"),
            postgresql_where=text("entry_id IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(String(22), primary_key=True)
    """Random: it stands in an address."""
    entry_id: Mapped[int | None] = mapped_column(ForeignKey("entry.id"), index=True)
    form_key: Mapped[str | None] = mapped_column(String(64), index=True)
    """A hash of the form that it was chosen in, where that form came back with errors; stays when an entry takes it,
    so that a double click finds the same files."""
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    name: Mapped[str] = mapped_column(String(100))
    """As the sender called it; only shown."""
    type: Mapped[str] = mapped_column(String(100))
    bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    scan: Mapped[Scan] = mapped_column(one_of(Scan))
    scan_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When a worker may ask the scanner (again); None where nothing is left to ask."""


class AttachmentData(Base):
    """What a file holds; apart from the rest, so that lists never read it."""

    __tablename__ = "attachment_data"

    attachment_id: Mapped[str] = mapped_column(ForeignKey("attachment.id"), primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


_KEPT = ("id", "case_id", "at", "noted_at", "kind", "channel", "direction", "actor", "visible", "corrects_id")

SQLITE_GUARDS = (
    "CREATE TRIGGER entry_is_never_deleted BEFORE DELETE ON entry "
    "BEGIN SELECT RAISE(ABORT, 'entry_is_never_deleted'); END",
    "CREATE TRIGGER entry_is_never_edited BEFORE UPDATE ON entry WHEN NOT (NEW.erased_at IS NOT NULL "
    "AND NEW.text = '' AND NEW.facts = '{}' AND (NEW.person_id IS OLD.person_id OR NEW.person_id IS NULL) AND "
    + " AND ".join(f"NEW.{column} IS OLD.{column}" for column in _KEPT)
    + ") BEGIN SELECT RAISE(ABORT, 'entry_is_never_edited'); END",
)
POSTGRESQL_GUARDS = (
    "CREATE FUNCTION entry_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF TG_OP = 'DELETE' THEN RAISE EXCEPTION 'entry_is_never_deleted' "
    "USING ERRCODE = 'integrity_constraint_violation'; END IF; "
    "IF NEW.erased_at IS NOT NULL AND NEW.text = '' AND NEW.facts::text = '{}' "
    "AND (NEW.person_id IS NOT DISTINCT FROM OLD.person_id OR NEW.person_id IS NULL) AND "
    + " AND ".join(f"NEW.{column} IS NOT DISTINCT FROM OLD.{column}" for column in _KEPT)
    + " THEN RETURN NEW; END IF; "
    "RAISE EXCEPTION 'entry_is_never_edited' USING ERRCODE = 'integrity_constraint_violation'; END $$",
    "CREATE TRIGGER entry_guard BEFORE UPDATE OR DELETE ON entry FOR EACH ROW EXECUTE FUNCTION entry_guard()",
)
FILE_SQLITE_GUARDS = (
    "CREATE TRIGGER attachment_is_never_deleted BEFORE DELETE ON attachment "
    "WHEN (SELECT erased_at IS NULL FROM entry WHERE id = OLD.entry_id) "
    "BEGIN SELECT RAISE(ABORT, 'attachment_is_never_deleted'); END",
    "CREATE TRIGGER attachment_is_never_edited BEFORE UPDATE ON attachment WHEN OLD.entry_id IS NOT NULL AND "
    "(NEW.id, NEW.entry_id, NEW.form_key, NEW.at, NEW.name, NEW.type, NEW.bytes, NEW.sha256) IS NOT "
    "(OLD.id, OLD.entry_id, OLD.form_key, OLD.at, OLD.name, OLD.type, OLD.bytes, OLD.sha256) "
    "BEGIN SELECT RAISE(ABORT, 'attachment_is_never_edited'); END",
)
DATA_SQLITE_GUARDS = (
    "CREATE TRIGGER attachment_data_is_never_deleted BEFORE DELETE ON attachment_data WHEN (SELECT erased_at IS NULL "
    "FROM entry JOIN attachment ON attachment.entry_id = entry.id WHERE attachment.id = OLD.attachment_id) "
    "BEGIN SELECT RAISE(ABORT, 'attachment_data_is_never_deleted'); END",
    "CREATE TRIGGER attachment_data_is_never_edited BEFORE UPDATE ON attachment_data "
    "BEGIN SELECT RAISE(ABORT, 'attachment_data_is_never_edited'); END",
)
FILE_POSTGRESQL_GUARDS = (
    "CREATE FUNCTION attachment_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF TG_OP = 'DELETE' THEN IF (SELECT erased_at IS NULL FROM entry WHERE id = OLD.entry_id) THEN "
    "RAISE EXCEPTION 'attachment_is_never_deleted' USING ERRCODE = 'integrity_constraint_violation'; END IF; "
    "RETURN OLD; END IF; "
    "IF OLD.entry_id IS NULL OR "
    "(NEW.id, NEW.entry_id, NEW.form_key, NEW.at, NEW.name, NEW.type, NEW.bytes, NEW.sha256) IS NOT DISTINCT FROM "
    "(OLD.id, OLD.entry_id, OLD.form_key, OLD.at, OLD.name, OLD.type, OLD.bytes, OLD.sha256) "
    "THEN RETURN NEW; END IF; "
    "RAISE EXCEPTION 'attachment_is_never_edited' USING ERRCODE = 'integrity_constraint_violation'; END $$",
    "CREATE TRIGGER attachment_guard BEFORE UPDATE OR DELETE ON attachment "
    "FOR EACH ROW EXECUTE FUNCTION attachment_guard()",
)
DATA_POSTGRESQL_GUARDS = (
    "CREATE FUNCTION attachment_data_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF TG_OP = 'DELETE' THEN IF (SELECT erased_at IS NULL FROM entry "
    "JOIN attachment ON attachment.entry_id = entry.id WHERE attachment.id = OLD.attachment_id) THEN "
    "RAISE EXCEPTION 'attachment_data_is_never_deleted' USING ERRCODE = 'integrity_constraint_violation'; END IF; "
    "RETURN OLD; END IF; "
    "RAISE EXCEPTION 'attachment_data_is_never_edited' USING ERRCODE = 'integrity_constraint_violation'; END $$",
    "CREATE TRIGGER attachment_data_guard BEFORE UPDATE OR DELETE ON attachment_data "
    "FOR EACH ROW EXECUTE FUNCTION attachment_data_guard()",
)
for table, sqlite_guards, postgresql_guards in (
    (Entry.__table__, SQLITE_GUARDS, POSTGRESQL_GUARDS),
    (Attachment.__table__, FILE_SQLITE_GUARDS, FILE_POSTGRESQL_GUARDS),
    (AttachmentData.__table__, DATA_SQLITE_GUARDS, DATA_POSTGRESQL_GUARDS),
):
    for guard in sqlite_guards:
        after_create(table, guard, dialect="sqlite")
    for guard in postgresql_guards:
        after_create(table, guard, dialect="postgresql")
