"""Who asks: customers, and the companies we know them by."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, UtcDateTime


class Account(Base):
    """A known company with its own account manager."""

    __tablename__ = "account"
    __table_args__ = (CheckConstraint("potential BETWEEN 1 AND 4", name="potential"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    number: Mapped[str] = mapped_column(String(40), unique=True)
    manager_id: Mapped[int] = mapped_column(ForeignKey("person.id"), index=True)
    potential: Mapped[int] = mapped_column(default=4)


class Customer(Base):
    """Whoever wrote one case's form. A row of its own for each form: a typed name and address prove nothing,
    so nothing typed later may change what an earlier case will dial or write to."""

    __tablename__ = "customer"
    __table_args__ = (Index("ix_customer_email_key", "email_key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"), index=True)
    name: Mapped[str] = mapped_column(String(80))
    email: Mapped[str | None] = mapped_column(String(254))
    email_key: Mapped[str | None] = mapped_column(String(254))
    """The mailbox behind the address: lower case, without tags and dots that reach the same mailbox."""
    phone_e164: Mapped[str | None] = mapped_column(String(16))
    phone_shown: Mapped[str | None] = mapped_column(String(40))
    company: Mapped[str | None] = mapped_column(String(120))
    number_typed: Mapped[str | None] = mapped_column(String(40))
    postcode: Mapped[str | None] = mapped_column(String(12))
    erased_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
