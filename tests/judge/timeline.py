"""What a case's page said at every moment, put together from the pages that were fetched and from its history."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from tests.judge.dates import moments
from tests.judge.evidence import Fetch, Story
from tests.judge.reading import Line

KEPT = re.compile(r"^(?:Zusage eingehalten|Promise kept)")
MOVED = re.compile(r"^(?:Neues Datum|Datum verschoben|Date moved)")
GIVEN = re.compile(r"^(?:Zugesagt|Datum zugesagt|Promised|Date promised)")
GONE = re.compile(r"^(?:Zusage hat sich erledigt|Date no longer needed)")
CLOSED = re.compile(r"abgeschlossen|^Closed|^Abgeschlossen")
REOPENED = re.compile(r"wieder geöffnet|^Wieder geöffnet|^Reopened")


@dataclass(frozen=True)
class Stretch:
    """From one change of the page to the next."""

    start: datetime
    end: datetime
    steps: frozenset[datetime]
    closed: bool
    lines: tuple[str, ...]
    """What the history says of the change at its start."""


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
            steps, closed = _told_by(story, lines, before, start, final_at)
            found.append(Stretch(start, until, steps, closed, lines))
    return [stretch for stretch in found if stretch.start < stretch.end]


def _seen(fetches: list[Fetch], start: datetime, until: datetime, lines: tuple[str, ...]) -> Iterator[Stretch]:
    """One stretch, or several where pages differ without a word in the history."""
    for number, fetch in enumerate(fetches):
        last = number + 1 == len(fetches)
        if last or (fetches[number + 1].steps, fetches[number + 1].closed) != (fetch.steps, fetch.closed):
            change = until if last else fetches[number + 1].at
            yield Stretch(start, min(change, until), fetch.steps, fetch.closed, lines)
            start, lines = max(start, change), ()


def _told_by(
    story: Story, lines: tuple[str, ...], before: Stretch | None, start: datetime, final_at: datetime
) -> tuple[frozenset[datetime], bool]:
    """The steps after a change nobody fetched the page for."""
    steps, closed = (sorted(before.steps), before.closed) if before else ([], False)
    if any(CLOSED.search(line) for line in lines):
        return frozenset(), True
    if any(REOPENED.search(line) for line in lines):
        steps, closed = [], False
    ended = sum(bool(KEPT.match(line) or MOVED.match(line) or GONE.match(line)) for line in lines)
    new = [
        moment
        for line in lines
        if GIVEN.match(line) or MOVED.match(line)
        for moment in moments(line, story.team.tz, final_at)[:1]
    ]
    return frozenset(steps[ended:] + new), closed


def kept_at(story: Story) -> list[datetime]:
    """When promises were kept, and when the count of delays began anew because the case was reopened."""
    return [line.at for line in story.lines if KEPT.match(line.sentence) or REOPENED.search(line.sentence)]


def count(lines: list[Line], pattern: re.Pattern[str]) -> int:
    """How many lines of a history say so."""
    return sum(bool(pattern.match(line.sentence)) for line in lines)
