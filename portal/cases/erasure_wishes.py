"""The customer asks for deletion (law 8): on the page, confirmed through the stored address, on a named date.

Whoever has the status link may ask; only whoever reads the mailbox can confirm, by a link that stands in the letter and
nowhere else. An open case is closed by confirming: nobody can promise an answer to somebody who is to be forgotten.
Until the date the customer can take it back. Where the topic is commercial correspondence, what belongs to a business
letter stays until its retention has passed, and everything else goes on the date.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import config
from portal.appointments.models import Appointment
from portal.cases import closing, writing
from portal.cases import directory as directories
from portal.cases import steps as stepping
from portal.cases.directory import Directory
from portal.cases.errors import NotConfirmable, NotErasable
from portal.cases.models import Case, CaseState
from portal.cases.settling import hold, settle
from portal.journal import service as journal
from portal.journal.models import Actor, Channel, Direction, Kind
from portal.links import InvalidLink, Purpose
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, Letter, LetterState

CONFIRM_WITHIN = timedelta(days=7)
"""How long the link in the letter works."""
ERASED_AFTER_DAYS = 7
"""From confirming to erasing: so long it can be taken back."""
ASK_AGAIN_AFTER = timedelta(hours=1)
"""Who asks again before is on the way to the letter that was sent: nobody floods a mailbox from the page."""


@dataclass(frozen=True)
class ErasureView:
    """What the pages say of a customer's wish for deletion."""

    asked: bool
    """A letter waits to be confirmed."""
    confirmed: bool
    partly: bool
    """It was carried out; what a duty keeps is left."""
    on: date
    """When it is carried out, or would be if it were confirmed now."""
    kept_until: date | None
    """Until when the business letters stay, where a duty keeps them."""


def view(directory: Directory, case: Case, *, now: datetime) -> ErasureView | None:
    """The wish of a case, or what a wish would mean; None for an entry that is no case."""
    if case.state not in (CaseState.OPEN, CaseState.CLOSED):
        return None
    on = case.erase_on if case.erasure_confirmed_at is not None else None
    return ErasureView(
        asked=_waits(case, now=now),
        confirmed=case.erasure_confirmed_at is not None,
        partly=case.partly_erased_at is not None,
        on=on or _day(directory, case, now=now),
        kept_until=closing.retention_ends(directory, case, now=now) if is_on_duty(directory, case) else None,
    )


def is_on_duty(directory: Directory, case: Case) -> bool:
    """Whether a duty keeps what belongs to the business letters of this case."""
    return directory.topics[case.topic_id].is_commercial


def ask(session: Session, case: Case, *, now: datetime) -> None:
    """The customer wants their details deleted: a letter to the stored address asks to confirm it.

    Raises NotErasable.
    """
    _hold_erasable(session, case)
    if _was_asked_just_now(session, case, now=now):
        return
    case.erasure_asked_at = now
    entry_id = _note(session, case, Kind.ERASURE_ASKED, now=now)
    settle(session, case, now=now)
    _write(session, case, stage="confirm", key=f"erasure:{entry_id}", now=now)


def confirm(session: Session, case: Case, proof: str, *, now: datetime) -> None:
    """Whoever reads the mailbox confirms it: the date is named, an open case is closed.

    Raises NotErasable, NotConfirmable for a link of another letter, or one that is over.
    """
    _hold_erasable(session, case)
    if not proves(case, proof, now=now):
        raise NotConfirmable
    called_off = closing.close_to_erase(session, case, now=now) if case.state == CaseState.OPEN else None
    directory = directories.load(session, now=now)
    voice, on = directory.voice_of(case), _day(directory, case, now=now)
    case.erasure_asked_at, case.erasure_confirmed_at, case.erase_on = None, now, on
    last_moment = closing.end_of_day(voice, on - timedelta(days=1))
    assert case.reopen_until is not None
    case.reopen_until = min(case.reopen_until, last_moment)
    entry_id = _note(session, case, Kind.ERASURE_CONFIRMED, now=now)
    settle(session, case, now=now)
    outbox.withdraw(session, case.id, automatic=True, audience=Audience.CUSTOMER, now=now)
    _write(session, case, stage="confirmed", key=f"erasure:{entry_id}", called_off=called_off, now=now)


def take_back(session: Session, case: Case, *, now: datetime) -> None:
    """The customer wants to keep their details after all. Raises NotErasable where nothing is planned."""
    hold(session, case)
    if case.state != CaseState.CLOSED or case.erasure_confirmed_at is None:
        raise NotErasable
    directory = directories.load(session, now=now)
    case.erasure_confirmed_at = None
    case.erase_on = closing.retention_ends(directory, case, now=now)
    case.reopen_until = closing.reopenable_until(directory, case)
    entry_id = _note(session, case, Kind.ERASURE_TAKEN_BACK, now=now)
    settle(session, case, now=now)
    outbox.withdraw(session, case.id, automatic=True, audience=Audience.CUSTOMER, now=now)
    _write(session, case, stage="taken_back", key=f"erasure:{entry_id}", now=now)


def proof(case: Case) -> str:
    """The secret of the letter that asks to confirm; another letter, or a new status link, makes it worthless."""
    assert case.erasure_asked_at is not None
    return config.links().sign_with_time(Purpose.ERASURE, case.link_nonce, now=case.erasure_asked_at)


def proves(case: Case, text: str, *, now: datetime) -> bool:
    """Whether this is the secret of the letter that waits to be confirmed."""
    try:
        nonce, at = config.links().read_with_time(Purpose.ERASURE, text)
    except InvalidLink:
        return False
    asked_at = case.erasure_asked_at
    return nonce == case.link_nonce and _waits(case, now=now) and asked_at is not None and at == _second(asked_at)


def is_true(case: Case, says: Mapping[str, Any], *, now: datetime) -> bool:
    """Whether a letter that was written with these values, and waited, still says what holds."""
    if says["stage"] == "confirm":
        is_case = case.state in (CaseState.OPEN, CaseState.CLOSED)
        return is_case and proves(case, says["confirm_url"].rpartition("/")[2], now=now)
    return case.state == CaseState.CLOSED and (says["stage"] == "confirmed") == (case.erasure_confirmed_at is not None)


def _second(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def _waits(case: Case, *, now: datetime) -> bool:
    return case.erasure_asked_at is not None and now < case.erasure_asked_at + CONFIRM_WITHIN


def _was_asked_just_now(session: Session, case: Case, *, now: datetime) -> bool:
    """Whether a letter has just been written that nothing has taken back since."""
    asked_at = case.erasure_asked_at
    if asked_at is None or not asked_at <= now < asked_at + ASK_AGAIN_AFTER:
        return False
    written = select(Letter.id).where(
        Letter.case_id == case.id,
        Letter.kind == LetterKind.ERASURE,
        Letter.queued_at >= asked_at,
        Letter.state != LetterState.WITHDRAWN,
    )
    return session.execute(written.limit(1)).first() is not None


def _hold_erasable(session: Session, case: Case) -> None:
    hold(session, case)
    done = case.erasure_confirmed_at is not None or case.partly_erased_at is not None
    if done or case.state not in (CaseState.OPEN, CaseState.CLOSED):
        raise NotErasable


def _day(directory: Directory, case: Case, *, now: datetime) -> date:
    """The date on which it is carried out if it is confirmed now; retention may end before."""
    on = directory.voice_of(case).local(now).date() + timedelta(days=ERASED_AFTER_DAYS)
    return on if case.erase_on is None else min(on, case.erase_on)


def _note(session: Session, case: Case, kind: Kind, *, now: datetime) -> int:
    return journal.record(
        session,
        case_id=case.id,
        kind=kind,
        channel=Channel.PAGE,
        direction=Direction.IN,
        actor=Actor.CUSTOMER,
        now=now,
    )


def _write(
    session: Session, case: Case, *, stage: str, key: str, now: datetime, called_off: Appointment | None = None
) -> None:
    directory = directories.load(session, now=now)
    voice, until = directory.voice_of(case), case.reopen_until
    says: dict[str, str | bool | None] = {
        "stage": stage,
        "is_open": case.state == CaseState.OPEN,
        "confirm_url": None,
        "confirm_until": None,
        "erase_on": None if case.erase_on is None else voice.day(case.erase_on, now=now),
        "kept_until": None,
        "reopen_until": None if until is None or until <= now else voice.day(voice.local(until).date(), now=now),
    }
    if stage == "confirm":
        says["confirm_url"] = f"{writing.status_url(case)}/erase/{proof(case)}"
        says["confirm_until"] = voice.moment(now + CONFIRM_WITHIN, now=now)
    if is_on_duty(directory, case):
        says["kept_until"] = voice.day(closing.retention_ends(directory, case, now=now), now=now)
    step = stepping.to_name(session, case.id, now=now)
    kind = LetterKind.ERASURE
    writing.to_customer(session, directory, case, kind, key=key, step=step, appointment=called_off, says=says, now=now)
