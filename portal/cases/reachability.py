"""Reachability: when and under which number a customer says they can be reached. The journal keeps no number."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy.orm import Session

from portal.cases.models import Case
from portal.cases.offering import Part
from portal.cases.settling import hold_open
from portal.journal import service as journal
from portal.journal.models import Actor, Channel, Direction, Kind


def say_reachable(session: Session, case: Case, parts: Collection[Part], *, now: datetime) -> bool:
    """The customer says at which parts of the day they can be reached; none means: at any.

    Says whether that is news; the same once more changes nothing. Raises NotOpen.
    """
    hold_open(session, case)
    words = ",".join(part for part in Part if part in parts)
    if words == case.reachable:
        return False
    case.reachable = words
    _note(session, case, Kind.REACHABLE_SAID, {"parts": words}, now=now)
    return True


def give_phone(session: Session, case: Case, e164: str, shown: str, *, now: datetime) -> bool:
    """The customer gives the number on which to call them, in place of what we knew.

    Says whether that is news. Raises NotOpen.
    """
    hold_open(session, case)
    customer = case.customer
    if customer.phone_e164 == e164:
        return False
    customer.phone_e164, customer.phone_shown = e164, shown
    _note(session, case, Kind.PHONE_GIVEN, {}, now=now)
    return True


def _note(session: Session, case: Case, kind: Kind, facts: dict[str, str], *, now: datetime) -> None:
    journal.record(
        session,
        case_id=case.id,
        kind=kind,
        channel=Channel.PAGE,
        direction=Direction.IN,
        actor=Actor.CUSTOMER,
        now=now,
        facts=facts,
    )
