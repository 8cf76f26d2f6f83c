"""The step that hands entries in doubt which nobody looked at in time to the lead."""

from datetime import datetime

from portal import clock, db
from portal.cases import settling, sparing, unread
from worker.loop import GOES_ON
from worker.promises import PUT_OFF


class EscalateUnread:
    """Escalates one entry; one that breaks is tried again later, and keeps no other waiting."""

    def __init__(self) -> None:
        self._put_off: dict[int, datetime] = {}

    def __call__(self) -> int:
        """Escalate one; how many, GOES_ON where one failed, 0 where none is due."""
        now = clock.utc_now()
        # Not for longer than that either, should the clock be set back.
        self._put_off = {case: until for case, until in self._put_off.items() if now < until <= now + PUT_OFF}
        due = {"now": now, "but": list(self._put_off)}
        # The look before it takes no lock: PostgreSQL refuses FOR UPDATE where nothing may be written.
        with db.looking() as connection:
            if connection.execute(unread.ANY, due).first() is None:
                return 0
        taken: list[int] = []
        try:
            with db.writing() as session:
                for case in settling.take(session, unread.NEXT, due):
                    taken.append(case.id)
                    unread.escalate(session, case, now=now)
        except sparing.AWAY:
            raise
        except Exception as fault:  # of the commit too: there the database looks at some keys
            if not taken:
                raise
            sparing.tell(fault, failed="not escalated", case=taken[0])
            self._put_off[taken[0]] = now + PUT_OFF
            return GOES_ON
        return len(taken)
