"""The status link: how long it works, and the letter that brings it. Links are given anew in ``linking``."""

from datetime import date, datetime, timedelta

from sqlalchemy.orm import Session

from portal.cases import steps as stepping
from portal.cases import writing
from portal.cases.directory import Directory
from portal.cases.models import Case, CaseState
from portal.languages import Voice
from portal.mail.letters import LetterKind

LINK_DAYS = 90
"""How long after closing the status link works."""


def link_until(case: Case, voice: Voice) -> date | None:
    """The last day on which the status link of a closed case works; None while it is open."""
    return None if case.closed_at is None else voice.local(case.closed_at).date() + timedelta(days=LINK_DAYS)


def link_day(directory: Directory, case: Case, *, now: datetime) -> dict[str, str]:
    """What the letter about a closing says of that day."""
    voice = directory.voice_of(case)
    last_day = link_until(case, voice)
    assert last_day is not None
    return {"link_until": voice.day(last_day, now=now)}


def link_works(case: Case, voice: Voice, *, now: datetime) -> bool:
    """Whether the status link still opens the case: until the end of that day in the team's place."""
    last_day = link_until(case, voice)
    return last_day is None or voice.local(now).date() <= last_day


def send_link(session: Session, directory: Directory, case: Case, *, key: str, replaced: bool, now: datetime) -> None:
    """Mail the current link to the stored address."""
    writing.to_customer(
        session,
        directory,
        case,
        LetterKind.LINK,
        key=key,
        step=stepping.to_name(session, case.id, now=now),
        now=now,
        says=link_says(directory, case, replaced=replaced, now=now),
    )


def link_says(directory: Directory, case: Case, *, replaced: bool, now: datetime) -> dict[str, str | bool | None]:
    """What the letter with the link says of its own: ``replaced`` if earlier links no longer work."""
    voice, until = directory.voice_of(case), case.reopen_until
    return {
        "replaced": replaced,
        "is_open": case.state == CaseState.OPEN,  # without a step: then every promised date has passed
        "reopen_until": None if until is None or until <= now else voice.day(voice.local(until).date(), now=now),
    }
