"""The clock: the one place that asks what time it is.

Pages and worker steps read it once and hand the instant on as ``now``; the domain never asks. A simulation drives it
(``drive``); everybody calls ``clock.utc_now()`` through this module, so nobody notices.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

_driven: Callable[[], datetime] | None = None


def utc_now() -> datetime:
    """The present instant, aware and in UTC."""
    return datetime.now(UTC) if _driven is None else _driven()


@contextmanager
def drive(source: Callable[[], datetime]) -> Iterator[None]:
    """For the whole process and the length of the block, ``source`` says what time it is, in UTC."""
    global _driven
    before, _driven = _driven, source
    try:
        yield
    finally:
        _driven = before
