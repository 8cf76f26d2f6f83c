"""Writing the journal and, on its date, blanking it."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from portal.db import insert_row
from portal.journal.models import Actor, Channel, Direction, Entry, Kind


def record(
    session: Session,
    *,
    case_id: int | None,
    kind: Kind,
    channel: Channel,
    actor: Actor,
    now: datetime,
    direction: Direction = Direction.NONE,
    person_id: int | None = None,
    visible: bool = True,
    text: str = "",
    facts: Mapping[str, Any] | None = None,
    at: datetime | None = None,
    corrects_id: int | None = None,
) -> int:
    """Write one entry and return its id. ``at`` is when it happened, if that was earlier than ``now``."""
    return insert_row(
        session,
        Entry,
        case_id=case_id,
        at=at or now,
        noted_at=now,
        kind=kind,
        channel=channel,
        direction=direction,
        actor=actor,
        person_id=person_id,
        visible=visible,
        text=text,
        facts=dict(facts or {}),
        corrects_id=corrects_id,
    )


def blank(session: Session, case_id: int, *, now: datetime, but: Collection[Kind] = ()) -> None:
    """Erase what the entries of a case say; kind and time stay. The one path the schema allows.

    Kinds of ``but`` stay as they are.
    """
    session.execute(
        update(Entry)
        .where(Entry.case_id == case_id, Entry.erased_at.is_(None), Entry.kind.not_in(but))
        .values(text="", facts={}, erased_at=now)
    )
