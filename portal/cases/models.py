"""Cases, the topics they are about, and the submissions they come from."""

from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.appointments.models import Appointment, AppointmentState
from portal.customers.models import Customer
from portal.db import Base, UtcDateTime, one_of
from portal.promises.models import Medium, Promise, PromiseState

COMMERCIAL_DAYS = 6 * 365
"""A topic whose retention is as long or longer is commercial correspondence."""


class TopicMedium(StrEnum):
    """How a topic's first answer comes."""

    REPLY = "reply"
    CALL = "call"


class Topic(Base):
    """The kind of request a customer chooses; names team and service level."""

    __tablename__ = "topic"
    __table_args__ = (
        CheckConstraint("retention_days > 0", name="retention"),
        CheckConstraint("slot_medium IN ('call', 'visit')", name="call_or_visit"),
        CheckConstraint(
            "slot_minutes > 0 AND slot_grid > 0 AND slot_before >= 0 AND slot_after >= 0", name="slot_minutes"
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(String(40), unique=True)
    position: Mapped[int] = mapped_column(default=0)
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"), index=True)
    level_id: Mapped[int] = mapped_column(ForeignKey("service_level.id"), index=True)
    name_de: Mapped[str] = mapped_column(String(80))
    name_en: Mapped[str] = mapped_column(String(80))
    hint_de: Mapped[str] = mapped_column(String(200), default="")
    hint_en: Mapped[str] = mapped_column(String(200), default="")
    medium: Mapped[TopicMedium] = mapped_column(one_of(TopicMedium))
    retention_days: Mapped[int] = mapped_column(default=183)
    """How long after closing personal data stays; six years where the topic is commercial correspondence."""
    active: Mapped[bool] = mapped_column(default=True)
    slot_medium: Mapped[Medium | None] = mapped_column(one_of(Medium, checked=False))
    """Whether customers choose a time of their own for a call or a visit; None where nobody offers any."""
    slot_minutes: Mapped[int] = mapped_column(default=30)
    slot_grid: Mapped[int] = mapped_column(default=30)
    """Appointments begin at minutes of the day that this divides."""
    slot_before: Mapped[int] = mapped_column(default=0)
    slot_after: Mapped[int] = mapped_column(default=10)
    """Minutes before and after it in which its person has no other."""

    @property
    def is_commercial(self) -> bool:
        """Whether it is commercial correspondence, which is kept for six years (§ 257 HGB)."""
        return self.retention_days >= COMMERCIAL_DAYS

    def name(self, language: str) -> str:
        """The topic's name as the customer reads it."""
        return self.name_en if language == "en" else self.name_de


class Route(Base):
    """Which team takes a topic for a range of postcodes."""

    __tablename__ = "route"
    __table_args__ = (
        UniqueConstraint("topic_id", "postcode_from"),
        CheckConstraint("postcode_from <= postcode_to", name="range"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    topic_id: Mapped[int] = mapped_column(ForeignKey("topic.id"))
    postcode_from: Mapped[str] = mapped_column(String(12))
    postcode_to: Mapped[str] = mapped_column(String(12))
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"), index=True)


class CaseState(StrEnum):
    """A case's stage. What the customer reads is derived from it and from the next step."""

    RECEIVED = "received"
    OPEN = "open"
    CLOSED = "closed"
    SPAM = "spam"
    ERASED = "erased"


class Doubt(StrEnum):
    """Why an entry waits for a person to look at it. Each has a sentence in ``doubting``."""

    HONEYPOT = "honeypot"
    TOO_FAST = "too_fast"
    MARKUP = "markup"
    SHORTENED = "shortened"
    LINKS = "links"
    MIXED_SCRIPTS = "mixed_scripts"
    PITCH = "pitch"
    NOTHING_SAID = "nothing_said"
    NO_PROOF = "no_proof"
    REPEATED = "repeated"
    LIMITS = "limits"
    NOT_ME = "not_me"


class RoutedBy(StrEnum):
    """What named the owner. Only ``topic`` may be shown on the thank-you page: a typed address proves nothing."""

    TOPIC = "topic"
    ACCOUNT = "account"
    KNOWN = "known"


class Outcome(StrEnum):
    """How a case ended."""

    DONE = "done"
    NO_ANSWER = "no_answer"
    WITHDRAWN = "withdrawn"
    NOT_POSSIBLE = "not_possible"


class Case(Base):
    """One tracked request.

    Law 1 lives in its keys: an open case points at a promise or an appointment, and the key carries the case and the
    state, so the schema refuses a step of another case, a promise that is not open, an appointment that is not booked.
    """

    __tablename__ = "case"
    __table_args__ = (
        ForeignKeyConstraint(
            ["promise_id", "id", "step_state"],
            ["promise.id", "promise.case_id", "promise.state"],
            name="fk_case_open_step",
            deferrable=True,
            initially="DEFERRED",
            use_alter=True,
        ),
        ForeignKeyConstraint(
            ["appointment_id", "id", "booking_state"],
            ["appointment.id", "appointment.case_id", "appointment.state"],
            name="fk_case_booked_step",
            deferrable=True,
            initially="DEFERRED",
            use_alter=True,
        ),
        CheckConstraint("step_state = 'open'", name="step_is_open"),
        CheckConstraint("booking_state = 'booked'", name="booking_is_booked"),
        CheckConstraint(
            "(state = 'open') = (promise_id IS NOT NULL OR appointment_id IS NOT NULL)", name="open_has_a_step"
        ),
        CheckConstraint("promise_id IS NULL OR appointment_id IS NULL", name="one_step"),
        CheckConstraint("(state = 'received') = (check_by_at IS NOT NULL)", name="received_has_a_date"),
        CheckConstraint("state IN ('received', 'spam', 'erased') OR owner_id IS NOT NULL", name="has_an_owner"),
        CheckConstraint(
            "state <> 'closed' OR (closed_at IS NOT NULL AND outcome IS NOT NULL AND reopen_until IS NOT NULL "
            "AND erase_on IS NOT NULL)",
            name="closed_says_how",
        ),
        CheckConstraint("notices >= 0", name="notices"),
        Index(
            "ix_case_owner_id",
            "owner_id",
            sqlite_where=text("state = 'open'"),
            postgresql_where=text("state = 'open'"),
        ),
        Index(
            "ix_case_erase_on",
            "erase_on",
            sqlite_where=text("state <> 'erased' AND erase_on IS NOT NULL"),
            postgresql_where=text("state <> 'erased' AND erase_on IS NOT NULL"),
        ),
        Index(
            "ix_case_check_by_at",
            "check_by_at",
            sqlite_where=text("state = 'received'"),
            postgresql_where=text("state = 'received'"),
        ),
        Index("ix_case_promise_id", "promise_id"),
        Index("ix_case_appointment_id", "appointment_id"),
    )

    # Part of a foreign key, so the database must be told that it counts by itself.
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement="ignore_fk")
    reference: Mapped[str] = mapped_column(String(12), unique=True)
    link_nonce: Mapped[str] = mapped_column(String(32), unique=True)
    topic_id: Mapped[int] = mapped_column(ForeignKey("topic.id"), index=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), index=True)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"))
    routed_by: Mapped[RoutedBy | None] = mapped_column(one_of(RoutedBy))
    state: Mapped[CaseState] = mapped_column(one_of(CaseState))
    language: Mapped[str] = mapped_column(String(2))
    notices: Mapped[int] = mapped_column(default=0)
    """Delay notices in a row; a kept promise sets it back."""
    noticed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """The last delay notice: there is one a day at most, however many promises it moved."""
    lead_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    promise_id: Mapped[int | None]
    """The next step, where it is a promise. Set by settle() alone."""
    step_state: Mapped[PromiseState] = mapped_column(String(20), default=PromiseState.OPEN)
    appointment_id: Mapped[int | None]
    """The next step, where it is an appointment. Set by settle() alone."""
    booking_state: Mapped[AppointmentState] = mapped_column(String(20), default=AppointmentState.BOOKED)
    reachable: Mapped[str] = mapped_column(String(60), default="")
    """The parts of the day at which the customer says they can be reached, as ``offering.Part`` spells them, by
    commas; such times are offered first."""
    doubt: Mapped[Doubt | None] = mapped_column(one_of(Doubt, checked=False))
    check_by_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    outcome: Mapped[Outcome | None] = mapped_column(one_of(Outcome))
    outcome_text: Mapped[str] = mapped_column(Text, default="")
    reopen_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    erase_on: Mapped[date | None]
    continues_id: Mapped[int | None] = mapped_column(ForeignKey("case.id"), index=True)
    version: Mapped[int] = mapped_column(default=1)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    opened_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    erasure_asked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """The customer asked for deletion; the letter that asks to confirm it waits."""
    erasure_confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """The customer confirmed it: carried out on ``erase_on``, and taken back until then."""
    partly_erased_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """It was carried out; a duty keeps the business letters until ``erase_on``."""

    topic: Mapped[Topic] = relationship()
    customer: Mapped[Customer] = relationship()
    promise: Mapped[Promise | None] = relationship(primaryjoin="foreign(Case.promise_id) == Promise.id", viewonly=True)
    appointment: Mapped[Appointment | None] = relationship(
        primaryjoin="foreign(Case.appointment_id) == Appointment.id", viewonly=True
    )

    @property
    def step(self) -> "Step | None":
        """What the customer is waiting for; None where the case is not open."""
        return self.promise or self.appointment


Step = Promise | Appointment
"""A next step: something promised by a date, or an agreed time."""


NOT_ERASED = Case.state != literal_column("'erased'", Case.state.type)
"""For the worker's look: as a bound value the state would hide that its partial index fits."""


class Submission(Base):
    """A form or customer POST that was accepted, by its key: a double click finds it and gets the same answer."""

    __tablename__ = "submission"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(40))
    body_hash: Mapped[str] = mapped_column(String(64))
    case_id: Mapped[int | None] = mapped_column(ForeignKey("case.id"), index=True)
    answer: Mapped[str] = mapped_column(String(64), unique=True)
    """The random address of the thank-you page; for other POSTs a random text nobody asks for."""
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class LinkWish(Base):
    """Somebody asked for the link to a mailbox. The page writes only this row, whether or not the mailbox is known,
    so its answer takes the same time; the worker does the rest."""

    __tablename__ = "link_wish"

    id: Mapped[int] = mapped_column(primary_key=True)
    email_key: Mapped[str] = mapped_column(String(254))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
