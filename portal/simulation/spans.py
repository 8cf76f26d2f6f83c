"""Spans of time, from inclusive and until exclusive: joined, cut with one another, taken from one another. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta

Spans = list[tuple[datetime, datetime]]


def joined(spans: Iterable[tuple[datetime, datetime]]) -> Spans:
    """The same time in order, nothing twice, nothing empty."""
    whole: Spans = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if whole and start <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(whole[-1][1], end))
        else:
            whole.append((start, end))
    return whole


def both(these: Spans, those: Spans) -> Spans:
    """The time in both."""
    return joined(
        (max(start, other_start), min(end, other_end)) for start, end in these for other_start, other_end in those
    )


def without(these: Spans, those: Spans) -> Spans:
    """The time in the first and not in the second."""
    left: Spans = []
    gaps = joined(those)
    for start, end in joined(these):
        for gap_start, gap_end in gaps:
            if gap_end <= start or gap_start >= end:
                continue
            if start < gap_start:
                left.append((start, gap_start))
            start = max(start, gap_end)
        if start < end:
            left.append((start, end))
    return left


def minutes(spans: Spans) -> float:
    """How long they are together."""
    return sum((end - start for start, end in spans), timedelta()).total_seconds() / 60


def holds(spans: Spans, at: datetime) -> bool:
    """Whether the instant lies in one of them."""
    return any(start <= at < end for start, end in spans)
