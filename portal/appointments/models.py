"""Appointments: the one row that holds the time of an agreed call or visit (law 3)."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, and_, literal_column, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, UtcDateTime, after_create, one_of
from portal.promises.models import Medium


class AppointmentState(StrEnum):
    """Where an appointment stands. Only ``booked`` occupies its person, and can be a case's next step."""

    BOOKED = "booked"
    HELD = "held"
    NOT_REACHED = "not_reached"
    MISSED = "missed"
    CANCELLED = "cancelled"


class Appointment(Base):
    """An agreed call or visit. It is moved, never replaced: the same id and the same UID for life.

    Call list, calendar feed, status page, letters and ICS are functions of this row; no other row holds its time.
    """

    __tablename__ = "appointment"
    __table_args__ = (
        CheckConstraint("medium IN ('call', 'visit')", name="call_or_visit"),
        CheckConstraint(
            "busy_from <= starts_at AND starts_at < ends_at AND ends_at <= busy_until AND outcome_due_at >= ends_at",
            name="order",
        ),
        CheckConstraint("version > 0 AND sequence >= 0 AND customer_moves >= 0", name="counts"),
        CheckConstraint("(state = 'booked') = (ended_at IS NULL)", name="ended"),
        CheckConstraint("(started_at IS NULL) = (started_by_id IS NULL)", name="started"),
        UniqueConstraint("id", "case_id", "state"),
        Index(
            "uq_appointment_booked",
            "case_id",
            unique=True,
            sqlite_where=text("state = 'booked'"),
            postgresql_where=text("state = 'booked'"),
        ),
        Index("ix_appointment_person_id_starts_at", "person_id", "starts_at"),
        # What the worker asks every moment: what begins soon.
        Index(
            "ix_appointment_starts_at",
            "starts_at",
            sqlite_where=text("state = 'booked'"),
            postgresql_where=text("state = 'booked'"),
        ),
        # What has begun, and whose outcome is due; what nobody answers, however often asked, is in neither. Led by what
        # is empty in both, so that SQLite prefers them to the wider one above.
        Index(
            "ix_appointment_awaited_starts_at",
            "asked_again_at",
            "starts_at",
            sqlite_where=text("state = 'booked' AND asked_again_at IS NULL"),
            postgresql_where=text("state = 'booked' AND asked_again_at IS NULL"),
        ),
        Index(
            "ix_appointment_awaited_outcome_due_at",
            "asked_again_at",
            "outcome_due_at",
            sqlite_where=text("state = 'booked' AND asked_again_at IS NULL"),
            postgresql_where=text("state = 'booked' AND asked_again_at IS NULL"),
        ),
        # The grey lines of the call list: what was moved or called off lately.
        Index("ix_appointment_changed_at", "changed_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("case.id"), index=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id"))
    """Who keeps it. An absence gives it to somebody else, or puts it on hold, in this same row."""
    medium: Mapped[Medium] = mapped_column(one_of(Medium, checked=False))
    state: Mapped[AppointmentState] = mapped_column(one_of(AppointmentState), default=AppointmentState.BOOKED)
    starts_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ends_at: Mapped[datetime] = mapped_column(UtcDateTime)
    busy_from: Mapped[datetime] = mapped_column(UtcDateTime)
    busy_until: Mapped[datetime] = mapped_column(UtcDateTime)
    """From when until when its person is not free for another one: the buffers are stored, so that the schema sees
    them."""
    outcome_due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """Until when somebody has said what became of it, and until when it counts as the case's next step."""
    tz: Mapped[str] = mapped_column(String(40))
    local_start: Mapped[str] = mapped_column(String(16))
    """The wall clock that was agreed, "2027-03-30T09:00": what we said, whatever becomes of the zone's rules."""
    version: Mapped[int] = mapped_column(default=1)
    """Counts every change that a page or a letter must know of; a form that shows an older one is refused."""
    uid: Mapped[str] = mapped_column(String(120), unique=True)
    sequence: Mapped[int] = mapped_column(default=0)
    """Counts the changes that a calendar must see (RFC 5546 §2.1.4)."""
    customer_moves: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    change_wished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """On hold since then: the customer wished another time, or we cannot keep it. Nobody calls at the old one."""
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    started_by_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"), index=True)
    alarmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Five minutes after its start nobody had begun it: person, deputy and lead were told."""
    late_told_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Fifteen minutes after its start nobody had begun it: the customer was told."""
    asked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Its outcome was due and nobody had said it: a follow-up promise stands since, and the person was asked."""
    asked_again_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """And then the deputy."""
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


IS_BOOKED = Appointment.state == literal_column("'booked'", Appointment.state.type)
"""For the looks of every moment: as a bound value the state would hide that a partial index fits."""
IS_AWAITED = and_(IS_BOOKED, Appointment.asked_again_at.is_(None))
"""Booked, and something may still become due: once nobody has answered twice, nothing does."""

NO_OVERLAP = "appointment_no_overlap"
"""The name of the guard, in both databases: what it refuses is an IntegrityError that names it."""
_SQLITE_OVERLAP = (
    f"BEGIN SELECT RAISE(ABORT, '{NO_OVERLAP}') WHERE EXISTS (SELECT 1 FROM appointment other "  # noqa: S608  # ours
    "WHERE other.person_id = NEW.person_id AND other.state = 'booked' AND other.id IS NOT NEW.id "
    "AND other.busy_from < NEW.busy_until AND NEW.busy_from < other.busy_until); END"
)
SQLITE_GUARDS = (
    "CREATE TRIGGER appointment_no_overlap_insert BEFORE INSERT ON appointment "
    f"WHEN NEW.state = 'booked' {_SQLITE_OVERLAP}",
    "CREATE TRIGGER appointment_no_overlap_update BEFORE UPDATE OF person_id, state, busy_from, busy_until "
    f"ON appointment WHEN NEW.state = 'booked' {_SQLITE_OVERLAP}",
)
POSTGRESQL_GUARD = (
    f"ALTER TABLE appointment ADD CONSTRAINT {NO_OVERLAP} EXCLUDE USING gist ("
    "int8range(person_id, person_id, '[]') WITH &&, tstzrange(busy_from, busy_until, '[)') WITH &&) "
    "WHERE (state = 'booked')"
)
"""One person is in one place at a time; half-open, so that one may begin when the other ends."""

for guard in SQLITE_GUARDS:
    after_create(Appointment.__table__, guard, dialect="sqlite")
after_create(Appointment.__table__, POSTGRESQL_GUARD, dialect="postgresql")
