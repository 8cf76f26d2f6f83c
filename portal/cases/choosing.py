"""Choosing: the customer takes a time, calls it off, or says when and where they can be reached.

The whole steps of agreeing, with the number to call under, and counted for the case's link. What there is to choose
from is in ``times_view``.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy.orm import Session

from portal.cases import agreeing, answering, limiting, reachability
from portal.cases.errors import NumberMissing
from portal.cases.models import Case
from portal.cases.offering import Part
from portal.cases.settling import booked_of, hold_open
from portal.promises.models import Medium


@dataclass(frozen=True)
class Number:
    """A phone number that was found to be one: to dial, and as it was typed."""

    e164: str
    shown: str


class Done(StrEnum):
    """What became of a chosen time."""

    BOOKED = "appointment-booked"
    MOVED = "appointment-moved"
    STAYS = "appointment-stays"
    NUMBER_GIVEN = "appointment-number"
    """The time stays, and is called on another number."""


def choose(
    session: Session,
    case: Case,
    *,
    starts_at: datetime,
    version: int | None,
    number: Number | None,
    now: datetime,
) -> Done:
    """The customer takes a time: the first, where ``version`` is None, else in place of that version's.

    ``number`` is where they want to be called, if not where we know. Raises NumberMissing, ChangedTooOften, and what
    ``agreeing.book`` and ``agreeing.move`` raise.
    """
    hold_open(session, case)
    before = booked_of(session, case)
    was = None if before is None else (before.starts_at, before.version)
    is_news = number is not None and reachability.give_phone(session, case, number.e164, number.shown, now=now)
    if version is None:
        booked = agreeing.book(session, case, starts_at=starts_at, by_id=None, now=now)
    else:
        booked = agreeing.move(session, case, starts_at=starts_at, version=version, by_id=None, now=now)
    changed = was is None or booked.version != was[1]
    if changed and booked.medium == Medium.CALL and case.customer.phone_e164 is None:
        raise NumberMissing
    if changed or is_news:
        limiting.count_change_of_times(session, case, now=now)
    if was is None:
        return Done.BOOKED
    if booked.starts_at != was[0]:
        return Done.MOVED
    return Done.NUMBER_GIVEN if is_news else Done.STAYS


def wish(session: Session, case: Case, text: str, *, number: Number | None, now: datetime) -> Case:
    """No time fits: the customer writes when it would suit them, and where they want to be called.

    Returns the case that holds the message. Raises ChangedTooOften, and what ``answering.customer_message`` raises.
    """
    kept_in = answering.customer_message(session, case, text, now=now)
    if number is not None and reachability.give_phone(session, kept_in, number.e164, number.shown, now=now):
        limiting.count_change_of_times(session, kept_in, now=now)
    return kept_in


def call_off(session: Session, case: Case, *, version: int, reason: str, now: datetime) -> None:
    """The customer calls the appointment off. Raises ChangedTooOften and what ``agreeing.cancel`` raises."""
    agreeing.cancel(session, case, version=version, by_id=None, reason=reason or None, now=now)
    limiting.count_change_of_times(session, case, now=now)


def say_reachable(session: Session, case: Case, parts: Collection[Part], *, now: datetime) -> None:
    """The customer says when they can be reached; the same once more changes nothing.

    Raises NotOpen, ChangedTooOften.
    """
    if reachability.say_reachable(session, case, parts, now=now):
        limiting.count_change_of_times(session, case, now=now)
