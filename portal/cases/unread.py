"""Entries in doubt that nobody looked at in time: from their date on they are the lead's task, with a new date.

The customer has read the first date on the thank-you page; where it was not kept the page says so, and names who looks
at it by when (law 1: a doubtful entry has a step too). It goes on like the ladder of delays: the lead, the lead's
deputy, the last instance, and never ends in silence.
"""

from datetime import datetime

from sqlalchemy import bindparam, func, literal_column, select
from sqlalchemy.orm import Session

from portal.cases import delaying, doubting, scheduling, writing
from portal.cases import directory as directories
from portal.cases.directory import Directory
from portal.cases.models import Case, CaseState
from portal.cases.settling import hold
from portal.db import UtcDateTime
from portal.journal import service as journal
from portal.journal.models import Actor, Channel, Entry, Kind
from portal.mail.letters import LetterKind

_IS_DUE = (
    Case.state == literal_column("'received'", Case.state.type),
    Case.check_by_at <= bindparam("now", type_=UtcDateTime),
    Case.id.not_in(bindparam("but", expanding=True)),
)
NEXT = select(Case).where(*_IS_DUE).order_by(Case.check_by_at, Case.id).limit(1)
"""The entry whose date passed first at ``now`` and that nobody has released or discarded; none of ``but``."""
ANY = select(Case.id).where(*_IS_DUE).limit(1)
"""Whether there is one: it nearly always finds nothing, by one entry of one index."""


def escalate(session: Session, case: Case, *, now: datetime) -> None:
    """Make an entry whose date has passed the lead's, with a new date and one letter. Does nothing where it is not due.

    The date moves in the same transaction, so each is escalated once, whatever dies and however many workers look.
    """
    hold(session, case)
    if case.state != CaseState.RECEIVED or case.check_by_at is None or case.check_by_at > now:
        return
    directory = directories.load(session, now=now)
    number, before = _times(session, case), case.check_by_at
    reader_id = _reader(directory, case, number, now=now)
    case.check_by_at = scheduling.check_by(directory, directory.team_of(case), now=now)
    case.lead_since = case.lead_since or now
    case.version += 1
    journal.record(
        session,
        case_id=case.id,
        kind=Kind.CHECK_MOVED,
        channel=Channel.SYSTEM,
        actor=Actor.SYSTEM,
        person_id=reader_id,
        visible=False,
        now=now,
        facts={"before": before.isoformat(), "due_at": case.check_by_at.isoformat()},
    )
    voice = writing.staff_voice(directory, case, reader_id)
    writing.to_staff(
        session,
        directory,
        case,
        LetterKind.STAFF_DOUBTFUL,
        key=f"staff_doubtful:{case.id}:unread:{number + 1}",
        reader_id=reader_id,
        now=now,
        says={
            "check_by": voice.moment(case.check_by_at, now=now),
            "why": "" if case.doubt is None else voice.say(doubting.sentence(case.doubt)),
            "before": voice.moment(before, now=now),
        },
    )


def looked_at_by(session: Session, case: Case, *, now: datetime) -> str | None:
    """The name of whoever looks at it now that its first date has passed; None while nobody was late."""
    if case.state != CaseState.RECEIVED or case.lead_since is None:
        return None
    directory = directories.load(session, now=now)
    return directory.people[_reader(directory, case, _times(session, case) - 1, now=now)].name


def _times(session: Session, case: Case) -> int:
    """How often its date has passed before."""
    moved = select(func.count()).where(Entry.case_id == case.id, Entry.kind == Kind.CHECK_MOVED)
    return session.scalar(moved) or 0


def _reader(directory: Directory, case: Case, number: int, *, now: datetime) -> int:
    if directory.team_of(case).lead_id is None and directory.company.last_instance_id is None:
        return directory.front_desk(now).person_id
    person_id = delaying.follows_up(directory, case, delaying.LEAD_TAKES_OVER + max(number, 0), now=now)
    return directory.acting(person_id, now, topic_id=case.topic_id).person_id
