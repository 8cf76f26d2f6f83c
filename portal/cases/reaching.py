"""Reaching: whether letters reach the customer of a case, and what they know by those that left, or without any."""

from datetime import datetime, timedelta

from sqlalchemy import Row, and_, or_, select
from sqlalchemy.orm import Session

from portal.cases.models import Case
from portal.journal.models import Actor, Channel, Direction, Entry, Kind
from portal.mail.letters import NOTICES
from portal.mail.models import Audience, Letter, LetterState
from portal.promises.models import Promise

A_MOMENT = timedelta(hours=12)
_HEARD = ("call_reached", "call_in")
_LEFT = (LetterState.SENT, LetterState.SENDING)
"""One that is being sent counts as left: the relay may have it already."""


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


def last_known(session: Session, promise: Promise) -> Promise:
    """The promise whose date the customer knows: this one, or the last before it that they have been told.

    A letter tells it once it has left. What no letter was to tell was said on the page or by voice, as is the first
    date of all.
    """
    while promise.replaces_id is not None and not _is_known(session, promise):
        promise = session.get_one(Promise, promise.replaces_id)
    return promise


def given_up(session: Session, moved: Promise) -> Promise:
    """The promise before this one whose date a notice says we do not keep: the one the customer knows.

    The one right before it where what they know is not earlier than the new date: that was no delay to them.
    """
    before = session.get_one(Promise, moved.replaces_id)
    known = last_known(session, before)
    return known if known.due_at < moved.due_at else before


def notices_told(session: Session, case_id: int, *, at: datetime) -> int:
    """How many notices of the same row left before the one of this instant; others were overtaken or did not arrive."""
    noted = select(Entry.at, Entry.facts).where(Entry.case_id == case_id, Entry.kind == Kind.NOTICE, Entry.at <= at)
    earlier = []
    for noted_at, facts in session.execute(noted.order_by(Entry.id.desc())):
        if noted_at < at:
            earlier.append(noted_at)
        if facts["number"] == 1:
            break
    left = select(Letter.id).where(
        Letter.case_id == case_id,
        Letter.kind.in_(NOTICES),
        Letter.state.in_(_LEFT),
        Letter.queued_at.in_(earlier),
    )
    return len(session.scalars(left).all())


def _is_known(session: Session, promise: Promise) -> bool:
    """Whether the customer has been told this promise, or saw it on the page while it was open."""
    # A notice names the next step alone, which may be another than those it moved.
    moves_it = and_(Letter.kind.in_(NOTICES), Letter.queued_at == promise.given_at)
    stating = select(Letter.promise_id, Letter.state, Letter.automatic, Letter.ended_at).where(
        Letter.case_id == promise.case_id,
        Letter.audience == Audience.CUSTOMER,
        or_(Letter.promise_id == promise.id, moves_it),
    )
    found = session.execute(stating).all()
    return not found or any(_tells(letter, promise) for letter in found) or _was_seen(session, promise)


def _tells(letter: Row[int | None, LetterState, bool, datetime | None], promise: Promise) -> bool:
    if letter.state == LetterState.QUEUED:
        return not letter.automatic  # what a person wrote is never taken back and leaves before any later letter
    if letter.state not in _LEFT:
        return False
    # Written anew without the promises that had ended by then, a notice may have left without this one.
    is_after = letter.ended_at is not None and promise.ended_at is not None and letter.ended_at > promise.ended_at
    return letter.promise_id == promise.id or not is_after


def _was_seen(session: Session, promise: Promise) -> bool:
    acted = select(Entry.id).where(
        Entry.case_id == promise.case_id,
        Entry.actor == Actor.CUSTOMER,
        Entry.channel == Channel.PAGE,
        Entry.at >= promise.given_at,
    )
    if promise.ended_at is not None:
        acted = acted.where(Entry.at < promise.ended_at)
    return session.execute(acted.limit(1)).first() is not None
