"""The journal's one table and its vocabulary."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, Text
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
for guard in SQLITE_GUARDS:
    after_create(Entry.__table__, guard, dialect="sqlite")
for guard in POSTGRESQL_GUARDS:
    after_create(Entry.__table__, guard, dialect="postgresql")
