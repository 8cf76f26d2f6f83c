"""Asking the virus scanner: take a file, scan it with no transaction open, note what was said.

A scanner that is away, or says anything but yes or no, leaves a file pending.
"""

from datetime import datetime, timedelta

import structlog

from portal import clock, config, db
from portal.journal import clamd, files
from portal.journal.models import Scan

log = structlog.get_logger(__name__)

LEASE = timedelta(minutes=2)
"""For how long nobody else takes a file; also, how soon it is tried again."""
PAUSE = timedelta(minutes=1)
"""How long a scanner that failed is left alone."""


class Scanning:
    """The step that has the next file scanned."""

    def __init__(self) -> None:
        self._not_before: datetime | None = None

    def __call__(self) -> bool:
        """Have one file scanned; False where none waits, there is no scanner, or it failed a moment ago."""
        address, now = config.current().clamd, clock.utc_now()
        if address is None or self._pauses(now):
            return False
        with db.looking() as connection:
            if not files.has_to_scan(connection, now=now, lease=LEASE):
                return False
        with db.writing() as session:
            file_id = files.next_to_scan(session, now=now, lease=LEASE)
            data = None if file_id is None else files.data_of(session, file_id)
        if file_id is None or data is None:
            return False
        try:
            with data:
                outcome = clamd.scan(address, data)
        except (OSError, clamd.NoAnswer) as fault:
            self._not_before = now + PAUSE
            log.warning("file not scanned", reason=type(fault).__name__)
            return False
        with db.writing() as session:
            files.note_scan(session, file_id, outcome)
        if outcome is Scan.INFECTED:
            log.warning("file held back, the scanner found something", file=file_id)
        return True

    def _pauses(self, now: datetime) -> bool:
        """Whether the scanner failed a moment ago; for no longer, should the clock be set back."""
        return self._not_before is not None and now < self._not_before <= now + PAUSE
