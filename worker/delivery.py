"""Delivering letters: claim, send, note the outcome; three short transactions, the sending between them in none."""

from datetime import timedelta

import structlog

from portal import clock, config, db
from portal.cases import undelivered
from portal.mail import outbox
from portal.mail.outbox import Claimed
from portal.mail.transport import ChannelFault, Refused, Relay, TryLater

log = structlog.get_logger(__name__)


class Delivery:
    """The step that sends the next due letter over a connection it keeps."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._faulty = False

    def __call__(self) -> bool:
        """Send one letter; False if none was due."""
        settings = config.current()
        with db.writing() as session:
            claimed = outbox.claim(session, now=clock.utc_now(), lease=timedelta(seconds=settings.mail_lease))
        if claimed is None:
            return False
        try:
            sent = self._relay.send(
                message=claimed.message,
                sender=settings.mail_default_sender,
                recipient=claimed.to_address,
                before_data=lambda: _may_send(claimed),
            )
        except Refused as fault:
            _died(claimed, f"{fault.code}")
        except TryLater as fault:
            _again(claimed, str(fault))
        except ChannelFault as fault:
            self._faulty = True
            _pause(claimed, str(fault))
        else:
            # The very next statement after the 250: what comes between could only send the letter twice.
            _note(claimed, sent)
            self._over()
        return True

    def close(self) -> None:
        """Say goodbye to the relay."""
        self._relay.close()

    def _over(self) -> None:
        if self._faulty:
            with db.writing() as session:
                outbox.channel_works(session)
            self._faulty = False


def return_expired() -> bool:
    """Put back letters whose worker died or hung."""
    with db.reading() as session:
        if not outbox.has_expired(session, now=clock.utc_now()):
            return False
    with db.writing() as session:
        count = outbox.return_expired(session, now=clock.utc_now(), base=config.current().mail_retry_base)
    log.warning("leases ran out", letters=count)
    return count > 0


def _may_send(claimed: Claimed) -> bool:
    with db.reading() as session:
        return outbox.may_send(session, claimed, now=clock.utc_now())


def _note(claimed: Claimed, sent: bool) -> None:
    with db.writing() as session:
        noted = (outbox.mark_sent if sent else outbox.drop)(session, claimed, now=clock.utc_now())
    if not noted:
        log.warning("lease lost", letter=claimed.id)


def _died(claimed: Claimed, reason: str) -> None:
    now = clock.utc_now()
    with db.writing() as session:
        if outbox.fail(session, claimed, reason, now=now):
            undelivered.letter_died(session, claimed.id, now=now)
    log.warning("letter refused", letter=claimed.id, reason=reason)


def _again(claimed: Claimed, reason: str) -> None:
    now = clock.utc_now()
    with db.writing() as session:
        again = outbox.retry(session, claimed, reason, now=now, base=config.current().mail_retry_base)
        if not again and outbox.fail(session, claimed, reason, now=now):
            undelivered.letter_died(session, claimed.id, now=now)
    log.info("letter will be tried again" if again else "letter given up", letter=claimed.id, reason=reason)


def _pause(claimed: Claimed, reason: str) -> None:
    with db.writing() as session:
        outbox.pause_channel(session, claimed, reason, now=clock.utc_now(), base=config.current().mail_retry_base)
    log.error("mail channel paused", reason=reason)
