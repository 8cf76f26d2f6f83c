"""Who answers: the company, its teams and people, when they work, and who is away."""

from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.db import Base, UtcDateTime, one_of


class Company(Base):
    """The firm itself; exactly one row."""

    __tablename__ = "company"
    __table_args__ = (
        CheckConstraint("id = 1", name="one_company"),
        CheckConstraint(
            "0 <= sends_from_minute AND sends_from_minute < sends_until_minute AND sends_until_minute <= 1440",
            name="sending_hours",
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    name: Mapped[str] = mapped_column(String(120))
    legal_block: Mapped[str] = mapped_column(Text)
    """The particulars a business letter must carry (§ 35a GmbHG and its kin), line by line."""
    imprint_url: Mapped[str] = mapped_column(String(300))
    privacy_url: Mapped[str] = mapped_column(String(300))
    accent: Mapped[str] = mapped_column(String(7))
    sends_from_minute: Mapped[int] = mapped_column(default=7 * 60)
    sends_until_minute: Mapped[int] = mapped_column(default=19 * 60)
    front_desk_id: Mapped[int] = mapped_column(ForeignKey("person.id"), index=True)
    last_instance_id: Mapped[int] = mapped_column(ForeignKey("person.id"), index=True)


class Team(Base):
    """A team; its hours and place are what business time is counted in."""

    __tablename__ = "team"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    place: Mapped[str] = mapped_column(String(6))
    tz: Mapped[str] = mapped_column(String(40))
    lead_id: Mapped[int | None] = mapped_column(
        ForeignKey("person.id", deferrable=True, initially="DEFERRED", use_alter=True), index=True
    )


class Person(Base):
    """A named colleague with a direct line."""

    __tablename__ = "person"
    __table_args__ = (
        CheckConstraint("deputy_id <> id", name="own_deputy"),
        CheckConstraint("NOT answers OR line_e164 IS NOT NULL", name="answers_with_a_line"),
        Index("uq_person_email", text("lower(email)"), unique=True),
        Index("uq_person_feed_nonce", "feed_nonce", unique=True),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"), index=True)
    name: Mapped[str] = mapped_column(String(80))
    role: Mapped[str] = mapped_column(String(80))
    line_e164: Mapped[str | None] = mapped_column(String(16))
    line_shown: Mapped[str | None] = mapped_column(String(40))
    email: Mapped[str] = mapped_column(String(254))
    place: Mapped[str] = mapped_column(String(6))
    language: Mapped[str] = mapped_column(String(2), default="de")
    answers: Mapped[bool] = mapped_column(default=True)
    """Whether this person answers customers; who does has a direct line and a standing deputy."""
    left_on: Mapped[date | None]
    deputy_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"), index=True)
    feed_nonce: Mapped[str | None] = mapped_column(String(32))
    """In the signed address of the person's calendar feed; None while there is none. A new one revokes the old."""


class Hours(Base):
    """One span of a weekday, in local wall-clock minutes, of a team or of a person."""

    __tablename__ = "hours"
    __table_args__ = (
        CheckConstraint("(team_id IS NULL) <> (person_id IS NULL)", name="one_subject"),
        CheckConstraint("weekday BETWEEN 0 AND 6", name="weekday"),
        CheckConstraint("0 <= from_minute AND from_minute < until_minute AND until_minute <= 1440", name="span"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int | None] = mapped_column(ForeignKey("team.id"), index=True)
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"), index=True)
    weekday: Mapped[int]
    from_minute: Mapped[int]
    until_minute: Mapped[int]


class ClosureKind(StrEnum):
    """What a row says about its days: closed on top of the holidays, or open in spite of one."""

    EXTRA = "extra"
    NOT_A_HOLIDAY = "not_a_holiday"
    CLOSED = "closed"


class Closure(Base):
    """Days on which the firm, a place or a team differs from the public holidays."""

    __tablename__ = "closure"
    __table_args__ = (CheckConstraint("first_on <= last_on", name="days"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    place: Mapped[str | None] = mapped_column(String(6))
    team_id: Mapped[int | None] = mapped_column(ForeignKey("team.id"), index=True)
    first_on: Mapped[date]
    last_on: Mapped[date]
    kind: Mapped[ClosureKind] = mapped_column(one_of(ClosureKind))


class Competence(Base):
    """That a person may own or stand in for cases of a topic."""

    __tablename__ = "competence"

    person_id: Mapped[int] = mapped_column(ForeignKey("person.id"), primary_key=True)
    topic_id: Mapped[int] = mapped_column(ForeignKey("topic.id"), primary_key=True, index=True)


class Absence(Base):
    """From when to when somebody is away, and who stands in. No reason is kept that a customer could ever see."""

    __tablename__ = "absence"
    __table_args__ = (
        CheckConstraint("ends_at > starts_at", name="order"),
        CheckConstraint("deputy_id <> person_id", name="own_deputy"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id"), index=True)
    starts_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ends_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """None while the end is not known."""
    deputy_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"), index=True)
    entered_by_id: Mapped[int] = mapped_column(ForeignKey("person.id"), index=True)


class Role(StrEnum):
    """What a login may do."""

    STAFF = "staff"
    LEAD = "lead"
    ADMIN = "admin"


class Login(Base):
    """That a person may sign in. A plain row; the login library's view of it lives in pages/staff/login."""

    __tablename__ = "login"

    person_id: Mapped[int] = mapped_column(ForeignKey("person.id"), primary_key=True, autoincrement=False)
    password: Mapped[str] = mapped_column(String(200))
    role: Mapped[Role] = mapped_column(one_of(Role))
    active: Mapped[bool] = mapped_column(default=True)

    person: Mapped[Person] = relationship(viewonly=True)


class SignIn(Base):
    """One device that is signed in. A copied cookie dies with its row."""

    __tablename__ = "sign_in"

    id_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """Moves on POST only (reading changes nothing): eight hours without one end the sign-in."""
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
