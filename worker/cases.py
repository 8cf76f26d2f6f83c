"""Steps that concern a case: answer a wish for the link, erase what is due, forget what is over."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import select

from portal import clock, config, db, limits
from portal.cases import erasing, linking, submissions
from portal.cases.models import Case, LinkWish
from portal.cases.sparing import spared
from portal.journal import files
from worker.loop import GOES_ON

FORGET_EVERY = timedelta(hours=1)
_WISH = select(LinkWish.id).limit(1)


def answer_link_wish() -> bool:
    """Send the links of one mailbox that somebody asked for."""
    with db.looking() as connection:
        if connection.execute(_WISH).first() is None:
            return False
    with db.writing() as session:
        return linking.answer_wish(session, now=clock.utc_now())


class Erasing:
    """Erases one case whose date has come, in the firm's own day; one that fails is tried again the next day."""

    def __init__(self) -> None:
        self._day: date | None = None
        self._failed: set[int] = set()
        self._log_is_emptied = False  # whoever worked before may have been killed in between

    def __call__(self) -> int:
        """Erase one; how many, GOES_ON where one failed, 0 where none is left and no file holds what was erased."""
        now = clock.utc_now()
        today = now.astimezone(ZoneInfo(config.current().timezone)).date()
        if today != self._day:
            self._day, self._failed = today, set()
        # The look before it takes no lock: PostgreSQL refuses FOR UPDATE where nothing may be written.
        due = select(Case.id).where(erasing.is_due(today))
        with db.looking() as connection:
            is_due = connection.execute(due.where(Case.id.not_in(self._failed)).limit(1)).first() is not None
        if not is_due:
            self._log_is_emptied = self._log_is_emptied or db.empty_log()
            return 0
        with db.writing() as session:
            case = erasing.next_to_erase(session, today=today, but=self._failed)
            if case is None:
                return 0
            case_id = case.id
            if not spared(
                session, lambda: erasing.carry_out(session, case, now=now), failed="not erased", case=case_id
            ):
                self._failed.add(case_id)
                return GOES_ON
        self._log_is_emptied = False
        return 1


def erase_all_due() -> tuple[int, int]:
    """Erase everything whose date has come; how many cases were erased, and how many could not be."""
    erase, erased, failed = Erasing(), 0, 0
    while (done := erase()) != 0:
        erased, failed = (erased, failed + 1) if done == GOES_ON else (erased + done, failed)
    return erased, failed


class Forgetting:
    """Once an hour, delete counters, form keys and held files that mean nothing any more."""

    def __init__(self) -> None:
        self._next_at: datetime | None = None

    def __call__(self) -> bool:
        """Forget, if an hour has passed or the clock was set back; never more than once a round."""
        now = clock.utc_now()
        if self._next_at is not None and self._next_at - FORGET_EVERY <= now < self._next_at:
            return False
        with db.writing() as session:
            limits.forget(session, now=now)
            submissions.forget(session, now=now)
            files.forget(session, now=now)
        self._next_at = now + FORGET_EVERY
        return True
