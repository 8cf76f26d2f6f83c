"""The outbox: letters wait here, each a row, until the relay has taken them.

Delivery is three short transactions (DESIGN.md section 5, rule 7): claim, send with none open, note the outcome.
What is promised: written at most once per key, delivered to the relay at least once, always with the same Message-ID.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import chain
from random import uniform
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Update, and_, bindparam, case, not_, null, or_, select, update
from sqlalchemy.orm import Session, aliased
from sqlalchemy.sql.dml import ReturningUpdate

from portal.db import UtcDateTime, insert_row, table_of, upsert, wake_worker
from portal.links import new_secret
from portal.mail.letters import NOTICES, RESTATED, TELLS_A_COLLEAGUE, WITH_THE_LINK_OF_NOW
from portal.mail.models import Audience, Letter, LetterState, MailChannel

CHANNEL = "smtp"
GIVE_UP_AFTER = timedelta(hours=48)
RETRY_CAP = 900.0
"""Longest pause between attempts in seconds: greylisting lasts 5 to 15 minutes."""
PAUSE_CAP = 300.0
"""Longest pause of a faulty channel in seconds."""
PAUSE_DOUBLINGS = 5
"""How often a pause is doubled at most: to try once more costs one connection, to be late costs trust."""

SOON = timedelta(seconds=RETRY_CAP)
"""An older letter that is due later than any retry waits for its hours, and holds up no other until then."""
_LETTER = table_of(Letter)
_WAITING = (LetterState.QUEUED, LetterState.SENDING)


def queue(session: Session, *, now: datetime, **values: object) -> int:
    """Put a rendered letter into the outbox and wake the worker once this transaction is committed.

    ``values`` are the columns of Letter; returns its id. It is due at once unless they say otherwise.
    """
    wake_worker(session)
    return insert_row(session, Letter, **{"queued_at": now, "due_at": now, **values})


def withdraw(
    session: Session,
    case_id: int,
    *,
    now: datetime,
    audience: Audience | None = None,
    automatic: bool | None = None,
    promise_id: int | None = None,
    key: str | None = None,
) -> None:
    """Take back letters of a case that events have overtaken.

    A letter that is being sent keeps the wish in its row: obeyed if DATA has not begun; after its 250 it counts as
    sent.
    """
    where = {
        "case_id": case_id,
        "audience": audience,
        "automatic": automatic,
        "promise_id": promise_id,
        "key": key,
    }
    given = {name: value for name, value in where.items() if value is not None}
    values = {f"of_{name}": value for name, value in given.items()}
    session.flush()  # a letter that has just ended is not taken back
    # One statement, so that no claim and no retry slips between two looks at the row.
    session.connection().execute(_withdraw(frozenset(given)), {"now": now, **values})


def take_back(session: Session, case_id: int, promise_id: int, *, now: datetime) -> None:
    """A promise has ended: no letter leaves that states it.

    Automatic ones are withdrawn; those that tell the reader something else besides (RESTATED) are written anew.
    """
    if any(isinstance(row, Letter) for row in chain(session.new, session.dirty)):
        session.flush()
    connection = session.connection()
    if connection.execute(_NOT_GONE, {"of_case_id": case_id}).first() is None:
        return  # as a rule; and who holds the case knows that none is added meanwhile
    ended = {"now": now, "of_case_id": case_id, "of_promise_id": promise_id, "of_automatic": True}
    for statement in _TAKE_BACK:
        connection.execute(statement, ended)


def take_back_appointment(session: Session, case_id: int, appointment_id: int, *, now: datetime) -> None:
    """An appointment has changed: no letter leaves that states it as it was.

    As with a promise; and what tells a colleague of something else besides (TELLS_A_COLLEAGUE) is written anew, too, as
    is what stands below a person's own words.
    """
    session.flush()
    changed = {"now": now, "of_case_id": case_id, "of_appointment_id": appointment_id, "of_automatic": True}
    for statement in _TAKE_BACK_APPOINTMENT:
        session.connection().execute(statement, changed)


def waiting_for_customer(session: Session, case_id: int, appointment_id: int) -> list[Mapping[str, Any] | None]:
    """What each automatic letter says that states the appointment to the customer and has not left."""
    query = select(Letter.says).where(
        Letter.case_id == case_id,
        Letter.appointment_id == appointment_id,
        Letter.audience == Audience.CUSTOMER,
        Letter.automatic,
        Letter.state.in_(_WAITING),
    )
    return list(session.scalars(query))


def change_link(session: Session, case_id: int, *, now: datetime) -> None:
    """The link in every unsent letter to the customer is dead: those of RESTATED are written anew, others withdrawn."""
    session.flush()
    concerned = {"now": now, "of_case_id": case_id, "of_audience": Audience.CUSTOMER, "of_automatic": True}
    for statement in _CHANGE_LINK:
        session.connection().execute(statement, concerned)


def outdated(session: Session, *, now: datetime) -> int | None:
    """The next letter that is due and no longer true, or None: it is to be written anew.

    Only the first of its case and recipient: the others have their turn once it has left.
    """
    return next_outdated(session.connection(), now=now)


def next_outdated(connection: Connection, *, now: datetime) -> int | None:
    """The same for a look without a session."""
    found = connection.execute(_OUTDATED, {"now": now, "soon": now + SOON}).first()
    return None if found is None else found[0]


def take_outdated(session: Session, letter_id: int, *, now: datetime) -> Letter | None:
    """The letter, held, or None where another worker has seen to it or it was withdrawn meanwhile."""
    held = select(Letter).where(Letter.id == letter_id).with_for_update().execution_options(populate_existing=True)
    letter = session.scalars(held).one()
    stale = letter.valid_until is not None and letter.valid_until <= now
    return letter if letter.state == LetterState.QUEUED and stale else None


def outdate(session: Session, *, true_after: datetime, now: datetime) -> None:
    """Letters that would be true after an instant may not be: they are written anew before they are sent.

    The caller holds their cases.
    """
    session.execute(
        update(Letter)
        .where(Letter.state.in_(_WAITING), Letter.valid_until > max(true_after, now))
        .values(valid_until=now)
        .execution_options(synchronize_session=False)
    )
    wake_worker(session)


def postpone(letter: Letter, until: datetime) -> None:
    """Leave a letter that cannot be written anew for later."""
    letter.due_at = until


def rewrite(letter: Letter, **values: object) -> None:
    """Change the words of a letter that waits, and when they may leave (``values`` are columns of Letter).

    It is the same letter: it has waited as long, has as many attempts left, and none overtakes it.
    """
    for name, value in values.items():
        setattr(letter, name, value)


def drop_untrue(letter: Letter, *, now: datetime) -> None:
    """Withdraw a letter that waits, or is held: it has nothing true to say any more, or staff do not want it sent."""
    letter.state, letter.ended_at, letter.says, letter.hold_reason = LetterState.WITHDRAWN, now, None, None


def is_written(session: Session, key: str) -> bool:
    """Whether a letter of this key is there that was not taken back."""
    query = select(Letter.id).where(Letter.key == key, Letter.state != LetterState.WITHDRAWN)
    return session.execute(query.limit(1)).first() is not None


def is_told(session: Session, promise_id: int | None = None, *, appointment_id: int | None = None) -> bool:
    """Whether a letter to the customer that was not taken back states this promise, or this appointment.

    One that died counts as tried.
    """
    stated = Letter.promise_id == promise_id if appointment_id is None else Letter.appointment_id == appointment_id
    query = select(Letter.id).where(
        stated,
        Letter.audience == Audience.CUSTOMER,
        Letter.state != LetterState.WITHDRAWN,
        or_(Letter.withdraw_wished_at.is_(None), Letter.state == LetterState.SENT),
    )
    return session.execute(query.limit(1)).first() is not None


def has_held(session: Session, case_id: int) -> bool:
    """Whether a letter of this case waits for staff."""
    query = select(Letter.id).where(Letter.case_id == case_id, Letter.state == LetterState.HELD)
    return session.execute(query.limit(1)).first() is not None


def release(letter: Letter, *, now: datetime) -> None:
    """Staff let a held letter go: it waits for its turn, and is written anew with the truth of then."""
    letter.state, letter.hold_reason = LetterState.QUEUED, None
    letter.due_at = letter.valid_until = now


def told_of(session: Session, promise_ids: Collection[int], kind: str) -> set[int]:
    """Those of these promises that a letter of this kind states which was not taken back."""
    query = select(Letter.promise_id).where(
        Letter.promise_id.in_(promise_ids), Letter.kind == kind, Letter.state != LetterState.WITHDRAWN
    )
    return {promise_id for promise_id in session.scalars(query) if promise_id is not None}


def last_written(session: Session, case_id: int, kind: str) -> datetime | None:
    """When the newest letter of this kind was written that was not taken back; None if none was."""
    query = select(Letter.queued_at).where(
        Letter.case_id == case_id, Letter.kind == kind, Letter.state != LetterState.WITHDRAWN
    )
    return session.scalar(query.order_by(Letter.id.desc()).limit(1))


@dataclass(frozen=True)
class Claimed:
    """What a worker needs to send one letter: nothing of it is read again from the row but the right to send."""

    id: int
    token: str
    to_address: str
    message: bytes


def claim(session: Session, *, now: datetime, lease: timedelta) -> Claimed | None:
    """Take the next due letter, or None if there is none (or another worker took it).

    Never one that would overtake an older letter of the same case and recipient, nor one that is no longer true.
    """
    connection, token = session.connection(), new_secret()
    on_postgresql = connection.dialect.name == "postgresql"
    if on_postgresql:
        # A lost claim is harmless (the letter is claimed again): it need not wait for the disk.
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
    values = {"now": now, "soon": now + SOON, "lease_token": token, "lease_until": now + lease}
    row = connection.execute(_claim(skip_locked=on_postgresql), values).one_or_none()
    return None if row is None else Claimed(row.id, token, row.to_address, row.message)


def may_send(session: Session, claimed: Claimed, *, now: datetime) -> bool:
    """Read right before DATA: is the letter still ours, still wanted and still valid?"""
    values = {"id": claimed.id, "token": claimed.token, "now": now}
    return session.connection().execute(_MAY_SEND, values).one_or_none() is not None


def mark_sent(session: Session, claimed: Claimed, *, now: datetime) -> bool:
    """The relay said 250. False if the lease was lost meanwhile; the letter then goes out once more."""
    return _end_claim(session, claimed, state=LetterState.SENT, ended_at=now, last_error=None, says=None)


def drop(session: Session, claimed: Claimed, *, now: datetime) -> bool:
    """A letter that was not to be sent when its DATA would have begun. False if the lease was lost.

    One that was to be taken back is withdrawn; one that waited too long is queued again, for whoever writes it anew.
    """
    letter = _claimed_row(session, claimed)
    if letter is None:
        return False
    _give_back(letter, 0, now=now)
    return True


def fail(session: Session, claimed: Claimed, reason: str, *, now: datetime) -> LetterState | None:
    """The letter will not arrive: it has failed, or is withdrawn if it was to be taken back meanwhile.

    Returns what it is now, or None if the lease was lost.
    """
    letter = _claimed_row(session, claimed)
    return None if letter is None else _end(letter, reason, now=now)


def retry(session: Session, claimed: Claimed, reason: str, *, now: datetime, base: float) -> LetterState | None:
    """Put a letter back after a fault that may pass; one that has been tried for 48 hours ends as in ``fail``.

    Returns what it is now, or None if the lease was lost.
    """
    letter = _claimed_row(session, claimed)
    if letter is None:
        return None
    if letter.give_up_at is None or letter.tries == 0:  # faults of the channel take nothing of the letter's own time
        letter.give_up_at = now + GIVE_UP_AFTER
    if now >= letter.give_up_at:
        return _end(letter, reason, now=now)
    letter.tries += 1
    letter.last_error = reason[:300]
    return _give_back(letter, _jitter(min(RETRY_CAP, base * 2 ** min(letter.tries, 20))), now=now)


def pause_channel(session: Session, claimed: Claimed, reason: str, *, now: datetime, base: float) -> LetterState | None:
    """The channel is faulty: the letter goes back, its attempts untouched, and nobody tries for a while.

    Several workers that meet the same fault make one pause: the next is longer only if that one was in vain. A letter
    that meets such faults for 48 hours ends as in ``fail``: somebody must see that it does not leave. Returns what it
    is now, or None if the lease was lost.
    """
    letter = _claimed_row(session, claimed)
    state = None if letter is None else _put_off(letter, reason, now=now)
    channel = _channel_to_change(session)
    channel.reason = reason[:300]
    if channel.paused_until is None or channel.paused_until <= now:
        pause = min(PAUSE_CAP, base * 2 ** min(channel.faults, PAUSE_DOUBLINGS))
        channel.faults, channel.paused_until = channel.faults + 1, now + timedelta(seconds=pause)
    return state


def channel(session: Session) -> MailChannel | None:
    """The state of the channel, or None while it never had a fault."""
    return session.get(MailChannel, CHANNEL)


def channel_works(session: Session) -> None:
    """A letter went out: whatever was wrong is over."""
    session.execute(
        update(MailChannel)
        .where(MailChannel.name == CHANNEL, MailChannel.faults > 0)
        .values(faults=0, paused_until=None, reason=None)
    )


def return_expired(session: Session, *, now: datetime, base: float) -> int:
    """Put letters back whose lease ran out: their worker died or hung. Returns how many."""
    rows = session.scalars(
        select(Letter)
        .where(Letter.state == LetterState.SENDING, Letter.lease_until <= now)
        .with_for_update(skip_locked=True)
    ).all()
    for letter in rows:
        letter.tries += 1
        _give_back(letter, _jitter(base), now=now)
    return len(rows)


def _channel_to_change(session: Session) -> MailChannel:
    """The channel's row; several workers meet its first fault at once, and whoever is later takes the other's row."""
    session.execute(upsert(session, MailChannel).values(name=CHANNEL, faults=0).on_conflict_do_nothing())
    return session.get_one(MailChannel, CHANNEL, with_for_update=True)


def _claimed_row(session: Session, claimed: Claimed) -> Letter | None:
    """The letter's row, locked, or None if the lease was lost."""
    letter = session.get_one(Letter, claimed.id, with_for_update=True)
    return letter if letter.lease_token == claimed.token else None


def _put_off(letter: Letter, reason: str, *, now: datetime) -> LetterState:
    """Return a letter that a fault of the channel kept from leaving, or give it up."""
    letter.give_up_at = letter.give_up_at or now + GIVE_UP_AFTER
    return _end(letter, reason, now=now) if now >= letter.give_up_at else _give_back(letter, 0, now=now)


def _give_back(letter: Letter, pause: float, *, now: datetime) -> LetterState:
    """Return a claimed letter to the queue; one that was to be withdrawn meanwhile ends here."""
    if letter.withdraw_wished_at is not None:
        return _end(letter, letter.last_error, now=now)
    letter.lease_token, letter.lease_until = None, None
    letter.state, letter.due_at = LetterState.QUEUED, now + timedelta(seconds=pause)
    return letter.state


def _end(letter: Letter, reason: str | None, *, now: datetime) -> LetterState:
    """End a letter that was not sent. Nobody is to phone for words that were to be taken back."""
    wished = letter.withdraw_wished_at is not None
    letter.state, letter.ended_at = LetterState.WITHDRAWN if wished else LetterState.FAILED, now
    letter.lease_token, letter.lease_until, letter.says = None, None, None
    letter.last_error = None if reason is None else reason[:300]
    return letter.state


def _jitter(most: float) -> float:
    """A pause between nothing and ``most`` seconds, so that letters that failed together do not come back together."""
    return uniform(0, most)  # noqa: S311  # spreads load, guards nothing


_MAY_SEND = select(Letter.id).where(
    Letter.id == bindparam("id"),
    Letter.lease_token == bindparam("token"),
    Letter.withdraw_wished_at.is_(None),
    or_(Letter.valid_until.is_(None), Letter.valid_until > bindparam("now", type_=UtcDateTime)),
)


@cache
def _withdraw(columns: frozenset[str]) -> Update:
    """Built once for each choice of columns that name the letters: made anew it would take longer than it runs."""
    being_sent = _LETTER.c.state == LetterState.SENDING
    now = bindparam("now", type_=UtcDateTime)
    return (
        update(_LETTER)
        .where(*[_LETTER.c[name] == bindparam(f"of_{name}") for name in sorted(columns)])
        .where(_LETTER.c.state.in_((*_WAITING, LetterState.HELD)))
        .values(
            state=case((being_sent, LetterState.SENDING), else_=LetterState.WITHDRAWN),
            hold_reason=None,
            withdraw_wished_at=now,
            ended_at=case((being_sent, None), else_=now),
            says=case((being_sent, _LETTER.c.says), else_=null()),
        )
    )


_TELLS_MORE = and_(_LETTER.c.kind.in_(sorted(RESTATED)), _LETTER.c.says.is_not(None))
_RESTATE = (
    update(_LETTER)
    .where(_LETTER.c.case_id == bindparam("of_case_id"), _LETTER.c.state.in_(_WAITING), _TELLS_MORE)
    .values(valid_until=bindparam("now", type_=UtcDateTime))
)
_NOT_GONE = (
    select(_LETTER.c.id)
    .where(_LETTER.c.case_id == bindparam("of_case_id"), _LETTER.c.state.in_((*_WAITING, LetterState.HELD)))
    .limit(1)
)
_TAKE_BACK = (
    # A notice lists several promises and names the next step alone.
    _RESTATE.where(or_(_LETTER.c.promise_id == bindparam("of_promise_id"), _LETTER.c.kind.in_(sorted(NOTICES)))),
    _withdraw(frozenset({"case_id", "promise_id", "automatic"})).where(not_(_TELLS_MORE)),
)
_TELLS_BESIDES = and_(
    or_(_LETTER.c.kind.in_(sorted(RESTATED | TELLS_A_COLLEAGUE)), not_(_LETTER.c.automatic)),
    _LETTER.c.says.is_not(None),
)
_TAKE_BACK_APPOINTMENT = (
    update(_LETTER)
    .where(_LETTER.c.case_id == bindparam("of_case_id"), _LETTER.c.state.in_(_WAITING), _TELLS_BESIDES)
    .where(_LETTER.c.appointment_id == bindparam("of_appointment_id"))
    .values(valid_until=bindparam("now", type_=UtcDateTime)),
    _withdraw(frozenset({"case_id", "appointment_id", "automatic"})).where(not_(_TELLS_BESIDES)),
)
_HAS_THE_LINK = and_(_LETTER.c.kind.in_(sorted(WITH_THE_LINK_OF_NOW)), _LETTER.c.says.is_not(None))
_CHANGE_LINK = (
    update(_LETTER)
    .where(_LETTER.c.case_id == bindparam("of_case_id"), _LETTER.c.state.in_(_WAITING), _HAS_THE_LINK)
    .values(valid_until=bindparam("now", type_=UtcDateTime)),
    _withdraw(frozenset({"case_id", "audience", "automatic"})).where(not_(_HAS_THE_LINK)),
)


@cache
def _claim(*, skip_locked: bool) -> ReturningUpdate[tuple[int, str, bytes]]:
    """Built once: making this statement takes longer than running it."""
    due = _next_due()
    candidate = due.with_for_update(skip_locked=True) if skip_locked else due
    return (
        update(_LETTER)
        .where(_LETTER.c.id == candidate.scalar_subquery())
        .values(state=LetterState.SENDING, lease_token=bindparam("lease_token"), lease_until=bindparam("lease_until"))
        .returning(_LETTER.c.id, _LETTER.c.to_address, _LETTER.c.message)
    )


def _next_due() -> Select[int]:
    now = bindparam("now", type_=UtcDateTime)
    paused = select(MailChannel.name).where(MailChannel.name == CHANNEL, MailChannel.paused_until > now)
    is_true = or_(Letter.valid_until.is_(None), Letter.valid_until > now)
    return (
        select(Letter.id)
        .where(Letter.state == LetterState.QUEUED, Letter.due_at <= now, is_true, _is_first(), ~paused.exists())
        .order_by(Letter.due_at, Letter.id)
        .limit(1)
    )


def _is_first() -> ColumnElement[bool]:
    """Whether no older letter of the same case and recipient waits for its turn before this one."""
    older = aliased(Letter)
    ahead = select(older.id).where(
        older.case_id == Letter.case_id,
        older.to_address == Letter.to_address,
        older.id < Letter.id,
        or_(
            older.state == LetterState.SENDING,
            and_(older.state == LetterState.QUEUED, older.due_at <= bindparam("soon", type_=UtcDateTime)),
        ),
    )
    return ~ahead.exists()


_OUTDATED = (
    select(Letter.id)
    .where(
        Letter.state == LetterState.QUEUED,
        Letter.valid_until <= bindparam("now", type_=UtcDateTime),
        Letter.due_at <= bindparam("now", type_=UtcDateTime),
        _is_first(),
    )
    .order_by(Letter.valid_until, Letter.id)
    .limit(1)
)


def _end_claim(session: Session, claimed: Claimed, **values: object) -> bool:
    """Change the row if the fencing token still matches; a worker that lost its lease changes nothing."""
    session.flush()
    ended = session.connection().execute(
        _END_CLAIM, {"letter": claimed.id, "token": claimed.token, "lease_token": None, "lease_until": None, **values}
    )
    return ended.rowcount == 1


_END_CLAIM = update(_LETTER).where(_LETTER.c.id == bindparam("letter"), _LETTER.c.lease_token == bindparam("token"))


def has_expired(connection: Connection, *, now: datetime) -> bool:
    """Whether a lease ran out; an empty look costs one index entry."""
    return connection.execute(_EXPIRED, {"now": now}).first() is not None


_EXPIRED = (
    select(Letter.id)
    .where(Letter.state == LetterState.SENDING, Letter.lease_until <= bindparam("now", type_=UtcDateTime))
    .limit(1)
)
