"""The workers' signs of life, and what is said when they stop."""

from datetime import datetime, timedelta

from sqlalchemy import delete, literal_column, select
from sqlalchemy.orm import Session

from portal import db
from portal.mail.models import WorkerBeat

EVERY = 10.0
"""Seconds between two beats of a worker."""
DEAD_AFTER = timedelta(seconds=60)


def beat(session: Session, worker_id: str, *, now: datetime) -> None:
    """Write one worker's sign of life and forget those of workers that are long gone."""
    session.execute(
        db.upsert(session, WorkerBeat)
        .values(id=worker_id, beat_at=now, loops=1)
        .on_conflict_do_update(
            index_elements=[WorkerBeat.id], set_={"beat_at": now, "loops": literal_column("worker.loops + 1")}
        )
    )
    session.execute(delete(WorkerBeat).where(WorkerBeat.beat_at < now - timedelta(days=1)))


def last_beat(session: Session) -> datetime | None:
    """When any worker last gave a sign of life."""
    return session.scalars(select(WorkerBeat.beat_at).order_by(WorkerBeat.beat_at.desc()).limit(1)).first()


def is_dead(session: Session, *, now: datetime) -> bool:
    """Whether no worker has been heard of for a minute; one heard of in the future spoke before the clock was set."""
    heard = select(WorkerBeat.id).where(WorkerBeat.beat_at.between(now - DEAD_AFTER, now + DEAD_AFTER))
    return session.execute(heard.limit(1)).first() is None
