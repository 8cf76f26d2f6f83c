"""Submissions: a POST that was accepted once is never accepted twice (law 4)."""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from portal.cases.errors import KeyReused
from portal.cases.models import Submission
from portal.db import columns_of, insert_row
from portal.links import new_secret

THANKS_LIFE = timedelta(days=1)
"""How long the thank-you page lives."""
KEY_LIFE = timedelta(days=2)
"""How long a key is remembered: longer than any form may stay open."""


def body_hash(parts: Iterable[str | None]) -> str:
    """A hash of what was typed, in the order given; equal bodies have equal hashes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part).encode())
    return digest.hexdigest()


def find(session: Session, key: str, body_hash: str) -> Submission | None:
    """The submission of this key, or None. Raises KeyReused when the key came with another body."""
    submission = session.get(Submission, key)
    if submission is not None and submission.body_hash != body_hash:
        raise KeyReused
    return submission


def keep(session: Session, *, key: str, purpose: str, body_hash: str, case_id: int | None, now: datetime) -> Submission:
    """Remember that this key was accepted. A second one at the same moment fails on the primary key.

    From here on the same step may run again in another transaction: it would find its key (``pages/once.py``).
    """
    session.info["keyed"] = True
    submission = Submission(key=key, purpose=purpose, body_hash=body_hash, case_id=case_id, answer=new_secret(), at=now)
    insert_row(session, Submission, **columns_of(submission))
    return submission


def note(session: Session, key: str, *, purpose: str) -> None:
    """Remember, too, what the step did: a double click is told the same."""
    session.execute(update(Submission).where(Submission.key == key).values(purpose=purpose))


def by_answer(session: Session, answer: str, *, now: datetime) -> Submission | None:
    """The contact form's submission behind a thank-you address, for a day."""
    return session.scalars(
        select(Submission).where(
            Submission.answer == answer, Submission.purpose == "contact", Submission.at > now - THANKS_LIFE
        )
    ).one_or_none()


def forget(session: Session, *, now: datetime) -> None:
    """Delete keys that no open form can hold any more."""
    session.execute(delete(Submission).where(Submission.at < now - KEY_LIFE))
