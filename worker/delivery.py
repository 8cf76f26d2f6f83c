"""Delivering letters: claim, send, note the outcome; three short transactions, the sending between them in none."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from portal import clock, config, db
from portal.cases import settling, undelivered
from portal.mail import outbox
from portal.mail.message import UnsafeHeader, ascii_address
from portal.mail.models import LetterState
from portal.mail.outbox import Claimed
from portal.mail.transport import ChannelFault, Refused, Relay, TryLater
from worker.jumps import Jumps

log = structlog.get_logger(__name__)

PAUSE_BEFORE_NOTING_AGAIN = 0.5


class _Unsendable(Exception):
    """SMTP cannot carry the recipient's address; the relay is not asked."""


class Delivery:
    """The step that sends the next due letter over a connection it keeps."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        # Whoever starts a worker has often just mended the channel: the first letter that leaves says so.
        self._faulty = True

    def __call__(self) -> bool:
        """Send one letter; False if none was due."""
        lease = config.current().mail_lease
        with db.writing() as session:
            claimed = outbox.claim(session, now=clock.utc_now(), lease=timedelta(seconds=lease))
        if claimed is None:
            return False
        lease_ends_at = time.monotonic() + lease
        try:
            sent = self._send(claimed)
        except (Refused, _Unsendable) as fault:
            _died(claimed, str(fault))
        except TryLater as fault:
            _again(claimed, str(fault))
        except (ChannelFault, UnsafeHeader) as fault:  # the header is our sender's, the same in all letters
            self._faulty = True
            _pause(claimed, str(fault))
        except Exception as fault:
            # A fault of ours counts on this letter alone; unnoted, it would come back first with every lease.
            _again(claimed, f"a fault of ours ({type(fault).__name__})")
            raise
        else:
            # The very next statement after the 250: what comes between could only send the letter twice.
            _note_for_sure(claimed, sent, until=lease_ends_at)
            self._over()
        return True

    def _send(self, claimed: Claimed) -> bool:
        try:
            recipient = ascii_address(claimed.to_address, "recipient")
        except UnsafeHeader as fault:
            raise _Unsendable(str(fault)) from None
        return self._relay.send(
            message=claimed.message,
            sender=config.current().mail_default_sender,
            recipient=recipient,
            before_data=lambda: _may_send(claimed),
        )

    def close(self) -> None:
        """Say goodbye to the relay."""
        self._relay.close()

    def _over(self) -> None:
        if self._faulty:
            with db.writing() as session:
                outbox.channel_works(session)
            self._faulty = False


class ReturnExpired:
    """The step that puts back letters whose worker died or hung."""

    def __init__(self, jumps: Jumps | None = None) -> None:
        self._jumps = jumps

    def __call__(self) -> bool:
        """Put back all; not for the length of a lease after the clock was set: one that seems over may not be."""
        with db.looking() as connection:
            if not outbox.has_expired(connection, now=clock.utc_now()):
                return False
        if self._jumps is not None and not self._jumps.is_settled(config.current().mail_lease):
            return False
        with db.writing() as session:
            count = outbox.return_expired(session, now=clock.utc_now(), base=config.current().mail_retry_base)
        log.warning("leases ran out", letters=count)
        return count > 0


def _may_send(claimed: Claimed) -> bool:
    with db.reading() as session:
        return outbox.may_send(session, claimed, now=clock.utc_now())


def _note_for_sure(claimed: Claimed, sent: bool, *, until: float) -> None:
    """Note what only we know: a database that is away for a moment must not send the letter twice.

    ``until`` is the end of the lease on the monotonic clock. Raises SQLAlchemyError when the database stays away.
    """
    while True:
        try:
            return _note(claimed, sent)
        except SQLAlchemyError as fault:
            if time.monotonic() > until:
                raise
            log.error("outcome not noted yet", letter=claimed.id, fault=type(fault).__name__)
            time.sleep(PAUSE_BEFORE_NOTING_AGAIN)


def _note(claimed: Claimed, sent: bool) -> None:
    with db.writing() as session:
        noted = (outbox.mark_sent if sent else outbox.drop)(session, claimed, now=clock.utc_now())
    if not noted:
        _lease_lost(claimed)


def _died(claimed: Claimed, reason: str) -> None:
    state = _note_fault(claimed, lambda session, now: outbox.fail(session, claimed, reason, now=now))
    _say_state(claimed, state, reason, dead="letter refused")


def _again(claimed: Claimed, reason: str) -> None:
    base = config.current().mail_retry_base
    state = _note_fault(claimed, lambda session, now: outbox.retry(session, claimed, reason, now=now, base=base))
    _say_state(claimed, state, reason, dead="letter given up")


def _note_fault(claimed: Claimed, note: Callable[[Session, datetime], LetterState | None]) -> LetterState | None:
    """Note why the letter did not leave, and tell its case if it died of that. Returns what it is now."""
    now = clock.utc_now()
    with db.writing() as session:
        settling.hold_case_of(session, claimed.id)
        state = note(session, now)
        if state == LetterState.FAILED:
            undelivered.letter_died(session, claimed.id, now=now)
    return state


def _say_state(claimed: Claimed, state: LetterState | None, reason: str, *, dead: str) -> None:
    if state is None:
        _lease_lost(claimed)
    elif state == LetterState.FAILED:
        log.warning(dead, letter=claimed.id, reason=reason)
    elif state == LetterState.QUEUED:
        log.info("letter will be tried again", letter=claimed.id, reason=reason)


def _pause(claimed: Claimed, reason: str) -> None:
    base = config.current().mail_retry_base
    state = _note_fault(
        claimed, lambda session, now: outbox.pause_channel(session, claimed, reason, now=now, base=base)
    )
    log.error("mail channel paused", reason=reason)
    if state != LetterState.QUEUED:
        _say_state(claimed, state, reason, dead="letter given up")


def _lease_lost(claimed: Claimed) -> None:
    """Another worker has the letter, and its word counts; ours changed nothing."""
    log.warning("lease lost", letter=claimed.id)
