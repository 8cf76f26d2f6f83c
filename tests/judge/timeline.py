"""What a case's page said at every moment, put together from the pages that were fetched and from its history."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.judge.dates import moments
from tests.judge.evidence import Fetch, Story
from tests.judge.reading import Line
from tests.judge.spans import Span

KEPT = re.compile(r"^(?:Zusage eingehalten|Promise kept)")
MOVED = re.compile(r"^(?:Neues Datum|Datum verschoben|Date moved)")
GIVEN = re.compile(r"^(?:Zugesagt|Datum zugesagt|Promised|Date promised)")
GONE = re.compile(r"^(?:Zusage hat sich erledigt|Date no longer needed)")
CLOSED = re.compile(r"abgeschlossen|^Closed|^Abgeschlossen")
ANNOUNCED = re.compile(r"^(?:Abschluss angekündigt|Closing announced)")
ASKED_AGAIN = re.compile(r"^(?:Wir haben Sie noch einmal gefragt|We asked you again)")
REOPENED = re.compile(r"wieder geöffnet|^Wieder geöffnet|^Reopened")

ONE_SECOND = timedelta(seconds=1)
UNSEEN = timedelta(days=3650)
"""So far ahead is put what a page promised that nobody saw: a date of its own that is never waited for."""


@dataclass(frozen=True)
class Stretch:
    """From one change of the page to the next."""

    start: datetime
    end: datetime
    steps: frozenset[datetime]
    closed: bool
    lines: tuple[str, ...]
    """What the history says of the change at its start."""
    known: bool = True
    """False where nobody saw the page and nothing else tells what it said."""


def stretches(story: Story, end: datetime, final_at: datetime) -> list[Stretch]:
    """The page from the form to the end, without gaps.

    The page is the same from one line of its history to the next; what a fetch in between shows holds for all of it.
    Where none was made, the history itself says which dates came and how many went.
    """
    changes: dict[datetime, list[str]] = {story.opened: []}
    for line in story.lines:
        changes.setdefault(max(line.at, story.opened), []).append(line.sentence)
    starts = sorted(changes)
    fetched: dict[int, list[Fetch]] = {}
    for fetch in sorted(story.fetches, key=lambda one: one.at):
        fetched.setdefault(max(bisect_right(starts, fetch.newest) - 1, 0), []).append(fetch)
    found: list[Stretch] = []
    for number, start in enumerate(starts):
        until = starts[number + 1] if number + 1 < len(starts) else end
        before = found[-1] if found else None
        lines = tuple(changes[start])
        seen = fetched.get(number)
        if seen:
            found += _seen(seen, start, until, lines)
        else:
            found.append(_told_by(story, lines, before, (start, until), final_at))
    return [stretch for stretch in found if stretch.start < stretch.end]


def _seen(fetches: list[Fetch], start: datetime, until: datetime, lines: tuple[str, ...]) -> Iterator[Stretch]:
    """One stretch, or several where pages differ without a word in the history."""
    for number, fetch in enumerate(fetches):
        last = number + 1 == len(fetches)
        if last or (fetches[number + 1].steps, fetches[number + 1].closed) != (fetch.steps, fetch.closed):
            change = until if last else fetches[number + 1].at
            yield Stretch(start, min(change, until), fetch.steps, fetch.closed, lines)
            start, lines = max(start, change), ()


def _told_by(story: Story, lines: tuple[str, ...], before: Stretch | None, span: Span, final_at: datetime) -> Stretch:
    """A stretch in which nobody fetched the page: what the history says was promised, and letters of its moment say.

    What is kept, moved or needed no longer is taken to be the earliest. A line that says we asked again promises too,
    and does not say when.
    """
    steps, closed = (sorted(before.steps), before.closed) if before else ([], False)
    for line in lines:
        if CLOSED.search(line) or REOPENED.search(line):
            steps, closed = [], bool(CLOSED.search(line))
        elif any(ends.match(line) for ends in (KEPT, GONE, MOVED, ANNOUNCED, ASKED_AGAIN)):
            steps = steps[1:]
        if GIVEN.match(line) or MOVED.match(line) or ANNOUNCED.match(line):
            steps, closed = sorted([*steps, *moments(line, story.team.tz, final_at)[:1]]), False
        elif ASKED_AGAIN.match(line):
            steps = [*steps, span[0] + UNSEEN]
    letters = (one for one in story.arrivals if span[0] <= one.written < min(span[0] + ONE_SECOND, span[1]))
    told = frozenset(step for one in letters for step in one.steps)
    return Stretch(
        *span, frozenset() if closed else frozenset(steps) | told, closed, lines, bool(before or told or steps)
    )


def kept_at(story: Story) -> list[datetime]:
    """When promises were kept, and when the count of delays began anew because the case was reopened."""
    return [line.at for line in story.lines if KEPT.match(line.sentence) or REOPENED.search(line.sentence)]


def count(lines: list[Line], pattern: re.Pattern[str]) -> int:
    """How many lines of a history say so."""
    return sum(bool(pattern.match(line.sentence)) for line in lines)
