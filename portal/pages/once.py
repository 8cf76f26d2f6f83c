"""A POST that is accepted once, however often it arrives."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal import db

T = TypeVar("T")


def accepted_once(step: Callable[[Session], T], *, again: Callable[[Session], T] | None = None) -> T:
    """Run ``step`` in a writing transaction, and once more (or ``again``) if another request with its key was first.

    The second run finds what the first request kept. Raises IntegrityError when it fails again: no double click does.
    """
    try:
        with db.transaction() as session:
            return step(session)
    except IntegrityError:
        with db.transaction() as session:
            return (again or step)(session)
