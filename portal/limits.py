"""Counting what must not happen too often, in the database, shared by all processes.

No library keeps shared counters in SQL, and there is no broker here (DESIGN.md section 6). Counted on POST only. Names
hold a keyed hash, never an address: the table tells nobody who wrote.
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import BigInteger, String, delete, literal_column
from sqlalchemy.orm import Mapped, Session, mapped_column

from portal.config import Rate
from portal.db import Base, UtcDateTime, upsert


class Counter(Base):
    """How often a name was counted in the window that begins at ``window_at``."""

    __tablename__ = "counter"

    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    window_at: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger)


def name_for(kind: str, subject: str, *, key: str) -> str:
    """The counter's name for a subject such as a mailbox: a keyed hash, so that the row names nobody."""
    digest = hmac.new(key.encode(), f"{kind}\0{subject}".encode(), hashlib.sha256).hexdigest()
    return f"{kind}:{digest[:32]}"


def count_exceeds(session: Session, name: str, rates: Sequence[Rate], *, now: datetime) -> bool:
    """Count one more event and say whether that is above any of the rates.

    Windows are fixed and begin at whole multiples of their length since 1970 (UTC).
    """
    counts = [_count(session, name, rate, now) > rate.limit for rate in rates]
    return any(counts)


def forget(session: Session, *, now: datetime) -> None:
    """Delete windows older than two days; they limit nothing any more."""
    session.execute(delete(Counter).where(Counter.window_at < now - timedelta(days=2)))


def _count(session: Session, name: str, rate: Rate, now: datetime) -> int:
    start = int(now.timestamp()) // rate.seconds * rate.seconds
    window_at = datetime.fromtimestamp(start, UTC)
    statement = (
        upsert(session, Counter)
        .values(name=f"{name}/{rate.seconds}", window_at=window_at, n=1)
        .on_conflict_do_update(
            index_elements=[Counter.name, Counter.window_at], set_={"n": literal_column("counter.n + 1")}
        )
        .returning(Counter.n)
    )
    return int(session.execute(statement).scalar_one())
