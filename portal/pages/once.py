"""A POST that is accepted once, however often it arrives."""

import time
from collections.abc import Callable
from typing import TypeVar

from flask import current_app
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from portal import db
from portal.journal.files import NoLongerHeld
from portal.pages.uploads import OverQuota

T = TypeVar("T")

LOOK_FOR = 5.0
"""Seconds to wait for a database that went away in the middle of a COMMIT; then the visitor is asked to try again."""
PAUSE = 0.2


def accepted_once(step: Callable[[Session], T], *, again: Callable[[Session], T] | None = None) -> T:
    """Run ``step`` in a writing transaction, and once more (or ``again``) if another request with its key was first.

    The second run finds what the first request kept. So it does where the connection was lost during COMMIT and nobody
    knows whether it was carried out: the key tells, once the database is back. Raises IntegrityError, NoLongerHeld or
    OverQuota when it fails again: no double click does. Raises OperationalError when the database is, or stays, out of
    reach.
    """
    keyed = False
    try:
        with db.transaction() as session:
            answer = step(session)
            keyed = "keyed" in session.info
        return answer
    except (IntegrityError, NoLongerHeld, OverQuota):  # the other request may have taken the files, or the last room
        with db.transaction() as session:
            return (again or step)(session)
    except OperationalError as fault:
        # Only a step that left its key may run again; one without would be done twice.
        if not keyed or not fault.connection_invalidated:
            raise
    current_app.logger.warning("connection lost during COMMIT: looking the key up")
    return _looked_up(again or step)


def _looked_up(step: Callable[[Session], T]) -> T:
    """Run the step as soon as the database is back: it finds what was kept, or keeps it now."""
    end = time.monotonic() + LOOK_FOR
    while True:
        try:
            with db.transaction() as session:
                return step(session)
        except (OperationalError, IntegrityError):  # still away; or the lost COMMIT was carried out this very moment
            if time.monotonic() > end:
                raise
            time.sleep(PAUSE)
