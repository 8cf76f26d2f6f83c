"""Spans of time: joined, cut, measured."""

from collections.abc import Iterable
from datetime import datetime

Span = tuple[datetime, datetime]


def joined(spans: Iterable[Span]) -> list[Span]:
    """The same time in spans that neither touch nor overlap, earliest first."""
    found: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def without(span: Span, taken: Iterable[Span]) -> list[Span]:
    """What is left of a span."""
    left, start = [], span[0]
    for one, other in joined(taken):
        if one > start:
            left.append((start, min(one, span[1])))
        start = max(start, other)
    left.append((start, span[1]))
    return [(one, other) for one, other in left if one < other]


def cut(span: Span, others: Iterable[Span]) -> list[Span]:
    """What of a span lies in the others."""
    found = ((max(span[0], one), min(span[1], other)) for one, other in joined(others))
    return [(one, other) for one, other in found if one < other]


def within(at: datetime, spans: Iterable[Span]) -> bool:
    """Whether an instant lies in one of the spans."""
    return any(start <= at < end for start, end in spans)
