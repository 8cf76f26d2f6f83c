"""A fault of ours in one item of the worker keeps no other item waiting."""

import traceback
from collections.abc import Callable

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

log = structlog.get_logger(__name__)


AWAY = (OperationalError, InterfaceError)
"""A database that is away or busy: no fault of the item."""


def spared(session: Session, step: Callable[[], None], *, failed: str, **ids: int) -> bool:
    """Do ``step``; if it raises, take back what it wrote, log ``failed`` with the ids, and say False.

    Faults of AWAY are raised on.
    """
    try:
        with session.begin_nested():
            step()
    except AWAY:
        raise
    except Exception as fault:
        tell(fault, failed=failed, **ids)
        return False
    return True


def tell(fault: Exception, *, failed: str, **ids: int) -> None:
    """Log the kind of the fault and its line, never its words: those of the database quote what was to be stored."""
    line = traceback.extract_tb(fault.__traceback__)[-1]
    log.error(failed, fault=type(fault).__name__, where=f"{line.filename}:{line.lineno}", **ids)
