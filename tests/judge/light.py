"""Law 1 as a customer feels it: when no step ahead was told, and which dates passed without a word."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from tests.judge.evidence import Story
from tests.judge.spans import Span, joined, within, without
from tests.judge.timeline import CLOSED, GONE, KEPT, Stretch

FRESH = timedelta(minutes=15)
"""So long the page alone tells a step, while its letter is on its way."""
ON_TIME = timedelta(minutes=1)
"""What is done within a minute of its date is done on that date."""


@dataclass(frozen=True)
class Outages:
    """When nothing worked and when no letter left, each until things had time to get going again."""

    off: list[Span]
    down: list[Span]


@dataclass
class Seen:
    """What one customer was told: the page at every moment, and the letters."""

    story: Story
    pages: list[Stretch]
    refuses: datetime | None
    """Since when the mailbox takes no letter."""
    outages: Outages
    end: datetime

    @cached_property
    def letters(self) -> dict[datetime, datetime]:
        """Each date and when the first letter that names it was there."""
        found: dict[datetime, datetime] = {}
        for arrival in sorted(self.story.arrivals, key=lambda one: one.at):
            for step in arrival.steps:
                found.setdefault(step, arrival.at)
        return found

    @cached_property
    def shown(self) -> list[dict[datetime, datetime]]:
        """For each stretch: its dates, each with the moment since when the page has said it."""
        found: list[dict[datetime, datetime]] = []
        for page in self.pages:
            before = found[-1] if found else {}
            found.append({step: before.get(step, page.start) for step in page.steps})
        return found

    def is_closed(self, at: datetime) -> bool:
        """Whether the page says that the case is closed."""
        page = self.page_at(at)
        return page is not None and page.closed

    def page_at(self, at: datetime) -> Stretch | None:
        """The page at a moment; None before the form."""
        return next((page for page in self.pages if page.start <= at < page.end), None)

    def told(self, step: datetime, since: datetime) -> list[Span]:
        """When a step that the page says ``since`` then counted as told and lay ahead."""
        spans = [(since, since + FRESH), *self.outages.down]
        if step in self.letters:
            spans.append((self.letters[step], self.end))
        if self.refuses is not None:
            spans.append((self.refuses, self.end))
        return [(start, min(end, step)) for start, end in spans]


def dark(seen: Seen) -> Iterator[Span]:
    """The times in which the case was open and no step ahead had been told.

    A page that nobody saw may have said any step: in doubt that of a letter, or one that lies beyond the end.
    """
    found: list[Span] = []
    for page, shown in zip(seen.pages, seen.shown, strict=True):
        if not page.closed:
            steps = shown if page.known else dict.fromkeys([*seen.letters, seen.end], page.start)
            lit = (span for step, since in steps.items() for span in seen.told(step, since))
            found += without((page.start, min(page.end, seen.end)), lit)
    yield from joined(found)


def lapsed(seen: Seen) -> Iterator[tuple[datetime, str, str]]:
    """Every date that passed in silence: when, under which figure, and why."""
    dates = {step for page in seen.pages for step in page.steps} | set(seen.letters)
    for date in sorted(date for date in dates if seen.story.opened < date < seen.end):
        page = seen.page_at(date - timedelta(seconds=1))
        if page is None or page.closed or not (why := _passed(seen, date)):
            continue
        ahead = any(step > date for step in _shown_at(seen, date))
        if within(date, seen.outages.off):
            yield date, "promises_lapsed_while_off", f"{why}; the system was off"
        elif ahead and _out_of_reach(seen, date):
            yield date, "promises_lapsed_while_off", f"{why}; the mailbox was out of reach, the page says a step"
        else:
            yield date, "promises_lapsed_in_silence", why


def _passed(seen: Seen, date: datetime) -> str:
    """Why a date passed in silence; empty if it was kept, needed no longer, or a newer one told in time."""
    if _is_open(seen, date):
        return "still promised"
    gone = max((page.end for page in seen.pages if date in page.steps and page.start < date), default=None)
    if _is_resolved(seen, date) or (gone is not None and seen.letters.get(date, gone) > gone):
        return ""
    if gone is not None and date not in seen.letters:
        return ""  # moved before any letter told it
    newer = (step for step in _shown_at(seen, date) if step > date)
    return "" if any(seen.letters.get(step, seen.end) <= date for step in newer) else "moved, and no letter said so"


def _is_open(seen: Seen, date: datetime) -> bool:
    """Whether the page goes on naming a date as promised when it has passed."""
    page = seen.page_at(date - timedelta(seconds=1))
    return page is not None and date in page.steps and page.end > date + ON_TIME


def _is_resolved(seen: Seen, date: datetime) -> bool:
    """Whether what was promised for a date was kept, was no longer needed, or ended on time with the case."""
    last = max((page.start for page in seen.pages if date in page.steps and page.start < date), default=None)
    since = last if last is not None else seen.letters[date]
    return any(
        KEPT.match(line) or GONE.match(line) or CLOSED.search(line)
        for page in seen.pages
        if since < page.start <= date + ON_TIME
        for line in page.lines
    )


def _shown_at(seen: Seen, date: datetime) -> dict[datetime, datetime]:
    return next(
        (shown for page, shown in zip(seen.pages, seen.shown, strict=True) if page.start <= date < page.end), {}
    )


def _out_of_reach(seen: Seen, date: datetime) -> bool:
    return (seen.refuses is not None and seen.refuses <= date) or within(date, seen.outages.down)
