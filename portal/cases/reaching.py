"""Reaching: whether letters reach the customer of a case, and what they know although none did."""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.cases.models import Case
from portal.journal.models import Direction, Entry, Kind
from portal.mail.models import Audience, Letter, LetterState

A_MOMENT = timedelta(hours=12)
_HEARD = ("call_reached", "call_in")


def out_of_reach_since(session: Session, case: Case) -> datetime | None:
    """When a letter to the customer last did not arrive; None where a later one did, or none ever ended so."""
    ends = (
        select(Letter.state, Letter.ended_at)
        .where(Letter.case_id == case.id, Letter.audience == Audience.CUSTOMER)
        .where(Letter.state.in_((LetterState.SENT, LetterState.FAILED)))
        .order_by(Letter.ended_at.desc(), Letter.id.desc())
        .limit(1)
    )
    last = session.execute(ends).first()
    return last.ended_at if last is not None and last.state == LetterState.FAILED else None


def knows_by_voice(session: Session, case: Case, *, now: datetime) -> bool:
    """Whether no letter reaches the customer, and somebody has talked to them since, a moment ago.

    A letter about what was said would die as well and leave one more call, for ever.
    """
    failed_at = out_of_reach_since(session, case)
    if failed_at is None:
        return False
    since = max(failed_at, now - A_MOMENT)
    contacts = select(Entry.kind, Entry.direction, Entry.facts).where(
        Entry.case_id == case.id, Entry.kind.in_((Kind.CALL, Kind.VISIT)), Entry.noted_at >= since
    )
    return any(
        kind == Kind.VISIT or direction == Direction.IN or facts.get("contact") in _HEARD
        for kind, direction, facts in session.execute(contacts)
    )
