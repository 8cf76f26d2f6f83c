"""What the database says about letters; needs an application context."""

from contextlib import suppress

from sqlalchemy import select, update

from portal import clock, db
from portal.journal.models import Entry, Kind
from portal.mail import outbox
from portal.mail.models import Audience, Letter, LetterState, MailChannel
from portal.promises import service as promises
from portal.promises.models import Promise
from tests.support.processes import wait_until
from worker.delivery import Delivery

ENDED = (LetterState.SENT, LetterState.FAILED, LetterState.WITHDRAWN)
PATIENCE = 30.0


def letters(case_id: int) -> list[Letter]:
    """The letters of a case, oldest first."""
    with db.reading() as session:
        return list(session.scalars(select(Letter).where(Letter.case_id == case_id).order_by(Letter.id)))


def to_customer(case_id: int) -> Letter:
    """The customer's first letter."""
    return next(letter for letter in letters(case_id) if letter.audience == Audience.CUSTOMER)


def to_colleague(case_id: int) -> Letter:
    """The colleague's first letter."""
    return next(letter for letter in letters(case_id) if letter.audience == Audience.STAFF)


def have_ended(case_id: int) -> bool:
    """Whether no letter of the case waits any more."""
    return all(letter.state in ENDED for letter in letters(case_id))


def deliver_all(deliver: Delivery, case_id: int) -> None:
    """Deliver until no letter of the case waits, however often that takes."""

    def done() -> bool:
        deliver()
        return have_ended(case_id)

    wait_until(done, PATIENCE, "letters still wait")


def try_all(deliver: Delivery, case_id: int) -> None:
    """The same with a step that breaks now and then, as the loop does it."""

    def done() -> bool:
        with suppress(RuntimeError):
            deliver()
        return have_ended(case_id)

    wait_until(done, PATIENCE, "letters still wait")


def change(letter: Letter, **values: object) -> None:
    """Change a letter's row behind everybody's back."""
    with db.writing() as session:
        session.execute(update(Letter).where(Letter.id == letter.id).values(**values))


def open_promises(case_id: int) -> list[Promise]:
    """The open promises of a case, the next one first."""
    with db.reading() as session:
        return promises.open_of(session, case_id)


def noted(case_id: int, kind: Kind) -> int:
    """How many entries of a kind the case's journal has."""
    with db.reading() as session:
        return len(session.scalars(select(Entry.id).where(Entry.case_id == case_id, Entry.kind == kind)).all())


def channel() -> MailChannel | None:
    """The state of the way out."""
    with db.reading() as session:
        return outbox.channel(session)


def end_pause() -> None:
    """The channel's pause is over."""
    with db.writing() as session:
        session.execute(update(MailChannel).values(paused_until=clock.utc_now()))
