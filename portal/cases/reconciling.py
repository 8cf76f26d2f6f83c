"""The reconciler: looks for what must not be, mends it and counts it. It should always find nothing.

What time alone brings about (a date that passed, a lease that nobody ended) is found by one index entry, wherever it
is. What the schema refuses anyway (a case without its step) and what one transaction writes (its letter) is looked for
in the newest cases, and in a slice of all of them at a time.
"""

from collections import Counter as Tally
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import BindParameter, ColumnElement, Select, and_, bindparam, func, literal_column, or_, select, update
from sqlalchemy.orm import Session, aliased

from portal import limits
from portal.appointments import service as appointments
from portal.appointments.models import IS_AWAITED, IS_BOOKED, Appointment
from portal.appointments.service import local_start
from portal.cases import delaying, opening, passing, promising, settling, waiting, writing
from portal.cases import directory as directories
from portal.cases import steps as stepping
from portal.cases.models import Case, CaseState
from portal.customers.models import Customer
from portal.db import UtcDateTime
from portal.journal import service as journal
from portal.journal.models import Actor, Channel, Kind
from portal.limits import Counter
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, Letter, MailChannel
from portal.promises import service as promises
from portal.promises.models import IS_OPEN, Promise


class Disorder(StrEnum):
    """What should never be found."""

    STEP = "step"
    """An open case whose next step is not the earliest of its open promises and its agreed time, or that has none."""
    PASSED = "passed"
    """An open case with a promise whose date lies in the past."""
    OUTCOME = "outcome"
    """An agreed time that is over: nobody said what became of it, and nothing has taken its place."""
    HOUR = "hour"
    """An agreed time to come that is no longer the wall clock that was agreed, because a zone's rules changed. Only
    people can mend it: how many there are now is counted, and which is shown."""
    LETTER = "letter"
    """A case that was accepted, and no letter ever said so."""
    LEASE = "lease"
    """A letter whose worker is gone, and nobody took it back."""
    CLOCK = "clock"
    """A letter that waits, or is held, by a clock that was ahead and has been set back."""


class StillPassed(Exception):
    """The step that ought to move a date left it in the past."""


GRACE = timedelta(seconds=60)
"""How long the steps whose work it is have first; and how far two machines' clocks may differ."""
SLICE = 500
"""How many numbers of cases one look covers."""
NEWEST = 200
AT_ONCE = 50
COUNTED_FOR = timedelta(days=1)
PAUSED = timedelta(seconds=outbox.PAUSE_CAP) + GRACE
"""How far ahead a pause can end."""

_IS_OPEN_CASE = Case.state == literal_column("'open'", Case.state.type)
_WAITS = Letter.state == literal_column("'queued'", Letter.state.type)
_IS_SENDING = Letter.state == literal_column("'sending'", Letter.state.type)

Instant = datetime | BindParameter[datetime]


def _written_ahead(soon: Instant) -> ColumnElement[bool]:
    return and_(_WAITS, Letter.due_at > soon, Letter.queued_at > soon)


def _leased_ahead(until: Instant) -> ColumnElement[bool]:
    return and_(_IS_SENDING, Letter.lease_until > until)


def _paused_ahead(until: Instant) -> ColumnElement[bool]:
    return MailChannel.paused_until > until


def _is_untold() -> ColumnElement[bool]:
    # The first and not EXISTS: PostgreSQL would read all letters once to answer that for a slice of the cases.
    first = select(func.min(Letter.id)).where(Letter.case_id == Case.id, Letter.audience == Audience.CUSTOMER)
    return and_(Customer.email.is_not(None), first.scalar_subquery().is_(None))


def _is_broken() -> Select[int]:
    step, earlier, agreed = aliased(Promise), aliased(Promise), aliased(Appointment)
    is_agreed = and_(
        agreed.case_id == Case.id,
        agreed.state == literal_column("'booked'"),
        agreed.change_wished_at.is_(None),
        agreed.asked_at.is_(None),
    )
    stands_at = func.coalesce(step.due_at, agreed.starts_at)
    is_before = and_(earlier.case_id == Case.id, earlier.state == literal_column("'open'"), earlier.due_at < stands_at)
    return (
        select(Case.id)
        .outerjoin(step, and_(step.id == Case.promise_id, step.case_id == Case.id, step.state == "open"))
        .outerjoin(agreed, is_agreed)
        .join(Customer, Customer.id == Case.customer_id)
        .where(Case.id > bindparam("after_id"), Case.id <= bindparam("until_id"), _IS_OPEN_CASE)
        .where(
            or_(
                and_(step.id.is_(None), or_(Case.appointment_id.is_(None), agreed.id.is_(None))),
                agreed.starts_at < step.due_at,
                select(earlier.id).where(is_before).exists(),
                _is_untold(),
            )
        )
        .order_by(Case.id)
        .limit(AT_ONCE)
    )


def _instant(name: str) -> BindParameter[datetime]:
    return bindparam(name, type_=UtcDateTime)


# Every look of every minute, built once: to build one takes longer than to find nothing by it.
_NEWEST = select(func.max(Case.id))
_BROKEN = _is_broken()
_PASSED = (
    select(Promise.case_id)
    .join(Case, Case.id == Promise.case_id)
    .where(IS_OPEN, Promise.notice_at <= _instant("late"), Promise.due_at <= _instant("late"), _IS_OPEN_CASE)
    .limit(AT_ONCE)
)
_UNASKED = (  # of a case that is closed none is booked, and to join the cases would have SQLite read all open ones
    select(Appointment.case_id)
    .where(
        IS_AWAITED,
        Appointment.outcome_due_at <= _instant("late"),
        Appointment.asked_at.is_(None),
        Appointment.change_wished_at.is_(None),
    )
    .limit(AT_ONCE)
)
_TO_COME = (
    select(Case.reference, Appointment.starts_at, Appointment.tz, Appointment.local_start)
    .join(Case, Case.id == Appointment.case_id)
    .where(IS_BOOKED, Appointment.starts_at > _instant("now"))
    .order_by(Appointment.starts_at)
)
_EXPIRED = select(Letter.id).where(_IS_SENDING, Letter.lease_until <= _instant("late")).limit(1)
_ANY_WRITTEN_AHEAD = select(Letter.id).where(_written_ahead(_instant("soon"))).limit(1)
_ANY_PAUSED_AHEAD = select(MailChannel.name).where(_paused_ahead(_instant("paused"))).limit(1)
_ANY_LEASED_AHEAD = select(Letter.id).where(_leased_ahead(_instant("leased"))).limit(1)


@dataclass(frozen=True)
class Found:
    """What one look found: cases to mend, and where the next look goes on."""

    case_ids: tuple[int, ...]
    after_id: int


def look(session: Session, *, now: datetime, after_id: int = 0) -> Found:
    """Cases in disorder: all whose date has passed or whose outcome was not asked for, and those of the newest and of
    the slice after ``after_id``."""
    newest = session.scalar(_NEWEST) or 0
    start = 0 if after_id >= newest else after_id
    found = [*passed(session, now=now), *unasked(session, now=now), *_broken(session, start, start + SLICE)]
    if newest > start + SLICE:
        found += _broken(session, max(newest - NEWEST, start + SLICE), newest)
    return Found(tuple(dict.fromkeys(found)), start + SLICE)


def passed(session: Session, *, now: datetime) -> list[int]:
    """Open cases with an open promise whose date has passed; a notice is always due before its date."""
    return list(session.scalars(_PASSED, {"late": now - GRACE}))


def unasked(session: Session, *, now: datetime) -> list[int]:
    """Cases with an agreed time whose outcome was due, and nobody was asked for it."""
    return list(session.scalars(_UNASKED, {"late": now - GRACE}))


def shifted(session: Session, *, now: datetime) -> list[str]:
    """The references of cases whose agreed time is no longer the wall clock that was agreed; the earliest first."""
    rows = session.execute(_TO_COME, {"now": now})
    return [row.reference for row in rows if local_start(row.starts_at, row.tz) != row.local_start]


def mend(session: Session, case: Case, *, now: datetime) -> list[Disorder]:
    """Put one case in order and say what was wrong; nothing where another worker was first.

    Raises NothingToPromise, StillPassed.
    """
    settling.hold(session, case)
    if case.state != CaseState.OPEN:
        return []
    found = [
        disorder
        for disorder, mended in (
            (Disorder.STEP, _give_step(session, case, now=now)),
            (Disorder.OUTCOME, _ask_outcome(session, case, now=now)),
            (Disorder.PASSED, _move_passed(session, case, now=now)),
            (Disorder.LETTER, _write_letter(session, case, now=now)),
        )
        if mended
    ]
    _count(session, Tally(found), now=now)
    return found


def return_leases(session: Session, *, now: datetime, base: float) -> int:
    """Put back letters whose lease is over for longer than GRACE; ``base`` as in ``outbox.return_expired``."""
    count = outbox.return_expired(session, now=now - GRACE, base=base)
    _count(session, {Disorder.LEASE: count}, now=now)
    return count


def has_expired(session: Session, *, now: datetime) -> bool:
    """Whether ``return_leases`` would find something."""
    return session.execute(_EXPIRED, {"late": now - GRACE}).first() is not None


def ahead(session: Session, *, now: datetime, lease: timedelta | None) -> bool:
    """Whether something waits by a clock that was ahead."""
    looks = (_ANY_WRITTEN_AHEAD, _ANY_PAUSED_AHEAD, *([_ANY_LEASED_AHEAD] if lease is not None else []))
    values = {"soon": now + GRACE, "paused": now + PAUSED, "leased": now + (lease or timedelta()) + GRACE}
    return any(session.execute(look, values).first() is not None for look in looks)


def catch_up(session: Session, *, now: datetime, lease: timedelta | None) -> int:
    """After the clock was set back: what was meant for at once leaves at once, and no pause lasts longer than one does.

    ``lease`` is how long a lease lasts, for a caller who knows that none from before can still be held; else None.
    """
    letters = session.scalars(select(Letter).where(_written_ahead(now + GRACE)).with_for_update(skip_locked=True)).all()
    for letter in letters:
        if letter.due_at - letter.queued_at <= timedelta(seconds=outbox.RETRY_CAP):
            letter.due_at = now
        elif letter.give_up_at is not None:  # tried for longer than that; others wait for their hours
            letter.due_at = now
            if letter.says is not None:  # it may wait for its hours, too: whoever writes it anew knows
                letter.valid_until = now
        letter.queued_at = now
    count = len(letters)
    session.execute(update(MailChannel).where(_paused_ahead(now + PAUSED)).values(paused_until=now))
    if lease is not None:
        held = select(Letter).where(_leased_ahead(now + lease + GRACE)).with_for_update(skip_locked=True)
        for letter in session.scalars(held).all():
            letter.lease_until = now
            count += 1
    _count(session, {Disorder.CLOCK: count}, now=now)
    return count


def counted(session: Session, *, now: datetime) -> dict[Disorder, int]:
    """How much was mended within the last day, and how much there is now of what only people can mend."""
    names = {f"disorder:{disorder}": disorder for disorder in Disorder}
    query = (
        select(Counter.name, func.sum(Counter.n))
        .where(Counter.name.in_(names), Counter.window_at > now - COUNTED_FOR)
        .group_by(Counter.name)
    )
    found = {names[name]: int(count) for name, count in session.execute(query)}
    found[Disorder.HOUR] = len(shifted(session, now=now))
    return {disorder: found.get(disorder, 0) for disorder in Disorder}


def _broken(session: Session, after_id: int, until_id: int) -> list[int]:
    """Open cases of these numbers that do not point at the earliest of their open steps, or have no letter."""
    return list(session.scalars(_BROKEN, {"after_id": after_id, "until_id": until_id}))


def _give_step(session: Session, case: Case, *, now: datetime) -> bool:
    steps = stepping.open_of(session, case.id)
    if not steps:
        directory = directories.load(session, now=now)
        promise = opening.promise_first_answer(session, directory, case, now=now)
        journal.record(
            session,
            case_id=case.id,
            kind=Kind.PROMISE_GIVEN,
            channel=Channel.SYSTEM,
            actor=Actor.SYSTEM,
            now=now,
            facts=promising.promise_facts(directory, promise),
        )
        settling.settle(session, case, now=now, steps=[promise])
        writing.tell_promise(session, directory, case, promise, key=f"promise_given:{promise.id}", now=now)
    elif case.step is not steps[0]:
        settling.settle(session, case, now=now)
    else:
        return False
    return True


def _move_passed(session: Session, case: Case, *, now: datetime) -> bool:
    """Whatever the hour: the status page tells the new date at once, the letter waits for its hours."""
    late = [step for step in promises.open_of(session, case.id) if step.due_at <= now - GRACE]
    if not late:
        return False
    if any(step.waiting is None for step in late):
        delaying.give_notice(session, case, now=now)
    else:
        waiting.go_on(session, case, now=now)
    if case.state == CaseState.OPEN and any(step.due_at <= now for step in promises.open_of(session, case.id)):
        raise StillPassed
    return True


def _ask_outcome(session: Session, case: Case, *, now: datetime) -> bool:
    booked = appointments.booked_of(session, case.id)
    if booked is None or not appointments.counts(booked) or booked.outcome_due_at > now - GRACE:
        return False
    passing.outcome_due(session, case, now=now)
    return True


def _write_letter(session: Session, case: Case, *, now: datetime) -> bool:
    written = set(session.scalars(select(Letter.audience).where(Letter.case_id == case.id)))
    if Audience.CUSTOMER in written or not case.customer.email or case.state != CaseState.OPEN:
        return False
    directory = directories.load(session, now=now)
    step = stepping.open_of(session, case.id)[0]
    opening.confirm(session, directory, case, step, key=f"{LetterKind.CONFIRMATION}:{case.id}", now=now)
    if not written:
        key = f"{LetterKind.STAFF_NEW_CASE}:{case.id}"
        writing.to_staff(session, directory, case, LetterKind.STAFF_NEW_CASE, key=key, step=step, now=now)
    return True


def _count(session: Session, found: Mapping[Disorder, int], *, now: datetime) -> None:
    hour = now.replace(minute=0, second=0, microsecond=0)
    for disorder, count in found.items():
        if count:
            limits.add(session, f"disorder:{disorder}", hour, count)
