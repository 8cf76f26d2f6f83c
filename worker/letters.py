"""Steps that keep waiting letters true: what waited past the day it was written on is written anew."""

from portal import clock, db
from portal.cases import renewing, settling
from portal.mail import outbox


def renew_letter() -> bool:
    """Write one letter anew, or drop it; False where every letter that is due is still true."""
    now = clock.utc_now()
    with db.looking() as connection:
        if outbox.next_outdated(connection, now=now) is None:
            return False
    with db.writing() as session:
        letter_id = outbox.outdated(session, now=now)
        if letter_id is not None:
            settling.hold_case_of(session, letter_id)
            renewing.renew(session, letter_id, now=now)
    return letter_id is not None
