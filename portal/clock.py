"""The clock: the one place that asks what time it is.

Pages and worker steps read it once and hand the instant on as ``now``; the domain never asks.
"""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present instant, aware and in UTC."""
    return datetime.now(UTC)
