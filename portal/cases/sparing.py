"""A fault of ours in one item of the worker keeps no other item waiting."""

import traceback
from collections.abc import Callable

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

log = structlog.get_logger(__name__)


def spared(session: Session, step: Callable[[], None], *, failed: str, **ids: int) -> bool:
    """Do ``step``; if it raises, take back what it wrote, log ``failed`` with the ids, and say False.

    The log gets the kind of the fault and its line, never its words: those of the database quote what was to be stored.
    A database that is away or busy is no fault of the item: OperationalError and InterfaceError are raised on.
    """
    try:
        with session.begin_nested():
            step()
    except (OperationalError, InterfaceError):
        raise
    except Exception as fault:
        line = traceback.extract_tb(fault.__traceback__)[-1]
        log.error(failed, fault=type(fault).__name__, where=f"{line.filename}:{line.lineno}", **ids)
        return False
    return True
