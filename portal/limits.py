"""Counting what must not happen too often, in the database, shared by all processes.

No library keeps shared counters in SQL, and there is no broker here (DESIGN.md section 6). Counted on POST only. Names
hold a keyed hash, never an address: the table tells nobody who wrote.
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import BigInteger, String, delete, or_, select, tuple_
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


def take(session: Session, name: str, rates: Sequence[Rate], *, now: datetime, amount: int = 1) -> int | None:
    """Count one more event, or ``amount`` of something, if none of the rates is used up: None.

    Else count nothing, and return the whole seconds until it may pass.

    Exact over all processes: the rows stay locked until the caller's transaction ends, and one that is rolled back was
    never counted. So at most ``limit`` events pass in a window, and what was refused uses up nothing.
    """
    full = [rate for rate in rates if _count(session, name, rate, now, by=amount) > rate.limit]
    if not full:
        return None
    for rate in rates:
        _count(session, name, rate, now, by=-amount)
    return max(_seconds_left(rate, now) for rate in full)


def until_room(session: Session, name: str, rates: Sequence[Rate], *, now: datetime) -> int | None:
    """What ``take`` would return, without counting: a look that keeps no writer waiting and may be overtaken."""
    windows = [(_key(name, rate), _window_at(rate, now)) for rate in rates]
    query = select(Counter.name, Counter.n).where(tuple_(Counter.name, Counter.window_at).in_(windows))
    counted = {row.name: row.n for row in session.execute(query)}
    full = [rate for rate in rates if counted.get(_key(name, rate), 0) >= rate.limit]
    return max((_seconds_left(rate, now) for rate in full), default=None)


def network_of(address: str | None) -> str:
    """The network a visitor's address belongs to: the /24 of IPv4, the /56 of IPv6, which is what one customer of a
    provider gets.

    All without a readable address count as one.
    """
    try:
        ip = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return "unknown"
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return str(ipaddress.ip_network(f"{ip}/{24 if ip.version == 4 else 56}", strict=False))


def forget(session: Session, *, now: datetime) -> None:
    """Delete windows older than two days; they limit nothing any more."""
    session.execute(delete(Counter).where(Counter.window_at < now - timedelta(days=2)))


def drop(session: Session, names: Iterable[str]) -> None:
    """Forget these names, in every window."""
    windows = [Counter.name.startswith(f"{name}/", autoescape=True) for name in names]
    session.execute(delete(Counter).where(or_(*windows)))


def add(session: Session, name: str, window_at: datetime, amount: int) -> int:
    """Add to a window and return what it holds; the row stays locked until the transaction ends."""
    statement = (
        upsert(session, Counter)
        .values(name=name, window_at=window_at, n=amount)
        .on_conflict_do_update(index_elements=[Counter.name, Counter.window_at], set_={"n": Counter.n + amount})
        .returning(Counter.n)
    )
    return int(session.execute(statement).scalar_one())


def _count(session: Session, name: str, rate: Rate, now: datetime, *, by: int = 1) -> int:
    return add(session, _key(name, rate), _window_at(rate, now), by)


def _key(name: str, rate: Rate) -> str:
    return f"{name}/{rate.seconds}"


def _window_at(rate: Rate, now: datetime) -> datetime:
    return datetime.fromtimestamp(int(now.timestamp()) // rate.seconds * rate.seconds, UTC)


def _seconds_left(rate: Rate, now: datetime) -> int:
    return rate.seconds - int(now.timestamp()) % rate.seconds
