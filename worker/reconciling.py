"""The step that looks once a minute for what must not be (``cases/reconciling``), mends it and alarms."""

from datetime import datetime, timedelta

import structlog

from portal import clock, config, db
from portal.cases import reconciling, sparing
from portal.cases.models import Case
from portal.cases.reconciling import Disorder
from worker.jumps import Jumps

log = structlog.get_logger(__name__)

EVERY = timedelta(seconds=60)
PUT_OFF = timedelta(hours=1)
"""How long a case waits that could not be mended."""


class Reconciling:
    """Looks, mends and counts; several workers may, and each disorder is mended once."""

    def __init__(self, jumps: Jumps | None = None) -> None:
        self._jumps = jumps
        self._next_at: datetime | None = None
        self._after_id = 0
        self._put_off: dict[int, datetime] = {}

    def __call__(self) -> int:
        """Look, if a minute has passed or the clock was set back; how much was mended, which should be nothing."""
        now = clock.utc_now()
        if self._next_at is not None and self._next_at - EVERY <= now < self._next_at:
            return 0
        self._next_at = now + self._pause()
        return self._letters(now) + self._cases(now)

    def _pause(self) -> timedelta:
        """How long until the next look: what was on its way when the clock was set is still noted by the old one."""
        lease = config.current().mail_lease
        settled = self._jumps is None or self._jumps.is_settled(lease)
        return EVERY if settled else min(EVERY, timedelta(seconds=lease))

    def _cases(self, now: datetime) -> int:
        with db.reading() as session:
            found = reconciling.look(session, now=now, after_id=self._after_id)
        self._after_id = found.after_id
        self._put_off = {case: until for case, until in self._put_off.items() if now < until <= now + PUT_OFF}
        return sum(self._mended(case_id, now) for case_id in found.case_ids if case_id not in self._put_off)

    def _mended(self, case_id: int, now: datetime) -> int:
        try:
            with db.writing() as session:
                found = reconciling.mend(session, session.get_one(Case, case_id), now=now)
        except sparing.AWAY:
            raise
        except Exception as fault:
            sparing.tell(fault, failed="disorder not mended", case=case_id)
            found = []
        for disorder in found:
            log.error("disorder mended", disorder=disorder.value, case=case_id)
        if not found:  # or another worker was first
            self._put_off[case_id] = now + PUT_OFF
        return len(found)

    def _letters(self, now: datetime) -> int:
        settings, jumps = config.current(), self._jumps
        known = jumps is not None and jumps.has_measured(settings.mail_lease)
        lease = timedelta(seconds=settings.mail_lease) if known else None
        with db.reading() as session:
            expired = reconciling.has_expired(session, now=now)
            ahead = reconciling.ahead(session, now=now, lease=lease)
        if expired and jumps is not None:
            expired = jumps.is_settled(settings.mail_lease)
        if not expired and not ahead:
            return 0
        with db.writing() as session:
            base = settings.mail_retry_base
            returned = reconciling.return_leases(session, now=now, base=base) if expired else 0
            late = reconciling.catch_up(session, now=now, lease=lease) if ahead else 0
        for disorder, count in ((Disorder.LEASE, returned), (Disorder.CLOCK, late)):
            if count:
                log.error("disorder mended", disorder=disorder.value, letters=count)
        return returned + late
