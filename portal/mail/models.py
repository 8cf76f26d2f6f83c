"""The outbox: one row per letter and recipient, and the state of the channel they leave by."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, LargeBinary, String, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, UtcDateTime, one_of


class LetterState(StrEnum):
    """Where a letter is. ``held`` waits for staff, ``failed`` will not arrive, ``withdrawn`` was overtaken."""

    QUEUED = "queued"
    SENDING = "sending"
    HELD = "held"
    SENT = "sent"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"


class HoldReason(StrEnum):
    """Why a letter waits for staff."""

    MAILBOX_CAP = "mailbox_cap"
    """Strangers have caused as many letters to this mailbox as may be."""
    CASE_HELD = "case_held"
    """Nobody asked for it, and an earlier letter of its case is held."""


class Audience(StrEnum):
    """Who reads it: a letter to staff that dies is an alarm, one to a customer leaves a call."""

    CUSTOMER = "customer"
    STAFF = "staff"


class Letter(Base):
    """One rendered mail to one recipient; its Message-ID stays the same on every attempt."""

    __tablename__ = "letter"
    __table_args__ = (
        CheckConstraint("(state = 'sending') = (lease_token IS NOT NULL)", name="lease"),
        CheckConstraint("(state = 'held') = (hold_reason IS NOT NULL)", name="hold"),
        CheckConstraint("(state IN ('sent', 'failed', 'withdrawn')) = (ended_at IS NOT NULL)", name="ended"),
        Index(
            "uq_letter_key",
            "key",
            unique=True,
            sqlite_where=text("state <> 'withdrawn'"),
            postgresql_where=text("state <> 'withdrawn'"),
        ),
        Index(
            "ix_letter_due_at",
            "due_at",
            "id",
            sqlite_where=text("state = 'queued'"),
            postgresql_where=text("state = 'queued'"),
        ),
        Index(
            "ix_letter_lease_until",
            "lease_until",
            sqlite_where=text("state = 'sending'"),
            postgresql_where=text("state = 'sending'"),
        ),
        Index(
            "ix_letter_held",
            "queued_at",
            sqlite_where=text("state = 'held'"),
            postgresql_where=text("state = 'held'"),
        ),
        # Letters that waited past the day they were written for.
        Index(
            "ix_letter_valid_until",
            "valid_until",
            sqlite_where=text("state = 'queued' AND valid_until IS NOT NULL"),
            postgresql_where=text("state = 'queued' AND valid_until IS NOT NULL"),
        ),
        Index("ix_letter_case_id_id", "case_id", "id"),
        Index("ix_letter_appointment_id", "appointment_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(120))
    kind: Mapped[str] = mapped_column(String(40))
    audience: Mapped[Audience] = mapped_column(one_of(Audience))
    case_id: Mapped[int | None] = mapped_column(ForeignKey("case.id"))
    to_address: Mapped[str] = mapped_column(String(254))
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id"), index=True)
    """Whose letter it is: the sender towards a customer, the reader of a staff letter."""
    message: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    message_id: Mapped[str] = mapped_column(String(200), unique=True)
    state: Mapped[LetterState] = mapped_column(one_of(LetterState), default=LetterState.QUEUED)
    automatic: Mapped[bool]
    promise_id: Mapped[int | None] = mapped_column(ForeignKey("promise.id"), index=True)
    appointment_id: Mapped[int | None] = mapped_column(ForeignKey("appointment.id"))
    appointment_version: Mapped[int | None]
    """The appointment it names, as it stood then."""
    valid_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Until when it is true and may leave: the end of the working day it was written on, of the sending hours where
    nobody asked for it. Afterwards it is written anew. None for what a person wrote, unless it names an agreed time."""
    says: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """The values of this kind of letter, to write it anew from; everything else is read from the rows. None for what is
    never written anew, and once the letter has ended."""
    hold_reason: Mapped[HoldReason | None] = mapped_column(String(40))
    queued_at: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    tries: Mapped[int] = mapped_column(default=0)
    give_up_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When trying ends: 48 hours after the first fault, not after queueing, so that waiting kills nothing. The first
    fault of the letter itself starts them anew after faults of the channel."""
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lease_token: Mapped[str | None] = mapped_column(String(32))
    withdraw_wished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """A wish to withdraw that found the letter being sent; obeyed if DATA has not begun."""
    last_error: Mapped[str | None] = mapped_column(String(300))
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class MailChannel(Base):
    """The way out. A fault of the channel pauses it and leaves the letters' attempts alone."""

    __tablename__ = "channel"

    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    faults: Mapped[int] = mapped_column(default=0)
    paused_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    reason: Mapped[str | None] = mapped_column(String(300))


class WorkerBeat(Base):
    """A worker's sign of life."""

    __tablename__ = "worker"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    beat_at: Mapped[datetime] = mapped_column(UtcDateTime)
    loops: Mapped[int] = mapped_column(default=0)
