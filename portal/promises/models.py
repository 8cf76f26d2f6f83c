"""Promises and the service levels they are computed from."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, literal_column, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, UtcDateTime, one_of
from portal.promises.service_level import Level


class ServiceLevel(Base):
    """What a topic promises, in business minutes."""

    __tablename__ = "service_level"
    __table_args__ = (
        CheckConstraint("answer_min > 0 AND update_min > 0 AND remind_min > 0 AND notice_min > 0", name="positive"),
        CheckConstraint("notice_min < answer_min", name="notice_before_answer"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    answer_min: Mapped[int]
    update_min: Mapped[int]
    remind_min: Mapped[int] = mapped_column(default=240)
    notice_min: Mapped[int] = mapped_column(default=60)

    @property
    def level(self) -> Level:
        """The plain values the pure rules take."""
        return Level(self.answer_min, self.update_min, self.remind_min, self.notice_min)


class PromiseKind(StrEnum):
    """What was promised; at most one open promise of a kind in a case."""

    REPLY = "reply"
    CALL = "call"
    RESULT = "result"
    FOLLOW_UP = "follow_up"


class Medium(StrEnum):
    """By which medium it was promised."""

    MAIL = "mail"
    CALL = "call"
    VISIT = "visit"
    LETTER = "letter"


class PromiseState(StrEnum):
    """Where a promise stands. Only ``open`` can be a case's next step."""

    OPEN = "open"
    KEPT = "kept"
    MOVED = "moved"
    WITHDRAWN = "withdrawn"


class Waiting(StrEnum):
    """How far waiting for the customer has come; only a follow-up promise waits."""

    ASKED = "asked"
    REMINDED = "reminded"
    CLOSING = "closing"
    """The closing is announced: the promise's date is the date of the closing."""


class Promise(Base):
    """What we told the customer we would do, by which medium and by when.

    Moving one ends the row and opens its successor, which carries the first date on.
    """

    __tablename__ = "promise"
    __table_args__ = (
        CheckConstraint("given_at < notice_at AND notice_at < due_at", name="notice_between"),
        CheckConstraint("(state = 'open') = (ended_at IS NULL)", name="ended"),
        CheckConstraint("waiting IS NULL OR kind = 'follow_up'", name="waits_by_following_up"),
        CheckConstraint("moves_to IS NULL OR (moves_to > due_at AND planned_at IS NOT NULL)", name="moves_later"),
        UniqueConstraint("id", "case_id", "state"),
        Index(
            "uq_promise_open_kind",
            "case_id",
            "kind",
            unique=True,
            sqlite_where=text("state = 'open'"),
            postgresql_where=text("state = 'open'"),
        ),
        # The worker's questions: whose notice, whose reminder, whose announced closing is due?
        Index(
            "ix_promise_notice_at",
            "notice_at",
            sqlite_where=text("state = 'open'"),
            postgresql_where=text("state = 'open'"),
        ),
        Index(
            "ix_promise_remind_at",
            "remind_at",
            sqlite_where=text("state = 'open' AND reminded_at IS NULL"),
            postgresql_where=text("state = 'open' AND reminded_at IS NULL"),
        ),
        Index(
            "ix_promise_closes_at",
            "due_at",
            sqlite_where=text("state = 'open' AND waiting = 'closing'"),
            postgresql_where=text("state = 'open' AND waiting = 'closing'"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("case.id"), index=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id"), index=True)
    """Whose promise it is; while that person is away, the acting person keeps it."""
    kind: Mapped[PromiseKind] = mapped_column(one_of(PromiseKind))
    medium: Mapped[Medium] = mapped_column(one_of(Medium))
    state: Mapped[PromiseState] = mapped_column(one_of(PromiseState), default=PromiseState.OPEN)
    what: Mapped[str] = mapped_column(Text, default="")
    """In the customer's words for it, what is to come; may be empty."""
    given_by_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"), index=True)
    """Who gave it; None when the service level did."""
    given_at: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    first_due_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    remind_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When whoever acts then is reminded next: it moves to where somebody else begins to act before the notice."""
    reminded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When that happened for the last time; None while somebody is still to be reminded."""
    notice_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """When the worker moves it, unless it is kept before: with the notice, or earlier where a person planned a date."""
    reason: Mapped[str | None] = mapped_column(Text)
    """Why it moves, in the words of the person who planned it; the customer reads them."""
    moves_to: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """The date it will be moved to at ``notice_at``: a person's, or a new calendar's. None: the service level's."""
    planned_by_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"), index=True)
    planned_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    waiting: Mapped[Waiting | None] = mapped_column(one_of(Waiting))
    """Set where all we wait for is the customer's answer."""
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    kept_by_entry_id: Mapped[int | None] = mapped_column(ForeignKey("entry.id"), index=True)
    replaces_id: Mapped[int | None] = mapped_column(ForeignKey("promise.id"), unique=True)

    @property
    def moves_by_hand(self) -> bool:
        """Whether a person planned the date it moves to; otherwise it moves by itself."""
        return self.moves_to is not None and self.planned_by_id is not None


IS_OPEN = Promise.state == literal_column("'open'", Promise.state.type)
IS_CLOSING = Promise.waiting == literal_column("'closing'", Promise.waiting.type)
"""For the worker's looks: as bound values they would hide from PostgreSQL that its partial indexes fit."""


class Replanning(Base):
    """How far the running promises have been looked at after working hours, holidays or service levels changed."""

    __tablename__ = "replanning"
    __table_args__ = (CheckConstraint("id = 1", name="one_replanning"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    mark: Mapped[str] = mapped_column(String(64))
    """What the calendars and levels looked like that the promises were, or are being, planned by."""
    after_id: Mapped[int | None]
    """The promise up to which they have been looked at; None when all have."""
